"""What `bench data` says, in lines of at most 110 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_bench.data.describing import Prepared

WIDTH = 110


def formats_text() -> str:
    """The named data sets and the formats, for people."""
    from fewshot_bench.data import FORMATS, NAMED

    width = max(map(len, FORMATS))

    def lines(names: list[str]) -> list[str]:
        return [_hanging(f"  {name:<{width}}  ", FORMATS[name].EXPECTS) for name in names]

    others = [name for name in FORMATS if name not in NAMED]
    heading = "Formats of folders and archives; each is recognised, and FORMAT:PATH says which it is"
    return "\n".join(["Data sets by name", *lines(list(NAMED)), "", heading, *lines(others)])


def prepared_table(found: list[Prepared]) -> str:
    """A row for each data set in the cache."""
    rows = [("name", "images", "classes", "size", "fingerprint", "on disk", "from")]
    rows += [
        (
            one.name,
            f"{one.n_images:,}",
            str(one.n_classes),
            one.size_text,
            one.fingerprint[:8],
            f"{one.size_bytes / 2**20:,.0f} MiB",
            one.source,
        )
        for one in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = (False, True, True, False, False, True, False)
    lines = []
    for row in rows:
        cells = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def fact_table(lines: list[tuple[str, str]]) -> str:
    """A line, or more, for each (what, its value)."""
    width = max(len(name) for name, _ in lines)
    return "\n".join(_hanging(f"{name:<{width}}  ", text) for name, text in lines)


def _hanging(start: str, text: str) -> str:
    """Text of at most WIDTH columns behind a name, its further lines below the first; paths stay whole."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), **options)
