"""The data interval: against leaving classes out by hand, and its coverage in two worlds whose truth is known."""

from itertools import combinations

import numpy as np
import pytest

from fewshot_bench.tables.statistics.classes import of_classes
from fewshot_bench.tables.statistics.estimate import of_episodes

N_GRIDS = 1000
POOL = 41  # images a class; a prime, so that every stride walks through all of them


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
    order = rng.random((n_grids, n_episodes, n_classes), dtype="f4").argsort(axis=2)
    shape = (n_grids, n_episodes, n_way, 1)
    first, stride = rng.integers(0, POOL, shape), rng.integers(1, POOL, shape)
    return order[:, :, :n_way], (first + stride * np.arange(n_images)) % POOL


def geometric(rng, n_grids, n_classes, n_way, n_episodes, n_query=3):
    """Class means and images around them in three dimensions; the nearest one-shot prototype is the answer."""
    means = 1.5 * rng.standard_normal((n_grids, n_classes, 1, 3), dtype="f4")
    images = means + rng.standard_normal((n_grids, n_classes, POOL, 3), dtype="f4")
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
    """The highest score is the answer: effects of class, image, pair, support and episode add up, and noise."""

    def normal(deviation, *shape):
        return np.float32(deviation) * rng.standard_normal(shape, dtype="f4")

    ease, pull = normal(0.6, n_grids, n_classes), normal(0.5, n_grids, n_classes)
    likeness = normal(0.5 / 2**0.5, n_grids, n_classes, n_classes)
    likeness = likeness + likeness.swapaxes(1, 2)
    of_image = normal(0.7, n_grids, n_classes, POOL)
    classes, used = drawn(rng, n_grids, n_episodes, n_classes, n_way, n_query)
    grid = np.arange(n_grids)[:, None, None]
    own = 2.5 + normal(0.3, n_grids, n_episodes, 1) + ease[grid, classes] + pull[grid, classes]
    own = own[..., None] + of_image[grid[..., None], classes[..., None], used]  # (G, E, m, q)
    support = normal(0.5, n_grids, n_episodes, n_way)
    scores = likeness[grid[..., None], classes[..., None], classes[:, :, None]]  # (G, E, m, m)
    scores = scores + (pull[grid, classes] + support)[:, :, None]
    scores = scores[:, :, :, None] + normal(1, n_grids, n_episodes, n_way, n_query, n_way)
    label = np.arange(n_way)
    noise = normal(1, n_way, n_grids, n_episodes, n_query)
    scores[:, :, label, :, label] = np.moveaxis(own + support[..., None], 2, 0) + noise
    return classes, scores.argmax(axis=4).reshape(n_grids, n_episodes, n_way * n_query)


def simulate(world, n_classes, n_way, n_episodes, n_grids=N_GRIDS, n_query=3):
    """answered, asked, accuracies (E,) of grids that each have classes and images of their own."""
    rng = np.random.default_rng(n_way * 1000 + n_episodes)
    at_once = max(1, min(n_grids, 3_000_000 // (n_episodes * n_way**2 * n_query)))
    for start in range(0, n_grids, at_once):
        n = min(at_once, n_grids - start)
        classes, labels = world(rng, n, n_classes, n_way, n_episodes, n_query)
        given = np.take_along_axis(classes, labels, axis=2)
        right = (given == classes.repeat(n_query, axis=2)).mean(axis=2)
        yield from zip(*counts(classes, given, n_classes, n_query), right, strict=True)


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
    grids = list(simulate(world, 36, n_way, n_episodes, n_query=n_query))
    by_class = coverage([of_classes(*grid) for grid in grids])
    assert low <= by_class <= 0.975
    assert coverage([of_episodes(right) for _, _, right in grids]) < min(0.93, by_class - 0.02)  # of the sampler alone


def test_mean_is_the_mean_of_the_cell():
    for answered, asked, right in simulate(additive, 36, 5, 7, n_grids=20):
        assert of_classes(answered, asked).mean == pytest.approx(right.mean(), abs=1e-15)
        assert of_classes(answered, asked).mean == np.trace(answered) / np.trace(asked)


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
    [source] = of_classes(answered, asked).sources
    assert of_classes(answered, asked).mean == pytest.approx(whole, abs=1e-6)
    assert source.degrees == pytest.approx(n - 1)
    assert 0.75 * by_hand < source.error < by_hand  # below it by the chance part of pairs, which by hand counts twice


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
    [source] = of_classes(answered, asked).sources
    assert of_classes(answered, asked).mean == 0.9
    assert source.degrees == pytest.approx(2)
    assert source.error == pytest.approx((jackknife - (both**2).sum() / 2) ** 0.5)


def test_the_same_answers_again_are_no_new_evidence():
    answered, asked, _ = next(simulate(geometric, 36, 5, 60, n_grids=1))
    once, twice = of_classes(answered, asked), of_classes(2 * answered, 2 * asked)
    assert twice.mean == once.mean
    assert twice.half_width() == pytest.approx(once.half_width())


def test_order_of_classes_does_not_matter():
    answered, asked, right = next(simulate(additive, 36, 5, 30, n_grids=1))
    order = np.random.default_rng(0).permutation(36)
    moved = of_classes(answered[np.ix_(order, order)], asked[np.ix_(order, order)], right)
    assert moved.half_width() == pytest.approx(of_classes(answered, asked, right).half_width())


def test_classes_that_were_never_drawn_do_not_count():
    answered, asked, right = next(simulate(additive, 12, 5, 30, n_grids=1))
    padded = of_classes(np.pad(answered, (0, 5)), np.pad(asked, (0, 5)), right)
    assert padded == of_classes(answered, asked, right)


def test_luck_that_all_classes_of_an_episode_share_is_added():
    answered, asked, _ = next(simulate(additive, 36, 35, 6, n_grids=1))
    even, uneven = np.full(6, 0.4), np.array([0.2, 0.3, 0.4, 0.4, 0.5, 0.6])
    alone = of_classes(answered, asked)
    assert of_classes(answered, asked, even) == alone
    both = of_classes(answered, asked, uneven)
    assert both.sources[0] == alone.sources[0]
    assert both.sources[1].degrees == 5
    assert both.sources[1].error < np.std(uneven, ddof=1) / 6**0.5  # the queries' own luck is in the first already
    assert both.half_width() > alone.half_width()


@pytest.mark.parametrize("right", [0, 15])
def test_no_interval_where_nothing_varies(right):
    asked = np.full((4, 4), 15)
    answered = right * np.eye(4, dtype=int) + (15 - right) * np.roll(np.eye(4, dtype=int), 1, axis=1)
    assert of_classes(answered, asked) is None


def test_no_interval_for_two_classes():
    assert of_classes(np.array([[9, 1], [3, 7]]), np.full((2, 2), 10)) is None


def test_always_wrong_against_one_distractor_stays_finite():
    answered = np.array([[0, 10, 0], [0, 10, 0], [0, 0, 10]])
    asked = np.array([[10, 10, 0], [10, 20, 10], [0, 10, 10]])
    answered[1, 1], answered[2, 2] = 15, 10
    answered[1, 2] = 5
    estimate = of_classes(answered, asked)
    assert 0 < estimate.half_width() < 10
