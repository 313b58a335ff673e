"""Another's results and weights, united with ours."""

from pathlib import Path

from fewshot_bench.errors import UsageError
from fewshot_bench.files import checkpoints, database, database_at
from fewshot_bench.results.exchange.importing import merge_file
from fewshot_bench.results.provenance import collect
from fewshot_bench.results.store import merging
from fewshot_bench.results.store.comparing import Comparison
from fewshot_bench.results.store.engine import is_same, sqlite_path
from fewshot_bench.running.weights import Brought, bring


def merge(other: str, out: Path, *, dry_run: bool) -> tuple[Comparison, Brought]:
    """What another database holds, into that of `out`, all or nothing; the weights beside it are copied.

    other: path of the file or its folder, or a URL
    """
    ours, theirs = database(out), database_at(other)
    path = sqlite_path(theirs)
    if path and not path.exists():
        raise UsageError(f"{other}: there is no such file")
    if is_same(ours, theirs):
        raise UsageError(f"{other} is our own database; choose another, or another --out")
    found = merging.merge(ours, theirs, dry_run=dry_run)
    source = checkpoints(path.parent) if path else None
    return found, bring(found.weights, source, checkpoints(out), dry_run=dry_run or found.forbidden)


def import_file(file: Path, out: Path, command: str, *, dry_run: bool) -> tuple[Comparison, Brought]:
    """What a file of exported results holds, into the database of `out`; a table holds no weights."""
    found = merge_file(file, database(out), collect(command, "", 0, 0), dry_run=dry_run)
    return found, bring(found.weights, None, checkpoints(out), dry_run=True)
