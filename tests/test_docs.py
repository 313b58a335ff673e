"""The pages speak of what is there: every command, option and file that they name, and code that is of its language.

tests/bench/cli/test_tutorials.py runs the tutorials and the scripts; tests/test_site.py builds the site.
"""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from scipy import stats

from fewshot_bench.cli import cli
from fewshot_bench.cli.data import data
from fewshot_bench.config import load
from fewshot_bench.tables.check.baseline import read_baseline
from fewshot_bench.tables.statistics.estimate import of_episodes
from fewshot_bench.tables.statistics.power import episodes_to_separate

ROOT = Path(__file__).parents[1]
COMMANDS = dict(cli.commands) | {f"data {name}": command for name, command in data.commands.items()}
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def commands_in(text: str) -> list[tuple[str, list[str]]]:
    """(command, options) of each `bench ...` in code blocks and code spans."""
    code = re.findall(r"```(?:\w*)\n(.*?)```", text, re.DOTALL) + re.findall(r"`(bench [^`]+)`", text)
    found = []
    for line in "\n".join(code).splitlines():
        if match := re.match(r"\s*bench (data \w+(?!\S)|\w+)(.*)", line):
            found.append((match[1], re.findall(r"(?<!\S)--?[a-z][a-z-]*", match[2].split("  ")[0])))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_exist(page):
    for name, options in commands_in(page.read_text(encoding="utf-8")):
        assert name in COMMANDS, f"{page.name}: bench {name}"
        known = {opt for p in COMMANDS[name].params for opt in [*p.opts, *p.secondary_opts]}
        assert set(options) <= known | {"--help"}, f"{page.name}: bench {name} {options}"


@pytest.mark.parametrize("folder", ["bench", "methods", "tables", "reports"])
def test_messages_name_commands_that_exist(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for name, _ in commands_in(path.read_text(encoding="utf-8")):
            assert name in COMMANDS, f"{path}: bench {name}"


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def check_settings(code: str, folder: Path) -> None:
    """What stands in a bench.toml is taken; in a pyproject.toml, read."""
    if "project" not in tomllib.loads(code):
        (folder / "bench.toml").write_text(code)
        load(folder / "bench.toml")


def check_shell(code: str, _: Path) -> None:
    done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CHECKS = {
    "": lambda *_: None,  # commands with what they do: as above
    "text": lambda *_: None,
    "python": lambda code, _: ast.parse(code),
    "sh": check_shell,
    "toml": check_settings,
    "yaml": lambda code, _: yaml.safe_load(code),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_of_code_is_of_its_language(page, tmp_path):
    fences = re.findall(r"^( *)```(\S*)\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(fences) == page.read_text(encoding="utf-8").count("```") // 2
    for _, language, code in fences:
        CHECKS[language](dedent(code), tmp_path)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_has_help(name):
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"bench {name} {parameter.opts}"


def test_the_worked_example_is_computed_from_the_shipped_baseline():
    """scipy's way to the numbers that docs/statistics.md writes out."""
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8").split("## A worked example")[1]
    words = " ".join(page.split())
    stored = read_baseline(json.loads((ROOT / "tables/baselines/strokes-smoke.json").read_text(encoding="utf-8")))
    counts = {
        cell.variant: np.array([episode.n_correct for episode in cell.episodes])
        for cell in (stored_cell.score for stored_cell in stored.cells)
        if (cell.n_way, cell.n_shot) == (5, 1)
    }
    protonet, transfer, reptile = (counts[name] for name in ("protonet", "transfer", "reptile"))
    for name, row in (("protonet", protonet), ("transfer", transfer), ("protonet minus transfer", protonet - transfer)):
        half = stats.t.ppf(0.975, 11) * stats.sem(row)
        numbers = " | ".join(f"{100 * x / 75:.2f}" for x in (row.mean(), row.std(ddof=1)))
        assert f"| {name} | {' '.join(map(str, row))} | {numbers} | ± {100 * half / 75:.2f} |" in words
    pairs = ((protonet, reptile), (protonet, transfer), (transfer, reptile))
    t, p = stats.ttest_rel(*pairs[1])
    assert f"= {t:.2f}, p = {p:.4f}" in words
    p_values = [stats.ttest_rel(*pair).pvalue for pair in pairs]
    assert f"reptile (p = {p_values[0]:.5f})" in words
    assert f"reptile (p = {p_values[2]:.2f})" in words
    assert f"= {3 * p_values[1]:.4f} before rounding" in words
    assert f"it is {3 * p_values[0]:.5f}, of transfer" in words
    difference = of_episodes((protonet - transfer) / 75)
    assert difference is not None
    needed = episodes_to_separate(difference, 12, 0.01, alpha=0.05 / 3)
    assert f"would take {needed} episodes" in words
