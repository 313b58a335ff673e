"""What would decide a claim, and what the present episodes can show."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.statistics.estimate import Estimate, Source, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import power_of

MAML_WINS = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer", "protonet"]\n'
CLEAR = {"maml": (0.6, 0.8), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)}


@pytest.fixture
def ahead(make_claims):
    """The judged claim and its outlook."""

    def look(results, text, quantifier="all"):
        whole = judge(make_claims(text, quantifier), results)
        return whole.claims[0], outlook(whole.claims[0], whole.cells)

    return look


def test_power_is_for_the_declared_margin_whatever_was_observed(grid, ahead):
    results = grid(CLEAR)
    one, seen = ahead(results, MAML_WINS)
    n, error = one.link.n_episodes, one.link.estimate.error
    crit = stats.t.ppf(0.95, n - 1)
    assert seen.power == pytest.approx(stats.nct.sf(crit, n - 1, 0.01 / error), rel=1e-6)
    assert ahead(results, MAML_WINS + "margin_points = 5\n")[1].power > seen.power


def test_a_decided_claim_needs_no_more(grid, ahead):
    assert ahead(grid(CLEAR), MAML_WINS)[1].extensions == ()
    assert ahead(grid(CLEAR | {"protonet": (0.5, 0.9)}), MAML_WINS)[1].extensions == ()


def test_an_open_comparison_extends_its_two_cells(grid, ahead):
    results = grid(CLEAR | {"protonet": (0.59, 0.6)})
    one, seen = ahead(results, MAML_WINS)
    assert one.verdict == "undecided"
    assert one.link.estimate.mean > 0
    assert [str(e.place) for e in seen.extensions] == ["maml 5-way 1-shot", "protonet 5-way 1-shot"]
    [more] = {e.more for e in seen.extensions}
    assert seen.seconds == pytest.approx(2 * more * 2.0)
    total, deviation = more + 30, one.link.estimate.error * np.sqrt(30)
    reached = [
        stats.nct.sf(stats.t.ppf(0.95, n - 1), n - 1, one.link.estimate.mean * np.sqrt(n) / deviation)
        for n in (total - 1, total)
    ]
    assert reached[0] < 0.8 <= reached[1]


def test_an_observed_loss_is_decided_by_refuting_the_cheapest(grid, ahead):
    results = grid(CLEAR | {"protonet": (0.605, 0.805)})
    one, seen = ahead(results, MAML_WINS)
    losses = [t for t in one.tested if t.estimate.mean < 0]
    assert one.verdict == "undecided"
    assert len(losses) == 2
    easiest = max(losses, key=lambda t: -t.estimate.mean / t.estimate.error)
    assert {e.place for e in seen.extensions} == {easiest.hypothesis.higher, easiest.hypothesis.lower}


def test_an_observed_tie_is_never_decided(grid, ahead, change):
    results = grid(CLEAR)
    same = results.cells[0].episodes  # maml's with 1 shot
    one, seen = ahead(change(results, "protonet", 1, episodes=same), MAML_WINS)
    assert one.verdict == "undecided"
    assert seen.never == "cannot be said: an observed difference is 0"


def test_unknown_pace_means_unknown_time(grid, ahead):
    results = grid(CLEAR | {"protonet": (0.59, 0.6)})
    results = replace(results, cells=tuple(replace(c, seconds_per_episode=0.0) for c in results.cells))
    seen = ahead(results, MAML_WINS)[1]
    assert seen.extensions
    assert seen.seconds is None


def test_some_is_decided_by_the_cheapest_gain(grid, ahead):
    results = grid({"maml": (0.5, 0.5), "transfer": (0.49, 0.6), "protonet": (0.6, 0.6)})
    one, seen = ahead(results, MAML_WINS, "some")
    assert one.verdict == "undecided"
    assert one.link.estimate.mean > 0
    assert [str(e.place) for e in seen.extensions] == ["maml 5-way 1-shot", "transfer 5-way 1-shot"]


def test_more_shots_extend_the_shorter_cell_more(grid, ahead, change):
    results = grid({"maml": (0.5, 0.51)}, spread=0.1)
    short = change(results, "maml", 5, episodes=results.cells[1].episodes[:6], n_episodes_wanted=6)
    one, seen = ahead(short, 'kind = "more-shots"\nvariants = ["maml"]\n')
    assert one.verdict == "undecided"
    more = {e.place.n_shot: (e.more, e.total) for e in seen.extensions}
    assert more[5][0] == more[1][0] + 24
    assert more[5][1] == more[1][1]


def test_seeds_that_differ_cannot_be_outnumbered_by_episodes(grid, ahead):
    results = grid({"maml": (0.5, 0.8), "transfer": (0.45, 0.5), "protonet": (0.4, 0.6)}, seeds=(0, 1, 2))
    luck = {0: 9, 1: -9, 2: 0}  # queries
    cells = tuple(
        replace(c, episodes=tuple(replace(e, n_correct=e.n_correct + luck[c.seed]) for e in c.episodes))
        if c.variant == "maml"
        else c
        for c in results.cells
    )
    one, seen = ahead(replace(results, cells=cells), MAML_WINS)
    assert one.verdict == "undecided"
    assert "more seeds are needed, not episodes" in seen.never


def test_what_these_classes_hide_needs_more_classes(grid, make_claims):
    """Whether of one seed or of three that agree."""
    one = judge(make_claims(MAML_WINS), grid(CLEAR)).claims[0]
    hidden = Estimate(0.02, (Source(0.001, 29), Source(0.03, 11, 0.03)), new_classes=True)
    for seeds in ((0,), (0, 1, 2)):
        tested = tuple(replace(t, estimate=hidden, seeds=seeds) for t in one.tested)
        seen = outlook(replace(one, tested=tested, verdict="undecided"), {})
        assert seen.never == "as far as these classes tell, more classes are needed, not episodes"


@pytest.mark.parametrize(
    ("n_seeds", "n", "seed", "episode", "rest", "difference"),
    [(3, 40, 0.01, 0.04, 0.03, 0.02), (3, 40, 0.02, 0.02, 0.03, 0.05), (5, 40, 0.01, 0.04, 0.03, 0.02)],
)
def test_power_with_several_seeds_is_what_simulation_finds(n_seeds, n, seed, episode, rest, difference):
    rng, found = np.random.default_rng(3), 0
    for _ in range(600):
        values = difference + rng.normal(0, rest, (n_seeds, n))
        values += rng.normal(0, seed, (n_seeds, 1)) + rng.normal(0, episode, (1, n))
        found += of_seeds_and_episodes(values).p_value(alternative="greater") <= 0.05
    seeds = Source(np.sqrt((seed**2 + rest**2 / n) / n_seeds), n_seeds - 1, seed / np.sqrt(n_seeds))
    measured = Estimate(difference, (seeds, Source(episode / np.sqrt(n), n - 1)))
    # an approximation: within 5 points and two standard errors
    assert power_of(measured, difference, two_sided=False) == pytest.approx(found / 600, abs=0.05 + 0.04)


def test_where_nothing_was_measured_that_comes_first(grid, ahead, change):
    results = change(grid(CLEAR), "maml", 1, episodes=(), state="missing")
    results = change(results, "maml", 5, episodes=(), state="missing")
    one, seen = ahead(results, MAML_WINS)
    assert (one.verdict, one.link) == ("undecided", None)
    assert seen.never == "first, what is incomplete would have to be measured"
