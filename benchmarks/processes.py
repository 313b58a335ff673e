"""Processes that need not import their libraries: they are forked from one that did so, once for all tests.

Run as a program, with the number of a socket, this is that one.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from multiprocessing import util
from pathlib import Path
from typing import IO, Any, NoReturn

_PRELOADED = (  # torch imports its compiler when the first optimiser is made
    "torch._dynamo", "alembic.command", "rich.progress", "scipy.special", "psycopg", "fewshot_bench.running.recording",
    "fewshot_bench.running.workers", "fewshot_bench.experiment.choosing", "fewshot_bench.cli",
)  # fmt: skip
_PATIENCE_SECONDS = 600  # only what hangs takes so long


class Process:
    """One that runs, as `subprocess.Popen` has it."""

    def __init__(self, link: socket.socket, pid: int, written: Sequence[IO[bytes]]) -> None:
        self._link, self.pid, self._written = link, pid, written
        self.returncode: int | None = None

    def kill(self) -> None:
        """At once, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        if self.returncode is None:
            self._link.send(b"%d" % self.pid)
            try:
                self.returncode = int(self._link.recv(64))
            except TimeoutError:
                self.kill()
                self.returncode = int(self._link.recv(64))
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """All that it wrote until its end."""
        self.wait()
        said = []
        for file in self._written:
            file.seek(0)
            said.append(file.read().decode())
        return said[0], said[1]


class Processes:
    """Begins Python processes whose libraries are there; what they are forked from begins with the first."""

    def __init__(self) -> None:
        self._files = ExitStack()  # open until the end of all tests

    @cached_property
    def _link(self) -> socket.socket:
        link, theirs = socket.socketpair()
        link.settimeout(_PATIENCE_SECONDS)
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # who forks has one thread
        )
        theirs.close()
        return link

    def begin(self, code: str, *words: str, cwd: Path | None = None, **options: Any) -> Process:
        """`python -W error -c CODE WORDS` in a folder, with our environment as it is now.

        options: `out` and `err`, files to write to; `new_session`; `spawn`: workers of its own are new processes
            indeed, which import their libraries
        """
        written = [self._files.enter_context(tempfile.TemporaryFile()) for _ in range(2)]  # noqa: SIM115
        files = [options.pop(name, file.fileno()) for name, file in zip(("out", "err"), written, strict=True)]
        wanted = {"code": code, "words": words, "cwd": str(cwd or Path.cwd()), "env": dict(os.environ)} | options
        with tempfile.TemporaryFile("w+") as asked:
            json.dump(wanted, asked)
            asked.seek(0)
            socket.send_fds(self._link, [b"begin"], [asked.fileno(), *files])
            return Process(self._link, int(self._link.recv(64)), written)

    def close(self) -> None:
        """End the process from which all are forked, if there is one."""
        self._files.close()
        if "_link" in vars(self):
            self._link.close()
            self._server.wait()


def _serve(link: socket.socket) -> list[int]:
    """Fork at each request, and wait for whom we are asked about; returns in a new process, with its three files."""
    while True:
        word, files, _, _ = socket.recv_fds(link, 64, 3)
        if not word:
            sys.exit()
        if files:
            if not (pid := os.fork()):
                return files
            for file in files:
                os.close(file)
            link.send(b"%d" % pid)
        else:
            _, status = os.waitpid(int(word), 0)
            link.send(b"%d" % os.waitstatus_to_exitcode(status))


def _become(files: list[int]) -> str:
    """The process that was asked for; returns its code."""
    with os.fdopen(files[0]) as file:
        asked = json.load(file)
    for number, file_number in enumerate((os.open(os.devnull, os.O_RDONLY), *files[1:])):
        os.dup2(file_number, number)
        os.close(file_number)
    for name in ("stdout", "stderr"):  # whether they can be sought in, or are a terminal, is known from their opening
        old = getattr(sys, name)
        stream = open(old.fileno(), "w", encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    if asked.get("new_session"):
        os.setsid()
    if not asked.get("spawn"):
        fork_workers()
    sys.argv = ["-c", *asked["words"]]
    return str(asked["code"])


def fork_workers() -> None:
    """From now on what multiprocessing spawns is forked from this process, which has the libraries."""
    util.spawnv_passfds = partial(_forked, util.spawnv_passfds)


def _forked(execute: Callable[..., int], path: bytes, words: list[str], files: Sequence[int]) -> int:
    """A process that multiprocessing spawns: forked, but left with nothing that it would not have otherwise."""
    code = words[words.index("-c") + 1]
    if not code.startswith("from multiprocessing.spawn "):
        return execute(path, words, files)
    if pid := os.fork():
        return pid
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for file in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
            if file > 2 and file not in files:
                with suppress(OSError):  # the list's own
                    os.close(file)
        sys.argv = ["-c", *words[words.index("-c") + 2 :]]
        exec(code, {"__name__": "__main__"})
    except SystemExit as ending:
        os._exit(int(ending.code or 0))
    finally:
        os._exit(1)


def _end(code: object) -> NoReturn:
    """As Python ends, but for the second that it takes to take torch apart."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def live(serve: Callable[[], list[int]]) -> NoReturn:
    """Import the libraries, serve, and in each process that comes of it be the one that was asked for."""
    for name in _PRELOADED:
        __import__(name)
    gc.freeze()  # what all share stays shared
    try:
        exec(compile(_become(serve()), "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ending:
        _end(ending.code)
    except BaseException:  # noqa: BLE001  # as Python does
        sys.excepthook(*sys.exc_info())
        _end(1)
    _end(0)


def _serve_a_parent() -> list[int]:
    with socket.socket(fileno=int(sys.argv[1])) as link:
        return _serve(link)


if __name__ == "__main__":
    live(_serve_a_parent)
