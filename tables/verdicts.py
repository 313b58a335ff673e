"""RegressionReport -> text: lines for a terminal, Markdown, JSON, JUnit XML."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict
from types import MappingProxyType

from fewshot_bench.tables import escape
from fewshot_bench.tables.regression import CellVerdict, RegressionReport
from fewshot_bench.tables.sheet import percent


def render_verdicts(report: RegressionReport, format: str) -> str:
    """The report as text that ends in a newline; raises ValueError on an unknown format."""
    if format not in VERDICT_RENDERERS:
        raise ValueError(f"unknown format {format!r}; known: {', '.join(VERDICT_RENDERERS)}")
    return VERDICT_RENDERERS[format](report)


def _headline(report: RegressionReport) -> str:
    """ "63 cells: 60 identical, 3 worse"."""
    told = [f"{count} {verdict}" for verdict, count in report.counts.items() if count]
    return f"{len(report.verdicts)} cells: {', '.join(told) or 'none'}"


def _detail(verdict: CellVerdict) -> str:
    """What the verdict rests on, in percent and percentage points."""
    if verdict.verdict == "identical":
        return f"{percent(verdict.mean)} %, every episode the same"
    if verdict.reason:
        return verdict.reason
    difference, margin = verdict.difference or 0.0, verdict.margin or 0.0
    return (
        f"{percent(verdict.baseline_mean)} -> {percent(verdict.mean)} % "
        f"({100 * difference:+.2f} points, margin {percent(margin)})"
    )


def _text(report: RegressionReport) -> str:
    """A headline, what differs between the experiments, then every cell that is not identical."""
    lines = [_headline(report), *report.experiment_differences]
    for verdict in report.verdicts:
        if verdict.verdict != "identical":
            lines.append(f"{verdict.verdict:<14}  " + escape.one_line(f"{verdict.name}: {_detail(verdict)}"))
    return "\n".join(lines) + "\n"


def _markdown(report: RegressionReport) -> str:
    lines = [f"**{_headline(report)}**", ""]
    lines += [f"- {escape.markdown(difference)}" for difference in report.experiment_differences]
    if report.experiment_differences:
        lines.append("")
    lines += ["| Cell | Verdict | Detail |", "|:---|:---|:---|"]
    for verdict in report.verdicts:
        cells = (verdict.name, verdict.verdict, _detail(verdict))
        lines.append("| " + " | ".join(escape.markdown(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _json(report: RegressionReport) -> str:
    document = {
        "schema": 1,
        "exit_code": report.exit_code,
        "counts": report.counts,
        "min_margin": report.min_margin,
        "experiment_differences": report.experiment_differences,
        "cells": [asdict(verdict) | {"difference": verdict.difference} for verdict in report.verdicts],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _junit(report: RegressionReport) -> str:
    """One test case a cell: worse fails, not comparable is skipped."""
    counts = report.counts
    suite = ET.Element(
        "testsuite",
        name="accuracy against baseline",
        tests=str(len(report.verdicts)),
        failures=str(counts["worse"]),
        errors="0",
        skipped=str(counts["not comparable"]),
    )
    for verdict in report.verdicts:
        setting = f"{verdict.n_way}-way {verdict.n_shot}-shot seed {verdict.seed}"
        case = ET.SubElement(suite, "testcase", classname=escape.one_line(verdict.variant), name=setting, time="0")
        message = escape.one_line(_detail(verdict))
        if verdict.verdict == "worse":
            ET.SubElement(case, "failure", message=message, type="worse")
        elif verdict.verdict == "not comparable":
            ET.SubElement(case, "skipped", message=message)
        else:
            ET.SubElement(case, "system-out").text = f"{verdict.verdict}: {message}"
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ET.tostring(suites, encoding="unicode") + "\n"


VERDICT_RENDERERS: MappingProxyType[str, Callable[[RegressionReport], str]] = MappingProxyType(
    {"text": _text, "markdown": _markdown, "json": _json, "junit": _junit}
)
