"""In a pipe, where no bars are shown, one line a minute says what is in hand and how far it is."""

import io
import threading
from dataclasses import replace

import pytest

from fewshot_bench.cli.run_screen import _Shown
from fewshot_bench.cli.screen import BEAT_SECONDS, Screen
from fewshot_bench.experiment.plan import Plan, PlannedCell, PlannedTraining
from fewshot_bench.experiment.records import StoredTraining, TrainingProgress
from fewshot_bench.running.events import Evaluated, Progressed, Saved, Started, Trained
from fewshot_bench.tables.scores import EpisodeResult


class Minutes:
    """A clock, and an event that nobody sets for some minutes."""

    def __init__(self, n: int) -> None:
        self.seconds, self._left = 0.0, n

    def clock(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        self.seconds, self._left = self.seconds + seconds, self._left - 1
        return self._left < 0

    def set(self) -> None:
        pass


@pytest.fixture
def time() -> Minutes:
    return Minutes(2)


@pytest.fixture
def screen(time) -> Screen:
    screen = Screen(0, time.clock)
    screen.console.file = io.StringIO()
    return screen


def said(screen: Screen) -> list[str]:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue().splitlines()


def test_a_line_a_minute(screen, time, monkeypatch):
    monkeypatch.setattr(screen, "_over", time)
    screen.preparing("decoding images", 100, 1000)
    screen._beat_on()
    assert time.seconds == 3 * BEAT_SECONDS == 180
    assert said(screen) == ["decoding images 100/1000"] * 2  # two minutes without news, and then it was over


def test_it_says_what_is_at_what_iteration_how_fast_and_how_long_still(screen, time, cell):
    training = replace(cell.training, iterations=4000)
    planned = PlannedCell(replace(cell, n_episodes=60), "todo", 0)
    plan = Plan((planned,), (PlannedTraining(training, None, (planned,)),), 0)
    shown, progress = _Shown(screen, plan, as_json=False), TrainingProgress(0, 0, 1.0, 0, "cpu")
    name, test = f"train {cell.variant} s0", f"test {cell.name}"
    screen.beat()
    assert said(screen)[-1] == "grid 0/1"
    shown.show(Started(training))
    time.seconds = 60
    screen.beat()
    assert said(screen)[-1] == f"grid 0/1; {name} 0/4000"
    shown.show(Progressed(training, replace(progress, iteration=50), {"loss": 1.0}))
    shown.show(Saved(training, replace(progress, iteration=60)))  # between two points of the curves
    screen.beat()
    assert said(screen)[-1] == f"grid 0/1; {name} 60/4000, 1/s, 66 min to go"
    shown.show(Trained(training, replace(progress, iteration=4000), ""))
    result = EpisodeResult(0, "", 1, 2)
    shown.show(Evaluated(planned, [result], 1.0))
    time.seconds = 80
    shown.show(Evaluated(planned, [result] * 10, 1.0))
    screen.beat()
    assert said(screen)[-1] == f"grid 0/1; {test} 11/60, 0.5/s, 98 s to go"


def test_how_fast_it_goes_counts_from_where_it_goes_on(screen, time, cell):
    """Which is beyond what is stored of it, a point of its curves."""
    training = replace(cell.training, iterations=4000)
    stored = StoredTraining(training.key, "running", training.method, {}, 50, 4000, 0, 50.0, 0, "cpu", "", "")
    shown = _Shown(screen, Plan((), (PlannedTraining(training, stored, ()),), 0), as_json=False)
    shown.show(Started(training))
    time.seconds = 30  # until its state is loaded
    progress = TrainingProgress(90, 0, 90.0, 0, "cpu")
    shown.show(Saved(training, progress))
    time.seconds = 90
    shown.show(Progressed(training, replace(progress, iteration=120), {"loss": 1.0}))
    screen.beat()
    assert said(screen)[-1].endswith(" 120/4000, 0.5/s, 2.2 h to go")


@pytest.mark.parametrize(("verbosity", "terminal", "beats"), [(0, False, True), (-1, False, False), (0, True, False)])
def test_only_where_nobody_sees_a_bar(verbosity, terminal, beats, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1") if terminal else monkeypatch.delenv("FORCE_COLOR", raising=False)
    screen = Screen(verbosity)
    screen.console.file = io.StringIO()
    with screen:
        running = [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
        assert bool(running) == beats
    for thread in running:
        thread.join()  # it ends with the screen


@pytest.mark.parametrize(("more", "first"), [((), "test"), (("--retrain",), "train")])
def test_a_replay_has_something_to_say_before_its_first_news(run, bench, monkeypatch, more, first):
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(Screen, "preparing", lambda _, *said: told.append(said))
    assert bench("replay", "protonet-4w1s-s0", *more).code == 0
    assert told[0] == (f"{first} protonet-4w1s-s0", 0, 6)
