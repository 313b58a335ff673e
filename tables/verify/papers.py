"""A row of a paper's table against the packaged table."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from fewshot_bench.tables.layout import lay_out_published
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.verify.finding import Finding, edited, gone, unknown
from fewshot_bench.tables.verify.seen import digits


def check_paper(
    paper: PublishedTable | None, setting: tuple[int, int], name: str, line: int, numbers: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    """Every (name, text) of a row that is seen and is not what the paper printed."""
    row = printed(paper).get(setting) if paper else None
    if row is None:
        yield unknown(line, name, "its numbers", "no such table or row is packaged here")
        return
    for number, true in zip_longest(numbers, row):
        if number is None:
            yield gone(line, name, f"lacks {true}, which the paper's table has")
        elif true is None or digits(number[1]) != digits(true):
            yield edited(line, number[0], number[1], true or "", "the paper's table has")


def printed(paper: PublishedTable) -> dict[tuple[int, int], list[str]]:
    """Setting -> its numbers as the paper's table shows them."""
    lines = [line for _, lines in lay_out_published(paper).groups for line in lines]
    return {
        (row.n_way, row.n_shot): [f"{e.value} ± {e.half_width}" if e.half_width else e.value for e in line.entries]
        for row, line in zip(paper.rows, lines, strict=True)
    }
