"""`bench verify`: a rendered table read again."""

import dataclasses
import json
import shlex
from functools import partial
from pathlib import Path

import click

from fewshot_bench.cli.options import config_option, database_in, json_option, selected, stored_options
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
@stored_options
@json_option
def verify(*, file: Path, selection: Selection, as_json: bool) -> int:
    """Find edited or stale numbers in a rendered table or report.

    FILE is .tex or .html. Each displayed number is compared with its embedded metadata, and this with the database. If
    the file's command is valid here, under the configuration that is named, the table is rendered again: then bold, the
    marks † § ¶ ? ‡, captions, notes and all words, and a report's alarms, claims, costs, style and script are compared,
    too. Not checked are plots, images, LaTeX's labels and comments (and the notes in them), and tables that are not
    the benchmark's. Exits 3 if something differs, 5 if nothing measured is in the file. docs/storage.md explains
    edited, stale, unknown and gone.
    """
    from fewshot_bench.replay.verification import verified

    chosen = partial(_chosen, rules=selection.rules)
    found = verified(file, database_in(selection.out), chosen, selection.config)
    if as_json:
        findings = [dataclasses.asdict(finding) | {"text": finding.text} for finding in found.findings]
        said = {"file": str(file), "findings": findings, "exit_code": found.exit_code}
        click.echo(json.dumps(dataclasses.asdict(found) | said))
    else:
        click.echo("\n".join(found.lines(str(file))))
    return found.exit_code


def _chosen(command: str, rules: str | None) -> Selection | None:
    """What a report's command selects; it is read, never run. None for another, or one that makes no sense.

    rules: those of results that come with the package
    """
    try:
        program, name, *words = shlex.split(command)
        if (program, name, words[:1]) == ("bench", "report", ["--measured"]):
            words = [*(["--rules", rules] if rules else []), *words[2:]]  # the last one counts
        elif (program, name) != ("bench", "run"):
            return None
        return selected(words, alone=True)
    except (ValueError, click.ClickException):
        return None
