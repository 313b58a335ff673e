"""What `bench data` shows and says."""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

from fewshot_bench.cli.data import Asked
from fewshot_bench.cli.doctor import ALARMED, checks_document, checks_text
from fewshot_bench.cli.output import hanging, write_file
from fewshot_bench.cli.screen import Screen
from fewshot_bench.config import Config, config_file, load
from fewshot_bench.data import FORMATS, NAMED, open_images, recognise
from fewshot_bench.data.cache import folder_of
from fewshot_bench.data.describing import Prepared, describe, prepared, prepared_sets
from fewshot_bench.data.format import Source
from fewshot_bench.data.image_files import files_of
from fewshot_bench.data.images import SPLITS, ImageSet, check_split
from fewshot_bench.doctor.copies import copies
from fewshot_bench.doctor.images import (
    blank_images,
    class_sizes,
    first_notes,
    picture,
    published_classes,
    turned_images,
)
from fewshot_bench.errors import DataError
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.files import cache_folder
from fewshot_bench.tables.wording import aligned

SHEET_CLASSES, SHEET_IMAGES = 8, 12  # of base and of novel classes each; of a class


@dataclasses.dataclass(frozen=True)
class Opened:
    """A data set as a command line named it; n_decoded: images that were decoded for it now."""

    images: ImageSet
    source: Source
    format: str
    prepared: Prepared
    n_decoded: int
    seconds: float


def listed(*, as_json: bool) -> str:
    """What can be read, and what is prepared."""
    cache = cache_folder()
    found = prepared_sets(cache)
    if as_json:
        expects = {name: layout.EXPECTS for name, layout in FORMATS.items()}
        prepared = [dataclasses.asdict(one) for one in found]
        document = {"schema": 1, "named": list(NAMED), "formats": expects, "cache": str(cache), "prepared": prepared}
        return json.dumps(document)
    return f"{formats_text()}\n\nPrepared, in {cache}\n{_prepared_table(found) if found else '  nothing yet'}"


def described(asked: Asked, sheet: Path | None, *, as_json: bool) -> Iterator[str]:
    """What is in a data set; then its picture is written, where one is named."""
    config = load(config_file(None), asked.settings)
    sheet_split = _checked_split(asked, config)
    opened = _open(asked, config)
    splits = [asked.split] if asked.split else list(SPLITS)
    found = describe(opened.images, opened.prepared, opened.format, splits, config.episodes.n_query)
    yield json.dumps({"schema": 1, **dataclasses.asdict(found)}) if as_json else _fact_table(found.lines())
    if sheet:
        write_file(sheet, picture(opened.images, sheet_split, SHEET_CLASSES, SHEET_IMAGES))


def prepare(asked: Asked, *, as_json: bool) -> str:
    """Decode a data set into the cache."""
    opened = _open(asked, load(config_file(None), asked.settings))
    rate = opened.n_decoded / opened.seconds
    found = first_notes(opened.images, files_of(opened.source))
    if as_json:
        facts = {
            "notes": [note for _, note in found],
            "format": opened.format,
            "n_decoded": opened.n_decoded,
            "seconds": opened.seconds,
        }
        return json.dumps({"schema": 1, **dataclasses.asdict(opened.prepared), **facts})
    took = f"{opened.seconds:.1f} s, {rate:,.0f} images/s" if opened.n_decoded else "nothing: it was prepared before"
    lines = [
        ("name", opened.prepared.name),
        ("format", opened.format),
        ("images", f"{opened.prepared.n_images:,}"),
        ("size", opened.prepared.size_text),
        ("prepared", opened.prepared.folder),
        ("fingerprint", opened.prepared.fingerprint),
        ("took", took),
        *found,
    ]
    return _fact_table(lines)


def checked(asked: Asked, *, as_json: bool) -> tuple[int, str]:
    """Look for duplicates, blank images, small classes; exit code, and what was found."""
    config = load(config_file(None), asked.settings)
    name = _checked_split(asked, config)
    opened = _open(asked, config)
    images, names = opened.images, files_of(opened.source)
    grid, training, n_query = config.grids[config.run.grid], config.training, config.episodes.n_query
    wanted = [Setting(way, shot, n_query) for way in grid.ways for shot in grid.shots]
    found = [
        published_classes(images),
        *copies(images, images.split(name), names),
        blank_images(images, names),
        *([turned_images(images, names)] if names or images.turned else []),
        class_sizes(images, name, config.run.grid, wanted, Setting(training.way, training.shot, training.query)),
    ]
    said = checks_document(found) if as_json else checks_text(found)
    return ALARMED if any(one.alarms for one in found) else 0, said


def formats_text() -> str:
    """The named data sets and the formats, for people."""
    width = max(map(len, FORMATS))

    def lines(names: list[str]) -> list[str]:
        return [hanging(f"  {name:<{width}}  ", FORMATS[name].EXPECTS) for name in names]

    others = [name for name in FORMATS if name not in NAMED]
    heading = "Formats of folders and archives; each is recognised, and FORMAT:PATH says which it is"
    return "\n".join(["Data sets by name", *lines(list(NAMED)), "", heading, *lines(others)])


def _prepared_table(found: list[Prepared]) -> str:
    """A row for each data set in the cache."""
    rows = [("name", "images", "classes", "size", "fingerprint", "on disk", "from")]
    rows += [
        (
            one.name,
            f"{one.n_images:,}",
            str(one.n_classes),
            one.size_text,
            one.fingerprint[:8],
            f"{one.size_bytes / 2**20:,.0f} MiB",
            one.source,
        )
        for one in found
    ]
    return "\n".join(f"  {line}" for line in aligned(rows, left=(0, 3, 4, 6)))


def _fact_table(lines: list[tuple[str, str]]) -> str:
    """A line, or more, for each (what, its value)."""
    width = max(len(name) for name, _ in lines)
    return "\n".join(hanging(f"{name:<{width}}  ", text) for name, text in lines)


def _checked_split(asked: Asked, config: Config) -> str:
    """The split to look at. Raises UsageError for the name of none, before anything is decoded."""
    name = asked.split or config.data.split
    check_split(name)
    return name


def _open(asked: Asked, config: Config) -> Opened:
    """The data set, prepared now if it is not yet, with progress on a terminal."""
    size = (config.data.image_size if asked.image_size is None else asked.image_size) or None
    counts = []  # of decoded images, as they are reported

    start = time.perf_counter()
    with Screen(-1 if asked.quiet else 0) as screen:

        def progress(text: str, done: int, total: int) -> None:
            counts.append(done)
            screen.preparing(text, done, total)

        format_, found = recognise(asked.source)
        images = open_images(found, cache_folder(), size, progress)
    seconds = time.perf_counter() - start
    facts = prepared(folder_of(cache_folder(), found.state(), size))
    if facts is None:
        raise DataError(f"{found.where} changed while it was being read: run the command again")
    if facts.archive_layout:
        format_ = f"{facts.archive_layout}, in an archive"
    return Opened(images, found, format_, facts, counts[-1] if counts else 0, seconds)
