"""What stands above and below a measured table in words: its caption and its notes."""

from dataclasses import dataclass

from fewshot_bench.tables.pairs import compared
from fewshot_bench.tables.summary import Table
from fewshot_bench.tables.wording import counted, span

REUSE_MARK = "‡"
NEAR_MARK = "†"
UNCLEAR_MARK = "?"
DATA_MARK = "§"
SEED_MARK = "¶"


@dataclass(frozen=True)
class Note:
    """A footnote; `mark` is empty where it is about the whole table."""

    mark: str
    text: str
    minor: bool = False  # explains no mark: in LaTeX a comment


def caption(table: Table, *, interval: bool = True) -> str:
    """What was measured, how often, and under which protocol; interval: whether it is shown."""
    experiment = table.experiment
    low, high = table.n_episodes
    count = f"n = {span(low, high)} episode{'' if high == 1 else 's'} a cell" if high else "nothing measured yet"
    seeds = f", {len(table.seeds)} seeds" if len(table.seeds) > 1 else ""
    return (
        f"Accuracy (%) on the novel classes of {experiment.dataset}: "
        f"mean{' ± 95 % t-interval' * interval} over episodes; "
        f"{count}{seeds}, {experiment.n_query} queries a class; protocol {experiment.protocol}, "
        f"split {experiment.split}, {experiment.spent}, fitted by {experiment.rule}, {experiment.model}."
        f"{_wider(table) * interval}"
    )


def _wider(table: Table) -> str:
    """What else could change a marked number, and by more than the interval beside it."""
    sources = (
        (DATA_MARK, "new classes drawn as these were", any(cell.data_is_wide for cell in table.cells)),
        (SEED_MARK, "other training seeds", any(cell.seeds_are_wide for cell in table.cells)),
    )
    told = [f"{mark} for {what}" for mark, what, holds in sources if holds]
    return f" The 95 % interval is more than twice as wide: {', '.join(told)}." if told else ""


def general_notes(table: Table, *, interval: bool = True) -> list[Note]:
    """What the intervals, bold and every mark in this table mean; interval: whether it is shown."""
    first = (
        "The interval is over episodes: it covers the sampler only, not another training seed, other classes "
        "or other images."
    ) * interval
    if len(table.seeds) > 1:
        first += (
            f" Each episode's accuracy is first averaged over the {len(table.seeds)} seeds; "
            "the worst state among the seeds is the cell's."
        )
        fewer = dict.fromkeys(cell.variant for cell in table.cells if len(cell.seeds) < len(table.seeds))
        first += f" Of one seed alone: {', '.join(fewer)}." if fewer else ""
    if interval and any(cell.interval for cell in table.cells):
        first += (
            " (from–to) stands where ± would reach more than half of the way to 0 or 100 %: there it is a binomial "
            "interval for the effective number of answers, as few answers tell little of rare errors."
        )
    notes = [*([Note("", first.strip(), minor=len(table.seeds) == 1)] if first else []), *_test_notes(table)]
    if table.experiment.pretraining:
        notes.append(Note("", table.experiment.pretraining))
    norms = _norms(table)
    if norms:
        notes.append(Note("", f"Normalisation at test: {norms}.", minor=True))
    states = {cell.state for cell in table.cells}
    legend = {"partial": "* fewer episodes than asked for", "failed": "✗ failed", "missing": "— not measured"}
    shown = [words for state, words in legend.items() if state in states]
    if shown:
        notes.append(Note("", "; ".join(shown) + "."))
    disjoint = "disjoint: at most how many episodes the data allow without using an image twice."
    notes.append(Note("", disjoint, minor=True))
    if any(row.reuses_images for row in table.rows):
        reused = "more episodes than can be disjoint: the interval is narrower than the data can support."
        notes.append(Note(REUSE_MARK, reused))
    return notes


def _test_notes(table: Table) -> list[Note]:
    """What bold and the mark beside it mean, and which family of tests they come from."""
    bold = "Bold: the highest mean of the row among complete cells."
    best = [Note("", bold)] if any(cell.best for cell in table.cells) else []
    tested = sum(comparison.p is not None for comparison in table.comparisons)
    if not tested:
        return best
    near = (
        "not significantly worse than the row's best on the same episodes (paired test, 5 %, corrected for the "
        f"{counted(max(c.n_tests for c in table.comparisons), 'pair')} of variants in a setting); "
        f"{compared(table.comparisons)}. "
        f"Beside a bold number, a complete cell without {NEAR_MARK} or {UNCLEAR_MARK} is significantly worse."
    )
    unclear = (
        "cannot tell: against the row's best too few episodes, seeds or classes were tested. Not even a lead as large "
        "as the best one's over chance would be significant."
    )
    told = [Note(UNCLEAR_MARK, unclear)] if any(cell.unclear for cell in table.cells) else []
    return [*best, Note(NEAR_MARK, near), *told]


def _norms(table: Table) -> str:
    by_norm: dict[str, list[str]] = {}
    for variant in table.variants:
        if variant in table.experiment.norms:
            by_norm.setdefault(table.experiment.norms[variant], []).append(variant)
    return "; ".join(f"{norm} ({', '.join(variants)})" for norm, variants in by_norm.items())
