"""Units of work that need not import their libraries: forked from a process that did so, once for all tests.

Run as a program, with the path of a socket, this is that one. What stands for Python in jobs is a `stub`: a process as
the engines see it, with the files, signals and exit code of the forked one.
"""

import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks.processes import live

STUB = """#!{python} -SE
import ctypes, json, os, signal, socket, sys
ctypes.CDLL(None).prctl(1, 9)  # ends with whoever began it
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
link.connect({socket!r})
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: link.send(bytes([number])))
assert sys.argv[1:3] == ["-m", "fewshot_bench"], sys.argv
code = "import sys; from fewshot_bench.cli import main; sys.argv[0] = 'bench'; main()"
env = {{name: value for name, value in os.environ.items() if name != "BENCH_PARENT"}}
with os.fdopen(os.memfd_create("asked"), "w+") as asked:
    json.dump({{"code": code, "words": sys.argv[3:], "cwd": os.getcwd(), "env": env}}, asked)
    asked.seek(0)
    socket.send_fds(link, [b"begin"], [asked.fileno(), 1, 2])
code = int(link.recv(64) or -9)
sys.exit(code if code >= 0 else 128 - code)
"""


def write_stub(path: Path, at: Path) -> None:
    """An executable that stands for Python and whose work is done by the server at a socket."""
    path.write_text(STUB.format(python=sys.executable, socket=str(at)))
    path.chmod(0o755)


def serve(at: str) -> list[int]:
    """Fork at each request, pass signals on and tell exit codes; returns in a new process, with its three files."""
    selector, listener = selectors.DefaultSelector(), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(at)
    listener.listen(64)
    selector.register(listener, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)  # a pipe, whose end is ours
    units: dict[int, tuple[int, socket.socket]] = {}  # link or pidfd -> (pid, link)
    print("up", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                link, _ = listener.accept()
                _, files, _, _ = socket.recv_fds(link, 64, 3)
                if not (pid := os.fork()):
                    for number in units:
                        os.close(number)
                    listener.close()
                    link.close()
                    return files
                for file in files:
                    os.close(file)
                handle = os.pidfd_open(pid)
                for number in (link.fileno(), handle):
                    selector.register(number, selectors.EVENT_READ)
                    units[number] = pid, link
            elif key.fd == 0:
                sys.exit()
            elif key.fd in units:
                pid, link = units[key.fd]
                if key.fd == link.fileno():
                    said = link.recv(64)
                    for number in said or [signal.SIGKILL]:
                        os.kill(pid, number)
                    if not said:
                        selector.unregister(key.fd)
                else:
                    _, status = os.waitpid(pid, 0)
                    with suppress(OSError):  # the stub was killed
                        link.send(b"%d" % os.waitstatus_to_exitcode(status))
                    for number in (key.fd, link.fileno()):
                        units.pop(number)
                        with suppress(KeyError):
                            selector.unregister(number)
                    os.close(key.fd)
                    link.close()


if __name__ == "__main__":
    live(lambda: serve(sys.argv[1]))
