"""`bench doctor`: what is strange in results, data and models."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.errors import NoResultsYet, NothingSelected
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.experiment.choosing import Chosen
    from fewshot_bench.tables.alarms.alarm import Alarm, Check

ALARMED = 3
WIDTH = 110


@click.command()
@selection_options
@click.option(
    "--control",
    is_flag=True,
    help="Also test a model of each method and seed with shuffled support labels: it must be at chance.",
)
@click.option("--strict", is_flag=True, help="Exit with 3 if anything rings.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(*, control: bool, strict: bool, as_json: bool, selection: Selection) -> int:
    """Look for what should not be: in the stored results, the images and the models.

    An alarm means "look here"; docs/statistics.md says when each rings. Writes nothing.

    Exits 0, with or without alarms; with --strict 3 if there are some. Exits 5 where nothing is stored of the chosen
    cells: only the images were looked at then.
    """
    from fewshot_bench.doctor.copies import copies
    from fewshot_bench.experiment.choosing import choose

    chosen = choose(selection)
    _say(f"looking for copies among {len(chosen.images.images):,} images")
    found = list(copies(chosen.images, chosen.request.split))
    stored = _of_results(chosen)
    found += [*stored, *_of_models(chosen, control)] if stored else []
    n_alarms = sum(len(check.alarms) for check in found)
    click.echo(checks_document(found) if as_json else checks_text(found))
    if not stored:
        raise NothingSelected("no results of these cells are stored, so only the images were looked at: `bench run`")
    return ALARMED if strict and n_alarms else 0


def _of_results(chosen: Chosen) -> tuple[Check, ...]:
    """The checks of the stored results; none where nothing is stored."""
    from fewshot_bench.results.collect import results
    from fewshot_bench.tables.alarms.checks import checks

    try:
        cells = results(chosen, with_answers=True).cells
    except NoResultsYet:
        return ()
    return checks(cells) if any(cell.episodes for cell in cells) else ()


def _of_models(chosen: Chosen, control: bool) -> list[Check]:
    from fewshot_bench.cli.screen import duration
    from fewshot_bench.doctor import models as doctor
    from fewshot_bench.results.store import Reader
    from fewshot_bench.running.device import choose_device
    from fewshot_bench.running.recording import workplace
    from fewshot_bench.tables.alarms.alarm import counted

    run = chosen.request.config.run
    place = workplace(chosen, choose_device(run.device, chosen.request.config.model.numerics).type, run.threads)
    lab = place.open(lambda: False)
    models = doctor.stored_models(chosen.cells, Reader(chosen.database))
    _say(f"looking at {counted(models, 'model')}, an episode each")
    found = [doctor.queries_apart(models, lab)]
    if control:
        few, n = doctor.one_a_column(models), doctor.CONTROL_EPISODES
        takes = duration(n * sum(model.seconds_per_episode for model in few))
        _say(f"testing {counted(few, 'model')} with shuffled labels, {n} episodes each: about {takes}")
        found.append(doctor.label_control(few, lab, lambda name: _say(f"  {name}")))
    return found


def _say(text: str) -> None:
    click.echo(text, err=True)


def alarm_text(alarm: Alarm) -> str:
    """An alarm in a few lines of at most 110 columns."""
    text = f"alarm  {alarm.kind}  {alarm.where}: {alarm.text}; {alarm.advice}"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False)


def checks_text(found: list[Check]) -> str:
    """A line for each check, alarm and note, and how many there are."""
    lines = []
    for check in found:
        word = "-" if check.empty else "ok"
        lines += [alarm_text(alarm) for alarm in check.alarms] or [f"{word:<5}  {check.kind}  {check.looked_at}"]
        for note in check.notes:
            text = f"note   {check.kind}  {note}"
            lines.append(textwrap.fill(text, WIDTH, subsequent_indent=" " * 7, break_on_hyphens=False))
    n_alarms = sum(len(check.alarms) for check in found)
    return "\n".join([*lines, f"{len(found)} checks, {n_alarms} {'alarm' if n_alarms == 1 else 'alarms'}"])


def checks_document(found: list[Check]) -> str:
    """The same as JSON."""
    n_alarms = sum(len(check.alarms) for check in found)
    return json.dumps({"schema": 1, "checks": [dataclasses.asdict(check) for check in found], "alarms": n_alarms})
