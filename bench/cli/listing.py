"""`bench list` and `init`: what there is to choose, and a file to choose in."""

import dataclasses
import json
from pathlib import Path

import click

from fewshot_bench.cli.output import written
from fewshot_bench.config import Config, config_file, load, packaged_text
from fewshot_bench.errors import UsageError


@click.command(name="list")
@click.argument("what", type=click.Choice(["methods", "datasets", "grids"]))
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
def list_(*, what: str, config: Path | None) -> None:
    """The known methods (with every setting), data sets or grids."""
    loaded = load(config_file(config))
    if what == "methods":
        _list_methods(loaded)
    elif what == "datasets":
        from fewshot_bench.cli.data_text import formats_text

        click.echo(formats_text())
    else:
        for name, grid in loaded.grids.items():
            trained = sum(len(grid.seeds_of(method, grid.seeds)) for method in grid.everyone)
            size = trained * len(grid.ways) * len(grid.shots)
            once = f" ({grid.seeds[0]} alone: {' '.join(grid.one_seed)})" if grid.one_seed else ""
            click.echo(
                f"{name:<22} {size} cells: {' '.join(grid.everyone)}; ways {grid.ways}, shots {grid.shots}, "
                f"seeds {grid.seeds}{once}, budget {grid.budget or loaded.run.budget}, "
                f"protocol {grid.protocol or loaded.run.protocol}"
            )


def _list_methods(loaded: Config) -> None:
    """Every variant, its settings, and what it inherits from where."""
    from fewshot_bench.experiment.grid import for_family, inherited, variants

    found, wrong = variants(loaded)
    for v in found:
        told = {name: json.dumps(value, default=str) for name, value in dataclasses.asdict(v.settings).items()}
        click.echo(f"{v.name:<22} {v.method}: {', '.join(f'{name} = {value}' for name, value in told.items())}")
        by_source: dict[str, list[str]] = {}
        for name, (value, source) in inherited(loaded, loaded.run.budget, v).items():
            by_source.setdefault(source, []).append(f"{name} = {json.dumps(value)}")
        for family in loaded.families:
            for name, value in for_family(loaded, v.method, family).items():
                if name not in loaded.methods.get(v.name, {}):
                    by_source.setdefault(f"[families.{family}]", []).append(f"{name} = {json.dumps(value)}")
        for source, values in by_source.items():
            click.echo(f"{'':<22}   {source}: {', '.join(values)}")
    for problem in wrong:
        click.echo(f"bench: {problem}", err=True)


@click.command()
def init() -> None:
    """Write bench.toml, every key with its default and a comment, into this folder."""
    path = Path("bench.toml")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already; it was left as it is")
    with written(path) as file:
        file.write(packaged_text().encode())
    click.echo(path)
