"""torchmeta's HDF5 files: the arrays that come back, and what can be wrong or hostile in them."""

import io
import json
import random
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewshot_bench.data import find_source, open_images, recognise
from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import Labels
from fewshot_bench.data.readers import guarded, hdf5_file
from fewshot_bench.errors import DataError, UsageError

h5py = pytest.importorskip("h5py")

CLASSES = {"train": ("n03", "n01"), "val": ("n05",), "test": ("n07", "n09")}
SUPERCLASS = {"n01": "fish", "n03": "trees", "n05": "fish", "n07": "people", "n09": "people"}
NAMES = ("n01", "n03", "n05", "n07", "n09")
BYTES = h5py.special_dtype(vlen=np.uint8)


@pytest.fixture
def images():
    """Class -> (3, 5, 4, 3) uint8."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (3, 5, 4, 3), np.uint8) for name in NAMES}


def expected(images):
    return np.concatenate([images[name] for name in NAMES]).transpose(0, 3, 1, 2)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return np.frombuffer(out.getvalue(), np.uint8)


def add_pixels(group, name, pixels, **options):
    group.create_dataset(name, data=pixels, **options)


def add_pngs(group, name, pixels):
    array = group.create_dataset(name, (len(pixels),), dtype=BYTES)
    array.attrs["label_general"] = "thing"
    for number, image in enumerate(pixels):
        array[number] = png(image)


def write(folder, images, add=add_pixels):
    """As torchmeta writes miniImageNet, and with `add_pngs` tieredImageNet."""
    folder.mkdir()
    for part, names in CLASSES.items():
        with h5py.File(folder / f"{part}_data.hdf5", "w") as file:
            group = file.create_group("datasets")
            for name in names:
                add(group, name, images[name])
        (folder / f"{part}_labels.json").write_text(json.dumps(names))
    return folder


def write_cifar(folder, images, splits=("cifar-fs",)):
    folder.mkdir()
    with h5py.File(folder / "data.hdf5", "w") as file:
        for name in ("n00", *NAMES):  # a class that the split does not name
            file.require_group(SUPERCLASS.get(name, "fish")).create_dataset(name, data=images.get(name, images["n01"]))
    for split in splits:
        (folder / split).mkdir()
        for part, names in CLASSES.items():
            (folder / split / f"{part}_labels.json").write_text(json.dumps([[SUPERCLASS[n], n] for n in names]))
    return folder


def check(found, images):
    assert found.class_names == NAMES
    assert found.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert found.class_ids.tolist() == [c for c in range(5) for _ in range(3)]
    np.testing.assert_array_equal(found.images, expected(images), strict=True)


PACKED = {"compression": "gzip", "shuffle": True, "chunks": (2, 3, 4, 3)}
WRITERS = {
    "as torchmeta writes miniImageNet": add_pixels,
    "as torchmeta writes tieredImageNet": add_pngs,
    "gzip": lambda group, name, pixels: add_pixels(group, name, pixels, **PACKED),
    "in chunks": lambda group, name, pixels: add_pixels(group, name, pixels, chunks=(2, 2, 2, 3)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_the_pixels_come_back(tmp_path, cache, images, writer):
    folder = write(tmp_path / "set", images, WRITERS[writer])
    assert recognise(str(folder))[0] == "torchmeta-hdf5"
    found = open_images(str(folder), cache)
    check(found, images)
    assert found.note == "15 images in 5 classes (2/1/2), read from set."


def test_classes_that_no_list_names_are_told(tmp_path, cache, images):
    folder = write(tmp_path / "set", images)
    with h5py.File(folder / "val_data.hdf5", "a") as file:
        add_pixels(file["datasets"], "n04", images["n01"])
    found = open_images(str(folder), cache)
    check(found, images)
    assert found.note.endswith("read from set. Classes left out, as no list names them: 1.")
    together = open_images(str(write_cifar(tmp_path / "cifar", images)), cache)
    assert together.left_out == "Classes left out, as no list names them: 1."


def test_pixels_and_png_files_of_the_same_images_have_one_fingerprint(tmp_path, cache, images):
    one, two = write(tmp_path / "one", images), write(tmp_path / "two", images, add_pngs)
    assert open_images(str(one), cache).fingerprint == open_images(str(two), cache).fingerprint


def test_cifar_with_one_split(tmp_path, cache, images):
    check(open_images(str(write_cifar(tmp_path / "cifar100", images)), cache), images)


def test_of_two_splits_one_is_named(tmp_path, cache, images):
    folder = write_cifar(tmp_path / "cifar100", images, ("cifar-fs", "fc100"))
    with pytest.raises(DataError, match=r"cifar100 holds two splits: name .*cifar-fs or .*fc100 as the data"):
        open_images(str(folder), cache)
    check(open_images(str(folder / "fc100"), cache), images)


@pytest.mark.parametrize("add", [add_pixels, add_pngs])
def test_image_size(tmp_path, cache, images, add):
    found = open_images(str(write(tmp_path / "set", images, add)), cache, image_size=7)
    small = Image.fromarray(images["n01"][0]).resize((7, 7), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(found.images[0], np.asarray(small).transpose(2, 0, 1))


def test_without_h5py_it_says_how_to_get_it(tmp_path, cache, images, monkeypatch):
    folder = write(tmp_path / "set", images)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"HDF5 needs h5py: pip install 'fewshot-bench\[hdf5\]'"):
        open_images(str(folder), cache)


@pytest.mark.parametrize("name", [f"{part}_{kind}" for part in CLASSES for kind in ("data.hdf5", "labels.json")])
def test_a_missing_file_is_named(tmp_path, images, name):
    folder = write(tmp_path / "set", images)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing: expected a folder"):
        find_source(str(folder))


def fails(folder, cache, name, piece):
    """One line that begins with the file's name and holds the piece; nothing is left behind."""
    with pytest.raises(DataError) as error:
        open_images(str(folder), cache)
    message = str(error.value)
    assert message.startswith(str(folder / name)), message
    assert piece in message, message
    assert message.isprintable()
    assert not list(cache.glob("*"))


HTML = b"<!DOCTYPE html><title>Google Drive - Virus scan warning</title>"


@pytest.mark.parametrize(
    ("name", "data", "piece"),
    [
        ("test_data.hdf5", HTML, "is a web page"),
        ("test_data.hdf5", b"", "is empty"),
        ("test_data.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100), "is damaged or not a HDF5 file"),
        ("test_data.hdf5", 2000, "is damaged or not a HDF5 file"),
        ("test_labels.json", HTML, "is a web page"),
        ("test_labels.json", b"[", "is not JSON"),
        ("test_labels.json", b"[" * 100_000, "is not JSON"),
        ("test_labels.json", b'{"a": 1}', "is not a list of class names"),
        ("test_labels.json", b'["n07", 9]', "is not a list of class names"),
        ("test_labels.json", b'["n07", "n07"]', "entry 2: class 'n07' is listed before"),
        ("test_labels.json", b"\xff", "is not UTF-8 text"),
        ("test_data.hdf5", ["n07", "n08"], "'datasets/n08' is missing in the file"),
        ("test_data.hdf5", ["\ud800"], "is damaged or not a HDF5 file ('utf-8' codec can't encode"),
        ("test_data.hdf5", ["../datasets/n07"], "is missing in the file"),
        ("test_data.hdf5", ["\0"], "is damaged or not a HDF5 file"),
        ("train_data.hdf5", [], "there are no classes in test"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, cache, images, name, data, piece):
    folder = write(tmp_path / "set", images)
    if isinstance(data, list):  # what the list of test classes says
        (folder / "test_labels.json").write_text(json.dumps(data))
    else:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:data] if isinstance(data, int) else data)
    fails(folder, cache, name, piece)


def test_a_class_in_two_parts(tmp_path, cache, images):
    folder = write(tmp_path / "set", images)
    for kind in ("data.hdf5", "labels.json"):
        (folder / f"test_{kind}").write_bytes((folder / f"val_{kind}").read_bytes())
    fails(folder, cache, "test_data.hdf5", "class 'n05' is in val already")


def external_link(group):
    group["n07"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(group):
    group.create_dataset("n07", (3, 5, 4, 3), np.uint8, external=[("/etc/passwd", 0, 180)])


def virtual(group):
    layout = h5py.VirtualLayout((3, 5, 4, 3), np.uint8)
    layout[:] = h5py.VirtualSource("other.hdf5", "datasets/n07", (3, 5, 4, 3))
    group.create_virtual_dataset("n07", layout)


def soft_link(group):
    group["n07"] = h5py.SoftLink("/datasets/n09")


def in_chunks(shape, **options):
    return lambda group: group.create_dataset("n07", shape, np.uint8, **options)


def of(value):
    return lambda group: group.create_dataset("n07", data=value)


def one_chunk(data):
    """An array whose only chunk is this, whatever the array declares."""

    def make(group):
        array = group.create_dataset("n07", (3, 5, 4, 3), np.uint8, chunks=(3, 5, 4, 3), compression="gzip")
        array.id.write_direct_chunk((0, 0, 0, 0), data)

    return make


def no_bytes(group):
    group.create_dataset("n07", (3,), dtype=BYTES)


HOSTILE = {
    "a link into another file": (external_link, "'datasets/n07' is a link to elsewhere, which is not followed"),
    "a link into this file": (soft_link, "is a link to elsewhere"),
    "values in another file": (external_storage, "keeps its values elsewhere"),
    "a view of another file": (virtual, "keeps its values elsewhere"),
    "a group": (lambda group: group.create_group("n07"), "is not an array"),
    "texts": (of(["a", "b"]), "has the type object and shape (2,), not uint8"),
    "fractions": (of(np.zeros((3, 5, 4, 3))), "has the type float64"),
    "records": (of(np.zeros(3, [("a", "u1"), ("b", "f4")])), "not uint8 and (images, height, width, 3)"),
    "numbers of any length": (
        lambda group: group.create_dataset("n07", (3,), dtype=h5py.special_dtype(vlen=np.int32)),
        "has the type object",
    ),
    "flat": (of(np.zeros((3, 60), np.uint8)), "shape (3, 60)"),
    "channels first": (of(np.zeros((3, 3, 5, 4), np.uint8)), "images of the shape (3, 5, 4), not (height, width, 3)"),
    "large images": (of(np.zeros((2, 1025, 1024, 1), np.uint8)), "1024×1025 pixels, more than 1,048,576"),
    "one image": (of(np.zeros((1, 5, 4, 3), np.uint8)), "class 'n07' has only 1 image(s)"),
    "no images": (of(np.zeros((0, 5, 4, 3), np.uint8)), "holds no images"),
    "declared and not there": (in_chunks((600, 84, 84, 3)), "declares 12,700,800 bytes and holds 0"),
    "declared and enormous": (in_chunks((1 << 50, 84, 84, 3), chunks=(1, 84, 84, 3)), "more than a class may have"),
    "chunks that are not there": (in_chunks((600, 84, 84, 3), chunks=(1, 84, 84, 3)), "chunks that are missing"),
    "a chunk that unpacks to far more": (
        one_chunk(zlib.compress(bytes(50_000_000))),
        "does not unpack to its 180 bytes",
    ),
    "a chunk that unpacks to less": (one_chunk(zlib.compress(bytes(179))), "does not unpack to its 180 bytes"),
    "a chunk that is not packed": (one_chunk(bytes(180)), "is damaged (Error -3"),
    "another filter": (in_chunks((3, 5, 4, 3), compression="lzf"), "is packed by a filter other than gzip"),
    "byte strings that are not there": (no_bytes, "is not stored in one piece"),
    "byte strings in chunks": (
        lambda group: group.create_dataset("n07", (3,), dtype=BYTES, chunks=(1,)),
        "is not stored in one piece",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_plain_array_is_refused(tmp_path, cache, images, kind):
    make, piece = HOSTILE[kind]
    folder = write(tmp_path / "set", images)
    with h5py.File(folder / "test_data.hdf5", "a") as file:
        del file["datasets/n07"]
        make(file["datasets"])
    fails(folder, cache, "test_data.hdf5", piece)


def test_links_to_groups_are_not_followed_either(tmp_path, cache, images):
    folder = write(tmp_path / "set", images)
    with h5py.File(folder / "test_data.hdf5", "w") as file:
        file["datasets"] = h5py.ExternalLink("train_data.hdf5", "datasets")
    fails(folder, cache, "test_data.hdf5", "is a link to elsewhere")


def test_the_largest_class_has_a_cap(tmp_path, cache, images, monkeypatch):
    monkeypatch.setattr(hdf5_file, "MAX_CLASS_BYTES", 100)
    folder = write(tmp_path / "set", images)
    fails(folder, cache, "train_data.hdf5", "declares 180 bytes, more than a class may have (100)")


def test_a_byte_string_that_is_no_image(tmp_path, cache, images):
    folder = write(tmp_path / "set", images, add_pngs)
    with h5py.File(folder / "test_data.hdf5", "a") as file:
        file["datasets/n07"][1] = np.frombuffer(b"not an image", np.uint8)
    fails(folder, cache, "test_data.hdf5", "class 'n07', image 1 is not a JPEG, PNG")


def test_pixels_beside_image_files(tmp_path, cache, images):
    folder = write(tmp_path / "set", images, add_pngs)
    with h5py.File(folder / "test_data.hdf5", "a") as file:
        del file["datasets/n07"]
        add_pixels(file["datasets"], "n07", images["n07"])
    fails(folder, cache, "test_data.hdf5", "some classes are pixels and others are image files")


def test_images_of_several_sizes(tmp_path, cache, images):
    images["n07"] = images["n07"][:, :4]
    folder = write(tmp_path / "set", images)
    fails(folder, cache, "test_data.hdf5", "image 0 has 4×4 pixels but")
    assert open_images(str(folder), cache, image_size=6).images.shape == (15, 3, 6, 6)


@dataclass(frozen=True)
class Flipped:
    """Damaged files, read one after the other in one process: on one of them the library may crash, or never end."""

    path: Path
    contents: tuple[bytes, ...]
    first: int
    files: tuple[Path, ...] = ()

    @property
    def where(self):
        return str(self.path)

    def fill(self, sink, _image_size, progress):
        sink.put(0, np.zeros((3, 1, 1), np.uint8))
        for number in range(self.first, len(self.contents)):
            self.path.write_bytes(self.contents[number])
            try:
                found = hdf5_file.class_images(self.path, {name: f"datasets/{name}" for name in CLASSES["test"]})
                progress(f"read {len(list(hdf5_file.stored_images(self.path, found)))}", number, 0)
            except DataError as error:
                progress(str(error), number, 0)
        return Labels("", np.array([0]), ("a",), {"train": (0,)})


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.usefixtures("guard")
def test_flipped_bytes_give_images_or_one_line(tmp_path, images, writer):
    path = write(tmp_path / "set", images, WRITERS[writer]) / "test_data.hdf5"
    whole = path.read_bytes()
    rng = random.Random(writer)
    contents = []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        contents.append(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.5 else data))
    said: dict[int, str] = {}
    while len(said) < len(contents):
        source = Flipped(path, tuple(contents), len(said))
        try:
            with ImageFile(tmp_path / "images.npy") as sink:
                guarded.read(source, sink, None, lambda text, n, _: said.update({n: text}))  # type: ignore[arg-type]
        except DataError as error:
            said.setdefault(len(said), str(error))
    refusals = [text for text in said.values() if text != "read 6"]
    assert 0 < len(refusals) < len(said)
    assert all(str(path) in text and text.isprintable() for text in refusals)


@settings(max_examples=100)
@given(data=st.binary(max_size=600), magic=st.booleans())
def test_any_bytes_are_refused(tmp_path_factory, data, magic):
    folder = tmp_path_factory.mktemp("any")
    for part in CLASSES:
        (folder / f"{part}_labels.json").write_text('["a"]')
        (folder / f"{part}_data.hdf5").write_bytes((b"\x89HDF\r\n\x1a\n" if magic else b"") + data)
    assert _outcome(folder, folder) == "refused"


def _outcome(folder, path):
    try:
        open_images(str(folder), path.parent / "cache", image_size=4)
        return "read"
    except DataError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert message.isprintable()
    return "refused"
