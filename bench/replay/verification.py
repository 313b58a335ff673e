"""A rendered table held against its own facts, the database and the data sets that are at hand."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from fewshot_bench.config import config_file, load
from fewshot_bench.data.cache import find
from fewshot_bench.data.images import ImageSet, without_pixels
from fewshot_bench.errors import BenchError, NothingSelected, UsageError
from fewshot_bench.experiment.choosing import Chosen, data_fingerprint, data_name
from fewshot_bench.experiment.grid import cells as grid_cells
from fewshot_bench.experiment.grid import resolve
from fewshot_bench.experiment.selection import Place as CellPlace
from fewshot_bench.experiment.selection import Selection, place_of
from fewshot_bench.files import cache_folder
from fewshot_bench.results.collect import results as results_of
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.reading import CellFacts
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.parsing import ParseError, read_bytes
from fewshot_bench.tables.scores import CellScore, Results
from fewshot_bench.tables.summary import disjoint_episodes
from fewshot_bench.tables.verify.again import READERS
from fewshot_bench.tables.verify.rendered import Document
from fewshot_bench.tables.verify.restated import NO_MATTER
from fewshot_bench.tables.verify.table_check import Origin, Place, Witnesses
from fewshot_bench.tables.verify.verification import UnknownSchema, Verification, keys_in, verify


def verified(
    file: Path, database: str, selected: Callable[[str], Selection | None], config: Path | None = None
) -> Verification:
    """What is not true in a rendered file.

    selected: what a `bench run` command that stands in the file selects; None where it makes no sense
    config: the configuration that the file was made with, never one that the file itself names
    """
    document = _read(file)
    if not document.tables:
        raise NothingSelected(f"{file}: there are no facts in it; `bench report` writes tables with them")
    reader = Reader(database)
    papers = {paper.id: paper for paper in load_published()}

    @cache
    def wanted(command: str) -> Mapping[Place, int] | None:
        selection = selected(command)
        return _wanted(replace(selection, config=config)) if selection else None

    def again(command: str, shown: Mapping[Place, int]) -> Results | None:
        selection, data = selected(command), _data_of(reader, keys_in(document))
        if not selection or not data:
            return None
        return _read_again(replace(selection, config=config), *data, reader, shown, command)

    try:
        stored, known = _stored(reader, keys_in(document)), _origins(reader, keys_in(document))
        return verify(document, Witnesses(stored, papers, wanted, known, again, page_of))
    except UnknownSchema as error:
        raise UsageError(f"{file}: {error}") from None


def page_of(results: Results) -> str:
    """The report, without its pictures."""
    from fewshot_bench.reports.report import page  # plots take long to import

    return page(results)


def _data_of(reader: Reader, keys: set[str]) -> tuple[ImageSet, ImageSet | None] | None:
    """What the cells are trained on, and where that is other data what they are tested on, without pixels.

    None where there are several, or nothing is known of them.
    """
    pairs = {_fingerprints(reader.cell(key)) for key in keys & reader.cells().keys()}
    trained_on, tested_on = pairs.pop() if len(pairs) == 1 else ("", "")
    images, other = (_data_set(reader, fingerprint) if fingerprint else None for fingerprint in (trained_on, tested_on))
    return (images, other) if images and bool(other) == bool(tested_on) else None


def _fingerprints(facts: CellFacts) -> tuple[str, str]:
    """Of the data that a cell is trained on, and of those that it is tested on, "" where they are the same."""
    return facts.training["identity"]["fingerprint"], facts.cell["identity"].get("novel", "")


def _data_set(reader: Reader, fingerprint: str) -> ImageSet | None:
    """As the database describes it, else as it is cached here."""
    stored = [row for row in reader.data_sets() if row["fingerprint"] == fingerprint]
    return without_pixels(fingerprint, stored[-1]["outline"]) if stored else find(cache_folder(), fingerprint)


def _read_again(
    selection: Selection,
    images: ImageSet,
    other: ImageSet | None,
    reader: Reader,
    shown: Mapping[Place, int],
    command: str,
) -> Results | None:
    """What a selection shows under today's configuration, complete cells with as many episodes as were shown."""
    try:
        config = load(config_file(selection.config), selection.settings)
        request = resolve(config, selection)
        cells = [
            replace(cell, n_episodes=shown.get(cell.place[:3], cell.n_episodes))
            for cell in grid_cells(request, images, other)
            if selection.matches(cell.name)
        ]
        chosen = Chosen(request, images, cells, Path(config.run.out), "", None, selection.expression, other=other)
        results = results_of(chosen, reader=reader, with_answers=True, with_budgets=True)
    except BenchError:
        return None
    return replace(results, experiment=replace(results.experiment, command=command))


def _read(file: Path) -> Document:
    if file.suffix.lower() not in READERS:
        raise UsageError(f"{file}: only {', '.join(READERS)} can be verified")
    try:
        text = read_bytes(file).decode("utf-8-sig", errors="replace")
    except ParseError as error:
        raise UsageError(f"{file}: {error}") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    return READERS[file.suffix.lower()](text)


def _stored(reader: Reader, keys: set[str]) -> dict[str, CellScore]:
    """Every stored cell; episodes of those with these keys."""
    rows = reader.all_cells()
    episodes = reader.episodes(row["key"] for row in rows if row["key"] in keys)
    return {
        row["key"]: CellScore(*place_of(row), row["key"], "done", row["reason"], episodes.get(row["key"], ()))
        for row in rows
    }


def _origins(reader: Reader, keys: set[str]) -> dict[str, Origin]:
    """The data behind each of these cells that is stored, and what they allow where they are at hand."""
    data_set = cache(lambda fingerprint: _data_set(reader, fingerprint))
    found = {}
    for key in sorted(keys & reader.cells().keys()):
        facts = reader.cell(key)
        identity = facts.cell["identity"]
        trained_on, tested_on = prints = _fingerprints(facts)
        images, novel = data_set(trained_on), data_set(tested_on or trained_on)
        origin = Origin(data_fingerprint(*prints), identity["split"])
        if images and novel:
            disjoint = _disjoint(novel, origin.split, identity["setting"])
            name = data_name(images.name, novel.name if tested_on else "")
            origin = replace(origin, dataset=name, disjoint=disjoint)
        found[key] = origin
    return found


def _disjoint(images: ImageSet, split: str, setting: Mapping[str, int]) -> int | None:
    """How many episodes of a setting can be drawn without using an image twice."""
    try:
        novel = images.split(split).novel
    except BenchError:
        return None
    smallest = min(len(images.images_of_class[c]) for c in novel)
    data = replace(NO_MATTER, n_novel_classes=len(novel), images_per_novel_class=smallest, n_query=setting["n_query"])
    return disjoint_episodes(data, setting["n_way"], setting["n_shot"])


def _wanted(selection: Selection) -> Mapping[Place, int] | None:
    """The cells that a selection shows under today's configuration, with their episodes; opens no data set.

    None where it means nothing here.
    """
    try:
        matches = selection.matches
        request = resolve(load(config_file(selection.config), selection.settings), selection)
    except BenchError:
        return None
    budget = request.config.budgets[request.budget]
    return {
        (variant, n_way, n_shot): request.episodes or budget.episodes_at(n_way, n_shot)
        for variant in request.methods
        for n_way in request.ways
        for n_shot in request.shots
        if any(matches(CellPlace(variant, n_way, n_shot, seed).name) for seed in request.seeds_of(variant))
    }
