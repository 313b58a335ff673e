"""What the values of single rows must be beyond the types of their columns: words of a choice, and JSON of a shape."""

from collections.abc import Callable, Mapping
from typing import Any

from fewshot_bench.config import MOST_FILTERS, MOST_ITERATIONS, MOST_PIXELS, MOST_PROCESSES, MOST_WAYS
from fewshot_bench.data.images import wrong_outline
from fewshot_bench.settings import MOST, shown
from fewshot_bench.tables.parsing import ParseError, parse_json

Check = Callable[[Any], str]  # of a value of JSON, what it must be; empty where it is

STATES = ("running", "finished", "failed")
LARGEST = 2**31 - 1
# letters of texts that columns of the database have a length for
LONGEST = {"variant": 100, "method": 100, "device": 100, "label": 300, "started_at": 32, "git_commit": 40}


def whole(low: int, high: int) -> Check:
    """A whole number in a range."""
    return lambda v: "" if type(v) is int and low <= v <= high else f"must be a whole number from {low} to {high}"


def text(value: Any) -> str:
    """Text that fits into a line."""
    return "" if isinstance(value, str) and len(value) <= 1000 and "\0" not in value else "must be a short text"


def table(value: Any) -> str:
    """A JSON object."""
    return "" if isinstance(value, dict) else "must be a JSON object"


def list_of(check: Check) -> Check:
    """A list, not empty, and each entry checked."""
    return lambda v: (
        next(filter(None, map(check, v)), "") if isinstance(v, list) and v else "must be a list with at least one entry"
    )


def fields(shape: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """A JSON object with these entries at least."""

    def check(value: Any) -> str:
        if what := table(value):
            return what
        for name, of in {**shape, **(optional or {})}.items():
            if name not in value:
                if name in shape:
                    return f"{name!r} is missing"
            elif what := of(value[name]):
                return f"{name}: {what}" if isinstance(value[name], dict) else f"{name} = {shown(value[name])} {what}"
        return ""

    return check


def _adaptation(value: Any) -> str:
    return "" if value is None else table(value)


def _threads(value: Any) -> str:
    valid = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10
    return "" if valid and 1 <= int(value) <= MOST_PROCESSES else f"must be from 1 to {MOST_PROCESSES}"


def data_set_outline(value: Any) -> str:
    """Of a data set, see `data/images.py`."""
    return _OUTLINE(value) or wrong_outline(value)


def _facts(value: Any) -> str:
    if what := fields({}, {"threads": _threads})(value):
        return what
    return "" if all(isinstance(v, str) and "\0" not in v for v in value.values()) else "must hold texts"


TRAINING = fields(
    {
        "method": text,
        "versions": list_of(whole(0, MOST)),
        "settings": table,
        "fingerprint": text,
        "base_parts": list_of(text),
        "in_channels": whole(1, 64),
        "image_size": whole(1, MOST_PIXELS),
        "filters": whole(0, MOST_FILTERS),
        "n_base_classes": whole(1, MOST),
        "n_way": whole(0, MOST_WAYS),
        "n_shot": whole(0, MOST_WAYS),
        "n_query": whole(0, MOST_WAYS),
        "iterations": whole(0, MOST_ITERATIONS),
        "seed": whole(0, LARGEST),
        "backbone": text,
    },
    {"augmentation": table, "drop_block": lambda v: "" if type(v) is float and 0 <= v <= 0.9 else "must be a share",
     "numerics": text, "input_size": whole(1, MOST_PIXELS), "normalisation": text,
     "weights": text},
)  # fmt: skip
CELL = fields(
    {
        "training": text,
        "split": text,
        "setting": fields(dict.fromkeys(("n_way", "n_shot", "n_query"), whole(1, MOST_WAYS))),
        "bank": lambda v: "" if isinstance(v, list) and len(v) == 2 and not list_of(whole(0, LARGEST))(v)
        else "must be the version and the seed of a bank",
        "adaptation": _adaptation,
    },
    {"novel": text},
)  # fmt: skip
_OUTLINE = fields(
    {
        "name": text,
        "note": text,
        "family": lambda v: "" if v == "" else text(v),
        "image_shape": lambda v: "" if isinstance(v, list) and len(v) == 3 and not list_of(whole(1, MOST_PIXELS))(v)
        else "must be channels, height and width",
        "class_names": list_of(text),
        "runs": list_of(lambda v: "" if isinstance(v, list) else "must be pairs"),
        "parts": lambda v: table(v) or next(filter(None, map(list_of(whole(0, MOST)), v.values())), ""),
    },
)  # fmt: skip
FACTS: Check = _facts
SHAPES: Mapping[tuple[str, str], Check] = {
    ("runs", "facts"): FACTS,
    ("trainings", "identity"): TRAINING,
    ("cells", "identity"): CELL,
    ("data_sets", "outline"): data_set_outline,
}


def wrong_row(table: str, row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first column whose value cannot be, and what is wrong with it; None where there is none."""
    for column, value in row.items():
        if shape := SHAPES.get((table, column)):
            try:
                what = shape(parse_json(value))
            except ParseError as error:
                what = str(error)
            if what:
                return column, what
    if table == "trainings":
        if row["state"] not in STATES:
            return "state", f"it must be one of {', '.join(STATES)}"
        if (row["state"] == "finished") != bool(row["checkpoint"]):
            return "checkpoint", "a training has weights when it is finished, and only then"
    return None
