"""What reports and plans read, as plain frozen records; no row of the database leaves this folder."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from fewshot_bench import machine
from fewshot_bench.errors import DatabaseError, NothingSelected
from fewshot_bench.experiment.records import Answers, EpisodeResult, StoredCell, StoredTraining
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.store.checksums import (
    EDITED,
    answers_sum,
    check_census,
    check_seal,
    curves_sum,
    episodes_sha256,
    runs_of,
    runs_sum,
)
from fewshot_bench.results.store.engine import open_engine
from fewshot_bench.results.store.schema import answers, cells, claims, curves, episodes, owners, runs, trainings
from fewshot_bench.results.store.snapshot import cell_identity, check_answers, check_episodes, parsed, refuse_folder
from fewshot_bench.results.store.transactions import Patience, transaction
from fewshot_bench.results.store.writing import COUNTED


@dataclass(frozen=True)
class CellFacts:
    """Every stored fact behind one number."""

    cell: dict[str, Any]  # the columns of `cells`, its identity parsed
    training: dict[str, Any]
    run: dict[str, Any]
    episodes: tuple[EpisodeResult, ...]


@dataclass(frozen=True)
class Counts:
    """What a database holds."""

    runs: int
    trainings: dict[str, int]  # by state
    cells: int
    failed_cells: int
    episodes: int
    last_run: dict[str, Any] | None
    at_work: list[dict[str, Any]]  # name of the unit, since, who


class Reader:
    """Reads results; changes nothing, and sees everything in one snapshot a call."""

    def __init__(self, where: str, patience: Patience | None = None) -> None:
        refuse_folder(where)
        self.engine = open_engine(where, write=False)
        self.where = without_password(where)
        self.patience = patience or Patience()

    @transaction
    def trainings(self, c: Connection) -> dict[str, StoredTraining]:
        """All stored trainings by key."""
        names = StoredTraining.__dataclass_fields__
        return {
            key: StoredTraining(**{n: row[n] for n in names} | {"identity": self._identity_of(row)})
            for key, row in self._all(c, trainings).items()
        }

    @transaction
    def cells(self, c: Connection) -> dict[str, StoredCell]:
        """All stored cells by key."""
        return {
            key: StoredCell(
                key, row["n_episodes"], row["seconds"], row["reason"], (row["variant"], row["n_way"], row["n_shot"])
            )
            for key, row in self._all(c, cells).items()
        }

    @transaction
    def keys_by_label(self, c: Connection) -> dict[str, set[str]]:
        """Label -> the keys stored under it: more than the wanted one means stale results."""
        found: dict[str, set[str]] = {}
        for label, key in c.execute(select(cells.c.label, cells.c.key)):
            found.setdefault(label, set()).add(key)
        return found

    @transaction
    def episodes(self, c: Connection, keys: Iterable[str]) -> dict[str, tuple[EpisodeResult, ...]]:
        """The episodes of each cell, in order. Raises DatabaseError where they are damaged or cannot be."""
        return self._episodes(c, keys)

    def _episodes(self, c: Connection, keys: Iterable[str]) -> dict[str, tuple[EpisodeResult, ...]]:
        wanted = list(dict.fromkeys(keys))
        query = select(episodes.c.cell_key, *(episodes.c[n] for n in COUNTED)).where(episodes.c.cell_key.in_(wanted))
        found: dict[str, list[tuple[Any, ...]]] = {key: [] for key in wanted}
        # all at once: row by row takes twice as long
        for key, *row in c.execute(query.order_by(episodes.c.cell_key, episodes.c.number)).all():
            found.setdefault(key, []).append(tuple(row))
        hashes = {row.key: row.sha256 for row in c.execute(select(cells.c.key, cells.c.sha256))}
        results = {}
        for key in wanted:
            rows = found[key]
            if hashes.get(key, episodes_sha256([])) != episodes_sha256(rows):
                raise DatabaseError(f"{self.where}: the episodes of cell {key} do not match their checksum: {EDITED}")
            results[key] = tuple(EpisodeResult(*row) for row in rows)
            check_episodes(self.where, key, results[key])
        return results

    @transaction
    def answers(self, c: Connection, keys: Iterable[str]) -> dict[str, dict[int, Answers]]:
        """Cell key -> episode number -> the label given to each query, where they were kept."""
        found: dict[str, dict[int, Answers]] = {key: {} for key in keys}
        query = select(answers).where(answers.c.cell_key.in_(found))
        for key, number, labels in c.execute(query).all():
            found.setdefault(key, {})[number] = Answers(labels)
        for cell in c.execute(select(cells).where(cells.c.key.in_(found))).mappings().all():
            kept = found[cell["key"]]
            if cell["answers_sum"] != answers_sum("", kept.items()):
                said = f"the answers of cell {cell['key']} do not match their checksum"
                raise DatabaseError(f"{self.where}: {said}: {EDITED}")
            check_answers(self.where, dict(cell), kept)
        return found

    @transaction
    def curves(self, c: Connection, keys: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
        """Training key -> (iteration, loss) points."""
        found: dict[str, list[tuple[int, str, float]]] = {key: [] for key in keys}
        for row in c.execute(select(curves).where(curves.c.training_key.in_(found)).order_by(curves.c.iteration)):
            found.setdefault(row.training_key, []).append((row.iteration, row.name, row.value))
        for key, total in c.execute(select(trainings.c.key, trainings.c.curves_sum)).all():
            if key in found and total != curves_sum("", found[key]):
                raise DatabaseError(f"{self.where}: the curves of training {key} do not match their checksum: {EDITED}")
        return {key: [(i, value) for i, name, value in points if name == "loss"] for key, points in found.items()}

    @transaction
    def cell(self, c: Connection, key_or_prefix: str) -> CellFacts:
        """Everything about one cell. Raises NothingSelected if no or several cells match.

        Raises DatabaseError where the cell is not what its key is the hash of.
        """
        matches = cells.c.key.startswith(key_or_prefix, autoescape=True)
        found = c.execute(select(cells).where(matches).limit(2)).mappings().all()
        if len(found) != 1:
            what = "no cell's" if not found else "more than one cell's"
            raise NothingSelected(f"{what} key starts with {key_or_prefix!r}; `bench status -v` lists the keys")
        cell = dict(found[0])
        training_row = select(trainings).where(trainings.c.key == cell["training_key"])
        training, run = (
            dict(c.execute(query).mappings().first() or {})
            for query in (training_row, select(runs).where(runs.c.id == cell["run_id"]))
        )
        if not training or not run:
            raise DatabaseError(f"{self.where}: the training or run of cell {cell['key']} is missing: {EDITED}")
        identities = self._identity_of(training), cell_identity(self.where, cell, self._identity_of(training))
        facts = self._with_facts(run)
        for table, row in ((trainings, training), (cells, cell), (runs, run)):
            check_seal(self.where, table, row)
        training["identity"], cell["identity"] = identities
        return CellFacts(_plain(cell), _plain(training), facts, self._episodes(c, [cell["key"]])[cell["key"]])

    @transaction
    def all_cells(self, c: Connection) -> list[dict[str, Any]]:
        """One short record a cell, in the order they were first stored."""
        columns = ("key", "variant", "n_way", "n_shot", "seed", "n_episodes", "reason", "label", "run_id")
        rows = sorted(self._all(c, cells).values(), key=lambda row: row["label"])
        return [{name: row[name] for name in columns} for row in rows]

    @transaction
    def counts(self, c: Connection) -> Counts:
        """How much is stored."""
        stored = {table: self._all(c, table) for table in (runs, trainings, cells)}
        last = max(stored[runs].values(), key=lambda run: run["id"], default=None)
        return Counts(
            runs=len(stored[runs]),
            trainings=dict(Counter(training["state"] for training in stored[trainings].values())),
            cells=len(stored[cells]),
            failed_cells=sum(cell["reason"] != "" for cell in stored[cells].values()),
            episodes=c.execute(select(func.count()).select_from(episodes)).scalar_one(),
            last_run=last and _plain(last),
            at_work=self._at_work(c),
        )

    @transaction
    def runs_behind(self, c: Connection, cell_keys: Iterable[str]) -> list[dict[str, Any]]:
        """The runs that made some cells and their trainings, oldest first, their facts parsed."""
        wanted = self._all(c, cells, cells.c.key.in_(list(cell_keys)))
        theirs = self._all(c, trainings, trainings.c.key.in_([row["training_key"] for row in wanted.values()]))
        found = {row["run_id"] for row in theirs.values()}
        of_episodes: dict[str, list[tuple[int, int]]] = {key: [] for key in wanted}
        for key, run, numbers in c.execute(runs_of(wanted)).all():
            of_episodes.setdefault(key, []).append((run, numbers))
        for key, row in wanted.items():
            if runs_sum("", of_episodes[key]) != row["runs_sum"]:
                raise DatabaseError(f"{self.where}: the runs of cell {key} do not match their checksum: {EDITED}")
            found |= {run for run, _ in of_episodes[key]}
        behind = self._all(c, runs, runs.c.id.in_(found))
        return [self._with_facts(behind[number]) for number in sorted(behind)]

    def _all(self, c: Connection, table: Table, which: ColumnElement[bool] | None = None) -> dict[Any, dict[str, Any]]:
        """Rows by key, as they were stored; without `which` all that were."""
        (column,) = table.primary_key.columns
        query = select(table) if which is None else select(table).where(which)
        found = {row[column.name]: dict(row) for row in c.execute(query).mappings()}
        for row in found.values():
            check_seal(self.where, table, row)
        if which is None:
            check_census(self.where, c, table, list(found))
        return found

    def _at_work(self, c: Connection) -> list[dict[str, Any]]:
        """The claims of all but those who are known to be gone."""
        query = select(claims.c.name, claims.c.since, owners.c.host, owners.c.process)
        held = c.execute(query.join(owners, owners.c.id == claims.c.owner).order_by(claims.c.since, claims.c.name))
        return [
            {"name": row.name, "since": row.since, "who": machine.in_words(row.host, row.process)}
            for row in held
            if not machine.is_gone(row.host, row.process)
        ]

    def _identity_of(self, training: Mapping[Any, Any]) -> dict[str, Any]:
        return parsed(self.where, f"the identity of training {training['key']}", training["identity"])

    def _with_facts(self, run: dict[str, Any]) -> dict[str, Any]:
        return _plain(run) | {"facts": parsed(self.where, f"the facts of run {run['id']}", run["facts"])}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without what only tells damage."""
    return {name: value for name, value in row.items() if not name.endswith(("checksum", "_sum"))}
