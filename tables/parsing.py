"""TOML and JSON that anyone may have written: whatever is wrong with it is one error with one line.

What is nested deeper, longer or larger than any file of ours is refused: code behind may recurse.
"""

import json
import math
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

DEEPEST = 50  # tables within tables
LONGEST_KEY = 200  # letters
LONGEST_TOML = 2**20  # characters
LARGEST_BYTES = 2**26  # of a file

# The standard library's reader of TOML takes time quadratic in these, so they are looked for first
_LONG_WORD = re.compile(r"[\w\"'+-]{200}")
_LONG_KEY = re.compile(r"(?:[\w\"'-]+[ \t]*\.[ \t]*){50}")
_QUOTED = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?|#[^\n]*', re.DOTALL
)


class ParseError(ValueError):
    """One line that says why a text cannot be read."""


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises OSError, and ParseError for a pipe, a device, and what is too large."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # it would be waited for
        raise ParseError("it is not a regular file")
    if status.st_size > LARGEST_BYTES:
        raise ParseError(f"it has {status.st_size} bytes, more than {LARGEST_BYTES}")
    return path.read_bytes()


def parse_toml(content: str | bytes) -> dict[str, Any]:
    """A TOML document, with or without byte-order mark. Raises ParseError."""
    document: dict[str, Any] = _parsed("TOML", _toml, content)
    return document


def parse_json(content: str | bytes) -> Any:
    """A JSON document with finite numbers, with or without byte-order mark. Raises ParseError."""
    return _parsed("JSON", json.loads, content)


def toml_line(value: Any) -> str:
    """A value as TOML writes it in a line. Raises ParseError for what TOML cannot hold."""
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return toml_line(value.tolist())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_line(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_line, value)) + "]"
    if isinstance(value, str | PathLike):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return str(value).lower()
    raise ParseError(f"{value!r}, which TOML cannot")


def _toml(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_TOML:
        raise ValueError(f"it has {len(text)} characters, more than {LONGEST_TOML}")
    bare = _QUOTED.sub("''", text)
    if _LONG_WORD.search(bare):
        raise ValueError("a number or a key has more than 200 letters")
    if _LONG_KEY.search(bare):
        raise ValueError(f"a key has more than {DEEPEST} parts")
    return tomllib.loads(text)


def _parsed(language: str, loads: Callable[[str], Any], content: str | bytes) -> Any:
    if isinstance(content, bytes) and (at := content.find(b"\0")) >= 0:  # of UTF-16, maybe without a mark
        raise ParseError(f"not valid {language}: it is not UTF-8: a zero byte at byte {at}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
        document = loads(text)
        what = _beyond(document, language == "JSON")
    except RecursionError:
        what = "it is nested too deeply"
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8: {error.reason} at byte {error.start}"
    except ValueError as error:
        too_long = "integer string conversion" in str(error)
        what = "a whole number has too many digits" if too_long else " ".join(str(error).split())[:200]
    if what:
        raise ParseError(f"not valid {language}: {what}")
    return document


def _beyond(document: Any, finite: bool) -> str:
    """What in a document no file of ours holds; empty where there is nothing. Not recursive."""
    level, depth = [document], 0
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if value and max(map(len, value)) > LONGEST_KEY:
                    return f"a key has more than {LONGEST_KEY} letters"
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                return "it holds half of a character (a lone surrogate)"
            elif isinstance(value, int) and abs(value) >= 2**63:
                return "it holds a whole number of more than 64 bits"
            elif finite and isinstance(value, float) and not math.isfinite(value):
                return "it holds a number that is not finite"
        level, depth = below, depth + 1
        if depth > DEEPEST:
            return "it is nested too deeply"
    return ""
