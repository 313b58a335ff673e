"""Claims files: the shipped one is whole, and every mistake in one is told in one line."""

import re
import tomllib

import pytest

from fewshot_bench.tables.claims.file import Hypothesis, Place, parse_claims, shipped_claims
from fewshot_bench.tables.claims.section import ClaimError

VARIANTS = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")
HEAD = 'schema = 1\nsource = "S"\nways = [5, 20]\nshots = [1, 5, 100]\n'
WORDS = 'id = "c"\nsentence = "s"\nwhere = "w"\nreading = "r"\nquantifier = "all"\n'
BETTER = HEAD + "[[claims]]\n" + WORDS + 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer"]\n'


def parse(text):
    return parse_claims(text, "mine.toml", VARIANTS, ["eshratifar2019"])


def one(text):
    return parse(HEAD + "[[claims]]\n" + WORDS + text).claims[0]


def words(hypotheses):
    return [str(hypothesis) for hypothesis in hypotheses]


def test_the_shipped_file_is_read():
    shipped = parse(shipped_claims())
    assert shipped.published == "eshratifar2019"
    assert {claim.id: len(claim.hypotheses) for claim in shipped.claims} == {
        "narrow-maml-mtl": 18, "narrow-reptile-mtl": 18, "broad-maml-mtl": 36, "broad-reptile-mtl": 36,
        "transfer-wins-many-classes": 9, "meta-learning-wins-few-classes": 9,
        "meta-learning-wins-few-of-both": 6, "transfer-wins-many-shots": 9,
        "more-shots-never-hurt": 36, "above-chance": 54,
    }  # fmt: skip
    assert len(shipped.places) == 54  # the paper's table has no column for FOMAML
    assert {claim.id for claim in shipped.claims if claim.implied} == {"more-shots-never-hurt", "above-chance"}


def test_better_is_a_product_or_a_list_of_pairs():
    claim = one('kind = "better"\nbetter = ["maml", "reptile"]\nworse = ["transfer"]\nways = [5]\nshots = [1]')
    assert words(claim.hypotheses) == ["5-way 1-shot maml > transfer", "5-way 1-shot reptile > transfer"]
    claim = one('kind = "better"\npairs = [["maml", "transfer"], ["reptile", "protonet"]]\nways = [20]\nshots = [5]')
    assert words(claim.hypotheses) == ["20-way 5-shot maml > transfer", "20-way 5-shot reptile > protonet"]
    assert claim.margin == 0.01


def test_more_shots_are_consecutive_and_of_one_way():
    claim = one('kind = "more-shots"\nvariants = ["maml"]\nshots = [100, 1, 5]\nmargin_points = 2')
    assert words(claim.hypotheses) == [
        "5-way maml, 5 shots ≥ 1",
        "5-way maml, 100 shots ≥ 5",
        "20-way maml, 5 shots ≥ 1",
        "20-way maml, 100 shots ≥ 5",
    ]
    assert claim.margin == 0.02


def test_above_chance_has_every_cell():
    claim = one('kind = "above-chance"\nvariants = ["maml", "reptile"]\nshots = [1]')
    assert len(claim.hypotheses) == 4
    assert claim.hypotheses[0] == Hypothesis(Place("maml", 5, 1), None)
    assert str(claim.hypotheses[0]) == "5-way 1-shot maml > chance"


MISTAKES = [
    (("schema = 1", "schema = 2"), "mine.toml: schema: 2 is not known"),
    (("schema = 1", "schema = true"), "mine.toml: schema: True is not known"),
    (("schema = 1\n", ""), "mine.toml: schema: is missing"),
    (('source = "S"', 'source = ""'), "mine.toml: source: must be a text that is not empty"),
    (('source = "S"', 'source = "S"\nauthor = "A"'), "mine.toml: author: unknown key 'author': known: claims"),
    (('source = "S"', 'source = "S"\npublished = "eshratifar2018"'), "published: unknown table .*did you mean"),
    (("ways = [5, 20]", "ways = []"), "mine.toml: ways: must be a list that is not empty"),
    (("ways = [5, 20]", "ways = [1]"), "mine.toml: ways: 1 is less than 2"),
    (("ways = [5, 20]", "ways = [5, 5]"), "mine.toml: ways: 5 stands in it twice"),
    (("ways = [5, 20]", "ways = [true]"), "mine.toml: ways: each entry must be a whole number, not True"),
    (("ways = [5, 20]\n", ""), "mine.toml: claim 'c': ways: is missing"),
    (('id = "c"\n', ""), "mine.toml: claim number 1: id: is missing"),
    (('id = "c"', 'id = "A b"'), "claim 'A b': id: 'A b' has more than lower-case"),
    (('id = "c"', "id = 3"), "claim number 1: id: must be a text"),
    (('sentence = "s"', "sentence = 1"), "claim 'c': sentence: must be a text"),
    (('where = "w"\n', ""), "claim 'c': where: is missing"),
    (('reading = "r"', 'reading = "  "'), "claim 'c': reading: must be a text that is not empty"),
    (('quantifier = "all"', 'quantifier = "most"'), "claim 'c': quantifier: must be one of all, some, not 'most'"),
    (('kind = "better"', 'kind = "best"'), "claim 'c': kind: must be one of better, more-shots, above-chance"),
    (('kind = "better"', 'kind = "above-chance"'), "claim 'c': better: unknown key 'better'"),
    (('kind = "better"', 'kind = "better"\nvariants = ["maml"]'), "claim 'c': variants: unknown key"),
    (('kind = "better"', 'kind = "better"\nimplied = "yes"'), "claim 'c': implied: must be true or false"),
    (('kind = "better"', 'kind = "better"\nmargin_points = 0'), "claim 'c': margin_points: must be a number above 0"),
    (('kind = "better"', 'kind = "better"\nmargin_points = nan'), "margin_points: must be a number above 0"),
    (('kind = "better"', 'kind = "better"\nmargin = 1'), "claim 'c': margin: unknown key .*did you mean"),
    (('kind = "better"', 'kind = "better"\nshots = [0]'), "claim 'c': shots: 0 is less than 1"),
    (('kind = "better"', 'kind = "better"\nshots = "1"'), "claim 'c': shots: must be a list"),
    (('better = ["maml"]', 'better = ["mamml"]'), "claim 'c': better: unknown variant 'mamml': did you mean 'maml'?"),
    (('better = ["maml"]', "better = []"), "claim 'c': better: must be a list that is not empty"),
    (('better = ["maml"]', "better = [1]"), "claim 'c': better: each entry must be the name of a variant"),
    (('better = ["maml"]\n', ""), "claim 'c': better: is missing"),
    (('worse = ["transfer"]', 'worse = ["maml"]'), "claim 'c': worse: 'maml' is compared with itself"),
    (('better = ["maml"]', 'pairs = [["maml", "transfer"]]'), "claim 'c': worse: stands beside pairs"),
    (('better = ["maml"]\nworse = ["transfer"]', 'pairs = [["maml"]]'), "pairs: each entry must be two variants"),
    (('better = ["maml"]\nworse = ["transfer"]', 'pairs = [["maml", 3]]'), "pairs: each entry must be two variants"),
    (('better = ["maml"]\nworse = ["transfer"]', 'pairs = ["maml"]'), "pairs: each entry must be two variants"),
    (('better = ["maml"]\nworse = ["transfer"]', 'pairs = [["maml", "x"]]'), "pairs: unknown variant 'x'"),
    (('better = ["maml"]\nworse = ["transfer"]', 'pairs = [["maml", "maml"]]'), "pairs: 'maml' is compared"),
    (("[[claims]]", "[claims]"), "mine.toml: claims: must be a list"),
    (("schema = 1", "schema = "), "mine.toml: not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_file_claim_and_key(change, message):
    text = BETTER.replace(*change)
    assert text != BETTER
    with pytest.raises(ClaimError) as error:
        parse(text)
    assert re.search(message.replace("?", r"\?"), str(error.value)), error.value
    assert str(error.value).startswith("mine.toml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [('id = "c"', 'id = "A{long}"'), ('["maml"]', '["{long}"]'), ('"better"', '"{long}"')],
)
def test_a_mistake_of_any_length_is_told_in_few_words(change):
    text = BETTER.replace(change[0], change[1].format(long="x" * 100_000), 1)
    with pytest.raises(ClaimError) as error:
        parse(text)
    assert len(str(error.value)) < 400


def test_more_shots_need_two_numbers_of_them():
    with pytest.raises(ClaimError, match="claim 'c': shots: more shots need at least two"):
        one('kind = "more-shots"\nvariants = ["maml"]\nshots = [5]')


def test_an_id_is_used_once():
    claim = BETTER[BETTER.index("[[claims]]") :]
    with pytest.raises(ClaimError, match="claim 'c': id: two claims have it"):
        parse(BETTER + claim)


def test_no_claims_are_a_mistake():
    with pytest.raises(ClaimError, match="claims: is missing"):
        parse(HEAD)
    assert tomllib.loads(BETTER)["claims"]  # what the mistakes above are made from is right
    assert parse(BETTER).claims
