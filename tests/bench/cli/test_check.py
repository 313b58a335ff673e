"""`bench check`: stored accuracies, or another database, against what the database holds."""

import json
import os
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing

import pytest

from fewshot_bench.experiment.identity import lineage_of
from fewshot_bench.methods.protonet import ProtoNet


def baseline(run, bench, change=None):
    """A file of stored accuracies, each cell changed maybe."""
    assert bench("check", "--against", "base.json", "--write").code == 0
    path = run.folder / "base.json"
    document = json.loads(path.read_text())
    for cell in document["cells"]:
        if change:
            cell |= change(cell)
    path.write_text(json.dumps(document))


def all_right(cell):
    return {"correct": [12] * 6}


def test_identical_results(run, bench):
    baseline(run, bench)
    ran = bench("check", "--against", "base.json", "--strict")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Identical: every episode that is compared, in 4 of 4 cells.")


def test_worse_results(run, bench):
    baseline(run, bench, all_right)
    ran = bench("check", "--against", "base.json", "--junit", "check.xml")
    assert ran.code == 3
    assert re.match(r"Regression: \d of 4 cells and 2 of 2 variants worse\.", ran.out)
    suite = ET.parse(run.folder / "check.xml").getroot().find("testsuite")
    assert (suite.get("tests"), int(suite.get("failures")) >= 2) == ("6", True)


def test_the_margin_is_in_points_and_undecided_is_a_failure_when_strict(run, bench):
    baseline(run, bench, all_right)
    assert bench("check", "--against", "base.json", "--margin", "99", "--strict").code == 0  # equivalent
    baseline(run, bench, lambda cell: {"correct": [*cell["correct"][:5], (cell["correct"][5] + 6) % 12]})
    assert bench("check", "--against", "base.json").code == 0
    ran = bench("check", "--against", "base.json", "--strict")
    assert (ran.code, "undecided" in ran.out) == (7, True)


def test_other_experiments_are_not_compared(run, bench):
    baseline(run, bench, lambda cell: {"key": "0" * 16, "lineage": "0" * 16})
    ran = bench("check", "--against", "base.json", "--junit", "check.xml")
    assert ran.code == 5
    key = re.search(r"another experiment; bench why (\w{16}) says what changed", " ".join(ran.out.split()))[1]
    assert bench("show", key).code == 0
    suite = ET.parse(run.folder / "check.xml").getroot().find("testsuite")
    assert (suite.get("skipped"), suite.get("failures")) == ("4", "0")


def test_accuracies_that_come_with_the_package(run, bench):
    assert bench("check", "--against", "smok").code == 2
    ran = bench("check", "--against", "smoke")
    assert (ran.code, "strokes" in ran.out) == (5, True)  # of another data set
    assert bench("check", "--against", "smoke", "--write").code == 0  # a file of that name takes precedence
    assert bench("check", "--against", "smoke").code == 0


def test_markdown_and_json(run, bench):
    baseline(run, bench, all_right)
    document = json.loads(bench("check", "--against", "base.json", "--format", "json").out)
    assert (document["exit_code"], document["counts_of_variants"]["worse"]) == (3, 2)
    text = bench("check", "--against", "base.json", "--format", "markdown").out
    assert text.startswith("**Regression: ")
    assert re.search(r"^\| worse \| protonet, all 2 settings \|", text, re.M)


def test_files_of_schema_1_are_read(run, bench):
    baseline(run, bench)
    document = json.loads((run.folder / "base.json").read_text())
    for cell in document["cells"]:
        del cell["correct"], cell["lineage"]
        cell |= {"mean": 0.99, "deviation": 0.01, "n_episodes": 6, "episodes_sha256": "0" * 64}
    del document["settings"]
    (run.folder / "base.json").write_text(json.dumps(document | {"schema": 1}))
    ran = bench("check", "--against", "base.json")
    assert (ran.code, "keeps no episodes" in ran.out) == (3, True)


def test_another_database(run, bench):
    other = run.folder / "other.sqlite"
    shutil.copy(run.database, other)
    assert bench("check", "--against", "other.sqlite").out.startswith("Identical: every episode")
    renamed = other.rename(run.folder / "other")  # known by what is in it
    assert bench("check", "--against", "other", "-k", "protonet").out.startswith("Identical")
    ran = bench("check", "--against", "other", "--write")
    assert (ran.code, "leaves a database alone" in ran.err) == (2, True)
    assert renamed.read_bytes().startswith(b"SQLite")


def test_a_database_that_lacks_cells(run, bench):
    shutil.move(run.folder / "out", run.folder / "whole")
    assert bench("run", "-q", "--method", "protonet").code == 0
    shutil.copy(run.database, run.folder / "less.sqlite")
    ran = bench("check", "--out", "whole", "--against", "less.sqlite")
    assert ran.code == 0
    assert "2 not comparable, not in the baseline: transfer 4-way 1-shot seed 0" in ran.out


def test_a_database_of_another_version_of_the_code(run, bench, monkeypatch):
    shutil.copy(run.database, run.folder / "older.sqlite")
    monkeypatch.setattr(ProtoNet, "version", 99)
    assert bench("run", "-q").code == 0
    ran = bench("check", "--against", "older.sqlite")
    assert ran.code == 0, ran.out
    assert ran.out.startswith("Identical: every episode that is compared, in 4 of 4 cells.")
    assert "2 cells were made by another version of the code" in ran.out


def test_a_file_of_another_version_of_the_code(run, bench, monkeypatch):
    baseline(run, bench)
    monkeypatch.setattr(ProtoNet, "version", 99)
    assert bench("run", "-q").code == 0
    ran = bench("check", "--against", "base.json")
    assert "2 cells were made by another version of the code" in ran.out


def test_stored_identities_give_the_lineage_of_cells(cell, other_cell, training):
    assert lineage_of(json.loads(json.dumps(training.identity)), json.loads(json.dumps(cell.identity))) == cell.lineage
    assert cell.lineage != other_cell.lineage


@pytest.mark.parametrize("content", ["", "[]", "{", "\udcff", '{"schema": 3}'])
def test_what_is_no_baseline_is_refused_in_one_line(run, bench, content):
    (run.folder / "base.json").write_bytes(content.encode(errors="surrogateescape"))
    ran = bench("check", "--against", "base.json")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "not a file of stored accuracies" in ran.err


@pytest.mark.parametrize(("name", "code"), [("none.json", 2), ("none.sqlite", 6)])
@pytest.mark.usefixtures("run")
def test_a_baseline_that_is_not_there(name, code, bench):
    ran = bench("check", "--against", name)
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)


def test_a_database_of_something_else_is_refused(run, bench):
    with closing(sqlite3.connect(run.folder / "foreign.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    ran = bench("check", "--against", "foreign.db")
    assert (ran.code, ran.out, ran.err.count("\n")) == (6, "", 1)


def test_nothing_is_written_of_nothing(run, bench):
    ran = bench("check", "--against", "none.json", "--write", "--shot", "2")
    assert ran.code == 5
    assert "no finished cell" in ran.err
    assert not (run.folder / "none.json").exists()


def test_a_pipe_is_not_waited_for(run, bench):
    os.mkfifo("base.json")
    ran = bench("check", "--against", "base.json")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "it is not a regular file" in ran.err
