"""`bench data`: what can be read, what is in a data set, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.data_text import fact_table, formats_text, prepared_table
from fewshot_bench.cli.options import F, json_option
from fewshot_bench.cli.output import write_file
from fewshot_bench.config import config_file, load
from fewshot_bench.errors import DataError, UsageError
from fewshot_bench.files import cache_folder

if TYPE_CHECKING:
    from fewshot_bench.config import Config
    from fewshot_bench.data.describing import Prepared
    from fewshot_bench.data.images import ImageSet

ALARMED = 3
SHEET_CLASSES, SHEET_IMAGES = 8, 12  # of base and of novel classes each; of a class


@dataclasses.dataclass(frozen=True)
class Opened:
    """A data set as a command line named it; n_decoded: images that were decoded for it now."""

    images: ImageSet
    format: str
    prepared: Prepared
    n_decoded: int
    seconds: float


@click.group()
def data() -> None:
    """What is in a data set, and what is wrong with it.

    SOURCE is a name, a folder or an archive. Its format is recognised; FORMAT:PATH says which it is.
    """


def source_options(command: F) -> F:
    """Add the data set and its image size."""
    size = click.option("--image-size", type=click.IntRange(min=0), metavar="N",
                        help="Side in pixels to resize to; 0 = as stored.  [default: as bench.toml]")  # fmt: skip
    return click.argument("source")(size(command))


split_option = click.option(
    "--split", metavar="NAME", help="Split: paper, ravi, ravi-val, or a published one.  [default: as bench.toml]"
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")


@data.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """What can be read, and what is prepared.

    The data sets that have a name, the formats that are recognised, and what lies in the cache.
    """
    from fewshot_bench.data import FORMATS, NAMED
    from fewshot_bench.data.describing import prepared_sets

    cache = cache_folder()
    found = prepared_sets(cache)
    if as_json:
        expects = {name: layout.EXPECTS for name, layout in FORMATS.items()}
        prepared = [dataclasses.asdict(one) for one in found]
        document = {"schema": 1, "named": list(NAMED), "formats": expects, "cache": str(cache), "prepared": prepared}
        click.echo(json.dumps(document))
        return
    click.echo(formats_text())
    click.echo(f"\nPrepared, in {cache}\n{prepared_table(found) if found else '  nothing yet'}")


@data.command()
@source_options
@split_option
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="Write a picture of some images of some classes.")  # fmt: skip
@json_option
@quiet_option
def describe(
    *, source: str, image_size: int | None, split: str | None, sheet: Path | None, as_json: bool, quiet: bool
) -> None:
    """What is in a data set, and what it allows.

    Its format, size, classes and pixels, and the largest episodes of each split.
    """
    from fewshot_bench.data.describing import describe as description_of
    from fewshot_bench.data.images import SPLITS

    if sheet and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: the picture is a PNG, so name it {sheet.with_suffix('.png')}")
    config = _config()
    sheet_split = _checked_split(split, config)
    opened = _open(source, image_size, config, quiet)
    splits = [split] if split else list(SPLITS)
    found = description_of(opened.images, opened.prepared, opened.format, splits, config.episodes.n_query)
    click.echo(json.dumps({"schema": 1, **dataclasses.asdict(found)}) if as_json else fact_table(found.lines()))
    if sheet:
        _write_sheet(sheet, opened.images, sheet_split)


@data.command()
@source_options
@json_option
@quiet_option
def prepare(*, source: str, image_size: int | None, as_json: bool, quiet: bool) -> None:
    """Decode a data set into the cache now.

    Commands that need it open it from there.
    """
    opened = _open(source, image_size, _config(), quiet)
    rate = opened.n_decoded / opened.seconds
    if as_json:
        facts = {"format": opened.format, "n_decoded": opened.n_decoded, "seconds": opened.seconds}
        click.echo(json.dumps({"schema": 1, **dataclasses.asdict(opened.prepared), **facts}))
        return
    took = f"{opened.seconds:.1f} s, {rate:,.0f} images/s" if opened.n_decoded else "nothing: it was prepared before"
    lines = [
        ("name", opened.prepared.name),
        ("format", opened.format),
        ("images", f"{opened.prepared.n_images:,}"),
        ("size", opened.prepared.size_text),
        ("prepared", opened.prepared.folder),
        ("fingerprint", opened.prepared.fingerprint),
        ("took", took),
    ]
    click.echo(fact_table(lines))


@data.command()
@source_options
@split_option
@json_option
@quiet_option
def check(*, source: str, image_size: int | None, split: str | None, as_json: bool, quiet: bool) -> int:
    """Look for copies, blank images, small classes.

    Classes that have a published split are compared with it. docs/statistics.md says when each alarm rings; `bench
    doctor` looks at results and models, too. Exits 0 if nothing rings, 3 if something does.
    """
    from fewshot_bench.cli.doctor import checks_document, checks_text
    from fewshot_bench.doctor.copies import copies
    from fewshot_bench.doctor.images import blank_images, class_sizes, published_classes
    from fewshot_bench.experiment.episodes import Setting

    config = _config()
    name = _checked_split(split, config)
    images = _open(source, image_size, config, quiet).images
    grid, training, n_query = config.grids[config.run.grid], config.training, config.episodes.n_query
    wanted = [Setting(way, shot, n_query) for way in grid.ways for shot in grid.shots]
    found = [
        published_classes(images),
        *copies(images, name),
        blank_images(images),
        class_sizes(images, name, wanted, Setting(training.way, training.shot, training.query)),
    ]
    click.echo(checks_document(found) if as_json else checks_text(found))
    return ALARMED if any(one.alarms for one in found) else 0


def _config() -> Config:
    return load(config_file(None))


def _checked_split(named: str | None, config: Config) -> str:
    """The split to look at. Raises UsageError for the name of none, before anything is decoded."""
    from fewshot_bench.data.images import check_split

    name = named or config.data.split
    check_split(name)
    return name


def _open(source: str, image_size: int | None, config: Config, quiet: bool) -> Opened:
    """The data set, prepared now if it is not yet, with progress on a terminal."""
    from fewshot_bench.cli.screen import Screen
    from fewshot_bench.data import open_images, recognise
    from fewshot_bench.data.cache import folder_of
    from fewshot_bench.data.describing import prepared

    size = (config.data.image_size if image_size is None else image_size) or None
    counts = []  # of decoded images, as they are reported

    start = time.perf_counter()
    with Screen(-1 if quiet else 0) as screen:

        def progress(text: str, done: int, total: int) -> None:
            counts.append(done)
            screen.preparing(text, done, total)

        images = open_images(source, cache_folder(), size, progress)
    seconds = time.perf_counter() - start
    format_, found = recognise(source)
    facts = prepared(folder_of(cache_folder(), found.state(), size))
    if facts is None:
        raise DataError(f"{found.where} changed while it was being read: run the command again")
    if facts.archive_layout:
        format_ = f"{facts.archive_layout}, in an archive"
    return Opened(images, format_, facts, counts[-1] if counts else 0, seconds)


def _write_sheet(path: Path, images: ImageSet, split: str) -> None:
    from fewshot_bench.data.describing import class_samples
    from fewshot_bench.reports.contact_sheet import ClassSample, contact_sheet

    samples = [ClassSample(*sample) for sample in class_samples(images, split, SHEET_CLASSES, SHEET_IMAGES)]
    picture = contact_sheet(f"{images.name}: random classes, random images (split {split})", samples)
    write_file(path, picture)
