"""Colours and markers: the same for a variant in every plot, told apart by colour-blind readers and in print.

The hues are Okabe and Ito's, darkened on white and lightened on black until each stands out at 3:1 or more;
markers repeat the distinction without colour. A figure is drawn once, in the colours of a light page, for which a dark
one has others (`inline_svg`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

BACKGROUND, TEXT = "#ffffff", "#1d2126"
FAINT = "#d5d9de"  # grid lines and bars' outlines
_HUES = (  # (on white, on black)
    ("#5c5c5c", "#c4c4c4"),  # grey
    ("#008a63", "#2fcf9f"),  # green
    ("#005f9e", "#4fa3e0"),  # blue
    ("#3596d1", "#a5dcfa"),  # sky
    ("#b87400", "#f2b233"),  # orange
    ("#c9430a", "#ff7f4d"),  # vermillion
    ("#b0568a", "#e39ac4"),  # purple
    ("#7a7000", "#e4dc55"),  # olive
)
DARK = {BACKGROUND: "#15181c", TEXT: "#e8eaed", FAINT: "#3a4048", **dict(_HUES)}  # for each colour of a light page
_MARKERS = "osv^DPX*<>phd8H"
Line = Literal["-", "-.", ":"]
_LINES: tuple[Line, ...] = ("-", "-.", ":")  # dashes are chance's
_FIXED = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")


@dataclass(frozen=True)
class Style:
    """How one variant is drawn."""

    colour: str
    marker: str
    line: Line  # another each time round the hues


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """One style a variant, in their order: built-in names keep theirs, others take the next as they come."""
    others = [name for name in dict.fromkeys(variants) if name not in _FIXED]
    places = {name: place for place, name in enumerate((*_FIXED, *others))}
    return {name: _style(places[name]) for name in variants}


def _style(place: int) -> Style:
    return Style(
        colour=_HUES[place % len(_HUES)][0],
        marker=_MARKERS[place % len(_MARKERS)],
        line=_LINES[place // len(_HUES) % len(_LINES)],
    )


def luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance, 0 black to 1 white, of sRGB channels in [0, 1] (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable_on(red: float, green: float, blue: float) -> str:
    """Black or white, whichever contrasts more with the given colour, on a light page and on a dark one."""
    return "#000000" if luminance(red, green, blue) > 0.179 else "#fefefe"  # not the page's white: see DARK
