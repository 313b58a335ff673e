"""`pip install .` gives the one package `fewshot_bench` and the one command `bench`, with all their files."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from fewshot_bench import __version__

ROOT = Path(__file__).parents[1]
# package-data as it lies in the repository: folder -> package
HOMES = {"bench": "", "methods": "methods/", "tables": "tables/", "reports": "reports/"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without a network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
               "--no-index", "--disable-pip-version-check", "--wheel-dir", str(out), str(ROOT)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return zipfile.ZipFile(built)


def text(wheel: zipfile.ZipFile, end: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(end))
    return wheel.read(name).decode()


def test_one_name_reaches_site_packages(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"fewshot_bench", next(top for top in tops if top.endswith(".dist-info"))}


def test_one_command(wheel):
    assert text(wheel, "entry_points.txt").split("\n")[:2] == [
        "[console_scripts]",
        "bench = fewshot_bench.cli:main",
    ]


def test_every_file_of_the_four_folders_is_in_it(wheel):
    inside = set(wheel.namelist())
    expected = {
        f"fewshot_bench/{home}{path.relative_to(ROOT / folder).as_posix()}"
        for folder, home in HOMES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= inside, expected - inside
    for name in ("bench.toml", "py.typed", "cli/run.py", "results/store/migrations/env.py", "methods/maml.py",
                 "tables/templates/published.tex.j2", "tables/published/eshratifar2019.toml",
                 "reports/templates/report.html.j2"):  # fmt: skip
        assert f"fewshot_bench/{name}" in inside  # so that the comparison above cannot be of nothing


def test_the_file_at_the_front_door_is_the_packaged_one(wheel):
    assert (ROOT / "bench.toml").read_text() == text(wheel, "fewshot_bench/bench.toml")


def test_an_index_is_told_what_it_is(wheel):
    said = text(wheel, ".dist-info/METADATA").split("\n\n")[0]
    for field in ("Author: ", "Keywords: ", "License-Expression: MIT", "Project-URL: ", "Classifier: Typing :: Typed"):
        assert f"\n{field}" in said
    assert not re.search(r"example\.(com|org)|TODO|your[- ]name", said, re.IGNORECASE)


def test_the_citation_is_of_this_version():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in cited
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nlicense: {project['license']}\n" in cited
