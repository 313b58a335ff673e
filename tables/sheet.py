"""Table -> Sheet: the words and digits that the printed formats share. Here fractions become percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from fewshot_bench.tables.literature import PublishedTable, PublishedValue
from fewshot_bench.tables.scores import CellState
from fewshot_bench.tables.summary import Cell, Row, Table

REUSE_MARK = "‡"
COPIED_MARK = "°"


@dataclass(frozen=True)
class Entry:
    """One cell as printed."""

    value: str  # percent; empty where there is no number
    half_width: str  # percentage points; empty where there is none
    state: CellState
    note: str = ""  # the letter of its footnote
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One setting as printed."""

    label: str  # "5 shots"
    entries: tuple[Entry, ...]
    n_episodes: str
    disjoint_episodes: str
    reuse_mark: str


@dataclass(frozen=True)
class Group:
    """The settings of one way."""

    label: str  # "5-way"
    chance: str  # "chance 20.00 %"
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Note:
    """A footnote; `mark` is empty where it is about the whole table."""

    mark: str
    text: str


@dataclass(frozen=True)
class Sheet:
    """A measured table as printed."""

    label: str  # fit for an anchor: lower-case letters, digits and hyphens
    caption: str
    variants: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class PublishedEntry:
    """A printed number of a paper."""

    value: str
    half_width: str
    copied_mark: str


@dataclass(frozen=True)
class PublishedSheet:
    """A paper's table as printed."""

    label: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[tuple[str, tuple[PublishedEntry, ...]], ...]], ...]  # way, (shot, entries)
    notes: tuple[str, ...]


def percent(fraction: float | None) -> str:
    """Two decimals, as papers print; empty for None."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def span(low: int, high: int) -> str:
    """ "600", or "5 to 600"."""
    return f"{low}" if low == high else f"{low} to {high}"


def shots(n_shot: int) -> str:
    """ "1 shot", "5 shots"."""
    return f"{n_shot} shot" if n_shot == 1 else f"{n_shot} shots"


def lay_out(table: Table) -> Sheet:
    """Everything that a printed table says."""
    letters = _letters(table.cells)
    groups = tuple(
        Group(f"{way}-way", f"chance {percent(1 / way)} %", tuple(_line(row, letters) for row in rows))
        for way, rows in groupby(table.rows, key=lambda row: row.n_way)
    )
    notes = [*_general_notes(table), *(Note(letter, text) for text, letter in letters.items())]
    return Sheet(anchor(table.experiment.dataset), _caption(table), table.variants, groups, tuple(notes))


def lay_out_published(table: PublishedTable) -> PublishedSheet:
    """A paper's table, with all that must be known beside it."""
    groups = tuple(
        (f"{way}-way", tuple((shots(row.n_shot), tuple(map(_published_entry, row.values))) for row in rows))
        for way, rows in groupby(table.rows, key=lambda row: row.n_way)
    )
    return PublishedSheet(
        label=anchor(table.id),
        title=table.title,
        columns=tuple(column.name for column in table.columns),
        groups=groups,
        notes=tuple(_published_notes(table)),
    )


def anchor(text: str) -> str:
    """A name that is safe as an HTML id and a LaTeX label."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return kept.strip("-") or "table"


def _caption(table: Table) -> str:
    experiment = table.experiment
    low, high = table.n_episodes
    count = f"n = {span(low, high)} episodes a cell" if high else "nothing measured yet"
    seeds = f", {len(table.seeds)} seeds" if len(table.seeds) > 1 else ""
    return (
        f"Accuracy (%) on the novel classes of {experiment.dataset}: mean ± 95 % t-interval over episodes; "
        f"{count}{seeds}, {experiment.n_query} queries a class; protocol {experiment.protocol}, "
        f"split {experiment.split}, budget {experiment.budget}, {experiment.backbone}."
    )


def _general_notes(table: Table) -> list[Note]:
    interval = (
        "The interval is over episodes: it covers the sampler only, not another training seed, other classes "
        "or other images."
    )
    if len(table.seeds) > 1:
        interval += (
            f" Each episode's accuracy is first averaged over the {len(table.seeds)} seeds; "
            "the worst state among the seeds is the cell's."
        )
    texts = [interval, "Bold: the highest mean of the row among complete cells; not a test of significance."]
    norms = _norms(table)
    if norms:
        texts.append(f"Normalisation at test: {norms}.")
    states = {cell.state for cell in table.cells}
    legend = {"partial": "* fewer episodes than asked for", "failed": "✗ failed", "missing": "— not measured"}
    shown = [words for state, words in legend.items() if state in states]
    if shown:
        texts.append("; ".join(shown) + ".")
    notes = [Note("", text) for text in texts]
    notes.append(Note("", "disjoint: at most how many episodes the data allow without using an image twice."))
    if any(row.reuses_images for row in table.rows):
        notes.append(
            Note(
                REUSE_MARK,
                "more episodes than can be disjoint: the interval is narrower than the data can support.",
            )
        )
    return notes


def _norms(table: Table) -> str:
    by_norm: dict[str, list[str]] = {}
    for variant in table.variants:
        if variant in table.experiment.norms:
            by_norm.setdefault(table.experiment.norms[variant], []).append(variant)
    return "; ".join(f"{norm} ({', '.join(variants)})" for norm, variants in by_norm.items())


def _letters(cells: Sequence[Cell]) -> dict[str, str]:
    """One letter for each different thing to say about a cell."""
    texts = dict.fromkeys(f"{cell.state}: {cell.reason}" for cell in cells if cell.reason)
    return {text: _letter(number) for number, text in enumerate(texts)}


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    earlier, place = divmod(number, 26)
    return (_letter(earlier - 1) if earlier else "") + chr(ord("a") + place)


def _line(row: Row, letters: dict[str, str]) -> Line:
    entries = tuple(
        Entry(
            value=percent(cell.mean),
            half_width=percent(cell.half_width),
            state=cell.state,
            note=letters.get(f"{cell.state}: {cell.reason}", ""),
            best=cell.best,
        )
        for cell in row.cells
    )
    low, high = row.n_episodes
    mark = REUSE_MARK if row.reuses_images else ""
    return Line(shots(row.n_shot), entries, span(low, high), str(row.disjoint_episodes), mark)


def _published_entry(value: PublishedValue) -> PublishedEntry:
    mark = COPIED_MARK if value.copied_from else ""
    return PublishedEntry(percent(value.accuracy), percent(value.half_width), mark)


def _published_notes(table: PublishedTable) -> list[str]:
    notes = [f"Source: {table.citation}. {table.location}.", f"{table.dataset}; {'; '.join(table.protocol)}."]
    notes += table.caveats
    for column in table.columns:
        told = "; ".join(part for part in (column.source, *column.protocol) if part)
        if told:
            notes.append(f"{column.name}: {told}.")
    sources: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for column, value in zip(table.columns, row.values, strict=True):
            if value.copied_from:
                place = f"{row.n_way}-way {row.n_shot}-shot"
                sources.setdefault((column.name, value.copied_from), []).append(place)
    for (name, source), places in sources.items():
        notes.append(f"{COPIED_MARK} {name}, {' and '.join(places)}: the same digits as {source}.")
    return notes
