"""A stored model on images from outside: on an episode it answers as the stored cell did, however they are given."""

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import fewshot_bench
from fewshot_bench.data import open_images
from fewshot_bench.data.formats import omniglot
from fewshot_bench.data.readers.given_images import given_images
from fewshot_bench.errors import BenchError, DatabaseError, DataError, NothingSelected, UsageError
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.experiment.records import unpack_answers
from fewshot_bench.replay.model import TrainedModel
from fewshot_bench.replay.rebuild import find_stored
from fewshot_bench.results.store import Reader


@pytest.fixture
def images(photos, cache):
    """The tiny photographs, as a run sees them."""
    return open_images(str(photos), cache)


@pytest.fixture
def model(run):
    return fewshot_bench.load("out", "protonet-4w1s-s0").fit(np.zeros((2, 16, 16), np.uint8), ["a", "b"])


def episode_of(images, n_shot: int, number: int):
    """Support images and labels, and queries, of an episode of the bank."""
    drawn = bank(images, "paper", 4, 3, 0).draw(number, Setting(4, n_shot, 3))
    pixels = np.asarray(images.images)
    return pixels[drawn.support], drawn.support_labels, pixels[drawn.query]


@pytest.mark.parametrize("variant", ["transfer", "protonet"])
@pytest.mark.parametrize("n_shot", [1, 5])
def test_on_an_episode_it_answers_as_the_stored_cell_did(variant, n_shot, run, images):
    model = fewshot_bench.load("out", f"{variant}-4w{n_shot}s-s0", device="cpu")
    key = model.cell.key
    stored = Reader(str(run.database)).answers([key])[key]
    assert len(stored) == 6
    for number, answers in stored.items():
        support, labels, queries = episode_of(images, n_shot, number)
        answered = model.fit(support, labels).predict(queries)
        assert answered.tolist() == unpack_answers(answers, 4).tolist()


def test_a_cell_is_found_by_name_and_by_key_in_a_folder_and_in_a_file(run):
    model = fewshot_bench.load("out", "transfer-4w5s-s0")
    for where, cell in (
        (Path("out"), model.cell.key),
        (run.database, model.cell.key[:9]),
        ("sqlite:///out/results.sqlite", model.name),
    ):
        assert fewshot_bench.load(where, cell).cell == model.cell


def test_images_may_come_as_arrays_tensors_pictures_and_files(run, images, tmp_path):
    model = fewshot_bench.load("out", "protonet-4w5s-s0")
    support, labels, queries = episode_of(images, 5, 0)
    expected = model.fit(support, labels).predict_proba(queries)
    pictures = [Image.fromarray(image[0]) for image in queries]
    paths = [tmp_path / f"{i}.png" for i in range(len(queries))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    floats = torch.from_numpy(queries).float() / 255
    forms: list[Any] = [
        queries[:, 0], list(queries), np.repeat(queries, 3, 1), queries.transpose(0, 2, 3, 1),
        torch.from_numpy(queries), floats, floats.double().numpy(), pictures,
        [p.convert("RGB") for p in pictures], paths, list(map(str, paths)),
    ]  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(model.predict_proba(form), expected)
    np.testing.assert_allclose(expected.sum(1), 1)
    np.testing.assert_array_equal(model.predict_proba(paths[0])[0], model.predict_proba(pictures[0])[0])


def test_other_sizes_become_the_data_sets_as_its_own_would(model, tmp_path):
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8))
    large.save(tmp_path / "large.png")
    by_hand = np.asarray(large.resize((16, 16), Image.Resampling.LANCZOS))
    expected = model.predict_proba(by_hand[None])
    for form in (large, [np.asarray(large)], tmp_path / "large.png"):
        np.testing.assert_array_equal(model.predict_proba(form), expected)


def test_labels_may_be_texts_and_come_class_by_class(run, images):
    model = fewshot_bench.load("out", "transfer-4w5s-s0")
    support, labels, queries = episode_of(images, 5, 1)
    names = np.array(["wolf", "ant", "cat", "bee"])[labels]
    order = np.argsort(names, kind="stable")
    answered = model.fit(support[order], names[order].tolist()).predict(queries)
    assert model.classes.tolist() == ["ant", "bee", "cat", "wolf"]
    assert set(answered) <= set(names)
    assert len(model.predict([])) == 0


def test_two_classes_of_other_sizes_are_a_task_too(run, images):
    support, labels, queries = episode_of(images, 5, 1)
    for cell in ("transfer-4w5s-s0", "protonet-4w5s-s0"):
        kept = labels < 2
        kept[np.flatnonzero(labels == 0)[:3]] = False
        model = fewshot_bench.load("out", cell).fit(support[kept], labels[kept] + 7)
        assert set(model.predict(queries)) <= {7, 8}
        assert model.predict_proba(queries[:5]).shape == (5, 2)


def test_omniglots_ink_is_bright_here_and_dark_in_files(run, images, monkeypatch, tmp_path):
    """What stands under its name is inverted as its own files were; that of a folder that is only called so is not."""
    support, labels, (query, *_) = episode_of(images, 1, 0)
    Image.fromarray(query[0]).save(tmp_path / "a.png")
    reader = Reader(str(run.database))
    stored = find_stored(reader, fewshot_bench.load("out", "protonet-4w1s-s0").cell.key)
    named = replace(stored, facts=replace(stored.facts, cell=stored.facts.cell | {"label": "omniglot paper x"}))
    n_base_classes = stored.facts.training["identity"]["n_base_classes"]
    for n, inverted in ((n_base_classes, True), (4112, False)):
        monkeypatch.setattr(omniglot, "n_base_classes", lambda n=n: n)
        model = TrainedModel(named, run.folder / "out" / "checkpoints", "cpu").fit(support, labels)
        as_file = model.predict_proba(tmp_path / "a.png")
        assert np.array_equal(as_file, model.predict_proba(255 - query[None])) is inverted
        assert np.array_equal(as_file, model.predict_proba(query[None])) is not inverted


def _read_later(damage):
    """An image whose header is in order."""
    out = BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(out, "PNG")
    return Image.open(BytesIO(damage(out.getvalue())))


def _closed():
    image = Image.new("L", (16, 16))
    image.close()
    return image


NO_IMAGES = {
    "type": (np.zeros((1, 16, 16), np.int64), "image 0 has numbers of type int64: give bytes"),
    "range": (np.full((1, 16, 16), 255.0), "image 0 has floats outside"),
    "nan": (np.full((1, 16, 16), np.nan), "image 0 has floats outside"),
    "float size": (np.zeros((1, 17, 16)), "image 0 has 16×17 floats, not 16×16: only bytes are resized"),
    "shape": (np.zeros((1, 16), np.uint8), "image 0 has the shape \\(16,\\)"),
    "channels": (np.zeros((1, 16, 16, 4), np.uint8), "image 0 has the shape \\(16, 16, 4\\)"),
    "colour": (np.arange(768).reshape(1, 16, 16, 3).astype(np.uint8), "image 0 is a colour image"),
    "no file": ("absent.png", "absent.png is not a file"),
    "folder": (".", ". is not a file"),
    "long name": ("x" * 300, "xxx: File name too long"),
    "no image": ("bench.toml", "bench.toml is not a JPEG"),
    "open file": ([BytesIO()], "image 0 has the shape"),
    "nothing": (None, "images are a NoneType: give files, PIL images, or arrays of them"),
    "number": (3, "images are a int: give files"),
    "no pixels": (Image.new("L", (0, 5)), "image 0 has no pixels: it is 0×5"),
    "ragged": ([[[0], [0, 0]]], "image 0 is no image"),
    "cut": (_read_later(lambda data: data[:-30]), r"image 0 is damaged or truncated \(image file is truncated"),
    "piece": (
        _read_later(lambda data: data.replace(b"\x17IDAT", b"\1IDAT")),
        r"image 0 is damaged or truncated \(broken PNG file",
    ),
    "closed": (_closed(), r"image 0 is damaged or truncated \(Operation on closed image"),
    "no data": (torch.zeros(1, 16, 16, device="meta"), "image 0 is no image"),
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_is_one_line(kind, model):
    given, said = NO_IMAGES[kind]
    with pytest.raises(DataError, match=said):
        model.predict(given)


@pytest.mark.parametrize(
    ("channels", "shape"), [(1, (16, 16, 1)), (1, (16, 16, 3)), (3, (16, 16, 3)), (3, (3, 16, 16))]
)
@pytest.mark.parametrize("form", [np.zeros, torch.zeros])
def test_one_image_as_an_array_is_not_taken_for_several(form, channels, shape):
    with pytest.raises(DataError, match=r"images are one array \(.*\): give one image as \[image\]"):
        list(given_images(form(shape), (channels, 16)))
    one, three = form(shape), form((3, 1, 16, 16))
    if shape[-1 if shape[-1] < 16 else 0] == channels:
        assert [image.shape for image in given_images([one], (channels, 16))] == [(channels, 16, 16)]
    assert len(list(given_images(three, (channels, 16)))) == 3


def test_labels_may_be_any_iterable_that_has_an_order(model):
    pixels = np.zeros((2, 16, 16), np.uint8)
    for labels in ((name for name in "ba"), map(str, "ba"), {0: "b", 1: "a"}.values(), pd.Series(["b", "a"])):
        assert model.fit(pixels, labels).classes.tolist() == ["a", "b"]
    with pytest.raises(UsageError, match="one whole number or text per image"):
        model.fit(pixels, {"a", "b"})
    with pytest.raises(UsageError, match="0 images and 0 labels of 0 classes do not make a task"):
        model.fit([], [])


@pytest.mark.parametrize("labels", [["a", "a"], ["a"], [0.5, 1.5], [["a", "b"]], [None, "a"], ["a", 1], [True, 2]])
def test_labels_that_make_no_task_are_one_line(labels, model):
    with pytest.raises(UsageError, match=r"do not make a task|one whole number or text per image"):
        model.fit(np.zeros((2, 16, 16), np.uint8), labels)


def test_a_fit_that_fails_leaves_the_one_before_it(model):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    expected = model.predict(pixels).tolist()
    for images, labels in ((pixels, ["x", "y"]), (pixels, ["x", "x", "x"]), (pixels.astype(int), [3, 4, 5])):
        with pytest.raises(UsageError):
            model.fit(images, labels)
        assert model.classes.tolist() == ["a", "b"]
        assert model.predict(pixels).tolist() == expected


def test_no_images_have_features_and_labels_too(model):
    some = model.features(torch.zeros(2, 16, 16, dtype=torch.bfloat16))
    assert model.features([]).shape == (0, some.shape[1])
    assert len(model.predict([])) == 0


@pytest.mark.parametrize("number", [-1, 2**70, "1", 1.0, None])
def test_an_episode_has_a_whole_number(number, model):
    with pytest.raises(UsageError, match="they are counted in whole numbers, from 0 to "):
        model.episode(number)


def test_what_cannot_be_loaded_is_one_line(run):
    with pytest.raises(UsageError, match="weights = 3 must be a text or a path"):
        fewshot_bench.load("out", "protonet-4w5s-s0", weights=3)  # type: ignore[arg-type]
    for cell in (None, 3):
        with pytest.raises(UsageError, match=f"cell = {cell} must be a text"):
            fewshot_bench.load("out", cell)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"where = {cell} must be a text or a path"):
            fewshot_bench.load(cell, "protonet-4w5s-s0")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown device 'x'"):
        fewshot_bench.load("out", "protonet-4w1s-s0", device="x")  # type: ignore[arg-type]
    with pytest.raises(NothingSelected, match="mamal-4w1s-s0 is not stored"):
        fewshot_bench.load("out", "mamal-4w1s-s0")
    with pytest.raises(NothingSelected, match="no cell's key starts with 'ffffffff'"):
        fewshot_bench.load("out", "ffffffff")
    with pytest.raises(BenchError, match="absent"):
        fewshot_bench.load("absent", "protonet-4w1s-s0")
    with pytest.raises(UsageError, match=r"fit\(\) comes before predict\(\)"):
        fewshot_bench.load("out", "protonet-4w1s-s0").predict([])
    for weights in (run.folder / "out" / "checkpoints").iterdir():
        weights.write_bytes(b"")
    with pytest.raises(DatabaseError, match="are missing or damaged"):
        fewshot_bench.load("out", "protonet-4w1s-s0")


def test_a_name_that_stands_for_two_results_is_the_last_runs(run, bench):
    """So a tutorial that tries a small budget first goes on with the large one; what was tuned is no run's result."""
    first = fewshot_bench.load("out", "protonet-4w1s-s0")
    assert bench("run", "-q", "--method", "protonet", "--shot", "1", "--split", "ravi").code == 0
    last = fewshot_bench.load("out", "protonet-4w1s-s0")
    assert (first.of.split()[1], last.of.split()[1]) == ("paper", "ravi")
    assert f"{last.cell.key}, {last.of}\n" in bench("show", "protonet-4w1s-s0").out
    with closing(sqlite3.connect(run.database)) as database, database:
        database.execute("UPDATE runs SET command = 'bench tune' WHERE id = 2")
    assert Reader(str(run.database)).cell("protonet-4w1s-s0").cell["key"] == first.cell.key


def test_predict_writes_a_row_an_image(run, bench, images, tmp_path):
    support, labels, queries = episode_of(images, 5, 2)
    for i, (image, label) in enumerate(zip(support, labels, strict=True)):
        folder = tmp_path / "support" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{i}.png")
    paths = [f"=query{i}.png" for i in range(len(queries))]
    for path, image in zip(paths, queries, strict=True):
        Image.fromarray(image[0]).save(path)
    words = ("predict", "protonet-4w5s-s0", "--support", "support", *paths)
    as_csv, as_json = bench(*words), bench(*words, "--format", "json")
    said = f"with protonet-4w5s-s0 of {fewshot_bench.load('out', 'protonet-4w5s-s0').of}\n"
    assert (as_csv.code, as_csv.err, as_json.code) == (0, said, 0)
    rows, found = list(csv.DictReader(as_csv.out.splitlines())), json.loads(as_json.out)
    model = fewshot_bench.load("out", "protonet-4w5s-s0").fit(support, [f"class {label}" for label in labels])
    assert [row["label"] for row in found] == [row["label"] for row in rows] == model.predict(queries).tolist()
    assert [row["image"] for row in found] == paths
    assert [row["image"] for row in rows] == [f"'{path}" for path in paths]  # no formula for a spreadsheet
    assert all(row["probabilities"].keys() == set(model.classes) for row in found)


def test_predict_names_files_that_exif_would_turn_and_is_silent_on_transparency(run, bench):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8))
    for label in "ab":
        Path("support", label).mkdir(parents=True)
        picture.save(f"support/{label}/1.png", exif=exif if label == "a" else None)
    seen_through = picture.convert("P")  # of such Pillow warns: warnings are errors here
    seen_through.save("query.png", transparency=bytes(range(256)), exif=exif)
    ran = bench("predict", "protonet-4w1s-s0", "--support", "support", "query.png")
    told = "2 photographs read as stored, which EXIF would turn: support/a/1.png, query.png\nwith "
    assert (ran.code, ran.err[: len(told)], ran.err.count("\n")) == (0, told, 2)


@pytest.mark.parametrize("support", ["absent", "out", "out/checkpoints", "x" * 300])
def test_predict_without_labelled_images_is_one_line(support, run, bench):
    ran = bench("predict", "protonet-4w1s-s0", "--support", support, "bench.toml")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert support in ran.err
