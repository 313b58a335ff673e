"""Hugging Face's Parquet files: what comes back, how splits that leak are treated, and what can be wrong."""

import io
import json
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewshot_bench.data import find_source, open_images, recognise, splits
from fewshot_bench.data.readers import image_decoding, parquet_file
from fewshot_bench.errors import DataError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

CLASSES = {"train": ("n03", "n01"), "validation": ("n05",), "test": ("n07", "n09")}
NAMES = ("n01", "n03", "n05", "n07", "n09")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table(images, labels, names=NAMES, image_type=IMAGE):
    """Rows as the library `datasets` writes them; labels index the names, which stand in the metadata."""
    columns = [pa.array(images, image_type), pa.array(labels)]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    fields = [pa.field("image", columns[0].type), pa.field("label", columns[1].type)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata))


def rows(labels, rng):
    pixels = rng.integers(0, 256, (len(labels), 5, 4, 3), np.uint8)
    return pixels, [{"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(pixels)]


class Set:
    """images: split -> (n, H, W, 3) uint8; labels: split -> a number of NAMES for each."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.labels = {split: [NAMES.index(c) for c in classes] * 3 for split, classes in CLASSES.items()}
        self.images, self.rows = {}, {}
        for split, labels in self.labels.items():
            self.images[split], self.rows[split] = rows(labels, rng)

    def expected(self):
        """The images in their order."""
        return np.concatenate(
            [
                self.images[split][np.array(self.labels[split]) == NAMES.index(name)]
                for split, classes in CLASSES.items()
                for name in sorted(classes)
            ]
        ).transpose(0, 3, 1, 2)

    def write(self, folder, pattern="data/{}-{:05d}-of-00002-0123456789abcdef.parquet", **options):
        """Each split in two files, in row groups of two."""
        for split, labels in self.labels.items():
            for number, part in enumerate((slice(0, 2), slice(2, None))):
                path = folder / pattern.format(split, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = table(self.rows[split][part], labels[part])
                pq.write_table(content, path, row_group_size=2, **options)
        return folder


def first_file(folder, split="test"):
    return next(iter(sorted((folder / "data").glob(f"{split}-*"))))


def check(found, data):
    assert found.class_names == NAMES
    assert found.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    np.testing.assert_array_equal(found.images, data.expected(), strict=True)


@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "use_dictionary": False}, {"compression": "none"}])
@pytest.mark.parametrize(
    "pattern", ["data/{}-{:05d}-of-00002-0123456789abcdef.parquet", "{}/{:04d}.parquet", "{}-{}.parquet"]
)
def test_splits_without_a_common_class_are_kept(tmp_path, cache, pattern, options):
    data = Set()
    folder = data.write(tmp_path / "set", pattern, **options)
    assert recognise(str(folder))[0] == "hf-parquet"
    found = open_images(str(folder), cache)
    check(found, data)
    assert found.note == "15 images in 5 classes (2/1/2), read from set."


def test_the_folder_of_the_files_may_be_named(tmp_path, cache):
    data = Set()
    check(open_images(str(data.write(tmp_path / "set") / "data"), cache), data)


def test_large_binary_columns(tmp_path, cache):
    data = Set()
    folder = data.write(tmp_path / "set")
    wide = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
    path = first_file(folder)
    pq.write_table(table(data.rows["test"][:2], data.labels["test"][:2], image_type=wide), path)
    check(open_images(str(folder), cache), data)


@pytest.mark.parametrize("names", [NAMES, None])
def test_labels_that_are_text(tmp_path, cache, names):
    data = Set()
    folder = data.write(tmp_path / "set")
    for split in CLASSES:
        for path in sorted((folder / "data").glob(f"{split}-*")):
            old = pq.read_table(path)
            texts = [NAMES[label] for label in old["label"].to_pylist()]
            pq.write_table(table(old["image"].to_pylist(), texts, names), path)
    check(open_images(str(folder), cache), data)


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=["large", "view", "once"]
)
def test_labels_in_other_types_of_text_and_images_in_a_plain_column(tmp_path, cache, kind):
    data = Set()
    folder = data.write(tmp_path / "set")
    for path in (folder / "data").iterdir():
        old = pq.read_table(path)
        texts = pa.array([NAMES[label] for label in old["label"].to_pylist()])
        labels = texts.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else texts.cast(kind)
        images = pa.array([image["bytes"] for image in old["image"].to_pylist()], pa.large_binary())
        pq.write_table(pa.table({"image": images, "label": labels}), path)
    check(open_images(str(folder), cache), data)


def test_a_name_that_two_labels_share_does_no_harm_where_they_do_not_occur(tmp_path, cache):
    data = Set()
    folder = data.write(tmp_path / "set")
    for path in (folder / "data").iterdir():
        old = pq.read_table(path)
        names = (*NAMES, "crane", "crane")  # as in ImageNet's
        pq.write_table(table(old["image"].to_pylist(), old["label"].to_pylist(), names), path)
    check(open_images(str(folder), cache), data)


def test_files_of_no_split_are_told(tmp_path, cache):
    data = Set()
    folder = data.write(tmp_path / "set")
    pq.write_table(pq.read_table(first_file(folder)), folder / "data" / "extra-00000-of-00001.parquet")
    found = open_images(str(folder), cache)
    check(found, data)
    told = "Parquet files left out, as their names are of no split: 1 ('data/extra-00000-of-00001.parquet')."
    assert (found.left_out, found.note.endswith(told)) == (told, True)


def test_photographs_that_exif_would_turn_are_told_by_row(tmp_path, cache):
    data, exif = Set(), Image.Exif()
    exif[0x112] = 6
    turned = io.BytesIO()
    Image.fromarray(data.images["test"][1]).save(turned, "JPEG", exif=exif)
    data.rows["test"][1]["bytes"] = turned.getvalue()
    folder = data.write(tmp_path / "set")
    where = f"data/{first_file(folder).name}, row 1"
    for _ in range(2):  # decoded, and from the cache
        found = open_images(str(folder), cache)
        assert found.turned == f"1 photograph read as stored, which EXIF would turn: {where}"


def test_labels_without_names_are_called_by_their_number(tmp_path, cache):
    data = Set()
    folder = data.write(tmp_path / "set")
    for path in (folder / "data").iterdir():
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert open_images(str(folder), cache).class_names == ("0", "1", "2", "3", "4")


def leaking(folder, names, seed=0):
    """Every class in each split, as in timm/mini-imagenet: 3 + 1 + 1 images. Returns split -> (n, H, W, 3)."""
    rng, images = np.random.default_rng(seed), {}
    (folder / "data").mkdir(parents=True)
    for split, count in {"train": 3, "validation": 1, "test": 1}.items():
        labels = [label for _ in range(count) for label in range(len(names))]
        images[split], encoded = rows(labels, rng)
        pq.write_table(table(encoded, labels, names), folder / "data" / f"{split}-00000-of-00001.parquet")
    return images


def test_the_classes_of_miniimagenet_are_split_anew_by_the_published_list(tmp_path, cache):
    parts = splits.standard("ravi").parts
    names = sorted(name for part in parts.values() for name in part)
    images = leaking(tmp_path / "mini", names)
    found = open_images(str(tmp_path / "mini"), cache)
    assert [len(found.parts[part]) for part in ("train", "val", "test")] == [64, 16, 20]
    assert found.standard
    assert found.standard.exact
    for part, classes in parts.items():
        assert [found.class_names[c] for c in found.parts[part]] == sorted(classes)
    own = np.concatenate([images["train"], images["validation"]])
    own_labels = np.array([*range(100)] * 4)
    for name in ("n01532829", "n07613480"):  # of train, of test
        kept = found.images[found.images_of_class[found.class_names.index(name)]]
        wanted = own[own_labels == names.index(name)]
        np.testing.assert_array_equal(kept, wanted.transpose(0, 3, 1, 2))
    assert "400 images in 100 classes (64/16/20)" in found.note
    assert "Split anew by class as by Ravi & Larochelle 2017: the files' own splits share their classes." in found.note
    assert "Not read: the 100 images of their test split." in found.note


def test_other_splits_that_share_classes_are_refused(tmp_path, cache):
    leaking(tmp_path / "set", NAMES)
    with pytest.raises(DataError) as error:
        open_images(str(tmp_path / "set"), cache)
    assert str(error.value) == (
        f"{tmp_path / 'set'}: its splits share classes ('n01' and 4 more), so test classes would have been trained on, "
        "and no published split has these classes: write the images into {train,val,test}/<class>/"
    )


def test_without_pyarrow_it_says_how_to_get_it(tmp_path, cache, monkeypatch):
    folder = Set().write(tmp_path / "set")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"Parquet needs pyarrow: pip install 'fewshot-bench\[parquet\]'"):
        open_images(str(folder), cache)


def test_a_missing_file_of_several(tmp_path, cache):
    leaking(tmp_path / "set", NAMES)
    (tmp_path / "set/data/train-00000-of-00001.parquet").rename(tmp_path / "set/data/train-00000-of-00003.parquet")
    with pytest.raises(DataError, match=r"train-00000-of-00003.parquet: of the 3 files of 'train' number 1 is missing"):
        open_images(str(tmp_path / "set"), cache)


def test_a_missing_split(tmp_path, cache):
    folder = Set().write(tmp_path / "set")
    for path in (folder / "data").glob("validation-*"):
        path.unlink()
    with pytest.raises(DataError, match=r"set has no Parquet files of val: expected a folder with data/"):
        open_images(str(folder), cache)


def test_a_folder_without_any(tmp_path):
    with pytest.raises(DataError, match="has no Parquet files of a split"):
        find_source(f"hf-parquet:{tmp_path}")


def fails(folder, cache, path, piece):
    with pytest.raises(DataError) as error:
        open_images(str(folder), cache)
    message = str(error.value)
    assert message.startswith(str(path)), message
    assert piece in message, message
    assert message.isprintable()
    assert not list(cache.glob("*"))


GOOD = Set().rows["test"][:2]
PATH_ONLY = {"bytes": None, "path": "/data/a.png"}
FAULTS = {
    "no image": (lambda: table(GOOD, [3, 4]).drop(["image"]), "has no column 'image', only 'label'"),
    "no label": (lambda: table(GOOD, [3, 4]).drop(["label"]), "has no column 'label', only 'image'"),
    "label beyond": (lambda: table(GOOD, [3, 5]), "row 1 has the label 5, but there are 5 names"),
    "label below": (lambda: table(GOOD, [3, -1]), "row 1 has the label -1"),
    "label missing": (lambda: table(GOOD, [3, None]), "row 1 has no label"),
    "label a fraction": (lambda: table(GOOD, [3.0, 4.0]), "the column 'label' has the type double"),
    "labels in lists": (lambda: table(GOOD, [[3], [4]]), "the column 'label' has the type list"),
    "image of numbers": (
        lambda: table([{"bytes": 1}, {"bytes": 2}], [3, 4], image_type=pa.struct([("bytes", pa.int64())])),
        "'image' has the type struct<bytes: int64>",
    ),
    "path only": (lambda: table([GOOD[0], PATH_ONLY], [3, 4]), "row 1 has no image bytes, only a path"),
    "null": (lambda: table([GOOD[0], None], [3, 4]), "row 1 has no image bytes"),
    "no image file": (lambda: table([GOOD[0], {"bytes": b"what"}], [3, 4]), "row 1 is not a JPEG, PNG"),
    "half an image": (
        lambda: table([GOOD[0], {"bytes": GOOD[1]["bytes"][:-30]}], [3, 4]),
        "row 1 is damaged or truncated",
    ),
    "name of two labels": (
        lambda: table(GOOD, [3, 4], (*NAMES[:3], "h", "h")),
        "row 0 has the label 3, whose name 'h' another label has too: give each a name of its own",
    ),
    "odd name": (lambda: table(GOOD, [3, 4], (*NAMES[:4], "a\nb")), "'a\\nb' cannot be the name of a class"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_file_and_row(tmp_path, cache, fault):
    make, piece = FAULTS[fault]
    folder = Set().write(tmp_path / "set")
    path = first_file(folder)
    pq.write_table(make(), path)
    fails(folder, cache, path, piece)


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"PAR1" + bytes(100), "is damaged or not a Parquet file"),
        (500, "is damaged or not a Parquet file"),
    ],
)
def test_a_file_that_is_no_data(tmp_path, cache, data, piece):
    folder = Set().write(tmp_path / "set")
    path = first_file(folder)
    path.write_bytes(path.read_bytes()[:data] if isinstance(data, int) else data)
    fails(folder, cache, path, piece)


def test_a_column_that_unpacks_to_far_too_much(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(parquet_file, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    folder = Set().write(tmp_path / "set")
    path = first_file(folder)
    bomb = [{"bytes": bytes(4 << 20), "path": ""}] * 2
    pq.write_table(table(bomb, [3, 4]), path, compression="zstd", use_dictionary=False)
    fails(folder, cache, path, "unpacks to more than 200 times its size")


def test_a_row_group_that_is_too_large(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(parquet_file, "MAX_GROUP_BYTES", 1 << 20)
    folder = Set().write(tmp_path / "set")
    path = first_file(folder)
    images = [{"bytes": bytes(700_000), "path": ""}] * 2
    pq.write_table(table(images, [3, 4]), path, compression="none", use_dictionary=False)
    fails(folder, cache, path, "has a row group of 1,400,")
    pq.write_table(
        table([images[0], GOOD[0]], [3, 4]), path, compression="none", use_dictionary=False, row_group_size=1
    )
    fails(folder, cache, path, "row 0 is not a JPEG")


def test_an_image_that_is_too_large(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(image_decoding, "MAX_IMAGE_BYTES", 1000)
    folder = Set().write(tmp_path / "set")
    path = first_file(folder)
    pq.write_table(table([GOOD[0], {"bytes": bytes(2000)}], [3, 4]), path)
    fails(folder, cache, path, "row 1 is larger than 0 MiB")


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_flipped_bytes_give_images_or_one_line(tmp_path, compression, outcome):
    folder = Set().write(tmp_path / "set", compression=compression)
    path = first_file(folder)
    whole = path.read_bytes()
    outcomes = set()

    @settings(max_examples=150)
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=20), st.booleans())
    def read(changes, cut):
        data = bytearray(whole)
        for at, value in changes:
            data[at] = value
        path.write_bytes(data[: random.Random(len(changes)).randrange(len(data))] if cut else data)
        outcomes.add(outcome(folder))

    read()
    assert outcomes == {"read", "refused"}


@settings(max_examples=100)
@given(data=st.binary(max_size=600), magic=st.booleans())
def test_any_bytes_are_refused(tmp_path_factory, outcome, data, magic):
    folder = tmp_path_factory.mktemp("any")
    (folder / "train-0.parquet").write_bytes(b"PAR1" + data + b"PAR1" if magic else data)
    assert outcome(folder) == "refused"
