"""What a rendered file is held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.scores import CellScore, Results

Place = tuple[str, int, int]  # variant, n_way, n_shot
Wanted = Callable[[str], Mapping[Place, int] | None]  # a table's command -> the episodes it shows now; None: unknown
Again = Callable[[str, Mapping[Place, int]], Results | None]  # what it shows, given the episodes of complete cells
Page = Callable[[Results], str]  # the whole report, its pictures left out


@dataclass(frozen=True)
class Origin:
    """The data behind a stored cell."""

    fingerprint: str
    split: str
    dataset: str = ""  # its name; empty where the data are not at hand
    disjoint: int | None = None  # episodes of the cell's setting without a shared image; None likewise


@dataclass(frozen=True)
class Witnesses:
    """What a file is held against."""

    stored: Mapping[str, CellScore]  # every cell of the database by key, with the episodes of `keys_in`
    published: Mapping[str, PublishedTable]  # by id
    wanted: Wanted
    origins: Mapping[str, Origin] = field(default_factory=dict)  # by key, as far as they are stored
    again: Again | None = None
    page: Page | None = None
