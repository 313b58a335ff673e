"""Made-up results: small, exact and reproducible without a random generator."""

from dataclasses import replace

import pytest

from fewshot_bench.tables.scores import (
    CellScore,
    CurvePoint,
    EpisodeResult,
    Experiment,
    Results,
    TrainingCost,
)
from fewshot_bench.tables.summary import summarise

VARIANTS = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")
HOSTILE = ("50%_a&b#c$d{e}f~g^h\\i", "<script>alert(1)</script>", "=cmd()", "a|b", "new\n\nline", '"]["')
SETTINGS = tuple((n_way, n_shot) for n_way in (5, 20, 35) for n_shot in (1, 5, 100))


def experiment(**changes):
    made = Experiment(
        dataset="strokes",
        dataset_note="Strokes is synthetic: characters drawn by a program, not photographs or handwriting.",
        fingerprint="5f1c0de",
        split="paper",
        n_base_classes=64,
        n_novel_classes=36,
        image_shape=(1, 28, 28),
        images_per_novel_class=150,
        protocol="single",
        protocol_note="One model a method, trained 5-way 5-shot, adapts to every setting.",
        budget="quick",
        backbone="conv4-32",
        norms={name: "running" if name == "protonet" else "support" for name in VARIANTS},
        n_query=15,
        command="bench run --grid full",
        facts={"commit": "499b31c (clean)", "torch": "2.10.0", "device": "cpu, 2 threads"},
    )
    return replace(made, **changes)


def episodes(n_way, n_shot, mean, n=40, shift=0):
    """n episodes whose accuracies scatter about `mean` (a fraction), the same ids for every variant."""
    n_queries = n_way * 15
    scores = []
    for i in range(n):
        wobble = ((i * 7 + shift * 3) % 11 - 5) / 60
        n_correct = min(n_queries, max(0, round((mean + wobble) * n_queries)))
        scores.append(EpisodeResult(i, f"e-{n_way}-{n_shot}-{i}", n_correct, n_queries))
    return tuple(scores)


def make_results(variants=VARIANTS, settings=SETTINGS, seeds=(0,), n=40, **changes):
    """A complete grid: every variant, setting and seed done."""
    cells = []
    for column, variant in enumerate(variants):
        for n_way, n_shot in settings:
            ease = {1: 0.25, 5: 0.5, 100: 0.75}.get(n_shot, 0.6) + 0.02 * ((column * 3) % 7)
            mean = 1 / n_way + (1 - 1 / n_way) * ease * (1.0 if n_way == 5 else 0.7)
            for seed in seeds:
                scores = episodes(n_way, n_shot, mean + 0.01 * seed, n, column)
                key = f"{variant}-{n_way}-{n_shot}-{seed}"
                cells.append(CellScore(variant, n_way, n_shot, seed, key, "done", "", scores, n))
    trainings = tuple(
        TrainingCost((variant,), seed, f"training-{variant}-{seed}", "finished", "5-way 5-shot", 400 + 10 * i,
                     80_000 * (i + 1), 40.0 * (i + 1), (i + 3) * 50 * 2**20, "cpu")
        for i, variant in enumerate(variants) for seed in seeds
    )  # fmt: skip
    curves = tuple(
        CurvePoint(variant, seed, iteration, 1.6 / (1 + iteration / (100 + 20 * i)) + 0.02 * (iteration % 3))
        for i, variant in enumerate(variants) for seed in seeds for iteration in range(10, 401, 10)
    )  # fmt: skip
    return Results(experiment(**changes), variants, settings, seeds, tuple(cells), trainings, curves)


def replace_cell(results, variant, n_way, n_shot, seed=0, **changes):
    """The results with one cell changed."""
    place = (variant, n_way, n_shot, seed)
    cells = [
        replace(cell, **changes) if (cell.variant, cell.n_way, cell.n_shot, cell.seed) == place else cell
        for cell in results.cells
    ]
    return replace(results, cells=tuple(cells))


def make_marked():
    """A grid with every state in it."""
    results = make_results()
    results = replace_cell(results, "maml", 5, 1, state="failed", reason="the loss became NaN at step 30")
    results = replace_cell(results, "maml", 5, 5, state="failed", reason="the loss became NaN at step 30")
    results = replace_cell(results, "reptile", 20, 100, state="missing", episodes=())
    short = episodes(35, 5, 0.4, 12)
    return replace_cell(results, "transfer", 35, 5, state="partial", episodes=short)


@pytest.fixture(name="make_results")
def _make_results():
    return make_results


@pytest.fixture
def marked():
    return make_marked()


@pytest.fixture
def table(marked):
    return summarise(marked)


@pytest.fixture
def hostile(make_results):
    results = make_results(HOSTILE, ((5, 1), (5, 5)), dataset="d&_%\n\\input{x}", norms={HOSTILE[0]: "a_b"})
    first = replace(results.cells[0], state="failed", reason="=1+1 & 5% <b> \\end{table}\n| x")
    return summarise(replace(results, cells=(first, *results.cells[1:])))
