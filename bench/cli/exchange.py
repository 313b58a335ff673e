"""`bench export`, `import` and `merge`: results as a long table, one row an episode, and back; two databases united."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from fewshot_bench.cli.options import database_in, dry_run_option, json_option, out_folder, out_option
from fewshot_bench.cli.output import written
from fewshot_bench.errors import BenchError, UsageError
from fewshot_bench.files import NO_TEMPORARY, OTHER_TEMPORARY, temporary_folder


@click.command()
@out_option
@click.option("-k", "expression", metavar="EXPR", help="Only cells whose name (maml-5w1s-s0) matches.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "parquet"]),
    help="Format of the table.  [default: parquet for FILE.parquet, else csv]",
)
@click.option("-o", "--output", metavar="FILE|-", default="-", help="Where to write; - is stdout.  [default: -]")
def export(*, out: Path | None, expression: str | None, format_: str | None, output: str) -> None:
    """Export every episode as a row of one long table.

    \b
    cell_key                  the cell: what one number of a table is made of
    variant method n_way n_shot n_query seed split label   the cell in words
    number episode_id         equal ids: the same images, whatever the method
    n_correct n_queries       integers; their quotient is the accuracy
    answers                   x, then the label given to each query, in hex
    training_key weights      the training, and the SHA-256 of its weights
    cell_facts training_facts curves unmeasured
                              JSON on first rows only: what import needs

    `bench import` takes the file back. It needs cell_key, number, episode_id, n_correct, n_queries, and the facts on
    any one row of each cell that the database does not know. To analyse simulated results: change n_correct, drop
    the column answers, and import into another folder. In pandas, read CSV with low_memory=False and
    dtype=dict.fromkeys(["cell_key", "episode_id", "training_key"], str). One variant at several budgets
    or by several rules is told apart by its label: choose by it before a mean is taken.
    """
    from fewshot_bench.results.exchange.export import write_table

    if not format_ and output != "-" and Path(output).suffix not in ("", ".csv", ".parquet"):
        raise UsageError(f"{output} ends neither in .csv nor in .parquet: name its format with --format")
    is_parquet = format_ == "parquet" if format_ else output.endswith(".parquet")
    if output == "-" and is_parquet and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal: name a file with -o")
    with ExitStack() as stack:
        try:  # in a file first: a reader that pauses would hold the database, and runs wait for it
            table = stack.enter_context(tempfile.TemporaryFile())
            n = write_table(database_in(out), expression, table, as_parquet=is_parquet)
            table.seek(0)
        except OSError as error:
            raise UsageError(f"{NO_TEMPORARY} ({error.strerror}): {OTHER_TEMPORARY}") from None
        if output == "-":
            if sys.stdout.isatty():  # which must not be given names as they are stored
                click.echo(table.read().decode(), nl=False)
                return
            sys.stdout.flush()
            shutil.copyfileobj(table, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with written(Path(output)) as file:
            shutil.copyfileobj(table, file)
    click.echo(f"{output}: {n:,} episodes", err=True)


@click.command(name="import")
@click.argument("file", metavar="FILE|-")
@out_option
@dry_run_option
@json_option
def import_(*, file: str, out: Path | None, dry_run: bool, as_json: bool) -> None:
    """Import a table that `bench export` wrote, or with its columns.

    Works as `bench merge` does: equal results are skipped; different ones for the same episode are listed as conflicts
    (exit 6), and nothing is changed. FILE is CSV (also packed, .xz) or Parquet, and - is stdin. Each imported row
    records the file and its SHA-256 as its origin (bench show).
    """
    from fewshot_bench.cli.merge_text import imported

    command = shlex.join(["bench", *sys.argv[1:]])
    with _as_file(file) as path:
        for said in imported(path, out_folder(out), command, dry_run=dry_run, as_json=as_json):
            click.echo(said)


@contextmanager
def _as_file(name: str) -> Iterator[Path]:
    """The file of a name; for "-" one with all of stdin in it, as a table is read twice."""
    if name != "-":
        yield Path(name)
        return
    with temporary_folder() as folder:
        path = folder / "stdin"
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            raise UsageError(f"{NO_TEMPORARY} ({error.strerror}): {OTHER_TEMPORARY}") from None
        try:
            yield path
        except BenchError as error:  # the file is none of the user's
            raise type(error)(str(error).replace(str(path), path.name)) from None


@click.command()
@click.argument("other", metavar="OTHER.sqlite")
@out_option
@dry_run_option
@json_option
def merge(*, other: str, out: Path | None, dry_run: bool, as_json: bool) -> None:
    """Merge the results of another database: all of them or none.

    OTHER.sqlite is a path (of the file or its folder) or a URL; it is only read. Results are matched by key. An episode
    with equal counts in both is skipped, and confirms that the number repeats; different counts are a conflict: each
    is listed, nothing is changed, exit 6. So is a training with different weights (SHA-256) if results of both would
    be combined. A finished training or cell replaces a failed or unfinished one. Checkpoints beside OTHER.sqlite are
    copied. Terms: docs/storage.md.
    """
    from fewshot_bench.cli.merge_text import merged

    for said in merged(other, out_folder(out), dry_run=dry_run, as_json=as_json):
        click.echo(said)
