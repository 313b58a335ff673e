"""`bench status` and `show`: looking at what is stored; `cancel`: ending the jobs that `status` lists."""

import dataclasses
import json
from pathlib import Path

import click

from fewshot_bench.cli.doctor import alarm_text
from fewshot_bench.cli.options import database_in, engine_options, json_option, out_option, stored_options
from fewshot_bench.experiment.selection import Selection, place_of
from fewshot_bench.tables.wording import padded


@click.command()
@out_option
@click.option("-v", "--verbose", is_flag=True, help="Every cell, with its key.")
@json_option
@engine_options
def status(
    *, out: Path | None, verbose: bool, as_json: bool, engine: str | None, engine_options: tuple[tuple[str, str], ...]
) -> None:
    """Summarise the database. (What a grid still lacks: bench run -n.)"""
    from fewshot_bench.cli.status_text import jobs_of, overview

    jobs, told = jobs_of(out, engine, dict(engine_options))
    counts, cells, alarms = overview(database_in(out))
    if as_json:
        rung = None if alarms is None else [dataclasses.asdict(alarm) for alarm in alarms]
        click.echo(json.dumps(dataclasses.asdict(counts) | {"cells": cells, "alarms": rung, "jobs": jobs}))
        return
    # "running" in the database stays where a run was stopped: who works now is told by `at work`
    called = {"running": "begun"}
    states = ", ".join(f"{n} {called.get(state, state)}" for state, n in sorted(counts.trainings.items())) or "none"
    click.echo(f"trainings: {states}")
    click.echo(f"cells:     {counts.cells - counts.failed_cells} with results, {counts.failed_cells} failed")
    click.echo(f"episodes:  {counts.episodes}")
    if last := counts.last_run:
        ended = f"exit code {last['exit_code']}" if last["exit_code"] is not None else "not ended, or killed"
        click.echo(f"last run:  {last['started_at']}  {last['command']}  ({ended})")
    for unit in counts.at_work:
        click.echo(f"at work:   {unit['name']}, {unit['who']}, since {unit['since']}")
    if told:
        click.echo(f"jobs:      {told}")
    if alarms is None:
        click.echo(f"alarms:    not looked for among {counts.episodes} episodes: bench doctor")
    else:
        click.echo(f"alarms:    {len(alarms) or 'none'} (bench doctor also checks images and models)")
    for alarm in alarms or ():
        click.echo(alarm_text(alarm))
    for cell in cells:
        if verbose or cell["reason"]:
            name = place_of(cell).name
            state = f"failed: {cell['reason']}" if cell["reason"] else f"{cell['n_episodes']} episodes"
            where = cell["label"].rsplit(" ", 1)[0]
            click.echo(f"  {cell['key']}  {padded(name, 28)} {where}  {state}")


@click.command()
@click.argument("cell")
@stored_options
@json_option
def show(*, cell: str, selection: Selection, as_json: bool) -> None:
    """Show every fact behind one number. CELL is its name (maml-5w1s-s0), its key, or the beginning of that."""
    from fewshot_bench.cli.status_text import shown

    click.echo(shown(database_in(selection.out), cell, as_json=as_json))


@click.command()
@out_option
@engine_options
def cancel(*, out: Path | None, engine: str | None, engine_options: tuple[tuple[str, str], ...]) -> None:
    """Cancel this database's jobs on Slurm or Dask. What they saved stays; bench run continues from it."""
    from fewshot_bench.running.engines import jobs_at

    jobs, _ = jobs_at(out, engine, dict(engine_options), cancel=True)
    click.echo(f"{len(jobs)} jobs are being cancelled", err=True)
