"""What every figure shares: sizes, style, bytes. No figure leaves a global state behind."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fewshot_bench.reports.fonts import letters_of
from fewshot_bench.reports.palette import BACKGROUND, FAINT, TEXT

VALUE = "value "  # how the `gid` of an artist begins that shows, under the pointer, what comes after
_VALUE = re.compile(rf"<g id=(['\"]){VALUE}(.*?)\1>".encode())
WIDE = 9.5  # inches: a screen or a text width
_SAVING: dict[Any, Any] = {"svg.hashsalt": "fewshot-bench", "svg.fonttype": "path"}  # equal figures, equal bytes


def panels(n: int, most: int, height: float, more: float) -> tuple[Figure, list[Axes], int]:
    """A figure of n panels, at most so many beside each other, its panels, and how many are beside each other.

    height: of a row of panels, in inches; more: of all else
    """
    columns = min(n, most)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(WIDE, height * rows + more), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, place) for place in range(1, n + 1)], columns


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG; the same figure gives the same bytes on every run."""
    return _saved(figure, "svg", {"Date": None, "Creator": None})


def to_png(figure: Figure) -> bytes:
    """The figure as PNG at 160 dots per inch."""
    return _saved(figure, "png", {"Software": None})


def _saved(figure: Figure, format: str, metadata: dict[str, None]) -> bytes:
    stream = io.BytesIO()
    with styled(), matplotlib.rc_context(_SAVING), letters_of(figure):  # ticks and margins are settled only now
        if layout := figure.get_layout_engine():  # once for all formats: savefig would draw everything for it first
            layout.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(stream, format=format, dpi=160, metadata=metadata)
    return _VALUE.sub(rb'<g class="value"><title>\2</title>', stream.getvalue())


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib's own defaults plus ours, whatever a user's matplotlibrc says; undone on leaving."""
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings = dict.fromkeys(names, TEXT) | {
        "figure.facecolor": BACKGROUND,
        "axes.facecolor": BACKGROUND,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "font.size": 9,
        "legend.frameon": False,
        "text.parse_math": False,  # a name with dollars is a name
    }
    with matplotlib.style.context(["default", settings]):
        yield
