"""`bench merge`: another database's results, united with ours where nothing contradicts it."""

from pathlib import Path

import click

from fewshot_bench.cli.options import dry_run_option, json_option, out_folder, out_option


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
