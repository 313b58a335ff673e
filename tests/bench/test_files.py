"""Files that are written whole or not at all, and what killed writers leave."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fewshot_bench import machine
from fewshot_bench.files import remove_leftovers, whole_file, write_whole

LEAVES = """
import os, sys
from pathlib import Path
from fewshot_bench.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    os._exit(1)
"""


def test_a_file_takes_its_name_when_all_is_written(tmp_path):
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_goes_on_leading_to_its_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"through")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"through"


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(timeout=600)
    assert read == [b"through"]
    assert pipe.is_fifo()


def test_leftovers_of_dead_processes_of_this_machine_alone_are_removed(tmp_path):
    command = [sys.executable, "-c", LEAVES, str(tmp_path / "a.bin")]
    assert subprocess.run(command).returncode == 1
    (left,) = tmp_path.iterdir()
    elsewhere = tmp_path / left.name.replace(machine.host(), "elsewhere-00000000")
    left.rename(elsewhere)
    subprocess.run(command)
    (tmp_path / "notes.tmp").touch()
    with whole_file(tmp_path / "b.bin"):
        assert len(list(tmp_path.iterdir())) == 4
        remove_leftovers(tmp_path)  # one is still written, one may be, one is not ours
        assert len(list(tmp_path.iterdir())) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([elsewhere.name, "b.bin", "notes.tmp"])


def test_two_hosts_with_equal_process_ids_have_names_of_their_own(tmp_path, monkeypatch):
    names = []
    for host in ("a", "b"):
        monkeypatch.setattr(machine, "host", lambda host=host: host)
        with whole_file(tmp_path / "x") as file:
            names.append(file.name)
    assert names[0] != names[1]
    assert f".a.{machine.process()}." in names[0]
    assert f".b.{machine.process()}." in names[1]


def test_a_process_is_gone_only_where_that_is_known():
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    here = machine.process()
    assert not machine.is_gone(machine.host(), here)
    assert machine.is_gone(machine.host(), f"{ended.pid}-1")
    assert machine.is_gone(machine.host(), f"{here.split('-')[0]}-1")  # its number, another start
    assert not machine.is_gone("elsewhere", f"{ended.pid}-1")
    assert not machine.is_gone(machine.host(), "no process")
