"""Error rates of the verdicts on simulated grids of known truth, within two standard errors of what they promise."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fewshot_bench.tables.claims.file import Place
from fewshot_bench.tables.claims.measuring import cells_of
from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import judge_claim
from fewshot_bench.tables.pairs import compare, spread_among
from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.tables.statistics.power import power_of

N_QUERIES = 75
PAIRS = 'kind = "better"\npairs = [["maml", "transfer"], ["maml", "protonet"], ["maml", "reptile"]]\nshots = [5]\n'
MORE = 'kind = "more-shots"\nvariants = ["maml", "transfer"]\n'
CHANCE = 'kind = "above-chance"\nvariants = ["maml", "transfer"]\n'


@pytest.fixture
def world(make_results):
    """Grids drawn from true accuracies (variant, n_shot) -> fraction; episodes are of unequal difficulty."""

    def make(truth, n=24, seeds=(0,), luck=0.0):
        variants, shots = (tuple(dict.fromkeys(place[i] for place in truth)) for i in (0, 1))
        results = make_results(variants, tuple((5, shot) for shot in shots), seeds, n=1)

        def draw(rng):
            difficulty = rng.normal(0, 0.05, n)  # of an episode, the same for every variant and shot
            cells = []
            for cell in results.cells:
                p = truth[cell.variant, cell.n_shot] + difficulty + (rng.normal(0, luck) if luck else 0.0)
                hits = rng.binomial(N_QUERIES, np.clip(p, 0, 1)).tolist()
                scores = tuple(EpisodeResult(i, f"{cell.n_shot}-{i}", k, N_QUERIES) for i, k in enumerate(hits))
                cells.append(replace(cell, episodes=scores, n_episodes_wanted=n))
            return cells_of(replace(results, cells=tuple(cells)))

        return draw

    return make


@pytest.fixture
def rates(make_claims):
    """Over simulated grids, how often the claim was supported and how often refuted."""

    def count(draw, text, quantifier="all", seeds=(0,), times=2000):
        claim, rng = make_claims(text, quantifier).claims[0], np.random.default_rng(11)
        verdicts = [
            judge_claim(claim, cells, seeds, None, spreads(cells)).verdict for cells in map(draw, [rng] * times)
        ]
        return verdicts.count("supported") / times, verdicts.count("refuted") / times

    return count


def spreads(cells):
    """How the seeds vary in each setting."""
    settings = {(place.n_way, place.n_shot) for place in cells}
    return {s: spread_among([of for place, of in cells.items() if (place.n_way, place.n_shot) == s]) for s in settings}


def within(rate, nominal=0.05, times=2000):
    """Not above the promised rate by more than two standard errors."""
    return rate <= nominal + 2 * math.sqrt(nominal * (1 - nominal) / times)


def level(**better):
    """The same true accuracy for all, but for those named."""
    return {(v, 5): 0.5 + better.get(v, 0.0) for v in ("maml", "transfer", "protonet", "reptile")}


def test_all_is_not_supported_falsely_where_the_weakest_pair_is_equal(world, rates):
    supported, _ = rates(world(level(protonet=-0.2, reptile=-0.2)), PAIRS)
    assert within(supported)
    assert supported > 0.02  # the test uses its 5 %


def test_all_is_not_refuted_falsely_where_nothing_differs(world, rates):
    supported, refuted = rates(world(level()), PAIRS)
    assert within(refuted)
    assert refuted > 0.005
    assert within(supported)


def test_all_is_not_refuted_falsely_where_differences_are_zero_or_positive(world, rates):
    _, refuted = rates(world(level(protonet=-0.05)), PAIRS)
    assert within(refuted)


def test_six_episodes_near_the_ceiling_keep_the_error_rate(world, rates):
    """As at 100 shots: few episodes, skewed accuracies."""
    truth = {place: p + 0.42 for place, p in level(protonet=-0.2, reptile=-0.2).items()}
    supported, refuted = rates(world(truth, n=6), PAIRS)
    assert within(supported)
    assert within(refuted)


def test_some_is_not_supported_falsely_where_nothing_differs(world, rates):
    supported, refuted = rates(world(level()), PAIRS, "some")
    assert within(supported)
    assert within(refuted)


def test_some_is_not_refuted_falsely_where_one_is_equal(world, rates):
    _, refuted = rates(world(level(protonet=0.2, reptile=0.2)), PAIRS, "some")
    assert within(refuted)


@pytest.mark.parametrize(("text", "accuracy"), [(MORE, 0.5), (CHANCE, 0.2)])
def test_shots_and_chance_keep_their_error_rates_where_nothing_is_gained(text, accuracy, world, rates):
    truth = {(v, shot): accuracy for v in ("maml", "transfer") for shot in (1, 5)}
    supported, refuted = rates(world(truth), text)
    assert within(supported)
    assert within(refuted)


@pytest.mark.slow
def test_with_several_seeds_their_luck_is_no_difference(world, rates):
    """Three checkpoints a method that differ by luck: what one seed would call a difference is none."""
    truth = level(protonet=-0.3, reptile=-0.3)
    supported, refuted = rates(world(truth, seeds=(0, 1, 2), luck=0.03), PAIRS, seeds=(0, 1, 2), times=600)
    assert within(supported, times=1000)
    assert within(refuted, times=1000)
    supported, refuted = rates(world(truth, luck=0.03), PAIRS, times=200)
    assert supported + refuted > 0.3  # about checkpoints, and right about them


@pytest.mark.parametrize("quantifier", ["all", "some"])
def test_with_few_seeds_a_sentence_is_decided_by_what_all_pairs_tell(quantifier, world, make_claims):
    """One of three is false (true): corrected for all, three seeds of a pair alone would hardly ever show it."""
    claim, rng = make_claims(PAIRS, quantifier).claims[0], np.random.default_rng(7)
    lead = 0.08 if quantifier == "all" else -0.08
    draw = world(level(transfer=lead) | {(f"beside {i}", 5): 0.5 for i in range(4)}, seeds=(0, 1, 2), luck=0.02)
    borrowed, alone = [], []
    for _ in range(100):
        cells = draw(rng)
        borrowed.append(judge_claim(claim, cells, (0, 1, 2), None, spreads(cells)))
        alone.append(judge_claim(claim, cells, (0, 1, 2), None))
    verdict = "refuted" if quantifier == "all" else "supported"
    decided, by_itself = ([one for one in each if one.verdict == verdict] for each in (borrowed, alone))
    assert len(decided) > 50
    assert len(decided) > 1.5 * len(by_itself)
    for one in decided:
        assert (one.link.p_false if quantifier == "all" else one.link.p_true) <= 0.05  # of its own seeds, too
        family, own = (e.interval(c) for e, c in ((one.link.in_family, 1 - 0.05 / 3), (one.link.estimate, 0.9)))
        assert one.link_interval == (min(family[0], own[0]), max(family[1], own[1]))  # as narrow as what decided


def test_a_link_whose_interval_is_without_0_is_decided(world, make_claims):
    """Corrected for two alone, what is borrowed makes an interval narrower than a pair's own seeds allow a verdict."""
    pairs = 'kind = "better"\npairs = [["maml", "transfer"], ["maml", "protonet"]]\nshots = [5]\n'
    claim, rng = make_claims(pairs).claims[0], np.random.default_rng(9)
    draw = world(level(maml=-0.05) | {(f"beside {i}", 5): 0.5 for i in range(8)}, seeds=(0, 1, 2), luck=0.02)
    judged = [judge_claim(claim, cells, (0, 1, 2), None, spreads(cells)) for cells in map(draw, [rng] * 150)]
    assert all(one.verdict != "undecided" or np.prod(one.link_interval) <= 0 for one in judged)
    assert any(one.link_interval[1] < 0 for one in judged)


def test_a_sentence_of_one_comparison_is_not_corrected_and_borrows_nothing(world, make_claims):
    pair = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\nshots = [5]\n'
    claim, rng = make_claims(pair).claims[0], np.random.default_rng(9)
    truth = level(maml=0.04) | {(f"beside {i}", 5): 0.5 for i in range(4)}
    draw, verdicts = world(truth, seeds=(0, 1, 2), luck=0.02), set()
    for _ in range(40):
        cells = draw(rng)
        one = judge_claim(claim, cells, (0, 1, 2), None, spreads(cells))
        assert one == judge_claim(claim, cells, (0, 1, 2), None)
        assert one.n_true == (one.verdict == "supported")
        verdicts.add(one.verdict)
    assert verdicts >= {"supported", "undecided"}


def test_true_claims_are_found_as_often_as_the_power_says(world, make_claims):
    text = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\nshots = [5]\nmargin_points = 4\n'
    claim, rng = make_claims(text).claims[0], np.random.default_rng(2)
    draw = world({("maml", 5): 0.54, ("transfer", 5): 0.5})
    judged = [judge_claim(claim, draw(rng), (0,), None) for _ in range(1000)]
    found = sum(one.verdict == "supported" for one in judged) / 1000
    powers = [power_of(one.link.estimate, claim.margin, two_sided=False) for one in judged]
    assert 0.5 < found < 0.95  # neither certain nor hopeless
    assert np.mean(powers) == pytest.approx(found, abs=2 * math.sqrt(found * (1 - found) / 1000) + 0.02)


@pytest.mark.parametrize("gap", [0.0, 0.03])
def test_a_sentence_of_its_own_family_never_says_the_opposite_of_compare(gap, world, make_claims):
    """Of one pair of seven variants: compare's correction for all 21 would take most of the sentence's power."""
    text = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\nshots = [5]\n'
    claim, rng, times = make_claims(text).claims[0], np.random.default_rng(6), 1000
    draw = world({("maml", 5): 0.5 + gap, ("transfer", 5): 0.5})
    higher, lower = Place("maml", 5, 5), Place("transfer", 5, 5)
    said = []
    for _ in range(times):
        cells = draw(rng)
        pair = compare(cells[higher], cells[lower], n_tests=21)
        said.append((judge_claim(claim, cells, (0,), None).verdict, pair.loser))
    assert not {("supported", "maml"), ("refuted", "transfer")} & set(said)
    # what compare's family would decide, the sentence's decides, too
    assert not {("undecided", "maml"), ("undecided", "transfer")} & set(said)
    decided, in_compare = (np.mean([bool(one[i]) and one[i] != "undecided" for one in said]) for i in (0, 1))
    if gap:
        assert decided > 2 * in_compare
    else:
        assert decided <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / times)  # 5 % on either side


def test_the_episodes_that_would_decide_it_do(world, make_claims):
    """One grid whose observed difference is the true one: with the episodes it asks for, 80 % are decided."""
    text = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\nshots = [5]\n'
    claim, rng = make_claims(text).claims[0], np.random.default_rng(4)
    truth = {("maml", 5): 0.53, ("transfer", 5): 0.5}
    draw, deviation = world(truth, n=12), math.sqrt(2 * 0.25 / N_QUERIES)  # of a difference, nearly
    for _ in range(1000):
        cells = draw(rng)
        one = judge_claim(claim, cells, (0,), None)
        estimate = one.link.estimate
        observed = (estimate.mean, estimate.error * math.sqrt(12))
        if one.verdict == "undecided" and np.allclose(observed, (0.03, deviation), rtol=0, atol=0.002):
            break
    else:
        pytest.fail("no grid whose observed difference is the true one")
    total = outlook(one, cells).extensions[0].total
    longer = world(truth, n=total)
    verdicts = [judge_claim(claim, longer(rng), (0,), None).verdict for _ in range(600)]
    assert verdicts.count("supported") / 600 == pytest.approx(0.8, abs=2 * math.sqrt(0.8 * 0.2 / 600) + 0.03)


def test_the_interval_of_the_link_covers_although_the_link_was_chosen(world, make_claims):
    """Of six comparisons whose true difference is 0: the most extreme one's interval, alone, covers too little."""
    others = ("transfer", "protonet", "reptile", "fomaml", "maml-mtl", "reptile-mtl")
    pairs = ", ".join(f'["maml", "{name}"]' for name in others)
    claim = make_claims(f'kind = "better"\npairs = [{pairs}]\nshots = [5]\n').claims[0]
    rng, draw = np.random.default_rng(3), world({(name, 5): 0.5 for name in ("maml", *others)})
    judged = [judge_claim(claim, draw(rng), (0,), None) for _ in range(1000)]
    intervals = [(one.link_interval, one.link.estimate.interval()) for one in judged]
    chosen, alone = (np.mean([low <= 0 <= high for low, high in each]) for each in zip(*intervals, strict=True))
    assert chosen >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 1000)
    assert alone < 0.94
