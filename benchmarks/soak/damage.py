"""Databases that are changed behind the program's back: whatever changes a printed word is named."""

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import Column, Engine, Table, Text, and_, create_engine, select, text, update
from sqlalchemy.pool import NullPool

from benchmarks.soak.little import Little, Place
from benchmarks.soak.older import url
from benchmarks.soak.victim import Victim
from fewshot_bench import cli, machine
from fewshot_bench.results.store import Claims
from fewshot_bench.results.store.schema import metadata

COMMANDS = (
    "status -v", "status --json", "report --format csv", "compare transfer protonet", "power",
    "export", "why transfer-4w1s-s0", "run -n", "doctor", "merge copy.sqlite -n", "check --against copy.sqlite",
    "db check",
)  # fmt: skip
PLOTS = "report --format html"  # takes as long as all others together
PAGE_BYTES = 4096
DAMAGED = 6  # exit code
ALARM = "damaged or edited"  # what `bench status` and `doctor` say beside what they can read
Said = dict[str, tuple[int, str]]  # command -> exit code, and what it printed


@dataclass(frozen=True)
class Change:
    """Something that is done to a database."""

    name: str
    do: Callable[[], object]
    undo: Callable[[], object]
    is_edit: bool = False  # of a value


def mutate(little: Little, kind: str, n: int, rng: random.Random, *, plots: bool) -> tuple[Counter[str], list[str]]:
    """Change a finished database n times, in every column, too: what became of it, and what is wrong with that.

    plots: are looked at, too, where a value was edited
    """
    with little.temporary(kind) as place:
        assert Victim(place, "run").wait() == 0
        with mock.patch.object(machine, "host", return_value="elsewhere-00000000"):  # who is at work is printed, too
            claims = Claims(place.where, 1)
            claims.claim(("cell", "a" * 16), "transfer-4w1s-s7")
        keys = [str(row[0]) for row in place.content()["cells"]]
        commands = [*COMMANDS, *(f"show {key}" for key in keys)]
        engine = create_engine(url(place.where), poolclass=NullPool)
        changes = list(_edits(engine, rng))
        if kind == "sqlite":
            shutil.copy(place.where, place.folder / "copy.sqlite")
            changes += _damages(Path(place.where), n - len(changes), rng)
        else:
            commands = [command for command in commands if "copy.sqlite" not in command]
        all_commands = [*commands, PLOTS] if plots else commands
        wanted, found, faults = _said(place, all_commands), Counter[str](), list[str]()
        for change in rng.sample(changes, min(n, len(changes))):
            change.do()
            said = _said(place, all_commands if change.is_edit else commands)
            outcome, wrong = _judged(change.name, wanted, said)
            change.undo()
            found[outcome] += 1
            faults += wrong
    return found, faults


def _judged(name: str, wanted: Said, found: Said) -> tuple[str, list[str]]:
    """In a word what became of a change, and what is wrong with that."""
    faults = []
    for command, (code, said) in found.items():
        changed = set(said.splitlines()) ^ set(wanted[command][1].splitlines())
        silent = changed and code != DAMAGED and not any(ALARM in line for line in changed)
        if "Traceback" in said or silent or (code == DAMAGED and "bench: error: " not in said):
            faults.append(f"{name}: bench {command}: exit {code}: {' | '.join(sorted(changed))[:400]}")
    named = any(code == DAMAGED for code, _ in found.values())
    return "printed" if faults else "named" if named else "printed nowhere", faults


def _said(place: Place, commands: list[str]) -> Said:
    """What every command says, called one after the other in one process."""

    def act() -> None:
        for command in commands:
            sys.argv = ["bench", *command.split()]
            print(f"\0{command}\1", flush=True)
            try:
                cli.main()
            except SystemExit as ending:
                print(f"\2{ending.code}", end="", flush=True)

    victim = Victim(place, act=act)
    victim.wait()
    found = {}
    for part in victim.said().split("\0")[1:]:
        command, _, rest = part.partition("\1\n")
        said, _, code = rest.rpartition("\2")
        found[command] = (int(code or -1), said)
    victim.log.unlink()
    return found


def _damages(path: Path, n: int, rng: random.Random) -> Iterator[Change]:
    """Of a file: flipped bits, zeroed pages, and its end cut off."""
    whole = path.read_bytes()
    for number in range(n):
        content, place = bytearray(whole), rng.randrange(len(whole))
        if number % 4 == 0:
            name, content[place:] = f"cut at {place}", b""
        elif number % 4 == 1:
            place -= place % PAGE_BYTES
            name, content[place : place + PAGE_BYTES] = f"page at {place} zeroed", bytes(PAGE_BYTES)
        else:
            bit = rng.randrange(8)
            name, content[place] = f"bit {bit} of byte {place} flipped", content[place] ^ 1 << bit
        yield Change(name, partial(path.write_bytes, content), partial(path.write_bytes, whole))


def _edits(engine: Engine, rng: random.Random) -> Iterator[Change]:
    """Another value in every column of every table, in a row chosen by chance."""
    for table in metadata.sorted_tables:
        with engine.connect() as c:
            rows = [dict(row) for row in c.execute(select(table)).mappings()]
        for column in table.columns if rows else ():
            row = rng.choice(rows)
            new = row | {column.name: _other(row[column.name], column)}
            name = f"{table.name}.{column.name} = {str(new[column.name])[:40]!r}"
            yield Change(
                name, partial(_put, engine, table, row, new), partial(_put, engine, table, new, row), is_edit=True
            )


def _put(engine: Engine, table: Table, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """One row in the place of another, whatever refers to it."""
    where = and_(*(column == old[column.name] for column in table.primary_key.columns))
    with engine.begin() as c:
        if c.dialect.name == "postgresql":
            c.execute(text("SET session_replication_role = replica"))
        c.execute(update(table).where(where).values(dict(new)))


def _other(value: Any, column: Column[Any]) -> Any:
    kind = column.type.python_type
    if kind is bool:
        return not value
    if kind is bytes:
        return bytes([value[0] ^ 1]) + value[1:]
    if kind is not str:
        return kind((value or 0) + (1000 if column.primary_key else 1))
    if not value or not isinstance(column.type, Text):
        return f"{(value or '')[:-1]}{'0' if (value or '')[-1:] != '0' else '1'}"
    return value.replace("0", "1", 1) if "0" in value else f"{value}0"
