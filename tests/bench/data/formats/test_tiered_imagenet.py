"""tieredImageNet as PNG files in pickles and as .npz: the arrays that come back, and what can be wrong."""

import io
import pickle
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewshot_bench.data import find_source, open_images, recognise
from fewshot_bench.data.readers import npz_file
from fewshot_bench.errors import DataError

CLASSES = {"train": ("tench, Tinca tinca", "ant"), "val": ("crane",), "test": ("zebra", "bee, honey bee")}
NAMES = ("ant", "tench, Tinca tinca", "crane", "bee, honey bee", "zebra")
CATEGORIES = {"train": ["fish"], "val": ["bird"], "test": ["insect", "mammal"]}
PER_CLASS = 3


class Set:
    """images: part -> (n, H, W, 3) uint8, red first, the classes shuffled; labels: part -> indices into its classes."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images, self.labels = {}, {}
        for part, classes in CLASSES.items():
            self.labels[part] = rng.permutation(np.repeat(np.arange(len(classes), dtype=np.int32), PER_CLASS))
            self.images[part] = rng.integers(0, 256, (len(self.labels[part]), 5, 4, 3), np.uint8)

    def expected(self, key=None):
        """(n, C, H, W): train, val, test; classes by name, or by label; images in the order of their file."""
        return np.concatenate(
            [
                self.images[part][self.labels[part] == classes.index(name)]
                for part, classes in CLASSES.items()
                for name in sorted(classes, key=key or (lambda name: name))
            ]
        ).transpose(0, 3, 1, 2)

    def ren_labels(self, part):
        """What a file of labels holds."""
        return {
            "label_specific": self.labels[part],
            "label_general": np.zeros_like(self.labels[part]),
            "label_specific_str": list(CLASSES[part]),
            "label_general_str": CATEGORIES[part],
        }


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return np.frombuffer(out.getvalue(), np.uint8)


AS_PUBLISHED = {
    "(n, 1) arrays, protocol 2": (lambda image: png(image)[:, None], 2),
    "flat arrays, protocol 4": (png, 4),
    "flat arrays, protocol 5": (png, 5),
    "byte strings, protocol 2": (lambda image: png(image).tobytes(), 2),
    "byte strings, protocol 4": (lambda image: png(image).tobytes(), 4),
}


def write_ren(folder, data, encode=png, protocol=2):
    folder.mkdir(exist_ok=True)
    for part in CLASSES:
        images = [encode(image) for image in data.images[part]]
        (folder / f"{part}_images_png.pkl").write_bytes(pickle.dumps(images, protocol))
        (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps(data.ren_labels(part), protocol))
    return folder


FIRST = {"train": 0, "val": 351, "test": 448}


def write_npz(folder, data, save=np.savez, labels=None):
    """MetaOptNet's: blue first, and labels that go on from part to part."""
    folder.mkdir(exist_ok=True)
    for part, images in data.images.items():
        save(folder / f"{part}_images.npz", images=images[..., ::-1])
        content = labels(part) if labels else {"labels": (data.labels[part] + FIRST[part]).tolist()}
        (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps(content, 2))
    return folder


def check(found, expected, names=NAMES):
    assert found.class_names == names
    assert found.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert found.class_ids.tolist() == [c for c in range(5) for _ in range(PER_CLASS)]
    np.testing.assert_array_equal(found.images, expected, strict=True)


@pytest.mark.parametrize("form", AS_PUBLISHED)
def test_png_pickles(tmp_path, cache, form):
    data = Set()
    folder = write_ren(tmp_path / "set", data, *AS_PUBLISHED[form])
    assert recognise(str(folder))[0] == "tiered-imagenet"
    found = open_images(str(folder), cache)
    check(found, data.expected())
    assert found.note == "15 images in 5 classes (2/1/2), read from set."


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_has_blue_first_and_numbers_for_names(tmp_path, cache, save):
    data = Set()
    found = open_images(str(write_npz(tmp_path / "set", data, save)), cache)
    names = ("train-0", "train-1", "val-351", "test-448", "test-449")
    by_number = {name: number for classes in CLASSES.values() for number, name in enumerate(classes)}
    check(found, data.expected(by_number.get), names)


def test_both_forms_of_the_same_images_have_one_fingerprint(tmp_path, cache):
    data = Set()
    one = write_ren(tmp_path / "one", data)
    two = write_npz(tmp_path / "two", data, labels=data.ren_labels)
    assert open_images(str(one), cache).fingerprint == open_images(str(two), cache).fingerprint


def test_where_both_lie_the_png_files_are_read(tmp_path, cache):
    data = Set()
    folder = write_ren(tmp_path / "set", data)
    write_npz(folder, data, labels=data.ren_labels)
    (folder / "train_images.npz").write_bytes(b"no zip")
    check(open_images(str(folder), cache), data.expected())


def test_file_names_as_zenodo_serves_them(tmp_path, cache):
    data = Set()
    write_ren(tmp_path / "tiered", data)
    for path in list((tmp_path / "tiered").iterdir()):
        path.rename(path.with_name(f"tiered-imagenet-{path.name}"))
    assert recognise(str(tmp_path / "tiered"))[0] == "tiered-imagenet"
    check(open_images(str(tmp_path / "tiered"), cache), data.expected())
    (tmp_path / "tiered" / "val_labels.pkl").touch()
    with pytest.raises(DataError, match=r"val_labels\.pkl and tiered-imagenet-val_labels\.pkl are the same part"):
        find_source(str(tmp_path / "tiered"))


def test_image_size(tmp_path, cache):
    data = Set()
    found = open_images(str(write_npz(tmp_path / "set", data, labels=data.ren_labels)), cache, image_size=7)
    first = data.expected()[0].transpose(1, 2, 0)
    small = Image.fromarray(first).resize((7, 7), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(found.images[0], np.asarray(small).transpose(2, 0, 1))


def test_names_that_python_2_wrote(tmp_path, cache):
    data = Set()
    folder = write_ren(tmp_path / "set", data)
    for part in CLASSES:
        content = data.ren_labels(part)
        content["label_specific_str"] = [name.encode() for name in content["label_specific_str"]]
        (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps(content))
    check(open_images(str(folder), cache), data.expected())


def test_a_category_in_two_parts_is_said(tmp_path, cache, monkeypatch):
    monkeypatch.setitem(CATEGORIES, "test", ["insect", "fish"])
    found = open_images(str(write_ren(tmp_path / "set", Set())), cache)
    assert found.note.endswith("Categories in two parts, unlike in the published split: fish.")


@pytest.mark.parametrize("name", [f"{part}_{kind}" for part in CLASSES for kind in ("images_png.pkl", "labels.pkl")])
def test_a_missing_file_is_named(tmp_path, name):
    folder = write_ren(tmp_path / "set", Set())
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing: expected a folder"):
        find_source(str(folder))


def fails(folder, cache, name, piece):
    with pytest.raises(DataError) as error:
        open_images(str(folder), cache)
    message = str(error.value)
    assert message.startswith(str(folder / name)), message
    assert piece in message, message
    assert message.isprintable()
    assert not list(cache.glob("*"))


def changed(**changes):
    return lambda content: {key: value for key, value in (content | changes).items() if value is not ...}


def replaced(value):
    return lambda images: [images[0], value, *images[2:]]


LABELS, PNGS = "test_labels.pkl", "test_images_png.pkl"
FAULTS = {
    "no dictionary": (LABELS, list, "holds a list, not a dictionary with 'labels'"),
    "no labels": (LABELS, changed(label_specific=...), "has no 'labels', only 'label_general'"),
    "no names": (LABELS, changed(label_specific_str=...), "has no 'label_specific_str', only"),
    "names as numbers": (LABELS, changed(label_specific_str=[1, 2]), "'label_specific_str' is not a list of names"),
    "label beyond": (LABELS, changed(label_specific=[0, 0, 0, 1, 1, 2]), "image 5 has the label 2, but there are 2"),
    "label below": (LABELS, changed(label_specific=[0, 0, 0, 1, 1, -1]), "image 5 has the label -1"),
    "text as label": (LABELS, changed(label_specific=["a"] * 6), "'label_specific' is not a list of integers"),
    "one name twice": (LABELS, changed(label_specific_str=["bee", "bee"]), "two classes in 'label_specific_str'"),
    "class of one": (PNGS, None, "class 'bee, honey bee' has only 1 image(s)"),
    "class of another part": (PNGS, ("crane", "bee"), "class 'crane' is in val already"),
    "odd name": (PNGS, ("a\nb", "bee"), "'a\\nb' cannot be the name of a class"),
    "too few labels": (LABELS, changed(label_specific=[0, 0, 1, 1, 1]), None),
    "too many images": (PNGS, lambda images: [*images, images[0]], "has more images than labels, of which there are 6"),
    "too few images": (PNGS, lambda images: images[:5], "has 5 images but 6 labels"),
    "no list": (PNGS, lambda images: {"images": images}, "holds a dict, not a list of images"),
    "a number": (PNGS, replaced(3), "image 1 is a int, not the bytes of a file"),
    "text": (PNGS, replaced("png"), "image 1 is a str, not the bytes of a file"),
    "fractions": (PNGS, replaced(np.zeros(9)), "image 1 has the type float64 and shape (9,), not the bytes of a file"),
    "pixels": (PNGS, replaced(np.zeros((5, 4, 3), np.uint8)), "image 1 has the type uint8 and shape (5, 4, 3)"),
    "no image": (PNGS, replaced(np.zeros(9, np.uint8)), "image 1 is not a JPEG, PNG"),
    "nothing": (PNGS, replaced(np.zeros(0, np.uint8)), "image 1 is empty"),
    "half an image": (PNGS, lambda images: replaced(images[1][:-30])(images), "image 1 is damaged or truncated"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_file_and_image(tmp_path, cache, fault):
    name, change, piece = FAULTS[fault]
    data = Set()
    folder = write_ren(tmp_path / "set", data)
    if change is None:
        name_of_change, change = LABELS, changed(label_specific=[0, 0, 0, 0, 0, 1])
    elif isinstance(change, tuple):
        name_of_change, change = LABELS, changed(label_specific_str=list(change))
    else:
        name_of_change = name
    path = folder / name_of_change
    path.write_bytes(pickle.dumps(change(pickle.loads(path.read_bytes()))))
    if piece is None:
        name, piece = PNGS, "has more images than labels, of which there are 5"
    fails(folder, cache, name, piece)


def header(shape, descr="|u1", order=False):
    """The header of a .npy file, whatever it claims."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": order, "shape": shape})
    return out.getvalue()


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)


SHAPE = (6, 5, 4, 3)
NPZ_FAULTS = {
    "another name": ({"data.npy": header(SHAPE) + bytes(360)}, "has no single 'images', only 'data.npy'"),
    "nothing": ({}, "has no single 'images', only nothing"),
    "objects": ({"images.npy": header(SHAPE, "|O")}, "has the type object"),
    "fractions": ({"images.npy": header(SHAPE, "<f4") + bytes(1440)}, "has the type float32 and shape (6, 5, 4, 3)"),
    "column-major": (
        {"images.npy": header(SHAPE, order=True) + bytes(360)},
        "'images' is stored in Fortran order: save np.ascontiguousarray of it",
    ),
    "channels first": ({"images.npy": header((6, 3, 5, 4)) + bytes(360)}, "images of the shape (3, 5, 4)"),
    "flat": ({"images.npy": header((6, 60)) + bytes(360)}, "shape (6, 60)"),
    "declared and enormous": ({"images.npy": header((1 << 60, 84, 84, 3))}, "is truncated: 'images' ends too early"),
    "images that are enormous": ({"images.npy": header((6, 1 << 30, 1 << 30, 3))}, "pixels, more than 1,048,576"),
    "too short": ({"images.npy": header(SHAPE) + bytes(359)}, "is truncated: 'images' ends too early"),
    "too long": ({"images.npy": header(SHAPE) + bytes(361)}, "is longer than its header says"),
    "too few": ({"images.npy": header((5, *SHAPE[1:])) + bytes(300)}, "has 5 images but 6 labels"),
    "too many": ({"images.npy": header((7, *SHAPE[1:])) + bytes(420)}, "has more images than labels"),
    "no .npy": ({"images.npy": b"what"}, "is damaged or not a .npz file"),
    "a header of a program": (
        {"images.npy": b"\x93NUMPY\x01\x00\x20\x00{'descr': __import__('os'), }    \n"},
        "has a damaged header",
    ),
    "an unknown version": ({"images.npy": b"\x93NUMPY\x09\x00" + bytes(100)}, "unknown version of .npy"),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_a_fault_in_an_npz(tmp_path, cache, fault):
    members, piece = NPZ_FAULTS[fault]
    folder = write_npz(tmp_path / "set", Set())
    zipped(folder / "test_images.npz", members)
    fails(folder, cache, "test_images.npz", piece)


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (b"<!DOCTYPE html><title>Google Drive</title>", "is a web page"),
        (b"", "is empty"),
        (200, "is damaged or not a .npz file"),
        (b"PK\3\4" + bytes(50), "is damaged or not a .npz file"),
    ],
)
def test_a_file_that_is_no_npz(tmp_path, cache, data, piece):
    folder = write_npz(tmp_path / "set", Set())
    path = folder / "test_images.npz"
    path.write_bytes(path.read_bytes()[:data] if isinstance(data, int) else data)
    fails(folder, cache, path.name, piece)


def test_an_npz_that_unpacks_to_far_too_much(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(npz_file, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    folder = write_npz(tmp_path / "set", Set())
    shape = (6, 1024, 1024, 3)
    zipped(folder / "test_images.npz", {"images.npy": header(shape) + bytes(6 * 3 << 20)}, zipfile.ZIP_DEFLATED)
    fails(folder, cache, "test_images.npz", "'images' unpacks to 18,874,496 bytes, more than such a file holds")


def test_another_packing(tmp_path, cache):
    folder = write_npz(tmp_path / "set", Set())
    zipped(folder / "test_images.npz", {"images.npy": header(SHAPE) + bytes(360)}, zipfile.ZIP_LZMA)
    fails(folder, cache, "test_images.npz", "is packed in a way that numpy does not use")


@pytest.mark.parametrize("name", ["test_images_png.pkl", "test_labels.pkl", "test_images.npz"])
def test_flipped_bytes_give_images_or_one_line(tmp_path, name, outcome):
    data = Set()
    save = (write_npz if name.endswith("npz") else write_ren)(tmp_path / "set", data)
    path = save / name
    whole = path.read_bytes()
    outcomes = set()

    @settings(max_examples=150)
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=20), st.booleans())
    def read(changes, cut):
        content = bytearray(whole)
        for at, value in changes:
            content[at] = value
        path.write_bytes(content[: random.Random(len(changes)).randrange(len(content))] if cut else content)
        outcomes.add(outcome(save))

    read()
    assert outcomes == {"read", "refused"}


@settings(max_examples=100)
@given(data=st.binary(max_size=300), magic=st.booleans())
def test_any_bytes_are_refused(tmp_path_factory, outcome, data, magic):
    folder = write_npz(tmp_path_factory.mktemp("any"), Set())
    npy = b"\x93NUMPY\x01\x00" + data if magic else data
    zipped(folder / "train_images.npz", {"images.npy": npy})
    assert outcome(folder) == "refused"
