"""What is seen in a cell of text: its numbers, and of which setting it speaks."""

import re
from collections.abc import Iterator

from fewshot_bench.tables.verify.finding import Finding, edited
from fewshot_bench.tables.verify.rendered import Field
from fewshot_bench.tables.wording import percent

NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?|\*")  # * marks a number over fewer episodes than asked for
WAY, SHOT, CHANCE = re.compile(r"(\d+)-way\b"), re.compile(r"(\d+)[ -]shots?\b"), re.compile(r"chance (\S+)")


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
            said = f"{n}-{name}" if n else ""
            yield edited(label.line, "the label of {}-way {}-shot".format(*setting), said, f"{true}-{name}")


def check_chance(heading: Field, way: int) -> Iterator[Finding]:
    """Whether the accuracy of guessing is that of its way."""
    found = CHANCE.search(heading.text)
    if found and found[1] != percent(1 / way):
        yield edited(heading.line, f"chance of {way}-way", found[1], percent(1 / way), "it is")
