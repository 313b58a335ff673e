"""A method whose functions break, or return what methods/returned.py calls wrong, is named in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from fewshot_bench.errors import BenchError
from fewshot_bench.methods.returned import left_behind
from fewshot_bench.methods.strangers import contained, in_one_line, modes


class BrokenMethod(Exception):
    """A method does not do what its interface says; one line that names it and what is wrong."""


@contextmanager
def blaming(method: str) -> Iterator[None]:
    """Raise BrokenMethod, naming the method, for whatever its own code raises inside, an end of the program too."""
    try:
        with contained():
            yield
    except (BenchError, BrokenMethod, FloatingPointError, MemoryError):
        raise
    except Exception as error:  # a method's own code may raise anything
        raise BrokenMethod(f"{method} broke: {in_one_line(error)}") from error


@contextmanager
def leaving_nothing(method: str, what: str) -> Iterator[None]:
    """Raise BrokenMethod where a function of a method leaves torch in another mode than it found."""
    before = modes()
    yield
    require(method, left_behind(what, before))


def require(method: str, wrong: str) -> None:
    """Raise BrokenMethod, naming the method, for what is wrong; "" is nothing."""
    if wrong:
        raise BrokenMethod(f"{method}: {wrong}")
