"""What the printed formats show around and beside the numbers of a table: caption, marks, notes, anchors, and facts.

`bench verify` reads facts again: each is one line of ASCII JSON, a comment in LaTeX, an attribute in HTML.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeVar

from fewshot_bench.tables.pairs import compared
from fewshot_bench.tables.papers import STATEMENT, PublishedRow, PublishedTable, PublishedValue
from fewshot_bench.tables.scores import Experiment
from fewshot_bench.tables.summary import Cell, Row, Table
from fewshot_bench.tables.wording import accuracy, cell_name, pairs_counted, percent, reach, setting_name, shots, span

SCHEMA = 1  # of the facts; raise it when a reader of them must change
REUSE_MARK = "‡"
NEAR_MARK = "†"
UNCLEAR_MARK = "?"
DATA_MARK = "§"
SEED_MARK = "¶"
COPIED_MARK = "°"


@dataclass(frozen=True)
class Note:
    """A footnote; `mark` is empty where it is about the whole table."""

    mark: str
    text: str
    minor: bool = False  # explains no mark: in LaTeX a comment


R = TypeVar("R", Row, PublishedRow)


def by_way(rows: Iterable[R]) -> list[tuple[int, list[R]]]:
    """Each way with its rows, which stand together."""
    return [(way, list(some)) for way, some in groupby(rows, key=lambda row: row.n_way)]


def anchor(text: str) -> str:
    """A name that is safe as an HTML id and a LaTeX label."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return kept.strip("-") or "table"


def label_of(table: Table, is_first: bool) -> str:
    """A table's name, fit for an anchor; the one beside the first has another."""
    return anchor(table.experiment.dataset) + ("" if is_first else "-beside")


def place_of(cell: Cell) -> str:
    """A cell's name, fit for an anchor: "maml-5-way-1-shot"."""
    return anchor(cell_name(cell.variant, cell.n_way, cell.n_shot))


def marks(cell: Cell, *, interval: bool = True) -> str:
    """What the notes explain of a cell, e.g. "†§"; interval: whether it is shown, and so what is wider."""
    marked = (
        (cell.near_best, NEAR_MARK),
        (cell.unclear, UNCLEAR_MARK),
        (cell.data_is_wide and interval, DATA_MARK),
        (cell.seeds_are_wide and interval, SEED_MARK),
    )
    return "".join(mark for holds, mark in marked if holds)


def copied(value: PublishedValue) -> str:
    """The mark of a number that another paper printed before."""
    return COPIED_MARK if value.copied_from else ""


def letters(table: Table) -> dict[str, str]:
    """One letter for each different thing to say about a cell, by what is said."""
    texts = dict.fromkeys(why(cell) for cell in table.cells if cell.reason)
    return {text: _letter(number) for number, text in enumerate(texts)}


def why(cell: Cell) -> str:
    """What a footnote says of a cell that has a reason."""
    return f"{cell.state}: {cell.reason}"


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    earlier, place = divmod(number, 26)
    return (_letter(earlier - 1) if earlier else "") + chr(ord("a") + place)


def notes(table: Table, *, interval: bool = True) -> list[Note]:
    """All footnotes of a measured table; interval: whether it is shown."""
    return [*general_notes(table, interval=interval), *(Note(letter, text) for text, letter in letters(table).items())]


def facts_of_table(experiment: Experiment, style: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What the whole table comes from, and how it is set where that is not as usual."""
    named = {name: getattr(experiment, name) for name in ("command", "dataset", "fingerprint", "split")}
    set_so = {"style": dict(style)} if style else {}
    return _facts(schema=SCHEMA, **named, commit=experiment.facts.get("commit", ""), **set_so)


def facts_of_row(row: Row) -> str:
    """One setting, with its counts as they are shown."""
    shown = {"n": span(*row.n_episodes), "disjoint": str(row.disjoint_episodes)}
    of_seeds = {"spread": list(astuple(row.spread))} if row.spread else {}
    return _facts(n_way=row.n_way, n_shot=row.n_shot, **shown, compared=row.n_compared, **of_seeds)


def facts_of_cell(cell: Cell) -> str:
    """One number: where it is stored, what it was computed to, and how it is shown."""
    around = {"interval": cell.interval} if cell.interval else {}
    return _facts(
        variant=cell.variant,
        n_way=cell.n_way,
        n_shot=cell.n_shot,
        keys=list(cell.keys),
        state=cell.state,
        n=cell.n_episodes,
        mean=cell.mean,
        sd=cell.deviation,
        half_width=cell.half_width,
        **around,
        shown=accuracy(cell.mean, cell.half_width, cell.interval),
    )


def facts_of_published(table: PublishedTable, row: PublishedRow) -> str:
    """One printed setting."""
    shown = [accuracy(value.accuracy, value.half_width) + copied(value) for value in row.values]
    return _facts(table=table.id, n_way=row.n_way, n_shot=row.n_shot, shown=shown)


def _facts(**facts: Any) -> str:
    return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def published_notes(table: PublishedTable) -> list[str]:
    """All that must be known beside a paper's table."""
    told = [f"Source: {table.citation}. {table.location}.", f"{table.dataset}; {'; '.join(table.protocol)}."]
    told += table.caveats
    for column in table.columns:
        if parts := [part for part in (column.source, *column.protocol) if part]:
            told.append(f"{column.name}: {'; '.join(parts)}.")
    sources: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for column, value in zip(table.columns, row.values, strict=True):
            if value.copied_from:
                place = setting_name(row.n_way, row.n_shot)
                sources.setdefault((column.name, value.copied_from), []).append(place)
    for (name, source), places in sources.items():
        told.append(f"{COPIED_MARK} {name}, {' and '.join(places)}: the same digits as {source}.")
    return told


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
        f"split {experiment.split}, {experiment.spent}, fitted by {experiment.fitting}, {experiment.model}."
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
    tested = [comparison.n_tests for comparison in table.comparisons if comparison.p is not None]
    if not tested:
        return best
    near = (
        "not significantly worse than the row's best on the same episodes (paired test, 5 %, corrected for the "
        f"{pairs_counted(tested)} of variants in a setting); "
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


# what a template may say of tables, cells and published values
SPELLING = MappingProxyType(
    {
        function.__name__: function
        for function in (
            anchor, by_way, caption, cell_name, copied, facts_of_cell, facts_of_published, facts_of_row, facts_of_table,
            label_of, letters, marks, notes, percent, place_of, published_notes, reach, shots, span, why,
        )
    }
    | {"statement": STATEMENT, "REUSE_MARK": REUSE_MARK}
)  # fmt: skip
