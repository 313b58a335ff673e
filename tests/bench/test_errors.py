"""Errors as worker processes hand them over."""

import pickle

import pytest

from fewshot_bench import errors
from fewshot_bench.errors import BenchError


@pytest.mark.parametrize(
    "name", [n for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, BenchError)]
)
def test_an_error_says_the_same_in_another_process(name):
    error = getattr(errors, name)("out of memory")
    assert "out of memory" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
