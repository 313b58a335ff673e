"""What is seen in a piece of text: its numbers, its marks, and of which setting it speaks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase

from fewshot_bench.tables.layout import COPIED_MARK, DATA_MARK, NEAR_MARK, REUSE_MARK, SEED_MARK, UNCLEAR_MARK
from fewshot_bench.tables.verify.finding import Finding, edited
from fewshot_bench.tables.wording import percent, setting_name

BOLD, MARK = "\ue000", "\ue001"  # in texts that were read: bold begins; what follows is a footnote mark
MARKS = NEAR_MARK + UNCLEAR_MARK + DATA_MARK + SEED_MARK + REUSE_MARK + COPIED_MARK + ascii_lowercase
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?|\*")  # * marks a number over fewer episodes than asked for
WAY, SHOT, CHANCE = re.compile(r"(\d+)-way\b"), re.compile(r"(\d+)[ -]shots?\b"), re.compile(r"chance (\S+)")


@dataclass(frozen=True)
class Field:
    """One cell of a table, without markup."""

    line: int
    text: str
    marks: str = ""  # those that tables of the benchmark have; any others are the author's own
    bold: bool = False

    @property
    def words(self) -> str:
        """With its marks."""
        return " ".join([self.text, *self.marks, *["in bold"] * self.bold])


def field_of(line: int, read: str, bold: bool = False) -> Field:
    """A field from a text that was read, with MARK and BOLD in it."""
    marks = re.findall(f"(?:{MARK}|(?={COPIED_MARK}))(.)", read)
    text = re.sub(f"{MARK}.|[{BOLD}{COPIED_MARK}]", "", read)
    return Field(line, " ".join(text.split()), "".join(marks), bold or BOLD in read)


def marked(raised: str) -> str:
    """What of a superscript is a mark of ours, each behind MARK."""
    return "".join(MARK + letter for letter in raised if letter in MARKS)


def digits(text: str) -> tuple[list[str], int]:
    """The numbers in a text, and how often a * stands there."""
    found = NUMBER.findall(text)
    return [token for token in found if token != "*"], found.count("*")


def way_of(text: str) -> int:
    """20 for "20-way, chance 5.00 %"; 0 where no way is named."""
    found = WAY.search(text)
    return int(found[1]) if found else 0


def check_label(label: Field, setting: tuple[int, int], heading: int) -> Iterator[Finding]:
    """Whether a row says of which (n_way, n_shot) it is; its way may stand in the heading above it."""
    shot = SHOT.search(label.text)
    seen = {"way": way_of(label.text) or heading, "shot": int(shot[1]) if shot else 0}
    for (name, n), true in zip(seen.items(), setting, strict=True):
        if n != true:
            yield edited(
                label.line, f"the label of {setting_name(*setting)}", f"{n}-{name}" if n else "", f"{true}-{name}"
            )


def check_chance(heading: Field, way: int) -> Iterator[Finding]:
    """Whether the accuracy of guessing is that of its way."""
    found = CHANCE.search(heading.text)
    if found and found[1] != percent(1 / way):
        yield edited(heading.line, f"chance of {way}-way", found[1], percent(1 / way), "it is")
