"""`bench data`: what is in a data set is said as it is, and what is wrong with one is found."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from fewshot_bench.data import FORMATS, find_source, open_images
from fewshot_bench.data.describing import class_samples
from fewshot_bench.data.readers import archives

SIDE = 16


def write_photos(folder: Path, layout: str = "class-folders", per_class: int = 20, **changed: np.ndarray) -> Path:
    """Classes of random colour images: 6 to train, 3 val, 4 test. changed: class -> its images (n, H, W, 3) instead."""
    rng = np.random.default_rng(0)
    part_of = {f"c{i:02d}": "train" if i < 6 else "val" if i < 9 else "test" for i in range(13)}
    for label, part in part_of.items():
        pixels = rng.integers(0, 256, (per_class, SIDE, SIDE, 3), np.uint8)
        home = folder / part / label if layout == "split-folders" else folder / label
        home.mkdir(parents=True)
        for i, image in enumerate(changed.get(label, pixels)):
            Image.fromarray(image).save(home / f"{i:03d}.png")
    if layout == "class-folders":
        rows = [f"{label},{part}" for label, part in part_of.items()]
        (folder / "split.csv").write_text("\n".join(["class,part", *rows]) + "\n")
    return folder


@pytest.fixture
def own(place, tmp_path, monkeypatch):
    """A data set of the test's own, an empty cache, and bench.toml as it is packaged."""
    (tmp_path / "bench.toml").unlink()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return write_photos(tmp_path / "set")


def test_list_names_formats_and_what_is_prepared(own, bench):
    before = bench("data", "list")
    assert (before.code, before.err) == (0, "")
    for words in ("strokes ", "class-folders ", "FORMAT:PATH", "nothing yet"):
        assert words in before.out
    assert max(map(len, before.out.splitlines())) <= 110
    prepared = json.loads(bench("data", "prepare", str(own), "--json").out)
    [row] = [line for line in bench("data", "list").out.splitlines() if str(own) in line]
    assert row.split() == ["set", "260", "13", "16×16", "colour", prepared["fingerprint"][:8], "0", "MiB", str(own)]
    listed = json.loads(bench("data", "list", "--json").out)
    assert listed["prepared"] == [{name: prepared[name] for name in listed["prepared"][0]}]
    assert listed["formats"]["class-folders"].startswith("a folder with <class>/<image>")


def test_a_cache_that_cannot_be_looked_into_holds_nothing(bench, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", "x" * 300)
    ran = bench("data", "list")
    assert (ran.code, ran.err) == (0, "")
    assert "nothing yet" in ran.out


@pytest.mark.usefixtures("own")
def test_list_and_list_datasets_are_one_truth(bench):
    assert bench("list", "datasets").out in bench("data", "list").out


def test_list_leaves_out_what_is_damaged(own, bench, tmp_path):
    folder = Path(json.loads(bench("data", "prepare", str(own), "--json").out)["folder"])
    (folder / "meta.json").write_text("{")
    (tmp_path / "cache" / "notes.txt").touch()
    ran = bench("data", "list")
    assert (ran.code, "nothing yet" in ran.out) == (0, True)


def test_prepare_says_what_it_did(own, bench, tmp_path):
    first, again = bench("data", "prepare", str(own)), bench("data", "prepare", str(own))
    assert (first.code, first.err, again.err) == (0, "", "")  # quiet when piped
    facts = dict(line.split(maxsplit=1) for line in first.out.splitlines())
    assert facts["images"] == "260"
    assert facts["format"] == "class-folders"
    assert facts["took"].endswith("images/s")
    assert facts["fingerprint"] == open_images(str(own), tmp_path / "other").fingerprint
    assert (Path(facts["prepared"]) / "images.npy").exists()
    assert "took         nothing" in again.out


def test_prepare_resizes(own, bench):
    assert json.loads(bench("data", "prepare", str(own), "--image-size", "8", "--json").out)["image_shape"] == [3, 8, 8]
    small = json.loads(bench("data", "prepare", str(own), "--set", "data.image_size=6", "--json").out)
    assert small["image_shape"] == [3, 6, 6]
    Path("bench.toml").write_text("[data]\nimage_size = 7\n")
    assert json.loads(bench("data", "prepare", str(own), "--json").out)["image_shape"] == [3, 7, 7]
    stored = json.loads(bench("data", "prepare", str(own), "--image-size", "0", "--json").out)
    assert stored["image_shape"] == [3, SIDE, SIDE]


def test_describe_counts(own, bench, tmp_path):
    for i in range(7):
        (own / "c12" / f"{i:03d}.png").unlink()
    ran = bench("data", "describe", str(own), "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    images = open_images(str(own), tmp_path / "cache")
    pixels = np.array(images.images, float) / 255
    assert found["format"] == "class-folders"
    assert found["prepared"]["fingerprint"] == images.fingerprint
    assert found["n_classes"] == {"train": 6, "val": 3, "test": 4}
    assert found["images_per_class"] == [13, 20, 20]
    np.testing.assert_allclose(found["pixels"]["mean"], pixels.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(found["pixels"]["std"], pixels.std((0, 2, 3)), rtol=1e-9)
    largest = {split["name"]: (split["most_way"], split["most_shot"]) for split in found["splits"]}
    assert largest == {"paper": (0, 0), "ravi": (0, 0), "ravi-val": (3, 5)}  # c12 has fewer images than queries


def test_describe_for_people(own, bench):
    ran = bench("data", "describe", str(own), "--split", "ravi")
    assert (ran.code, ran.err) == (0, "")
    for words in (
        "format       class-folders",
        "images       260",
        "size         16×16 colour",
        "13: 6 train, 3 val, 4 test",
        "a class has  20 images",
        "Split by split.csv.",
        "split ravi   6 base classes (train), 4 novel (test); up to 4-way 5-shot (15 queries a class)",
    ):
        assert words in ran.out, ran.out
    assert "split paper" not in ran.out


def test_the_largest_episodes_are_possible_and_larger_ones_are_not(own, bench):
    """What `describe` says is what `bench run` accepts."""
    Path("bench.toml").write_text(GRID)
    wanted = ("run", "-n", "--data", str(own), "--split", "ravi")
    codes = [bench(*wanted, "--way", way, "--shot", shot).code for way, shot in (("4", "5"), ("5", "5"), ("4", "6"))]
    assert codes == [0, 2, 2]


def test_an_archive_says_its_layout(own, bench, tmp_path):
    shutil.make_archive(str(tmp_path / "photos"), "zip", own)
    found = json.loads(bench("data", "describe", str(tmp_path / "photos.zip"), "--json").out)
    again = json.loads(bench("data", "describe", str(tmp_path / "photos.zip"), "--json").out)
    assert found["format"] == again["format"] == "class-folders, in an archive"


def test_the_sheet_shows_images_of_the_set(own, bench, tmp_path):
    ran = bench("data", "describe", str(own), "--sheet", "new/sheet.png", "--split", "ravi")
    assert (ran.code, ran.err) == (0, "new/sheet.png\n")
    with Image.open(tmp_path / "new" / "sheet.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    samples = class_samples(open_images(str(own), tmp_path / "cache"), "ravi", 8, 12)
    assert [(s.kind, s.part) for s in samples] == [("base", "train")] * 6 + [("novel", "test")] * 4
    enlarged = samples[-1].images[-1].transpose(1, 2, 0).repeat(5, 0).repeat(5, 1)
    np.testing.assert_array_equal(shown[-84:-4, -84:-4], enlarged)  # the last one, in the corner
    first = hashlib.sha256((tmp_path / "new" / "sheet.png").read_bytes()).digest()
    assert bench("data", "describe", str(own), "--sheet", "new/sheet.png", "--split", "ravi").code == 0
    assert hashlib.sha256((tmp_path / "new" / "sheet.png").read_bytes()).digest() == first


def test_a_sample_is_of_the_classes_that_it_names(images):
    samples = class_samples(images, "paper", 3, 5)
    assert [s.kind for s in samples] == ["base"] * 3 + ["novel"] * 3
    for sample in samples:
        c = images.class_names.index(sample.name)
        assert c in images.parts[sample.part]
        own = images.images[images.images_of_class[c]]
        assert len(sample.images) == 5
        assert all((own == image).all((1, 2, 3)).any() for image in sample.images)
    assert [s.name for s in samples] != sorted(images.class_names)[:6]


def test_check_finds_nothing_in_a_good_set(own, bench):
    ran = bench("data", "check", str(own), "--split", "ravi")
    assert (ran.code, ran.err) == (3, "")  # the full grid's settings do not fit: see below
    Path("bench.toml").write_text(GRID)
    ran = bench("data", "check", str(own), "--split", "ravi")
    assert (ran.code, ran.err) == (0, "")
    assert "7 checks, 0 alarms" in ran.out
    assert json.loads(bench("data", "check", str(own), "--split", "ravi", "--json").out)["alarms"] == 0


GRID = """
[run]
grid = "one"
[training]
query = 10
[grids.one]
methods = ["transfer"]
ways = [4]
shots = [1, 5]
seeds = [0]
"""


def alarms(ran) -> dict[str, str]:
    return {a["kind"]: a["text"] for check in json.loads(ran.out)["checks"] for a in check["alarms"]}


def notes(ran) -> dict[str, str]:
    return {check["kind"]: note for check in json.loads(ran.out)["checks"] for note in check["notes"]}


@pytest.mark.usefixtures("place")
def test_check_finds_what_is_planted(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bench.toml").write_text(GRID)
    rng = np.random.default_rng(1)
    blank = rng.integers(0, 256, (20, SIDE, SIDE, 3), np.uint8)
    blank[3] = (9, 90, 200)
    blank[5] = 100 + rng.integers(0, 3, (SIDE, SIDE, 3))
    large = rng.integers(0, 256, (45, SIDE, SIDE, 3), np.uint8)
    folder = write_photos(tmp_path / "bad", c01=blank, c02=large)
    shutil.copy(folder / "c00" / "004.png", folder / "c10" / "007.png")
    ran = bench("data", "check", str(folder), "--json")
    assert ran.code == 3
    found = alarms(ran)
    assert found.keys() == {"duplicates of base images", "blank images"}
    assert "c10/007.png = c00/004.png" in found["duplicates of base images"]
    assert found["blank images"] == "1 image of a single colour: c01/003.png"
    assert notes(ran)["blank images"] == "1 image of nearly a single colour: c01/005.png"
    assert notes(ran)["class sizes"] == "classes differ in size: 'c00' has 20 images, 'c02' 45"


@pytest.mark.parametrize("archived", [False, True])
def test_copies_and_turned_photographs_are_named_by_file(own, bench, tmp_path, archived):
    shutil.copy(own / "c00" / "004.png", own / "c00" / "017.png")
    for name, orientation in (("c01/000.jpg", 6), ("c02/000.jpg", 1), ("c12/000.jpg", 3)):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.open(own / name.replace("jpg", "png")).save(own / name, exif=exif)
    source = shutil.make_archive(str(tmp_path / "packed"), "zip", own) if archived else str(own)
    ran = bench("data", "prepare", source)
    text = " ".join(ran.out.split())
    assert "1 image equal to the byte to another: c00/017.png = c00/004.png" in text
    turned = "2 photographs read as stored, which EXIF would turn: c01/000.jpg, c12/000.jpg"
    assert turned in text
    again = " ".join(bench("data", "prepare", source).out.split())  # which decodes nothing
    assert "took nothing" in again
    assert turned in again
    checked = bench("data", "check", source, "--json")
    assert notes(checked)["EXIF orientation"] == turned
    assert checked.code == 0


def test_the_first_run_says_of_the_data_what_prepare_says(own, place, bench):
    shutil.copy(own / "c00" / "004.png", own / "c10" / "007.png")
    shutil.copy(own / "c00" / "005.png", own / "stray.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(own / "c01" / "000.png").save(own / "c01" / "000.jpg", exif=exif)
    (place.folder / "bench.toml").write_text(GRID)
    ran = bench("run", "-n", "--data", str(own))
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "set, left out: Images left out, as they lie in no class folder: 1 ('stray.png').",
        "set, copies: 1 image equal to the byte to another: c10/007.png = c00/004.png",
        "set, EXIF: 1 photograph read as stored, which EXIF would turn: c01/000.jpg",
    ]
    again = bench("run", "-n", "--data", str(own))  # which decodes nothing
    assert (again.code, again.err) == (0, "")
    prepared = json.loads(bench("data", "prepare", str(own), "--json").out)
    assert [line.partition(": ")[2] for line in ran.err.splitlines()] == prepared["notes"]


def test_what_an_earlier_version_did_not_keep_is_not_taken_for_nothing(own, bench, tmp_path):
    folder = Path(json.loads(bench("data", "prepare", str(own), "--json").out)["folder"])
    meta = json.loads((folder / "meta.json").read_text())
    del meta["turned"], meta["left_out"]
    (folder / "meta.json").write_text(json.dumps(meta))
    assert notes(bench("data", "check", str(own), "--json"))["EXIF orientation"].startswith("not known, as an earlier")
    shutil.rmtree(folder)
    assert "EXIF orientation" not in notes(bench("data", "check", str(own), "--json"))


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_preparing_an_archive_reads_it_twice(own, bench, tmp_path, suffix, monkeypatch):
    """Once for the names and once for the images: what is told of their EXIF is seen while they are decoded."""
    read = []
    streams = archives._streams
    monkeypatch.setattr(archives, "_streams", lambda *given: read.append(given[0]) or streams(*given))
    source = shutil.make_archive(str(tmp_path / "packed"), suffix, own)
    assert bench("data", "prepare", source).code == 0
    assert read == [Path(source)] * 2


@pytest.mark.parametrize("command", ["check", "prepare"])
@pytest.mark.parametrize(("n", "end"), [(3, "is damaged or truncated"), (12, "; and 2 more")])
def test_all_broken_images_are_named_together(own, bench, command, n, end):
    for i in range(n):
        path = own / "c03" / f"{i:03d}.png"
        path.write_bytes(path.read_bytes()[:60])
    ran = bench("data", command, str(own))
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert f"{n} images cannot be used: " in ran.err
    assert [f"c03/{i:03d}.png" in ran.err for i in range(12)] == [i < min(n, 10) for i in range(12)]
    assert end in ran.err


def test_a_hostile_class_name_cannot_write_to_the_terminal(own, bench, tmp_path):
    (own / "split.csv").unlink()
    (own / "c10").rename(own / "c\x1b[2J")
    shutil.copy(own / "c00" / "004.png", own / "c\x1b[2J" / "007.png")
    for command in (["check"], ["describe", "--sheet", "sheet.png"], ["prepare"]):
        ran = bench("data", *command, str(own))
        assert ran.code == 2
        assert "\x1b" not in ran.out + ran.err
        assert "'c\\x1b[2J' cannot be the name of a class" in ran.err


def test_check_says_which_settings_are_too_large(own, bench):
    Path("bench.toml").write_text(GRID.replace("[4]", "[4, 5]"))
    ran = bench("data", "check", str(own), "--split", "ravi", "--json")
    assert ran.code == 0
    assert notes(ran)["class sizes"].startswith(
        "2 of the 4 settings of grid 'one' are not possible, e.g. 5-way 1-shot needs 5 classes, but there are 4 "
    )
    Path("bench.toml").write_text(GRID.replace("[4]", "[5]").replace("query = 10", "query = 16"))
    found = bench("data", "check", str(own), "--split", "ravi")
    assert found.code == 3
    text = " ".join(found.out.split())
    assert "no setting of grid 'one' is possible: 5-way 1-shot needs 5 classes" in text
    assert "no training episode is possible: 5-way 5-shot with 16 queries a class needs 21 images" in text


@pytest.mark.usefixtures("place")
def test_check_compares_with_the_published_split(bench, tmp_path, monkeypatch):
    from fewshot_bench.data.splits import standard

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bench.toml").write_text(GRID.replace("query = 10", "query = 1").replace("[1, 5]", "[1]"))
    for name, moved in (("right", 0), ("leaking", 2)):
        parts = {part: list(classes) for part, classes in standard("bertinetto").parts.items()}
        parts["train"][:moved], parts["test"][:moved] = parts["test"][:moved], parts["train"][:moved]
        rng = np.random.default_rng(0)
        for part, classes in parts.items():
            for label in classes:
                (tmp_path / name / part / label).mkdir(parents=True)
                for i in range(2):
                    pixels = rng.integers(0, 256, (8, 8), np.uint8)
                    Image.fromarray(pixels).save(tmp_path / name / part / label / f"{i}.png")
    assert "published classes" not in alarms(bench("data", "check", str(tmp_path / "right"), "--json"))
    assert "published       classes split as by Bertinetto" in bench("data", "describe", str(tmp_path / "right")).out
    found = alarms(bench("data", "check", str(tmp_path / "leaking"), "--json"))
    assert "2 of its test classes are trained on" in found["published classes"]


@pytest.mark.parametrize("command", ["run -n", "data describe", "data check"])
def test_a_format_can_be_forced(own, bench, command):
    """A folder that is two layouts at once: class folders, and parts that are called train, val and test."""
    for label, part in (("c00", "train"), ("c06", "val"), ("c09", "test")):
        shutil.copytree(own / label, own / part / label)
    Path("bench.toml").write_text(GRID)
    words = command.split()
    options = ["--data"] if "run" in words else []
    forced = bench(*words, *options, f"class-folders:{own}")
    recognised = bench(*words, *options, str(own))
    assert "split.csv has no row for the class folder 'test', 'train', 'val'" in forced.err
    assert "split.csv" not in recognised.err


def test_a_forced_format_reads_the_same(own, bench, tmp_path):
    assert find_source(f"class-folders:{own}").state() == find_source(str(own)).state()
    shutil.make_archive(str(tmp_path / "photos"), "zip", own)
    sources = (str(own), f"class-folders:{tmp_path}/photos.zip", f"archive:{tmp_path}/photos.zip")
    assert len({open_images(source, tmp_path / "cache").fingerprint for source in sources}) == 1


def test_an_existing_path_with_a_colon_comes_first(own, bench, tmp_path):
    (tmp_path / "class-folders:set").symlink_to(own)
    write_photos(tmp_path / "2024: photos", "split-folders")
    assert bench("data", "prepare", "class-folders:set").code == 0
    assert "split-folders" in bench("data", "prepare", "2024: photos").out


WRONG = {
    ("describe", "nowhere"): "there is no folder or file nowhere here, and no data set of that name",
    ("describe", "/nowhere/at/all"): "there is no /nowhere/at/all; `bench data list` shows",
    ("prepare", "clas-folders:set"): "no format 'clas-folders': did you mean 'class-folders'",
    ("prepare", "https://host/set.zip"): "https://host/set.zip is an address: download what is there, and name the",
    ("prepare", "class-folders:s3://bucket/set"): "s3://bucket/set is an address: download",
    ("prepare", "FILE:///home/me/set"): "name the file or folder by its path",
    ("prepare", "set.tar.bz2"): "is packed in a way that is not read: unpack it and name its folder",
    ("prepare", "set.rar"): "or pack it as .zip or .tar.gz",
    ("prepare", "class-folders:nowhere"): "there is no nowhere",
    ("prepare", "class-folders:"): "there is no path after class-folders:",
    ("prepare", "strokes:set"): "'strokes' takes no path",
    ("prepare", "archive:set"): "set is not an archive",
    ("prepare", "archive:set/c00/000.png"): "000.png is not an archive",
    ("prepare", "split-folders:set"): "set/train is missing",
    ("prepare", "split-folders:set/c00/000.png"): "train is missing",
    ("prepare", "chen-json:set"): "base.json is missing",
    ("prepare", "bertinetto:set"): "splits",
    ("prepare", "easyfsl-csv:set"): "train.csv is missing",
    ("prepare", "miniimagenet-csv:set"): "train.csv",
    ("prepare", "miniimagenet-cache:set"): "mini-imagenet-cache-train.pkl is missing",
    ("prepare", "label-pickles:set"): "set holds none of the files: expected a folder with miniImageNet_category",
    ("prepare", "set/c00/000.png"): "000.png is a file in no known format",
    ("prepare", "set/c00"): "is in no known layout: it holds 20 .png files; `bench data list`",
    ("prepare", "set", "--image-size", "9999"): "image_size = 9999 is not between",
    ("prepare", "set", "--image-size", "-1"): "-1 is not in the range",
    ("describe", "set", "--sheet", "sheet.jpg"): "name it sheet.png",
    ("describe", "set", "--sheet", ""): "name it sheet.png",
    ("describe", "set", "--sheet", "set/split.csv/a.png"): "set/split.csv/a.png: cannot be written",
    ("describe", "set", "--split", "papre"): "unknown split 'papre': did you mean 'paper'",
    ("check", "set", "--split", "papre"): "unknown split 'papre'",
    ("check",): "Missing argument 'SOURCE'. (bench data check --help lists the options)",
    ("chekc", "set"): "No such command 'chekc'",
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
@pytest.mark.usefixtures("own")
def test_a_wrong_command_is_one_line(bench, words):
    for name in ("set.tar.bz2", "set.rar"):
        Path(name).write_bytes(b"packed")
    ran = bench("data", *words)
    assert ran.code == 2, ran
    assert len(ran.err.splitlines()) == 1, ran.err
    assert WRONG[words] in ran.err
    assert len(ran.err) < 300


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("path", ["empty", "set/c00/000.png", "set/c00"])
@pytest.mark.usefixtures("own")
def test_a_wrong_format_is_one_line(bench, name, path):
    Path("empty").mkdir()
    ran = bench("data", "prepare", f"{name}:{path}")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran


def test_an_unreadable_file_is_named(own, bench):
    (own / "c03" / "004.png").write_bytes(b"<!DOCTYPE html><html>")
    for command in ("prepare", "describe", "check"):
        ran = bench("data", command, str(own))
        assert ran.code == 2
        assert ran.err.startswith(f"bench: error: {own}/c03/004.png is a web page (HTML)")


def test_the_report_shows_the_images(run, bench):
    assert bench("report").code == 0
    html = (run.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 6 + 7  # base and novel classes of the tiny set
    assert 'alt="10 images of class class01"' in html
