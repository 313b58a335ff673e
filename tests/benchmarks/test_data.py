"""The benchmark of data sets runs, measures what it says, and puts its tables into a document."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data, photographs
from fewshot_bench.data import open_images
from fewshot_bench.experiment.episodes import Sampler
from fewshot_bench.seeding import Stream

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """5 classes of 20 files."""
    folder = tmp_path_factory.mktemp("benchmark")
    photographs.write(folder / "photographs", 5, 20)
    return folder


def sides(place: Path):
    images = open_images(str(place / "photographs"), place / "cache")
    files = data.Files(data.files_of(images, place / "photographs"))
    return images, files, Sampler(images, tuple(range(5)), Stream("test"))


def test_the_files_are_different_photographs_of_the_size_that_real_ones_have(place, tmp_path):
    files = sorted((place / "photographs").glob("*/*.jpg"))
    contents = [file.read_bytes() for file in files]
    assert len(set(contents)) == 100
    assert 3000 < np.mean([len(content) for content in contents]) < 5000
    with Image.open(files[0]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (84, 84), "RGB")
    photographs.write(tmp_path / "again", 5, 20)
    assert [file.read_bytes() for file in sorted(tmp_path.glob("again/*/*.jpg"))] == contents


def test_both_sides_give_the_same_images(place):
    images, files, sampler = sides(place)
    data.check_same(images, files, sampler)
    ours, theirs = data.from_memory_map(images, sampler), data.from_files(files, sampler, 0)
    theirs()  # episode 0; ours begins with 1
    episode = ours()
    both = torch.cat([episode.support_images[0], episode.query_images[0]])
    assert torch.equal(both, theirs())


def test_other_pixels_are_not_measured(place):
    images, files, sampler = sides(place)
    files.paths.reverse()
    with pytest.raises(SystemExit, match="different pixels"):
        data.check_same(images, files, sampler)


@pytest.mark.slow
def test_the_command_measures_everything(tmp_path, processes):
    words = ["--classes", "5", "--per-class", "20", "--rounds", "1", "--seconds", "0.1", "--json", str(tmp_path / "m")]
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('benchmarks.data', None, '__main__')"
    )
    done = processes.begin(code, *words, cwd=ROOT)
    out, err = done.communicate()
    assert done.wait() == 0, err
    measured = json.loads((tmp_path / "m").read_text())
    assert (measured["images"], measured["classes"]) == (100, 5)
    rates = measured["episodes_per"]
    assert set(rates) == {"memory map", "DataLoader, 0 workers", "DataLoader, 2 workers"}
    assert [len(side["second"]) for side in rates.values()] == [1, 1, 1]
    assert [len(side["processor second"]) for side in rates.values()] == [1, 1, 0]
    assert all(rate > 0 for side in rates.values() for of_clock in side.values() for rate in of_clock)
    assert out.startswith("## Images and episodes\n")
    assert max(map(len, out.splitlines())) <= 110
