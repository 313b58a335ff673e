"""`bench verify`: a rendered table read again."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import database_in, json_option, out_option, selection_options
from fewshot_bench.errors import BenchError, NothingSelected, UsageError
from fewshot_bench.experiment.selection import Place as CellPlace
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import cache_folder

if TYPE_CHECKING:
    from fewshot_bench.data.images import ImageSet
    from fewshot_bench.replay.rebuild import Stored
    from fewshot_bench.results.store import Reader
    from fewshot_bench.tables.scores import CellScore
    from fewshot_bench.tables.verify.origins import Origin
    from fewshot_bench.tables.verify.rendered import RenderedTable
    from fewshot_bench.tables.verify.verification import Place, Verification


UNCHECKED = "not checked: captions, notes, bold and the marks † § ¶ ? ‡; --help names the rest"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@out_option
@json_option
def verify(*, file: Path, out: Path | None, as_json: bool) -> int:
    """Find numbers of a rendered table (.tex, .html) that were edited by hand or are stale.

    Every number that is seen is held against its facts in the file, and these against the database. Not checked are
    captions, notes, bold, the marks † § ¶ ? ‡, tables that are not the benchmark's, and of a report the data and
    seeds intervals in its list of cells, its costs and its claims. Exits 3 if a number is not true, 5 if nothing
    measured is in the file.
    docs/statistics.md explains edited, stale, unknown and gone.
    """
    from fewshot_bench.results.store import Reader
    from fewshot_bench.tables.literature import load_published
    from fewshot_bench.tables.verify.verification import UnknownSchema, Witnesses, keys_in
    from fewshot_bench.tables.verify.verification import verify as find

    tables = _read(file)
    if not tables:
        raise NothingSelected(f"{file}: there are no facts in it; `bench report` writes tables with them")
    reader = Reader(database_in(out))
    papers = {paper.id: paper for paper in load_published()}
    try:
        stored, known = _stored(reader, keys_in(tables)), _origins(reader, keys_in(tables))
        found = find(tables, Witnesses(stored, papers, cache(_wanted), known))
    except UnknownSchema as error:
        raise UsageError(f"{file}: {error}") from None
    click.echo(json.dumps(_document(file, found)) if as_json else "\n".join(_lines(file, found)))
    return found.exit_code


def _read(file: Path) -> list[RenderedTable]:
    from fewshot_bench.tables.verify.rendered import READERS

    if file.suffix.lower() not in READERS:
        raise UsageError(f"{file}: only {', '.join(READERS)} can be verified")
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    return READERS[file.suffix.lower()](text)


def _stored(reader: Reader, keys: set[str]) -> dict[str, CellScore]:
    """Every stored cell; episodes of those with these keys."""
    from fewshot_bench.tables.scores import CellScore

    rows = reader.all_cells()
    episodes = reader.episodes(row["key"] for row in rows if row["key"] in keys)
    return {
        row["key"]: CellScore(
            row["variant"], row["n_way"], row["n_shot"], row["seed"], row["key"], "done", row["reason"],
            tuple(result.score() for result in episodes.get(row["key"], ())),
        )
        for row in rows
    }  # fmt: skip


def _origins(reader: Reader, keys: set[str]) -> dict[str, Origin]:
    """The data behind each of these cells that is stored, and what they allow where they are at hand."""
    from fewshot_bench.replay.rebuild import Stored, source_of
    from fewshot_bench.tables.verify.origins import Origin

    opened: dict[tuple[str | None, str], ImageSet | None] = {}
    found = {}
    for key in sorted(keys & reader.cells().keys()):
        stored = Stored(reader.cell(key), {}, ())
        row, fingerprint = stored.facts.cell, stored.facts.training["identity"]["fingerprint"]
        origin = Origin(fingerprint, row["identity"]["split"])
        data = (source_of(stored), fingerprint)
        if data not in opened:
            opened[data] = _data(stored, data[0])
        if images := opened[data]:
            disjoint = _disjoint(images, origin.split, row["identity"]["setting"])
            origin = dataclasses.replace(origin, dataset=images.name, disjoint=disjoint)
        found[key] = origin
    return found


def _data(stored: Stored, source: str | None) -> ImageSet | None:
    """The data set of a stored cell, which the database names, never the file; None where it is not at hand."""
    from fewshot_bench.config import config_file, load
    from fewshot_bench.replay.rebuild import open_data

    try:
        size = load(config_file(None)).data.image_size or None
        return open_data(stored, source, cache_folder(), size, lambda *_: None) if source else None
    except BenchError:
        return None


def _disjoint(images: ImageSet, split: str, setting: Mapping[str, int]) -> int | None:
    """How many episodes of a setting can be drawn without using an image twice."""
    from fewshot_bench.tables.summary import disjoint_episodes
    from fewshot_bench.tables.verify.restated import NO_MATTER

    try:
        novel = images.split(split).novel
    except BenchError:
        return None
    smallest = min(len(images.images_of_class[c]) for c in novel)
    data = dataclasses.replace(
        NO_MATTER, n_novel_classes=len(novel), images_per_novel_class=smallest, n_query=setting["n_query"]
    )
    return disjoint_episodes(data, setting["n_way"], setting["n_shot"])


@click.command(add_help_option=False)
@selection_options
def _selection(selection: Selection) -> Selection:
    """Only reads the options that choose cells."""
    return selection


def _wanted(command: str) -> Mapping[Place, int] | None:
    """The cells that a `bench run` command shows under today's configuration, with their episodes.

    The command is read, never run; nothing that it names is opened. None where it means nothing here.
    """
    from fewshot_bench.config import config_file, load
    from fewshot_bench.experiment.grid import resolve

    try:
        program, name, *words = shlex.split(command)
        if (program, name) != ("bench", "run"):
            return None
        with _selection.make_context("run", words) as context:
            given: Selection = _selection.invoke(context)
        matches = given.matches
        request = resolve(load(config_file(None)), given)
    except (ValueError, click.ClickException, BenchError):
        return None
    budget = request.config.budgets[request.budget]
    return {
        (variant, n_way, n_shot): request.episodes or budget.episodes_at(n_shot)
        for variant in request.methods
        for n_way in request.ways
        for n_shot in request.shots
        if any(matches(CellPlace(variant, n_way, n_shot, seed).name) for seed in request.seeds)
    }


def _document(file: Path, found: Verification) -> dict[str, Any]:
    findings = [dataclasses.asdict(finding) | {"text": finding.text} for finding in found.findings]
    return dataclasses.asdict(found) | {"file": str(file), "findings": findings, "exit_code": found.exit_code}


def _lines(file: Path, found: Verification) -> list[str]:
    """For people: what is wrong, then the count."""
    from fewshot_bench.tables.escape import one_line

    lines = [finding.text for finding in found.findings] + [f"note: {one_line(note)}" for note in found.notes]
    empty = f", {found.n_empty} empty" if found.n_empty else ""
    counted = f"{found.n_cells} measured cells{empty} and {found.n_published} published rows"
    if not found.findings:
        agree = "all agree with their facts, and these with what is stored"
        lines.append(f"{file}: {counted}: {agree if found.n_cells else 'nothing measured is in the file'}")
        return [*lines, UNCHECKED]
    kinds = {
        kind: sum(finding.kind == kind for finding in found.findings) for kind in ("edited", "stale", "unknown", "gone")
    }
    return [*lines, f"{file}: {counted}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)]
