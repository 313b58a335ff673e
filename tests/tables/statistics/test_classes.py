"""Other classes: against leaving classes out by hand, and in worlds whose truth is known."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.special import ndtri

from fewshot_bench.tables.statistics.classes import ClassAnswers, ClassConfusion, for_new_classes
from fewshot_bench.tables.statistics.estimate import Estimate, Source, of_episodes, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import as_it_may_be, episodes_to_separate, power_of

N_GRIDS = 1000
POOL = 41  # images a class; a prime, so that every stride walks through all of them
QUANTILES = ndtri((np.arange(2**16) + 0.5) / 2**16).astype("f4")  # of the normal distribution, all as likely


def normal(rng, deviation, *shape):
    """In a third of the time that numpy's own takes."""
    return (np.float32(deviation) * QUANTILES).take(rng.integers(0, 2**16, shape, dtype="u2"))


def counts(classes, given, n_classes, n_query):
    """answered, asked (G, C, C) from the classes of episodes (G, E, m) and the answers to their queries (G, E, m*q)."""
    n_grids = len(classes)
    true = classes.repeat(n_query, axis=2).reshape(n_grids, -1)
    grid = np.arange(n_grids)[:, None] * n_classes**2
    flat = (grid + true * n_classes + given.reshape(n_grids, -1)).ravel()
    answered = np.bincount(flat, minlength=n_grids * n_classes**2).reshape(n_grids, n_classes, n_classes)
    present = np.zeros((*classes.shape[:2], n_classes), dtype="f4")
    np.put_along_axis(present, classes, 1, axis=2)
    asked = n_query * np.matmul(present.transpose(0, 2, 1), present)
    return answered, asked.astype(np.int64)


def drawn(rng, n_grids, n_episodes, n_classes, n_way, n_images):
    """Classes (G, E, m) of the episodes, and which n_images of a class's pool each uses (G, E, m, n_images)."""
    shape = (n_grids, n_episodes, n_way, 1)
    order = rng.random((n_grids, n_episodes, n_classes), dtype="f4").argsort(axis=2)
    first, stride = rng.integers(0, POOL, shape), rng.integers(1, POOL, shape)
    return order[:, :, :n_way], (first + stride * np.arange(n_images)) % POOL


def geometric(rng, n_grids, n_classes, n_way, n_episodes, n_query=3):
    """Class means and images around them in three dimensions; the nearest one-shot prototype is the answer."""
    images = normal(rng, 1.5, n_grids, n_classes, 1, 3) + normal(rng, 1, n_grids, n_classes, POOL, 3)
    classes, used = drawn(rng, n_grids, n_episodes, n_classes, n_way, 1 + n_query)
    grid = np.arange(n_grids)[:, None, None, None]
    chosen = images[grid, classes[..., None], used]  # (G, E, m, 1+q, 3)
    prototypes = chosen[:, :, :, 0]
    queries = chosen[:, :, :, 1:].reshape(n_grids, n_episodes, n_way * n_query, 3)
    nearness = -(prototypes**2).sum(axis=3)[:, :, None]
    for axis in range(3):  # faster than many small matrix products
        nearness = nearness + 2 * queries[..., axis, None] * prototypes[:, :, None, :, axis]
    return classes, nearness.argmax(axis=3)


def additive(rng, n_grids, n_classes, n_way, n_episodes, n_query=3):
    """The first of `checkpoints`."""
    return next(checkpoints(rng, n_grids, n_classes, n_way, n_episodes, n_query))


def checkpoints(
    rng, n_grids, n_classes, n_way, n_episodes, n_query=3, *,
    n_seeds=1, level=2.5, spread=1.0, alike=0.5, luck=0.0, ahead=0.0,
):  # fmt: skip
    """Two methods, n_seeds of each: classes and answers of each in turn. Without `ahead` equal over all classes.

    The highest score is the answer: effects of class, image, pair, support and episode add up, and noise. Methods have
    the share `alike` of their effects in common, their seeds 0.9 of what the method has.
    """

    def effects():
        """Of ease, pull, likeness and image."""
        likeness = normal(rng, 0.35, n_grids, n_classes, n_classes)
        ease, pull = normal(rng, 0.6 * spread, n_grids, n_classes), normal(rng, 0.5 * spread, n_grids, n_classes)
        return ease, pull, likeness + likeness.swapaxes(1, 2), normal(rng, 0.7, n_grids, n_classes, POOL)

    def near(others, share):
        return [
            np.float32(share**0.5) * a + np.float32((1 - share) ** 0.5) * b
            for a, b in zip(others, effects(), strict=True)
        ]

    classes, used = drawn(rng, n_grids, n_episodes, n_classes, n_way, n_query)
    which = np.arange(n_grids)[:, None, None] * n_classes + classes  # (G, E, m), places in what `effects` gives
    image, pair = which[..., None] * POOL + used, which[..., None] * n_classes + classes[:, :, None]
    everyone = effects()
    hard, mild = normal(rng, 0.3, n_grids, n_episodes, 1), normal(rng, 0.35, n_grids, n_episodes, n_way)
    for lead in (ahead, 0.0):
        method = near(everyone, alike)
        for _ in range(n_seeds):
            ease, pull, likeness, of_image = near(method, 0.9) if n_seeds > 1 else method
            support = pull.take(which) + mild + normal(rng, 0.35, n_grids, n_episodes, n_way)
            own = level + lead + normal(rng, luck, n_grids, 1, 1) + hard + ease.take(which) + support
            own = own[..., None] + of_image.take(image) + normal(rng, 1, n_grids, n_episodes, n_way, n_query)
            scores = normal(rng, 1, n_grids, n_episodes, n_way, n_query, n_way)
            scores += (likeness.take(pair) + support[:, :, None])[:, :, :, None]
            np.einsum("geiqi->geiq", scores)[...] = own
            yield classes, scores.argmax(axis=4).reshape(n_grids, n_episodes, n_way * n_query)


def confused(drawn, n_classes, n_query):
    """A ClassConfusion a grid."""
    classes, labels = drawn
    given = np.take_along_axis(classes, labels, axis=2)
    right = (given == classes.repeat(n_query, axis=2)).reshape(*classes.shape, n_query).sum(axis=3)
    of_classes = counts(classes, given, n_classes, n_query)
    return [ClassConfusion(*one) for one in zip(*of_classes, classes, right, strict=True)]


def in_parts(n_grids, n_episodes, n_way, n_query):
    """How many grids at a time, so that they fit into memory."""
    at_once = max(1, min(n_grids, 3_000_000 // (n_episodes * n_way**2 * n_query)))
    return [min(at_once, n_grids - start) for start in range(0, n_grids, at_once)]


def simulate(world, n_classes, n_way, n_episodes, n_grids=N_GRIDS, n_query=3):
    """A ClassConfusion of each of n_grids, which have classes and images of their own."""
    rng = np.random.default_rng(n_way * 1000 + n_episodes)
    for n in in_parts(n_grids, n_episodes, n_way, n_query):
        yield from confused(world(rng, n, n_classes, n_way, n_episodes, n_query), n_classes, n_query)


def by_episode(confusion):
    """(E,) accuracies."""
    return confusion.right.sum(axis=1) / (confusion.classes.shape[1] * n_query_of(confusion))


def n_query_of(confusion):
    return confusion.asked.trace() / confusion.classes.size


def of_cell(confusion, right=None):
    """The accuracy of a cell on these classes, and for classes like these."""
    here = of_episodes(by_episode(confusion) if right is None else right)
    return here, for_new_classes(here, [(1.0, confusion)])


def of_difference(cells, n_seeds):
    """The difference of two methods on these classes, and for classes like these."""
    values = np.array([by_episode(c) for c in cells])
    values = values[:n_seeds] - values[n_seeds:]
    step = 1 / (cells[0].classes.shape[1] * n_query_of(cells[0]) * n_seeds)
    here = of_episodes(values[0], step) if n_seeds == 1 else of_seeds_and_episodes(values, step)
    weights = [1 / n_seeds] * n_seeds + [-1 / n_seeds] * n_seeds
    return here, for_new_classes(here, list(zip(weights, cells, strict=True)))


def differences(n_classes, n_way, n_episodes, n_grids=N_GRIDS, n_query=3, n_seeds=1, **world):
    """`of_difference` of n_grids pairs of methods that are equal over all classes."""
    rng = np.random.default_rng(n_way * 1000 + n_episodes)
    for n in in_parts(n_grids, n_episodes, n_way, n_query):
        drawn = checkpoints(rng, n, n_classes, n_way, n_episodes, n_query, n_seeds=n_seeds, **world)
        grids = zip(*(confused(one, n_classes, n_query) for one in drawn), strict=True)
        yield from (of_difference(cells, n_seeds) for cells in grids)


WORLDS = [  # classes, ways, episodes, queries, world, false findings on these classes in at least so many
    (20, 5, 60, 5, {}, 0.2),
    (36, 5, 60, 5, {}, 0.12),
    (20, 5, 600, 1, {}, 0.4),
    (36, 5, 600, 1, {}, 0.3),
    (20, 20, 60, 1, {}, 0.3),
    (36, 20, 60, 1, {}, 0.2),
    (36, 35, 12, 2, {}, 0.1),
    (36, 5, 6, 5, {}, 0.0),
    (36, 5, 60, 5, {"spread": 2.0}, 0.2),  # classes differ more
    (36, 5, 60, 5, {"spread": 0.0, "alike": 1.0}, 0.0),  # classes differ hardly at all
    (20, 5, 60, 5, {"alike": 0.9}, 0.07),  # checkpoints that are nearly the same
    (36, 5, 60, 5, {"level": 6.0}, 0.02),  # near 100 %
    (4, 2, 60, 5, {}, 0.3),
    (5, 5, 60, 5, {}, 0.6),
    (5, 5, 60, 5, {"spread": 0.0}, 0.4),  # classes differ in pairs alone
    (8, 5, 60, 5, {}, 0.4),
    (5, 5, 60, 5, {"n_seeds": 3}, 0.2),
    (20, 5, 60, 3, {"n_seeds": 3}, 0.0),
    (20, 5, 60, 3, {"n_seeds": 3, "luck": 0.3}, 0.0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("n_classes", "n_way", "n_episodes", "n_query", "world", "at_least"), WORLDS)
def test_false_findings_of_equal_methods(n_classes, n_way, n_episodes, n_query, world, at_least):
    found = list(differences(n_classes, n_way, n_episodes, n_query=n_query, **world))
    here, new = (np.mean([e.p_value() <= 0.05 for e in estimates]) for estimates in zip(*found, strict=True))
    assert new <= 0.055 + 2 * (0.05 * 0.95 / N_GRIDS) ** 0.5  # twenty classes: up to 5.5 %
    assert here >= at_least
    covered = np.mean([abs(e.mean) <= e.half_width() for _, e in found])
    assert covered == pytest.approx(1 - new)  # the interval is the test's


@pytest.fixture(scope="module")
def apart():
    """A thousand differences of methods that differ, of 120 episodes each."""
    return [new for _, new in differences(36, 5, 120, n_query=1, ahead=0.6)]


def on_average(found):
    """One estimate, with the errors that these found: what planning knows when it knows all."""

    def mean_square(sources):
        error = float(np.mean([source.error**2 for source in sources])) ** 0.5
        degrees = float(np.mean([source.degrees for source in sources]))
        return Source(error, degrees, error if sources[0].lasting is not None else None)

    sources = zip(*(e.sources for e in found), strict=True)
    return Estimate(float(np.mean([e.mean for e in found])), tuple(map(mean_square, sources)), new_classes=True)


@pytest.mark.parametrize("n_tests", [1, 3, 21])
def test_power_is_how_often_a_difference_is_found_for_classes_like_these(apart, n_tests):
    known = on_average(apart)
    found = np.mean([e.p_value() * n_tests <= 0.05 for e in apart])
    assert 0.3 < found < 0.97
    assert power_of(known, known.mean, 0.05 / n_tests) == pytest.approx(found, abs=3 * (0.25 / N_GRIDS) ** 0.5 + 0.01)


@pytest.mark.parametrize(("n_episodes", "n_tests"), [(12, 21), (60, 3)])
def test_a_plan_says_between_what_it_lies_for_classes_like_these(apart, n_episodes, n_tests):
    """Over all pilots, those that say "never" among them."""
    known, alpha = on_average(apart), 0.05 / n_tests
    truth = episodes_to_separate(known, 120, known.mean, alpha=alpha) or math.inf
    held = 0
    for _, pilot in differences(36, 5, n_episodes, n_query=1, ahead=0.6):
        low, high = (
            episodes_to_separate(as_it_may_be(pilot, tail), n_episodes, known.mean, alpha=alpha) or math.inf
            for tail in (0.95, 0.05)
        )
        held += low <= truth <= high
    assert held / N_GRIDS >= 0.9 - 3 * (0.9 * 0.1 / N_GRIDS) ** 0.5


def test_for_new_classes_is_never_narrower():
    for here, new in differences(20, 5, 12, n_grids=50):
        assert new.half_width() >= here.half_width()
        assert new.here == here
        assert (here.scope, new.scope) == ("on these classes", "for classes like these")


def coverage(estimates):
    """How often the 95 % interval has the truth: the mean over all grids, whose own error is 3 % of one's."""
    truth = np.mean([e.mean for e in estimates])
    return np.mean([abs(e.mean - truth) <= e.half_width() for e in estimates])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "n_way", "n_episodes", "n_query", "low"),
    [
        (additive, 5, 60, 3, 0.935),
        (additive, 5, 600, 1, 0.935),
        (additive, 20, 60, 1, 0.935),
        (additive, 35, 6, 2, 0.935),
        (geometric, 5, 60, 3, 0.935),
        (geometric, 5, 600, 2, 0.935),
        (geometric, 20, 60, 2, 0.935),
        (geometric, 35, 6, 3, 0.935),
        (geometric, 35, 60, 3, 0.92),  # known to be a little short: 0.93 over thousands of grids
    ],
)
def test_coverage_over_new_classes(world, n_way, n_episodes, n_query, low):
    grids = [of_cell(one) for one in simulate(world, 36, n_way, n_episodes, n_query=n_query)]
    by_class = coverage([new for _, new in grids])
    assert low <= by_class <= 0.98
    assert coverage([here for here, _ in grids]) < min(0.93, by_class - 0.02)  # of the sampler alone


def choice_world(n_classes, n_way, n_episodes=10**6):
    """Expected counts of all episodes when answers follow Luce's choice axiom exactly, and each pair's strength."""
    rng = np.random.default_rng(5)
    strength = np.exp(rng.normal(0, 0.7, (n_classes, n_classes)) + 2.0 * np.eye(n_classes))
    answered, asked = np.zeros((2, n_classes, n_classes))
    for episode in combinations(range(n_classes), n_way):
        inside = np.ix_(episode, episode)
        answered[inside] += strength[inside] / strength[inside].sum(axis=1, keepdims=True)
        asked[inside] += 1
    return strength, np.rint(n_episodes * answered).astype(int), np.rint(n_episodes * asked).astype(int)


def accuracy_of(strength, classes, n_way):
    """Over all episodes of these classes."""
    rates = []
    for episode in combinations(classes, n_way):
        part = strength[np.ix_(episode, episode)]
        rates.append((np.diagonal(part) / part.sum(axis=1)).mean())
    return np.mean(rates)


@pytest.mark.parametrize("n_way", [2, 3, 5])
def test_close_to_measuring_without_each_class(n_way):
    n = 9
    strength, answered, asked = choice_world(n, n_way)
    whole = accuracy_of(strength, range(n), n_way)
    without = [accuracy_of(strength, [c for c in range(n) if c != left_out], n_way) for left_out in range(n)]
    by_hand = sum((accuracy - whole) ** 2 for accuracy in without) ** 0.5
    source = added(answered, asked)
    assert source.degrees == pytest.approx(n - 1)
    assert 0.75 * by_hand < source.error < by_hand  # below it by the chance part of pairs, which by hand counts twice


def added(answered, asked):
    """The source of error that classes add, where no answer is luck."""
    n = len(asked)
    whole = np.arange(n)[None]  # one episode: no class is met twice
    confusion = ClassConfusion(answered, asked, whole, np.zeros_like(whole))
    return for_new_classes(Estimate(0.5, ()), [(1.0, confusion)]).sources[0]


def test_two_way_by_hand():
    # three classes, 100 queries of each against each other: 20, 10 and 0 taken for one another, both ways
    errors = np.array([[0, 20, 10], [20, 0, 0], [10, 0, 0]])
    asked = np.full((3, 3), 100) + 100 * np.eye(3, dtype=int)
    answered = errors + np.diag(200 - errors.sum(axis=1))
    # accuracies 540/600 with all; of the pairs left when one is out 1 - 0, 1 - 0.1, 1 - 0.2
    jackknife = (1.0 - 0.9) ** 2 + (0.9 - 0.9) ** 2 + (0.8 - 0.9) ** 2
    # what leaving out one class changes for another: its errors with the third instead of the mean of both
    gained = np.array([[0, 0.05, -0.05], [0.1, 0, -0.1], [0.05, -0.05, 0]]) * 200 / 400
    both = gained + gained.T
    source = added(answered, asked)
    assert source.degrees == pytest.approx(2)
    assert (both**2).sum() / 2 > jackknife / 2  # more than all that pairs can be
    assert source.error == pytest.approx((jackknife / 2) ** 0.5)


def test_the_first_episodes_have_a_confusion_of_their_own():
    rng = np.random.default_rng(0)
    classes, labels = additive(rng, 1, 12, 5, 30)
    answers = ClassAnswers(classes[0], labels[0].reshape(30, 5, 3), 12)
    for n in (30, 7):
        [whole] = confused((classes[:, :n], labels[:, :n]), 12, 3)
        first = answers.confusion(n)
        for name in ("answered", "asked", "classes", "right"):
            assert np.array_equal(getattr(first, name), getattr(whole, name))
    assert answers.confusion(31) is None


def test_two_checkpoints_that_answer_alike_differ_on_no_class():
    one = next(simulate(additive, 36, 5, 60, n_grids=1))
    other = next(simulate(additive, 36, 5, 60, n_grids=1))
    assert for_new_classes(Estimate(0.0, ()), [(1.0, one), (-1.0, other)]).sources == ()


def test_luck_of_episodes_is_taken_off_once():
    """By hand: two episodes of three classes, whose rights differ by 2 of 10 in one class from one to the other."""
    classes, right = np.array([[0, 1, 2], [2, 0, 1]]), np.array([[9, 5, 4], [4, 7, 5]])
    asked = np.full((3, 3), 20)
    errors = np.array([[0, 2, 2], [5, 0, 5], [6, 6, 0]])
    confusion = ClassConfusion(errors + np.diag(20 - errors.sum(axis=1)), asked, classes, right)
    luck = 2 * 0.1**2 / 3 / 6  # two squares of a tenth, three degrees of freedom, a mean of six
    of_class, of_pair = confusion.effects
    [source] = for_new_classes(Estimate(0.5, ()), [(1.0, confusion)]).sources
    assert source.error**2 == pytest.approx((of_class**2).sum() - (of_pair**2).sum() / 2 - luck)


def test_order_of_classes_does_not_matter():
    one = next(simulate(additive, 36, 5, 30, n_grids=1))
    order = np.random.default_rng(0).permutation(36)
    place = np.argsort(order)
    moved = ClassConfusion(
        one.answered[np.ix_(order, order)], one.asked[np.ix_(order, order)], place[one.classes], one.right
    )
    assert of_cell(moved)[1].half_width() == pytest.approx(of_cell(one)[1].half_width())


def test_classes_that_were_never_drawn_do_not_count():
    one = next(simulate(additive, 12, 5, 30, n_grids=1))
    padded = ClassConfusion(np.pad(one.answered, (0, 5)), np.pad(one.asked, (0, 5)), one.classes, one.right)
    for found, wanted in zip(of_cell(padded)[1].sources, of_cell(one)[1].sources, strict=True):
        assert vars(found) == pytest.approx(vars(wanted))


def test_other_episodes_do_not_go_together():
    one, other = simulate(additive, 36, 5, 30, n_grids=2)
    assert for_new_classes(Estimate(0.0, ()), [(1.0, one), (-1.0, other)]) is None


@pytest.mark.parametrize("right", [0, 15])
def test_no_source_where_nothing_varies(right):
    asked = np.full((4, 4), 15)
    answered = right * np.eye(4, dtype=int) + (15 - right) * np.roll(np.eye(4, dtype=int), 1, axis=1)
    confusion = ClassConfusion(answered, asked, np.arange(4)[None], np.full((1, 4), right))
    assert for_new_classes(Estimate(0.5, ()), [(1.0, confusion)]).sources == ()


def test_nothing_is_said_of_others_from_two_classes():
    confusion = ClassConfusion(np.array([[9, 1], [3, 7]]), np.full((2, 2), 10), np.array([[0, 1]]), np.array([[9, 7]]))
    assert for_new_classes(Estimate(0.5, ()), [(1.0, confusion)]) is None


def test_always_wrong_against_one_distractor_stays_finite():
    answered = np.array([[0, 10, 0], [0, 15, 5], [0, 0, 10]])
    asked = np.array([[10, 10, 0], [10, 20, 10], [0, 10, 10]])
    confusion = ClassConfusion(answered, asked, np.arange(3)[None], np.zeros((1, 3), dtype=int))
    assert all(np.abs(effects).max() < 10 for effects in confusion.effects)
