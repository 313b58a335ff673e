"""`bench cancel`: end the jobs that `bench run --engine` submitted."""

from pathlib import Path

import click

from fewshot_bench.cli.options import engine_options, out_option


@click.command()
@out_option
@engine_options
def cancel(*, out: Path | None, engine: str | None, engine_options: tuple[tuple[str, str], ...]) -> None:
    """Cancel this database's jobs on Slurm or Dask. What they saved stays; bench run continues from it."""
    from fewshot_bench.running.engines.jobs import jobs_at

    click.echo(f"{len(jobs_at(out, engine, dict(engine_options), cancel=True))} jobs are being cancelled", err=True)
