"""The formats of rendered files, by what their names end with."""

from collections.abc import Callable, Mapping

from fewshot_bench.tables.verify.html_document import read_html
from fewshot_bench.tables.verify.latex_document import read_latex
from fewshot_bench.tables.verify.rendered import Document

READERS: Mapping[str, Callable[[str], Document]] = {".tex": read_latex, ".html": read_html, ".htm": read_html}
