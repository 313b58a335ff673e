"""The published numbers: complete, and digit for digit those of the paper."""

import pytest

from fewshot_bench.tables.papers import load_published, parse_published, published_updates
from fewshot_bench.tables.wording import percent

# Typed from the paper, in its own layout: rows are 5, 20, 35 ways by 1, 5, 100 shots.
TABLE_1 = """
37.44 49.42 49.16 51.04 48.70 50.99
53.28 68.20 65.99 69.58 63.11 67.88
90.23 61.13 83.75 96.56 82.53 92.44
15.06 21.54 20.29 22.27 20.50 22.34
27.33 34.68 31.46 36.45 31.50 35.95
73.56 56.76 68.59 74.00 68.55 74.87
10.49 10.67 9.85 13.60 9.61 14.11
20.04 17.53 16.46 21.59 16.01 21.85
61.72 38.13 51.09 68.10 50.21 66.34
"""


@pytest.fixture
def paper():
    return load_published()[0]


def test_table_1_is_complete_and_exact(paper):
    assert paper.id == "eshratifar2019"
    printed = [[percent(value.accuracy) for value in row.values] for row in paper.rows]
    assert printed == [line.split() for line in TABLE_1.split("\n") if line]
    settings = [(row.n_way, row.n_shot) for row in paper.rows]
    assert settings == [(way, shot) for way in (5, 20, 35) for shot in (1, 5, 100)]
    assert all(value.half_width is None for row in paper.rows for value in row.values)


def test_columns_have_our_names(paper):
    assert {column.name: column.variant for column in paper.columns} == {
        "Transfer Learning": "transfer",
        "Prototypical": "protonet",
        "Reptile": "reptile",
        "Reptile MTL": "reptile-mtl",
        "MAML": "maml",
        "MAML MTL": "maml-mtl",
    }


def test_copied_values_are_marked_and_equal_their_source(paper):
    copied = {
        (column.variant, row.n_way, row.n_shot): value
        for row in paper.rows
        for column, value in zip(paper.columns, row.values, strict=True)
        if value.copied_from
    }
    places = {(name, 5, shot) for name in ("maml", "protonet") for shot in (1, 5)} | {("reptile", 5, 5)}
    assert set(copied) == places
    [sources] = [table for table in load_published() if table.id == "conv4_5way"]
    for (variant, n_way, n_shot), value in copied.items():
        assert value.accuracy in {
            original.accuracy
            for row in sources.rows
            for column, original in zip(sources.columns, row.values, strict=True)
            if (column.variant, row.n_way, row.n_shot) == (variant, n_way, n_shot)
        }


def test_every_table_says_where_it_comes_from_and_what_to_beware_of():
    for table in load_published():
        assert table.citation
        assert table.location
        assert table.protocol
        assert table.caveats
        assert all(0 < value.accuracy < 1 for row in table.rows for value in row.values)


def test_value_finds_a_number_or_says_there_is_none(paper):
    assert percent(paper.value("reptile-mtl", 35, 100).accuracy) == "68.10"
    with pytest.raises(KeyError, match="no value for fomaml"):
        paper.value("fomaml", 5, 1)


BROKEN = """
id = "x"
title = "x"
citation = "x"
location = "x"
dataset = "x"
protocol = []
caveats = []
columns = [{name = "A", variant = "a"}]
rows = [{n_way = 5, n_shot = 1, accuracy_percent = %s}]
copied = [{column = "A", settings = [[%d, 1]], source = "y"}]
"""


def test_malformed_tables_are_refused():
    assert parse_published(BROKEN % ("[50.0]", 5)).rows[0].values[0].copied_from == "y"
    with pytest.raises(ValueError, match="zip"):
        parse_published(BROKEN % ("[50.0, 60.0]", 5))
    with pytest.raises(ValueError, match="does not have"):
        parse_published(BROKEN % ("[50.0]", 20))


def test_the_packaged_budget_spends_what_was_published():
    from fewshot_bench.config import load

    iterations = load().budgets["paper"].iterations
    assert published_updates() == {method: n for method, n in iterations.items() if method != "other"}
