"""`bench db`: is the results database whole, and what can be saved of one that is not."""

from pathlib import Path

import click

from fewshot_bench.cli.options import out_folder, out_option
from fewshot_bench.errors import DatabaseError
from fewshot_bench.files import database, is_there
from fewshot_bench.results.passwords import without_password


@click.group()
def db() -> None:
    """Check the results database, or salvage a damaged one."""


@db.command()
@out_option
def check(*, out: Path | None) -> None:
    """Check the file, references, every checksum, and keys against identities.

    Lists each damaged row on stdout and exits 6 if there is one, or if an earlier version made the database.
    """
    from fewshot_bench.results.store.salvage import examine

    where = database(out_folder(out))
    found = examine(where)
    if found.damage:
        click.echo("\n".join(found.damage))
        raise DatabaseError(f"{without_password(where)}: {len(found.damage)} damaged; bench db salvage saves the rest")
    if found.old:
        raise found.old
    click.echo(f"whole: {_counted(found.n_stored)}")


@db.command()
@click.argument("other", metavar="OTHER.sqlite", type=click.Path(dir_okay=False, path_type=Path))
@out_option
def salvage(*, other: Path, out: Path | None) -> None:
    """Copy every intact cell of the results database to a new file, OTHER.sqlite.

    If OTHER.sqlite exists and our database does not, copies from OTHER.sqlite to ours. The damaged file is only read;
    what is not copied is listed on stdout.
    """
    from fewshot_bench.results.store import salvage as saving

    where, target = database(out_folder(out)), other
    if is_there(other) and "://" not in where and not is_there(Path(where)):
        where, target = str(other), Path(where)
    found = saving.salvage(where, target)
    click.echo("\n".join(found.damage), nl=bool(found.damage))
    taken = {name: len(rows) for name, rows in found.intact.items()}
    click.echo(f"{target}: {_counted(taken)}, of {_counted(found.n_stored)}", err=True)


def _counted(n: dict[str, int]) -> str:
    return ", ".join(f"{n[name]:,} {name}" for name in ("runs", "trainings", "cells", "episodes"))
