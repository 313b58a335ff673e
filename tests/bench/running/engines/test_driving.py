"""What the driver submits, in which order, and how it ends, by an engine that does as it is told."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from threading import Timer

import pytest
import torch

from fewshot_bench.cli import run_screen
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment import grid
from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.selection import Means, Selection
from fewshot_bench.results.provenance import collect
from fewshot_bench.results.store import Writer
from fewshot_bench.running import engines, events
from fewshot_bench.running.engines import driving, jobs_at
from fewshot_bench.running.engines.driving import drive
from fewshot_bench.running.units import EMPTY


class Idle:
    """An engine whose jobs wait for ever, or end at once without doing anything."""

    def __init__(self, dies: bool = False) -> None:
        self.dies, self.jobs, self.cancelled, self.why, self.others = dies, [], set(), "", set()

    def submit(self, job) -> None:
        self.jobs.append(job)

    def alive(self) -> set[str]:
        return set() if self.dies else {job.name for job in self.jobs} - self.cancelled | self.others

    def held(self, names) -> str:
        return "" if self.others & set(names) else self.why * bool(names)

    def cancel(self, names) -> None:
        self.cancelled |= set(names)

    def close(self) -> None:
        """Nothing is held."""

    def last_words(self, name: str) -> str:
        return "no such GPU"


class Busy(Idle):
    """An engine that takes so many jobs and no more, and answers no second question."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.looks = most, 0

    def submit(self, job) -> None:
        if len(self.jobs) == self.most:
            raise UsageError("sbatch: QOSMaxSubmitJobPerUserLimit")
        super().submit(job)

    def alive(self) -> set[str]:
        self.looks += 1
        if self.looks == 2:
            raise UsageError("squeue did not answer")
        if self.looks == 3:
            ctrl_c()
        return super().alive()


class Watched(Idle):
    """An engine that does something when it is looked at, or has got so many jobs."""

    def __init__(self, do: Callable[[], object], jobs: int = 0) -> None:
        super().__init__()
        self.do, self.n = do, jobs

    def submit(self, job) -> None:
        super().submit(job)
        self._heed()

    def alive(self) -> set[str]:
        self._heed()
        return super().alive()

    def _heed(self) -> None:
        if len(self.jobs) == self.n:
            do, self.do = self.do, lambda: None
            do()


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def chosen(place, new_database, monkeypatch):
    monkeypatch.setattr(driving, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(driving, "LOOKING_SHARE", 1.0)
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


@pytest.mark.parametrize(("n", "leave"), [(6, True), (6, False), (1, False), (0, False)])
def test_a_signal_asks_what_becomes_of_the_jobs(chosen, n, leave):
    """Also while they are being submitted, which takes minutes where they are many."""
    engine, asked = Watched(ctrl_c, n), []

    def answer(n_jobs: int) -> bool:
        asked.append(n_jobs)
        return leave

    outcome = drive(chosen, Means(), engine, print, leave=answer)
    assert outcome.code == 130
    assert asked == [n] * bool(n)
    assert len(engine.jobs) == n
    assert len(engine.cancelled) == (0 if leave else n)
    assert outcome.n_left == (n if leave else 0)


def test_why_jobs_wait_is_told_once(chosen):
    said, engine = [], Busy(6)
    engine.why, engine.others = "PartitionTimeLimit", {"bench-0-t1"}  # another database's
    drive(chosen, Means(), engine, said.append, leave=lambda n: True)
    assert [event.text for event in said] == ["squeue did not answer", "PartitionTimeLimit"]


def test_an_engine_that_takes_no_more_or_is_away_is_asked_again(chosen):
    said, engine = [], Busy(2)
    outcome = drive(chosen, Means(), engine, said.append, leave=lambda n: True)
    assert (outcome.code, outcome.n_left, engine.looks) == (130, 2, 3)
    full = "not all jobs are submitted: sbatch: QOSMaxSubmitJobPerUserLimit"
    assert [event.text for event in said] == [full, "squeue did not answer", full]
    with pytest.raises(UsageError, match="QOSMaxSubmitJobPerUserLimit"):
        drive(chosen, Means(), Busy(0), print, leave=lambda n: True)


def test_a_driver_waits_for_a_server_that_is_away(chosen, own_server):
    """And is told to stop while it waits."""
    said, coming = [], Timer(0.5, own_server.start)

    def stop() -> None:
        own_server.stop()
        coming.start()

    assert drive(chosen, Means(), Watched(stop), said.append, leave=None).n_left == 6
    assert [type(event) for event in said] == [events.Warned]
    coming.join()

    def stop_both() -> None:
        own_server.stop()
        ctrl_c()

    try:
        assert drive(chosen, Means(), Watched(stop_both), print, leave=lambda n: True).code == 130
    finally:
        own_server.start()


@pytest.mark.parametrize("leave", [lambda n: True, None])
@pytest.mark.parametrize("n", [0, 2, 6])
def test_cancelling_ends_a_driver_that_submits_or_waits(chosen, monkeypatch, n, leave):
    """It would submit its jobs again, three times in all; and the last one came after the others were cancelled."""
    engine = Watched(lambda: jobs_at(chosen.out, "slurm", {}, cancel=True), n)
    monkeypatch.setattr(engines, "open_engine", lambda *_: nullcontext(Idle()))
    outcome = drive(chosen, Means(), engine, print, leave=leave)
    assert (outcome.code, outcome.n_left, len(engine.jobs)) == (143, 0, n)
    assert len(engine.cancelled) == bool(n)


def test_a_cell_that_waited_in_vain_is_not_given_up(chosen):
    """Its training's machine fails twice: that was no try of the cell's own."""

    class Unlucky(Idle):
        def submit(self, job) -> None:
            super().submit(job)
            if [job.name for job in self.jobs].count(job.name) == 3 and not job.after:
                writer.start_training(training)
                writer.finish_training(training, EMPTY, "a" * 64)

    chosen, writer = choose(Selection(methods=("protonet",))), Writer(chosen.database, collect("", "", 1, 1))
    training, engine = chosen.cells[0].training, Unlucky(dies=True)
    outcome = drive(chosen, Means(), engine, print, leave=lambda n: True)
    assert (outcome.code, outcome.n_lost) == (4, 2)
    assert [bool(job.after) for job in engine.jobs] == [False, True, True] * 3 + [False] * 6


def test_a_variant_that_is_left_out_is_no_success(chosen, bench, monkeypatch):
    """And its absence fails no job."""
    engine, left = Idle(), ("protonet",)
    monkeypatch.setattr(run_screen, "open_engine", lambda *_: nullcontext(engine))
    monkeypatch.setattr(grid, "without_unusable", lambda request: (replace(request, methods=left), ("it is broken",)))
    assert bench("run", "--engine", "slurm", "--detach").code == 4
    assert {job.words[job.words.index("--method") + 1] for job in engine.jobs} == {"protonet"}


def test_the_machine_that_submits_needs_no_gpu(chosen, place, bench, monkeypatch):
    """Nor is it timed for what other machines do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = place.folder / "bench.toml"
    path.write_text(
        path.read_text().replace('device = "cpu"', 'device = "cuda"').replace("[model]", '[model]\nnumerics = "tf32"')
    )
    engine = Idle()
    assert drive(choose(Selection()), Means(), engine, print, leave=None).n_left == 6
    assert bench("run", "-n").code == 2
    monkeypatch.setattr(run_screen, "open_engine", lambda *_: nullcontext(engine))
    planned = bench("run", "-n", "--engine", "slurm", "--jobs", "3")
    assert planned.code == 0, planned.err
    assert planned.out.splitlines()[-1] == "How long it takes is not known: this database has no history of it."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "pbs"), "unknown engine 'pbs': known: dask, here, slurm"),
        (("--set", "engine.name=pbs"), "unknown engine 'pbs': known: dask, here, slurm"),
        (("--engine", "slurm"), "--engine slurm needs a database that several machines can write"),
        (("--engine-option", "foo=1"), "--engine-option is for an engine: name one, --engine slurm or dask"),
        (("--device", "cuda"), "--device cuda: there is no CUDA GPU that this torch can use"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("-n",)])
def test_a_dry_run_refuses_what_a_run_does_and_both_say_nothing_before(words, said, dry, place, bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ran = bench("run", *dry, *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"bench: error: {said}")
