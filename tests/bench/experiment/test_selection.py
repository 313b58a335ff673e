"""`-k EXPR` means what it means in pytest."""

import pytest

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import parse

NAMES = ["maml-5w1s-s0", "maml-35w1s-s0", "fomaml-5w5s-s1", "reptile-mtl-5w1s-s0"]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("maml", [0, 1, 2]),
        ("MAML", [0, 1, 2]),
        ("-5w", [0, 2, 3]),
        ("not maml", [3]),
        ("not not maml", [0, 1, 2]),
        ("maml and not 35w", [0, 2]),
        ("mtl or 35w", [1, 3]),
        ("mtl or 35w and s1", [3]),  # and binds tighter
        ("(mtl or 35w) and s0", [1, 3]),
        ("not (mtl or 35w)", [0, 2]),
        ("not mtl and s0", [0, 1]),  # not binds tightest
        ("((maml))", [0, 1, 2]),
        ("nothing", []),
    ],
)
def test_expressions(expression, chosen):
    assert [i for i, name in enumerate(NAMES) if parse(expression)(name)] == chosen


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("maml and", "expected a word, found the end"),
        ("and maml", "expected a word, found 'and'"),
        ("(maml", "expected ')', found the end"),
        ("maml)", "found ')'"),
        ("maml 35w", "expected 'and', 'or' or the end, found '35w'"),
        ("not", "expected a word, found the end"),
        ("()", "expected a word, found ')'"),
        ("", "expected a word, found the end"),
    ],
)
def test_sentences_that_are_none(expression, said):
    with pytest.raises(UsageError) as error:
        parse(expression)
    assert said in str(error.value)
    assert repr(expression) in str(error.value)
