"""Each alarm rings for what it is about, and for nothing else."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.alarms import implausible
from fewshot_bench.tables.alarms.alarm import Alarm
from fewshot_bench.tables.alarms.checks import checks
from fewshot_bench.tables.alarms.implausible import below_chance, falls_with_shots, permuted_labels
from fewshot_bench.tables.scores import CellScore, EpisodeResult
from fewshot_bench.tables.statistics.classes import ClassAnswers, ClassConfusion
from fewshot_bench.tables.summary import p_below_chance

N_QUERY = 15


def cell(counts, n_way=5, n_shot=1, variant="maml", seed=0, **changes) -> CellScore:
    """A cell with these right answers, an episode each."""
    n = n_way * N_QUERY
    scores = tuple(EpisodeResult(i, f"{n_way}w-{n_shot}s-{i}", int(k), n) for i, k in enumerate(counts))
    key = f"{variant}-{n_way}-{n_shot}-{seed}"
    return replace(CellScore(variant, n_way, n_shot, seed, key, "done", "", scores, len(scores)), **changes)


def scattered(mean, n=40, n_way=5, seed=0):
    """Counts whose mean accuracy is near `mean` (a fraction)."""
    return np.random.default_rng(seed).binomial(n_way * N_QUERY, mean, n)


def alarms(cells) -> list[Alarm]:
    return [alarm for check in checks(cells) for alarm in check.alarms]


def rung(cells) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.where) for alarm in alarms(cells)]


def test_a_sound_grid_is_silent_and_every_check_says_what_it_looked_at(make_results):
    assert not alarms(make_results(seeds=(0, 1)).cells)
    looked_at = {check.kind: check.looked_at for check in checks(make_results(seeds=(0, 1)).cells)}
    assert looked_at["below chance"] == "126 cells"
    assert looked_at["falls with shots"] == "42 pairs of shots"
    assert looked_at["other episodes"] == "9 settings"
    assert looked_at["contradicted"] == "0 cells with answers"
    assert looked_at["other backbone"] == "0 cells"
    assert looked_at["equal seeds"] == "7 pairs of seeds"
    assert looked_at["equal variants"] == "42 pairs of variants"


def test_what_failed_or_is_missing_rings_nothing(marked):
    assert not alarms(marked.cells)
    assert [check.alarms for check in checks([])] == [()] * 9


def test_below_chance_rings():
    low = cell(scattered(0.15), variant="low")
    found = checks([low, cell(scattered(0.21), variant="fair"), cell(scattered(0.6), variant="good")])[0].alarms
    assert [alarm.where for alarm in found] == ["low 5-way 1-shot seed 0"]
    assert "over 40 episodes, where guessing gives 20.00 % (p < 0.0001, corrected for 3 cells)" in found[0].text


def test_queries_that_fall_together_are_no_proof_of_anything_below_chance():
    """Half the episodes at 0 %, a few at 100 %: the binomial test over queries rings, the episodes do not."""
    clustered = cell([0] * 34 + [75] * 6)
    n_correct, n = 6 * 75, 40 * 75
    assert stats.binomtest(n_correct, n, 0.2, "less").pvalue < 1e-9
    assert rung([clustered]) == []


def test_below_chance_agrees_with_the_binomial_test_where_that_decides():
    """Episodes that agree more than independent queries: the binomial p-value is the larger one."""
    even = cell([11, 12] * 20)
    expected = stats.binomtest(460, 40 * 75, 0.2, "less").pvalue
    assert p_below_chance(even.episodes, 0.2) == pytest.approx(expected, rel=1e-9)


def test_below_chance_agrees_with_students_t_on_the_wider_spread():
    counts = np.array([2, 5, 22, 30, 3, 4, 14, 6, 3, 7])
    shares = counts / 75
    wider = shares.std(ddof=1) * min(0.2 / shares.mean(), 0.2 / shares.std(ddof=1))
    expected = stats.t.cdf((shares.mean() - 0.2) / (wider / np.sqrt(10)), 9)
    assert p_below_chance(cell(counts).episodes, 0.2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_answers_that_ignore_the_labels_vary_more_than_one_over_ways(seed):
    """The bound of `p_below_chance`, over all orders of the labels."""
    rng, n = np.random.default_rng(seed), 5
    given = rng.multinomial(N_QUERY, rng.dirichlet(np.full(n, 0.1)), n)  # [i, j]: queries of class i that are given j
    given = given if seed else N_QUERY * np.eye(n, dtype=int)  # the extreme
    shares = [sum(given[i, order[i]] for i in range(n)) / (n * N_QUERY) for order in permutations(range(n))]
    assert np.mean(shares) == pytest.approx(1 / n)
    assert np.std(shares) <= 1 / n + 1e-12
    assert seed or np.std(shares) == pytest.approx(1 / n)


def make_counts(rng, n_way, n, overdispersion):
    """Counts at chance: binomial; or with some of the variance between episodes, or all (1), that is possible there."""
    chance, n_queries = 1 / n_way, n_way * N_QUERY
    if overdispersion == 1:  # each class has one answer: labels shuffled over perfect clusters
        return N_QUERY * (rng.random((n, n_way)).argsort(axis=1) == np.arange(n_way)).sum(axis=1)
    if overdispersion:
        spread = n_way / overdispersion - 1
        return rng.binomial(n_queries, rng.beta(chance * spread, (1 - chance) * spread, n))
    return rng.binomial(n_queries, chance, n)


@pytest.mark.slow
@pytest.mark.parametrize("overdispersion", [0, 0.1, 0.5, 1])
def test_guessing_rings_in_at_most_one_table_of_twenty(overdispersion):
    rng, n_tables = np.random.default_rng(7), 1000
    false = {below_chance: 0, falls_with_shots: 0, permuted_labels: 0, implausible.no_spread: 0}
    for _ in range(n_tables):
        cells = [
            cell(make_counts(rng, n_way, n, overdispersion), n_way, n_shot, variant)
            for variant in ("a", "b")
            for n_way in (5, 20, 35)
            for n_shot, n in ((1, 12), (5, 12), (100, 6))
        ]
        for check in false:
            false[check] += bool(check(cells).alarms)
    allowed = 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_tables)
    assert {check.__name__: n for check, n in false.items() if n / n_tables > allowed} == {}


def test_the_papers_protonet_rings_between_5_and_100_shots():
    """49.42, 68.20, 61.13 % (Eshratifar et al. 2019, table 1); episodes and their spread are made up."""
    cells = [
        cell(scattered(mean, 100, seed=shot), n_shot=shot, variant="protonet")
        for shot, mean in ((1, 0.4942), (5, 0.6820), (100, 0.6113))
    ]
    (alarm,) = (alarm for check in checks(cells) for alarm in check.alarms)
    assert (alarm.kind, alarm.where) == ("falls with shots", "protonet 5-way seed 0")
    assert "points from 5 to 100 shots on the same queries (p < 0.0001, corrected for 2 pairs of shots)" in alarm.text


def test_a_fall_is_paired_by_number_and_averaged_over_the_seeds():
    """The episodes differ far more than the shots do; with unequal numbers nothing pairs."""
    hard = np.random.default_rng(1).integers(20, 70, 30)
    few = [cell(hard + seed, n_shot=1, seed=seed) for seed in (0, 1)]
    many = [cell(hard + seed - 2 - np.arange(30) % 2, n_shot=5, seed=seed) for seed in (0, 1)]
    (alarm,) = falls_with_shots([*few, *many]).alarms
    assert alarm.where == "maml 5-way seeds 0, 1"
    assert alarm.text.startswith("-3.33 ± ")  # 2.5 of 75 queries
    apart = [replace(c, episodes=tuple(replace(e, number=e.number + 99) for e in c.episodes)) for c in many]
    assert falls_with_shots([*few, *apart]).looked_at == "0 pairs of shots"


def test_a_fall_within_the_noise_is_silent():
    cells = [cell(scattered(0.6, seed=1), n_shot=1), cell(scattered(0.595, seed=2), n_shot=5)]
    assert cells[0].episodes != cells[1].episodes
    assert rung(cells) == []


@pytest.mark.parametrize(("count", "word"), [(0, "wrong"), (75, "right")])
def test_all_or_nothing_rings(count, word):
    alarm = next(a for check in checks([cell([count] * 4)]) for a in check.alarms if a.kind == "all or nothing")
    assert alarm.text == f"every query of all 4 episodes is {word}"
    assert rung([cell([75] * 3 + [74])]) == []
    assert rung([cell([75])]) == []  # of one episode nothing can be said


def test_no_spread_rings_where_chance_would_spread():
    assert rung([cell([40] * 5)]) == [("no spread", "maml 5-way 1-shot seed 0")]
    assert rung([cell([40] * 4)]) == []
    assert rung([cell([40] * 4 + [41])]) == []
    near_the_top = [cell([74] * 5), *(cell(scattered(0.9, 5, seed=i), variant=f"v{i}") for i in range(3))]
    assert rung(near_the_top) == []  # at 98.7 % five equal counts are luck in one of four cells: 4 * 0.37 ** 4


NONE = np.empty((0, 2), dtype=int)


@dataclass(frozen=True, eq=False)
class Kept(ClassAnswers):
    right_and_wrong: tuple[int, int] = (0, 0)

    def confusion(self, n_episodes: int) -> ClassConfusion:
        answered = np.array([self.right_and_wrong, (0, 0)])
        return ClassConfusion(answered, answered, NONE, NONE)


def kept(right, wrong) -> Kept:
    return Kept(NONE, NONE, 2, (right, wrong))


def test_answers_that_contradict_the_counts_ring():
    sound = cell([30, 40, 50], answers=kept(120, 105))
    assert rung([sound]) == []
    assert rung([replace(sound, answers=kept(121, 104))]) == [("contradicted", "maml 5-way 1-shot seed 0")]
    assert rung([replace(sound, answers=kept(70, 80))]) == []  # kept of the first two episodes
    assert rung([replace(sound, answers=kept(71, 79))]) != []
    assert rung([replace(sound, answers=kept(70, 81))]) != []  # of two episodes and one query
    assert rung([replace(sound, answers=kept(120, 106))]) != []  # more answers than queries


def test_another_bank_in_a_row_rings(make_results):
    results = make_results()
    odd = next(c for c in results.cells if (c.variant, c.n_way, c.n_shot) == ("maml", 20, 5))
    other = tuple(replace(e, episode_id="x" + e.episode_id) if e.number > 30 else e for e in odd.episodes)
    cells = [replace(c, episodes=other) if c is odd else c for c in results.cells]
    found = [alarm for check in checks(cells) for alarm in check.alarms]
    assert [(alarm.kind, alarm.where) for alarm in found] == [("other episodes", "maml 20-way 5-shot seed 0")]
    assert found[0].text.startswith("shares 31 of its first 40 episodes with ")
    shorter = [replace(c, episodes=c.episodes[:7]) if c is odd else c for c in results.cells]
    assert rung(shorter) == []  # fewer of the same


def test_the_odd_one_out_rings_even_when_it_comes_first():
    foreign = cell(scattered(0.6), variant="a")
    foreign = replace(foreign, episodes=tuple(replace(e, episode_id="x" + e.episode_id) for e in foreign.episodes))
    others = [cell(scattered(0.6, seed=i), variant=name) for i, name in enumerate("bc")]
    assert rung([foreign, *others]) == [("other episodes", "a 5-way 1-shot seed 0")]


def test_another_backbone_rings_once_a_training(make_results):
    results = make_results()
    sizes = {"maml": "conv4, 64 filters, 1x28x28", "reptile": ""}  # unknown is not another
    cells = [replace(c, backbone=sizes.get(c.variant, "conv4, 32 filters, 1x28x28")) for c in results.cells]
    found = alarms(cells)
    assert [(alarm.kind, alarm.where) for alarm in found] == [("other backbone", "maml seed 0")]
    assert "64 filters, 1x28x28; 45 of 54 cells have conv4, 32 filters" in found[0].text


def copied(results, take, give, **changes):
    """The results with the episodes of one column (variant, seed) given to another."""
    source = {(c.n_way, c.n_shot): c.episodes for c in results.cells if (c.variant, c.seed) == take}
    cells = [
        replace(c, episodes=source[c.n_way, c.n_shot], **changes) if (c.variant, c.seed) == give else c
        for c in results.cells
    ]
    return replace(results, cells=tuple(cells))


def test_seeds_with_equal_counts_ring(make_results):
    results = copied(make_results(seeds=(0, 1, 2)), ("maml", 0), ("maml", 2))
    assert rung(results.cells) == [("equal seeds", "maml seeds 0 and 2")]


def test_seeds_with_equal_weights_ring_whatever_was_counted(make_results):
    results = make_results(seeds=(0, 1))
    cells = [replace(c, weights="same" if c.variant == "maml" else c.key) for c in results.cells]
    found = alarms(cells)
    assert [(a.kind, a.where, a.text) for a in found] == [
        ("equal seeds", "maml seeds 0 and 1", "their weights are equal")
    ]


def test_variants_with_equal_counts_ring(make_results):
    results = copied(make_results(), ("maml", 0), ("fomaml", 0))
    assert rung(results.cells) == [("equal variants", "maml and fomaml seed 0")]
    one_off = list(results.cells)
    last = one_off[-1].episodes[-1]
    place = max(i for i, c in enumerate(one_off) if c.variant == "fomaml")
    changed = (*one_off[place].episodes[:-1], replace(one_off[place].episodes[-1], n_correct=last.n_correct + 1))
    one_off[place] = replace(one_off[place], episodes=changed)
    assert rung(one_off) == []


def test_equal_weights_with_other_counts_are_a_setting_that_acts_at_test(make_results):
    results = make_results()
    cells = [replace(c, weights="same" if "maml" in c.variant else c.key) for c in results.cells]
    assert rung(cells) == []
    alike = copied(replace(results, cells=tuple(cells)), ("maml", 0), ("fomaml", 0))
    assert [alarm.text for alarm in alarms(alike.cells)] == ["their weights are equal"]


def test_one_training_under_two_names_rings(make_results):
    results = copied(make_results(), ("maml", 0), ("fomaml", 0), key="one")
    cells = [replace(c, key="one") if c.variant == "maml" else c for c in results.cells]
    found = alarms(cells)
    assert [alarm.text for alarm in found] == ["they are one training under two names"]


def test_a_few_equal_counts_are_luck():
    few = [cell([40, 41, 42, 39, 38], variant=name) for name in "ab"]
    assert rung(few) == []
    constant = [cell([15] * 40, variant=name) for name in "ab"]  # two models with one answer each
    assert {kind for kind, _ in rung(constant)} == {"no spread"}


def test_the_control_rings_above_chance_and_below():
    for mean in (0.26, 0.15):
        (alarm,) = permuted_labels([cell(scattered(mean, 50)), cell(scattered(0.2, 50))]).alarms
        assert alarm.kind == "permuted labels"
    assert permuted_labels([cell([75] * 3)]).alarms != ()
