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
    """Add the results of another database to ours, all of them or none.

    OTHER.sqlite is a path (of the file or its folder) or a URL; it is only read. Results are united by key. An
    episode with equal counts on both sides is skipped, and proves that the number repeats; one with other counts
    is a conflict: each is listed, nothing is changed, exit 6. So is a training with other weights (SHA-256), if
    results of theirs would come to stand beside results of ours. A finished training or cell takes the place of a
    failed or unfinished one. Checkpoints beside OTHER.sqlite are copied. Words: docs/statistics.md.
    """
    from fewshot_bench.cli.merge_text import merged

    for said in merged(other, out_folder(out), dry_run=dry_run, as_json=as_json):
        click.echo(said)
