"""Letters that the figures' font does not have: another font that is there, or the reader's own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text


@contextmanager
def letters_of(figure: Figure) -> Iterator[None]:
    """Draw inside the block: text in any script is drawn with a font that has it.

    Where no font here has it, an SVG keeps its text as text, which the reader's own fonts show; a picture of pixels
    has boxes then.
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    missing = {letter for text in texts for letter in text.get_text() if not letter.isspace()} - _letters(_default())
    settings: Any = {}
    if missing:
        name = _font_with(frozenset(missing))
        for text in texts:
            if name and missing & set(text.get_text()):
                text.set_fontfamily([*text.get_fontfamily(), name])
        settings = {} if name else {"svg.fonttype": "none"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        if settings:
            warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def _default() -> str:
    return findfont(FontProperties())


@cache
def _letters(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


@cache
def _font_with(letters: frozenset[str]) -> str | None:
    """The name of a font that has all of the letters."""
    for font in fontManager.ttflist:
        if not font.name.startswith("Last Resort") and letters <= _letters(font.fname):  # which has boxes for them
            return font.name
    return None
