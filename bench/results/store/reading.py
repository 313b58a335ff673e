"""What reports and plans read, as plain frozen records; no row of the database leaves this folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from fewshot_bench.errors import DatabaseError, NothingSelected
from fewshot_bench.experiment.records import Answers, EpisodeResult, StoredCell, StoredTraining
from fewshot_bench.results.store.engine import explained, open_engine
from fewshot_bench.results.store.schema import answers, cells, curves, episodes, runs, trainings
from fewshot_bench.results.store.snapshot import (
    EDITED,
    cell_identity,
    check_counts,
    parsed,
    refuse_folder,
    without_password,
)
from fewshot_bench.results.store.writing import COUNTED, episodes_sha256


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


class Reader:
    """Reads results; changes nothing, and sees everything in one snapshot a call."""

    def __init__(self, where: str) -> None:
        refuse_folder(where)
        self._where = without_password(where)
        self._engine = open_engine(where, write=False)

    def trainings(self) -> dict[str, StoredTraining]:
        """All stored trainings by key."""
        with explained(self._where), self._engine.begin() as c:
            rows = c.execute(select(trainings)).mappings().all()
        names = StoredTraining.__dataclass_fields__
        found = {}
        for row in rows:
            found[row["key"]] = StoredTraining(**{n: row[n] for n in names} | {"identity": self._identity_of(row)})
        return found

    def cells(self) -> dict[str, StoredCell]:
        """All stored cells by key."""
        names = ("key", "n_episodes", "seconds", "reason", "variant", "n_way", "n_shot")
        query = select(*(cells.c[name] for name in names))
        with explained(self._where), self._engine.begin() as c:
            return {
                r.key: StoredCell(r.key, r.n_episodes, r.seconds, r.reason, (r.variant, r.n_way, r.n_shot))
                for r in c.execute(query)
            }

    def keys_by_label(self) -> dict[str, set[str]]:
        """Label -> the keys stored under it: more than the wanted one means stale results."""
        found: dict[str, set[str]] = {}
        with explained(self._where), self._engine.begin() as c:
            for label, key in c.execute(select(cells.c.label, cells.c.key)):
                found.setdefault(label, set()).add(key)
        return found

    def episodes(self, keys: Iterable[str]) -> dict[str, tuple[EpisodeResult, ...]]:
        """The episodes of each cell, in order. Raises DatabaseError where they are damaged or cannot be."""
        wanted = set(keys)
        query = (
            select(episodes.c.cell_key, *(episodes.c[n] for n in COUNTED))
            .where(episodes.c.cell_key.in_(wanted))
            .order_by(episodes.c.cell_key, episodes.c.number)
        )
        found: dict[str, list[tuple[Any, ...]]] = {key: [] for key in wanted}
        with explained(self._where), self._engine.begin() as c:
            for key, *row in c.execute(query).all():  # all at once: row by row takes twice as long
                found[key].append(tuple(row))
            hashes: dict[str, str] = {row.key: row.sha256 for row in c.execute(select(cells.c.key, cells.c.sha256))}
        results = {}
        for key, rows in found.items():
            if key in hashes and hashes[key] != episodes_sha256(rows):
                raise DatabaseError(
                    f"{self._where}: the episodes of cell {key} do not match their checksum: the file was "
                    "damaged or edited; move it away, or restore a copy"
                )
            results[key] = tuple(EpisodeResult(*row) for row in rows)
            check_counts(self._where, key, results[key])
        return results

    def answers(self, keys: Iterable[str]) -> dict[str, dict[int, Answers]]:
        """Cell key -> episode number -> the label given to each query, where they were kept."""
        found: dict[str, dict[int, Answers]] = {key: {} for key in keys}
        query = select(answers).where(answers.c.cell_key.in_(found))
        with explained(self._where), self._engine.begin() as c:
            for key, number, labels in c.execute(query).all():
                found[key][number] = Answers(labels)
        return found

    def curves(self, keys: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
        """Training key -> (iteration, loss) points."""
        found: dict[str, list[tuple[int, float]]] = {key: [] for key in keys}
        query = select(curves).where(curves.c.name == "loss").order_by(curves.c.iteration)
        with explained(self._where), self._engine.begin() as c:
            for row in c.execute(query):
                if row.training_key in found:
                    found[row.training_key].append((row.iteration, row.value))
        return found

    def cell(self, key_or_prefix: str) -> CellFacts:
        """Everything about one cell. Raises NothingSelected if no or several cells match.

        Raises DatabaseError where the cell is not what its key is the hash of.
        """
        with explained(self._where), self._engine.begin() as c:
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
            raise DatabaseError(f"{self._where}: the training or run of cell {cell['key']} is missing: {EDITED}")
        training["identity"] = self._identity_of(training)
        cell["identity"] = cell_identity(self._where, cell, training["identity"])
        run = self._with_facts(run)
        return CellFacts(cell, training, run, self.episodes([cell["key"]])[cell["key"]])

    def all_cells(self) -> list[dict[str, Any]]:
        """One short record a cell, in the order they were first stored."""
        columns = ("key", "variant", "n_way", "n_shot", "seed", "n_episodes", "reason", "label", "run_id")
        query = select(*(cells.c[n] for n in columns)).order_by(cells.c.label)
        with explained(self._where), self._engine.begin() as c:
            return [dict(row) for row in c.execute(query).mappings()]

    def counts(self) -> Counts:
        """How much is stored."""
        with explained(self._where), self._engine.begin() as c:
            by_state = select(trainings.c.state, func.count().label("n")).group_by(trainings.c.state)
            states = {row.state: row.n for row in c.execute(by_state)}
            last = c.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).mappings().first()
            return Counts(
                runs=_count(c, runs),
                trainings=states,
                cells=_count(c, cells),
                failed_cells=c.execute(select(func.count()).where(cells.c.reason != "")).scalar_one(),
                episodes=_count(c, episodes),
                last_run=dict(last) if last else None,
            )

    def runs_behind(self, cell_keys: Iterable[str]) -> list[dict[str, Any]]:
        """The runs that made some cells and their trainings, oldest first, their facts parsed."""
        wanted = set(cell_keys)
        of_cells = select(episodes.c.run_id).where(episodes.c.cell_key.in_(wanted))
        of_trainings = (
            select(trainings.c.run_id)
            .join(cells, cells.c.training_key == trainings.c.key)
            .where(cells.c.key.in_(wanted))
        )
        query = select(runs).where(runs.c.id.in_(of_cells.union(of_trainings))).order_by(runs.c.id)
        with explained(self._where), self._engine.begin() as c:
            return [self._with_facts(dict(row)) for row in c.execute(query).mappings()]

    def _identity_of(self, training: Mapping[Any, Any]) -> dict[str, Any]:
        return parsed(self._where, f"the identity of training {training['key']}", training["identity"])

    def _with_facts(self, run: dict[str, Any]) -> dict[str, Any]:
        return run | {"facts": parsed(self._where, f"the facts of run {run['id']}", run["facts"])}


def _count(c: Connection, table: Any) -> int:
    return int(c.execute(select(func.count()).select_from(table)).scalar_one())
