"""The section of docs/results.md on rules of fitting at test that were tuned on base classes."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measured.pairs import PARENTS, critical, differences, seeds_named
from fewshot_bench.config import load
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.pairs import compare_variants
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import CellScore, Results, shared_accuracies
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import accuracy, counted, percent

NAME = "miniimagenet-32tuned"
ANOTHER = 1  # a seed that is shipped and in no table yet
Pair = tuple[str, str]


def section(trained_before: Results) -> list[str]:
    """The lines of the section. trained_before: the same cells by the published rule, of earlier trainings, too"""
    stored = _stored()
    both, parents = _both(stored), [pair for pair in PARENTS if {*pair} <= {*stored.variants}]
    rules = [(variant, _published(variant)) for variant in stored.variants]
    n_base, n_held_out = stored.experiment.n_base_classes, int(str(_file()["split"]).removeprefix("inner"))
    return [
        f"`bench tune` trained each of these methods on {n_base - n_held_out} of the {n_base} base classes, and chose "
        f"among the same candidates on tasks of the other {n_held_out}; no novel class was looked at. Then they were "
        f"trained again on all base classes, and fitted by both rules ({seeds_named(stored.seeds)}; "
        f"`bench report --measured {NAME}`): as chosen, and by the published one:",
        "",
        render(summarise(stored), "markdown").strip(),
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
        *differences(stored, parents),
        "",
        *_with_another_seed(stored, both, rules, parents),
        f"{_moved(trained_before)} On how little rules were chosen (accuracy on the base classes that were held out, "
        "of the best of several candidates, with its 95 % interval where there are more episodes than one):",
        "",
        *_chosen(),
        "",
        f"No candidate had more than {_most('steps')} steps or, beyond {_most('full_batch')} images, more than "
        f"{_most('epochs')} epochs or {_most('batches')} mini-batches, whichever is more: where so many were chosen, "
        "more may be better.",
    ]


def variants() -> tuple[str, ...]:
    """That were tuned."""
    return _stored().variants


def trained_again() -> str:
    """That these are other trainings, and which."""
    return f"trained again, {seeds_named(_stored().seeds)}"


def means(variant: str) -> dict[tuple[int, int], float]:
    """(n_way, n_shot) -> its mean as chosen."""
    cells = summarise(_stored()).cells
    return {(c.n_way, c.n_shot): c.mean for c in cells if c.variant == variant and c.mean is not None}


def _file() -> dict[str, Any]:
    """What `bench tune` wrote."""
    return tomllib.loads(Path(str(shipped(NAME).rules)).read_text(encoding="utf-8"))


@cache
def _stored(seeds: tuple[int, ...] = ()) -> Results:
    """With these seeds; those of the table where none are named."""
    return results(choose_stored(replace(shipped(NAME), seeds=seeds)), with_answers=True)


def _by_published_rule(stored: Results) -> Results:
    assert stored.beside
    return stored.beside


def _with_another_seed(stored: Results, both: Results, rules: Sequence[Pair], parents: Sequence[Pair]) -> list[str]:
    """How far another training of everything says the same, as long as the table has one seed."""
    if len(stored.seeds) > 1:
        return []
    other = _stored((ANOTHER,))
    missing = [v for v in other.variants if all(c.state == "missing" for c in other.cells if c.variant == v)]
    but = f" but {', '.join(missing)}" if missing else ""
    return [
        f"Two seeds are too few to compare methods, so that the table has one. Everything{but} was trained and fitted "
        f"again with {seeds_named([ANOTHER])}, by the same rules (`--seed {ANOTHER}`). Of what a chosen rule adds, "
        f"{_said_again(both, _both(other), rules)}; of meta-transfer against its parents, "
        f"{_said_again(stored, other, parents)}.",
        "",
    ]


def _said_again(one: Results, other: Results, pairs: Sequence[Pair]) -> str:
    """Of one's significant differences how many are found in the other."""
    there = {(c.first, c.second, c.n_way, c.n_shot): c for pair in pairs for c in compare_variants(other, *pair)}
    both = [
        (c.mean or 0.0, again.mean, again.significant)
        for pair in pairs
        for c in compare_variants(one, *pair)
        if c.significant and (again := there.get((c.first, c.second, c.n_way, c.n_shot))) and again.mean is not None
    ]
    alike = [significant for mean, again, significant in both if mean * again > 0]
    return (
        f"{len(alike)} of {counted(len(both), 'significant difference')} measured with both have the same sign there, "
        f"{sum(alike)} significantly"
    )


def _published(variant: str) -> str:
    return f"{variant} as published"


def _both(stored: Results) -> Results:
    """The cells of both rules as variants of one table; where the rule is the same, so is the cell."""
    keys = {cell.key for cell in stored.cells}
    others = (cell for cell in _by_published_rule(stored).cells if cell.key not in keys)
    cells = (replace(cell, variant=_published(cell.variant)) for cell in others)
    names = (*stored.variants, *map(_published, stored.variants))
    return replace(stored, variants=names, cells=(*stored.cells, *cells), n_measured={}, spreads={})


def _moved(trained_before: Results) -> str:
    """How far another training of the same seed went."""
    before = {cell.key: _mean(cell) for cell in trained_before.cells if cell.episodes}
    after = {cell.key: _mean(cell) for cell in _by_published_rule(_stored()).cells}
    most = max(abs(after[key] - before[key]) for key in after.keys() & before.keys())
    return (
        f"By the published rule, means of these trainings are up to {percent(most)} points from those in the table "
        "above of the same variant, setting and seed, whose trainings differ in nothing but device or "
        f"[the last bit of pixels](#what-is-not-decided); trained on {_trained_on()}."
    )


def _trained_on() -> str:
    """The devices, each with its variants."""
    found: dict[str, set[str]] = {}
    for training in _by_published_rule(_stored()).trainings:
        if training.device:
            found.setdefault(training.device, set()).update(training.variants)
    return "; ".join(f"{device}: {', '.join(sorted(names))}" for device, names in found.items())


def _mean(cell: CellScore) -> float:
    return float(shared_accuracies([cell]).mean())


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
