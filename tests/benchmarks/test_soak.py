"""A small share of the soak: every row of its table does something at least, and nothing is wrong."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import clusters
from benchmarks.contest.environments import ROOT
from benchmarks.soak import record, scarcity
from benchmarks.soak.rows import ON_ENGINES, ROWS

CANNOT = {"clocks": scarcity.no_clock(), "disks": scarcity.no_disk(), "slurm": clusters.no_slurm()}
OF_STORE = [name for name in ROWS if name not in ON_ENGINES]


@pytest.fixture(scope="module")
def soaked() -> dict[str, list[str]]:
    """The columns of the table, by what was done."""
    return small([])


def small(words: list[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "benchmarks.soak", "--share", "0.005", *words]
    env = os.environ | {"TMPDIR": _quick_folder()}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert rows, done.stderr
    assert (done.returncode == 0) == all(row[2] == "0" for row in rows)
    return {row[0]: [*row, done.stderr] for row in rows}


def _quick_folder() -> str:
    """In memory where there is room, since each commit waits for a disk: who is killed with -9 leaves it the same."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2**30 else tempfile.gettempdir()


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_STORE)
def test_nothing_is_wrong(name, soaked):
    if why := CANNOT.get(name):
        pytest.skip(why)
    holds(name, soaked)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_ENGINES)
def test_nothing_is_wrong_on_an_engine(name):
    if why := CANNOT.get(name):
        pytest.skip(why)
    holds(name, small(["--rows", name]))


def holds(name: str, rows: dict[str, list[str]]) -> None:
    _, figure, wrong, *_, said = rows[str(ROWS[name].__doc__)]
    assert wrong == "0", said
    assert figure


def test_the_page_has_what_was_measured():
    """No number of it was typed by hand."""
    assert f"-->\n{record.markdown(record.kept(ROWS))}\n<!--" in record.PAGE.read_text(encoding="utf-8")
