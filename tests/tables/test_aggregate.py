"""Methods over seeds and settings as one number each."""

from dataclasses import replace

import pytest

from fewshot_bench.tables.aggregate import aggregates

THREE = ("protonet", "maml", "reptile")


def test_highest_first_with_its_chances_against_the_others(make_results):
    found = aggregates(make_results(THREE, seeds=(0, 1, 2)))
    assert {a.variant for a in found} == set(THREE)
    assert [a.middle[0] for a in found] == sorted((a.middle[0] for a in found), reverse=True)
    assert found[0].beaten is None
    for a in found[1:]:
        value, low, high = a.beaten
        assert 0.5 <= value <= 1
        assert low <= value <= high


def test_scores_are_shares_of_the_way_from_chance_to_perfect(make_results):
    results = make_results(THREE, ((5, 1), (20, 1)), seeds=(0, 1))
    right = {c.key: tuple(replace(e, n_correct=e.n_queries // c.n_way) for e in c.episodes) for c in results.cells}
    at_chance = replace(results, cells=tuple(replace(c, episodes=right[c.key]) for c in results.cells))
    for a in aggregates(at_chance):
        assert a.middle == pytest.approx((0, 0, 0), abs=1e-12)
        assert a.beaten in (None, (0.5, 0.5, 0.5))


def test_one_seed_or_one_setting_gives_nothing(make_results):
    assert aggregates(make_results(THREE)) == ()
    assert aggregates(make_results(THREE, ((5, 1),), seeds=(0, 1))) == ()
    assert aggregates(make_results(THREE[:1], seeds=(0, 1))) == ()


def test_settings_and_variants_that_are_not_whole_are_left_out(make_results):
    results = make_results(THREE, ((5, 1), (5, 5), (20, 1)), seeds=(0, 1))
    gone = replace(results, cells=results.cells[1:])
    assert aggregates(gone) == aggregates(make_results(THREE, ((5, 5), (20, 1)), seeds=(0, 1)))
    one_seed = replace(results, seeds_of={"maml": (0,)})
    assert [a.variant for a in aggregates(one_seed)] == [a.variant for a in aggregates(results) if a.variant != "maml"]
