"""Union of two databases by key, in one transaction: equal results confirm each other, different ones forbid it.

A database keeps one set of weights a training, so that every number can be repeated from them. Results of other
weights (another SHA-256) are therefore never put beside ours: a conflict, unless nothing of theirs is missing here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, update

from fewshot_bench.results.store.checksums import SEALED, recount, seal
from fewshot_bench.results.store.comparing import ComparedCell, Comparison, compare
from fewshot_bench.results.store.engine import explained, open_engine
from fewshot_bench.results.store.schema import answers, cells, curves, data_sets, episodes, runs, trainings
from fewshot_bench.results.store.snapshot import Snapshot, snapshot
from fewshot_bench.results.store.whole import Row
from fewshot_bench.results.store.writing import insert_run

RUN_CONTENT = ("started_at", "command", "git_commit", "git_dirty", "facts")  # two rows equal in these are one run


def merge(ours: str, theirs: str, *, dry_run: bool = False) -> Comparison:
    """Bring what is missing in ours from theirs, all of it or, where the comparison is `forbidden`, nothing.

    Ours is made where it does not exist, and not even opened for writing where nothing is new. A finished training
    or cell takes the place of a failed or unfinished one; theirs is never changed. Raises DatabaseError where
    episodes of either do not match their checksum.
    """
    with snapshot(theirs) as other:
        with snapshot(ours, or_empty=True) as here:
            found = compare(here, other)
        if dry_run or found.forbidden or not found.anything_new:
            return found
        engine = open_engine(ours, write=True)
        with explained(ours), engine.begin() as connection:
            if connection.dialect.name != "sqlite":
                # as writers do, what refers before what is referred to; their locks on rows are kept out, too
                connection.exec_driver_sql("LOCK TABLE cells, data_sets, trainings, runs IN EXCLUSIVE MODE")
            here = Snapshot(ours, connection)
            found = compare(here, other)  # again: now nobody else can write
            if not found.forbidden:
                _Transfer(connection, here, other).take(found)
        return found


class _Transfer:
    """Carries rows over; the numbers of runs are not theirs but ours."""

    def __init__(self, connection: Connection, ours: Snapshot, theirs: Snapshot) -> None:
        self._c, self._ours, self._theirs = connection, ours, theirs
        self._our_runs = {_content(row): row for row in ours.runs().values()}
        self._their_runs = theirs.runs()
        self._our_trainings = ours.trainings()
        self._run_ids: dict[int, int] = {}

    def take(self, found: Comparison) -> None:
        their_trainings, their_cells = self._theirs.trainings(), self._theirs.cells()
        for key, state in found.trainings.items():
            if state != "kept":
                self._take_training(their_trainings[key], replace=state == "replaced")
        for cell in found.cells:
            self._take_cell(cell, their_cells[cell.key])
        known = self._ours.all(data_sets)
        for row in self._theirs.all(data_sets).values():
            if row["fingerprint"] not in known:
                self._insert(data_sets, [row | {"run_id": self._run_id(row["run_id"])}])
        recount(self._c)
        for table in SEALED:
            seal(self._c, table)

    def _take_training(self, row: Row, *, replace: bool) -> None:
        key, values = row["key"], row | {"run_id": self._run_id(row["run_id"])}
        if replace:
            # its cells failed because it had; now they are only to do
            failed_with_it = (cells.c.training_key == key) & (cells.c.n_episodes == 0)
            because = self._our_trainings[key]["reason"]
            self._c.execute(update(cells).where(failed_with_it & (cells.c.reason == because)).values(reason=""))
            self._c.execute(delete(curves).where(curves.c.training_key == key))
            self._c.execute(update(trainings).where(trainings.c.key == key).values(values))
        else:
            self._c.execute(insert(trainings).values(values))
        self._insert(curves, self._theirs.curves(row))

    def _take_cell(self, cell: ComparedCell, row: Row) -> None:
        if cell.state == "new":
            self._c.execute(insert(cells).values(row | {"run_id": self._run_id(row["run_id"])}))
        elif cell.state == "extended":
            # the shared episodes are equal and theirs are more, so the union is theirs, checksum and all
            values = {name: row[name] for name in ("n_episodes", "sha256", "reason")}
            values["run_id"] = self._run_id(row["run_id"])
            values["seconds"] = cells.c.seconds + row["seconds"] * cell.n_new / cell.n_theirs
            self._c.execute(update(cells).where(cells.c.key == cell.key).values(values))
        if cell.n_new:
            new = self._theirs.episodes(row)[cell.n_ours :]
            self._insert(
                episodes,
                [{"cell_key": cell.key} | e._asdict() | {"run_id": self._run_id(e.run_id)} for e in new],
            )
        self._take_answers(cell, row)

    def _take_answers(self, cell: ComparedCell, row: Row) -> None:
        wanted = {*cell.new_answers, *range(cell.n_ours, cell.n_theirs)}
        kept = self._theirs.answers(row) if wanted else {}
        self._insert(
            answers,
            [{"cell_key": cell.key, "number": i, "labels": labels} for i, labels in kept.items() if i in wanted],
        )

    def _insert(self, table: Any, rows: list[Row]) -> None:
        if rows:
            self._c.execute(insert(table), rows)

    def _run_id(self, theirs: int) -> int:
        """The number here of a run of theirs, which is brought if it is not here yet."""
        if theirs not in self._run_ids:
            row = self._their_runs[theirs]
            values = {name: value for name, value in row.items() if name != "id"}
            here = self._our_runs.get(_content(row))
            if here is None:
                self._run_ids[theirs] = insert_run(self._c, values)
            else:
                self._run_ids[theirs] = here["id"]
                if here["ended_at"] is None:  # it was under way when it was merged before
                    self._c.execute(update(runs).where(runs.c.id == here["id"]).values(values))
        return self._run_ids[theirs]


def _content(run: Row) -> tuple[Any, ...]:
    return tuple(run[name] for name in RUN_CONTENT)
