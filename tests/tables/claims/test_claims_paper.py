"""Claims against the paper's own printed table: arithmetic, checked by hand."""

from dataclasses import replace

import pytest

from fewshot_bench.tables.claims.file import parse_claims, shipped_claims
from fewshot_bench.tables.claims.paper import read_paper
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.papers import load_published

VARIANTS = ("transfer", "protonet", "maml", "reptile", "maml-mtl", "reptile-mtl")
MAML_WINS = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer", "protonet"]\n'
CLEAR = {"maml": (0.6, 0.8), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)}


@pytest.fixture(scope="module")
def paper():
    return load_published()[0]


@pytest.fixture(scope="module")
def readings(paper):
    shipped = parse_claims(shipped_claims(), "shipped", VARIANTS, [paper.id])
    return {claim.id: read_paper(claim, paper) for claim in shipped.claims}


@pytest.mark.parametrize(
    ("name", "verdict", "holding", "of", "settings"),
    [
        ("narrow-maml-mtl", "holds", 18, 18, (9, 9)),
        ("narrow-reptile-mtl", "holds", 18, 18, (9, 9)),
        ("broad-maml-mtl", "not in that order", 35, 36, (8, 9)),
        ("broad-reptile-mtl", "holds", 36, 36, (9, 9)),
        ("transfer-wins-many-classes", "not in that order", 8, 9, (2, 3)),
        ("meta-learning-wins-few-classes", "not in that order", 6, 9, (2, 3)),
        ("transfer-wins-many-shots", "holds", 9, 9, (3, 3)),
        ("more-shots-never-hurt", "not in that order", 35, 36, (5, 6)),
        ("above-chance", "holds", 54, 54, (9, 9)),
    ],
)
def test_the_papers_table_against_its_sentences(name, verdict, holding, of, settings, readings):
    """Counted by hand from Table 1."""
    reading = readings[name]
    assert (reading.verdict, reading.n_holding, len(reading.printed)) == (verdict, holding, of)
    assert reading.settings == settings
    assert reading.n_absent == 0


def test_the_papers_contradictions_are_the_known_ones(readings):
    told = {
        name: {one.hypothesis.words("<"): round(100 * one.difference, 2) for one in reading.contradictions}
        for name, reading in readings.items()
    }
    assert told["broad-maml-mtl"] == {"5-way 5-shot maml-mtl < protonet": -0.32}
    assert told["transfer-wins-many-classes"] == {"35-way 1-shot transfer < protonet": -0.18}
    assert told["more-shots-never-hurt"] == {"5-way protonet, 100 shots < 5": -7.07}
    assert set(told["meta-learning-wins-few-classes"]) == {
        f"5-way 100-shot {name} < transfer" for name in ("protonet", "reptile", "maml")
    }
    smallest = readings["narrow-reptile-mtl"].smallest
    assert (str(smallest.hypothesis), smallest.difference) == ("20-way 100-shot reptile-mtl > transfer", 0.0044)


def test_what_the_paper_did_not_print_leaves_the_reading_open(paper, make_claims):
    text = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer", "fomaml"]\nshots = [5]\n'
    reading = read_paper(make_claims(text).claims[0], paper)
    assert (reading.verdict, reading.n_holding, reading.n_absent) == ("open", 1, 1)
    assert read_paper(make_claims(text, "some").claims[0], paper).verdict == "holds"
    nothing = read_paper(make_claims('kind = "above-chance"\nvariants = ["fomaml"]\n').claims[0], paper)
    assert (nothing.verdict, nothing.printed) == ("open", ())


def test_equal_digits_do_not_beat_but_do_not_fall(paper, make_claims):
    row = replace(paper.rows[0], values=(paper.rows[0].values[0],) * 6)
    level = replace(paper, rows=(row, replace(row, n_shot=5)))
    assert read_paper(make_claims(MAML_WINS).claims[0], level).n_holding == 0
    assert read_paper(make_claims('kind = "more-shots"\nvariants = ["maml"]\n').claims[0], level).verdict == "holds"


def test_agreement(grid, make_claims):
    text = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\nshots = [5]\n'
    with_table = make_claims(text, published="eshratifar2019")
    wins, loses = grid(CLEAR), grid(CLEAR | {"maml": (0.3, 0.3)})
    level = grid(CLEAR | {"maml": (0.5, 0.5)})
    papers = load_published()
    assert judge(with_table, wins, papers).claims[0].agreement == "agrees"
    assert judge(with_table, loses, papers).claims[0].agreement == "disagrees"
    assert judge(with_table, level, papers).claims[0].agreement == "not decided"
    assert judge(make_claims(text), wins, papers).claims[0].agreement == "no table"
    assert judge(with_table, wins, papers).other_data
    same = replace(wins, experiment=replace(wins.experiment, dataset="mini-imagenet"))
    assert not judge(with_table, same, papers).other_data
