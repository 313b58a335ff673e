"""Faults of the machine: nothing is recorded against the work, nothing is silent, and the same command goes on."""

import array
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import termios
import time
import tomllib
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from benchmarks.processes import Process
from fewshot_bench.cli.run_screen import RunScreen

# Python that is run before the command, in its process
NOTE_TRAININGS = """
from fewshot_bench.results import store
start = store.Writer.start_training
def starting(self, training):
    start(self, training)
    with open("trainings", "a") as file:
        file.write(training.key + "\\n")
store.Writer.start_training = starting
"""
STOP_A_WORKER = """
import multiprocessing, os, signal
from fewshot_bench.results import store
from fewshot_bench.running import worker
worker.SILENT_SECONDS = worker.STOPPING_SECONDS = 3.0
start, done = store.Writer.start_training, []
def starting(self, training):
    start(self, training)
    if not done:
        at_it = min(child.pid for child in multiprocessing.active_children())  # the first of them
        done.append(os.kill(at_it, signal.SIGSTOP))
        {then}
store.Writer.start_training = starting
"""
LONG = """
[budgets.long]
iterations = { other = 1000000, transfer = 1000000, protonet = 1000000 }
episodes = { 1 = 6 }
adaptation = {}
"""


def rows(place, query: str) -> list:
    connection = sqlite3.connect(place.database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.fixture
def begun(place):
    """Begin a command in a process of its own, which does not outlive the test."""
    started = []

    def begin(*words: str, **options) -> Process:
        started.append(place.begin(*words, **options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def until(condition) -> None:
    patience = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.05)


@pytest.mark.slow
def test_two_runs_share_one_grid(place, bench, begun):
    running = [begun("run", before=NOTE_TRAININGS) for _ in range(2)]
    for process in running:
        _, said = process.communicate()
        assert (process.returncode, "4 cells done" in said) == (0, True), said
        assert "Traceback" not in said
    trained = (place.folder / "trainings").read_text().split()
    assert sorted(set(trained)) == sorted(trained)  # none twice
    assert len(trained) == 2
    assert rows(place, "SELECT count(*) FROM episodes") == [(24,)]
    assert rows(place, "SELECT count(*) FROM claims") == rows(place, "SELECT count(*) FROM owners") == [(0,)]
    assert bench("run").err.startswith("4 cells: 4 done")


def test_what_another_run_found_to_fail_meanwhile_is_not_done_again(place, bench, monkeypatch):
    from fewshot_bench.cli import run_screen
    from fewshot_bench.running import recording

    plan_to_run, other = recording.plan_to_run, []

    def planned_before(*words, **named):
        plan = plan_to_run(*words, **named)
        other.append(place.in_own_process("run", "--method", "hopeless"))
        other.append(rows(place, "SELECT * FROM trainings") + rows(place, "SELECT * FROM cells"))
        return plan

    monkeypatch.setattr(run_screen, "plan_to_run", planned_before)
    ran = bench("run", "--method", "hopeless")
    assert (other[0].code, ran.code) == (4, 4)
    assert "0 cells done, 2 cells failed" in ran.err
    assert other[1]
    assert rows(place, "SELECT * FROM trainings") + rows(place, "SELECT * FROM cells") == other[1]


@pytest.mark.slow
def test_status_says_who_is_at_what_and_a_killed_run_holds_nothing_up(place, bench, begun):
    place.add(LONG)
    running = begun("run", "--budget", "long", "--method", "transfer")
    until(lambda: place.database.exists() and "at work:" in bench("status").out)
    (line,) = [line for line in bench("status").out.splitlines() if line.startswith("at work:")]
    assert f"transfer s0, process {running.pid} of " in line
    assert "since 20" in line
    running.kill()
    running.communicate()
    stopped = bench("status").out
    assert stopped.startswith("trainings: 1 begun\n")
    assert "at work:" not in stopped
    assert bench("run", "--method", "transfer").code == 0
    assert rows(place, "SELECT count(*) FROM claims") == [(0,)]


@pytest.mark.slow
def test_a_stopped_worker_is_noticed_and_its_unit_done_again(place):
    ran = place.in_own_process("run", "--method", "transfer", "--jobs", "2", before=STOP_A_WORKER.format(then=""))
    assert ran.code == 0, ran.err
    assert "a worker process did not answer for 3 s and was ended; begun again: " in ran.err
    assert "2 cells done" in ran.err


@pytest.mark.slow
def test_one_signal_ends_a_run_with_a_stopped_worker(place, bench):
    then = "os.kill(os.getpid(), signal.SIGINT)"
    ran = place.in_own_process("run", "--method", "transfer", "--jobs", "2", before=STOP_A_WORKER.format(then=then))
    assert ran.code == 130, ran.err
    assert "a worker process did not answer for 3 s and was ended; not done: " in ran.err
    assert "everything is saved" not in ran.err
    assert bench("run").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_are_deaf_to_signals_of_the_group_from_the_first(number, place, begun):
    """The signal comes while they import their libraries."""
    place.add(LONG)
    running = begun("run", "--budget", "long", "--jobs", "2", "--method", "transfer", new_session=True, spawn=True)
    until(lambda: place.database.exists() and workers_of(running.pid))
    os.killpg(running.pid, number)
    _, said = running.communicate()
    assert running.returncode == 128 + number, said
    assert "everything is saved" in said
    assert "died" not in said


def workers_of(pid: int) -> list[str]:
    found = subprocess.run(["ps", "-ww", "-o", "args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "spawn_main" in line]


READ_BY_NOBODY = """
from fewshot_bench.cli import screen
from fewshot_bench.running import signals
screen.BEAT_SECONDS, signals.UNREAD_SECONDS = 0.001, 0.2
"""


@pytest.mark.slow
def test_a_signal_ends_a_run_whose_lines_nobody_reads(place, begun):
    """Its heartbeat waits in a full pipe, and whoever else prints for that."""
    place.add(LONG)
    ours, its = os.pipe()
    fcntl.fcntl(its, fcntl.F_SETPIPE_SZ, 4096)
    running = begun("run", "-v", "--budget", "long", "--method", "transfer", before=READ_BY_NOBODY, err=its)
    os.close(its)
    unread = array.array("i", [0])
    # a line that does not fit waits
    until(lambda: not fcntl.ioctl(ours, termios.FIONREAD, unread) and unread[0] > 3800)
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait() == 143
    os.close(ours)
    assert rows(place, "SELECT exit_code FROM runs") == [(143,)]


@pytest.mark.slow
def test_a_unit_that_takes_too_long_is_stopped_with_its_state_saved(place):
    place.add(LONG)
    ran = place.in_own_process("run", "--budget", "long", "--method", "transfer", "--timeout", "3")
    assert ran.code == 4, ran.err
    assert "it took longer than --timeout 3 s; not done: transfer-4w1s-s0 transfer-4w5s-s0" in ran.err
    assert [path.suffix for path in (place.folder / "out" / "checkpoints").iterdir()] == [".partial"]
    assert rows(place, "SELECT reason FROM cells") == []
    assert rows(place, "SELECT state, reason FROM trainings") == [("running", "")]


def test_exchanged_checkpoints_are_not_used(place, bench, monkeypatch):
    from fewshot_bench.results.store import Writer

    assert bench("run", "-q").code == 0
    wanted = rows(place, "SELECT key, checkpoint FROM trainings ORDER BY key")
    for path in (place.folder / "out").rglob("*"):
        path.unlink() if path.is_file() else None

    record, asked = Writer.record_progress, []

    def asking(self, training, *rest):
        record(self, training, *rest)
        if training.key not in asked:
            asked.append(training.key)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:  # each is stopped in its training
        patched.setattr(Writer, "record_progress", asking)
        for method in ("transfer", "protonet"):
            assert bench("run", "--method", method).code == 130
    one, two = sorted((place.folder / "out" / "checkpoints").glob("*.partial"))
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1]), two.write_bytes(content[0])
    ran = bench("run")
    assert ran.code == 0
    assert ran.err.count("it was not used and is now") == 2
    assert f"it is the state of {two.stem}" in ran.err
    assert rows(place, "SELECT key, checkpoint FROM trainings ORDER BY key") == wanted


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_weights_that_go_between_training_and_testing_are_made_again(damage, place, bench, monkeypatch):
    from fewshot_bench.running.checkpoint import Checkpoints

    load, done = Checkpoints.load_finished, []

    def losing(self, sha256):
        if not done:
            done.append(sha256)
            path = self._finished(sha256)
            path.unlink() if damage == "gone" else path.write_bytes(b"x")
        return load(self, sha256)

    monkeypatch.setattr(Checkpoints, "load_finished", losing)
    ran = bench("run")
    assert ran.code == 0, ran.err
    assert f"is trained again: the weights {done[0]} are missing or damaged" in ran.err
    assert rows(place, "SELECT DISTINCT reason FROM cells") == [("",)]
    assert rows(place, "SELECT count(*) FROM episodes") == [(24,)]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no memory"),
        ImportError("libtorch_cuda.so: failed to map segment from shared object"),
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["memory", "a library's memory", "disk", "torch's memory"],
)
@pytest.mark.parametrize("moment", ["step", "predict"])
def test_what_the_machine_lacks_is_not_the_methods_fault(moment, error, place, bench, monkeypatch):
    from fewshot_bench.methods.transfer import Transfer

    def lacking(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Transfer, moment, lacking)
        ran = bench("run", "--method", "transfer")
    assert ran.code == 4, ran.err
    assert f"{type(error).__name__}: " in ran.err
    assert "2 cells not done: run the same command again" in ran.err
    assert rows(place, "SELECT * FROM cells WHERE reason != ''") == []
    assert rows(place, "SELECT reason FROM trainings") == [("",)]
    assert bench("run", "--method", "transfer").code == 0  # no --retry-failed is needed
    assert rows(place, "SELECT count(*) FROM episodes") == [(12,)]


def test_a_library_that_does_not_fit_into_memory_is_one_line(place, bench, monkeypatch):
    """It may be larger than what is left, and that larger than what is little."""
    error = ImportError("libtorch_cuda.so: failed to map segment from shared object")
    monkeypatch.setattr(RunScreen, "choose", mock.Mock(side_effect=error))
    ran = bench("run")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("bench: error: there is too little memory; what was stored is safe")
    assert ran.err.count("\n") == 1


def test_a_database_that_is_deleted_in_mid_run_is_one_line(place, bench, monkeypatch):
    from fewshot_bench.results.store import Writer

    record = Writer.record_episodes

    def deleting(self, *rest):
        record(self, *rest)
        place.database.unlink(missing_ok=True)

    monkeypatch.setattr(Writer, "record_episodes", deleting)
    ran = bench("run")
    assert ran.code == 6
    assert ran.err.splitlines()[-1].startswith("bench: error: out/results.sqlite: the file was moved or deleted")
    assert "Traceback" not in ran.err
    assert not place.database.exists()


def test_who_reads_the_beginning_of_an_export_is_not_an_error(run):
    ends = os.pipe()
    os.close(ends[0])
    process = run.begin("export", out=ends[1])
    os.close(ends[1])
    assert process.communicate()[1] == ""
    assert process.wait() == 0


def test_who_pauses_in_the_middle_of_an_export_holds_nothing(run):
    """`bench export | less`: a run beside it would wait until the rest is read, too."""
    ours, its = os.pipe()
    fcntl.fcntl(its, fcntl.F_SETPIPE_SZ, 4096)
    process = run.begin("export", out=its)
    os.close(its)
    assert os.read(ours, 4) == b"cell"
    with closing(sqlite3.connect(run.database, timeout=0, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
    with os.fdopen(ours, "rb") as rest:
        assert rest.read().count(b"\n") == 1 + 24
    assert process.wait() == 0


@pytest.mark.parametrize("words", [("export",), ("report", "--format", "html")])
def test_an_output_that_cannot_be_written_is_one_line(words, run):
    with Path("/dev/full").open("wb") as full:
        process = run.begin(*words, out=full.fileno())
        said = process.communicate()[1]
    assert said == "bench: error: the output cannot be written: No space left on device\n"
    assert process.wait() == 1


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_the_shell_closed_leads_nowhere(name, place):
    number = ("stdin", "stdout", "stderr").index(name)
    closed = f"import os, sys; os.close({number}); sys.{name} = None"
    known, wrong = place.in_own_process("list", "methods", before=closed), place.in_own_process("lisp", before=closed)
    assert (known.code, known.err, "protonet" in known.out) == (0, "", name != "stdout")
    assert (wrong.code, wrong.out, "No such command 'lisp'" in wrong.err) == (2, "", name != "stderr")


def test_a_current_folder_that_is_gone_is_one_line(place):
    leave = "import os, pathlib; here = pathlib.Path('here'); here.mkdir(); os.chdir(here); os.rmdir('../here')"
    ran = place.in_own_process("report", before=leave)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "the current folder cannot be used (No such file or directory): change to another one" in ran.err


def test_names_that_are_not_utf_8_are_names(place, bench):
    data, out = "photos\udcff", "o\udcff"  # as the system gives these bytes
    shutil.copytree(tomllib.loads((place.folder / "bench.toml").read_text())["data"]["source"], data)
    ran = bench("run", "-q", "--data", data, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    for words in (("report",), ("status",), ("status", "--json"), ("db", "check"), ("export",)):
        ran = bench(*words, "--out", out, *["--data", data] * (words == ("report",)))
        assert ran.code == 0, ran.err
    assert r"photos\xff" in (Path(out) / "report.html").read_text()
    assert bench("run", "--data", data, "--out", out).err.startswith("4 cells: 4 done")
    missing = bench("status", "--out", "p\udcff")
    assert (missing.code, missing.err.count("\n")) == (6, 1)
