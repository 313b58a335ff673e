"""What a RegressionReport and its findings are called: the words and numbers that its documents share."""

from fewshot_bench.tables.check.regression import OTHER_EXPERIMENT, VERDICTS, Finding, RegressionReport, count_verdicts
from fewshot_bench.tables.wording import p_value, percent, points

WORDS = "docs/statistics.md#verdicts"
COLUMNS = ("verdict", "", "before", "after", "points", "95 % interval", "p (Holm)", "episodes", "")
NAMED = 6  # cells that a folded line names


def headline(report: RegressionReport) -> str:
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


def tally(report: RegressionReport) -> list[str]:
    """ "63 cells: 1 worse, 62 identical", and the same of the variants."""
    told = []
    for what, findings in (("cells", report.cells), ("variants, each over its cells", report.variants)):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(findings).items() if count)
        if counts:
            told.append(f"{len(findings)} {what}: {counts}")
    return told


def worst_first(report: RegressionReport) -> list[Finding]:
    """What was tested, or failed; of equal verdicts the variants first, then the largest change."""
    listed = [f for f in report.findings if f.verdict != "identical" and not _is_untested(f)]
    return sorted(listed, key=lambda f: (VERDICTS.index(f.verdict), bool(f.cell), -abs(f.difference or 1.0)))


def in_columns(finding: Finding) -> tuple[str, ...]:
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


def untested(report: RegressionReport) -> list[str]:
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


def legend(report: RegressionReport) -> list[str]:
    """How the numbers are to be read, and where the words are explained."""
    tested = sum(finding.p is not None for finding in report.findings)
    if not tested:
        return [f"Words: {WORDS}"]
    return [
        f"points: after minus before, with the interval of each alone; p corrected for all {tested} tests; "
        f"margin {percent(report.margin)} points.",
        f"A verdict is about these trained models on these classes, not about other seeds or classes. Words: {WORDS}",
    ]


def in_words(finding: Finding) -> str:
    """ "worse: 40.07 -> 28.07 % (-12.00 points, 95 % interval -14.00 to -10.00, p < 0.0001 after Holm)"."""
    if finding.estimate is None:
        return f"{finding.verdict}: {finding.reason or 'every episode the same'}"
    before, after, change, interval, p, episodes = in_columns(finding)[2:8]
    return (
        f"{finding.verdict}: {before} -> {after} % ({change} points, 95 % interval {interval}, "
        f"p {p} after Holm, {episodes} episodes)"
    )
