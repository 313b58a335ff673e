"""Dask distributed: jobs are tasks of a scheduler that is already up, one at a time on a worker.

A worker that dies loses nothing: the scheduler gives its tasks to another, and they go on from what is stored.
"""

import os
import secrets
import signal
import subprocess
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any

from distributed import Client, Future, Security, fire_and_forget, get_worker

from fewshot_bench.errors import UsageError
from fewshot_bench.results.passwords import secrets_of
from fewshot_bench.running.engines import PROOF, Job

LOOK_SECONDS = 0.5  # between two looks whether a task was cancelled
CONNECT_SECONDS = 30
OPTIONS = ("scheduler", "tls-ca", "tls-cert", "tls-key", "resources")
WAITING_OR_RUNNING = ("waiting", "no-worker", "queued", "processing")


class Dask:
    """Tasks of one scheduler."""

    def __init__(self, options: Mapping[str, str], _out: Path, database: str) -> None:
        for name in options:
            if name not in OPTIONS:
                raise UsageError(f"--engine-option {name}: --engine dask has {', '.join(OPTIONS)}")
        if "scheduler" not in options:
            raise UsageError("--engine dask needs --engine-option scheduler=tls://HOST:PORT (or tcp://)")
        self._client = _client(options)
        self._resources = _resources(options.get("resources", ""))
        # one with a password is not sent: the workers' environment must name it
        self._database = {"BENCH_DB": database} if not secrets_of(database) else {}
        self._futures: dict[str, Future] = {}

    def submit(self, job: Job) -> None:
        """Have it run once its predecessor, if it has one, has succeeded."""
        key = f"{job.name}-{secrets.token_hex(4)}"  # a task that has ended keeps its key
        after = self._futures.get(job.after)
        environment = self._database | {name: os.environ[name] for name in (PROOF,) if name in os.environ}
        future = self._client.submit(
            run_job, job.command, environment, str(Path.cwd()), after,
            key=key, pure=False, resources=self._resources,
        )  # fmt: skip
        fire_and_forget(future)
        self._futures[job.name] = future

    def alive(self) -> set[str]:
        """Names of tasks that wait or run."""
        return {_name(key) for key in self._keys()}

    def cancel(self, names: Collection[str]) -> None:
        """A task that runs sees it and saves its state."""
        keys = [key for key in self._keys() if _name(key) in names]
        self._client.cancel([Future(key, self._client) for key in keys], force=True)

    def last_words(self, name: str) -> str:
        """What the task's error says."""
        future = self._futures.get(name)
        if future is None or future.status != "error":
            return ""
        error = future.exception()
        return " ".join(str(error).split())[:300]

    def _keys(self) -> list[str]:
        return list(self._client.run_on_scheduler(_unfinished))


def run_job(command: Sequence[str], environment: Mapping[str, str], folder: str, _after: object) -> None:
    """On a worker: run the command to its end, or until the task is cancelled. Raises RuntimeError if it fails."""
    worker = get_worker()
    key = worker.get_current_task()
    given = os.environ | environment | {"BENCH_JOB": f"dask {key}"}
    with subprocess.Popen(command, cwd=folder, env=given, stderr=subprocess.PIPE, text=True) as process:
        last: deque[str] = deque(maxlen=1)
        assert process.stderr is not None
        reading = Thread(target=_keep_last, args=(process.stderr, last), daemon=True)
        reading.start()
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_SECONDS)
                break
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":
                process.send_signal(signal.SIGTERM)
        reading.join()
    if code:
        raise RuntimeError(last[0] if last else f"exit code {code}")


def _keep_last(stream: IO[str], last: "deque[str]") -> None:
    last.extend(line.strip() for line in stream if line.strip())


def _unfinished(dask_scheduler: Any = None) -> list[str]:
    """On the scheduler: the keys of our tasks that wait or run."""
    tasks = dask_scheduler.tasks.items()
    return [key for key, task in tasks if str(key).startswith("bench-") and task.state in WAITING_OR_RUNNING]


def _name(key: str) -> str:
    return key.rpartition("-")[0]


def _client(options: Mapping[str, str]) -> Client:
    files = {f"tls_{'client_' * (part != 'ca')}{what}": options.get(f"tls-{part}") for part, what in TLS.items()}
    security = Security(require_encryption=True, **files) if any(files.values()) else None
    try:
        return Client(options["scheduler"], security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"--engine dask: {options['scheduler']}: {' '.join(str(error).split())[:200]}") from None


TLS = {"ca": "ca_file", "cert": "cert", "key": "key"}


def _resources(text: str) -> dict[str, float] | None:
    """GPU=1,memory=2e9 as Dask's workers declare them."""
    try:
        return {name: float(value) for name, value in (part.split("=") for part in text.split(","))} if text else None
    except ValueError:
        raise UsageError(f"--engine-option resources={text}: write it like GPU=1") from None
