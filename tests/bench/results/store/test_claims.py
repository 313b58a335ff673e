"""Claims on units of work: one owner at a time, and a dead one's are taken over without a clock of the world."""

import subprocess
import sys
import time

import pytest
from sqlalchemy import select

from fewshot_bench import machine
from fewshot_bench.results.store import Claims, Reader, claiming
from fewshot_bench.results.store.schema import owners
from fewshot_bench.tables.scores import EpisodeResult

UNIT, OTHER = ("training", "a" * 16), ("training", "b" * 16)


def counter(claims: Claims) -> int:
    with claims.engine.begin() as c:
        return max(row.counter for row in c.execute(select(owners)))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, where) -> str:
    return where if request.param == "sqlite" else request.getfixturevalue("new_database")()


@pytest.fixture
def make(place, provenance, monkeypatch):
    """A process's claims; elsewhere: of another machine."""
    from fewshot_bench.results.store import Writer

    run_id = Writer(place, provenance).run_id

    def claims(elsewhere: bool = False) -> Claims:
        with monkeypatch.context() as patched:
            if elsewhere:
                patched.setattr(machine, "host", lambda: "elsewhere-00000000")
            made = Claims(place, run_id)
            made._beat()
        return made

    return claims


def test_a_unit_has_one_owner_at_a_time(make):
    a, b = make(), make()
    assert a.claim(UNIT, "transfer s0") == claiming.UnitState()
    assert b.claim(UNIT, "transfer s0") is None
    assert a.claim(UNIT, "transfer s0") is not None  # again
    assert list(b.of_others()) == [" ".join(UNIT)]
    assert a.of_others() == {}
    a.release(UNIT)
    assert b.claim(UNIT, "transfer s0") is not None
    a.release(UNIT)  # not ours any more
    assert a.claim(UNIT, "transfer s0") is None


def test_whoever_claims_learns_how_far_it_is(make, place, provenance, cell, store_cell):
    from fewshot_bench.experiment.records import TrainingProgress
    from fewshot_bench.results.store import Writer

    writer, a = Writer(place, provenance), make()
    store_cell(writer, [EpisodeResult(i, f"{i:016x}", 1, 12) for i in range(3)])
    writer.finish_training(cell.training, TrainingProgress(1, 1, 1.0, 1, "cpu"), "c" * 64)
    assert a.claim(("cell", cell.key), "").n_episodes == 3
    state = a.claim(("training", cell.training.key), "")
    assert (state.state, state.checkpoint) == ("finished", "c" * 64)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that this process's clock shows, in a list; the world's stands still."""
    seconds = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(claiming, "now", lambda: "1970-01-01T00:00:00+00:00")
    return seconds


def test_an_owner_whose_counter_stands_still_is_dead(make, clock):
    a, b = make(elsewhere=True), make()
    a.claim(UNIT, "")
    for moment in range(0, 91, 10):
        clock[0] = float(moment)
        if moment <= 60:
            a._beat()
        b.bury_the_dead()
        assert b.claim(UNIT, "") is None
    clock[0] = 91.0  # 31 s after the last beat was seen
    b.bury_the_dead()
    assert b.claim(UNIT, "") is not None


def test_who_was_taken_for_dead_goes_on(make, clock):
    a, b = make(elsewhere=True), make()
    a.claim(UNIT, "")
    for moment in range(0, 50, 10):
        clock[0] = float(moment)
        b.bury_the_dead()
    assert a.claim(OTHER, "") is not None  # even before its next beat
    assert b.claim(OTHER, "") is None
    assert b.claim(UNIT, "") is not None
    a._beat()
    assert a.claim(UNIT, "") is None


def test_time_in_which_nobody_looked_is_no_evidence(make, clock):
    """The server was away for both, or the waiter itself slept."""
    a, b = make(elsewhere=True), make()
    a.claim(UNIT, "")
    for moment in (0.0, 2.0, 1000.0, 1001.0):
        clock[0] = moment
        b.bury_the_dead()
        assert b.claim(UNIT, "") is None


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(make, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    with monkeypatch.context() as patched:
        patched.setattr(machine, "process", lambda: f"{ended.pid}-1")
        a = make()
    b = make()
    a.claim(UNIT, "")
    b.bury_the_dead()
    assert b.claim(UNIT, "") is not None


def test_kept_claims_count_on_and_are_given_back(make, place, monkeypatch):
    monkeypatch.setattr(claiming, "BEAT_SECONDS", 0.05)
    a, b = make(), make()
    with a.kept():
        a.claim(UNIT, "transfer s0")
        (held,) = Reader(place).counts().at_work
        assert held["name"] == "transfer s0"
        assert held["who"] == machine.in_words(machine.host(), machine.process())
        patience = time.monotonic() + 600
        while counter(b) <= 2:
            assert time.monotonic() < patience
            time.sleep(0.05)
    assert Reader(place).counts().at_work == []
    assert b.claim(UNIT, "") is not None
