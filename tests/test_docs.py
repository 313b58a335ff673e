"""The pages speak of what is there: every command, every option they name, every file they link to."""

import re
from pathlib import Path

import pytest

from fewshot_bench.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def commands_in(text: str) -> list[tuple[str, list[str]]]:
    """(command, options) of each `bench ...` in code blocks and code spans."""
    code = re.findall(r"```(?:\w*)\n(.*?)```", text, re.DOTALL) + re.findall(r"`(bench [^`]+)`", text)
    found = []
    for line in "\n".join(code).splitlines():
        if match := re.match(r"\s*bench (\w+)(.*)", line):
            found.append((match[1], re.findall(r"(?<!\S)--?[a-z][a-z-]*", match[2].split("  ")[0])))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_exist(page):
    for name, options in commands_in(page.read_text(encoding="utf-8")):
        assert name in cli.commands, f"{page.name}: bench {name}"
        known = {opt for p in cli.commands[name].params for opt in [*p.opts, *p.secondary_opts]}
        assert set(options) <= known | {"--help"}, f"{page.name}: bench {name} {options}"


def test_readme_names_every_command():
    named = {name for name, _ in commands_in((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert named == set(cli.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_and_option_has_help(name):
    command = cli.commands[name]
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "format_":
            assert parameter.help, f"bench {name} {parameter.opts}"
