"""Killed at any moment, the same command goes on; in the end the database equals that of an uninterrupted run."""

import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

# Python that is run before the command, in its process: what is to happen, and when
KILL = "import os, signal; kill = lambda: os.kill(os.getpid(), signal.SIGKILL)"
IN_TRAINING = f"""
{KILL}
from fewshot_bench.running import checkpoint
from fewshot_bench.running import runner
runner.SAVE_SECONDS, save = 0.0, checkpoint.Checkpoints.save_partial
def saving(self, key, state):
    save(self, key, state)
    if int(state["iteration"]) == 4:
        kill()
checkpoint.Checkpoints.save_partial = saving
"""
BEFORE_THE_END_IS_RECORDED = f"""
{KILL}
from fewshot_bench.running import runner
from fewshot_bench.results import store
runner.SAVE_SECONDS = 0.0
store.Writer.finish_training = lambda *_: kill()
"""
IN_EVALUATION = f"""
{KILL}
from fewshot_bench.running import runner
from fewshot_bench.results import store
runner.CHUNK_SECONDS, record = 0.0, store.Writer.record_episodes
def recording(self, cell, label, command, results, seconds):
    record(self, cell, label, command, results, seconds)
    if cell.setting.n_shot == 5 and results[-1].number == 2:
        kill()
store.Writer.record_episodes = recording
"""
IN_A_TRANSACTION = f"""
{KILL}
from fewshot_bench.results.store import writing
writing.runs_sum = lambda *_: kill()
"""
KILL_WORKERS = """
import multiprocessing
from fewshot_bench.results import store
start, done = store.Writer.start_training, []
def starting(self, training):
    start(self, training)
    if len(done) < {times}:
        done.append([child.kill() for child in multiprocessing.active_children()])
store.Writer.start_training = starting
"""
KILLED_WITH_WORKERS = f"""
{KILL}
import multiprocessing
from pathlib import Path
from fewshot_bench.results import store
record = store.Writer.record_episodes
def recording(self, *rest):
    record(self, *rest)
    workers = [child.pid for child in multiprocessing.active_children()]
    Path("workers").write_text(" ".join(map(str, workers)))
    os.kill(workers[0], signal.SIGSTOP)
    kill()
store.Writer.record_episodes = recording
"""
INTERRUPT = """
import os, signal
from fewshot_bench.results import store
record, asked = store.Writer.record_progress, []
def recording(self, *rest):
    record(self, *rest)
    if not asked:
        asked.append(os.kill(os.getpid(), signal.SIGINT))
store.Writer.record_progress = recording
"""


def content(database: Path) -> dict[str, list]:
    """Everything that was measured: all but times, machines and numbers of runs."""
    connection = sqlite3.connect(database)
    queries = {
        "trainings": "SELECT key, state, iteration, images_seen, checkpoint, reason FROM trainings ORDER BY 1",
        "cells": "SELECT key, n_episodes, sha256, reason, command FROM cells ORDER BY 1",
        "episodes": "SELECT cell_key, number, episode_id, n_correct, n_queries FROM episodes ORDER BY 1, 2",
        "curves": "SELECT * FROM curves ORDER BY 1, 2, 3",
    }
    found = {name: connection.execute(query).fetchall() for name, query in queries.items()}
    connection.close()
    return found


@pytest.fixture(scope="module")
def known() -> dict:
    return {}


@pytest.fixture
def expected(place, bench, known) -> dict[str, list]:
    """What an uninterrupted run makes; computed once."""
    if not known:
        assert bench("run", "-q").code == 0
        known.update(content(place.database))
        shutil.rmtree(place.folder / "out")
    assert len(known["episodes"]) == 24
    return known


def leftovers(place) -> list[str]:
    return [p.name for p in (place.folder / "out" / "checkpoints").iterdir() if p.suffix != ".safetensors"]


@pytest.mark.parametrize(
    ("accident", "stored"),
    [(IN_TRAINING, 0), (BEFORE_THE_END_IS_RECORDED, 0), (IN_EVALUATION, 9), (IN_A_TRANSACTION, 0)],
    ids=["in training", "before the end is recorded", "in evaluation", "in a transaction"],
)
def test_killed_and_run_again(accident, stored, expected, place, bench, monkeypatch):
    killed = place.in_own_process("run", before=accident)
    assert killed.code == -signal.SIGKILL, killed.err
    if accident == IN_A_TRANSACTION:
        assert Path(f"{place.database}-journal").exists()
    assert len(content(place.database)["episodes"]) == stored
    if accident in (IN_TRAINING, BEFORE_THE_END_IS_RECORDED):
        assert len([name for name in leftovers(place) if name.endswith(".partial")]) == 1
    steps = count_steps(monkeypatch)
    again = bench("run")
    assert again.code == 0, again.err
    assert content(place.database) == expected
    assert leftovers(place) == []
    # it went on from where it was killed, and where the training was over it was not done again
    assert steps == {IN_TRAINING: [5, 6], BEFORE_THE_END_IS_RECORDED: [6]}.get(accident, [])


def count_steps(monkeypatch) -> list[int]:
    """The iterations that the transfer baseline, which is trained first, makes from now on."""
    from fewshot_bench.methods.transfer import Transfer

    step, steps = Transfer.step, []

    def counted(self, source):
        losses = step(self, source)
        steps.append(self.iteration)
        return losses

    monkeypatch.setattr(Transfer, "step", counted)
    return steps


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("moment", ["record_progress", "record_episodes"])
def test_asked_to_stop_and_run_again(moment, number, code, expected, place, bench, monkeypatch):
    from fewshot_bench.results.store import Writer
    from fewshot_bench.running import runner

    record, asked = getattr(Writer, moment), []

    def asking(self, *rest):
        record(self, *rest)
        if not asked:
            asked.append(os.kill(os.getpid(), number))

    monkeypatch.setattr(Writer, moment, asking)
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.0)
    before = signal.getsignal(number)
    ran = bench("run")
    assert ran.code == code
    assert ran.err.splitlines()[-1].endswith("everything is saved. Continue with: bench run")
    assert "Traceback" not in ran.err
    assert signal.getsignal(number) == before
    assert len(content(place.database)["episodes"]) < 24
    assert bench("run").code == 0
    assert content(place.database) == expected
    assert leftovers(place) == []
    connection = sqlite3.connect(place.database)
    assert connection.execute("SELECT exit_code FROM runs").fetchall() == [(code,), (0,)]
    connection.close()


@pytest.mark.parametrize("again", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_asked_again_while_it_records_its_ending_it_still_says_what_was_saved(again, place):
    asked = f"""
import os, signal
from fewshot_bench.results.store import Writer
record, end = Writer.record_progress, Writer.end_run
def recording(self, *rest):
    record(self, *rest)
    os.kill(os.getpid(), signal.SIGTERM)
def ending(self, code):
    os.kill(os.getpid(), signal.{again})
    end(self, code)
Writer.record_progress, Writer.end_run = recording, ending
"""
    ran = place.in_own_process("run", before=asked)
    assert ran.code == 143
    assert ran.err.splitlines()[-1].endswith("everything is saved. Continue with: bench run")


def test_asked_twice_to_stop_it_stops_at_once(expected, place, bench, monkeypatch):
    from fewshot_bench.results.store import Writer

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "record_progress", lambda *_: [os.kill(os.getpid(), signal.SIGINT) for _ in "12"])
        ran = bench("run")
    assert (ran.code, "Traceback" in ran.err) == (130, False)
    assert not (place.folder / "out" / "checkpoints").exists()  # it did not even save its state
    assert bench("run").code == 0
    assert content(place.database)["episodes"] == expected["episodes"]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_weights_that_are_gone_are_trained_again(damage, expected, place, bench):
    assert bench("run", "--shot", "1").code == 0
    for path in (place.folder / "out" / "checkpoints").iterdir():
        path.unlink() if damage == "gone" else path.write_bytes(b"x" + path.read_bytes()[1:])
    assert bench("run").code == 0
    assert content(place.database) == expected


@pytest.mark.slow
def test_a_worker_that_dies_loses_only_what_it_had_in_hand(expected, place, bench):
    words = ("run", "--jobs", "2", "--method", "transfer")
    ran = place.in_own_process(*words, before=KILL_WORKERS.format(times=2))
    assert ran.code == 4, ran.err
    assert "a worker process died (exit code -9); begun again: transfer s0" in ran.err
    assert "a worker process died (exit code -9); not done: transfer-4w1s-s0 transfer-4w5s-s0" in ran.err
    assert "0 cells done, 2 cells not done: run the same command again" in ran.err
    assert "Traceback" not in ran.err
    assert content(place.database)["episodes"] == []
    ran = place.in_own_process("run", "--jobs", "2", before=KILL_WORKERS.format(times=1))
    assert (ran.code, "begun again" in ran.err) == (0, True), ran.err  # once, in the same run
    assert content(place.database) == expected  # what workers make is the same
    assert bench("run").code == 0  # nothing failed: no --retry-failed is needed
    assert content(place.database) == expected


@pytest.mark.slow
def test_workers_end_when_their_run_is_killed(expected, place, bench):
    ran = place.in_own_process("run", "--jobs", "2", before=KILLED_WITH_WORKERS)
    assert ran.code == -signal.SIGKILL, ran.err
    workers = [int(pid) for pid in (place.folder / "workers").read_text().split()]
    assert len(workers) == 2
    patience = time.monotonic() + 600
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < patience
        time.sleep(0.1)
    assert bench("run").code == 0
    assert content(place.database) == expected


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_workers_save_their_state_when_asked_to_stop(expected, place, bench):
    ran = place.in_own_process("run", "--jobs", "2", before=INTERRUPT)
    assert ran.code == 130, ran.err
    assert ran.err.splitlines()[-1].endswith("Continue with: bench run --jobs 2")
    assert "Traceback" not in ran.err
    assert bench("run").code == 0
    assert content(place.database) == expected
