"""`bench claims`: sentences of a paper against what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.cli.output import write_file, write_out
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.tables.claims.file import ClaimFile

FORMATS = ["text", "html", "markdown", "latex", "json"]
REFUTED, UNDECIDED = 3, 7  # exit codes


@click.command()
@selection_options
@click.option(
    "--claims",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The sentences with their readings.  [default: those of the paper, packaged]",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write; - is stdout.")
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JUnit report besides, a test case a sentence.",
)
@click.option("--fail-on", type=click.Choice(["refuted"]), help="Exit 3 if a sentence is refuted.")
@click.option("--strict", is_flag=True, help="Exit 7 if a sentence is undecided.")
def claims(
    *, file: Path | None, format_: str, output: str | None, junit: Path | None, fail_on: str | None, strict: bool,
    selection: Selection,
) -> int:  # fmt: skip
    """Judge the sentences of a paper: supported, refuted or undecided.

    Looks at the cells that the sentences speak of; --method, --way and --shot narrow them, and what is then left out
    counts as not measured.
    """
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.collect import results as results_of
    from fewshot_bench.tables.claims.render import render_claims
    from fewshot_bench.tables.claims.verdicts import judge
    from fewshot_bench.tables.literature import load_published

    published = load_published()
    sentences = _claims(file, selection.config, [table.id for table in published])
    results = results_of(choose(_selected(sentences, selection)))
    if not any(cell.episodes for cell in results.cells):
        raise NothingSelected("nothing that these claims speak of has results: `bench run` makes them")
    judged = judge(sentences, results, published)
    if format_ == "html":
        from fewshot_bench.reports.claims_page import claims_page

        text = claims_page(judged)
    else:
        text = render_claims(judged, format_)
    write_out(output, text)
    if junit:
        write_file(junit, render_claims(judged, "junit"))
    verdicts = {one.verdict for one in judged.claims}
    if fail_on and "refuted" in verdicts:
        return REFUTED
    return UNDECIDED if strict and "undecided" in verdicts else 0


def _claims(file: Path | None, config: Path | None, published: list[str]) -> ClaimFile:
    from fewshot_bench.config import config_file, load
    from fewshot_bench.tables.claims.file import SHIPPED, parse_claims, shipped_claims
    from fewshot_bench.tables.claims.section import ClaimError
    from fewshot_bench.tables.parsing import ParseError, read_bytes

    variants = list(load(config_file(config)).methods)
    try:
        content = read_bytes(file) if file else shipped_claims()
        return parse_claims(content, str(file or SHIPPED), variants, published)
    except OSError as error:
        raise UsageError(f"--claims {file}: cannot be read: {error.strerror}") from None
    except ParseError as error:
        raise UsageError(f"--claims {file}: {error}") from None
    except ClaimError as error:
        raise UsageError(str(error)) from None


def _selected(sentences: ClaimFile, selection: Selection) -> Selection:
    """The selection with what the sentences need where the options name nothing."""
    places = sentences.places
    return replace(
        selection,
        methods=selection.methods or tuple(dict.fromkeys(place.variant for place in places)),
        ways=selection.ways or tuple(sorted({place.n_way for place in places})),
        shots=selection.shots or tuple(sorted({place.n_shot for place in places})),
    )
