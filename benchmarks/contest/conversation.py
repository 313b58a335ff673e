"""A worker as the driver sees it: a process of its own, asked one question at a time over a pipe."""

import json
import os
import select
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.contest.environments import PEERS, ROOT, python_of

TIMEOUT_SECONDS = 600.0


class WorkerFailed(Exception):
    """What went wrong at a side, in one line."""


class Worker:
    """One process of one side; `with` ends it."""

    def __init__(self, side: str, threads: int = 1) -> None:
        self.side = side
        PEERS.mkdir(exist_ok=True)
        self._log = PEERS / f"{side}.log"
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [python_of(side), "-m", "benchmarks.contest.serve", side, str(threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment, text=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, question: str, **details: Any) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises WorkerFailed."""
        self.send(question, **details)
        return self.receive()

    def send(self, question: str, **details: Any) -> None:
        """Ask without waiting, so that several workers can work at once."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ask": question} | details) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._last_words()) from None

    def receive(self) -> dict[str, Any]:
        """The answer to what was sent. Raises WorkerFailed."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], TIMEOUT_SECONDS)[0]:
            raise WorkerFailed(f"no answer in {TIMEOUT_SECONDS:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def _last_words(self) -> str:
        lines = Path(self._log).read_text(encoding="utf-8").splitlines()
        return f"the process ended: {lines[-1] if lines else 'it said nothing'}"
