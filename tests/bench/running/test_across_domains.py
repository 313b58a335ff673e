"""--novel-data: trained on one data set, tested on the novel classes of another."""

import json

import numpy as np
import pytest
from PIL import Image

from fewshot_bench import results
from fewshot_bench.data import open_images
from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.results import collect
from fewshot_bench.results.store import Reader


def photographs(folder, mode):
    """Five novel classes of images of 16 pixels, and one base class."""
    rng = np.random.default_rng(1)
    for name in ("train/base", "val/new0", *(f"test/new{i}" for i in range(1, 5))):
        (folder / name).mkdir(parents=True)
        pattern = rng.integers(0, 200, (16, 16))
        for i in range(9):
            image = Image.fromarray((pattern + rng.integers(0, 56, (16, 16))).astype(np.uint8))
            image.convert(mode).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("others"), "L")


def test_trainings_are_shared_and_the_episodes_are_those_of_the_other_set(run, bench, photos, others, cache):
    done = bench("run", "-q", "--novel-data", str(others), "--method", "protonet")
    assert done.code == 0, done.err
    found = results(run.database, methods="protonet")
    assert len(found) == 4, "two settings, within the data set and across"
    assert found["training_key"].nunique() == 1
    page = bench("report", "--novel-data", str(others), "--method", "protonet", "--format", "markdown").out
    assert f"novel classes of {others.name} (trained on " in page
    rows = json.loads(bench("report", "--novel-data", str(others), "--method", "protonet", "--format", "json").out)[
        "rows"
    ]
    key = rows[0]["cells"][0]["seeds"][0]["key"]
    assert key not in bench("report", "--grid", "tiny", "--method", "protonet", "--format", "json").out
    sampler = bank(open_images(str(others), cache), "paper", 4, 3, 0)
    stored = Reader(str(run.database)).episodes([key])[key]
    assert [e.episode_id for e in stored] == [sampler.draw(i, Setting(4, 1, 3)).id for i in range(6)]
    again = bench("run", "-n", "--novel-data", str(others), "--method", "protonet")
    assert "2 done" in again.out + again.err
    looked = bench("doctor", "--novel-data", str(others), "--method", "protonet")
    assert looked.code == 0, looked.err
    ours, theirs = open_images(str(photos), cache), open_images(str(others), cache)
    base, novel = ours.split("paper").base, theirs.split("paper").novel
    n = np.isin(ours.class_ids, base).sum() + np.isin(theirs.class_ids, novel).sum()
    assert f"among {n:,} images" in looked.err
    assert bench("replay", key).out.splitlines()[-1].startswith("identical")


def test_the_same_data_set_named_twice_is_one(run, bench, photos):
    again = bench("run", "-n", "--novel-data", str(photos))
    assert "4 done" in again.out + again.err


def test_images_of_another_kind_are_refused(place, bench, tmp_path):
    refused = bench("run", "-n", "--novel-data", str(photographs(tmp_path / "coloured", "RGB")))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "a network takes one kind" in refused.err


def test_tables_of_tuned_and_published_rules_are_both_across_and_verified(run, bench, others):
    """The second one shows the other set's classes, too, and neither is taken for edited by hand."""
    run.write_rules()
    words = ("--novel-data", str(others), "--method", "transfer")
    for more in ((), ("--rules", "tuned.toml")):
        assert bench("run", "-q", *words, *more).code == 0

    def table(format_, *more):
        return bench("report", *words, *more, "--format", format_).out

    both = json.loads(table("json", "--rules", "tuned.toml"))
    assert both["beside"]["rows"] == json.loads(table("json"))["rows"]
    (run.folder / "table.tex").write_text(table("latex", "--rules", "tuned.toml"))
    ran = bench("verify", "table.tex")
    assert (ran.code, "note:" in ran.out, ran.out.count("4 measured cells")) == (0, False, 1), ran.out


def test_novel_classes_of_one_set_that_are_base_classes_of_the_other_are_counted(run, tmp_path):
    """As those of miniImageNet are of tieredImageNet."""
    others = photographs(tmp_path / "others", "L")
    (others / "test" / "new1").rename(others / "test" / "class02")
    apart = photographs(tmp_path / "apart", "L")
    said = [
        collect.results(choose(Selection(novel_data=str(source)))).experiment.pretraining for source in (others, apart)
    ]
    assert said[0].startswith("WARNING: 1 of the 5 novel classes of others are called as base classes of photos")
    assert said[1] == ""
