"""Whatever the lists hold: a data set, or one line that names the list."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_bench.data import find_source
from fewshot_bench.errors import DataError

words = st.sampled_from(
    ["cow", "dog", "val", "test", "cow0000.jpg", "cow0001.jpg", "..", "/", "", '"', ",", "\0", "\x85", "é", "x" * 5000]
)
cells = words | st.text(st.characters(codec="utf-8"), max_size=8)
rows = st.lists(st.lists(cells, min_size=2, max_size=2).map(",".join), min_size=1, max_size=8)


def tables(header):
    """CSV files with mostly this header."""
    return st.builds(lambda first, rest: "\n".join([first, *rest]).encode(), st.just(header) | cells, rows)


numbers = st.integers(-2, 6) | st.booleans() | st.floats() | st.integers(10**20, 10**21)
values = st.recursive(st.none() | numbers | cells, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
objects = st.fixed_dictionaries(
    {},
    optional={
        "label_names": st.lists(cells, max_size=4) | values,
        "image_names": st.lists(cells.map("images/cow/{}".format) | cells, max_size=4) | values,
        "image_labels": st.lists(numbers, max_size=4) | values,
    },
)
nearly = st.builds(  # lists that fit together
    lambda names, images: {
        "label_names": names,
        "image_names": [image for image, _ in images],
        "image_labels": [label for _, label in images],
    },
    st.lists(cells.filter(bool), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.just("images/cow/cow0000.jpg") | values, st.integers(0, 3) | values), min_size=1, max_size=4),
)
documents = st.one_of(nearly, nearly, objects, values).map(lambda value: json.dumps(value).encode())
lines = st.lists(cells, max_size=6).map(lambda found: "\n".join(found).encode())
LISTS = {  # layout -> the list that is replaced, by what, and the word that names a place in it
    "bertinetto": ("splits/ravi/val.txt", lines, ", line "),
    "chen-json, relative": ("val.json", documents, ", image "),
    "easyfsl-csv": ("val.csv", tables("class_name,image_name"), ", row "),
    "class-folders, split.csv": ("split.csv", tables("class,part"), ", row "),
}


@pytest.mark.parametrize("layout", LISTS)
def test_a_list_of_anything_is_read_or_named(photos, layouts, tmp_path, layout):
    name, contents, place = LISTS[layout]
    folder = layouts.write(tmp_path / "set", layouts.files(layout, photos))
    source = find_source(f"{layout.partition(',')[0]}:{folder}")
    messages = set()

    @settings(max_examples=300)
    @given(content=contents | st.binary(max_size=60))
    def read(content):
        (folder / name).write_bytes(content)
        try:
            source.state()
        except DataError as error:
            messages.add(str(error))

    read()
    for message in messages:
        assert "\n" not in message
        assert len(message) < 11_000
        assert re.match(rf"(\d+ listed files are missing: )?{re.escape(f'{folder}/{name}')}", message)
    assert len({message for message in messages if place in message}) > 10
