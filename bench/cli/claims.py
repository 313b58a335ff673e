"""`bench claims`: sentences of a paper against what was measured."""

from pathlib import Path

import click

from fewshot_bench.cli.options import reading_options
from fewshot_bench.cli.output import write_file, write_out
from fewshot_bench.experiment.selection import Selection

FORMATS = ["text", "details", "html", "markdown", "latex", "json"]
REFUTED, UNDECIDED = 3, 7  # exit codes


@click.command()
@reading_options
@click.option(
    "--claims",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The sentences with their readings.  [default: those of the paper, packaged]",
)
@click.option("-v", "--verbose", "format_", flag_value="details", help="As text, with each sentence's numbers.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", help="Output format.")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write; - is stdout.")
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write JUnit XML, one test case per sentence.",
)
@click.option("--fail-on", type=click.Choice(["refuted"]), help="Exit 3 if a sentence is refuted.")
@click.option("--strict", is_flag=True, help="Exit 7 if a sentence is undecided.")
def claims(
    *, file: Path | None, format_: str, output: str | None, junit: Path | None, fail_on: str | None, strict: bool,
    selection: Selection,
) -> int:  # fmt: skip
    """Test a paper's sentences: supported, refuted or undecided.

    Uses the cells that the sentences are about; --method, --way and --shot narrow them, and what is left out counts as
    not measured.
    """
    from fewshot_bench.results.claims import judged

    verdicts, text = judged(file, selection)
    write_out(output, text(format_))
    if junit:
        write_file(junit, text("junit"))
    if fail_on and "refuted" in verdicts:
        return REFUTED
    return UNDECIDED if strict and "undecided" in verdicts else 0
