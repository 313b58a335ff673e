"""What `bench verify` says of one number of a rendered table."""

from dataclasses import dataclass
from typing import Literal

from fewshot_bench.tables.documents import one_line

Kind = Literal["edited", "stale", "unknown", "gone"]
LABELS: dict[Kind, str] = {"edited": "edited by hand", "stale": "stale", "unknown": "unknown", "gone": "gone"}


@dataclass(frozen=True)
class Finding:
    """One number that is not what it should be, or is not there.

    edited: what is seen, its facts and what they are about contradict each other. stale: the database has another
    number now. unknown: nothing here can confirm it. gone: a number, a row or a line of facts is missing.
    """

    kind: Kind
    line: int
    name: str  # "maml 5-way 1-shot"
    shown: str  # what the file shows; empty where nothing is there
    true: str  # what it should show; empty where that is not known
    words: str  # what is wrong, after the name

    @property
    def text(self) -> str:
        """One line for people."""
        return one_line(f"line {self.line}: {LABELS[self.kind]}: {self.name} {self.words}")


def edited(line: int, name: str, shown: str, true: str, whose: str = "its facts say") -> Finding:
    """What is seen is not what is known of it."""
    return Finding("edited", line, name, shown, true, f"shows {shown or 'no number'}, {whose} {true or 'no number'}")


def stale(line: int, name: str, shown: str, now: str) -> Finding:
    """The database has another number now."""
    return Finding("stale", line, name, shown, now, f"shows {shown or 'no number'}, the database now has {now}")


def misquoted(line: int, name: str, field: str, said: object, true: object, whose: str = "the database has") -> Finding:
    """What is seen is right, a number in its facts is not."""
    words = f"has {field} {said} in its facts, {whose} {field} {true}"
    return Finding("edited", line, name, f"{field} {said}", f"{field} {true}", words)


def unknown(line: int, name: str, shown: str, why: str) -> Finding:
    """Nothing here can confirm it."""
    return Finding("unknown", line, name, shown, "", f"shows {shown or 'no number'}, but {why}")


def gone(line: int, name: str, what: str) -> Finding:
    """Something is missing."""
    return Finding("gone", line, name, "", "", what)


def unreadable(line: int, kind: str) -> Finding:
    """A line of facts is damaged."""
    return Finding("edited", line, f"the facts {kind!r}", "", "", "cannot be read")
