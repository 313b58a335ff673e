"""The layouts made of pickles: the arrays that come back, and what can be wrong with the files."""

import pickle
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import find_source, open_images
from fewshot_bench.errors import DataError

CLASSES = {"train": ("n03", "n01"), "val": ("n05",), "test": ("n07", "n09")}
LABELS = {"n01": 0, "n03": 1, "n05": 64, "n07": 80, "n09": 95}
PER_CLASS = 3
CACHE = "mini-imagenet-cache-{}.pkl"
MINI = "miniImageNet_category_split_{}.pickle"


class Set:
    """images: part -> (n, H, W, C) uint8, the classes of a part shuffled; names: part -> the class of each."""

    def __init__(self, channels=3):
        rng = np.random.default_rng(0)
        self.images, self.names = {}, {}
        for part, classes in CLASSES.items():
            names = np.repeat(classes, PER_CLASS)
            rng.shuffle(names)
            self.names[part] = names.tolist()
            self.images[part] = rng.integers(0, 256, (len(names), 5, 4, channels), np.uint8)

    def expected(self):
        """(n, C, H, W): train, val, test; classes by name, images in the order of their file."""
        return np.concatenate(
            [
                self.images[part][[i for i, name in enumerate(self.names[part]) if name == wanted]]
                for part, classes in CLASSES.items()
                for wanted in sorted(classes)
            ]
        ).transpose(0, 3, 1, 2)

    def cache_pickle(self, part):
        """What a cache pickle holds."""
        names = self.names[part]
        listed = {c: [i for i, name in enumerate(names) if name == c] for c in CLASSES[part]}
        return {"image_data": self.images[part], "class_dict": listed}

    def label_pickle(self, part, named=False):
        """What a label pickle holds."""
        content = {"data": self.images[part], "labels": [LABELS[name] for name in self.names[part]]}
        return content | ({"catname2label": {c: LABELS[c] for c in CLASSES[part]}} if named else {})


def like_python_2(content) -> bytes:
    """What Python 2 writes for such a dictionary: strings of bytes for text, and for the bytes of arrays too."""

    def value(item) -> bytes:
        if isinstance(item, str | bytes):
            raw = item.encode("latin1") if isinstance(item, str) else item
            return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little") + raw
        if isinstance(item, int):
            return b"J" + item.to_bytes(4, "little", signed=True)
        if isinstance(item, list):
            return b"](" + b"".join(map(value, item)) + b"e"
        if isinstance(item, dict):
            return b"}(" + b"".join(value(key) + value(item[key]) for key in item) + b"u"
        dtype = (
            b"cnumpy\ndtype\n(" + value("u1") + b"K\x00K\x01tR(K\x03" + value("|") + b"NNN" + value(-1) * 2 + b"K\x00tb"
        )
        shape = b"(" + b"".join(map(value, item.shape)) + b"t"
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + value("b") + b"tR"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + value(item.tobytes()) + b"tb"

    return b"\x80\x02" + value(content) + b"."


WRITERS = {
    **{f"protocol {p}": partial(pickle.dumps, protocol=p) for p in (0, 2, 4, 5)},
    "Python 2": like_python_2,
}


def write_cache(folder, data, writer=pickle.dumps, middle="val"):
    folder.mkdir(exist_ok=True)
    for part in CLASSES:
        name = CACHE.format(middle if part == "val" else part)
        (folder / name).write_bytes(writer(data.cache_pickle(part)))
    return folder


def write_labels(folder, data, writer=pickle.dumps, pattern="CIFAR_FS_{}.pickle", named=False):
    folder.mkdir(exist_ok=True)
    for part in CLASSES:
        name = pattern.format("train_phase_train" if part == "train" and pattern == MINI else part)
        (folder / name).write_bytes(writer(data.label_pickle(part, named)))
    return folder


def check(images, data, names):
    assert images.class_names == names
    assert images.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert images.class_ids.tolist() == [c for c in range(5) for _ in range(PER_CLASS)]
    np.testing.assert_array_equal(images.images, data.expected(), strict=True)


def test_what_stands_in_for_python_2_is_what_pickle_reads():
    content = Set().label_pickle("val", named=True)
    read = pickle.loads(like_python_2(content), encoding="latin1")
    np.testing.assert_array_equal(read.pop("data"), content.pop("data"))
    assert read == content


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("middle", ["val", "validation"])
def test_cache_pickles(tmp_path, cache, writer, middle):
    data = Set()
    images = open_images(str(write_cache(tmp_path / "set", data, WRITERS[writer], middle)), cache)
    check(images, data, ("n01", "n03", "n05", "n07", "n09"))
    assert images.name == "set"
    assert "15 images in 5 classes (2/1/2), read from set." in images.note
    assert "miniImageNet as published has 64/16/20 classes of 600 images" in images.note


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("pattern", [MINI, "CIFAR_FS_{}.pickle", "FC100_{}.pickle"])
def test_label_pickles(tmp_path, cache, writer, pattern):
    data = Set()
    images = open_images(str(write_labels(tmp_path / "set", data, WRITERS[writer], pattern)), cache)
    check(images, data, ("train-0", "train-1", "val-64", "test-80", "test-95"))


@pytest.mark.parametrize("writer", WRITERS)
def test_label_pickles_with_names(tmp_path, cache, writer):
    data = Set()
    images = open_images(str(write_labels(tmp_path / "set", data, WRITERS[writer], MINI, named=True)), cache)
    check(images, data, ("n01", "n03", "n05", "n07", "n09"))


def test_both_layouts_of_the_same_images_have_one_fingerprint(tmp_path, cache):
    data = Set()
    one = open_images(str(write_cache(tmp_path / "one", data)), cache)
    two = open_images(str(write_labels(tmp_path / "two", data, pattern=MINI, named=True)), cache)
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("labels", [np.array, tuple, lambda labels: [np.int64(label) for label in labels]])
def test_labels_may_be_arrays_or_numbers_of_numpy(tmp_path, cache, labels):
    data = Set()

    def writer(content):
        return pickle.dumps(content | {"labels": labels(content["labels"])})

    check(
        open_images(str(write_labels(tmp_path / "set", data, writer)), cache),
        data,
        ("train-0", "train-1", "val-64", "test-80", "test-95"),
    )


@pytest.mark.parametrize("named", [{"n01": 0}, {"n01": 0, "n03": 0}, {"n01": 0, "n03": "1"}, {0: 0, "0": 1}, [0, 1]])
def test_names_that_do_not_fit_the_labels_are_not_used(tmp_path, cache, named):
    def writer(content):
        return pickle.dumps(content | {"catname2label": named})

    images = open_images(str(write_labels(tmp_path / "set", Set(), writer)), cache)
    assert images.class_names[:2] == ("train-0", "train-1")
    assert "Not used: 'catname2label' of train, which does not name each label once." in images.note
    assert "catname2label" not in open_images(str(write_labels(tmp_path / "plain", Set())), cache).note


def test_grey_images(tmp_path, cache):
    data = Set(channels=1)
    images = open_images(str(write_labels(tmp_path / "set", data)), cache)
    np.testing.assert_array_equal(images.images, data.expected(), strict=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_size_resizes_with_lanczos(tmp_path, cache, channels):
    data = Set(channels)
    images = open_images(str(write_cache(tmp_path / "set", data)), cache, image_size=7)
    assert images.images.shape == (15, channels, 7, 7)
    first = data.expected()[0].transpose(1, 2, 0)  # (H, W, C)
    picture = Image.fromarray(first[:, :, 0] if channels == 1 else first)
    expected = np.asarray(picture.resize((7, 7), Image.Resampling.LANCZOS)).reshape(7, 7, channels)
    np.testing.assert_array_equal(images.images[0], expected.transpose(2, 0, 1))


def test_parts_of_several_sizes(tmp_path, cache):
    data = Set()
    data.images["test"] = data.images["test"][:, :4]
    folder = str(write_cache(tmp_path / "set", data))
    with pytest.raises(
        DataError, match=r"-test\.pkl: image 0 has 4×4 pixels but .*-train\.pkl: image 0 has 4×5: set `image_s"
    ):
        open_images(folder, cache)
    assert open_images(folder, cache, image_size=6).images.shape == (15, 3, 6, 6)


def test_held_out_images_of_the_training_classes_are_not_read_and_that_is_said(tmp_path, cache):
    folder = write_labels(tmp_path / "set", Set(), pattern=MINI)
    before = open_images(str(folder), cache)
    (folder / MINI.format("train_phase_val")).write_bytes(b"not even a pickle")
    after = open_images(str(folder), cache)
    assert after.fingerprint == before.fingerprint
    assert "Not read: miniImageNet_category_split_train_phase_val.pickle" in after.note
    assert "Not read" not in before.note


def test_a_whole_set_is_not_said_to_differ(tmp_path, cache):
    (tmp_path / "set").mkdir()
    first = 0
    for part, count in (("train", 60), ("val", 20), ("test", 20)):
        labels = np.repeat(np.arange(first, first + count), 600)
        content = {"data": np.zeros((len(labels), 2, 2, 3), np.uint8), "labels": labels.tolist()}
        (tmp_path / "set" / f"FC100_{part}.pickle").write_bytes(pickle.dumps(content, 2))
        first += count
    note = open_images(str(tmp_path / "set"), cache).note
    assert note == "60,000 images in 100 classes (60/20/20), read from set."


def test_a_changed_file_is_noticed(tmp_path, cache):
    data = Set()
    folder = write_cache(tmp_path / "set", data)
    before = open_images(str(folder), cache).fingerprint
    data.images["val"][0, 0, 0, 0] ^= 1
    write_cache(folder, data)
    assert open_images(str(folder), cache).fingerprint != before


def test_progress_ends_at_the_total(tmp_path, cache):
    calls = []
    open_images(str(write_cache(tmp_path / "set", Set())), cache, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("reading images", 15, 15)


@pytest.mark.parametrize("part", CLASSES)
def test_a_missing_file_is_named(tmp_path, part):
    for write, pattern in ((write_cache, CACHE), (write_labels, "CIFAR_FS_{}.pickle")):
        folder = write(tmp_path / write.__name__, Set())
        (folder / pattern.format(part)).unlink()
        with pytest.raises(DataError, match=rf"{re.escape(pattern.format(part))} is missing: expected a folder"):
            find_source(str(folder))


def test_two_files_of_the_same_part(tmp_path):
    folder = write_cache(tmp_path / "set", Set())
    (folder / CACHE.format("validation")).write_bytes(b"")
    with pytest.raises(DataError, match="are the same part: remove one"):
        find_source(str(folder))


def test_two_sets_in_one_folder(tmp_path):
    folder = write_labels(tmp_path / "set", Set())
    write_labels(folder, Set(), pattern="FC100_{}.pickle")
    with pytest.raises(DataError, match="holds files of CIFAR-FS and of FC100"):
        find_source(str(folder))


def changed(**changes):
    return lambda content: {key: value for key, value in (content | changes).items() if value is not ...}


def with_classes(**changes):
    return lambda content: content | {"class_dict": content["class_dict"] | changes}


def with_data(change):
    return lambda content: content | {"data": change(content["data"])}


# what the test part becomes -> a piece of the message
CACHE_FAULTS = {
    "no dictionary": (lambda content: [content], "holds a list, not a dictionary with 'image_data'"),
    "no images": (changed(image_data=...), "has no 'image_data', only 'class_dict'"),
    "no classes": (changed(class_dict=...), "has no 'class_dict', only 'image_data'"),
    "images in a list": (changed(image_data=[1]), "'image_data' is a list, not an array"),
    "classes in a list": (changed(class_dict=[1]), "'class_dict' is a list, not a dictionary"),
    "empty classes": (changed(class_dict={}), "has no classes"),
    "index beyond": (with_classes(n09=[1, 6]), "class 'n09' has image 6, but there are 6 images"),
    "index below": (with_classes(n09=[-1, 2]), "class 'n09' has image -1"),
    "index twice": (with_classes(n11=[4, 0]), "is listed 2 times"),
    "index twice in a class": (changed(class_dict={"n07": [0, 1, 2, 2], "n09": [3, 4, 5]}), "image 2 is listed 2"),
    "image of no class": (changed(class_dict={"n07": [0, 1, 2]}), "image 3 is in no class"),
    "class of none": (changed(class_dict={"n07": [0, 1, 2], "n08": [], "n09": [3, 4, 5]}), "class 'n08' has no images"),
    "class of one": (changed(class_dict={"n07": [0], "n09": [1, 2, 3, 4, 5]}), "class 'n07' has only 1 image(s)"),
    "text as index": (with_classes(n09=["a"]), "class 'n09' is not a list of integers"),
    "fraction as index": (with_classes(n09=[1.0, 2.0]), "class 'n09' is not a list of integers"),
    "truth as index": (with_classes(n09=[True, False]), "class 'n09' is not a list of integers"),
    "array of fractions": (with_classes(n09=np.array([1.0])), "type float64, not a list of integers"),
    "huge index": (with_classes(n09=[2**63, 1]), "beyond 64 bits"),
    "number and its text": (changed(class_dict={7: [0, 1, 2], "7": [3, 4, 5]}), "two classes in 'class_dict' have one"),
    "class of another part": (with_classes(n01=[0, 1], n07=[2, 3], n09=[4, 5]), "class 'n01' is in"),
    "control characters": (with_classes(**{"a\x1b[2J": [0, 1]}), "cannot be the name of a class"),
}
LABEL_FAULTS = {
    "no images": (changed(data=...), "has no 'data', only 'labels'"),
    "no labels": (changed(labels=...), "has no 'labels', only 'data'"),
    "too few labels": (changed(labels=[80, 81]), "has 6 images but 2 labels"),
    "labels as text": (changed(labels=["a"] * 6), "'labels' is not a list of integers"),
    "labels in a table": (changed(labels=np.ones((6, 1), int)), "shape (6, 1)"),
    "huge label": (changed(labels=[2**64] * 6), "beyond 64 bits"),
    "huge label in an array": (changed(labels=np.full(6, 2**63, np.uint64)), "beyond 64 bits"),
    "class of one": (changed(labels=[80, 80, 80, 80, 80, 81]), "class 'test-81' has only 1 image(s)"),
    "flat images": (with_data(lambda data: data.reshape(6, -1)), "shape (6, 60), not (images, height, width, 3)"),
    "channels first": (with_data(lambda data: data.transpose(0, 3, 1, 2)), "shape (6, 3, 5, 4), not"),
    "transparency": (with_data(lambda data: np.repeat(data, 2, 3)), "shape (6, 5, 4, 6), not"),
    "nothing": (with_data(lambda data: data[:0]), "shape (0, 5, 4, 3), not"),
    "empty images": (with_data(lambda data: data[:, :0]), "shape (6, 0, 4, 3), not"),
    "floats": (with_data(lambda data: data / np.float32(255)), "type float32, not uint8"),
    "wide integers": (with_data(lambda data: data.astype(int)), "type int64, not uint8"),
    "object array": (with_data(lambda data: data.astype(object)), "array of objects"),
}


@pytest.mark.parametrize(
    ("write", "pattern", "fault"),
    [(write_cache, CACHE, fault) for fault in CACHE_FAULTS]
    + [(write_labels, "CIFAR_FS_{}.pickle", fault) for fault in LABEL_FAULTS],
)
def test_a_fault_is_one_line_that_names_the_file(tmp_path, cache, write, pattern, fault):
    change, piece = (CACHE_FAULTS if write is write_cache else LABEL_FAULTS)[fault]
    folder = write(tmp_path / "set", Set())
    path = folder / pattern.format("test")
    path.write_bytes(pickle.dumps(change(pickle.loads(path.read_bytes()))))
    with pytest.raises(DataError) as error:
        open_images(str(folder), cache)
    message = str(error.value)
    assert message.startswith(str(path))
    assert piece in message
    assert message.isprintable()
    assert not list(cache.glob("*")), "a failed preparation leaves nothing behind"


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><title>Google Drive</title>", b"", b"\x80\x04cos\nsystem\n."])
def test_a_file_that_is_no_data(tmp_path, cache, data):
    for write, pattern in ((write_cache, CACHE), (write_labels, "FC100_{}.pickle")):
        kwargs = {} if write is write_cache else {"pattern": pattern}
        folder = write(tmp_path / write.__name__, Set(), **kwargs)
        (folder / pattern.format("train")).write_bytes(data)
        with pytest.raises(DataError, match=r"train\.p.*(web page|is empty|asks for 'os\.system')"):
            open_images(str(folder), cache)


def test_a_file_that_vanishes(tmp_path):
    folder = write_cache(tmp_path / "set", Set())
    source = find_source(str(folder))
    (folder / CACHE.format("test")).unlink()
    with pytest.raises(DataError, match=r"test\.pkl: No such file"):
        source.state()
