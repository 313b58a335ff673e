"""A small share of the soak: every row of its table does something at least, and nothing is wrong."""

import pytest

from benchmarks import clusters
from benchmarks.contest.environments import ROOT
from benchmarks.soak import record, scarcity
from benchmarks.soak.rows import ROWS

CANNOT = {"clocks": scarcity.no_clock(), "disks": scarcity.no_disk(), "slurm": clusters.no_slurm()}


@pytest.fixture(scope="module")
def soaked(processes) -> dict[str, list[str]]:
    """The columns of the table, by what was done: every row by one command."""
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from benchmarks.soak.__main__ import main; main()"
    done = processes.begin(code, "--share", "0.005", "--rows", *ROWS, cwd=ROOT)
    out, err = done.communicate()
    rows = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")][1:]
    assert rows, err
    assert (done.returncode == 0) == all(row[2] == "0" for row in rows)
    return {row[0]: [*row, err] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_wrong(name, soaked):
    if why := CANNOT.get(name):
        pytest.skip(why)
    _, figure, wrong, *_, said = soaked[str(ROWS[name].__doc__)]
    assert wrong == "0", said
    assert figure


def test_the_page_has_what_was_measured():
    """No number of it was typed by hand."""
    assert f"-->\n{record.markdown(record.kept(ROWS))}\n<!--" in record.PAGE.read_text(encoding="utf-8")
