"""Baselines as documents: what they keep, how they read, and what is refused."""

import json
from dataclasses import replace

import pytest

from fewshot_bench.tables.check.baseline import (
    BaselineError,
    baseline_of,
    baseline_text,
    episodes_sha256,
    make_baseline,
    read_baseline,
)
from fewshot_bench.tables.scores import EpisodeResult

ONE = (("maml",), ((5, 1),))


def test_a_file_keeps_every_episode(make_results):
    results = make_results(seeds=(0, 1))
    read = read_baseline(json.loads(baseline_text(make_baseline(results))))
    known = baseline_of(results)
    assert read.identity == known.identity
    assert {cell.place: cell for cell in read.cells} == {cell.place: cell for cell in known.cells}


def test_cells_may_have_different_episodes(make_results):
    results = make_results(("maml", "reptile"), ((5, 1),))
    first, second = results.cells
    parted = replace(results, cells=(replace(first, episodes=first.episodes[5:]), second))
    read = read_baseline(json.loads(baseline_text(make_baseline(parted))))
    assert [len(cell.score.episodes) for cell in read.cells] == [35, 40]
    assert read.cells[0].score.episodes == first.episodes[5:]


def test_a_file_is_small_and_one_cell_is_one_line(make_results):
    results = make_results(n=60)
    hexed = tuple(
        replace(
            cell, episodes=tuple(replace(e, episode_id=f"{e.number:016x}") for e in cell.episodes), lineage="0" * 16
        )
        for cell in results.cells
    )
    text = baseline_text(make_baseline(replace(results, cells=hexed)))
    assert len(text) < 50_000
    lines = [line for line in text.splitlines() if '"correct"' in line]
    assert len(lines) == 63
    assert lines == sorted(
        lines, key=lambda line: [json.loads(line.rstrip(","))[n] for n in ("variant", "n_way", "n_shot")]
    )


def test_one_changed_episode_changes_one_line(make_results):
    results = make_results()
    cell = results.cells[7]
    one_more = (replace(cell.episodes[0], n_correct=cell.episodes[0].n_correct + 1), *cell.episodes[1:])
    other = replace(results, cells=(*results.cells[:7], replace(cell, episodes=one_more), *results.cells[8:]))
    before, after = (baseline_text(make_baseline(r)).splitlines() for r in (results, other))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_only_done_cells_are_stored(marked):
    assert len(make_baseline(marked)["cells"]) == 63 - 4
    with pytest.raises(BaselineError, match="no complete cell"):
        make_baseline(replace(marked, cells=tuple(replace(c, state="failed") for c in marked.cells)))


def test_hash_ignores_order_but_nothing_else():
    episodes = (EpisodeResult(0, "a", 3, 75), EpisodeResult(1, "b", 4, 75))
    known = episodes_sha256(episodes)
    assert episodes_sha256(episodes[::-1]) == known
    for changed in (EpisodeResult(0, "c", 3, 75), EpisodeResult(0, "a", 2, 75), EpisodeResult(0, "a", 3, 70)):
        assert episodes_sha256((changed, episodes[1])) != known


def cell_with(**changes):
    return lambda good: {**good, "cells": [good["cells"][0] | changes]}


def setting_with(**changes):
    return lambda good: {**good, "settings": [good["settings"][0] | changes]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: [], "no 'schema'"),
        (lambda good: {**good, "schema": 99}, "schema 99: this version reads 1 and 2"),
        (lambda good: {**good, "experiment": {}}, "dataset"),
        (lambda good: {**good, "cells": good["cells"] * 2}, "two accuracies"),
        (lambda good: {**good, "settings": []}, "5, 1"),
        (lambda good: {**good, "cells": None}, "not a baseline of schema 2"),
        (cell_with(key=None, correct=[76] * 40), "impossible"),
        (cell_with(correct=[-1] * 40), "impossible"),
        (cell_with(correct=[3] * 39), "impossible"),
        (cell_with(correct=[None] * 40), "impossible"),
        (cell_with(correct=[3.5] * 40), "not a baseline"),
        (cell_with(correct=[float("nan")] * 40), "not a baseline"),
        (cell_with(correct="3" * 40), "not a baseline"),
        (cell_with(n_way="5"), "not a baseline"),
        (setting_with(episodes=[[0, "a", 75]] * 40), "impossible"),
        (setting_with(episodes=[[i, str(i), 0] for i in range(40)]), "impossible"),
        (setting_with(episodes=[[i, str(i)] for i in range(40)]), "not a baseline"),
    ],
)
def test_malformed_baselines_are_refused(make_results, change, message):
    good = json.loads(baseline_text(make_baseline(make_results(*ONE))))
    with pytest.raises(BaselineError, match=message):
        read_baseline(change(good))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": float("nan")}, "impossible"),
        ({"mean": 1.5}, "impossible"),
        ({"deviation": -0.1}, "impossible"),
        ({"n_episodes": 0}, "impossible"),
        ({"mean": "0.5"}, "not a baseline of schema 1"),
        ({"n_episodes": 2.5}, "not a baseline of schema 1"),
    ],
)
def test_malformed_baselines_of_schema_1_are_refused(make_results, change, message):
    cell = {
        "variant": "maml", "n_way": 5, "n_shot": 1, "seed": 0, "key": "k", "n_episodes": 4, "mean": 0.3,
        "deviation": 0.1, "episodes_sha256": "0" * 64,
    }  # fmt: skip
    good = make_baseline(make_results(*ONE)) | {"schema": 1, "cells": [cell]}
    assert read_baseline(good).cells[0].accuracy.mean == 0.3
    with pytest.raises(BaselineError, match=message):
        read_baseline(good | {"cells": [cell | change]})
