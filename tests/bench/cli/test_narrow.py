"""The terminal at 80 columns: nothing is cut or wraps in a word, and wide letters stand in line."""

import re
import sys

import pytest
from click.shell_completion import ShellComplete

from fewshot_bench.cli import GROUPS, cli
from fewshot_bench.config import load
from fewshot_bench.data.images import SPLITS, STANDARD_SPLITS
from fewshot_bench.methods.names import HEADS, PAPERS
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.tables.wording import aligned, columns


def test_help_fits_80_columns_uncut(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = bench("--help").out
    assert max(map(len, told.splitlines())) <= 80
    assert not [line for line in told.splitlines()[1:] if line.endswith("...")]
    for command in (command for commands in GROUPS.values() for command in commands):
        assert max(map(len, bench(command.name, "--help").out.splitlines())) <= 80, command.name


@pytest.mark.parametrize("width", [80, 120])
def test_methods_are_a_line_a_variant(width, bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir("/")  # the packaged configuration alone
    head, *lines = bench("list", "methods").out.splitlines()
    assert head.split() == ["variant", "paper", *["differs", "from", "its", "method", "in"]]
    assert [line.split()[0] for line in lines] == list(load().methods)
    assert max(map(len, lines)) <= width
    assert sum("…" in line for line in lines) <= (2 if width == 80 else 0)
    assert "fomaml                Finn+ 2017           maml: first_order=true" in lines


def test_papers_are_those_that_the_methods_name():
    assert set(PAPERS) == set(METHODS)
    said = {name: sys.modules[method.__module__].__doc__ for name, method in METHODS.items()}
    for name, paper in PAPERS.items():
        who, year = paper.split()
        assert paper == "a control" or (who.rstrip("+") in said[name] and year in said[name]), name
    from fewshot_bench.methods import centroid_head, cosine_head, logistic_head

    for module, paper in zip((centroid_head, logistic_head, cosine_head), HEADS.values(), strict=True):
        assert all(word in module.__doc__ for word in paper.split("+ "))


@pytest.mark.parametrize("width", [80, 120])
def test_a_plan_is_not_cut(width, place, bench, monkeypatch):
    chosen = ("--method", "transfer,transfer-frozen", "--shot", "1")
    whole = bench("run", "-n", *chosen).out
    monkeypatch.setenv("COLUMNS", str(width))
    ran = bench("run", "-n", *chosen)
    assert ran.code == 0, ran.err
    told = ran.out
    assert max(map(len, told.splitlines())) <= width, told
    assert "…" not in told
    assert set(re.findall("[0-9a-f]{16}", told)) == set(re.findall("[0-9a-f]{16}", whole))
    assert ("memory" in told) == (width == 120), told


def test_settings_and_grids_wrap_between_words(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    wide = {what: bench("list", *what).out.split() for what in (("methods", "-v"), ("grids",))}
    monkeypatch.setenv("COLUMNS", "1000")
    for what, words in wide.items():
        assert words == bench("list", *what).out.split()
    assert re.search(r"^maml-mtl-beta25 +maml-mtl: .*beta = 0.25", bench("list", "methods", "-v").out, re.M)


def test_wide_letters_stand_in_line():
    assert (columns("maml"), columns("元モデル"), columns("e\u0301")) == (4, 8, 1)
    lines = aligned([("元モデル", "1"), ("maml", "23")], left=(0,))
    assert lines == ["元モデル   1", "maml      23"]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("option", "typed", "found"),
    [
        ("--grid", "ti", ["tiny"]),
        ("--method", "transfer,proto", ["transfer,protonet", "transfer,protomaml", "transfer,protonet-5way"]),
        ("--split", "ravi", ["ravi", "ravi-val"]),
        ("--budget", "st", ["standard"]),
    ],
)
def test_a_shell_is_told_how_a_name_goes_on(option, typed, found):
    items = ShellComplete(cli, {}, "bench", "_BENCH_COMPLETE").get_completions(["run", option], typed)
    assert set(found) <= {item.value for item in items}
    assert all(item.value.startswith(typed) for item in items)


def test_a_shell_completes_the_file_that_is_held_against():
    items = ShellComplete(cli, {}, "bench", "_BENCH_COMPLETE").get_completions(["check", "--against"], "old")
    assert [(item.type, item.value) for item in items] == [("file", "old")]


def test_a_shell_is_told_of_every_split():
    items = ShellComplete(cli, {}, "bench", "_BENCH_COMPLETE").get_completions(["run", "--split"], "")
    assert {item.value for item in items} == {*SPLITS, *STANDARD_SPLITS}
