"""What reports and plans read, as plain frozen records; no row of the database leaves this folder."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from fewshot_bench.errors import DatabaseError, NothingSelected
from fewshot_bench.experiment.records import Answers, StoredCell, StoredTraining, pace_of
from fewshot_bench.experiment.selection import place_named
from fewshot_bench.files import as_text
from fewshot_bench.results.provenance import origin
from fewshot_bench.results.store import whole
from fewshot_bench.results.store.checksums import EDITED
from fewshot_bench.results.store.claiming import at_work
from fewshot_bench.results.store.engine import refuse_folder
from fewshot_bench.results.store.schema import cells, data_sets, episodes, runs, trainings, weights
from fewshot_bench.results.store.snapshot import Snapshot
from fewshot_bench.results.store.transactions import Database, transaction
from fewshot_bench.results.store.whole import Row
from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.tables.wording import counted

MOST_NAMED = 3  # in a message


@dataclass(frozen=True)
class CellFacts:
    """Every stored fact behind one number."""

    cell: dict[str, Any]  # the columns of `cells`, its identity parsed
    training: dict[str, Any]
    run: dict[str, Any]
    episodes: tuple[EpisodeResult, ...]

    @property
    def of(self) -> str:
        """Its data set, split, protocol and budget."""
        return _of(self.cell)


@dataclass(frozen=True)
class Counts:
    """What a database holds."""

    runs: int
    trainings: dict[str, int]  # by state
    cells: int
    failed_cells: int
    episodes: int
    last_run: dict[str, Any] | None
    at_work: list[dict[str, str]]  # name of the unit, since, who


class Reader(Database):
    """Reads results; changes nothing, and sees everything in one snapshot a call.

    Everything raises DatabaseError for what is not as it was stored.
    """

    def __init__(self, where: str) -> None:
        refuse_folder(where)
        super().__init__(where, write=False)

    @transaction
    def trainings(self, c: Connection) -> dict[str, StoredTraining]:
        """All stored trainings by key."""
        names = StoredTraining.__dataclass_fields__
        rows = Snapshot(self.where, c).all(trainings)
        return {
            key: StoredTraining(**{n: row[n] for n in names} | {"identity": whole.training_of(self.where, row)})
            for key, row in rows.items()
        }

    @transaction
    def weights(self, c: Connection, sha256: str) -> bytes | None:
        """The content of finished weights that are kept here; None if they are not."""
        return c.execute(select(weights.c.content).where(weights.c.sha256 == sha256)).scalar()

    @transaction
    def cells(self, c: Connection) -> dict[str, StoredCell]:
        """All stored cells by key."""
        return {
            key: StoredCell(
                key,
                row["n_episodes"],
                row["seconds"],
                row["reason"],
                pace_of(row["variant"], json.loads(row["identity"])),
            )
            for key, row in Snapshot(self.where, c).all(cells).items()
        }

    @transaction
    def data_sets(self, c: Connection) -> list[dict[str, Any]]:
        """What is stored of data sets (fingerprint, name, source, outline), that of the last run last."""
        rows = sorted(Snapshot(self.where, c).all(data_sets).values(), key=lambda row: row["run_id"])
        return [_plain(row) | {"outline": json.loads(row["outline"])} for row in rows]

    @transaction
    def run_commands(self, c: Connection) -> list[str]:
        """How the results here were asked for, oldest first."""
        made = [origin(row) for row in Snapshot(self.where, c).runs().values()]
        return [one["command"] for one in made if one]

    @transaction
    def keys_by_label(self, c: Connection) -> dict[str, set[str]]:
        """Label -> the keys stored under it: more than the wanted one means stale results."""
        found: dict[str, set[str]] = {}
        for label, key in c.execute(select(cells.c.label, cells.c.key)):
            found.setdefault(label, set()).add(key)
        return found

    @transaction
    def episodes(self, c: Connection, keys: Iterable[str]) -> dict[str, tuple[EpisodeResult, ...]]:
        """The episodes of each cell, in order; none of one that is not stored."""
        wanted, snapshot = list(dict.fromkeys(keys)), Snapshot(self.where, c)
        found = snapshot.episodes_of(snapshot.some(cells, wanted))
        return {key: tuple(EpisodeResult(*e.counted) for e in found.get(key, ())) for key in wanted}

    @transaction
    def answers(self, c: Connection, keys: Iterable[str]) -> dict[str, dict[int, Answers]]:
        """Cell key -> episode number -> the label given to each query, where they were kept."""
        wanted, snapshot = list(dict.fromkeys(keys)), Snapshot(self.where, c)
        found = snapshot.answers_of(snapshot.some(cells, wanted))
        return {key: {number: Answers(labels) for number, labels in found.get(key, {}).items()} for key in wanted}

    @transaction
    def curves(self, c: Connection, keys: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
        """Training key -> (iteration, loss) points."""
        wanted, snapshot = list(dict.fromkeys(keys)), Snapshot(self.where, c)
        points = {row["key"]: snapshot.curves(row) for row in snapshot.some(trainings, wanted)}
        return {k: [(p["iteration"], p["value"]) for p in points.get(k, ()) if p["name"] == "loss"] for k in wanted}

    @transaction
    def cell(self, c: Connection, named: str) -> CellFacts:
        """Everything about one cell, by its name (maml-5w1s-s0), its key, or the beginning of that.

        Of several of that name the last run's is meant, as in other commands that read; what was tuned is none. Raises
        NothingSelected if no or several cells match.
        """
        found = [dict(row) for row in c.execute(select(cells).where(_named(named)).order_by(cells.c.key)).mappings()]
        if found and place_named(named):  # of several, those with results
            found = [row for row in found if row["n_episodes"]] or found
            typed = {row.id: row.command for row in c.execute(select(runs.c.id, runs.c.command))}
            last = max((not typed.get(row["run_id"], "").startswith("bench tune"), row["run_id"]) for row in found)[1]
            found = [row for row in found if row["run_id"] == last]
        if len(found) != 1:
            stored = Snapshot(self.where, c).all(cells)  # one whose key was changed is named
            raise NothingSelected(_not_one(named, found, stored.values()))
        cell = found[0]
        training_row = select(trainings).where(trainings.c.key == cell["training_key"])
        training, run = (
            dict(c.execute(query).mappings().first() or {})
            for query in (training_row, select(runs).where(runs.c.id == cell["run_id"]))
        )
        if not training or not run:
            raise DatabaseError(f"{self.where}: the training or run of cell {cell['key']} is missing: {EDITED}")
        whole.check_cell(self.where, cell, whole.check_training(self.where, training))
        whole.check_run(self.where, run)
        theirs = tuple(EpisodeResult(*episode.counted) for episode in Snapshot(self.where, c).episodes(cell))
        return CellFacts(_parsed(cell), _parsed(training), _parsed(run), theirs)

    @transaction
    def all_cells(self, c: Connection) -> list[dict[str, Any]]:
        """One short record a cell, in the order of their labels."""
        names = ("key", "variant", "n_way", "n_shot", "seed", "n_episodes", "reason", "label", "run_id", "training_key")
        rows = sorted(Snapshot(self.where, c).all(cells).values(), key=lambda row: row["label"])
        return [{name: row[name] for name in names} for row in rows]

    @transaction
    def held(self, c: Connection) -> str:
        """What is stored, in words; see `_held`."""
        return _held(Snapshot(self.where, c).all(cells).values())

    @transaction
    def counts(self, c: Connection) -> Counts:
        """How much is stored."""
        snapshot = Snapshot(self.where, c)
        stored, theirs = snapshot.all(runs), snapshot.all(cells).values()
        n_there = c.execute(select(func.count()).select_from(episodes)).scalar_one()
        if n_there != (n := sum(cell["n_episodes"] for cell in theirs)):
            raise DatabaseError(f"{self.where}: {n} episodes were stored, {n_there} are there: {EDITED}")
        return Counts(
            runs=len(stored),
            trainings=dict(Counter(training["state"] for training in snapshot.all(trainings).values())),
            cells=len(theirs),
            failed_cells=sum(cell["reason"] != "" for cell in theirs),
            episodes=n,
            last_run=_plain(stored[max(stored)]) if stored else None,
            at_work=at_work(self.where, c),
        )

    @transaction
    def runs_behind(self, c: Connection, cell_keys: Iterable[str]) -> list[dict[str, Any]]:
        """The runs that made some cells and their trainings, oldest first, their facts parsed."""
        snapshot = Snapshot(self.where, c)
        rows, theirs, stored = snapshot.some(cells, cell_keys), snapshot.all(trainings), snapshot.runs()
        behind = snapshot.runs_behind(rows) | {theirs[row["training_key"]]["run_id"] for row in rows}
        return [_parsed(stored[number]) for number in sorted(behind)]


def _named(named: str) -> ColumnElement[bool]:
    """Of a cell, whether it is called so: by its name, or by the beginning of its key."""
    named = as_text(named)  # a database takes no bytes that are not UTF-8
    if place := place_named(named):
        return and_(*(cells.c[column] == value for column, value in place._asdict().items()))
    return cells.c.key.startswith(named, autoescape=True)


def _not_one(named: str, found: list[Row], stored: Iterable[Row]) -> str:
    """Why no single cell is meant."""
    if not found:
        what = f"{named} is not stored" if place_named(named) else f"no cell's key starts with {named!r}"
        return f"{what}; stored here: {_held(stored)}; `bench status -v` lists names and keys"
    keys = ", ".join(f"{row['key']} ({_of(row)})" for row in found[:MOST_NAMED]) + ", ..." * (len(found) > MOST_NAMED)
    if place_named(named):
        return f"{named} is stored {len(found)} times; name one by its key: {keys}"
    return f"more than one cell's key starts with {named!r}: {keys}"


def _held(stored: Iterable[Row]) -> str:
    """How many cells of which data set, split, protocol and budget: "63 cells of strokes paper single smoke"."""
    counts = Counter(map(_of, stored)).most_common()
    told = ", ".join(f"{counted(n, 'cell')} of {what}" for what, n in counts[:MOST_NAMED])
    return (told or "nothing") + ", ..." * (len(counts) > MOST_NAMED)


def _of(cell: Mapping[str, Any]) -> str:
    """Its data set, split, protocol and budget: its label without its name."""
    return str(cell["label"]).rsplit(" ", 1)[0]


def _parsed(row: Row) -> Row:
    """For others than this folder, with what was checked to be JSON as what it says."""
    return {name: json.loads(row[name]) if name in ("identity", "facts") else row[name] for name in _plain(row)}


def _plain(row: Row) -> Row:
    """Without what only tells damage."""
    return {name: value for name, value in row.items() if not name.endswith(("checksum", "_sum"))}
