"""The tutorials, done as they are written: their files are saved, their commands and scripts run, on a small scale.

docs/cluster.md is done in tests/bench/running/engines/test_engines.py.
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from PIL import Image

from fewshot_bench.methods import registry

ROOT = Path(__file__).parents[3]
SMALL = """
[model]
filters = 4
[budgets.smoke]
episodes = { 1 = 3 }
[budgets.quick]
iterations = { transfer = 3, protonet = 3, maml = 2 }
episodes = { 1 = 3, 2w5s = 3 }
"""
SMOKE = """
[run]
jobs = 1
[grids.smoke]
methods = ["transfer", "protonet"]
ways = [5]
shots = [1, 5]
seeds = [0]
budget = "smoke"
"""


LITTLE = SMOKE + "[model]\nfilters = 4\n"


def blocks(page: str, language: str) -> list[str]:
    """The fenced code of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def commands(block: str) -> Iterator[list[str]]:
    """The words of each `bench ...`, as a shell would give them."""
    for line in block.splitlines():
        name, *words = shlex.split(line)
        assert name == "bench", line
        yield [each for word in words for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


@pytest.fixture
def folder(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(shared_cache))
    monkeypatch.delenv("BENCH_DB", raising=False)
    return tmp_path


def draw(path: Path, pattern: np.ndarray[Any, Any], rng: np.random.Generator) -> None:
    """A photograph of a class: its pattern under noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pattern.repeat(12, 0).repeat(12, 1) + rng.integers(0, 56, (48, 48, 1))
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)


def test_your_photographs(folder, bench, capfd):
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 200, (18, 4, 4, 3))
    for number, pattern in enumerate(patterns[:16]):
        for i in range(20):
            draw(folder / f"photos/class{number:02d}/{i:02d}.jpg", pattern, rng)
    for number, pattern in enumerate(patterns[16:]):
        for i in range(3):
            draw(folder / f"task/new{number}/{i}.jpg", pattern, rng)
            draw(folder / f"new/{number}{i}.jpg", pattern, rng)
    [settings] = blocks("docs/photographs.md", "toml")
    (folder / "bench.toml").write_text(settings.replace("[run]\n", "[run]\njobs = 1\n") + SMALL)
    said = [bench(*words) for block in blocks("docs/photographs.md", "sh") for words in commands(block)]
    assert [ran.code for ran in said if ran.code] == [], [ran.err for ran in said if ran.code]
    assert len(said) == 9
    assert "up to 6-way 5-shot" in " ".join(said[0].out.split())
    assert (folder / "out/report.html").is_file()
    assert said[-1].err == "with protonet-5way-5w5s-s0 of photos paper single quick\n"
    named = [line.split(",")[1] for line in said[-1].out.splitlines()[1:]]
    assert len(named) == 6
    assert set(named) <= {"new0", "new1"}
    [script] = blocks("docs/photographs.md", "python")
    exec(compile(script, "script", "exec"), {})
    assert capfd.readouterr().out.replace("'", "").strip("[]\n").split() == named


def test_your_method(folder, monkeypatch, capfd):
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(registry, "_registered", {})
    (folder / "bench.toml").write_text(LITTLE)
    method, script = blocks("docs/method.md", "python")
    (folder / "cosine.py").write_text(method)
    exec(compile(script, "script", "exec"), {})
    printed = capfd.readouterr().out
    assert re.findall(r"(\S+)-5w([15])s-s0", printed) == [
        (name, shots) for name in ("cosine", "transfer") for shots in "15"
    ]
    monkeypatch.delitem(sys.modules, "cosine")


def test_ci_for_your_repository(folder, bench, install: Callable[..., Path]):
    install("cosine", blocks("docs/method.md", "python")[0], cosine="cosine:Cosine")
    (folder / "bench.toml").write_text(SMOKE)
    [once] = blocks("docs/ci.md", "sh")
    [workflow] = blocks("docs/ci.md", "yaml")
    [job] = yaml.safe_load(workflow)["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert steps[0].startswith("pip install ")
    for text in [once, *steps[1:]]:
        for words in commands(text):
            ran = bench(*words)
            assert ran.code == 0, f"{words}: {ran.out}{ran.err}"
    assert sorted(path.name for path in folder.glob("*.xml")) == ["cosine.xml", "protonet.xml"]
    assert "2 of 2 cells" in ran.out


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_scripts(page, folder, capfd):
    (folder / "bench.toml").write_text(LITTLE)
    rng = np.random.default_rng(0)
    for name in ("a1", "a2", "b1", "new"):
        draw(folder / f"{name}.png", rng.integers(0, 200, (4, 4, 1)).repeat(3, 2), rng)
    [script] = blocks(page, "python")
    exec(compile(script.replace("jobs=2", "jobs=1"), page, "exec"), {})
    printed = capfd.readouterr().out
    assert "4 cells: 0 done" in printed
