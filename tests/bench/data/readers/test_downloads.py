"""Downloads end: by size, by time, and what a killed one left behind is removed."""

import gc
import hashlib
import http.server
import os
import socket
import threading
from contextlib import suppress

import pytest

from fewshot_bench import machine
from fewshot_bench.data.readers import downloads
from fewshot_bench.data.readers.downloads import fetch
from fewshot_bench.errors import DataError
from fewshot_bench.files import temporary

CONTENT = b"published " * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def silent(*_):
    """Reports progress to nobody."""


class Endless(http.server.BaseHTTPRequestHandler):
    """Sends pieces until nobody listens."""

    pause_seconds = 0.0
    over = threading.Event()

    def do_GET(self):
        """Answer with no length."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not self.over.wait(self.pause_seconds):
                self.wfile.write(bytes(1000))

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def endless(monkeypatch):
    """The address of a file that never ends, sent at once or slowly."""
    servers, over = [], threading.Event()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def start(pause_seconds):
        handler = type("Handler", (Endless,), {"pause_seconds": pause_seconds, "over": over})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/a.tar.gz"

    yield start
    over.set()  # which ends who listens, too
    for server in servers:
        server.shutdown()
        server.server_close()


def test_too_many_bytes(endless, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"\(it sends more than 1 MiB\): fetch it by other means and put it there"):
        fetch(endless(0.0), MD5, tmp_path, silent)
    assert not list(tmp_path.iterdir())


def test_too_many_seconds(endless, tmp_path, monkeypatch):
    """Each piece comes in time, all of them do not."""
    monkeypatch.setattr(downloads, "LONGEST_SECONDS", 0.2)
    with pytest.raises(DataError, match=r"\(it takes longer than 0 minutes\)"):
        fetch(endless(0.02), MD5, tmp_path, silent)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"]
)
def test_a_server_that_never_comes_to_a_byte_of_the_file(start, tmp_path, monkeypatch):
    """In its headers, or in what it says of a piece's length."""
    monkeypatch.setattr(downloads, "LONGEST_SECONDS", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with suppress(OSError), server.accept()[0] as connection:
                connection.sendall(start)
                while not over.wait(0.01):
                    connection.sendall(b"a")

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(DataError, match=r"\(it takes longer than 0 minutes\)"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/a.tar.gz", MD5, tmp_path, silent)
    over.set()  # which ends who listens, too
    for thread in threading.enumerate():
        if isinstance(thread, machine.Background) and thread.ident:  # another test has one that never began
            thread.join(10)
    assert not list(tmp_path.iterdir())


def test_a_refusal_holds_no_connection(web_address, tmp_path):
    """A warning of an unclosed socket would fail this test or, later, any other."""
    with pytest.raises(DataError, match="HTTP Error 404"):
        fetch(f"{web_address(tmp_path)}/a.tar.gz", MD5, tmp_path, silent)
    gc.collect()


def test_silence(endless, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(DataError, match="timed out"):
        fetch(endless(5.0), MD5, tmp_path, silent)


def test_what_a_killed_download_left_is_removed(web_address, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.tar.gz").write_bytes(CONTENT)
    folder = tmp_path / "downloads"
    folder.mkdir()
    running = temporary(folder / "a.tar.gz")
    killed = running.with_name(running.name.replace(machine.process(), f"{os.getpid()}-1"))
    for leftover in (killed, running):
        leftover.write_bytes(b"half")
    path = fetch(f"{web_address(tmp_path / 'served')}/a.tar.gz", MD5, folder, silent)
    assert path.read_bytes() == CONTENT
    assert sorted(folder.iterdir()) == [running, path]
