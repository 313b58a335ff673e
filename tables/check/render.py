"""RegressionReport -> text: lines for a terminal, Markdown, JSON, JUnit XML."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fewshot_bench.tables import documents
from fewshot_bench.tables.check.regression import (
    OTHER_EXPERIMENT,
    VERDICTS,
    Finding,
    RegressionReport,
    Verdict,
    count_verdicts,
)
from fewshot_bench.tables.wording import WIDTH, aligned, p_value, percent, points

WORDS = "docs/statistics.md#verdicts"
COLUMNS = ("verdict", "", "before", "after", "points", "95 % interval", "p (Holm)", "episodes", "")
NAMED = 6  # cells that a folded line names
LEFT = (0, 1, 8)  # columns of words
SHOWN = 20  # rows of the Markdown table; the rest is folded
ROW_VERDICTS: tuple[Verdict, ...] = ("worse", "improved")  # whose cells have a row in Markdown


def render_verdicts(report: RegressionReport, format: str) -> str:
    """The report as text that ends in a newline; raises ValueError on an unknown format."""
    return documents.rendered(VERDICT_RENDERERS, format, report)


def _table(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """The names of the columns and a row a finding; no reasons where there is none. Empty for no findings."""
    rows = [tuple(documents.one_line(text) for text in _in_columns(finding)) for finding in findings]
    n_columns = len(COLUMNS) if any(row[-1] for row in rows) else len(COLUMNS) - 1
    return [row[:n_columns] for row in (COLUMNS, *rows)] if rows else []


def _text(report: RegressionReport) -> str:
    lines = _wrapped([_headline(report), *_tally(report), *report.notes])
    if table := _table(_worst_first(report)):
        lines += ["", *aligned(table, LEFT), ""]
    return "\n".join(lines + _wrapped([*_untested(report), *_legend(report)])) + "\n"


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(documents.one_line(line), WIDTH, subsequent_indent="  ", break_long_words=False)
    ]


def _markdown(report: RegressionReport) -> str:
    """A comment for a pull request: at most SHOWN rows, the rest folded, a line a verdict and variant."""
    lines = [f"**{_headline(report)}**", ""]
    lines += [f"- {documents.markdown(line)}" for line in (*_tally(report), *report.notes)]
    found = _worst_first(report)
    shown = [f for f in found if f.verdict in ROW_VERDICTS or not f.cell][:SHOWN]
    if shown:
        columns, *rows = _table(shown)
        lines += ["", "| " + " | ".join(columns) + " |"]
        lines.append("|" + "".join(":---|" if i in LEFT else "---:|" for i in range(len(columns))))
        lines += ["| " + " | ".join(map(documents.markdown, row)) + " |" for row in rows]
    folded = [*_folded([f for f in found if f not in shown]), *_untested(report)]
    if folded:
        lines += ["", "<details><summary>The rest, but for what is identical</summary>", ""]
        lines += [f"- {documents.markdown(line)}" for line in folded] + ["", "</details>"]
    return "\n".join([*lines, "", *_legend(report)]) + "\n"


def _folded(findings: Sequence[Finding]) -> list[str]:
    """ "undecided, maml: 5-way 1-shot seed 0 (-0.40); ...", a line a verdict and variant."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.verdict, finding.variant), []).append(finding)
    return [
        f"{verdict}, {variant}: " + "; ".join(f"{f.setting} ({_in_columns(f)[4] or f.reason})" for f in found)
        for (verdict, variant), found in groups.items()
    ]


def _json(report: RegressionReport) -> str:
    """Fractions, unrounded; null where there is no number."""
    document = {
        "schema": 2,
        "headline": _headline(report),
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
    low, high = finding.estimate.interval(within=1.0) if finding.estimate else (None, None)
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
            documents.one_line(_in_words(finding)),
            failure="worse" if finding.verdict == "worse" else "",
            skipped=finding.verdict in ("undecided", "not comparable"),
        )
        for finding in report.findings
    ]
    return documents.junit("accuracy against baseline", cases, " ".join(_legend(report)))


def _headline(report: RegressionReport) -> str:
    """One sentence that claims no more than was found."""
    cells, variants = count_verdicts(report.cells), count_verdicts(report.variants)
    compared = len(report.cells) - cells["not comparable"]
    if cells["worse"] or variants["worse"]:
        of_variants = f" and {variants['worse']} of {len(report.variants)} variants" if report.variants else ""
        return f"Regression: {cells['worse']} of {len(report.cells)} cells{of_variants} worse."
    if not compared:
        return "Nothing could be compared."
    if cells["identical"] == compared:
        return f"Identical: every episode that is compared, in {compared} of {len(report.cells)} cells."
    undecided = cells["undecided"] + variants["undecided"]
    return "No regression shown" + (f", but {undecided} undecided." if undecided else ".")


def _tally(report: RegressionReport) -> list[str]:
    """ "63 cells: 1 worse, 62 identical", and the same of the variants."""
    told = []
    for what, findings in (("cells", report.cells), ("variants, each over its cells", report.variants)):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(findings).items() if count)
        if counts:
            told.append(f"{len(findings)} {what}: {counts}")
    return told


def _worst_first(report: RegressionReport) -> list[Finding]:
    """What was tested, or failed; of equal verdicts the variants first, then the largest change."""
    listed = [f for f in report.findings if f.verdict != "identical" and not _is_untested(f)]
    return sorted(listed, key=lambda f: (VERDICTS.index(f.verdict), bool(f.cell), -abs(f.difference or 1.0)))


def _in_columns(finding: Finding) -> tuple[str, ...]:
    """The finding under COLUMNS, in percent and points."""
    low, high = finding.estimate.interval(within=1.0) if finding.estimate else (None, None)
    return (
        finding.verdict,
        finding.name,
        percent(finding.before),
        percent(finding.after),
        points(finding.difference),
        "" if low is None else f"{points(low)} to {points(high)}",
        p_value(finding.p),
        str(finding.n_episodes or ""),
        "" if finding.estimate else finding.reason,
    )


def _untested(report: RegressionReport) -> list[str]:
    """ "9 not comparable, not in the baseline: maml 5-way 1-shot seed 0, ...", a line a verdict and reason."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in filter(_is_untested, report.findings):
        groups.setdefault((finding.verdict, finding.reason), []).append(finding)
    lines = []
    for (verdict, reason), found in groups.items():
        names = ", ".join(finding.name for finding in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        hint = f"; bench why {found[0].key} says what changed" if reason == OTHER_EXPERIMENT else ""
        lines.append(f"{len(found)} {verdict}, {reason}{hint}: {names}{more}")
    return lines


def _is_untested(finding: Finding) -> bool:
    return finding.estimate is None and finding.verdict in ("undecided", "not comparable")


def _legend(report: RegressionReport) -> list[str]:
    """How the numbers are to be read, and where the words are explained."""
    tested = sum(finding.p is not None for finding in report.findings)
    if not tested:
        return [f"Words: {WORDS}"]
    return [
        f"points: after minus before, with the interval of each alone; p corrected for all {tested} tests; "
        f"margin {percent(report.margin)} points.",
        f"A verdict is about these trained models on these classes, not about other seeds or classes. Words: {WORDS}",
    ]


def _in_words(finding: Finding) -> str:
    """ "worse: 40.07 -> 28.07 % (-12.00 points, 95 % interval -14.00 to -10.00, p < 0.0001 after Holm)"."""
    if finding.estimate is None:
        return f"{finding.verdict}: {finding.reason or 'every episode the same'}"
    before, after, change, interval, p, episodes = _in_columns(finding)[2:8]
    return (
        f"{finding.verdict}: {before} -> {after} % ({change} points, 95 % interval {interval}, "
        f"p {p} after Holm, {episodes} episodes)"
    )


VERDICT_RENDERERS: Mapping[str, Callable[[RegressionReport], str]] = {
    "text": _text,
    "markdown": _markdown,
    "json": _json,
    "junit": _junit,
}
