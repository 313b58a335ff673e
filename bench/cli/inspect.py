"""`bench status`, `show`, `list` and `init`: looking without computing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from fewshot_bench.cli.options import database_in, json_option, out_option
from fewshot_bench.config import config_file, load, packaged_text
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import place_of


@click.command()
@out_option
@click.option("-v", "--verbose", is_flag=True, help="Every cell, with its key.")
@json_option
def status(*, out: Path | None, verbose: bool, as_json: bool) -> None:
    """What the database holds. (What a grid still lacks: bench run -n.)"""
    from fewshot_bench.cli.doctor import alarm_text
    from fewshot_bench.doctor.stored_alarms import stored_alarms
    from fewshot_bench.results.store import Reader

    reader = Reader(database_in(out))
    counts, cells = reader.counts(), reader.all_cells()
    alarms = stored_alarms(reader, counts.episodes)
    if as_json:
        rung = None if alarms is None else [dataclasses.asdict(alarm) for alarm in alarms]
        click.echo(json.dumps(dataclasses.asdict(counts) | {"cells": cells, "alarms": rung}))
        return
    states = ", ".join(f"{n} {state}" for state, n in sorted(counts.trainings.items())) or "none"
    click.echo(f"trainings: {states}")
    click.echo(f"cells:     {counts.cells - counts.failed_cells} with results, {counts.failed_cells} failed")
    click.echo(f"episodes:  {counts.episodes}")
    if last := counts.last_run:
        ended = f"exit code {last['exit_code']}" if last["exit_code"] is not None else "not ended, or killed"
        click.echo(f"last run:  {last['started_at']}  {last['command']}  ({ended})")
    if alarms is None:
        click.echo(f"alarms:    not looked for among {counts.episodes} episodes: bench doctor")
    else:
        click.echo(f"alarms:    {len(alarms) or 'none'} (bench doctor looks at images and models, too)")
    for alarm in alarms or ():
        click.echo(alarm_text(alarm))
    for cell in cells:
        if verbose or cell["reason"]:
            name = place_of(cell).name
            state = f"failed: {cell['reason']}" if cell["reason"] else f"{cell['n_episodes']} episodes"
            where = cell["label"].rsplit(" ", 1)[0]
            click.echo(f"  {cell['key']}  {name:<28} {where}  {state}")


@click.command()
@click.argument("cell")
@out_option
@json_option
def show(*, cell: str, out: Path | None, as_json: bool) -> None:
    """Every fact behind one number. CELL is its key, or the beginning of it."""
    from fewshot_bench.cli.screen import accuracy, duration
    from fewshot_bench.results.store import Reader
    from fewshot_bench.results.store.writing import counts

    facts = Reader(database_in(out)).cell(cell)
    if as_json:
        document = dataclasses.asdict(facts) | {"episodes": [counts(result) for result in facts.episodes]}
        click.echo(json.dumps(document))
        return
    row, training, run = facts.cell, facts.training, facts.run
    lines: list[tuple[str, Any]] = [
        ("cell", row["key"]),
        ("variant", f"{row['variant']}, seed {row['seed']}"),
        ("setting", f"{row['n_way']}-way {row['n_shot']}-shot, {row['n_query']} queries a class"),
    ]
    if facts.episodes:
        lines.append(("accuracy", f"{accuracy(facts.episodes)} over {len(facts.episodes)} episodes"))
    if row["reason"]:
        lines.append(("failed", row["reason"]))
    lines += [
        ("episodes", f"SHA-256 {row['sha256']}, {duration(row['seconds'])}"),
        ("repeat", row["command"]),
        ("training", f"{training['key']}, {training['state']}, iteration {training['iteration']}"),
        ("cost", f"{duration(training['seconds'])}, {training['images_seen']} images, "
                 f"{training['peak_memory_bytes'] / 2**20:.0f} MiB, on {training['device']}"),
        ("weights", f"SHA-256 {training['checkpoint']}" if training["checkpoint"] else "none"),
        ("run", f"{run['started_at']}  {run['command']}"),
        ("code", (run["git_commit"] or "not a checkout") + (" with uncommitted changes" if run["git_dirty"] else "")),
        *run["facts"].items(),
    ]  # fmt: skip
    for name, value in lines:
        click.echo(f"{name:<14} {value}")
    click.echo("identity")
    for name, value in (training["identity"] | {f"test {k}": v for k, v in row["identity"].items()}).items():
        click.echo(f"  {name:<16} {json.dumps(value)}")


@click.command(name="list")
@click.argument("what", type=click.Choice(["methods", "datasets", "grids"]))
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
def list_(*, what: str, config: Path | None) -> None:
    """The known methods (with every setting), data sets or grids."""
    loaded = load(config_file(config))
    if what == "methods":
        from fewshot_bench.experiment.grid import variant

        for name, found in {name: variant(loaded, name) for name in loaded.methods}.items():  # all or none
            settings = ", ".join(f"{k} = {json.dumps(v)}" for k, v in dataclasses.asdict(found.settings).items())
            click.echo(f"{name:<22} {found.method}: {settings}")
    elif what == "datasets":
        from fewshot_bench.cli.data_text import formats_text

        click.echo(formats_text())
    else:
        for name, grid in loaded.grids.items():
            size = len(grid.methods) * len(grid.ways) * len(grid.shots) * len(grid.seeds)
            click.echo(
                f"{name:<22} {size} cells: {' '.join(grid.methods)}; ways {grid.ways}, shots {grid.shots}, "
                f"seeds {grid.seeds}, budget {grid.budget or loaded.run.budget}, "
                f"protocol {grid.protocol or loaded.run.protocol}"
            )


@click.command()
def init() -> None:
    """Write bench.toml, every key with its default and a comment, into this folder."""
    path = Path("bench.toml")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already; it was left as it is")
    try:
        path.write_text(packaged_text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(path)
