"""`bench tune`: choose how each method is fitted at test, on classes that nobody reports."""

from pathlib import Path

import click

from fewshot_bench.cli.options import means_options, selection_options
from fewshot_bench.experiment.selection import Means, Selection


@click.command()
@selection_options
@means_options
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="tuned.toml", show_default=True,
    help="File to write the chosen rules to.",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Print the candidates and their cost; train nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def tune(*, selection: Selection, means: Means, output: Path, dry_run: bool, quiet: bool) -> int:
    """Choose each method's adaptation rule on held-out base classes.

    Every method gets the same candidates, those of [tuning], on the same episodes; novel classes are never used. So
    --split, --novel-data, --episodes and --rules are refused. The resulting file is for bench run --rules.
    """
    from fewshot_bench.cli.tune_screen import TuneScreen

    with TuneScreen(-1 if quiet else 0) as screen:
        return screen.tune(selection, means, output, dry_run=dry_run)
