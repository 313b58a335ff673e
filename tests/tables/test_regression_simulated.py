"""The regression check on grids whose truth is known: how often it is wrong, and what it finds.

Before and after are drawn independently around the same expected accuracies, episode by episode: the most that two
trainings of one method can differ by without one being better.
"""

import gc
import json
from functools import cache
from importlib.resources import files

import numpy as np
import pytest

from fewshot_bench.tables.check.baseline import read_baseline
from fewshot_bench.tables.check.regression import Finding, judge, with_change
from fewshot_bench.tables.statistics.changes import Change, equivalent, of_change, of_changes
from fewshot_bench.tables.statistics.estimate import of_episodes

pytestmark = pytest.mark.slow
N_QUERY = 15
MARGIN = 0.005
LIKELY = {
    (5, 1): 0.50, (5, 5): 0.65, (5, 100): 0.80, (20, 1): 0.25, (20, 5): 0.40, (20, 100): 0.55,
    (35, 1): 0.18, (35, 5): 0.30, (35, 100): 0.42,
}  # fmt: skip
SMALL = ((5, 100), (20, 100))  # with 100 episodes it is found in 33 and 91 runs of a hundred
SEVEN = {(f"method {i}", *setting): accuracy for i in range(7) for setting, accuracy in LIKELY.items()}


@pytest.fixture(autouse=True)
def _no_garbage(monkeypatch):
    """statsmodels collects garbage in every correction by Holm, which takes longer than all that is measured here."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def shipped():
    """Accuracies and numbers of episodes of the smoke baseline."""
    text = files("fewshot_bench.tables.baselines").joinpath("strokes-smoke.json").read_text(encoding="utf-8")
    cells = read_baseline(json.loads(text)).cells
    accuracies = {cell.place[:3]: cell.accuracy.mean for cell in cells}
    counts = {cell.place[1:3]: cell.accuracy.n for cell in cells}
    return accuracies, lambda n_way, n_shot: counts[n_way, n_shot]


def quick(n_way, n_shot):
    return 6 if n_shot == 100 else 60


def published(n_way, n_shot):
    return 100 if n_shot == 100 else 600


def draw(rng, accuracies, n_episodes, n_runs, lost=lambda *place: 0.0, flips=None):
    """cell -> (before, after), integers (n_runs, E): `lost` of the accuracy, or so many queries flipped a cell.

    Episodes are easy or hard with a standard deviation of 5 points, alike for all cells.
    """
    ease = rng.normal(0, 0.05, (n_runs, 1000))
    drawn = {}
    for place, accuracy in accuracies.items():
        n, n_queries = n_episodes(*place[1:]), N_QUERY * place[1]
        expected = np.clip(accuracy + min(1, 3 * accuracy) * ease[:, :n], 0.005, 0.995)
        before = rng.binomial(n_queries, expected)
        if flips is None:
            after = rng.binomial(n_queries, np.clip(expected - lost(*place), 0, 1))
        else:
            after = before + rng.poisson(flips / 2 / n, (n_runs, n)) - rng.poisson(flips / 2 / n, (n_runs, n))
        drawn[place] = before, after
    return drawn


def change(place, before, after):
    n = len(before)
    return Change(place[1], np.arange(n), before, after, np.full(n, N_QUERY * place[1]))


def changes(drawn, run):
    """Place -> what changed there in one run."""
    return {
        place: with_change(Finding(place[0], "", "undecided", cell=(*place, 0)), change(place, before[run], after[run]))
        for place, (before, after) in drawn.items()
    }


def judged(drawn, run):
    """The cells' and the variants' findings of one run."""
    return judge([*changes(drawn, run).values()], MARGIN)


@cache
def nothing_changed(n_episodes):
    """`changes` of fifty runs of seven methods: what stands beside a cell that did."""
    drawn = draw(np.random.default_rng(14), SEVEN, n_episodes, 50)
    return [changes(drawn, run) for run in range(50)]


def share_of_runs(drawn, happened):
    n_runs = len(next(iter(drawn.values()))[0])
    return np.mean([happened(*judged(drawn, run)) for run in range(n_runs)])


def alarmed(cells, variants):
    return any(finding.verdict in ("worse", "improved") for finding in [*cells, *variants])


def within(nominal, n_runs):
    """At most this often, and two standard errors of the simulation."""
    return nominal + 2 * np.sqrt(nominal * (1 - nominal) / n_runs)


@pytest.mark.parametrize("grid", ["shipped", "quick"])
def test_redrawn_errors_alarm_in_at_most_five_runs_of_a_hundred(grid):
    accuracies, n_episodes = shipped() if grid == "shipped" else (SEVEN, quick)
    drawn = draw(np.random.default_rng(11), accuracies, n_episodes, 1000)
    assert len(drawn) == 63
    assert share_of_runs(drawn, alarmed) <= within(0.05, 1000)


@pytest.mark.parametrize("flips", [0.5, 5])
def test_a_few_flipped_queries_do_not_alarm(flips):
    drawn = draw(np.random.default_rng(12), SEVEN, quick, 500, flips=flips)
    assert share_of_runs(drawn, alarmed) <= 0.05


def test_a_drop_of_two_points_in_all_cells_of_a_variant_is_found_with_the_shipped_baseline():
    """Whichever the variant."""
    accuracies, n_episodes = shipped()
    for number, name in enumerate(dict.fromkeys(place[0] for place in accuracies)):
        rng = np.random.default_rng(100 + number)
        drawn = draw(rng, accuracies, n_episodes, 60, lambda v, w, s, name=name: 0.02 if v == name else 0.0)

        def found(cells, variants, name=name):
            return any(f.variant == name and f.verdict == "worse" for f in variants)

        assert share_of_runs(drawn, found) >= 0.9, name


@pytest.mark.parametrize("n_episodes", [quick, published])
def test_a_drop_of_two_points_in_all_cells_of_a_variant_is_found_with_more_episodes(n_episodes):
    rng = np.random.default_rng(13)
    drawn = draw(rng, SEVEN, n_episodes, 50, lambda v, w, s: 0.02 if v == "method 3" else 0.0)
    assert share_of_runs(drawn, lambda cells, variants: variants[3].verdict == "worse") >= 0.9


@pytest.mark.parametrize(
    ("n_episodes", "setting"),
    [(quick, (35, 1)), (quick, (35, 5)), *((published, setting) for setting in LIKELY if setting not in SMALL)],
)
def test_a_drop_of_two_points_in_one_cell_is_found_where_there_are_episodes_enough(n_episodes, setting):
    place, rng = ("method 3", *setting), np.random.default_rng(14)  # with which the episodes are as easy as the others'
    drawn, found = draw(rng, {place: SEVEN[place]}, n_episodes, 50, lambda *which: 0.02), 0
    for run, others in enumerate(nothing_changed(n_episodes)):
        cells, _ = judge([*(others | changes(drawn, run)).values()], MARGIN)
        found += any(f.cell[:3] == place and f.verdict == "worse" for f in cells)
    assert found / 50 >= 0.9


def test_shared_queries_need_clusters():
    """What changes with the queries changes at every shot: as independent episodes they would alarm too often."""
    rng, n_runs = np.random.default_rng(15), 1000
    clustered, naive = 0, 0
    for _ in range(n_runs):
        shift = {n_way: rng.normal(0, 0.05, 20) for n_way in (5, 20, 35)}  # of a query set, whatever the support
        changes = []
        for (n_way, n_shot), accuracy in LIKELY.items():
            before = rng.binomial(N_QUERY * n_way, accuracy, 20)
            after = rng.binomial(N_QUERY * n_way, np.clip(accuracy + shift[n_way], 0, 1))
            changes.append(change(("", n_way, n_shot), before, after))
        estimate = of_changes(changes)
        clustered += estimate.p_value() <= 0.05
        each = np.concatenate([c.gained / c.n_queries for c in changes])
        naive += of_episodes(each).p_value() <= 0.05
    assert clustered / n_runs <= within(0.05, n_runs)
    assert naive / n_runs > 0.1


@pytest.mark.parametrize("n_episodes", [5, 12, 60, 600])
@pytest.mark.parametrize("kind", ["redrawn", "flipped"])
def test_a_change_of_the_margin_is_rarely_equivalent(n_episodes, kind):
    rng, n_runs, n_queries = np.random.default_rng(16), 1000, 300
    shape = (n_runs, n_episodes)
    before = rng.binomial(n_queries, np.clip(rng.normal(0.4, 0.05, shape), 0, 1))
    if kind == "redrawn":  # the same episodes' errors, drawn again
        before, after = rng.binomial(n_queries, 0.4, shape), rng.binomial(n_queries, 0.4 - MARGIN, shape)
    else:  # nothing else changes: in a few episodes it may not be seen at all
        after = before - rng.binomial(n_queries, MARGIN, shape)
    wrong = sum(
        equivalent(of_change(c), MARGIN, 0.4)
        for c in (change(("", 20, 1), b, a) for b, a in zip(before, after, strict=True))
        if c.gained.any()
    )
    assert wrong / n_runs <= within(0.05, n_runs)


@pytest.mark.parametrize(("n_episodes", "rare"), [(12, 0.02), (60, 0.02), (200, 0.02), (600, 0.02), (1200, 0.01)])
def test_a_loss_that_sits_in_rare_episodes_is_rarely_equivalent(n_episodes, rare):
    """One or two of a hundred episodes lose 50 points, the rest next to nothing: the margin, or twice that, in all."""
    rng, n_runs, n_queries = np.random.default_rng(18), 1000, 75
    before = rng.binomial(n_queries, 0.6, (n_runs, n_episodes))
    lost = np.where(rng.random(before.shape) < rare, n_queries // 2, 0)
    after = np.maximum(0, before - lost + rng.integers(-1, 2, before.shape) * (rng.random(before.shape) < 0.1))
    wrong = sum(
        equivalent(of_change(c), MARGIN, 0.6)
        for c in (change(("", 5, 1), b, a) for b, a in zip(before, after, strict=True))
        if c.gained.any()
    )
    assert wrong / n_runs <= within(0.05, n_runs)


def test_what_did_not_change_is_equivalent_given_episodes_enough():
    rng = np.random.default_rng(17)
    drawn = draw(rng, {("method", 20, 5): 0.4, ("method", 35, 5): 0.3}, lambda *setting: 600, 200, flips=60)
    assert share_of_runs(drawn, lambda cells, variants: all(f.verdict == "equivalent" for f in cells)) >= 0.9
