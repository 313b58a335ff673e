"""What is known of methods before one is imported: papers and variants of the built-in ones, what others declare."""

import functools
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.resources import files
from pathlib import Path

GROUP = "fewshot_bench.methods"
PAPERS = {
    "transfer": "Eshratifar+ 2019",
    "protonet": "Snell+ 2017",
    "maml": "Finn+ 2017",
    "reptile": "Nichol+ 2018",
    "maml-mtl": "Eshratifar+ 2019",
    "reptile-mtl": "Eshratifar+ 2019",
    "anil": "Raghu+ 2020",
    "protomaml": "Triantafillou+ 2020",
    "r2d2": "Bertinetto+ 2019",
    "meta-baseline": "Chen+ 2021",
    "pretrained-maml": "a control",
    "pretrained-reptile": "a control",
}
HEADS = {"centroid": "Wang+ 2019", "logistic": "Tian+ 2020", "cosine": "Chen+ 2019"}  # on frozen features


@functools.cache
def packaged_variants() -> frozenset[str]:
    """The names that the packaged bench.toml gives to variants of the built-in methods."""
    text = files("fewshot_bench").joinpath("bench.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)["methods"])


def declared() -> dict[str, list[EntryPoint]]:
    """Name -> the entry points that declare it; more than one is one too many."""
    return _declared(tuple((place, _changed(place)) for place in sys.path))


def _changed(place: str) -> int:
    """When something was last installed or removed there."""
    try:
        return Path(place or ".").stat().st_mtime_ns
    except OSError:
        return 0


@functools.cache
def _declared(_places: tuple[tuple[str, int], ...]) -> dict[str, list[EntryPoint]]:
    try:
        entries = list(entry_points(group=GROUP))
    except Exception:  # noqa: BLE001  # some package's list of entry points cannot be read: the others count
        entries = []
        for package in distributions():
            with suppress(Exception):
                entries += package.entry_points.select(group=GROUP)
    found: dict[str, list[EntryPoint]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return found
