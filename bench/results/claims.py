"""Sentences of a paper held against what is stored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.choosing import configured
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.methods.registry import method_names
from fewshot_bench.reports.claims_page import claims_page
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, none_stored
from fewshot_bench.tables.claims.file import SHIPPED, ClaimFile, parse_claims, shipped_claims
from fewshot_bench.tables.claims.render import render_claims
from fewshot_bench.tables.claims.section import ClaimError
from fewshot_bench.tables.claims.verdicts import Judgement, judge
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.parsing import ParseError, read_bytes


def judged(file: Path | None, selection: Selection) -> tuple[set[str], Callable[[str], str]]:
    """The verdicts on the sentences of a file, by default the shipped one, and how they read in a format."""
    found = judgement(file, selection)

    def text(format_: str) -> str:
        return claims_page(found) if format_ == "html" else render_claims(found, format_)

    return {one.verdict for one in found.claims}, text


def judgement(file: Path | None, selection: Selection) -> Judgement:
    """Every sentence of a file held against what is stored."""
    published = load_published()
    variants = list(configured(selection, method_names()).methods)
    sentences = _sentences(file, variants, [table.id for table in published])
    chosen = choose_stored(_narrowed(sentences, selection))
    stored = results(chosen, with_answers=True)
    if not any(cell.episodes for cell in stored.cells):
        raise none_stored(chosen, "nothing that these claims speak of has results")
    return judge(sentences, stored, published)


def _sentences(file: Path | None, variants: list[str], published: list[str]) -> ClaimFile:
    try:
        content = read_bytes(file) if file else shipped_claims()
        return parse_claims(content, str(file or SHIPPED), variants, published)
    except OSError as error:
        raise UsageError(f"--claims {file}: cannot be read: {error.strerror}") from None
    except ParseError as error:
        raise UsageError(f"--claims {file}: {error}") from None
    except ClaimError as error:
        raise UsageError(str(error)) from None


def _narrowed(sentences: ClaimFile, selection: Selection) -> Selection:
    """The selection with what the sentences need where the options name nothing."""
    places = sentences.places
    return replace(
        selection,
        methods=selection.methods or tuple(dict.fromkeys(place.variant for place in places)),
        ways=selection.ways or tuple(sorted({place.n_way for place in places})),
        shots=selection.shots or tuple(sorted({place.n_shot for place in places})),
    )
