"""`bench export` and `bench import`: the same database comes back."""

import csv
import io
import json
import lzma
import os
import re
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.results.exchange import export as exchange
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.snapshot import Snapshot, snapshot

OURS = "out/results.sqlite"
WEIGHTS = "c" * 64


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_a_database_comes_back_as_it_was(name, filled, bench, stored):
    ran = bench("export", "-o", name)
    assert (ran.code, ran.out, ran.err) == (0, "", f"{name}: 11 episodes\n")
    ran = bench("import", name, "--out", "again")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "imported: 3 cells new, 0 extended, 0 equal",
        "trainings: 3 new",
        "no weights came for 1 training: `bench replay` of such cells will need --retrain",
    ]
    assert stored(OURS) == stored("again/results.sqlite")
    assert bench("export", "--out", "again", "-o", f"again.{name}").code == 0
    assert Path(f"again.{name}").read_bytes() == Path(name).read_bytes()
    lines = [bench("status", "--out", out).out.splitlines() for out in ("out", "again")]
    assert lines[0][:3] == lines[1][:3]
    assert bench("import", name).out.startswith("imported: nothing new; 2 cells equal\n11 equal episodes of the same")


def test_a_packed_file_is_read_as_it_is_and_a_cut_one_is_one_line(filled, bench, stored):
    bench("export", "-o", "all.csv")
    Path("all.csv.xz").write_bytes(lzma.compress(Path("all.csv").read_bytes()))
    assert bench("import", "all.csv.xz", "--out", "again").code == 0
    assert stored(OURS) == stored("again/results.sqlite")
    Path("cut.csv.xz").write_bytes(Path("all.csv.xz").read_bytes()[:200])
    cut = bench("import", "cut.csv.xz", "--out", "cut")
    assert (cut.code, len(cut.err.splitlines())) == (2, 1)
    assert cut.err.startswith("bench: error: cut.csv.xz: cannot be read: ")


def test_the_columns_are_what_their_description_says(filled, bench, cell, episode):
    table = pd.read_csv(io.StringIO(bench("export").out))
    assert list(table.columns) == list(exchange.LongRow._fields)
    for column in table.columns:
        assert re.search(rf"\b{column}\b", exchange.__doc__), column
        assert re.search(rf"\b{column}\b", bench("export", "--help").out), column
    of_cell = table[table.cell_key == cell.key]
    assert of_cell.number.tolist() == list(range(6))
    assert of_cell.n_correct.tolist() == [0, 1, 2, 3, 4, 5]
    assert {str(table[name].dtype) for name in ("number", "n_correct", "n_queries", "n_way", "seed")} == {"int64"}
    assert set(table.weights) == {WEIGHTS}
    assert of_cell.answers.tolist()[1] == f"x{episode(1).answers.hex()}"
    assert pd.isna(of_cell.answers.tolist()[0])  # it was not kept
    assert table.cell_facts.notna().tolist() == [i in (0, 6) for i in range(11)]
    assert table.curves.notna().tolist() == table.unmeasured.notna().tolist() == [i == 0 for i in range(11)]
    runs = json.loads(of_cell.cell_facts.iloc[0])["runs"]
    assert [(first, made["command"]) for first, made in runs] == [(0, "bench run 1"), (3, "bench run 2")]


def test_some_cells_alone(filled, bench, cell, other_cell):
    rows = list(csv.DictReader(io.StringIO(bench("export", "-k", "5s").out)))
    assert {row["cell_key"] for row in rows} == {other_cell.key}
    assert "unmeasured" in rows[0]
    assert rows[0]["unmeasured"] == ""
    rows = list(csv.DictReader(io.StringIO(bench("export", "-k", "5s or protonet").out)))
    assert "it diverged" in rows[0]["unmeasured"]
    for words, code, said in ((["-k", "nothing"], 5, "no episode to export"), (["-k", "a and"], 2, "expected a word")):
        ran = bench("export", *words, "-o", "none.csv")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
        assert said in ran.err
    assert not Path("none.csv").exists()
    assert bench("export", "-k", "nothing").out == ""


def test_an_import_is_known_as_one(filled, bench, cell):
    bench("export", "-o", "all.csv")
    bench("import", "all.csv", "--out", "again")
    shown = bench("show", cell.key, "--out", "again").out
    assert re.search(r"^imported from +all\.csv, SHA-256 [0-9a-f]{64}$", shown, re.M)
    assert re.search(r"^run +\S+  bench import all\.csv --out again$", shown, re.M)
    assert re.search(r"^made by +bench run 2$", shown, re.M)
    assert re.search(r"^made at +2026-01-02", shown, re.M)
    assert re.search(rf"^code +{'c' * 40} with uncommitted changes$", shown, re.M)
    assert "bench import all.csv" in bench("status", "--out", "again").out
    runs = Reader("again/results.sqlite").runs_behind([cell.key])
    assert sorted(made["facts"]["made by"] for made in runs) == ["bench run 1", "bench run 2"]


def test_text_that_a_spreadsheet_would_compute_is_disarmed_and_comes_back(filled, bench, cell, episode, read, run):
    odd = replace(cell, variant='=HYPERLINK("x")', setting=Setting(4, 2, 3))
    run(OURS, 3).record_episodes(odd, "+1\nä,;", "command", [episode(0)], 1.0)
    bench("export", "-o", "all.csv")
    (row,) = (row for row in read("all.csv") if row["cell_key"] == odd.key)
    assert (row["variant"], row["label"]) == ('\'=HYPERLINK("x")', "'+1\nä,;")
    assert bench("import", "all.csv", "--out", "again").code == 0
    bench("export", "-o", "all.parquet")
    assert '=HYPERLINK("x")' in set(pd.read_parquet("all.parquet").variant)
    for name in ("all.csv", "all.parquet"):
        assert bench("import", name, "--out", "again").code == 0
    assert [c["variant"] for c in Reader("again/results.sqlite").all_cells() if c["key"] == odd.key] == [odd.variant]


def test_cells_are_read_one_by_one(filled):
    """Memory does not grow with the number of cells."""
    asked = []

    class Watched(Snapshot):
        def episodes(self, cell):
            asked.append(cell["key"])
            return super().episodes(cell)

    with snapshot(OURS) as whole:
        rows = exchange.long_rows(Watched(OURS, whole._c))
        next(rows)
        assert len(asked) == 1
        assert len(list(rows)) == 10
        assert len(asked) == 2


def test_a_damaged_database_is_not_exported(filled, bench, cell):
    connection = sqlite3.connect(OURS)
    connection.execute("UPDATE episodes SET n_correct = 12 WHERE number = 1")
    connection.commit()
    connection.close()
    Path("all.csv").write_text("from yesterday")
    ran = bench("export", "-o", "all.csv")
    assert (ran.code, len(ran.err.splitlines())) == (6, 1)
    assert "do not match their checksum" in ran.err
    assert Path("all.csv").read_text() == "from yesterday"
    assert sorted(p.name for p in Path().iterdir()) == ["all.csv", "out"]


def test_where_an_export_cannot_go(filled, bench, monkeypatch):
    Path("folder").mkdir()
    for target in ("folder", "nowhere/x.csv", "/dev/full"):
        ran = bench("export", "-o", target)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran
        assert "cannot be written" in ran.err
    assert bench("export", "-o", "/dev/null").code == 0
    assert "name its format with --format" in bench("export", "-o", "x.xlsx").err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for words in (["export", "-o", "x.parquet"], ["export", "--format", "parquet"]):
        ran = bench(*words)
        assert (ran.code, ran.out) == (2, "")
        assert "pip install 'fewshot-bench[parquet]'" in ran.err
    Path("x.parquet").write_bytes(b"PAR1")
    assert "pip install 'fewshot-bench[parquet]'" in bench("import", "x.parquet").err


def test_no_room_for_temporary_files(filled, bench, monkeypatch, tmp_path):
    """The output's own folder has room: that was said to be full."""
    assert bench("export", "-o", "all.csv").code == 0
    with monkeypatch.context() as full:
        full.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("w+b"))  # noqa: SIM115
        ran = bench("export", "-o", "x.csv")
    said = "bench: error: no temporary file can be written ({}): let TMPDIR name a folder that has room\n"
    assert (ran.code, ran.err) == (2, said.format("No space left on device"))
    for words in (("export", "-o", "x.csv"), ("import", "all.csv")):
        with monkeypatch.context() as missing:
            missing.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
            ran = bench(*words)
        assert (ran.code, ran.err) == (2, said.format("No such file or directory"))


@pytest.fixture
def piped(place):
    """What `bench export WORDS | head -c N` gives; it is right that the pipe breaks."""

    def read(*words: str, n_bytes: int) -> bytes:
        reader, writer = os.pipe()
        exporting = place.begin("export", *words, out=writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read(n_bytes)
        assert (exporting.wait(), exporting.communicate()[1]) == (0, "")
        return said

    return read


def test_a_reader_that_has_enough_is_no_error(filled, piped):
    assert piped(n_bytes=17) == b"cell_key,variant,"


def test_a_reader_that_wants_nothing_is_no_error(filled, piped, run, episode, cell):
    """More than any buffer holds, so that it breaks in the middle."""
    run(OURS, 3).record_episodes(cell, "label", "bench run", [episode(i) for i in range(6, 4000)], 1.0)
    assert piped(n_bytes=0) == b""


def test_parquet_through_a_pipe(filled, piped):
    assert len(pd.read_parquet(io.BytesIO(piped("--format", "parquet", n_bytes=-1)))) == 11
