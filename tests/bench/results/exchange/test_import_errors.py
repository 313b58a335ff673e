"""`bench import`: what is wrong in a table is one line, with file, row and column."""

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest


def change(column: str, value: str, row: int = 1):
    def apply(rows):
        rows[row][column] = value

    return apply


def change_facts(column: str, **changes):
    def apply(rows):
        facts = json.loads(rows[0][column])
        rows[0][column] = json.dumps({k: v for k, v in (facts | changes).items() if v is not ...})

    return apply


def without(*columns: str):
    def apply(rows):
        for row in rows:
            for column in columns:
                del row[column]

    return apply


WRONG = {
    "negative": (change("n_correct", "-3"), "row 3, column n_correct: '-3' is negative"),
    "a fraction": (change("n_correct", "0.5"), "row 3, column n_correct: '0.5' is no whole number"),
    "text": (change("n_correct", "many"), "row 3, column n_correct: 'many' is no whole number"),
    "other digits": (change("n_correct", "٣"), "row 3, column n_correct: '٣' is no whole number"),
    "nothing": (change("n_correct", ""), "row 3, column n_correct: it is empty"),
    "NUL": (change("n_correct", "1\0"), "row 3, column n_correct: '1\\x00' is no whole number"),
    "too many": (change("n_correct", "13"), "row 3, column n_correct: 13 of 12 queries cannot be right"),
    "huge": (change("n_correct", "9" * 15), "row 3, column n_correct: '999999999999999' is too large"),
    "huger": (change("number", "9" * 5000), "row 3, column number: '9999999999999999999999999999999999999999'..."),
    "infinite": (change("n_correct", "inf"), "row 3, column n_correct: 'inf' is no whole number"),
    "other queries": (change("n_queries", "13"), "row 3, column n_queries: 13 should be 12: 4 classes, 3 queries"),
    "twice": (change("number", "0"), "row 3, column number: row 2 has episode 0 of cell"),
    "a gap": (change("number", "99"), "row 4, column number: cell CELL has no episode 1: its numbers must be 0, 1"),
    "an id twice": (change("episode_id", "0" * 16), "row 3, column episode_id: it is the id of episode 0 of the same"),
    "a short id": (change("episode_id", "abc"), "row 3, column episode_id: 'abc' is not 16 hex digits"),
    "a long id": (change("episode_id", "0" * 17), "row 3, column episode_id: '00000000000000000' is not 16 hex digits"),
    "capitals": (change("episode_id", "ABCDEF0123456789"), "column episode_id: 'ABCDEF0123456789' is not 16 hex"),
    "a key": (change("cell_key", "1e5"), "row 3, column cell_key: '1e5' is not 16 hex digits"),
    "an unknown cell": (change("cell_key", "0" * 16), "column cell_key: neither the file (column cell_facts) nor the"),
    "bad hex": (change("answers", "xyz"), "row 3, column answers: 'xyz' is not x and hex digits"),
    "half a byte": (change("answers", "x000"), "row 3, column answers: 'x000' is not x and hex digits"),
    "few answers": (change("answers", "x0000"), "column answers: it has 2 bytes, but the answers to 12 queries are 12"),
    "a label": (change("answers", "x04" + "00" * 11), "row 3, column answers: label 4 in a 4-way episode"),
    "other answers": (change("answers", "x" + "00" * 12), "3 of the answers are right, but n_correct is 1; drop"),
    "another way": (change("n_way", "5"), "row 3, column n_way: '5' should be '4', as its facts (or the database) say"),
    "another name": (change("variant", "maml"), "row 3, column variant: 'maml' should be 'transfer'"),
    "no JSON": (change("cell_facts", "{", 0), "row 2, column cell_facts: '{' is no JSON"),
    "a list": (change("cell_facts", "[]", 0), "row 2, column cell_facts: it must be a JSON object"),
    "deep JSON": (change("cell_facts", "[" * 99999, 0), "row 2, column cell_facts: '[[[["),
    "NaN": (change_facts("training_facts", seconds=float("nan")), "seconds = nan must be a finite number"),
    "a negative time": (change_facts("cell_facts", seconds=-1), "seconds = -1 must be a finite number from 0"),
    "no identity": (change_facts("cell_facts", identity=...), "row 2, column cell_facts: 'identity' is missing"),
    "half a letter": (change_facts("cell_facts", label="\ud800"), "label = '\\ud800' holds what is no character"),
    "a state": (change_facts("training_facts", state="done"), "state = 'done' must be one of running, finished"),
    "no weights": (change_facts("training_facts", checkpoint=""), "has a checkpoint (its SHA-256, 64 hex digits) when"),
    "runs": (change_facts("cell_facts", runs=[[3, None], [1, None]]), "must go up from episode to episode"),
    "curves": (change("curves", '{"loss": [[1, "x"]]}', 0), "column curves: a point's value must be a finite number"),
    "a point twice": (
        change("curves", '{"loss": [[1, 0.5], [1, 0.25]]}', 0),
        "row 2, column curves: loss has two points of iteration 1",
    ),
    "unmeasured": (change("unmeasured", '{"cells": [1]}', 0), "column unmeasured: it must be a JSON object"),
    "no facts": (without("cell_facts"), "neither the file (column cell_facts) nor the database says what cell"),
    "no training": (without("training_facts"), "(column training_facts) nor the database says what training"),
    "no counts": (without("n_correct", "number"), "all.csv: there is no column number, n_correct; commas"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_field_is_one_line(case, all_rows, bench, cell, write):
    spoil, said = WRONG[case]
    spoil(all_rows)
    write("all.csv", all_rows)
    ran = bench("import", "all.csv", "--out", "again")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran
    assert ran.err.startswith("bench: error: all.csv")
    assert said.replace("CELL", cell.key) in ran.err
    assert len(ran.err) < 400
    assert not Path("again").exists()


def test_an_identity_that_was_changed_is_found(all_rows, bench, cell, write):
    facts = json.loads(all_rows[0]["cell_facts"])
    facts["identity"]["setting"]["n_shot"] = 2
    all_rows[0]["cell_facts"] = json.dumps(facts)
    write("all.csv", all_rows)
    assert re.search(f"is that of cell [0-9a-f]+, not {cell.key}", bench("import", "all.csv", "--out", "again").err)


def test_rows_that_contradict_each_other_are_found(all_rows, bench, write):
    for column in ("cell_facts", "training_facts", "curves"):
        rows = [dict(row) for row in all_rows]
        rows[1]["training_facts"] = rows[0]["training_facts"]  # whose curves they are
        more = {"seconds": [[1, 77.0]] if column == "curves" else 77.0}
        rows[1][column] = json.dumps(json.loads(rows[0][column]) | more)
        write("all.csv", rows)
        assert f"row 3, column {column}: it differs from what" in bench("import", "all.csv", "--out", "again").err


HEADER = b"cell_key,number,episode_id,n_correct,n_queries\n"


NO_TABLES = {
    "empty": (b"", "it is empty"),
    "blank": (b"\n\n\n", "it is empty"),
    "only a header": (HEADER, "it has no rows"),
    "blanks": (HEADER.replace(b",", b" "), "there is no column cell_key, number, episode_id, n_correct, n_queries"),
    "twice": (HEADER.replace(b"\n", b",number\n"), "the column 'number' is there twice"),
    "too few": (HEADER + b"a,b\n", "row 2: 2 fields, but the header has 5"),
    "too many": (HEADER + b"a,b,c,d,e,f\n", "row 2: 6 fields, but the header has 5"),
    "cut in a field": (HEADER + b'a,b,c,d,"e', "row 2: it is not CSV"),
    "quotes": (HEADER + b'"a"b,b,c,d,e\n', "row 2: it is not CSV"),
    "latin-1": (HEADER + "ä,b,c,d,e\n".encode("latin-1"), "it is not UTF-8 text"),
    "utf-16": ("cell_key,number".encode("utf-16"), "it is not UTF-8 text"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "it is not UTF-8 text"),
    "NULs": (bytes(1000), "there is no column"),
    "a database": (b"SQLite format 3\0" + bytes(100), "there is no column"),
    "half a Parquet": (b"PAR1" + bytes(100), "it is not a complete Parquet file"),
    "little Parquet": (b"PAR1", "it is not a complete Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_TABLES)
def test_what_is_no_table_is_one_line(case, tmp_path, monkeypatch, bench):
    monkeypatch.chdir(tmp_path)
    content, said = NO_TABLES[case]
    Path("x.csv").write_bytes(content)
    ran = bench("import", "x.csv")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1), ran
    assert ran.err.startswith("bench: error: x.csv")
    assert said in ran.err
    assert not Path("out").exists()


def test_stdin_is_a_table_too(filled, bench, monkeypatch):
    bench("export", "-o", "x.csv")
    for content, code, said in ((Path("x.csv").read_bytes(), 0, ""), (b"a,b\n1", 2, "bench: error: stdin: ")):
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
            ran = bench("import", "-", "--out", "other")
        assert (ran.code, ran.err[: len(said)]) == (code, said), ran
    assert bench("compare", "out", "other").out.count("equal counts\n") > 0


def test_files_that_are_none_are_one_line(filled, bench):
    Path("folder").mkdir()
    for name in ("nowhere.csv", "folder", "/dev/null"):
        ran = bench("import", name)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "there is no such file" in ran.err


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("n_correct", 1.5, "'1.5' is no whole number"),
        ("n_correct", "five", "'five' is no whole number"),
        ("episode_id", None, "it is empty"),
        ("number", -1, "'-1' is negative"),
        ("answers", "y", "'y' is not x and hex digits"),
    ],
)
def test_a_parquet_file_with_wrong_values_names_row_and_column(column, value, said, filled, bench):
    bench("export", "-o", "all.parquet")
    table = pd.read_parquet("all.parquet").astype({column: object})
    if isinstance(value, str):
        table[column] = table[column].astype(str)
    table.loc[2, column] = value
    table.to_parquet("x.parquet")
    ran = bench("import", "x.parquet", "--out", "again")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert f"x.parquet, row 3, column {column}: {said}" in ran.err
