"""What `make docs` puts into the pages: the reference of the command line, and the comments of a class's fields."""

import re
from collections.abc import Iterator
from html import escape
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import griffe

from fewshot_bench.cli import GROUPS, cli
from fewshot_bench.cli.options import selection_options

PLACE = "<!-- the commands -->"


class FieldComments(griffe.Extension):
    """Documents the fields of a class by the comments at their ends."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called by mkdocstrings for each class; adds a section to its docstring."""
        lines = Path(str(cls.filepath)).read_text(encoding="utf-8").splitlines()
        own = (member for member in cls.members.values() if member.is_attribute and member.is_public)
        ends = ((field.name, lines[(field.endlineno or 1) - 1].partition("  # ")[2]) for field in own)
        comments = [f"    {name}: {comment}" for name, comment in ends if comment]
        if comments and cls.docstring and "Attributes:" not in cls.docstring.value:
            cls.docstring.value += "\n\nAttributes:\n" + "\n".join(comments)


@click.command()
@selection_options
def choosing() -> None:
    """The options that many commands share."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return markdown.replace(PLACE, "\n".join(_reference())) if PLACE in markdown else markdown


def _reference() -> Iterator[str]:
    shared = _options(choosing, cli, "")
    yield from ("## Choosing cells", "", "Most commands take these.", "", *_table(shared), "")
    for title, commands in GROUPS.items():
        yield from (f"## {title}", "")
        for command in commands:
            yield from _entry(command, cli, f"bench {command.name}", shared)


def _entry(command: click.Command, parent: click.Command, name: str, shared: dict[str, str]) -> Iterator[str]:
    """The section of a command, then those of its own commands."""
    usage = " ".join([name, *command.collect_usage_pieces(click.Context(command))])
    yield from (f"### {name}", "", "```", usage, "```", "", _text(command.help or ""), "")
    own = _options(command, parent, name)
    if shared.keys() <= own.keys():
        own = {option: meaning for option, meaning in own.items() if option not in shared}
        yield from ("Takes the options for [choosing cells](#choosing-cells)" + (", and:" if own else "."), "")
    if own:
        yield from (*_table(own), "")
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _entry(below, command, f"{name} {below.name}", shared)


def _options(command: click.Command, parent: click.Command, name: str) -> dict[str, str]:
    """Option as it is written -> what it does, but for --help."""
    context = click.Context(command, info_name=name, parent=click.Context(parent))
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    return dict(record for option in options if (record := option.get_help_record(context)))


def _table(options: dict[str, str]) -> Iterator[str]:
    yield from ("| option | what it does |", "|:---|:---|")
    for option, meaning in options.items():
        yield f"| <code>{escape(option).replace('|', '&#124;')}</code> | {_plain(meaning)} |"


def _text(help_text: str) -> str:
    """A command's help as Markdown; what click leaves as it is laid out (after \\b) is code."""
    paragraphs = (paragraph.strip("\n") for paragraph in cleandoc(help_text).split("\n\n"))
    return "\n\n".join(
        f"```\n{dedent(paragraph[1:].strip(chr(10)))}\n```" if paragraph[:1] == "\b" else _plain(paragraph)
        for paragraph in paragraphs
    )


def _plain(text: str) -> str:
    text = re.sub(r"([|*\[\]])", r"\\\1", escape(" ".join(text.split()), quote=False))
    return re.sub(r"docs/([a-z]+\.md)", r"[\1](\1)", text)
