"""`bench db`: what is wrong with a database is named, and what is whole in it is taken."""

import hashlib
import random
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fewshot_bench.experiment.records import Answers, TrainingProgress
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.results.store.checksums import EDITED
from fewshot_bench.results.store.salvage import examine, salvage
from fewshot_bench.tables.scores import EpisodeResult

OURS, NEW = "out/results.sqlite", "new.sqlite"


def results(n: int) -> list[EpisodeResult]:
    return [EpisodeResult(i, f"{i:016x}", i % 12, 12, Answers(bytes([i % 4] * 12))) for i in range(n)]


def edit(where: str, statement: str) -> None:
    with closing(sqlite3.connect(where)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.fixture
def filled(tmp_path, monkeypatch, cell, other_cell, store_cell, provenance) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    writer = Writer(OURS, provenance)
    store_cell(writer, results(40))
    store_cell(writer, results(30), other_cell)
    writer.record_progress(cell.training, TrainingProgress(10, 10, 1.0, 5, "cpu"), {"loss": 2.0})
    writer.end_run(0)
    return OURS


def test_a_whole_database_is_called_whole_and_comes_over_as_it_is(filled, bench, cell, other_cell):
    assert bench("db", "check").out == "whole: 1 runs, 1 trainings, 2 cells, 70 episodes\n"
    ran = bench("db", "salvage", NEW)
    assert (ran.code, ran.out) == (0, "")
    counts = "1 runs, 1 trainings, 2 cells, 70 episodes"
    assert ran.err == f"{NEW}: {counts}, of {counts}\n"
    keys = [cell.key, other_cell.key]
    old, new = Reader(OURS), Reader(NEW)
    assert old.cells() == new.cells()
    assert old.trainings() == new.trainings()
    assert old.episodes(keys) == new.episodes(keys)
    assert old.answers(keys) == new.answers(keys)
    assert old.curves([cell.training.key]) == new.curves([cell.training.key])
    assert not examine(NEW).damage


def test_a_limit_on_files_is_told_and_the_same_command_goes_on(filled, bench):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        ran = bench("db", "salvage", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (ran.code, ran.err.count("\n")) == (6, 1)
    assert f"{NEW}: disk I/O error: a quota or a limit on files is reached" in ran.err
    assert bench("db", "salvage", NEW).code == 0


@pytest.mark.parametrize(
    ("change", "said", "n_left"),
    [
        ("UPDATE cells SET variant = 'better' WHERE n_shot = 1", "what is stored of cell {cell}", 1),
        (
            "UPDATE episodes SET n_correct = 3 WHERE cell_key = '{cell}' AND number = 1",
            "the episodes of cell {cell}",
            1,
        ),
        ("UPDATE answers SET labels = x'00' WHERE cell_key = '{cell}'", "the answers of cell {cell}", 2),
        ("UPDATE curves SET value = 1", "the curves of training {training}", 2),
        ("DELETE FROM cells WHERE n_shot = 1", "{cell}", 1),
        ("DELETE FROM episodes WHERE cell_key = '{cell}' AND number = 39", "the episodes of cell {cell}", 1),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_taken(change, said, n_left, filled, bench, cell, other_cell):
    names = {"cell": cell.key, "training": cell.training.key}
    edit(filled, change.format(**names))
    ran = bench("db", "check")
    assert ran.code == 6
    assert said.format(**names) in ran.out
    assert "bench db salvage" in ran.err
    before = Path(filled).read_bytes()
    ran = bench("db", "salvage", NEW)
    assert ran.code == 0
    assert said.format(**names) in ran.out
    assert Path(filled).read_bytes() == before
    left = Reader(NEW)
    assert len(left.cells()) == n_left
    assert left.episodes([other_cell.key])[other_cell.key] == tuple(
        EpisodeResult(r.number, r.episode_id, r.n_correct, r.n_queries) for r in results(30)
    )
    assert not examine(NEW).damage


def test_a_file_with_a_zeroed_page_gives_what_can_be_read(filled, bench):
    content = bytearray(Path(filled).read_bytes())
    content[-8192:-4096] = bytes(4096)
    Path(filled).write_bytes(content)
    ran = bench("db", "check")
    assert (ran.code, "Traceback" in ran.err) == (6, False)
    assert ran.out
    assert bench("db", "salvage", NEW).code in (0, 6)


def pages_of(where: str, table: str) -> list[int]:
    """Where the leaves of a table begin in a file, in the order of its rows."""
    content, pages = Path(where).read_bytes(), []
    with closing(sqlite3.connect(where)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    at = (root - 1) * 4096
    assert content[at] == 5  # an inner page: there are several leaves
    for number in range(int.from_bytes(content[at + 3 : at + 5])):
        cell = at + int.from_bytes(content[at + 12 + 2 * number : at + 14 + 2 * number])
        pages.append((int.from_bytes(content[cell : cell + 4]) - 1) * 4096)
    return [*pages, (int.from_bytes(content[at + 8 : at + 12]) - 1) * 4096]


def test_what_lies_between_two_damaged_pages_is_read(filled, other_cell, store_cell, provenance):
    store_cell(Writer(filled, provenance), results(1000), other_cell)
    content, leaves = bytearray(Path(filled).read_bytes()), pages_of(filled, "episodes")
    whole = examine(filled).n_stored["episodes"]
    assert len(leaves) > 4
    for at in (leaves[1], leaves[-2]):
        content[at : at + 4096] = bytes(4096)
    Path(filled).write_bytes(content)
    found = examine(filled)
    assert any("the table episodes cannot be read to its end" in line for line in found.damage)
    assert found.n_stored["episodes"] > whole * (len(leaves) - 2.5) / len(leaves)


def test_a_file_whose_end_is_cut_off_gives_what_is_left(filled, bench, cell, other_cell):
    """SQLite itself reads nothing of it."""
    content = Path(filled).read_bytes()
    Path(filled).write_bytes(content[:-5000])
    with closing(sqlite3.connect(filled)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT * FROM runs").fetchall()
    assert bench("db", "salvage", NEW).code == 0
    assert Path(filled).read_bytes() == content[:-5000]
    assert Reader(NEW).cells().keys() <= {cell.key, other_cell.key}
    assert not examine(NEW).damage


def test_an_existing_file_is_not_written(filled, bench):
    Path(NEW).write_text("mine")
    ran = bench("db", "salvage", NEW)
    assert (ran.code, "name a new file" in ran.err) == (6, True)
    assert Path(NEW).read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 300, "file/new.sqlite"])
def test_a_file_that_cannot_be_made_is_one_line(name, filled, bench):
    Path("file").touch()
    ran = bench("db", "salvage", name)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)
    assert ran.err.startswith(f"bench: error: {name.partition('/')[0]}: ")


def test_a_damaged_file_may_be_the_one_named(filled, bench):
    Path(filled).rename("damaged.sqlite")
    assert bench("db", "salvage", "damaged.sqlite").code == 0
    assert bench("db", "check").code == 0


@pytest.mark.parametrize("change", ["UPDATE runs SET command = 'x' WHERE id = 1", "DELETE FROM runs WHERE id = 1"])
def test_results_outlive_the_row_of_their_run(change, filled, bench, cell, other_cell):
    wanted = Reader(filled).episodes([cell.key, other_cell.key])
    edit(filled, change)
    ran = bench("db", "salvage", NEW)
    assert ran.code == 0
    assert "run 1 is missing or damaged: its command and facts are lost" in ran.out
    left = Reader(NEW)
    assert left.episodes([cell.key, other_cell.key]) == wanted
    assert left.cell(cell.key).run["facts"] == {"run": "its record was damaged"}
    assert not examine(NEW).damage


def test_weights_in_the_database_are_looked_at_and_taken(filled, bench, provenance):
    contents = [b"of one training", b"of another"]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    writer = Writer(filled, provenance)
    for name, content in zip(names, contents, strict=True):
        writer.keep_weights(name, content)
    edit(filled, f"UPDATE weights SET content = x'00' WHERE sha256 = '{names[0]}'")  # noqa: S608
    ran = bench("db", "check")
    assert (ran.code, f"the weights {names[0]} do not match their SHA-256" in ran.out) == (6, True)
    assert bench("db", "salvage", NEW).code == 0
    assert [Reader(NEW).weights(name) for name in names] == [None, contents[1]]


@pytest.mark.parametrize(
    ("table", "column"),
    [("curves", "training_key"), ("episodes", "cell_key"), ("cells", "key"), ("episodes", "number")],
)
def test_a_column_that_lost_its_name_is_no_traceback(table, column, filled, bench):
    edit(filled, f"ALTER TABLE {table} RENAME COLUMN {column} TO lost")
    ran = bench("db", "check")
    assert (ran.code, EDITED in ran.out, "Traceback" in ran.err) == (6, True, False)
    assert bench("db", "salvage", NEW).code == 0


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_databases_of_older_versions_are_looked_at_too(revision, filled, make_old, bench):
    make_old(filled, revision)
    ran = bench("db", "check")
    assert (ran.code, ran.out) == (6, "")  # old, and not damaged
    assert "its schema is old; `bench run` on it upgrades it" in ran.err
    salvage(filled, Path(NEW))
    assert len(Reader(NEW).cells()) == 2


def test_postgresql_is_examined(new_database, provenance, cell, store_cell, tmp_path):
    where = new_database()
    store_cell(Writer(where, provenance), results(5))
    assert not examine(where).damage
    salvage(where, tmp_path / NEW)
    assert Reader(str(tmp_path / NEW)).cells().keys() == {cell.key}


def test_no_flipped_bit_ends_in_a_traceback_or_goes_unnoticed_where_it_is_printed(filled, tmp_path, cell, other_cell):
    """Of 30 files with a bit flipped each, at places that a seed chooses; test_strangers.py reads some in every way."""
    content, chosen = Path(filled).read_bytes(), random.Random(0)
    wanted = read(filled, cell, other_cell)
    for number in range(30):
        damaged = bytearray(content)
        damaged[chosen.randrange(100, len(content))] ^= 1 << chosen.randrange(8)
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(damaged)
        found = read(str(path), cell, other_cell)
        assert found in (wanted, None)
        examine(str(path))


def read(where: str, cell, other_cell):
    """Everything that commands print; None where that is refused in one line."""
    from fewshot_bench.errors import BenchError

    keys = [cell.key, other_cell.key]
    try:
        reader = Reader(where)
        return (
            reader.counts(), reader.cells(), reader.trainings(), reader.all_cells(), reader.episodes(keys),
            reader.answers(keys), reader.curves([cell.training.key]), reader.runs_behind(keys),
            [reader.cell(key) for key in keys],
        )  # fmt: skip
    except BenchError:
        return None
