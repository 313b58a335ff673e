"""Units of work that need not import their libraries: forked from a server that has them.

What stands for Python in jobs is a `stub`: a process as the engines see it, with the files, signals and exit code of
the forked one.
"""

import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from benchmarks.clusters import wait_for
from benchmarks.processes import live

STUB = """#!{python} -SE
import ctypes, json, os, signal, socket, sys
ctypes.CDLL(None).prctl(1, 9)  # ends with whoever began it
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
link.connect({socket!r})
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: link.send(bytes([number])))
assert sys.argv[1:3] == ["-m", "fewshot_bench"], sys.argv
code = {before!r} + "import sys; from fewshot_bench.cli import main; sys.argv[0] = 'bench'; main()"
env = {{name: value for name, value in os.environ.items() if name != "BENCH_PARENT"}}
with os.fdopen(os.memfd_create("asked"), "w+") as asked:
    json.dump({{"code": code, "words": sys.argv[3:], "cwd": os.getcwd(), "env": env}}, asked)
    asked.seek(0)
    socket.send_fds(link, [b"begin"], [asked.fileno(), 1, 2])
code = int(link.recv(64) or -9)
sys.exit(code if code >= 0 else 128 - code)
"""


@contextmanager
def python(folder: Path, begin: Callable[[str], object], before: str = "") -> Iterator[Path]:
    """An executable that stands for Python in jobs and whose work is done by a server.

    begin: has a new process, which has the libraries, call `main` with a path; before: code that each job runs first
    """
    at, stub = folder / "socket", folder / "python"
    begin(str(at))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as keeper:
        wait_for(lambda: keeper.connect_ex(str(at)) == 0)
        stub.write_text(STUB.format(python=sys.executable, socket=str(at), before=before), encoding="utf-8")
        stub.chmod(0o755)
        yield stub


class _Units:
    """Who was forked and still runs."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._by_number: dict[int, tuple[int, int, socket.socket]] = {}  # link or handle -> (pid, handle, link)

    def forked(self, pid: int, link: socket.socket) -> None:
        """Heed it and its stub."""
        handle = os.pidfd_open(pid)
        for number in (link.fileno(), handle):
            self.selector.register(number, selectors.EVENT_READ)
            self._by_number[number] = pid, handle, link

    def heed(self, number: int) -> None:
        """Pass on what a stub was told, or to a stub how its process ended."""
        if number not in self._by_number:  # it ended just now
            return
        pid, handle, link = self._by_number[number]
        if number == handle:
            _, status = os.waitpid(pid, 0)
            with suppress(OSError):  # the stub was killed
                link.send(b"%d" % os.waitstatus_to_exitcode(status))
            self._forget(handle)
            self._forget(link.fileno())
            os.close(handle)
            link.close()
        elif told := link.recv(64):
            for signal_number in told:
                os.kill(pid, signal_number)
        else:  # the stub was killed
            os.kill(pid, signal.SIGKILL)
            self.selector.unregister(number)

    def _forget(self, number: int) -> None:
        del self._by_number[number]
        with suppress(KeyError):
            self.selector.unregister(number)


def main(at: str) -> NoReturn:
    """Be the server, at the path of a socket, or in the end one of those that it forks."""
    live(lambda: _serve(at))


def _serve(at: str) -> list[int]:
    """Fork at each request, until the first to connect is gone; returns in a new process, with its three files."""
    units, listener = _Units(), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(at)
    listener.listen(64)
    keeper, _ = listener.accept()
    for link in (listener, keeper):
        units.selector.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in units.selector.select():
            if key.fileobj is keeper:
                sys.exit()
            if key.fileobj is not listener:
                units.heed(key.fd)
                continue
            link, _ = listener.accept()
            _, files, _, _ = socket.recv_fds(link, 64, 3)
            if not (pid := os.fork()):
                for open_here in (listener, keeper, link):  # and in whoever reads at their other ends
                    open_here.detach()
                os.closerange(3, min(files))
                return files
            for file in files:
                os.close(file)
            units.forked(pid, link)
