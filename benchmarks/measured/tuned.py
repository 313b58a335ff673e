"""The section of docs/results.md on rules of fitting at test that were tuned on base classes."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measured.pairs import PARENTS, critical, differences, seeds_named
from benchmarks.measured.sentences import verdicts
from fewshot_bench.config import load
from fewshot_bench.results.claims import judgement
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.claims.verdicts import Judgement
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import Results, shared_accuracies
from fewshot_bench.tables.statistics.estimate import of_episodes
from fewshot_bench.tables.summary import Table, summarise
from fewshot_bench.tables.wording import accuracy, percent, span

NAME = "miniimagenet-32tuned"


def section(trained_before: Results) -> list[str]:
    """The lines of the section. trained_before: the same cells by the published rule, of earlier trainings, too"""
    stored = _stored()
    both = _both(stored)
    none = [v for v in stored.variants if _published(v) not in both.variants]  # no rule fits them
    rules = [(v, _published(v)) for v in stored.variants if v not in none]
    n_base, n_held_out = stored.experiment.n_base_classes, int(str(_file()["split"]).removeprefix("inner"))
    return [
        f"`bench tune` trained each of these methods on {n_base - n_held_out} of the {n_base} base classes, and chose "
        f"among the same candidates on tasks of the other {n_held_out}; no novel class was looked at. (Not "
        f"{', '.join(f'`{v}`' for v in none)}: nothing is fitted, and the cells are those above.) Then they were "
        f"trained again on all base classes, and fitted by both rules ({seeds_named(stored.seeds)}; "
        f"`bench report --measured {NAME}`): as chosen, and by the published one:",
        "",
        render(_table(), "markdown").strip(),
        "",
        "Percentage points that the chosen rule adds to the same networks, with 95 % intervals for classes like these; "
        "– where the published rule was chosen. Bold: significantly different, corrected for the "
        f"{both.n_tests(*both.settings[0])} pairs of these columns.",
        "",
        *differences(both, rules),
        "",
        f"Meta-transfer against its parents, each fitted as chosen ({seeds_named(stored.seeds)}); corrected for "
        f"{stored.n_tests(*stored.settings[0])} pairs. {critical(stored)}",
        "",
        *differences(stored, PARENTS),
        "",
        "The paper's sentences, each method fitted as chosen:",
        "",
        *verdicts(judged()),
        "",
        f"{_moved(trained_before, none)} On how little rules were chosen (accuracy on the base classes that were held "
        "out, of the best of several candidates, with its 95 % interval where there are more episodes than one):",
        "",
        *_chosen(),
        "",
        f"No candidate had more than {_most('steps')} steps or, beyond {_most('full_batch')} images, more than "
        f"{_most('epochs')} epochs or {_most('batches')} mini-batches, whichever is more: where so many were chosen, "
        "more may be better.",
    ]


@cache
def judged() -> Judgement:
    """The paper's sentences, each method fitted as chosen."""
    return judgement(None, shipped(NAME))


def means() -> dict[tuple[str, int, int], float]:
    """(variant, n_way, n_shot) -> its mean as chosen."""
    return {(c.variant, c.n_way, c.n_shot): c.mean for c in _table().cells if c.mean is not None}


def chosen_on() -> str:
    """On how many episodes a rule was chosen: "1 to 10"."""
    several = [int(entry["n_episodes"]) for entry in _file()["rules"]]
    return span(min(several), max(several))


def _file() -> dict[str, Any]:
    """What `bench tune` wrote."""
    return tomllib.loads(Path(str(shipped(NAME).rules)).read_text(encoding="utf-8"))


@cache
def _stored() -> Results:
    return results(choose_stored(shipped(NAME)), with_answers=True)


@cache
def _table() -> Table:
    return summarise(_stored())


def _by_published_rule(stored: Results) -> Results:
    assert stored.beside
    return stored.beside


def _published(variant: str) -> str:
    return f"{variant} as published"


def _both(stored: Results) -> Results:
    """The cells of both rules as variants of one table; where the rule is the same, so is the cell."""
    keys = {cell.key for cell in stored.cells}
    others = (cell for cell in _by_published_rule(stored).cells if cell.key not in keys)
    cells = [replace(cell, variant=_published(cell.variant)) for cell in others]
    names = dict.fromkeys([*stored.variants, *(cell.variant for cell in cells)])
    return replace(stored, variants=tuple(names), cells=(*stored.cells, *cells), n_measured={}, spreads={})


def _moved(trained_before: Results, none: Sequence[str]) -> str:
    """How far another training of the same seed went. none: those that were not trained again"""
    before = {cell.key: cell for cell in trained_before.cells if cell.variant not in none}
    after = {cell.key: cell for cell in _by_published_rule(_stored()).cells}
    both = [shared_accuracies([after[key], before[key]]) for key in before.keys() & after.keys()]
    moved = [again - once for again, once in both]  # (E,) each
    clear = sum(bool((e := of_episodes(change)) and abs(e.mean) > e.half_width()) for change in moved)
    most = max(abs(float(change.mean())) for change in moved)
    return (
        f"By the published rule, means of these trainings are up to {percent(most)} points from those in the table "
        "above of the same variant, setting and seed, whose trainings differ in nothing but device or "
        f"[the last bit of pixels](#what-is-not-decided), in {clear} of {len(moved)} cells by more than their 95 % "
        f"interval over the episodes; trained on {_trained_on(none)}."
    )


def _trained_on(none: Sequence[str]) -> str:
    """The devices, each with its variants."""
    found: dict[str, set[str]] = {}
    for training in _by_published_rule(_stored()).trainings:
        if training.device and not {*training.variants} & {*none}:
            found.setdefault(training.device, set()).update(training.variants)
    return "; ".join(f"{device}: {', '.join(sorted(names))}" for device, names in found.items())


def _chosen() -> Iterator[str]:
    """A table of what the file of rules says."""
    published = load(None).adaptation
    yield "| variant | ways | shots | episodes | accuracy | rule |"
    yield "|:---|---:|:---|---:|---:|:---|"
    for entry in _file()["rules"]:
        changed = {name: value for name, value in entry["adaptation"].items() if value != published[name]}
        rule = ", ".join(f"{name} = {value}" for name, value in changed.items()) or "the published one"
        found = accuracy(entry["accuracy"], entry.get("half_width"), None)
        shots = f"{entry['from_shot']} and more"
        yield f"| {entry['variant']} | {entry['n_way']} | {shots} | {entry['n_episodes']} | {found} | {rule} |"


def _most(what: str) -> int:
    """Of any candidate."""
    return max(int(candidate["adaptation"].get(what, 0)) for candidate in _file()["candidates"])
