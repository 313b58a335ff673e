"""What the driver submits, in which order, and how it ends, by an engine that does as it is told."""

import os
import signal

import pytest

from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.selection import Means, Selection
from fewshot_bench.running import events
from fewshot_bench.running.engines import driving
from fewshot_bench.running.engines.driving import drive


class Idle:
    """An engine whose jobs wait for ever, or end at once without doing anything."""

    def __init__(self, dies: bool = False) -> None:
        self.dies, self.jobs, self.cancelled = dies, [], set()

    def submit(self, job) -> None:
        self.jobs.append(job)

    def alive(self) -> set[str]:
        return set() if self.dies else {job.name for job in self.jobs} - self.cancelled

    def cancel(self, names) -> None:
        self.cancelled |= set(names)

    def close(self) -> None:
        """Nothing is held."""

    def last_words(self, name: str) -> str:
        return "no such GPU"


class Interrupting(Idle):
    """During whose first look somebody types Ctrl-C."""

    def alive(self) -> set[str]:
        if not self.jobs:
            os.kill(os.getpid(), signal.SIGINT)
        return super().alive()


@pytest.fixture
def chosen(place, new_database, monkeypatch):
    monkeypatch.setattr(driving, "LOOK_SECONDS", 0.01)
    monkeypatch.setenv("BENCH_DB", new_database())
    return choose(Selection())


def test_trainings_come_first_and_cells_wait_for_them(chosen):
    engine = Idle()
    outcome = drive(chosen, Means(threads=2), engine, print, leave=None)
    assert (outcome.code, outcome.n_left) == (0, 6)
    kinds = [job.name.split("-")[2][0] for job in engine.jobs]
    assert kinds == ["t", "t", "c", "c", "c", "c"]
    assert {job.after for job in engine.jobs[2:]} == {job.name for job in engine.jobs[:2]}
    assert all(job.words[-6:] == ("--engine", "here", "--threads", "2", "--jobs", "1") for job in engine.jobs)
    again = drive(chosen, Means(threads=2), engine, print, leave=None)
    assert (again.n_left, len(engine.jobs)) == (6, 6)  # nothing twice


def test_jobs_that_end_without_their_work_are_given_up(chosen):
    said = []
    outcome = drive(chosen, Means(), Idle(dies=True), said.append, leave=lambda n: True)
    assert (outcome.code, outcome.n_lost) == (4, 4)
    assert [type(event) for event in said] == [events.NotDone] * 2
    assert said[0].reason == "3 jobs ended without it: no such GPU"


@pytest.mark.parametrize("leave", [True, False])
def test_a_signal_asks_what_becomes_of_the_jobs(chosen, leave):
    engine, asked = Interrupting(), []

    def answer(n_jobs: int) -> bool:
        asked.append(n_jobs)
        return leave

    outcome = drive(chosen, Means(), engine, print, leave=answer)
    assert outcome.code == 130
    assert asked == [6]
    assert len(engine.cancelled) == (0 if leave else 6)
    assert outcome.n_left == (6 if leave else 0)
