"""`bench list` and `init`: what there is to choose, and a file to choose in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fewshot_bench.cli.options import set_option
from fewshot_bench.cli.output import hanging, terminal_width, written
from fewshot_bench.config import Config, config_file, load, packaged_text
from fewshot_bench.errors import UsageError
from fewshot_bench.methods.names import HEADS, PAPERS, declared
from fewshot_bench.tables.wording import aligned

WIDEST = 1000  # columns of a pipe


@click.command(name="list")
@click.argument("what", type=click.Choice(["methods", "datasets", "grids"]))
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Configuration file.")
@set_option
@click.option("-v", "--verbose", is_flag=True, help="Methods with every setting.")
def list_(*, what: str, config: Path | None, settings: tuple[str, ...], verbose: bool) -> None:
    """List methods (with their papers), data sets or grids."""
    loaded = load(config_file(config), settings)
    is_known = not declared() and all(table.get("method") in PAPERS for table in loaded.methods.values())
    if what == "grids":
        lines = _grids(loaded)
    elif what == "methods" and is_known and not verbose:
        lines = method_lines(loaded.methods)
    else:
        from fewshot_bench.cli.listing_text import lines_of

        lines = lines_of(what, loaded, verbose=verbose)
    click.echo("\n".join(lines))


def _grids(config: Config) -> list[str]:
    lines = []
    for name, grid in config.grids.items():
        trained = sum(len(grid.seeds_of(method, grid.seeds)) for method in grid.everyone)
        size = trained * len(grid.ways) * len(grid.shots)
        once = f" ({grid.seeds[0]} alone: {' '.join(grid.one_seed)})" if grid.one_seed else ""
        told = (
            f"{size} cells: {' '.join(grid.everyone)}; ways {_listed(grid.ways)}; shots {_listed(grid.shots)}; "
            f"seeds {_listed(grid.seeds)}{once}; budget {grid.budget or config.run.budget}; "
            f"protocol {grid.protocol or config.run.protocol}"
        )
        lines.append(hanging(f"{name:<10} ", told, WIDEST))
    return lines


def method_lines(variants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a variant: whose idea it is, and what differs from its method's defaults."""
    rows = [("variant", "paper", "differs from its method in")]
    rows += [(name, _paper(table), _differs(name, table)) for name, table in variants.items()]
    most = terminal_width(WIDEST)
    return [line if len(line) <= most else line[: most - 1] + "…" for line in aligned(rows, left=(0, 1, 2))]


def _paper(variant: Mapping[str, Any]) -> str:
    head = _flat(variant).get("head")
    return HEADS.get(str(head)) or PAPERS.get(variant["method"], "")


def _differs(name: str, variant: Mapping[str, Any]) -> str:
    """maml-mtl: beta=0.25."""
    settings = " ".join(f"{key}={_plain(value)}" for key, value in _flat(variant).items() if key != "method")
    method = variant["method"]
    return settings if method == name else f"{method}: {settings}"


def _flat(variant: Mapping[str, Any]) -> dict[str, Any]:
    """A variant's settings, and those of its rule, which have other names."""
    rule = variant.get("adaptation")
    return {key: value for key, value in variant.items() if key != "adaptation"} | (
        rule if isinstance(rule, dict) else {}
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


@click.command()
def init() -> None:
    """Write bench.toml here: every key, its default and a comment."""
    path = Path("bench.toml")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already; it was left as it is")
    with written(path) as file:
        file.write(packaged_text().encode())
    click.echo(path)
