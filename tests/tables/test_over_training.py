"""Accuracy over training images: who is highest where."""

from fewshot_bench.tables.over_training import among, crossings, curves
from fewshot_bench.tables.scores import BudgetScore


def score(variant, images, mean, *, setting=(5, 1), same_rule=True) -> BudgetScore:
    return BudgetScore("any", variant, setting[0], setting[1], images, mean, 0.01, True, same_rule)


def test_where_two_curves_cross():
    """transfer stays at 50 %; maml rises by 10 points for each power of ten, from 30 % at 100: equal at 10,000."""
    flat = [score("transfer", images, 0.5) for images in (10, 1_000_000)]
    rising = [score("maml", 100 * 10**i, 0.3 + 0.1 * i) for i in range(5)]
    (told,) = crossings([*flat, *rising])
    assert told == "5-way 1-shot, 100 to 1,000,000 images: transfer is highest, from about 10,000 on maml."


def test_a_crossing_next_to_the_start_is_not_printed_as_the_start():
    """By two digits b would be highest from 100,000 on, where a is said to be."""
    points = [score("a", n, 0.5) for n in (100_000, 1_000_000)]
    points += [score("b", 100_000, 0.499), score("b", 1_000_000, 0.6)]
    (told,) = crossings(points)
    assert told == "5-way 1-shot, 100,000 to 1,000,000 images: a is highest, from about 102,000 on b."


def test_one_curve_above_the_other_and_settings_apart():
    points = [score(v, n, m, setting=s) for s in ((5, 1), (20, 5)) for n in (1, 9) for v, m in (("a", 0.5), ("b", 0.4))]
    assert crossings(points) == tuple(
        f"{name}, 1 to 9 images: a is highest throughout." for name in ("5-way 1-shot", "20-way 5-shot")
    )


def test_it_is_said_which_methods_are_compared_and_that_lines_are_drawn():
    pair = [score(v, n, 0.5) for v in ("a", "b") for n in (1, 9)]
    others = [
        score("c", 9, 0.9),
        score("d", 9, 0.9),
        score("untrained", 0, 0.9),
        *(score("e", n, 0.9, same_rule=False) for n in (1, 9)),
    ]
    told = among([*pair, *others])
    assert "several budgets (a, b: 2 of the 5 that were trained), interpolated on straight lines between" in told


def test_nothing_is_said_where_curves_do_not_overlap_or_there_are_none():
    early, late = ([score(v, n, 0.5) for n in some] for v, some in (("a", (1, 9)), ("b", (90, 99))))
    other_rule = [score("c", n, 0.5, same_rule=False) for n in (1, 99)]
    alone = [score("d", 50, 0.9), score("untrained", 0, 0.9), score("untrained", 0, 0.9)]
    for points in ([], early, [*early, *late], [*early, *other_rule], [*early, *alone]):
        assert crossings(points) == ()
    assert "untrained" not in curves(alone)[5, 1]
