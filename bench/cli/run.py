"""`bench run`: do what is missing of the grid."""

import click

from fewshot_bench.cli.options import engine_options, means_options, selection_options
from fewshot_bench.config import MOST_EPISODES
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import HERE, Means, Selection


@click.command()
@selection_options
@means_options
@click.option("--training", metavar="KEY", help="Only this training, without its cells.")
@engine_options
@click.option("--detach", is_flag=True, help="Submit an engine's jobs and do not wait for them.")
@click.option(
    "--until",
    type=click.Choice(["separated"]),
    help="Then add episodes in planned interim analyses, until every pair is decided or --max-episodes is reached.",
)
@click.option(
    "--max-episodes",
    type=click.IntRange(2, MOST_EPISODES),
    metavar="N",
    help="Most episodes of a cell with --until.  [default: 8 times the first analysis']",
)
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan and stop; writes no result.")
@click.option("-q", "--quiet", "verbosity", flag_value=-1, type=int, default=0, help="Only errors.")
@click.option("-v", "--verbose", "verbosity", flag_value=1, type=int, help="Also losses, and tracebacks of failures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finished cell on stdout; with -n the plan.")
def run(
    *, selection: Selection, means: Means, until: str | None, max_episodes: int | None, dry_run: bool,
    verbosity: int, as_json: bool,
) -> int:  # fmt: skip
    """Train and evaluate what is missing of the grid.

    Results are stored as they are computed: after an interruption, run the same command again. docs/statistics.md
    explains --until.
    """
    from fewshot_bench.cli.run_screen import RunScreen

    if max_episodes and not until:
        raise UsageError("--max-episodes needs --until separated")
    with RunScreen(verbosity, as_json=as_json) as screen:
        chosen = screen.choose(selection)
        engine = screen.engine(chosen, means)
        if until and engine != HERE:
            raise UsageError(
                f"--until needs each result before it continues, which --engine {engine} cannot give; use here"
            )
        if until and means.training is not None:
            raise UsageError("--until compares tests, and --training tests nothing: leave one of them out")
        if means.detach and engine == HERE:
            raise UsageError("--detach leaves jobs to an engine: name one, --engine slurm or dask")
        if means.training is not None and engine != HERE:
            raise UsageError(f"--training is one job's own work: --engine {HERE}")
        if means.jobs is not None and engine != HERE and not dry_run:
            raise UsageError(
                f"--jobs counts processes of this machine; {engine} decides how many of its jobs run at once"
            )
        if until:
            return screen.until_separated(chosen, means, max_episodes, dry_run=dry_run)
        if dry_run:
            return screen.plan(chosen, means, engine)
        if engine == HERE:
            return screen.run(chosen, means)
        return screen.drive(chosen, means, engine)
