"""Omniglot from its two archives: every drawing, inverted and turned, and no character in two parts."""

import hashlib
import io
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import Omniglot

from fewshot_bench.data import find_source, open_images, splits
from fewshot_bench.data.formats import omniglot
from fewshot_bench.data.splits import standard
from fewshot_bench.errors import DataError

SIDE, DRAWINGS = 6, 2  # instead of 105 and 20
CHARACTERS = sum(standard("vinyals").parts.values(), ())
# Lake et al. 2015 publish these twenty alphabets as the evaluation set.
EVALUATION = {name.split("/")[0] for name in standard("vinyals").parts["test"]} | {
    "Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez", "Glagolitic",
}  # fmt: skip
SETS = {
    "images_background": [name for name in CHARACTERS if name.split("/")[0] not in EVALUATION],
    "images_evaluation": [name for name in CHARACTERS if name.split("/")[0] in EVALUATION],
}


FEW = {part: names[:: len(names) // 6] for part, names in standard("vinyals").parts.items()}  # for most tests


def write(root, characters):
    """Both archives in a folder; gives the drawings (n, side, side) of each character, ink as 0 and paper as 1."""
    rng, drawings = np.random.default_rng(0), {}
    for name, members in SETS.items():
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            archive.mkdir(name)
            for number, character in enumerate(members):
                if character in characters:
                    drawings[character] = rng.integers(0, 2, (DRAWINGS, SIDE, SIDE), np.uint8)
                    for i, drawing in enumerate(drawings[character]):
                        archive.writestr(f"{name}/{character}/{number:04d}_{i + 1:02d}.png", png(drawing))
    return root, drawings


def png(drawing):
    out = io.BytesIO()
    Image.fromarray(255 * drawing).convert("1").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All 1,623 characters."""
    return write(tmp_path_factory.mktemp("omniglot"), frozenset(CHARACTERS))


@pytest.fixture
def made(tmp_path_factory, monkeypatch):
    """A few characters of each part, with class lists that have no others."""
    few = replace(standard("vinyals"), parts=FEW)
    monkeypatch.setattr(splits, "standard", lambda name: few if name == "vinyals" else standard(name))
    return write(tmp_path_factory.mktemp("omniglot"), frozenset(sum(FEW.values(), ())))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(omniglot, "DRAWINGS", DRAWINGS)


@pytest.fixture
def copy(made, tmp_path):
    """A folder with both sets unpacked, to be damaged."""
    for name in SETS:
        with zipfile.ZipFile(made[0] / f"{name}.zip") as archive:
            archive.extractall(tmp_path / "copy")
    return tmp_path / "copy"


def check(found, drawings):
    """Every drawing of every class, one by one."""
    assert found.images.shape == (len(drawings) * 4 * DRAWINGS, 1, SIDE, SIDE)
    for c, (name, own) in enumerate(zip(found.class_names, found.images_of_class, strict=True)):
        character, turn = name.rsplit("/rot", 1)
        for index, drawing in zip(own, drawings[character], strict=True):
            ink = np.where(drawing == 0, 255, 0)
            turned = Image.fromarray(ink.astype(np.uint8)).rotate(int(turn))  # counter-clockwise, exact by 90 degrees
            assert np.array_equal(found.images[index, 0], np.asarray(turned)), name
        assert (found.class_ids[own] == c).all()


def test_the_sets_are_those_that_were_published():
    assert [len(characters) for characters in SETS.values()] == [964, 659]
    assert len(EVALUATION) == 20


def test_every_drawing_comes_back_from_the_archives(whole, tmp_path):
    found = open_images(str(whole[0]), tmp_path)
    check(found, whole[1])
    assert (found.name, found.family) == ("omniglot", "characters")
    assert found.note == (
        "12,984 images in 6,492 classes (4112/688/1692), read from Omniglot: 1,623 characters, each turned 4 ways."
    )
    assert found.standard_note == "classes split as by Vinyals et al. 2016 (Omniglot)"
    assert found.split("vinyals") == found.split("ravi")
    for part, classes in found.parts.items():  # the four turns of a character are in one part
        names = [found.class_names[c] for c in classes]
        turns = [f"/rot{turn:03d}" for turn in (0, 90, 180, 270)]
        assert names == [character + turn for character in sorted(standard("vinyals").parts[part]) for turn in turns]


def test_folders_give_the_same_as_archives(made, copy, tmp_path):
    unpacked = open_images(str(copy), tmp_path)
    assert unpacked.fingerprint == open_images(str(made[0]), tmp_path).fingerprint
    shutil.rmtree(copy / "images_evaluation")
    shutil.copy(made[0] / "images_evaluation.zip", copy)
    assert open_images(f"omniglot:{copy}", tmp_path).fingerprint == unpacked.fingerprint


def test_drawings_are_resized_before_they_are_turned(made, tmp_path):
    found = open_images(str(made[0]), tmp_path, image_size=4)
    name = min(FEW["train"])
    small = Image.fromarray(255 * made[1][name][0]).resize((4, 4), Image.Resampling.LANCZOS)
    for turn in range(4):
        own = found.images_of_class[found.class_names.index(f"{name}/rot{90 * turn:03d}")]
        assert np.array_equal(found.images[own[0], 0], 255 - np.rot90(np.asarray(small), turn))


@pytest.fixture
def serve(web_address, monkeypatch):
    """Serves a folder on this machine as the place that Omniglot is downloaded from."""
    return lambda folder: monkeypatch.setattr(Omniglot, "download_url_prefix", web_address(folder))


def test_the_name_downloads_both_archives_once(made, serve, tmp_path, monkeypatch):
    sums = {name: hashlib.md5((made[0] / f"{name}.zip").read_bytes()).hexdigest() for name in SETS}
    monkeypatch.setattr(Omniglot, "zips_md5", sums)
    serve(made[0])
    found = open_images("omniglot", tmp_path)
    check(found, made[1])
    downloads = tmp_path / "downloads"
    assert sorted(path.name for path in downloads.iterdir()) == [f"{name}.zip" for name in SETS]  # nothing unpacked
    shutil.rmtree(downloads)
    assert open_images("omniglot", tmp_path).fingerprint == found.fingerprint


def test_a_download_with_another_checksum_is_refused(made, serve, tmp_path):
    serve(made[0])
    with pytest.raises(DataError, match=r"images_background\.zip sends is not the published file") as error:
        open_images("omniglot", tmp_path)
    assert "\n" not in str(error.value)


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Omniglot, "download_url_prefix", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(DataError) as error:
        open_images("omniglot", tmp_path)
    assert str(error.value) == (
        f"cannot download http://127.0.0.1:9/images_background.zip to {tmp_path / 'downloads'} (Connection refused): "
        "fetch it by other means and put it there"
    )


@pytest.mark.parametrize("top", ["", "omniglot/"])
def test_one_archive_of_both_sets(made, copy, tmp_path, top):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in copy.rglob("*"):
            archive.write(path, f"{top}{path.relative_to(copy)}")
        archive.writestr(f"__MACOSX/{top}._images_background", b"")
    found = open_images(str(tmp_path / "all.zip"), tmp_path / "cache")
    check(found, made[1])
    assert found.fingerprint == open_images(str(copy), tmp_path / "cache").fingerprint


def test_one_of_the_two_archives_is_told_to_be_half(made, tmp_path):
    with pytest.raises(DataError) as error:
        open_images(str(made[0] / "images_background.zip"), tmp_path / "cache")
    assert str(error.value) == (
        f"{made[0] / 'images_background.zip'} is half of Omniglot: "
        "name the folder with images_background and images_evaluation"
    )


def test_half_of_it_is_told_what_is_missing(copy):
    shutil.rmtree(copy / "images_evaluation")
    with pytest.raises(DataError, match=r"has neither images_evaluation nor images_evaluation\.zip"):
        find_source(str(copy))


def test_a_character_may_lie_in_both_sets(made, copy, tmp_path):
    there, here = (copy / name / "Greek/character04" for name in SETS)
    here.mkdir(parents=True)
    shutil.move(next(there.glob("*_02.png")), here)
    check(open_images(str(copy), tmp_path), made[1])


def test_a_missing_drawing_is_said(copy, tmp_path):
    (copy / "images_background/Greek/character04").joinpath("rest.txt").touch()  # not an image: ignored
    next((copy / "images_background/Greek/character04").glob("*_01.png")).unlink()
    with pytest.raises(DataError, match="character 'Greek/character04' has 1 drawings, not 2: unpack or fetch"):
        open_images(str(copy), tmp_path)


def test_a_foreign_character_is_said(copy, tmp_path):
    shutil.copytree(copy / "images_background/Greek/character04", copy / "images_background/Klingon/character01")
    with pytest.raises(DataError, match="'Klingon/character01' is not a character of Omniglot"):
        open_images(str(copy), tmp_path)


def test_a_drawing_that_was_replaced_is_noticed(copy, tmp_path):
    before = open_images(str(copy), tmp_path).fingerprint
    drawing = next((copy / "images_evaluation/Atlantean/character11").glob("*.png"))
    Image.fromarray(np.full((SIDE, SIDE), 255, np.uint8)).convert("1").save(drawing)
    assert open_images(str(copy), tmp_path).fingerprint != before


def test_a_link_out_of_the_folder_is_not_followed(copy, tmp_path):
    drawing = next((copy / "images_evaluation/Atlantean/character11").glob("*.png"))
    shutil.move(drawing, tmp_path / "elsewhere.png")
    drawing.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match="is a link out of"):
        open_images(str(copy), tmp_path)


def test_what_is_not_square_cannot_be_turned(copy, tmp_path):
    for drawing in copy.rglob("*.png"):
        drawing.write_bytes(png(np.zeros((5, 6), np.uint8)))
    with pytest.raises(DataError, match="must be square"):
        open_images(str(copy), tmp_path)


def test_a_damaged_archive_is_one_line(made, copy, tmp_path):
    shutil.rmtree(copy / "images_evaluation")
    (copy / "images_evaluation.zip").write_bytes((made[0] / "images_evaluation.zip").read_bytes()[:500])
    with pytest.raises(DataError, match=r"images_evaluation\.zip is a damaged or incomplete archive"):
        open_images(str(copy), tmp_path)
