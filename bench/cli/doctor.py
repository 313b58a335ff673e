"""`bench doctor`: what is strange in results, data and models."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import reading_options
from fewshot_bench.cli.output import terminal_width
from fewshot_bench.errors import NothingSelected
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.tables.alarms.alarm import Alarm, Check

ALARMED = 3  # exit code


@click.command()
@reading_options
@click.option(
    "--control",
    is_flag=True,
    help="Also test one model per method and seed with shuffled support labels: it must be at chance.",
)
@click.option("--strict", is_flag=True, help="Exit 3 on any alarm.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(*, control: bool, strict: bool, as_json: bool, selection: Selection) -> int:
    """Run sanity checks on results, images and models.

    An alarm means "look here"; docs/statistics.md defines each. Writes nothing.

    Exits 0, with or without alarms; with --strict 3 on any. Exits 5 if nothing is stored of the chosen cells: then
    only the images were checked.
    """
    from fewshot_bench.doctor.examination import examined

    found, nothing_stored = examined(selection, control, lambda text: click.echo(text, err=True))
    click.echo(checks_document(found) if as_json else checks_text(found))
    if nothing_stored:
        raise NothingSelected(f"only the images were checked: {nothing_stored}")
    return ALARMED if strict and any(check.alarms for check in found) else 0


def alarm_text(alarm: Alarm) -> str:
    """An alarm in a few lines within the terminal."""
    return _wrapped(f"alarm  {alarm.kind}  {alarm.where}: {alarm.text}; {alarm.advice}", cut=False)


def _wrapped(text: str, *, cut: bool) -> str:
    """cut: also words that are longer than a line."""
    indent = " " * 7
    return textwrap.fill(text, terminal_width(), subsequent_indent=indent, break_long_words=cut, break_on_hyphens=False)


def checks_text(found: list[Check]) -> str:
    """A line for each check, alarm and note, and how many there are."""
    lines, width = [], max((len(check.kind) for check in found), default=0)
    for check in found:
        word = "-" if check.empty else "ok"
        silent = f"{word:<5}  {check.kind:<{width}}  {check.looked_at}"
        lines += [alarm_text(alarm) for alarm in check.alarms] or [silent]
        lines += [_wrapped(f"note   {check.kind}  {note}", cut=True) for note in check.notes]
    n_alarms = sum(len(check.alarms) for check in found)
    return "\n".join([*lines, f"{len(found)} checks, {n_alarms} {'alarm' if n_alarms == 1 else 'alarms'}"])


def checks_document(found: list[Check]) -> str:
    """The same as JSON."""
    n_alarms = sum(len(check.alarms) for check in found)
    return json.dumps({"schema": 1, "checks": [dataclasses.asdict(check) for check in found], "alarms": n_alarms})
