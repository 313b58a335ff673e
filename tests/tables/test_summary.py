"""The statistics, against computations of another kind."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewshot_bench.tables.layout import general_notes, why
from fewshot_bench.tables.pairs import compare_all
from fewshot_bench.tables.scores import CellScore, EpisodeResult
from fewshot_bench.tables.statistics.changes import Sample, sample
from fewshot_bench.tables.summary import accuracy_of, disjoint_episodes, over_episodes, summarise
from fewshot_bench.tables.wording import accuracy

fractions = st.lists(st.integers(0, 75).map(lambda correct: correct / 75), min_size=2, max_size=40)


def only(results, variant, n_way, n_shot):
    cells = summarise(results).cells
    [cell] = [c for c in cells if (c.variant, c.n_way, c.n_shot) == (variant, n_way, n_shot)]
    return cell


def replaced(results, variant, n_way, n_shot, seed=0, **changes):
    place = (variant, n_way, n_shot, seed)
    cells = [
        replace(cell, **changes) if (cell.variant, cell.n_way, cell.n_shot, cell.seed) == place else cell
        for cell in results.cells
    ]
    return replace(results, cells=tuple(cells))


def scored(*counts, n_queries=75):
    return tuple(EpisodeResult(i, f"e{i}", correct, n_queries) for i, correct in enumerate(counts))


@given(fractions)
def test_interval_is_scipys_t_interval(values):
    mean, half_width, interval = over_episodes(np.array(values), 1 / 75)
    assert sample(values).mean == mean == pytest.approx(statistics.fmean(values), abs=1e-12)
    expected = stats.t.ppf(0.975, len(values) - 1) * max(stats.sem(values, ddof=1), 1 / 75 / (12 * len(values)) ** 0.5)
    if interval:
        assert 2 * expected > min(mean, 1 - mean) or mean * (1 - mean) * 75 * len(values) < 40
        assert 0 <= interval[0] <= mean <= interval[1] <= 1
    else:
        assert half_width == pytest.approx(expected, abs=1e-9)
    assert sample(values).deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)


@given(fractions, st.randoms(use_true_random=False))
def test_order_of_episodes_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))
    assert sample(shuffled) == sample(values)


def test_one_episode_has_no_interval_and_none_has_no_mean():
    assert sample([0.4]) == Sample(0.4, None, 1)
    assert over_episodes(np.array([0.4]), 0.1) == (0.4, None, None)
    with pytest.raises(ValueError, match="at least one"):
        sample([])


def test_cell_by_hand(make_results):
    results = make_results(("maml",), ((5, 1),))
    cell = only(replaced(results, "maml", 5, 1, episodes=scored(28, 30, 32)), "maml", 5, 1)
    assert cell.mean == pytest.approx(0.4)
    assert cell.n_episodes == 3
    # sd = 2 of 75, t(0.975, 2) = 4.302653 (a printed t table)
    assert cell.half_width == pytest.approx(4.302653 * 2 / 75 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("counts", [(15, 30, 45), (20, 20, 20), (75, 75), (0, 0, 0), (31,)])
def test_one_cell_has_one_interval_wherever_it_is_printed(counts, make_results):
    """Also where no episode differs from another: what is left is the rounding to one query, not 0.00."""
    results = replaced(make_results(("maml",), ((5, 1),)), "maml", 5, 1, episodes=scored(*counts))
    cell = only(results, "maml", 5, 1)
    assert accuracy_of(scored(*counts)) == accuracy(cell.mean, cell.half_width, cell.interval) + " %"
    assert (cell.half_width or 1) > 0.0


def test_several_seeds_are_averaged_episode_by_episode(make_results):
    results = make_results(("maml",), ((5, 1),), seeds=(0, 1))
    results = replaced(results, "maml", 5, 1, seed=0, episodes=scored(15, 30, 45))
    backwards = scored(60, 45, 30)[::-1]  # joined by id, not by position
    cell = only(replaced(results, "maml", 5, 1, seed=1, episodes=backwards), "maml", 5, 1)
    assert [seed.mean for seed in cell.seeds] == pytest.approx([0.4, 0.6])
    assert cell.mean == pytest.approx(0.5)
    # every episode averages to 37.5 of 75: what is left is the rounding to half a query, the mean of two seeds
    assert cell.half_width == pytest.approx(4.302653 * (1 / 150) / math.sqrt(12) / math.sqrt(3), rel=1e-6)
    assert cell.keys == ("maml-5-1-0", "maml-5-1-1")


def test_a_variant_of_one_seed_among_others_of_several_is_whole(make_results):
    results = make_results(("maml", "anil"), ((5, 1),), seeds=(0, 1))
    results = replace(results, cells=tuple(c for c in results.cells if (c.variant, c.seed) != ("anil", 1)))
    assert only(results, "anil", 5, 1).state == "missing"  # as long as it is not said
    table = summarise(replace(results, seeds_of={"anil": (0,)}))
    assert [(cell.state, len(cell.seeds)) for cell in table.cells] == [("done", 2), ("done", 1)]
    assert table.comparisons[0].seeds == (0,)
    assert "Of one seed alone: anil." in " ".join(note.text for note in general_notes(table))


@pytest.mark.parametrize(("state", "expected"), [("failed", "failed"), ("missing", "missing"), ("partial", "partial")])
def test_worst_seed_decides(make_results, state, expected):
    results = make_results(("maml", "reptile"), ((5, 1),), seeds=(0, 1))
    results = replaced(results, "maml", 5, 1, seed=1, state=state, reason="why", episodes=scored(70, 71))
    results = replaced(results, "maml", 5, 1, seed=0, episodes=scored(75, 75, 75))
    cell = only(results, "maml", 5, 1)
    assert (cell.state, cell.reason, cell.best) == (expected, "seed 1: why", False)
    if state == "partial":
        assert cell.n_episodes == 2
    else:  # the surviving seed must not stand for both
        assert cell.mean is None
        assert cell.half_width is None
        assert cell.seeds[0].mean == 1.0


def test_failed_seed_is_worse_than_a_missing_one(make_results):
    results = make_results(("maml",), ((5, 1),), seeds=(0, 1))
    results = replaced(results, "maml", 5, 1, seed=0, state="failed", reason="NaN at step 3")
    results = replaced(results, "maml", 5, 1, seed=1, state="missing", episodes=())
    cell = only(results, "maml", 5, 1)
    assert (cell.state, cell.reason) == ("failed", "seed 0: NaN at step 3; seed 1: missing")


def test_a_seed_in_the_cells_own_state_is_named_alone(make_results):
    results = make_results(("maml",), ((5, 1),), seeds=(0, 1))
    results = replaced(results, "maml", 5, 1, seed=1, state="missing", episodes=())
    assert why(only(results, "maml", 5, 1)) == "missing: seed 1"


def test_seeds_on_different_episodes_are_not_called_done(make_results):
    results = make_results(("maml",), ((5, 1),), seeds=(0, 1))
    other = tuple(EpisodeResult(i, f"other{i}", 30, 75) for i in range(5))
    cell = only(replaced(results, "maml", 5, 1, seed=1, episodes=other), "maml", 5, 1)
    assert (cell.state, cell.mean, cell.reason) == ("partial", None, "the seeds share only 0 episodes")


def test_partial_says_how_many_and_counts_them(make_results):
    results = make_results(("maml",), ((5, 1),))
    cell = only(replaced(results, "maml", 5, 1, state="partial", episodes=scored(15, 30)), "maml", 5, 1)
    assert (cell.state, cell.reason, cell.n_episodes) == ("partial", "2 of 40 episodes", 2)
    assert cell.mean == pytest.approx(0.3)


def test_failed_episodes_do_not_count(make_results):
    results = make_results(("maml",), ((5, 1),))
    cell = only(replaced(results, "maml", 5, 1, state="failed", reason="NaN"), "maml", 5, 1)
    assert (cell.mean, cell.n_episodes, cell.seeds[0].mean) == (None, 0, None)


def test_best_is_the_highest_done_mean_and_ties_share_it(make_results):
    results = make_results(("a", "b", "c", "d"), ((5, 1),))
    for name, state, counts in (
        ("a", "done", (30, 40)),
        ("b", "done", (40, 30)),
        ("c", "partial", (75,)),
        ("d", "done", (30, 39)),
    ):
        results = replaced(results, name, 5, 1, state=state, episodes=scored(*counts))
    assert [cell.best for cell in summarise(results).rows[0].cells] == [True, True, False, False]


def test_nothing_is_best_alone(make_results):
    results = make_results(("a", "b"), ((5, 1),))
    results = replaced(results, "b", 5, 1, state="missing", episodes=())
    assert not any(cell.best for cell in summarise(results).cells)


def test_rows_of_a_way_stand_together_in_the_order_given(make_results):
    settings = ((20, 5), (5, 1), (20, 1))
    rows = summarise(make_results(("maml",), settings)).rows
    assert [(row.n_way, row.n_shot) for row in rows] == [(20, 5), (20, 1), (5, 1)]
    assert rows[0].chance == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("n_way", "n_shot", "capacity"),
    [(5, 1, 266), (5, 5, 216), (5, 100, 36), (20, 1, 66), (20, 5, 54), (20, 100, 9), (35, 1, 38), (35, 100, 5)],
)
def test_disjoint_episodes_of_36_classes_of_600_images(make_results, n_way, n_shot, capacity):
    experiment = make_results(images_per_novel_class=600).experiment
    assert disjoint_episodes(experiment, n_way, n_shot) == capacity


def test_reuse_is_marked_only_beyond_the_capacity(make_results):
    settings = ((5, 100),)  # a class of 150 images serves one episode, 36 classes serve 7
    assert not summarise(make_results(("maml",), settings, n=7)).rows[0].reuses_images
    assert summarise(make_results(("maml",), settings, n=8)).rows[0].reuses_images


def test_a_cell_left_out_is_missing_and_strays_are_refused(make_results):
    results = make_results(("maml", "reptile"), ((5, 1),))
    assert only(replace(results, cells=results.cells[1:]), "maml", 5, 1).state == "missing"
    stray = CellScore("maml", 7, 1, 0, "k", "done", "", scored(1), 1)
    with pytest.raises(ValueError, match="outside the table: maml 7-way 1-shot seed 0"):
        summarise(replace(results, cells=(*results.cells, stray)))
    with pytest.raises(ValueError, match="two results for maml 5-way 1-shot seed 0"):
        summarise(replace(results, cells=(*results.cells, results.cells[0])))


def test_a_cell_that_shares_no_episodes_with_the_best_is_unclear(make_results):
    results = make_results(("maml", "protonet", "reptile"), ((5, 1),))
    other = tuple(EpisodeResult(i, f"other{i}", 10, 75) for i in range(5))
    maml, protonet, reptile = summarise(replaced(results, "maml", 5, 1, episodes=other)).rows[0].cells
    assert (maml.unclear, maml.near_best) == (True, False)
    best = protonet if protonet.best else reptile
    assert best.best
    assert not best.unclear
    alone = summarise(make_results(("maml",), ((5, 1),))).rows[0].cells[0]
    assert not alone.unclear  # nothing to be tested against


def test_marks_need_no_pairs_but_those_of_the_best(make_results, marked):
    """Each is corrected for all pairs, and hangs on no other."""
    for results in (make_results(seeds=(0, 1)), marked, make_results(("maml",))):
        some, every = summarise(results), summarise(results, every_pair=True)
        assert some.rows == every.rows
        assert set(some.comparisons) <= set(every.comparisons) == set(compare_all(results))
    assert len(summarise(make_results()).comparisons) == 6 * 9
