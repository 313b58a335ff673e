"""`bench report`: stored results as tables and plots."""

import re

import click

from fewshot_bench.cli.options import NAMES, gathered, reading_options, uncollected
from fewshot_bench.cli.output import write_out
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.tables.style import Style

FORMATS = ["html", "latex", "markdown", "csv", "json"]


# say how the LaTeX table is set: the command's `style`
latex_options = gathered(Style, "style", [
    click.option("--columns", type=NAMES, default=(), metavar="NAME,...",
                 help="LaTeX: only these methods and counts (n, disjoint), in this order."),
    click.option("--transpose", is_flag=True, help="LaTeX: a row per method, a column per setting."),
    click.option("--no-interval", "interval", flag_value=False, default=True, help="LaTeX: means alone."),
    click.option("--siunitx", is_flag=True, help="LaTeX: numbers in S columns of siunitx."),
    click.option("--one-column", is_flag=True, help="LaTeX: table, not table*: one column of two."),
    click.option("--bare", is_flag=True, help="LaTeX: the tabular alone; caption and notes as comments."),
    click.option("--standalone", is_flag=True, help="LaTeX: a document that compiles alone."),
    click.option("--caption", default="", metavar="LATEX", help="LaTeX: the caption."),
    click.option("--label", default="", metavar="LABEL", help="LaTeX: the label.  [default: tab:DATASET]"),
])  # fmt: skip


def _check(style: Style) -> None:
    """Raises UsageError for what cannot be set."""
    if style.bare and (style.caption or style.label or style.one_column):
        raise UsageError("--bare is the tabular alone: leave out --caption, --label and --one-column")
    if not _is_balanced(style.caption):
        raise UsageError(f"--caption {style.caption!r} is not whole: braces must match, and a % is written \\%")
    if not re.fullmatch(r"[\w:.+-]*", style.label):
        raise UsageError(f"--label {style.label!r}: letters, digits and : . _ + - can be in it")


def _is_balanced(text: str) -> bool:
    """Whether LaTeX in an argument ends there: its braces match, and no comment or paragraph begins."""
    depth = 0
    for token in re.findall(r"\\.|[{}%\n]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0 or token in "%\n":
            return False
    return depth == 0 and not text.endswith("\\")


@click.command()
@reading_options
@click.option("--format", "format_", type=click.Choice(FORMATS), help="One format only, to -o or stdout.")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write that format; - is stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Do not name the files written.")
@latex_options
@click.option("--published", is_flag=True, help="LaTeX: also published values, in tables of their own.")
@uncollected()
def report(
    *, format_: str | None, output: str | None, quiet: bool, style: Style, published: bool, selection: Selection
) -> None:
    """Tables and plots of stored results.

    Without --format, everything: report.html, table.tex, table.md and plots/ in the output folder.
    """
    from fewshot_bench.results.documents import rendered, typeset, write_documents

    _check(style)
    if output and not format_:
        raise UsageError("-o needs --format: it names one file")
    if format_ == "latex":
        text, warning = typeset(selection, style, published=published)
        write_out(output, text)
        if warning:
            click.echo(warning, err=True)
        return
    if published or style != Style():
        raise UsageError("options of the LaTeX table need --format latex")
    if format_:
        write_out(output, rendered(selection, format_))
        return
    written = write_documents(selection)
    if not quiet:
        click.echo("\n".join(map(str, written)), err=True)
