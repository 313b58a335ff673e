"""A figure's SVG as a part of a page."""

import re

from markupsafe import Markup

from fewshot_bench.reports.palette import DARK

# what only a file of its own needs: comments, who made it, a style for everything, name spaces, the size in points
_OF_A_FILE = re.compile(
    r"(?<=<svg) [^>]*(?= viewBox)|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>"
    r"| xmlns=\"[^\"]*\"|(?<= )xlink:(?=href=)|(?<=<g) id=\"[^\"]*\"",
    re.DOTALL,
)
_NAMED = re.compile(r"(\bid=\"|href=\"#|url\(#)")
_COLOUR = re.compile(rf"#({'|'.join(colour[1:] for colour in DARK)})\b")
_PATH = re.compile(r"(?<= d=\")[^\"]*")
_DECIMALS = re.compile(r"(\.\d\d)\d+")


def inline(svg: bytes, name: str) -> Markup:
    """The SVG with ids that begin with `name`, and for each colour of a light page a variable that follows the page."""
    text = svg.decode()
    text = _OF_A_FILE.sub("", text[text.index("<svg") :])
    text = _NAMED.sub(rf"\g<1>{name}-", text)
    text = _COLOUR.sub(r"var(--x\1)", text)
    text = _PATH.sub(lambda path: " ".join(_DECIMALS.sub(r"\1", path[0]).split()), text)
    return Markup(re.sub(r">\s+<", "><", text).strip())  # written by matplotlib, which escapes


def colours(dark: bool) -> Markup:
    """The variables, as CSS."""
    return Markup(" ".join(f"--x{light[1:]}: {DARK[light] if dark else light};" for light in DARK))
