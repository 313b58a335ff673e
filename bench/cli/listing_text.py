"""What `bench list` says that takes long to import: methods of other packages, every setting, data sets."""

import dataclasses
import json
from collections.abc import Iterator

import click

from fewshot_bench.cli.data_text import formats_text
from fewshot_bench.cli.listing import WIDEST, method_lines
from fewshot_bench.cli.output import hanging
from fewshot_bench.config import Config
from fewshot_bench.experiment.grid import Variant, for_family, inherited, variants


def lines_of(what: str, config: Config, *, verbose: bool) -> list[str]:
    """The lines of a list; what is wrong with methods that cannot be used is said on stderr."""
    if what == "datasets":
        return [formats_text()]
    found, wrong = variants(config)
    for problem in wrong:
        click.echo(f"bench: {problem}", err=True)
    if verbose:
        return [line for v in found for line in _settings(config, v)]
    return method_lines({v.name: config.methods.get(v.name, {"method": v.name}) for v in found})


def _settings(config: Config, v: Variant) -> Iterator[str]:
    """A variant's settings, and what it inherits from where."""
    told = [f"{name} = {json.dumps(value, default=str)}" for name, value in dataclasses.asdict(v.settings).items()]
    yield hanging(f"{v.name:<22} ", f"{v.method}: {', '.join(told)}", WIDEST)
    by_source: dict[str, list[str]] = {}
    for name, (value, source) in inherited(config, config.run.budget, v).items():
        by_source.setdefault(source, []).append(f"{name} = {json.dumps(value)}")
    for family in config.families:
        for name, value in for_family(config, v.method, family).items():
            if name not in config.methods.get(v.name, {}):
                by_source.setdefault(f"[families.{family}]", []).append(f"{name} = {json.dumps(value)}")
    for source, values in by_source.items():
        yield hanging(f"{'':<23}  ", f"{source}: {', '.join(values)}", WIDEST)
