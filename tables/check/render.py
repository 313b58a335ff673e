"""RegressionReport -> text: lines for a terminal, Markdown, JSON, JUnit XML."""

import textwrap
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from fewshot_bench.tables import documents
from fewshot_bench.tables.check.regression import Finding, RegressionReport, Verdict, count_verdicts
from fewshot_bench.tables.check.words import (
    COLUMNS,
    headline,
    in_columns,
    in_words,
    legend,
    tally,
    untested,
    worst_first,
)
from fewshot_bench.tables.wording import WIDTH, aligned

LEFT = (0, 1, 8)  # columns of words
SHOWN = 20  # rows of the Markdown table; the rest is folded
ROW_VERDICTS: tuple[Verdict, ...] = ("worse", "improved")  # whose cells have a row in Markdown


def render_verdicts(report: RegressionReport, format: str) -> str:
    """The report as text that ends in a newline; raises ValueError on an unknown format."""
    return documents.rendered(VERDICT_RENDERERS, format, report)


def _table(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """The names of the columns and a row a finding; no reasons where there is none. Empty for no findings."""
    rows = [tuple(documents.one_line(text) for text in in_columns(finding)) for finding in findings]
    n_columns = len(COLUMNS) if any(row[-1] for row in rows) else len(COLUMNS) - 1
    return [row[:n_columns] for row in (COLUMNS, *rows)] if rows else []


def _text(report: RegressionReport) -> str:
    lines = _wrapped([headline(report), *tally(report), *report.notes])
    if table := _table(worst_first(report)):
        lines += ["", *aligned(table, LEFT), ""]
    return "\n".join(lines + _wrapped([*untested(report), *legend(report)])) + "\n"


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(documents.one_line(line), WIDTH, subsequent_indent="  ", break_long_words=False)
    ]


def _markdown(report: RegressionReport) -> str:
    """A comment for a pull request: at most SHOWN rows, the rest folded, a line a verdict and variant."""
    lines = [f"**{headline(report)}**", ""]
    lines += [f"- {documents.markdown(line)}" for line in (*tally(report), *report.notes)]
    found = worst_first(report)
    shown = [f for f in found if f.verdict in ROW_VERDICTS or not f.cell][:SHOWN]
    if shown:
        columns, *rows = _table(shown)
        lines += ["", "| " + " | ".join(columns) + " |"]
        lines.append("|" + "".join(":---|" if i in LEFT else "---:|" for i in range(len(columns))))
        lines += ["| " + " | ".join(map(documents.markdown, row)) + " |" for row in rows]
    folded = [*_folded([f for f in found if f not in shown]), *untested(report)]
    if folded:
        lines += ["", "<details><summary>The rest, but for what is identical</summary>", ""]
        lines += [f"- {documents.markdown(line)}" for line in folded] + ["", "</details>"]
    return "\n".join([*lines, "", *legend(report)]) + "\n"


def _folded(findings: Sequence[Finding]) -> list[str]:
    """ "undecided, maml: 5-way 1-shot seed 0 (-0.40); ...", a line a verdict and variant."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.verdict, finding.variant), []).append(finding)
    return [
        f"{verdict}, {variant}: " + "; ".join(f"{f.setting} ({in_columns(f)[4] or f.reason})" for f in found)
        for (verdict, variant), found in groups.items()
    ]


def _json(report: RegressionReport) -> str:
    """Fractions, unrounded; null where there is no number."""
    document = {
        "schema": 2,
        "headline": headline(report),
        "exit_code": report.exit_code,
        "counts": count_verdicts(report.cells),
        "counts_of_variants": count_verdicts(report.variants),
        "margin": report.margin,
        "notes": report.notes,
        "cells": [_document(finding) for finding in report.cells],
        "variants": [_document(finding) for finding in report.variants],
    }
    return documents.json_text(document)


def _document(finding: Finding) -> dict[str, Any]:
    low, high = finding.estimate.interval() if finding.estimate else (None, None)
    names = ("n_way", "n_shot", "seed")
    place = dict(zip(names, finding.cell[1:], strict=True)) if finding.cell else dict.fromkeys(names)
    numbers = {
        name: getattr(finding, name)
        for name in ("variant", "setting", "key", "verdict", "reason", "before", "after", "difference", "p")
    }
    return numbers | place | {"low": low, "high": high, "n_episodes": finding.n_episodes, "paired": finding.paired}


def _junit(report: RegressionReport) -> str:
    """One test case a cell and a variant: worse fails, undecided and not comparable are skipped."""
    cases = [
        documents.Case(
            documents.one_line(finding.variant),
            finding.setting,
            documents.one_line(in_words(finding)),
            failure="worse" if finding.verdict == "worse" else "",
            skipped=finding.verdict in ("undecided", "not comparable"),
        )
        for finding in report.findings
    ]
    return documents.junit("accuracy against baseline", cases, " ".join(legend(report)))


VERDICT_RENDERERS: MappingProxyType[str, Callable[[RegressionReport], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "json": _json, "junit": _junit}
)
