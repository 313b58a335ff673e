"""`-k EXPR`: a filter over cell names in pytest's words, e.g. "maml and not 35w". Pure."""

import re
from collections.abc import Callable

from fewshot_bench.errors import UsageError

Predicate = Callable[[str], bool]


def parse(expression: str) -> Predicate:
    """A test on names: words match as parts of the name, whatever their case; and, or, not and () combine.

    Raises UsageError for a sentence that is none.
    """
    words: list[str] = re.findall(r"[()]|[^\s()]+", expression)
    position = 0

    def peek() -> str:
        return words[position] if position < len(words) else ""

    def take() -> str:
        nonlocal position
        position += 1
        return words[position - 1]

    def fail(expected: str) -> UsageError:
        found = f"{peek()!r}" if peek() else "the end"
        return UsageError(f"-k {expression!r}: expected {expected}, found {found}")

    def either() -> Predicate:
        left = both()
        while peek() == "or":
            take()
            left = _or(left, both())
        return left

    def both() -> Predicate:
        left = single()
        while peek() == "and":
            take()
            left = _and(left, single())
        return left

    def single() -> Predicate:
        if peek() == "not":
            take()
            inner = single()
            return lambda name: not inner(name)
        if peek() == "(":
            take()
            inner = either()
            if peek() != ")":
                raise fail("')'")
            take()
            return inner
        if peek() in ("", ")", "and", "or"):
            raise fail("a word")
        word = take().lower()
        return lambda name: word in name.lower()

    predicate = either()
    if peek():
        raise fail("'and', 'or' or the end")
    return predicate


def _or(a: Predicate, b: Predicate) -> Predicate:
    return lambda name: a(name) or b(name)


def _and(a: Predicate, b: Predicate) -> Predicate:
    return lambda name: a(name) and b(name)
