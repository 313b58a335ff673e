"""Which settings are ranked, who is not separated, and what is said of it."""

import json

import pytest

from fewshot_bench.tables.comparison_text import render_ranking
from fewshot_bench.tables.ranks import CAUTION, Ranked, Ranking, rank
from fewshot_bench.tables.summary import summarise

NINE = tuple((n_way, n_shot) for n_way in (5, 20, 35) for n_shot in (1, 5, 100))


def ranking(ranks, p, critical_difference=1.0, **changes):
    ranked = tuple(Ranked(name, rank, 1.0) for name, rank in zip("abcdef", ranks, strict=False))
    return Ranking(ranked, NINE, p, critical_difference, **changes)


def test_variants_stand_best_first_with_their_mean_ranks(make_results):
    table = summarise(make_results())
    found = rank(table)
    assert found.settings == NINE
    assert [r.mean_rank for r in found.ranked] == sorted(r.mean_rank for r in found.ranked)
    best = max(zip(table.variants, table.rows[0].cells, strict=True), key=lambda pair: pair[1].mean)
    assert found.ranked[0].variant == best[0]
    assert sum(r.mean_rank for r in found.ranked) == pytest.approx(7 * 8 / 2)


def test_only_settings_where_every_variant_is_done_count(marked):
    found = rank(summarise(marked))
    assert found.settings == ((5, 100), (20, 1), (20, 5), (35, 1), (35, 100))
    assert found.left_out == ((5, 1), (5, 5), (20, 100), (35, 5))
    assert "Mean ranks over 5 settings of 9, those where every variant is done." in found.words


@pytest.mark.parametrize(
    ("variants", "settings"),
    [(("maml", "protonet"), NINE), (("maml", "protonet", "reptile"), NINE[:2])],
)
def test_too_few_to_rank(make_results, variants, settings):
    assert rank(summarise(make_results(variants, settings))) is None


@pytest.mark.parametrize(
    ("ranks", "groups"),
    [
        ((1.0, 2.1, 3.2), ()),
        ((1.0, 1.9, 2.8), (("a", "b"), ("b", "c"))),
        ((1.0, 1.2, 2.8), (("a", "b"),)),
        ((1.0, 2.8, 2.8), (("b", "c"),)),
        ((1.0, 1.5, 2.0), (("a", "b", "c"),)),
        ((1.0, 1.5, 1.9, 2.4, 5.0, 5.1), (("a", "b", "c"), ("b", "c", "d"), ("e", "f"))),
    ],
)
def test_groups_are_the_longest_neighbours_that_are_not_separated(ranks, groups):
    found = ranking(ranks, 0.001)
    assert found.groups == groups
    assert found.separates == (groups != (tuple("abcdef"[: len(ranks)]),))


def test_nothing_is_separated_where_friedman_finds_nothing():
    found = ranking((1.0, 2.1, 3.2), 0.06)
    assert found.groups == (("a", "b", "c"),)
    assert not found.separates
    assert "no difference is shown at all" in found.words


def test_says_when_so_few_settings_separate_nothing():
    found = ranking((3.0, 3.5, 4.0), 0.04, 3.0)
    assert "With 9 settings and 3 variants, mean ranks closer than 3.00 are not separated" in found.words
    assert "that is so for every pair of the 3" in found.words


def test_one_seed_ranks_checkpoints(make_results):
    assert "One training seed: checkpoints are ranked, not methods." in rank(summarise(make_results())).words
    assert "checkpoints are ranked" not in rank(summarise(make_results(seeds=(0, 1)))).words


def test_text_and_json_say_that_blocks_are_not_independent(make_results):
    found = rank(summarise(make_results()))
    text = render_ranking(found, "text")
    assert " ".join(CAUTION.split()) in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 110
    document = json.loads(render_ranking(found, "json"))
    assert [r["variant"] for r in document["ranked"]] == [r.variant for r in found.ranked]
    assert document["groups"] == [list(group) for group in found.groups]
    assert document["critical_difference"] == found.critical_difference
