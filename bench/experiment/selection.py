"""The cells that a command works on: the words that choose them, their names, and `-k EXPR`. Pure."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from fewshot_bench.errors import UsageError
from fewshot_bench.settings import shown

Predicate = Callable[[str], bool]
DEEPEST = 50  # of brackets and "not" in an expression
HERE = "here"  # the engine that is this machine
NAME = re.compile(r"(?P<variant>.+)-(?P<n_way>\d{1,9})w(?P<n_shot>\d{1,9})s-s(?P<seed>\d{1,9})")


@dataclass(frozen=True)
class Selection:
    """The words that choose configuration, data and cells; None and () leave the configuration's choice."""

    config: Path | None = None  # a file; None: bench.toml here, else the packaged one
    settings: tuple[str, ...] = ()  # of --set, laid over it: data.image_size=28
    grid: str | None = None
    data: str | None = None  # a name, a folder, an archive, or FORMAT:PATH
    novel_data: str | None = None  # another, whose novel classes are tested on; "": none; None: as [data] says
    split: str | None = None
    budget: str | None = None
    protocol: str | None = None
    methods: tuple[str, ...] = ()  # variants
    ways: tuple[int, ...] = ()
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    episodes: int | None = None
    expression: str | None = None  # -k
    rules: str | None = None  # a file that `bench tune` wrote; "": none; None: as [run] says
    out: Path | None = None
    recalled: bool = False  # in part as a database says, which another may have made: its data are not opened for that

    @property
    def matches(self) -> Predicate:
        """Of a cell's name, whether the expression chooses it. Raises UsageError for a malformed expression."""
        return parse(self.expression) if self.expression else lambda _: True

    @property
    def wants(self) -> Callable[["Place"], bool]:
        """Of a cell's place, whether variants, ways, shots, seeds and expression choose it; empty ones choose all."""
        chosen, matches = (self.methods, self.ways, self.shots, self.seeds), self.matches
        return lambda place: (
            all(not some or part in some for part, some in zip(place, chosen, strict=True)) and matches(place.name)
        )


def names(word: str, given: Any) -> tuple[str, ...]:
    """The names that a word of Python's interface has: one, or any iterable of them. Raises UsageError."""
    found = tuple(dict.fromkeys(text(word, name) for name in _several(given)))
    if joined := next((name for name in found if "," in name), None):
        raise UsageError(f"{word} = {joined!r} is no name: several are a list, {joined.split(',')!r}")
    return found


def numbers(word: str, given: Any) -> tuple[int, ...]:
    """The whole numbers that a word has, likewise. Raises UsageError."""
    return tuple(dict.fromkeys(number(word, one) for one in _several(given)))


def number(word: str, given: Any) -> int:
    """The whole number that a word has, numpy's too. Raises UsageError."""
    try:
        return operator.index(given)
    except TypeError:
        raise UsageError(f"{word} = {shown(given)} must be a whole number") from None


def text(word: str, given: Any) -> str:
    """The text that a word has. Raises UsageError."""
    if not isinstance(given, str):
        raise UsageError(f"{word} = {shown(given)} must be a text")
    return str(given)  # numpy's, too


def path(word: str, given: Any) -> str:
    """The path, or the URL, that a word has. Raises UsageError."""
    if not isinstance(given, str | PathLike):
        raise UsageError(f"{word} = {shown(given)} must be a text or a path")
    return str(given)


def _several(given: Any) -> Iterable[Any]:
    """One word, or several; those of a set in an order that is the same in each process."""
    if isinstance(given, str) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return (given,)
    return sorted(given, key=str) if isinstance(given, set | frozenset) else given


@dataclass(frozen=True)
class Means:
    """How a run works; None: as [run] of bench.toml says."""

    device: str | None = None
    threads: int | None = None
    jobs: int | None = None  # 0: one a core, or one for a GPU
    retry_failed: bool = False
    timeout_seconds: float | None = None  # of a training or cell
    training: str | None = None  # its key: this one alone, without its cells
    engine: str | None = None  # here, slurm or dask
    engine_options: tuple[tuple[str, str], ...] = ()
    detach: bool = False  # jobs of an engine are not waited for


class Place(NamedTuple):
    """What a cell's name says."""

    variant: str
    n_way: int
    n_shot: int
    seed: int

    @property
    def name(self) -> str:
        """How people say it, and what `-k` matches: maml-5w1s-s0."""
        return f"{self.variant}-{self.n_way}w{self.n_shot}s-s{self.seed}"


def place_of(row: Mapping[str, Any]) -> Place:
    """The place of a stored cell, from its columns."""
    return Place(row["variant"], row["n_way"], row["n_shot"], row["seed"])


def place_named(name: str) -> Place | None:
    """`Place.name` read back; None for what is no cell's name."""
    found = NAME.fullmatch(name)
    return found and Place(found["variant"], int(found["n_way"]), int(found["n_shot"]), int(found["seed"]))


def parse(expression: str) -> Predicate:
    """A test on names: words match as parts of the name, whatever their case; and, or, not and () combine.

    Raises UsageError for a malformed expression.
    """
    sentence = _Sentence(expression)
    predicate = sentence.either()
    if sentence.next:
        raise sentence.expected("'and', 'or' or the end")
    return predicate


class _Sentence:
    """An expression that is read word by word."""

    def __init__(self, expression: str) -> None:
        self._expression, self._depth = expression, 0
        self._words: list[str] = re.findall(r"[()]|[^\s()]+", expression)[::-1]

    @property
    def next(self) -> str:
        """The next word; empty at the end."""
        return self._words[-1] if self._words else ""

    def expected(self, what: str) -> UsageError:
        """The error where something else stands next."""
        found = f"{self.next!r}" if self.next else "the end"
        return UsageError(f"-k {self._expression!r}: expected {what}, found {found}")

    def either(self) -> Predicate:
        """Parts with `or` between them."""
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return lambda name: any(part(name) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._single()]
        while self._take("and"):
            parts.append(self._single())
        return lambda name: all(part(name) for part in parts)

    def _single(self) -> Predicate:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError(f"-k {self._expression[:50]!r}...: it is nested more than {DEEPEST} deep")
        inner = self._inner()
        self._depth -= 1
        return inner

    def _inner(self) -> Predicate:
        if self._take("not"):
            inner = self._single()
            return lambda name: not inner(name)
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self.expected("')'")
            return inner
        if self.next in ("", ")", "and", "or"):
            raise self.expected("a word")
        word = self._words.pop().lower()
        return lambda name: word in name.lower()

    def _take(self, word: str) -> bool:
        if self.next != word:
            return False
        self._words.pop()
        return True
