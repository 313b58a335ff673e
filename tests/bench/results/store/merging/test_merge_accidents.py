"""`bench merge`: damaged, old and foreign files, kills and failures, and the checkpoints."""

import hashlib
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_bench.results.store import Reader, merging
from fewshot_bench.results.store.comparing import compare

OURS, OTHER = "out/results.sqlite", "other/results.sqlite"
WEIGHTS = hashlib.sha256(b"\x02\0\0\0\0\0\0\0{}").hexdigest()


# a process that merges, and is killed when the second cell has been written and much of it is in the file already
KILLED = """
import os, signal, sys
from fewshot_bench.results.store import merging
take, calls = merging._Transfer._take_cell, []
def killed(self, *arguments):
    self._c.exec_driver_sql("PRAGMA cache_size=2")
    take(self, *arguments)
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
merging._Transfer._take_cell = killed
merging.merge(*sys.argv[1:3])
"""


@pytest.mark.parametrize(("damaged", "empty"), [(OTHER, False), (OTHER, True), (OURS, False)])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE episodes SET n_correct = 12 WHERE number = 1",
        "DELETE FROM episodes WHERE number = 0",
        "UPDATE cells SET sha256 = '0000000000000000000000000000000000000000000000000000000000000000'",
    ],
)
def test_a_damaged_side_is_refused_by_the_name_of_the_cell(
    damaged, empty, change, store, bench, cell, episode, edit, reseal
):
    if not empty:
        store(OURS)
    store(OTHER, (cell, [episode(i) for i in range(6)]))
    edit(damaged, change)
    reseal(damaged)
    before = {path: Path(path).read_bytes() for path in (OURS, OTHER) if Path(path).exists()}
    ran = bench("merge", OTHER)
    assert (ran.code, ran.out) == (6, "")
    assert f"{damaged}: the episodes of cell {cell.key} ({cell.name}) do not match their checksum" in ran.err
    assert {path: Path(path).read_bytes() for path in (OURS, OTHER) if Path(path).exists()} == before


def test_rows_without_their_origin_are_refused(store, bench, edit, cell):
    store(OTHER)
    edit(OTHER, "DELETE FROM trainings")
    ran = bench("merge", OTHER)
    assert (ran.code, len(ran.err.splitlines())) == (6, 1)
    assert f"cells {cell.key}, column training_key: it names {cell.training.key!r} of trainings" in ran.err


def test_checkpoints_are_copied_when_they_are_whole(store, bench, cell):
    store(OTHER)
    there, here = Path("other/checkpoints"), Path("out/checkpoints")
    there.mkdir()
    (there / f"{WEIGHTS}.safetensors").write_bytes(b"damaged")
    assert "no weights came for 1 training" in bench("merge", OTHER, "-n").out
    (there / f"{WEIGHTS}.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert "weights of 1 training copied" in bench("merge", OTHER).out
    assert [(p.name, p.read_bytes()) for p in here.iterdir()] == [(f"{WEIGHTS}.safetensors", b"\x02\0\0\0\0\0\0\0{}")]
    (here / f"{WEIGHTS}.safetensors").unlink()
    again = bench("merge", OTHER).out  # a merge that was interrupted after its database was written
    assert again.startswith("merged: nothing new;")
    assert "weights of 1 training copied" in again
    assert "copied" not in bench("merge", OTHER).out


def test_a_forbidden_merge_copies_no_checkpoint(store, bench, cell, episode):
    store(OURS)
    store(OTHER, (cell, [episode(0, 7)]))
    Path("other/checkpoints").mkdir()
    Path(f"other/checkpoints/{WEIGHTS}.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert bench("merge", OTHER).code == 6
    assert not Path("out/checkpoints").exists()


def test_a_name_of_weights_that_is_no_name_copies_nothing(store, bench, tmp_path, edit, reseal):
    store(OTHER)
    Path("secret.safetensors").write_bytes(b"secret")
    for name in ("../../secret", "a\0b"):
        edit(OTHER, "UPDATE trainings SET checkpoint = ?", name)
        reseal(OTHER)
        ran = bench("merge", OTHER)
        assert ran.code == 6
        assert "column checkpoint: " in ran.err
        assert "is not 64 hex digits" in ran.err
        assert [p.name for p in tmp_path.rglob("*.safetensors")] == ["secret.safetensors"]


def test_an_older_database_is_read_and_left_as_it_is(store, bench, make_old):
    store(OTHER)
    make_old(OTHER)
    before = Path(OTHER).read_bytes()
    assert bench("merge", OTHER).out.startswith("merged: 1 cell new")
    assert Path(OTHER).read_bytes() == before
    assert not list(Path("other").glob("*-journal"))


def test_our_older_database_is_upgraded_only_when_something_is_merged(store, bench, cell, episode, counts, make_old):
    store(OURS)
    make_old(OURS)
    before = Path(OURS).read_bytes()
    store(OTHER, (cell, [episode(0, 7)]))
    assert bench("merge", OTHER).code == 6
    store("third/results.sqlite", (cell, [episode(0)]))
    assert bench("merge", "third").code == 0
    assert Path(OURS).read_bytes() == before
    store("third/results.sqlite", (cell, [episode(i) for i in range(5)]))
    assert bench("merge", "third").code == 0
    assert counts(OURS, cell.key) == [0, 1, 2, 3, 4]


def test_what_cannot_be_merged_is_one_line(store, bench, tmp_path, monkeypatch, edit):
    store(OURS)
    store(OTHER)
    Path("link.sqlite").symlink_to(OURS)
    Path("empty").mkdir()
    Path("text.sqlite").write_text("no database" * 1000)
    make_foreign = sqlite3.connect("photos.sqlite")
    make_foreign.execute("CREATE TABLE photos (id)")
    make_foreign.close()
    edit(OTHER, "UPDATE alembic_version SET version_num = '9999'")
    before = Path(OURS).read_bytes()
    wrong = {
        "out": (2, "is our own database"),
        OURS: (2, "is our own database"),
        "link.sqlite": (2, "is our own database"),
        f"sqlite:///{OURS}": (2, "is our own database"),
        "nowhere.sqlite": (2, "there is no such file"),
        "empty": (2, "there is no such file"),
        "text.sqlite": (6, "no SQLite database"),
        "photos.sqlite": (6, "another program's database"),
        "mysql://host/db": (2, "mysql cannot be used"),
        "://": (2, "neither a path nor"),
        OTHER: (6, "schema 9999"),
    }
    for other, (code, said) in wrong.items():
        ran = bench("merge", other)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1), ran
        assert said in ran.err
    assert Path(OURS).read_bytes() == before


def test_urls_and_bench_db_name_databases_too(store, bench, tmp_path, monkeypatch, measured):
    store(OTHER)
    monkeypatch.setenv("BENCH_DB", f"sqlite:///{tmp_path}/mine.sqlite")
    assert bench("merge", f"sqlite:///{tmp_path}/{OTHER}").code == 0
    assert measured("mine.sqlite") == measured(OTHER)


def test_a_merge_that_is_killed_changes_nothing(store, bench, cell, measured, many_cells, processes):
    store(OURS, *many_cells(cell, 4, 2))
    store(OTHER, *many_cells(cell, 4, 300))
    before, clean = measured(OURS), Path(OURS).read_bytes()
    assert processes.begin(KILLED, OURS, OTHER).wait() == -signal.SIGKILL
    assert Path(OURS).read_bytes() != clean  # so that there is something to roll back
    assert bench("status").code == 0
    assert Path(OURS).read_bytes() == clean
    assert measured(OURS) == before
    assert bench("merge", OTHER).out.startswith("merged: 0 cells new, 4 extended, 0 equal")


def test_a_merge_that_fails_at_its_end_changes_nothing(store, bench, cell, monkeypatch, measured, many_cells):
    store(OURS, *many_cells(cell, 2, 2))
    store(OTHER, *many_cells(cell, 3, 5))
    before = measured(OURS)

    def breaks(self, compared, _):
        if compared.key == many_cells(cell, 3, 0)[-1][0].key:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(merging._Transfer, "_take_answers", breaks)
    ran = bench("merge", OTHER)
    assert (ran.code, ran.out) == (6, "")
    assert "the disk is full; make room" in ran.err
    assert measured(OURS) == before


def test_a_result_that_comes_while_we_compare_is_not_overwritten(store, bench, cell, monkeypatch, episode, counts):
    """The second comparison is made when nobody else can write."""
    store(OTHER, (cell, [episode(i) for i in range(4)]))
    store(OURS, (cell, [episode(0)]))
    original, calls = compare, []

    def then_someone_writes(ours, theirs):
        found = original(ours, theirs)
        calls.append(found)
        if len(calls) == 1:
            store("rival/results.sqlite", (cell, [episode(0), episode(1, 9)]))
            Path("rival/results.sqlite").replace(OURS)
        return found

    monkeypatch.setattr(merging, "compare", then_someone_writes)
    ran = bench("merge", OTHER)
    assert len(calls) == 2
    assert ran.code == 6
    assert "ours 9/12  theirs 1/12" in ran.out
    assert counts(OURS, cell.key) == [0, 9]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=2))
def test_the_order_of_merging_does_not_matter(lengths, store, cell, tmp_path_factory, episode, many_cells):
    """Whatever both sides hold of the same bank, the union holds the longer of each cell, from either side."""
    folder = tmp_path_factory.mktemp("both")
    one, two = str(folder / "1.sqlite"), str(folder / "2.sqlite")
    cells = [of for of, _ in many_cells(cell, len(lengths), 0)]
    for where, side, machine in ((one, 0, "A"), (two, 1, "B")):
        store(where, *((c, [episode(i) for i in range(n[side])]) for c, n in zip(cells, lengths, strict=True)),
              machine=machine)  # fmt: skip
    unions = [str(folder / name) for name in ("12.sqlite", "21.sqlite")]
    for into, order in zip(unions, ((one, two), (two, one)), strict=True):
        for other in order:
            assert not merging.merge(into, other).forbidden
    found = [Reader(where).episodes([c.key for c in cells]) for where in unions]
    assert found[0] == found[1]
    assert [len(found[0][c.key]) for c in cells] == [max(n) for n in lengths]
