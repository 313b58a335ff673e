"""`bench merge`: files that were edited by hand, and files that cannot be opened."""

import json
import sqlite3
from pathlib import Path

import pytest

from fewshot_bench.results.store.checksums import episodes_sha256

OURS, OTHER = "out/results.sqlite", "other/results.sqlite"


def one_line(ran, said: str) -> None:
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1), ran
    assert said in ran.err


def test_a_file_that_cannot_be_opened_is_one_line(store, bench, monkeypatch):
    """As for a user without its permission: the tests may run as root, whom permissions do not bind."""
    store(OTHER)
    original = sqlite3.connect

    def connect(where, *arguments, **options):
        if "other" in str(where):
            raise sqlite3.OperationalError("unable to open database file")
        return original(where, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    one_line(bench("merge", OTHER), f"{OTHER}: unable to open database file")


def test_a_folder_is_called_one(store, bench, monkeypatch):
    store(OTHER)
    Path("folder/results.sqlite").mkdir(parents=True)
    one_line(bench("merge", "folder"), "folder/results.sqlite: it is a folder")
    monkeypatch.setenv("BENCH_DB", "folder")
    for words in (("merge", OTHER), ("status",), ("export",)):
        one_line(bench(*words), "folder: it is a folder; name a database file in it")


@pytest.mark.parametrize("edited", [OURS, OTHER])
@pytest.mark.parametrize("table", ["trainings", "cells"])
def test_an_edited_identity_is_refused_on_both_sides(edited, table, store, bench, cell, other_cell, episode, edit):
    store(OURS)
    store(OTHER, (other_cell, [episode(0)]))
    of = {"trainings": cell.training, "cells": cell if edited == OURS else other_cell}[table]
    identity = of.identity | {"n_way": 99}
    edit(edited, f"UPDATE {table} SET identity = ?", json.dumps(identity))  # noqa: S608
    before = Path(OURS).read_bytes()
    said = f"{edited}: the identity of {table[:-1]} {of.key} does not match its key: the file was damaged or edited"
    one_line(bench("merge", OTHER), said)
    assert Path(OURS).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("cells SET n_way = 5", "the setting of cell"),
        ("cells SET seed = 5", "the seed of cell"),
        ("trainings SET method = 'maml'", "the method of training"),
        ("trainings SET iterations = 5", "the iterations of training"),
        ("runs SET facts = '{'", "runs 1, column facts: not valid JSON"),
        ("cells SET identity = '{'", "column identity: not valid JSON"),
    ],
)
def test_columns_that_cannot_be_are_refused(change, said, store, bench, edit):
    store(OTHER)
    edit(OTHER, f"UPDATE {change}")
    one_line(bench("merge", OTHER), said)
    assert not Path(OURS).exists()


def test_counts_that_cannot_be_are_refused_though_their_checksum_is_right(store, bench, cell, episode, edit, reseal):
    store(OTHER, (cell, [episode(0), episode(1)]))
    edit(OTHER, "UPDATE episodes SET n_correct = 999 WHERE number = 1")
    wrong = [(0, f"{0:016x}", 0, 12), (1, f"{1:016x}", 999, 12)]
    edit(OTHER, "UPDATE cells SET sha256 = ?", episodes_sha256(wrong))
    reseal(OTHER)
    one_line(bench("merge", OTHER), f"{OTHER}: episodes {cell.key} 1, column n_correct: it cannot be '999'")
    assert not Path(OURS).exists()


def test_an_import_that_says_who_but_not_when_is_of_unknown_origin(store, bench, edit, reseal):
    store(OURS)
    store(OTHER, machine="B")
    edit(OTHER, "UPDATE runs SET facts = ?", json.dumps({"imported from": "a.csv", "made by": "bench run"}))
    reseal(OTHER)
    assert "4 equal episodes of unknown origin, which is no independent evidence" in bench("merge", OTHER).out


def test_json_says_which_cell_is_in_conflict(store, bench, cell, other_cell, episode):
    store(OURS, (cell, [episode(0)]), (other_cell, [episode(0)]))
    store(OTHER, (cell, [episode(0, 7), episode(1)]), (other_cell, [episode(0)]))
    found = json.loads(bench("merge", OTHER, "--json").out)
    assert {compared["key"]: compared["state"] for compared in found["cells"]} == {
        cell.key: "conflict",
        other_cell.key: "equal",
    }
