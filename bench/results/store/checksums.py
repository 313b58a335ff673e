"""Checksums over what is stored, kept up to date row by row: nothing that a command prints changes unnoticed.

A cell has a SHA-256 over its episodes. Rows of `runs`, `trainings` and `cells` have a checksum each over all their
columns; among these are sums over what hangs on the row in other tables, which grow with each row there, in any order.
`census` knows how many rows there are, so that a missing one is noticed. This finds damage and edits, not forgeries.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, insert, select, true, update

from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.store.schema import answers, cells, census, curves, data_sets, episodes, runs, trainings

EDITED = "the file was damaged or edited; restore a copy of it, or take what is whole: bench db salvage"
SEALED = (runs, trainings, cells, data_sets)
Row = dict[str, Any]


def episodes_text(rows: Iterable[Sequence[Any]]) -> bytes:
    """What a cell's SHA-256 is taken of: (number, episode id, number correct, number of queries), in order."""
    return "".join(f"{number} {name} {correct} {queries}\n" for number, name, correct, queries in rows).encode()


def episodes_sha256(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 over a cell's episodes, see `episodes_text`."""
    return hashlib.sha256(episodes_text(rows)).hexdigest()


def answers_sum(before: str, rows: Iterable[Sequence[Any]]) -> str:
    """With (number, labels) of more answers of a cell."""
    return _sum(before, (_hash_text(f'[{number}, "{bytes(labels).hex()}"]') for number, labels in rows))


def curves_sum(before: str, rows: Iterable[Sequence[Any]]) -> str:
    """With (iteration, name, value) of more points of a training's curves."""
    return _sum(before, (_hash(iteration, name, float(value)) for iteration, name, value in rows))


def runs_sum(before: str, rows: Iterable[Sequence[Any]]) -> str:
    """With (run, number + 1) of more episodes of a cell; a run's numbers may have been added up."""
    total = Counter[Any]()
    for run, numbers in rows:
        total[run] += int(numbers)
    return _sum(before, (_hash(run) * numbers for run, numbers in total.items()))


def _sum(before: str, hashes: Iterable[int]) -> str:
    return f"{(int(before or '0', 16) + sum(hashes)) % 2**64:016x}"


def _hash(*values: Any) -> int:
    text = json.dumps(values, sort_keys=True, default=repr)  # repr: a damaged file may hold bytes for a text
    return _hash_text(text)


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def row_checksum(row: Row) -> str:
    """Of all columns of a row but the checksum itself, and an owner's counter."""
    return f"{_hash({name: value for name, value in row.items() if name not in ('checksum', 'counter')}):016x}"


def sealed(row: Row) -> Row:
    """A row to insert, with its checksum."""
    return row | {"checksum": row_checksum(row)}


def seal(c: Connection, table: Table, which: ColumnElement[bool] | None = None) -> None:
    """Give rows, as they are now, their checksum; without `which`, all of them."""
    (key,) = table.primary_key.columns
    for row in c.execute(select(table).where(true() if which is None else which)).mappings().all():
        sealed = update(table).where(key == row[key.name]).values(checksum=row_checksum(dict(row)))
        c.execute(sealed)


def check_seal(where: str, table: Table, row: Row) -> None:
    """Raise DatabaseError, naming the row, where it is not as it was stored."""
    found = row_checksum(row)
    if row.get("checksum", found) != found:  # databases of earlier versions have none
        (key,) = table.primary_key.columns
        what = f"{table.name[:-1]} {row[key.name]}"
        raise DatabaseError(f"{where}: what is stored of {what} does not match its checksum: {EDITED}")


def enter(where: str, c: Connection, table: Table, key: str | int) -> None:
    """Count a row that was inserted. Raises DatabaseError where the count is gone."""
    counted = c.execute(select(census).where(census.c.name == table.name).with_for_update()).first()
    if counted is None:
        raise DatabaseError(f"{where}: the table {table.name} is not whole, nothing counted: {EDITED}")
    now = {"n": counted.n + 1, "keys": _united(counted.keys, [key])}
    c.execute(update(census).where(census.c.name == table.name).values(now))


def check_census(where: str, c: Connection, table: Table, keys: Sequence[str | int]) -> None:
    """Raise DatabaseError where the rows of these keys are not all that were stored."""
    counted = c.execute(select(census).where(census.c.name == table.name)).first()
    if counted is None or (counted.n, int(counted.keys, 16)) != (len(keys), int(_united("0", keys), 16)):
        missing = f"{counted.n - len(keys)} of its rows missing" if counted else "nothing counted"
        if counted and counted.n == len(keys) + 1:  # what is left over is the key
            left = int(_united(counted.keys, keys), 16)
            missing = f"{left.to_bytes(16).strip(bytes(1)).decode(errors='replace')} missing"
        raise DatabaseError(f"{where}: the table {table.name} is not whole, {missing}: {EDITED}")


def _united(before: str, keys: Sequence[str | int]) -> str:
    total = int(before, 16)
    for key in keys:
        total ^= int.from_bytes(str(key).encode(errors="replace")[:16])
    return f"{total:032x}"


def recount(c: Connection, counted: Iterable[Table] = SEALED) -> None:
    """The sums of every training and cell, and the census of some tables, from the rows that are there."""
    for key in c.execute(select(trainings.c.key)).scalars().all():
        points = select(curves.c.iteration, curves.c.name, curves.c.value).where(curves.c.training_key == key)
        values = {"curves_sum": curves_sum("", c.execute(points).all())}
        c.execute(update(trainings).where(trainings.c.key == key).values(values))
    for key in c.execute(select(cells.c.key)).scalars().all():
        kept = select(answers.c.number, answers.c.labels).where(answers.c.cell_key == key)
        values = {
            "answers_sum": answers_sum("", c.execute(kept).all()),
            "runs_sum": runs_sum("", [(run, n) for _, run, n in c.execute(runs_of([key])).all()]),
        }
        c.execute(update(cells).where(cells.c.key == key).values(values))
    c.execute(delete(census))
    for table in counted:
        (key,) = table.primary_key.columns
        keys = c.execute(select(key)).scalars().all()
        c.execute(insert(census).values(name=table.name, n=len(keys), keys=_united("0", keys)))


def runs_of(cell_keys: Iterable[str]) -> Select[Any]:
    """(cell, run, number + 1 added up) of the episodes of cells."""
    numbers = func.sum(episodes.c.number + 1)
    made = select(episodes.c.cell_key, episodes.c.run_id, numbers).where(episodes.c.cell_key.in_(cell_keys))
    return made.group_by(episodes.c.cell_key, episodes.c.run_id)
