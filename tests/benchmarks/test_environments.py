"""What cannot be installed or does not start is said in a line, and is tried again the next time."""

import sys

import pytest

from benchmarks import peers
from benchmarks.contest import conversation, environments
from benchmarks.contest.conversation import Worker, WorkerFailed
from benchmarks.contest.environments import CannotInstall, python_of


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "PEERS", tmp_path)
    monkeypatch.setattr(conversation, "PEERS", tmp_path)


def test_ours_and_plain_run_here():
    assert str(python_of("ours")) == str(python_of("plain")) == sys.executable


def test_an_environment_is_made_once_and_again_where_it_failed(monkeypatch, tmp_path):
    tries = []

    def install(python):
        tries.append(python)
        if len(tries) == 1:
            raise CannotInstall("no compiler")

    monkeypatch.setitem(environments.INSTALLERS, "higher", install)
    with pytest.raises(CannotInstall, match="no compiler"):
        python_of("higher")
    python = python_of("higher")
    assert python_of("higher") == python
    assert len(tries) == 2
    assert python.exists()
    assert next(tmp_path.glob("higher/lib/python*/site-packages/main.pth")).read_text().strip() in sys.path


def test_a_failing_command_is_one_line():
    with pytest.raises(CannotInstall, match=r"`python.* failed: .*no such thing") as caught:
        environments._run([sys.executable, "-c", "raise SystemExit('first\\nno such thing')"])
    assert "\n" not in str(caught.value)


def test_a_missing_peer_is_reported_and_not_fatal(monkeypatch):
    def install(python):
        raise CannotInstall("no compiler")

    monkeypatch.setitem(environments.INSTALLERS, "higher", install)
    missing, hellos = peers._install(["higher"])
    assert (missing, hellos) == ({"higher": "no compiler"}, {})


@pytest.mark.slow
def test_a_worker_answers_tells_errors_and_goes_on(tmp_path):
    with Worker("plain") as worker:
        with pytest.raises(WorkerFailed, match="time before prepare"):
            worker.ask("time", repetitions=1, clock="wall")
        assert "maml" in worker.ask("hello")["methods"]
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(WorkerFailed, match="the process ended"):
            worker.ask("hello")


@pytest.mark.slow
def test_a_library_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(conversation, "python_of", lambda side: sys.executable)
    with Worker("higher") as worker, pytest.raises(WorkerFailed, match="ModuleNotFoundError: No module named 'higher'"):
        worker.ask("hello")
