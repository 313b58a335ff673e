"""Judgement -> text: lines for a terminal, Markdown, LaTeX, an HTML section, JSON, JUnit XML."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment

from fewshot_bench.tables import documents
from fewshot_bench.tables.claims.layout import Block, lay_out_claims
from fewshot_bench.tables.claims.measuring import Tested
from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import VERDICTS, JudgedClaim, Judgement
from fewshot_bench.tables.claims.words import share_of
from fewshot_bench.tables.documents import html_environment, latex_environment, markdown_environment
from fewshot_bench.tables.statistics.power import power_of
from fewshot_bench.tables.wording import WIDTH, aligned

JSON_SCHEMA = 1  # raise it when a reader of the JSON must change
CLAIM_FIELDS = ("id", "sentence", "where", "reading", "implied", "quantifier", "kind")
LABEL = 18  # columns for what stands before the words


def render_claims(judgement: Judgement, format: str) -> str:
    """The judgement as text that ends in a newline; raises ValueError on an unknown format.

    "html" is one <section id="claims">, to be put into a page.
    """
    return documents.rendered(CLAIM_RENDERERS, format, judgement)


def _from_template(environment: Callable[[], Environment], name: str) -> Callable[[Judgement], str]:
    return lambda judgement: environment().get_template(name).render(sheet=lay_out_claims(judgement))


def _text(judgement: Judgement) -> str:
    """What is decided, what is not, the cheapest next step; then a row a sentence, and what all of it is about."""
    sheet = lay_out_claims(judgement)
    lines = [line for name, words in sheet.first for line in _wrapped(words, " " * LABEL, f"{name:<{LABEL}}")]
    rows = [
        (block.id, block.verdict, block.paper.split(" (")[0].replace("not in that", "other"), block.difference or "—")
        for block in sheet.blocks
    ]
    head = ("", "here", "paper", sheet.link.lower())
    lines += ["", *aligned([head, *rows], range(4)), "", *_wrapped(f"{sheet.title}. {sheet.headline}.")]
    lines += [line for told in sheet.head for line in _wrapped(told)]
    link = (
        f"{sheet.link}: the comparison that the verdict turns on, in points; in brackets 95 % for all comparisons of "
        "its sentence at once. The test is one-sided, so that this can reach past 0. "
    )
    words = (
        "paper: what its own table shows, at its printed digits. Why, and each number: bench claims -v. "
        "Words: docs/statistics.md"
    )
    lines += _wrapped(link * any(block.difference for block in sheet.blocks) + words)
    return "\n".join(lines) + "\n"


def _details(judgement: Judgement) -> str:
    """The same, then a block a claim; nothing wider than WIDTH."""
    sheet = lay_out_claims(judgement)
    lines = _text(judgement).splitlines()[:-1]
    for block in sheet.blocks:
        lines += ["", f"{block.verdict.upper()}{block.at}  {block.id}"]
        lines += _wrapped(f"{block.sentence} ({block.where})", "  ")
        for name, words in block.details:
            lines += _wrapped(words, " " * LABEL, f"  {name:<{LABEL - 2}}")
    lines += [""] + [line for note in sheet.notes for line in _wrapped(note, "  ", "- ")]
    return "\n".join(lines) + "\n"


def _wrapped(words: str, indent: str = "", first: str | None = None) -> list[str]:
    return textwrap.wrap(
        documents.one_line(words),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _json(judgement: Judgement) -> str:
    """Every comparison of every claim; differences are fractions, null where nothing was measured."""
    e = judgement.experiment
    document = {
        "schema": JSON_SCHEMA,
        "file": judgement.file.name,
        "source": judgement.file.source,
        "measured_on": {
            "dataset": e.dataset, "split": e.split, "protocol": e.protocol, "budget": e.budget,
            "backbone": e.backbone, "seeds": judgement.seeds, "command": e.command,
        },
        "about": "checkpoints" if len(judgement.seeds) == 1 else "methods",
        "counts": {word: sum(judged.verdict == word for judged in judgement.claims) for word in VERDICTS},
        "claims": [_json_claim(judged, judgement) for judged in judgement.claims],
    }  # fmt: skip
    return documents.json_text(document)


def _json_claim(judged: JudgedClaim, judgement: Judgement) -> dict[str, Any]:
    claim, paper, ahead = judged.claim, judged.paper, outlook(judged, judgement.cells)
    return {
        **{name: getattr(claim, name) for name in CLAIM_FIELDS},
        "verdict": judged.verdict,
        "at_share_of_published_training": share_of([judged], judgement) or None,
        "agreement": judged.agreement,
        "paper": paper
        and {
            "verdict": paper.verdict,
            "holding": paper.n_holding,
            "printed": len(paper.printed),
            "absent": paper.n_absent,
            "contradictions": [
                {"comparison": str(one.hypothesis), "difference": one.difference} for one in paper.contradictions
            ],
        },
        "link_interval": judged.link_interval,
        "link": judged.tested.index(judged.link) if judged.link else None,  # a place in `comparisons`
        "margin": claim.margin,
        "power": ahead.power if judged.verdict == "undecided" else None,
        "missing": judged.missing,
        "to_decide": {
            "cells": [{"cell": str(ext.place), "more_episodes": ext.more} for ext in ahead.extensions],
            "seconds": ahead.seconds,
            "never": ahead.never,
        },
        "comparisons": [_json_test(tested, claim.margin) for tested in judged.tested],
    }


def _json_test(tested: Tested, margin: float) -> dict[str, Any]:
    estimate, told = tested.estimate, dict.fromkeys(("difference", "interval", "p_true", "p_false", "power"))
    if estimate:
        power = power_of(estimate, margin, two_sided=False)
        interval = estimate.interval(within=1.0)
        told = dict(zip(told, (estimate.mean, interval, tested.p_true, tested.p_false, power), strict=True))
    known = {"comparison": str(tested.hypothesis), "n_episodes": tested.n_episodes, "seeds": tested.seeds}
    return {**known, **told, "missing": tested.missing}


def _junit(judgement: Judgement) -> str:
    """One test case a sentence: refuted fails, undecided is skipped."""
    sheet = lay_out_claims(judgement)
    return documents.junit(sheet.title, [_case(block) for block in sheet.blocks])


def _case(block: Block) -> documents.Case:
    return documents.Case(
        f"claims.{block.id}",
        block.sentence,
        dict(block.details)["Measured"],
        failure="refuted" if block.verdict == "refuted" else "",
        skipped=block.verdict == "undecided",
        text="\n".join(documents.one_line(f"{name}: {words}") for name, words in block.details),
    )


CLAIM_RENDERERS: Mapping[str, Callable[[Judgement], str]] = {
    "text": _text,
    "details": _details,
    "html": _from_template(html_environment, "claims.html.j2"),
    "markdown": _from_template(markdown_environment, "claims.md.j2"),
    "latex": _from_template(latex_environment, "claims.tex.j2"),
    "json": _json,
    "junit": _junit,
}
