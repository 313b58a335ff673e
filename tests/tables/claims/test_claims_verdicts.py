"""Verdicts: what is shown by which test, and what is missing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.papers import load_published

MAML_WINS = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer", "protonet"]\n'
CLEAR = {"maml": (0.6, 0.8), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)}


@pytest.fixture
def judged(make_claims):
    return lambda results, text, quantifier="all": judge(make_claims(text, quantifier), results).claims[0]


def test_all_is_supported_where_every_comparison_is_shown(grid, judged):
    one = judged(grid(CLEAR), MAML_WINS)
    assert (one.verdict, one.n_true, one.n_false, one.missing) == ("supported", 4, 0, ())


def test_all_is_refuted_by_one_and_the_link_is_that_one(grid, judged):
    one = judged(grid(CLEAR | {"protonet": (0.5, 0.9)}), MAML_WINS)
    assert (one.verdict, one.n_true, one.n_false) == ("refuted", 3, 1)
    assert str(one.link.hypothesis) == "5-way 5-shot maml > protonet"
    assert one.link.estimate.mean < -0.05


def test_all_is_undecided_where_one_is_open(grid, judged):
    one = judged(grid(CLEAR | {"protonet": (0.5, 0.8)}), MAML_WINS)
    assert (one.verdict, one.n_true, one.n_false) == ("undecided", 3, 0)
    assert str(one.link.hypothesis) == "5-way 5-shot maml > protonet"


def test_some_is_the_mirror_of_all(grid, judged):
    worst = grid({"maml": (0.3, 0.4), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)})
    assert judged(worst, MAML_WINS, "some").verdict == "refuted"
    one = judged(grid({"maml": (0.3, 0.7), "transfer": (0.4, 0.5), "protonet": (0.5, 0.9)}), MAML_WINS, "some")
    assert (one.verdict, one.n_true) == ("supported", 1)
    assert str(one.link.hypothesis) == "5-way 5-shot maml > transfer"
    level = {"maml": (0.5, 0.5), "transfer": (0.5, 0.5), "protonet": (0.5, 0.5)}
    assert judged(grid(level), MAML_WINS, "some").verdict == "undecided"


def test_the_p_values_are_those_of_one_sided_paired_t_tests(grid, judged):
    results = grid(CLEAR)
    one = judged(results, MAML_WINS)
    cells = {(cell.variant, cell.n_shot): [e.accuracy for e in cell.episodes] for cell in results.cells}
    for tested in one.tested:
        high, low = tested.hypothesis.higher, tested.hypothesis.lower
        a, b = cells[high.variant, high.n_shot], cells[low.variant, low.n_shot]
        assert tested.p_true == pytest.approx(stats.ttest_rel(a, b, alternative="greater").pvalue, rel=1e-6)
        assert tested.p_false == pytest.approx(stats.ttest_rel(a, b, alternative="less").pvalue, rel=1e-6)


def test_above_chance_is_tested_against_guessing(grid, judged):
    results = grid({"maml": (0.21, 0.6)})
    one = judged(results, 'kind = "above-chance"\nvariants = ["maml"]\n')
    accuracies = [e.accuracy for e in results.cells[0].episodes]
    expected = stats.ttest_1samp(accuracies, 0.2, alternative="greater").pvalue
    assert one.tested[0].p_true == pytest.approx(expected, rel=1e-6)
    assert one.tested[0].estimate.mean == pytest.approx(np.mean(accuracies) - 0.2)
    below = judged(grid({"maml": (0.15, 0.6)}), 'kind = "above-chance"\nvariants = ["maml"]\n')
    assert below.verdict == "refuted"


def test_more_shots_are_paired_by_number_because_the_ids_differ(grid, judged, change):
    results = grid({"maml": (0.4, 0.6)})
    shuffled = change(results, "maml", 5, episodes=results.cells[1].episodes[::-1])
    one = judged(shuffled, 'kind = "more-shots"\nvariants = ["maml"]\n')
    few, more = ([e.accuracy for e in cell.episodes] for cell in results.cells)
    assert one.tested[0].n_episodes == 30
    assert one.tested[0].p_true == pytest.approx(stats.ttest_rel(more, few, alternative="greater").pvalue, rel=1e-6)


def test_more_shots_with_fewer_episodes_are_no_gap(grid, judged, change):
    results = grid({"maml": (0.4, 0.6)})
    short = change(results, "maml", 5, episodes=results.cells[1].episodes[:6], n_episodes_wanted=6)
    one = judged(short, 'kind = "more-shots"\nvariants = ["maml"]\n')
    assert (one.verdict, one.tested[0].n_episodes, one.missing) == ("supported", 6, ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "missing", "episodes": ()}, "protonet 5-way 1-shot: not measured"),
        ({"state": "failed", "episodes": (), "reason": "NaN at step 3"}, "protonet 5-way 1-shot: NaN at step 3"),
    ],
)
def test_what_is_missing_cannot_be_supported_but_can_be_refuted(changes, reason, grid, judged, change):
    one = judged(change(grid(CLEAR), "protonet", 1, **changes), MAML_WINS)
    assert (one.verdict, one.n_true, one.missing) == ("undecided", 3, (reason,))
    refuted = change(grid(CLEAR | {"transfer": (0.9, 0.5)}), "protonet", 1, **changes)
    assert judged(refuted, MAML_WINS).verdict == "refuted"
    assert judged(refuted, MAML_WINS, "some").verdict == "supported"
    none = {"maml": (0.3, 0.4), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)}
    assert judged(change(grid(none), "protonet", 1, **changes), MAML_WINS, "some").verdict == "undecided"


def test_a_partial_cell_cannot_support(grid, judged, change):
    results = grid(CLEAR)
    short = change(results, "protonet", 1, state="partial", episodes=results.cells[-2].episodes[:20])
    one = judged(short, MAML_WINS)
    assert one.missing == ("protonet 5-way 1-shot: 20 of 30 episodes",)
    assert (one.verdict, one.n_true) == ("undecided", 4)


def test_cells_that_share_too_little_cannot_support(grid, judged, change):
    results = grid(CLEAR)
    others = tuple(replace(e, episode_id=f"other-{e.number}") for e in results.cells[-2].episodes[:10])
    mixed = change(results, "protonet", 1, episodes=(*others, *results.cells[-2].episodes[10:]))
    one = judged(mixed, MAML_WINS)
    assert one.missing == ("maml 5-way 1-shot and protonet 5-way 1-shot: 20 shared episodes",)
    assert one.verdict == "undecided"


def test_counts_of_true_and_false_have_one_correction(grid, judged):
    """p = 0.03 either way is neither shown true nor shown false among four; alone it is."""
    results = grid({"maml": (0.52, 0.5), "transfer": (0.5, 0.52), "protonet": (0.3, 0.3)})
    one = judged(results, MAML_WINS)
    open_ones = [(t, shown) for t, shown in zip(one.tested, one.shown, strict=True) if shown is None]
    assert [min(t.p_true, t.p_false) < 0.05 for t, _ in open_ones] == [True, True]
    assert (one.n_true, one.n_false) == (2, 0)


def test_agreement_compares_the_comparisons(make_claims, make_results):
    """The paper's failing comparison is shown true here, and another one false."""
    claim = make_claims(
        'kind = "better"\nbetter = ["maml-mtl"]\nworse = ["protonet", "transfer"]\nways = [5]\nshots = [5]',
        published="eshratifar2019",
    )
    results = make_results(("maml-mtl", "protonet", "transfer"), ((5, 5),))

    def judged(**means):
        cells = tuple(
            replace(c, episodes=tuple(replace(e, n_correct=means[c.variant] + e.number % 3) for e in c.episodes))
            for c in results.cells
        )
        return judge(claim, replace(results, cells=cells), load_published()).claims[0]

    alike = judged(**{"maml-mtl": 45, "protonet": 50, "transfer": 30})
    assert alike.paper.verdict == "not in that order"
    assert (alike.verdict, alike.agreement) == ("refuted", "agrees")
    other = judged(**{"maml-mtl": 45, "protonet": 30, "transfer": 50})
    assert (other.verdict, other.agreement, other.n_opposite) == ("refuted", "agrees in part", 2)


def test_what_was_not_selected_is_missing(grid, judged):
    results = grid({name: CLEAR[name] for name in ("maml", "transfer")})
    one = judged(results, MAML_WINS)
    assert one.missing == ("protonet 5-way 1-shot: not selected", "protonet 5-way 5-shot: not selected")
    assert one.verdict == "undecided"


def test_nothing_measured_is_undecided(grid, judged):
    results = grid(CLEAR)
    empty = replace(results, cells=tuple(replace(c, state="missing", episodes=()) for c in results.cells))
    one = judged(empty, MAML_WINS)
    assert (one.verdict, one.link, len(one.missing)) == ("undecided", None, 6)
    assert outlook(one, {}).power is None


def test_a_missing_comparison_keeps_its_place_in_holms_family(grid, judged):
    """p = 0.02 refutes alone, but not as one of four."""
    results = grid({"maml": (0.5, 0.8), "transfer": (0.521, 0.5), "protonet": (0.4, 0.6)})
    assert 0.05 / 4 < judged(results, MAML_WINS).tested[0].p_false < 0.05
    assert judged(results, MAML_WINS).verdict == "undecided"
    gone = replace(results, cells=tuple(c for c in results.cells if c.variant != "protonet" and c.n_shot == 1))
    assert judged(gone, MAML_WINS).verdict == "undecided"
    alone = MAML_WINS.replace(', "protonet"', "") + "shots = [1]\n"
    assert judged(results, alone).verdict == "refuted"


def test_with_several_seeds_their_variance_counts(grid, judged):
    one = judged(grid(CLEAR, seeds=(0, 1, 2)), MAML_WINS)
    assert (one.verdict, one.tested[0].seeds) == ("supported", (0, 1, 2))
    luck = {0: 9, 1: -9, 2: 0}  # queries
    cells = tuple(
        replace(c, episodes=tuple(replace(e, n_correct=e.n_correct + luck[c.seed]) for e in c.episodes))
        if c.variant == "maml"
        else c
        for c in grid(CLEAR | {"transfer": (0.55, 0.5)}, seeds=(0, 1, 2), spread=0.02).cells
    )
    results = replace(grid(CLEAR, seeds=(0, 1, 2)), cells=cells)
    assert judged(results, MAML_WINS).verdict == "undecided"
    first = replace(results, seeds=(0,), cells=tuple(c for c in cells if c.seed == 0))
    assert judged(first, MAML_WINS).verdict == "supported"


def test_a_failed_seed_is_named(grid, judged):
    results = grid(CLEAR, seeds=(0, 1))
    cells = tuple(
        replace(c, state="failed", reason="NaN", episodes=()) if (c.variant, c.n_shot, c.seed) == ("maml", 1, 1) else c
        for c in results.cells
    )
    one = judged(replace(results, cells=cells), MAML_WINS)
    assert one.missing == ("maml 5-way 1-shot: seed 1 NaN",)
    assert one.verdict == "undecided"


def test_one_seed_of_several_decides_nothing_about_methods(grid, judged):
    """Two of three do, and say so."""
    results = grid(CLEAR | {"maml": (0.3, 0.4)}, seeds=(0, 1, 2))
    for left, verdict in ((1, "undecided"), (2, "refuted")):
        cells = tuple(c if c.seed < left else replace(c, state="missing", episodes=()) for c in results.cells)
        one = judged(replace(results, cells=cells), MAML_WINS)
        assert one.verdict == verdict
        assert one.missing[0] == f"maml 5-way 1-shot: {'seeds 1, 2' if left == 1 else 'seed 2'} not measured"
