"""Paired comparisons: what is paired, what is said where little is shared, and the error rates by simulation."""

import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.comparison_text import render_comparisons
from fewshot_bench.tables.layout import notes
from fewshot_bench.tables.pairs import compare, compare_all, compare_variants, differences, spread_among, spreads_of
from fewshot_bench.tables.power import all_pairs, powers
from fewshot_bench.tables.power_text import power_text
from fewshot_bench.tables.scores import CellScore, EpisodeResult, quantum
from fewshot_bench.tables.statistics.classes import ClassAnswers
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.summary import summarise

N_QUERIES = 75


def cell(variant, n_correct, seed=0, state="done", first=0, n_way=5, n_shot=1):
    """A cell whose episodes are numbered from `first` on."""
    episodes = tuple(EpisodeResult(first + i, f"e{first + i}", int(n), N_QUERIES) for i, n in enumerate(n_correct))
    return CellScore(variant, n_way, n_shot, seed, f"{variant}-{n_way}-{n_shot}-{seed}", state, "", episodes)


def test_paired_t_test_is_scipys():
    a, b = np.random.default_rng(0).integers(30, 60, (2, 40))
    found = compare([cell("a", a)], [cell("b", b)])
    expected = stats.ttest_rel(a / N_QUERIES, b / N_QUERIES)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.estimate.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)
    assert found.mean == pytest.approx((a - b).mean() / N_QUERIES)
    assert found.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert (found.first, found.second, found.n_episodes, found.seeds) == ("a", "b", 40, (0,))


def test_the_other_way_round_only_the_sign_changes():
    a, b = np.random.default_rng(1).integers(30, 60, (2, 12))
    forth, back = compare([cell("a", a)], [cell("b", b)]), compare([cell("b", b)], [cell("a", a)])
    assert back.mean == -forth.mean
    assert back.effect == pytest.approx(-forth.effect)
    assert back.p == pytest.approx(forth.p)


def test_the_widest_numbers_stand_apart_within_80_columns():
    a = np.random.default_rng(2).integers(60, 75, 40)
    found = replace(
        compare([cell("a", a, n_way=35, n_shot=100)], [cell("b", a - 57 - a % 2, n_way=35, n_shot=100)]), n_tests=78
    )
    line = next(line for line in render_comparisons([found], "text").splitlines() if line.startswith(" 35-way"))
    assert re.search(r"\+\d\d\.\d\d to \+\d\d\.\d\d +< 0\.0001 +< 0\.0001  higher$", line)
    assert len(line) <= 80


def test_text_and_json_end_an_interval_alike():
    """Of two episodes that t would have reach beyond 100 points."""
    found = compare([cell("a", [70, 20])], [cell("b", [10, 25])])
    assert "-100.00 to +100.00" in render_comparisons([found], "text")
    [one] = json.loads(render_comparisons([found], "json"))["comparisons"]
    assert (one["low"], one["high"]) == (-1.0, 1.0)


def with_answers(variant, n_episodes, error, first=0):
    """A cell of 12 classes, 15 queries of each of 5 in an episode; the same episodes for all."""
    classes = np.stack([np.random.default_rng(i).permutation(12)[:5] for i in range(n_episodes)])
    wrong = np.random.default_rng(int(1000 * error)).random((40, 5, 15))[:n_episodes] < error
    made = cell(variant, 75 - wrong.sum(axis=(1, 2)), first=first)
    return replace(made, answers=ClassAnswers(classes, (np.arange(5)[:, None] + wrong) % 5, 12))


def test_a_cell_with_fewer_episodes_is_compared_for_classes_like_these_on_those_that_both_have():
    more, fewer, as_many = with_answers("a", 40, 0.2), with_answers("b", 25, 0.4), with_answers("a", 25, 0.2)
    found = compare([more], [fewer])
    assert (found.n_episodes, found.estimate.scope) == (25, "for classes like these")
    assert found.estimate == compare([as_many], [fewer]).estimate
    apart = compare([more], [with_answers("b", 25, 0.4, first=5)])  # not the first ones of both
    assert apart.estimate.scope == "on these classes"
    unknown = compare([more], [replace(fewer, answers=None)])
    assert unknown.estimate.scope == "on these classes"


def test_only_shared_episodes_count_and_pair_by_their_ids():
    a, b = cell("a", [70, 10, 20, 30]), cell("b", [11, 22, 33, 0], first=1)
    mixed = CellScore(**{**vars(b), "episodes": b.episodes[::-1]})
    for second in (b, mixed):
        seeds, values = differences([a], [second])
        assert seeds == (0,)
        assert values[0] * N_QUERIES == pytest.approx([-1, -2, -3])


def test_nothing_shared():
    found = compare([cell("a", [1, 2])], [cell("b", [3, 4], first=2)])
    assert (found.n_episodes, found.mean, found.estimate, found.p, found.effect) == (0, None, None, None, None)
    assert not found.significant


def test_one_shared_episode_has_a_difference_but_no_test():
    found = compare([cell("a", [30, 40])], [cell("b", [33], first=1)])
    assert found.mean == pytest.approx(7 / N_QUERIES)
    assert (found.n_episodes, found.estimate, found.p, found.effect) == (1, None, None, None)


@pytest.mark.parametrize("state", ["failed", "missing"])
def test_failed_and_missing_cells_are_not_compared(state):
    found = compare([cell("a", [30, 40, 50])], [cell("b", [], state=state)])
    assert (found.seeds, found.n_episodes, found.p) == ((), 0, None)


def test_a_partial_cell_is_compared_on_what_it_has():
    found = compare([cell("a", [30, 40, 50, 60])], [cell("b", [20, 35, 41], state="partial")])
    assert found.n_episodes == 3
    assert found.mean == pytest.approx((10 + 5 + 9) / 3 / N_QUERIES)


def test_several_seeds_are_compared_seed_by_seed():
    rng = np.random.default_rng(2)
    a, b = rng.integers(30, 60, (2, 3, 20))
    found = compare(
        [cell("a", n, seed) for seed, n in zip((0, 1, 2), a, strict=True)],
        [cell("b", n, seed) for seed, n in zip((2, 0, 1), b[[2, 0, 1]], strict=True)],
    )
    assert found.seeds == (0, 1, 2)
    assert found.mean == pytest.approx((a - b).mean() / N_QUERIES)
    assert found.estimate.sources[0].degrees == 2  # three seeds


def test_a_seed_that_only_one_has_is_left_out():
    rng = np.random.default_rng(3)
    a, b = rng.integers(30, 60, (2, 3, 20))
    failed = cell("b", [], seed=1, state="failed")
    found = compare([cell("a", n, seed) for seed, n in enumerate(a)], [cell("b", b[0], 0), failed, cell("b", b[2], 2)])
    assert found.seeds == (0, 2)
    assert found.mean == pytest.approx((a[[0, 2]] - b[[0, 2]]).mean() / N_QUERIES)
    alone = compare([cell("a", n, seed) for seed, n in enumerate(a)], [cell("b", b[1], 1)])
    assert alone.seeds == (1,)
    assert alone.p == compare([cell("a", a[1], 1)], [cell("b", b[1], 1)]).p


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_identical_variants_do_not_differ(n_seeds):
    n = np.random.default_rng(4).integers(30, 60, (n_seeds, 50))
    found = compare(*([cell(name, row, seed) for seed, row in enumerate(n)] for name in "ab"))
    assert found.mean == 0
    assert found.p == 1.0
    assert found.effect is None


def test_variants_that_answer_all_alike_have_seeds_and_no_error_of_classes(make_results):
    """Both at 100 %: the step of a query is all the error there is, and no class adds to it."""
    sides = [[replace(with_answers(v, 12, 0.0), seed=s, key=f"{v}-{s}") for s in range(3)] for v in "ab"]
    found = compare(*sides, n_tests=3, spread=Spread(1e-4, 4.0, 4.0))
    assert (found.estimate.seeds, found.estimate.here.sources) == (found.estimate.sources[0], found.estimate.sources)
    assert (found.p_corrected, found.equivalent(0.4)) == (1, "on these classes")  # which may hide the rare ones
    results = replace(make_results("ab", ((5, 1),), seeds=(0, 1, 2)), cells=tuple(c for of in sides for c in of))
    [power] = powers(results, [("a", "b", 5, 1)], 0.01)
    assert power.seed_error > 0


def test_one_query_in_each_of_two_episodes_is_not_significant():
    found = compare([cell("a", [31, 41])], [cell("b", [30, 40])])
    assert found.mean == pytest.approx(1 / N_QUERIES)
    assert found.p > 0.05
    assert not found.significant


def test_equal_differences_have_no_effect_size_of_rounding():
    a = np.array([39, 45, 48, 54, 15])
    assert compare([cell("a", a)], [cell("b", a - 3)]).effect is None


def test_seeds_that_are_not_shared_do_not_make_the_step_smaller():
    """The least deviation that counts is that of the seeds compared, however many cells stand beside them."""
    a = [cell("a", [31, 41], seed) for seed in range(5)]
    found = compare(a, [cell("b", [30, 40], 3)])
    assert found.p == compare(a[3:4], [cell("b", [30, 40], 3)]).p > 0.05
    assert quantum(a, (3,)) == 1 / N_QUERIES
    assert quantum(a, (3, 4)) == 1 / (2 * N_QUERIES)


def test_one_pair_reads_the_same_wherever_it_is_shown(make_results):
    """The family is all pairs of a setting: of the variants measured there, not of those that are shown."""
    results = make_results(("maml", "protonet", "reptile", "transfer"), ((5, 1), (20, 5)))
    table = {(c.first, c.second, c.n_way): c for c in compare_all(results)}
    assert len(table) == 6 * 2
    two = compare_variants(results, "maml", "reptile")
    assert [(c.n_way, c.n_shot) for c in two] == list(results.settings)
    assert all(c == table[c.first, c.second, c.n_way] for c in two)
    assert all(c.p_corrected == min(1, 6 * c.p) for c in table.values())
    alone = replace(results, variants=("maml", "reptile"), n_measured=dict.fromkeys(results.settings, 4))
    assert compare_variants(alone, "maml", "reptile") == two
    assert {c.n_tests for c in compare_variants(replace(alone, n_measured={}), "maml", "reptile")} == {1}


def seeded(variants, n_seeds=3, lead=0, n=20):
    """Three seeds that move every variant by a few queries, and the last one by `lead` more."""
    rng = np.random.default_rng(8)
    hard = rng.integers(25, 45, n)
    return {
        v: [cell(v, hard + rng.integers(-3, 4) + rng.integers(-3, 4, n) + lead * (v == variants[-1]), s)
            for s in range(n_seeds)]
        for v in variants
    }  # fmt: skip


def test_few_seeds_borrow_from_the_pairs_measured_beside_them(make_results):
    variants = ("a", "b", "c", "d", "e", "f")
    cells = seeded(variants, lead=24)
    results = replace(
        make_results(variants, ((5, 1),), seeds=(0, 1, 2)), cells=tuple(c for of in cells.values() for c in of)
    )
    table = {(c.first, c.second): c for c in compare_all(results)}
    alone = {pair: compare(cells[pair[0]], cells[pair[1]], n_tests=15) for pair in table}
    with_last = [pair for pair in table if "f" in pair]
    assert sum(table[pair].significant for pair in with_last) > sum(alone[pair].significant for pair in with_last)
    for pair, found in table.items():
        assert (found.estimate, found.p) == (alone[pair].estimate, alone[pair].p)  # a pair's own interval is its own
        assert found.p_corrected >= found.p
        assert found.in_family.seeds.error >= found.estimate.seeds.error
        assert not found.significant or found.estimate.half_width() < abs(found.mean)
        [power] = powers(results, [(*pair, 5, 1)], 0.01)
        assert power.shown == found.significant
    # what is shown of the six changes nothing
    two = replace(results, variants=("a", "f"), n_measured={(5, 1): 6}, spreads=spreads_of(results))
    assert compare_variants(two, "a", "f") == (table["a", "f"],)
    other_way = replace(results, variants=variants[::-1])
    assert spreads_of(other_way)[5, 1].variance == pytest.approx(spreads_of(results)[5, 1].variance)
    # two seeds, or two variants, borrow nothing
    for fewer in ({v: of[:2] for v, of in cells.items()}, {v: cells[v] for v in "ab"}):
        assert spread_among(fewer.values()) is None


def of_network(cells, name):
    return [replace(c, weights=f"{name}-{c.seed}") for c in cells]


def test_what_is_said_of_seeds_and_families_is_of_all_that_is_shown(make_results):
    """In one setting three variants are measured, in the other all six; what is borrowed is said, in every output."""
    variants, few = tuple("abcdef"), tuple("abc")
    cells = seeded(variants)
    more = [replace(c, n_shot=5, key=f"5-{c.key}") for v in few for c in cells[v]]
    results = replace(
        make_results(few, ((5, 1), (5, 5)), seeds=(0, 1, 2)),
        cells=(*(c for v in few for c in cells[v]), *more),
        n_measured={(5, 1): 6},
        spreads={(5, 1): spread_among(cells.values())},
    )
    pairs = powers(results, all_pairs(results), 0.01)
    assert {p.n_shot: p.borrowed > 0 for p in pairs} == {1: True, 5: True}
    for p, c in zip(pairs, compare_all(results), strict=True):
        assert p.borrowed == c.in_family.seeds.degrees - 2
    told = power_text(pairs, 0.01, 0.8), render_comparisons(compare_all(results), "text")
    table = summarise(results)
    for text in (*told, " ".join(note.text for note in notes(table))):
        assert "3 to 15 pairs" in " ".join(text.split())
    assert "known from these few, and from other pairs." in " ".join(told[0].split())
    assert told[1].startswith("Methods compared over 3 training seeds; ")
    alone = powers(replace(results, spreads=dict.fromkeys(results.settings)), all_pairs(results), 0.01)
    assert {p.borrowed for p in alone} == {0}
    assert "how seeds vary is known from these few." in " ".join(power_text(alone, 0.01, 0.8).split())


def test_heads_of_one_training_are_no_more_degrees_of_freedom():
    cells = seeded(("a", "b", "c", "d"))
    one = {v: of_network(of, "w" if v in "ab" else v) for v, of in cells.items()}
    assert (spread_among(cells.values()).most, spread_among(one.values()).most) == (6, 4)
    five = {v: of_network(of, "w" if v in "ab" else v) for v, of in seeded("abcd", n_seeds=5).items()}
    for some in (slice(3), slice(1, 4)):  # which seeds of it a head has, makes no training of its own
        assert spread_among({**five, "b": five["b"][some]}.values()).most == 4 + 4


def test_seeds_that_only_some_have_are_no_more_degrees_of_freedom_than_they_compare():
    three, five = seeded("abcd"), seeded("abcd", n_seeds=5)
    whole = spread_among(three.values())
    lone = spread_among([five["a"][:4], *([*three[v]] for v in "bcd")])
    assert (whole.most, lone.most) == (6, 6)
    assert spread_among([five["a"][:4], [*five["b"][:3], five["b"][4]], three["c"], three["d"]]).most == 6
    assert spread_among([five["a"][:4], five["b"][:4], three["c"], three["d"]]).most == 7
    renamed = {v: [replace(c, seed=7 * c.seed + 11) for c in of] for v, of in three.items()}
    assert spread_among(renamed.values()) == whole


def test_what_no_seed_moves_tells_nothing_of_how_seeds_vary():
    """Frozen networks, under several names: their pairs with one that varies are its variance, again and again."""
    cells = seeded("abcdef")
    frozen = {v: [replace(cells[v][0], seed=s, key=f"{v}-{s}") for s in range(3)] for v in "def"}
    assert (
        spread_among([*(cells[v] for v in "abc"), *frozen.values()]).most == spread_among(cells[v] for v in "abc").most
    )
    assert spread_among([cells["a"], *frozen.values()]) is None
    found = compare(frozen["d"], frozen["e"], n_tests=6, spread=spread_among(cells.values()))
    assert found.p_corrected >= found.p


@pytest.mark.parametrize("state", ["done", "partial"])
def test_a_cell_that_was_just_begun_changes_nothing_of_others(state):
    """Of few episodes the means would vary by chance as training seeds do not."""
    *whole, begun = seeded("abcde").values()
    begun = [replace(c, state=state, episodes=c.episodes[:2]) for c in begun]
    spread = spread_among(whole)
    assert spread_among([begun, *whole]) == spread
    assert spread_among([[*whole[0][:2], begun[2]], *whole[1:]]) == spread_among(whole[1:])
    borrows = [compare(whole[0], other, n_tests=10, spread=spread) for other in (whole[1], begun)]
    assert [c.in_family != c.estimate for c in borrows] == [True, False]


def test_variants_without_a_shared_episode_lend_nothing():
    cells = seeded(("a", "b", "c"))
    elsewhere = [cell("c", [30, 40], s, first=100) for s in range(3)]
    assert spread_among(cells.values())
    assert spread_among([cells["a"], cells["b"], elsewhere]) is None
    failed = [replace(c, state="failed", episodes=()) for c in cells["c"]]
    assert spread_among([cells["a"], cells["b"], failed]) is None


def test_few_episodes_cannot_tell():
    """Six episodes of which the test would miss a lead over chance are no tie; many alike ones are."""
    rng = np.random.default_rng(0)
    few, many = ([[cell(v, rng.integers(20, 35, n))] for v in "ab"] for n in (6, 600))
    assert compare(*few, n_tests=21).cannot_tell
    assert not compare(*many, n_tests=21).cannot_tell
    assert not compare(*many, n_tests=21).significant
    clear = compare([cell("a", [60, 61, 62])], [cell("b", [20, 21, 22])])
    assert clear.significant
    assert not clear.cannot_tell


@pytest.mark.slow
@pytest.mark.parametrize("where", ["everywhere", "rare"])
def test_a_difference_of_the_margin_is_rarely_equivalent(where):
    """Two points, in every episode or all of it in one of twenty-five."""
    rng, n_grids, wrong = np.random.default_rng(5), 1000, 0
    for _ in range(n_grids):
        a = rng.binomial(N_QUERIES, 0.7, 300)
        lost = rng.binomial(N_QUERIES, 0.02, 300) if where == "everywhere" else 38 * (rng.random(300) < 0.04)
        wrong += compare([cell("a", a)], [cell("b", np.maximum(0, a - lost))]).equivalent(0.02) is not None
    assert wrong / n_grids <= 0.05 + 2 * (0.05 * 0.95 / n_grids) ** 0.5
    same = compare([cell("a", a)], [cell("b", a - rng.integers(-1, 2, 300))])
    assert same.equivalent(0.02)
    assert not same.equivalent(0.0)


@pytest.mark.slow
def test_a_loss_of_the_margin_in_rare_classes_is_no_equivalence_for_classes_like_these():
    """One class of 25 loses half of its answers: 2 points over all classes, and nothing where none of twelve is one."""
    rng, n_grids, found = np.random.default_rng(6), 100, []
    for _ in range(n_grids):
        first = with_answers("a", 40, 0.2)
        bad = (rng.random(12) < 0.04)[first.answers.classes][:, :, None] & (rng.random((40, 5, 15)) < 0.5)
        given = (first.answers.given + bad) % 5
        right = (given == np.arange(5)[:, None]).sum(axis=(1, 2))
        answers = ClassAnswers(first.answers.classes, given, 12)
        found.append(compare([first], [replace(cell("b", right), answers=answers)]).equivalent(0.02 + 0.18))
    # 20 points are enough for so few episodes, but not for twelve classes
    assert found.count("for classes like these") <= 0.05 * n_grids
    assert found.count("on these classes") >= 0.9 * n_grids


def test_settings_that_only_one_side_has_are_left_out(make_results):
    results = make_results(("maml", "protonet"), ((5, 1), (5, 5)))
    kept = tuple(cell for cell in results.cells if (cell.variant, cell.n_shot) != ("maml", 1))
    assert [c.n_shot for c in compare_variants(replace(results, cells=kept), "maml", "protonet")] == [5]
    assert compare_variants(results, "maml", "nobody") == ()


def alike(rng, n_seeds, n_episodes, of_seed=0.0, n_shot=1):
    """Two variants that differ by nothing but luck: episodes of one difficulty, seeds, and queries."""
    ease = np.clip(0.6 + 0.08 * rng.standard_normal(n_episodes), 0, 1)
    cells = []
    for variant in "ab":
        accuracy = np.clip(ease + of_seed * rng.standard_normal((n_seeds, 1)), 0, 1)
        n_correct = rng.binomial(N_QUERIES, accuracy, (n_seeds, n_episodes))
        cells.append([cell(variant, n, seed, n_shot=n_shot) for seed, n in enumerate(n_correct)])
    return cells


@pytest.mark.slow
@pytest.mark.parametrize("n_episodes", [6, 60])
def test_false_alarms_of_one_comparison_are_nominal(n_episodes):
    rng = np.random.default_rng(n_episodes)
    n_grids = 2000
    wrong = sum(compare(*alike(rng, 1, n_episodes)).p <= 0.05 for _ in range(n_grids))
    assert abs(wrong / n_grids - 0.05) <= 2 * (0.05 * 0.95 / n_grids) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("n_seeds", "of_seed"), [(2, 0.0), (2, 0.02), (3, 0.0), (3, 0.02)])
def test_false_alarms_between_methods_are_at_most_nominal(n_seeds, of_seed):
    rng = np.random.default_rng(n_seeds)
    n_grids = 1000
    wrong = sum(compare(*alike(rng, n_seeds, 30, of_seed)).p <= 0.05 for _ in range(n_grids))
    assert 0.005 < wrong / n_grids <= 0.05 + 2 * (0.05 * 0.95 / n_grids) ** 0.5


@pytest.mark.slow
def test_false_findings_in_a_setting_are_at_most_nominal():
    """Seven variants that do not differ, 21 pairs: any of them found in at most 5 % of settings, and often near it."""
    rng = np.random.default_rng(9)
    n_grids, wrong = 1000, 0
    for _ in range(n_grids):
        cells = [side for _ in range(4) for side in alike(rng, 1, 20)][:7]
        wrong += any(compare(a, b, n_tests=21).significant for a, b in combinations(cells, 2))
    assert 0.01 < wrong / n_grids <= 0.05 + 2 * (0.05 * 0.95 / n_grids) ** 0.5
