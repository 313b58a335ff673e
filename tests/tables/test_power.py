"""What stored differences say about the episodes still needed, in numbers and in words."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.pairs import compare, compare_variants, differences
from fewshot_bench.tables.power import Needed, all_pairs, hidden_by_classes, hidden_by_seeds, pairs_with_best, powers
from fewshot_bench.tables.power_text import power_details, power_json, power_text
from fewshot_bench.tables.scores import EpisodeResult, cells_by_place
from fewshot_bench.tables.statistics.estimate import Estimate, Source, of_episodes, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import as_it_may_be, episodes_to_separate, power_of, seeds_to_separate

NAMES = ("maml", "reptile", "protonet")


def simulated(make_results, gap=0.02, n=60, seeds=(0,), of_seed=0.0, **changes):
    """protonet above maml by `gap`, reptile as maml; 5-way 1-shot, 75 queries, episodes as hard for all."""
    rng = np.random.default_rng(0)
    results = make_results(NAMES, ((5, 1),), seeds, n, **changes)
    hard = rng.normal(0.5, 0.08, n)
    cells = []
    for cell in results.cells:
        mean = hard + gap * (cell.variant == "protonet") + of_seed * rng.normal() + rng.normal(0, 0.03, n)
        correct = rng.binomial(75, np.clip(mean, 0, 1))
        episodes = tuple(EpisodeResult(i, f"e{i}", int(c), 75) for i, c in enumerate(correct))
        cells.append(replace(cell, episodes=episodes, seconds_per_episode=0.5))
    return replace(results, cells=tuple(cells))


def one(results, first="protonet", second="maml", margin=0.01, power=0.8):
    return powers(results, [(first, second, 5, 1)], margin, power)[0]


def test_the_spread_is_that_of_the_stored_differences(make_results):
    results = simulated(make_results)
    found = one(results)
    cells = cells_by_place(results)
    _, values = differences(cells["protonet", 5, 1], cells["maml", 5, 1])
    assert found.difference == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(np.std(values[0], ddof=1))
    assert (found.n_episodes, found.seeds, found.seed_error) == (60, (0,), None)
    # by another route: the table of Cohen's d
    unit = of_episodes(values[0] / found.deviation)
    alpha, unit_margin = 0.05 / found.n_tests, 0.01 / found.deviation
    assert found.n_tests == 3
    assert found.power == pytest.approx(power_of(unit, unit_margin, alpha))
    assert power_of(unit, found.detectable / found.deviation, alpha) == pytest.approx(0.8)
    assert found.for_margin.n_episodes == episodes_to_separate(unit, 60, unit_margin, alpha=alpha)
    in_units = found.difference / found.deviation
    assert found.for_difference.n_episodes == episodes_to_separate(unit, 60, in_units, alpha=alpha)
    # n = ((2.394 + 0.8416) sd / delta)², 2.394 of 0.05 / 3
    assert found.for_margin.n_episodes == pytest.approx((3.2355 * found.deviation / 0.01) ** 2, rel=0.01)


def test_time_is_that_of_both_variants_in_what_is_missing(make_results):
    results = simulated(make_results)
    found = one(results)
    assert found.for_margin.seconds == pytest.approx((found.for_margin.n_episodes - 60) * (0.5 + 0.5))
    assert one(results, margin=0.5).for_margin.seconds == 0.0  # nothing is missing
    unknown = replace(results, cells=tuple(replace(c, seconds_per_episode=0.0) for c in results.cells))
    assert one(unknown).for_margin.seconds is None


def test_answers(make_results):
    results = simulated(make_results)  # 36 novel classes of 150 images: (36 * (150 // 16)) // 5 = 64 disjoint episodes
    assert one(results).disjoint_episodes == 64
    answers = {margin: one(results, margin=margin).for_margin for margin in (0.001, 0.02, 0.05)}
    assert answers[0.001].answer == answers[0.02].answer == "undecidable within this data"
    assert answers[0.05].answer == "enough"
    larger = simulated(make_results, images_per_novel_class=6000)
    assert one(larger, margin=0.01).for_margin.answer == "more episodes"


def test_enough_episodes_that_re_use_images_are_not_enough_for_other_images(make_results):
    results = simulated(make_results, images_per_novel_class=16)  # 7 disjoint episodes
    found = one(results, margin=0.04)
    assert 7 < found.for_margin.n_episodes <= 60
    assert found.for_margin.answer == "undecidable within this data"


def test_with_seeds_that_differ_more_seeds_are_needed_not_episodes(make_results):
    found = one(simulated(make_results, seeds=(0, 1, 2), of_seed=0.05))
    assert found.seed_error > 0.01
    assert (found.for_margin.n_episodes, found.for_margin.answer) == (None, "more seeds, not episodes")
    assert found.for_margin.seconds is None
    alike = one(simulated(make_results, seeds=(0, 1, 2)), margin=0.05)
    assert alike.for_margin.answer == "enough"


def test_what_seeds_hide():
    assert hidden_by_seeds(Estimate(0.02, (Source(0.01, 2, 0.01), Source(0.001, 59))))
    assert not hidden_by_seeds(Estimate(0.05, (Source(0.01, 2, 0.01), Source(0.1, 59))))
    assert not hidden_by_seeds(Estimate(0.02, (Source(0.01, 2, 0.0), Source(0.001, 59))))
    assert not hidden_by_seeds(Estimate(0.001, (Source(0.1, 59),)))


def test_episodes_that_are_predicted_do_separate(make_results):
    """With as many episodes as were said to be needed, the test finds the difference about as often as asked for."""
    needed = one(simulated(make_results, gap=0.03, n=200), margin=0.03).for_margin.n_episodes
    rng, runs = np.random.default_rng(1), 1000
    hard = rng.normal(0.5, 0.08, (runs, needed))
    draw = [rng.binomial(75, np.clip(hard + gap + rng.normal(0, 0.03, hard.shape), 0, 1)) / 75 for gap in (0.03, 0)]
    values = draw[0] - draw[1]
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) * math.sqrt(needed)
    assert (2 * stats.t.sf(np.abs(t), needed - 1) <= 0.05 / 3).mean() == pytest.approx(0.8, abs=0.07)


def test_pairs_with_the_best_of_each_setting(make_results):
    results = make_results()
    pairs = pairs_with_best(results)
    assert len(pairs) == 9 * 6
    cells = cells_by_place(results)
    for first, second, n_way, n_shot in pairs:
        assert compare(cells[first, n_way, n_shot], cells[second, n_way, n_shot]).mean >= 0
    assert len(all_pairs(results)) == 9 * 21


def test_what_cannot_be_compared_is_said_and_the_same_cell_is_no_pair(make_results, marked):
    found = {(p.first, p.second, p.n_way, p.n_shot): p for p in powers(marked, all_pairs(marked), 0.01)}
    assert found["maml", "fomaml", 5, 1].difference is None
    assert found["transfer", "protonet", 35, 5].n_episodes == 12
    assert "too few shared episodes" in power_details(list(found.values()), 0.01, 0.8)
    results = simulated(make_results)
    twins = replace(results, cells=tuple(replace(c, key="same") for c in results.cells))
    assert powers(twins, all_pairs(twins), 0.01) == []


def test_equal_variants_never_differ(make_results):
    results = simulated(make_results)
    episodes = results.cells[0].episodes
    equal = replace(results, cells=tuple(replace(c, episodes=episodes) for c in results.cells))
    found = one(equal)
    assert (found.difference, found.for_difference.n_episodes, found.for_difference.answer) == (0.0, None, "never")
    assert found.deviation > 0  # rounding's


def test_the_text_says_what_the_numbers_are_about(make_results):
    results = simulated(make_results)
    text = power_details(powers(results, pairs_with_best(results), 0.01), 0.01, 0.8, with_best=True)
    assert "5-way 1-shot: protonet minus" in text
    assert "One training seed: differences of two checkpoints, not of two methods." in text
    assert "corrected for all 3 pairs of a setting" in text
    assert "on these classes" in text
    assert "for 1 point " in text
    assert "* undecidable within this data" in text
    assert "chosen by these same episodes" in text
    assert max(map(len, text.splitlines())) <= 110
    row = next(line.split() for line in text.splitlines() if line.lstrip().startswith("maml"))
    found = one(results)
    assert row[1:6] == [
        "60", "64", f"{100 * found.difference:+.2f}", f"{100 * found.deviation:.2f}", f"{100 * found.detectable:.2f}"
    ]  # fmt: skip
    assert row[7] == f"{found.for_margin.n_episodes}*"


def test_several_seeds_compare_methods(make_results):
    results = simulated(make_results, seeds=(0, 1, 2), of_seed=0.05)
    text = power_details(powers(results, all_pairs(results), 0.02), 0.02, 0.8)
    assert "3 training seeds: differences of methods" in text
    assert "more seeds, not episodes" in text
    assert "for 2 points" in text


def test_one_pair_is_one_block(make_results):
    results = make_results(("maml", "reptile"))
    text = power_details(powers(results, all_pairs(results), 0.01), 0.01, 0.8)
    assert text.count("maml minus reptile") == 1
    assert "35-way 100-shot" in text


def test_json_is_unrounded(make_results):
    results = simulated(make_results)
    found = json.loads(power_json(powers(results, all_pairs(results), 0.01), 0.01, 0.8))
    assert (found["alpha"], found["two_sided"], found["corrected"], found["margin"]) == (0.05, True, True, 0.01)
    assert len(found["pairs"]) == 3
    assert found["pairs"][0]["for_margin"]["answer"] == "undecidable within this data"


def test_a_plan_says_between_what_it_lies():
    """Of pilots with 12 episodes: nine of ten times the range holds what the true spread would need."""
    rng, runs, held = np.random.default_rng(7), 1000, 0
    truth = episodes_to_separate(Estimate(0.0, (Source(0.1 / 12**0.5, 11),)), 12, 0.02)
    for _ in range(runs):
        pilot = of_episodes(rng.normal(0, 0.1, 12))
        low, high = (episodes_to_separate(as_it_may_be(pilot, tail), 12, 0.02) for tail in (0.95, 0.05))
        held += low <= truth <= high
    assert held / runs == pytest.approx(0.9, abs=3 * (0.9 * 0.1 / runs) ** 0.5)


@pytest.mark.parametrize("of_seed", [0.005, 0.01])  # what 271 episodes show, and no number of them
def test_a_plan_from_three_seeds_says_that_they_may_differ_more(of_seed):
    """What three seeds differ by is mostly luck: where they seem to differ by nothing, they may still hide it all."""
    rng, runs, n, of_episode, rest, difference = np.random.default_rng(9), 1000, 60, 0.05, 0.04, 0.02
    lasting = of_seed / 3**0.5
    seeds = Source(math.hypot(lasting, rest / (3 * n) ** 0.5), 2, lasting)
    true = Estimate(0.0, (seeds, Source(of_episode / n**0.5, n - 1)))
    truth = episodes_to_separate(true, n, difference) or math.inf
    assert math.isinf(truth) == (of_seed == 0.01)
    fewest, most = [], []
    for _ in range(runs):
        values = of_seed * rng.standard_normal((3, 1)) + of_episode * rng.standard_normal((1, n))
        pilot = of_seeds_and_episodes(values + rest * rng.standard_normal((3, n)))
        low, high = (episodes_to_separate(as_it_may_be(pilot, tail), n, difference) for tail in (0.95, 0.05))
        fewest.append((low or math.inf) <= truth)
        most.append((high or math.inf) >= truth)
    for side in (fewest, most):
        assert np.mean(side) >= 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5


def test_seeds_that_are_planned_do_separate():
    """Methods whose seeds differ by 2 points, 3 points apart: with the seeds it names, as many are told apart."""
    rng, of_seed, n, runs = np.random.default_rng(8), 0.02, 60, 1000
    stored = Estimate(0.0, (Source(of_seed / 3**0.5, 2, lasting=of_seed / 3**0.5), Source(0.001, n - 1)))
    needed = seeds_to_separate(stored, 3, 0.03)
    planned = Estimate(0.0, (Source(of_seed / needed**0.5, needed - 1), stored.sources[1]))
    found = 0
    for _ in range(runs):
        noise = 0.001 * n**0.5 * rng.standard_normal(n)
        values = 0.03 + of_seed * rng.standard_normal((needed, 1)) + noise
        found += of_seeds_and_episodes(values).p_value() <= 0.05
    assert 0.8 <= power_of(planned, 0.03) < 0.9
    assert found / runs == pytest.approx(power_of(planned, 0.03), abs=3 * (0.16 / runs) ** 0.5)
    assert seeds_to_separate(stored, 3, 1e-6) is None


@pytest.mark.parametrize(("of_classes", "hidden"), [(0.02, True), (0.005, False)])
def test_classes_alone_can_hide_a_difference(of_classes, hidden):
    estimate = Estimate(0.02, (Source(0.05, 99), Source(of_classes, 30, lasting=of_classes)), new_classes=True)
    assert hidden_by_classes(estimate) == hidden
    assert not hidden_by_classes(estimate.here)


def test_the_next_step_is_none_that_was_taken(make_results):
    """The stored episodes show five points, so that none more are asked for: the open pair is closer than that."""
    results = simulated(make_results, gap=0.0)
    pairs = powers(results, [("protonet", "maml", 5, 1)], 0.05)
    assert (pairs[0].shown, pairs[0].for_margin.answer) == (False, "enough")
    assert (
        " ".join(power_text(pairs, 0.05, 0.8).split())
        .partition(" n points power ")[0]
        .endswith(
            "Next step the stored episodes show 5 points; what is open is closer, or needs other classes or seeds"
        )
    )


def test_what_no_number_of_episodes_shows_is_said_with_what_would(make_results):
    """And with the planning error: as far as these classes or seeds tell."""
    found = one(simulated(make_results))
    never, unknown = (None, None), (None, None)
    by_classes = Needed(0.01, None, "undecidable within this data", (220, None), None, unknown, 58, (31, 92), 0.6, None)
    by_seeds = Needed(0.01, None, "more seeds, not episodes", never, 12, (5, None), None, unknown, 0.1, None)
    texts = {
        "58 classes (31 to 92), not episodes (220 to never)": by_classes,
        "58 classes (31 to 92), not episodes": replace(by_classes, between=never),
        "more classes, not episodes": replace(by_classes, between=never, n_classes=None),
        "12 seeds (5 to never), not episodes": by_seeds,
        "more seeds, not episodes (900 to never)": replace(by_seeds, n_seeds=None, between=(900, None)),
        "861 episodes (507 to never)": replace(by_seeds, n_episodes=861, between=(507, None), answer="more episodes"),
        "never": replace(by_seeds, answer="never"),
    }
    for says, needed in texts.items():
        text = power_text([replace(found, for_margin=needed)], 0.01, 0.8)
        row = text.partition("\n\n")[2].partition("\n\n")[0]
        assert " ".join(row.split()).endswith(f" {found.power:.2f} {says}")
        assert max(map(len, text.splitlines())) <= 80


def test_three_lines_say_what_is_decided(make_results):
    results = simulated(make_results, gap=0.05)
    pairs = powers(results, pairs_with_best(results), 0.01)
    first = power_text(pairs, 0.01, 0.8).splitlines()
    assert (n_shown := sum(p.shown for p in pairs))
    assert first[0] == f"Decided      {n_shown} of {len(pairs)} pairs differ significantly, on these classes"
    assert [line.split("  ")[0] for line in first[:3]] == ["Decided", "Not decided", "Next step"]
    assert {(p.first, p.second) for p in pairs if p.shown} == {
        (c.first, c.second) for p in pairs for c in compare_variants(results, p.first, p.second) if c.significant
    }
