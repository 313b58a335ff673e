"""What the rest of a plan may take, where no history tells."""

import itertools
import time

import pytest

from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.selection import Means, Selection
from fewshot_bench.methods.sequential import PretrainedMaml
from fewshot_bench.running.pace import Cost, cost_of
from fewshot_bench.running.recording import plan_of


@pytest.fixture
def cost(monkeypatch):
    """The cost of a selection on a clock that goes on by a second whenever it is read."""
    monkeypatch.setattr(time, "perf_counter", itertools.count(0.0).__next__)

    def cost(jobs: int = 1, **words) -> Cost:
        chosen = choose(Selection(**words))
        return cost_of(chosen, plan_of(chosen), Means(jobs=jobs), lambda *_: None)

    return cost


@pytest.mark.usefixtures("place")
def test_a_step_and_an_episode_stand_for_all(cost):
    """4 ways, 3 queries, 2 steps: 3 passes an image and step, and one for each image at the end."""
    small, large = 3 * 2 * 4 + 4 + 12, 3 * 2 * 20 + 20 + 12
    [(training, testing)] = cost(methods=("transfer",)).expected.values()
    assert training == 6 * 1
    assert testing == pytest.approx(6 * 1 * (small / large + 1))


@pytest.mark.usefixtures("place")
def test_one_seed_is_timed_for_all():
    chosen, told = choose(Selection(seeds=(0, 1, 2))), []
    found = cost_of(chosen, plan_of(chosen), Means(jobs=1), lambda *said: told.append(said))
    assert [said for said in told if said[0].startswith("timing ")] == [
        ("timing transfer", 0, 2),
        ("timing protonet", 1, 2),
    ]
    assert len(found.expected) == len(found.timed) == 6
    assert len(set(found.expected.values())) == 2


@pytest.mark.usefixtures("place")
def test_a_training_in_stages_takes_the_mean_of_them(monkeypatch):
    chosen, now = choose(Selection(methods=("pretrained-maml",), shots=(1,))), [0.0]

    def step(self, source):
        now[0] += 1.0 if self.iteration < self.pretraining_steps else 3.0
        self.iteration += 1
        return {}

    monkeypatch.setattr(PretrainedMaml, "step", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    [(training, _)] = cost_of(chosen, plan_of(chosen), Means(jobs=1), lambda *_: None).expected.values()
    assert training == 2.0 * chosen.cells[0].training.iterations


@pytest.mark.usefixtures("place")
def test_features_are_embedded_once(cost):
    """12 images of each of 7 novel classes at the pace of an episode's 32, and then an episode for an episode."""
    [(training, testing)] = cost(methods=("protonet",)).expected.values()
    assert training == 6
    assert testing == pytest.approx(7 * 12 / 32 + 6 * (16 / 32 + 1))


def test_what_is_known_is_not_timed_and_what_breaks_is_said(run, bench, cost):
    known = cost(jobs=2, methods=("transfer", "hopeless"), episodes=7)
    transfer, hopeless = known.expected.values()
    assert transfer[0] == 0
    assert transfer[1] is not None
    assert hopeless == (None, None)
    assert known.timed == {key for key, seconds in known.expected.items() if seconds == (None, None)}
    assert known.seconds == transfer
    told = bench("run", "-n", "--jobs", "2", "--method", "transfer,hopeless", "--episodes", "7").out.splitlines()[-1]
    assert told.startswith("To do: 0 s of training and ")
    assert " with one job, about 0 s with 2, without those marked ? (this database's history; of 1, " in told
