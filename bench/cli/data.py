"""`bench data`: what can be read, what is in a data set, and what is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

import click

from fewshot_bench.cli.options import gathered, json_option, set_option
from fewshot_bench.errors import UsageError


@click.group()
def data() -> None:
    """Describe, prepare and check data sets.

    SOURCE is a name, a folder or an archive. Its format is recognised; FORMAT:PATH says which it is.
    """


@dataclass(frozen=True)
class Asked:
    """Which data set is meant, and how it is to be looked at."""

    source: str
    image_size: int | None
    settings: tuple[str, ...]
    quiet: bool
    split: str | None = None


# name a data set: a command's `asked`, with the split and -q where it has them
source_options = gathered(Asked, "asked", [
    click.argument("source"),
    click.option("--image-size", type=click.IntRange(min=0), metavar="N",
                 help="Side in pixels to resize to; 0 = as stored.  [default: as bench.toml]"),
    set_option,
])  # fmt: skip
split_option = click.option(
    "--split", metavar="NAME", help="Split: paper, ravi, ravi-val, or a published one.  [default: as bench.toml]"
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")


@data.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List data sets by name, formats, and what is prepared in the cache."""
    from fewshot_bench.cli.data_text import listed

    click.echo(listed(as_json=as_json))


@data.command()
@source_options
@split_option
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="Write a picture of some images of some classes.")  # fmt: skip
@json_option
@quiet_option
def describe(*, asked: Asked, sheet: Path | None, as_json: bool) -> None:
    """Describe a data set: format, size, classes, pixels, and the largest episodes of each split."""
    from fewshot_bench.cli.data_text import described

    if sheet and sheet.suffix.lower() != ".png":
        named = sheet.parent / f"{sheet.stem or 'sheet'}.png"  # '' and / have no name
        raise UsageError(f"--sheet {sheet}: the picture is a PNG, so name it {named}")
    for said in described(asked, sheet, as_json=as_json):
        click.echo(said)


@data.command()
@source_options
@json_option
@quiet_option
def prepare(*, asked: Asked, as_json: bool) -> None:
    """Decode a data set into the cache now.

    Other commands then open it from there.
    """
    from fewshot_bench.cli import data_text

    click.echo(data_text.prepare(asked, as_json=as_json))


@data.command()
@source_options
@split_option
@json_option
@quiet_option
def check(*, asked: Asked, as_json: bool) -> int:
    """Look for duplicates, blank images and small classes.

    Classes of a published split are compared with it. docs/statistics.md defines each alarm; `bench doctor` checks
    results and models as well. Exits 0 without alarms, 3 with any.
    """
    from fewshot_bench.cli.data_text import checked

    code, said = checked(asked, as_json=as_json)
    click.echo(said)
    return code
