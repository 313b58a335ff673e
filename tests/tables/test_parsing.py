"""TOML and JSON that anyone may have written: one line, soon, whatever it is."""

import time

import pytest

from fewshot_bench.tables.parsing import LARGEST_BYTES, LONGEST_TOML, ParseError, parse_json, parse_toml, read_bytes

LONG_KEY = ".".join(["a"] * 20_000)
TOML = {
    "lists in lists": "a = " + "[" * 5000 + "]" * 5000,
    "tables in tables": "a = " + "{b = " * 5000 + "1" + "}" * 5000,
    "a dotted key": f"{LONG_KEY} = 1",
    "a dotted key with blanks": LONG_KEY.replace(".", " . ") + " = 1",
    "a dotted key in quotes": LONG_KEY.replace("a", '"a b"') + " = 1",
    "a dotted key in escapes": LONG_KEY.replace("a", r'"\u0041"') + " = 1",
    "a dotted section": f"[{LONG_KEY}]",
    "a dotted key in a table": "a = {" + LONG_KEY + " = 1}",
    "a long number": "a = " + "9" * 5000,
    "a long number to the base of 16": "a = 0x" + "f" * 20_000,
    "a long number to the base of 2": "a = 0b" + "1" * 200_000,
    "more than 64 bits": "a = 9223372036854775808",
    "a long word without dots": "a" * 200_000,
    "an open quote": 'a = "' + "a." * 50_000,
    "backslashes and quotes": '\\"' * 100_000,
    "a long file": "#" * (LONGEST_TOML + 1),
    "a NUL": 'a = "\0"',
}
JSON = {
    "lists in lists": "[" * 5000 + "]" * 5000,
    "lists without an end": "[" * 1_000_000,
    "objects in objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "a long number": "9" * 5000,
    "more than 64 bits": "-9223372036854775809",
    "no number": "[NaN]",
    "no finite number": '{"a": 1e999}',
    "a long key": '{"' + "a" * 201 + '": 1}',
    "half of a character": r'["\ud800"]',
    "half of a character in a key": r'{"\udfff": 1}',
    "nothing": "",
}


@pytest.mark.parametrize("language", ["TOML", "JSON"])
def test_what_is_too_deep_long_or_large_is_one_line_and_soon(language):
    parse, cases = (parse_toml, TOML) if language == "TOML" else (parse_json, JSON)
    for case, text in cases.items():
        began = time.process_time()
        with pytest.raises(ParseError) as error:
            parse(text)
        assert str(error.value).startswith(f"not valid {language}: "), case
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300
        assert time.process_time() - began < 2, case


def test_a_byte_order_mark_is_no_content():
    assert parse_toml("\ufeffa = 1".encode()) == parse_toml("\ufeffa = 1") == {"a": 1}
    assert parse_json('\ufeff{"a": 1}'.encode()) == parse_json('\ufeff{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_named(encoding):
    for parse in (parse_toml, parse_json):
        with pytest.raises(ParseError, match=r"it is not UTF-8: .* at byte"):
            parse('a = "\xe9"'.encode(encoding))


def test_what_honest_files_hold_is_read():
    text = (
        'a = "' + "one.two." * 1000 + '"\nb.c.d = 0xff # ' + "x" * 5000 + "\n'" + "k.'\n = '''" + "a.b" * 300 + "'''\n"
    )
    with pytest.raises(ParseError):  # the key was never closed
        parse_toml(text)
    good = text.replace("'k.'\n", "'k.'")
    assert parse_toml(good) == {"a": "one.two." * 1000, "b": {"c": {"d": 255}}, "k.": "a.b" * 300}
    assert parse_json("[" * 40 + "]" * 40)
    assert parse_json(f"[{2**63 - 1}, 1e308]") == [2**63 - 1, 1e308]


def test_files_are_regular_and_of_bounded_size(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ParseError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(200 * 2**30)
    with pytest.raises(ParseError, match=f"more than {LARGEST_BYTES}"):
        read_bytes(tmp_path / "sparse")
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)
