"""Dask distributed: jobs are tasks of a scheduler that is already up, one at a time on a worker.

A worker that dies loses nothing: the scheduler gives its tasks to another, and they go on from what is stored.
"""

import logging
import math
import os
import secrets
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from distributed import CancelledError, Client, Future, Security, fire_and_forget, get_worker
from distributed.client import ClosedClientError
from tornado.ioloop import IOLoop

from fewshot_bench.errors import UsageError
from fewshot_bench.machine import Background
from fewshot_bench.results.store.engine import server_url
from fewshot_bench.running.engines import JOB, PARENT, Job
from fewshot_bench.tables.wording import counted

LOOK_SECONDS = 0.5  # between two looks whether a task was cancelled
CONNECT_SECONDS = 30
TLS = {"tls-ca": "tls_ca_file", "tls-cert": "tls_client_cert", "tls-key": "tls_client_key"}
OPTIONS = ("scheduler", *TLS, "resources")
WAITING_OR_RUNNING = ("waiting", "no-worker", "queued", "processing")


class Dask:
    """Tasks of one scheduler."""

    def __init__(self, options: Mapping[str, str], _out: Path, database: str) -> None:
        for name in options:
            if name not in OPTIONS:
                raise UsageError(f"--engine-option {name}: --engine dask has {', '.join(OPTIONS)}")
        if "scheduler" not in options:
            raise UsageError("--engine dask needs --engine-option scheduler=tls://HOST:PORT (or tcp://)")
        self._resources = _resources(options.get("resources", ""))
        self._options, self._database = options, database
        self._client = _client(options)
        self._futures: dict[str, Future] = {}
        self._held: set[str] = set()

    def submit(self, job: Job) -> None:
        """Have it run once its predecessor, if it has one, has succeeded."""
        key = f"{job.name}-{secrets.token_hex(4)}"  # a task that has ended keeps its key
        environment = {"BENCH_DB": self._database, **job.environment}
        try:
            future = self._client.submit(
                run_job, job.words, environment, str(Path.cwd()), self._futures.get(job.after),
                key=key, pure=False, resources=self._resources,
            )  # fmt: skip
        except (ClosedClientError, CancelledError, OSError) as error:
            raise UsageError(f"--engine dask: {self._options['scheduler']}: {' '.join(str(error).split())}") from None
        fire_and_forget(future)
        self._futures[job.name] = future

    def alive(self) -> set[str]:
        """Names of tasks that wait or run."""
        states = self._states()
        self._held = {_name(key) for key, state in states.items() if state == "no-worker"}
        found = {_name(key): key for key in states}
        for name, key in found.items():
            own = self._futures.get(name)
            # another driver's, or the scheduler was lost for a while
            if own is None or own.key != key or own.cancelled():
                self._futures[name] = Future(key, self._client)
        return set(found)

    def held(self, names: Collection[str]) -> str:
        """Where no worker may take a task."""
        where = f"no worker of {self._options['scheduler']} has what --engine-option resources asks for, or none is up"
        n = len(self._held.intersection(names))
        return f"{counted(n, 'task')} wait{'s' * (n == 1)}: {where}" if n else ""

    def cancel(self, names: Collection[str]) -> None:
        """A task that runs sees it, and its state is saved."""
        found: list[Future] = [Future(key, self._client) for key in self._states() if _name(key) in names]
        found += [self._futures[name] for name in names if name in self._futures]  # it may not know them yet
        self._client.cancel(found, force=True)

    def last_words(self, name: str) -> str:
        """What the task's error says."""
        future = self._futures.get(name)
        if future is None or future.status != "error":
            return ""
        return " ".join(str(future.exception()).split())[:300]

    def close(self) -> None:
        """Leave the scheduler. Tasks go on."""
        self._futures.clear()
        self._client.close()

    def _states(self) -> dict[str, str]:
        if self._client.status == "closed":  # it has given up a scheduler that was away
            self._futures.clear()
            self._client = _client(self._options, self._client.loop)  # its thread is there still
        try:
            return dict(self._client.run_on_scheduler(_unfinished))
        except (OSError, TimeoutError) as error:
            raise UsageError(
                f"--engine dask: {self._options['scheduler']}: {' '.join(str(error).split())[:200]}"
            ) from None


def run_job(words: Sequence[str], environment: Mapping[str, str], folder: str, _after: object) -> None:
    """On a worker: run `bench` to its end, or until the task is cancelled. Raises RuntimeError if it fails."""
    worker = get_worker()
    key = worker.get_current_task()
    given = os.environ | environment | {JOB: f"dask {key}", PARENT: str(os.getpid())}
    own = os.environ.get("BENCH_DB", "")
    if own and server_url(own) == environment["BENCH_DB"]:  # it may hold the password
        given["BENCH_DB"] = own
    command, last = [sys.executable, "-m", "fewshot_bench", *words], deque[str](maxlen=1)
    with subprocess.Popen(
        command, cwd=folder, env=given, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        reading = Background(target=_keep_last, args=(process.stderr, last))
        reading.start()
        while process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":
                process.send_signal(signal.SIGTERM)
                process.wait()
        reading.join()
    if process.returncode:
        raise RuntimeError(last[0] if last else f"exit code {process.returncode}")


def _keep_last(stream: IO[str], last: "deque[str]") -> None:
    last.extend(line.strip() for line in stream if line.strip())


def _unfinished(dask_scheduler: Any = None) -> dict[str, str]:
    """On the scheduler: the states of our tasks that wait or run, by key."""
    states = {key: task.state for key, task in dask_scheduler.tasks.items() if str(key).startswith("bench-")}
    return {key: state for key, state in states.items() if state in WAITING_OR_RUNNING}


def _name(key: str) -> str:
    return key.rpartition("-")[0]


def _client(options: Mapping[str, str], loop: IOLoop | None = None) -> Client:
    for name in ("distributed", "distributed.client"):  # what goes wrong is said here, in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    files = {word: options[name] for name, word in TLS.items() if name in options}
    try:
        security = Security(require_encryption=True, **files) if files else None
        return Client(options["scheduler"], security=security, timeout=CONNECT_SECONDS, set_as_default=False, loop=loop)
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last: TLS with tcp://
        raise UsageError(f"--engine dask: {options['scheduler']}: {' '.join(str(error).split())[:200]}") from None


def _resources(text: str) -> dict[str, float] | None:
    """GPU=1,memory=2e9 as Dask's workers declare them."""
    try:
        found = {name: float(value) for name, value in (part.split("=") for part in text.split(",") if text)}
    except ValueError:
        found = {"": 0.0}
    if not all(0 < value < math.inf for value in found.values()):
        raise UsageError(f"--engine-option resources={text}: write it like GPU=1")
    return found or None
