"""Small grids of chosen accuracies, and claims about them."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from fewshot_bench.tables.claims.file import parse_claims
from fewshot_bench.tables.scores import EpisodeResult

VARIANTS = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")
HEAD = """
schema = 1
source = "S"
ways = [5]
shots = [1, 5]
[[claims]]
id = "c"
sentence = "s"
where = "w"
reading = "r"
"""


@pytest.fixture(autouse=True)
def _no_collecting(monkeypatch):
    """Statsmodels collects garbage at each of Holm's corrections: a tenth of a second, a thousand times."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


@pytest.fixture
def make_claims():
    """A file of one claim, of what stands after its reading; a published table may be named for it."""

    def make(text, quantifier="all", published=""):
        head = HEAD.replace("ways", f'published = "{published}"\nways') if published else HEAD
        return parse_claims(f'{head}quantifier = "{quantifier}"\n{text}', "mine.toml", VARIANTS, ["eshratifar2019"])

    return make


@pytest.fixture
def grid(make_results):
    """A grid of one way and two shots whose accuracies are given as variant -> (1 shot, 5 shots).

    The noise of a cell has mean 0, so that the observed accuracies are the given ones but for rounding to queries.
    """

    def make(means, n=30, seeds=(0,), spread=0.05):
        rng = np.random.default_rng(5)
        results = make_results(tuple(means), ((5, 1), (5, 5)), seeds)
        cells = []
        for cell in results.cells:
            mean = means[cell.variant][cell.n_shot == 5]
            ids = [(f"{cell.n_shot}-{i}", i) for i in range(n)]
            noise = rng.normal(0, spread, n)
            hits = np.clip(np.rint(75 * (mean + noise - noise.mean())), 0, 75).astype(int)
            scores = tuple(EpisodeResult(i, name, int(k), 75) for (name, i), k in zip(ids, hits, strict=True))
            cells.append(replace(cell, episodes=scores, n_episodes_wanted=n, seconds_per_episode=2.0))
        return replace(results, cells=tuple(cells))

    return make


@pytest.fixture
def change():
    """The results with the cells of one variant and number of shots changed."""

    def apply(results, variant, n_shot, **changes):
        cells = [
            replace(cell, **changes) if (cell.variant, cell.n_shot) == (variant, n_shot) else cell
            for cell in results.cells
        ]
        return replace(results, cells=tuple(cells))

    return apply
