"""Looks at the first so many episodes: who is told apart, and that more stored episodes change no look."""

from dataclasses import replace

import numpy as np
import pytest

from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.tables.separation import begin, look, open_places

NAMES = ("maml", "reptile", "protonet")
LOOKS = {(5, 1): (40, 80, 160, 320), (5, 5): (40, 80)}


def simulated(make_results, better=0.1, n=320, seeds=(0,)):
    """protonet is better by `better`, reptile as maml."""
    rng = np.random.default_rng(0)
    results = make_results(NAMES, tuple(LOOKS), seeds, n)
    hard = rng.normal(0.5, 0.08, n)
    cells = []
    for cell in results.cells:
        mean = hard + better * (cell.variant == "protonet") + rng.normal(0, 0.03, n)
        correct = rng.binomial(75, np.clip(mean, 0, 1))
        episodes = tuple(EpisodeResult(i, f"e{i}", int(c), 75) for i, c in enumerate(correct))
        cells.append(replace(cell, episodes=episodes))
    return replace(results, cells=tuple(cells))


def keys_of(results):
    keys = {}
    for cell in results.cells:
        keys.setdefault((cell.variant, cell.n_way, cell.n_shot), []).append(cell.key)
    return keys


def to_the_end(results, looks=LOOKS):
    """Every state from the first look on."""
    states = [begin(keys_of(results), looks)]
    while open_places(states[-1]):
        states.append(look(states[-1], results))
    return states[1:]


def names_of(contests):
    return {(c.first, c.second, *c.place) for c in contests if c.separated}


def test_every_pair_of_every_setting_is_tried(make_results):
    contests = begin(keys_of(simulated(make_results)), LOOKS)
    assert len(contests) == 2 * 3
    assert [c.n_episodes for c in contests] == [0] * 6
    assert open_places(contests) == ((5, 1), (5, 5))


def test_a_clear_difference_is_found_and_equal_variants_go_to_the_maximum(make_results):
    states = to_the_end(simulated(make_results))
    final = {(c.first, c.second, *c.place): c for c in states[-1]}
    for setting in LOOKS:
        assert final["maml", "protonet", *setting].separated
        assert final["reptile", "protonet", *setting].separated
        assert final["maml", "reptile", *setting].undecided
        assert final["maml", "reptile", *setting].n_episodes == LOOKS[setting][-1]
    assert [len(s[0].estimates) for s in states] == [1, 2, 3, 4]
    assert open_places(states[1]) == ((5, 1),)  # the other one has had its two looks


def test_a_setting_that_is_decided_is_not_looked_at_again(make_results):
    results = simulated(make_results, better=0.3)
    kept = tuple(c for c in results.cells if c.variant != "reptile")
    results = replace(results, cells=kept, variants=("maml", "protonet"))
    states = to_the_end(results)
    assert len(states) < 4
    assert all(c.separated for c in states[-1])


def test_a_look_never_sees_more_than_its_episodes(make_results):
    """With everything stored, with just what each look asks for, and with later episodes turned round."""
    results = simulated(make_results)
    everything = to_the_end(results)
    state, step = begin(keys_of(results), LOOKS), 0
    while places := open_places(state):
        upto = {c.place: c.looks[len(c.estimates)] for c in state if c.place in places}
        cells = tuple(replace(c, episodes=c.episodes[: upto.get((c.n_way, c.n_shot), 0)]) for c in results.cells)
        state = look(state, replace(results, cells=cells))
        assert state == everything[step]
        step += 1
    assert step == len(everything)
    lied = tuple(
        replace(c, episodes=tuple(replace(e, n_correct=0) if e.number >= 80 and c.variant == "maml" else e
                                  for e in c.episodes)) for c in results.cells
    )  # fmt: skip
    other = to_the_end(replace(results, cells=lied))
    assert other[:2] == everything[:2]
    assert other[2] != everything[2]


def test_what_has_no_results_is_not_waited_for(make_results):
    results = simulated(make_results)
    failed = tuple(
        replace(c, state="failed", episodes=()) if (c.variant, c.n_shot) == ("maml", 1) else c for c in results.cells
    )
    final = to_the_end(replace(results, cells=failed))[-1]
    assert [c.comparable for c in final if c.place == (5, 1)] == [False, False, True]
    assert [c.comparable for c in final if c.place == (5, 5)] == [True] * 3
    assert not any(c.separated for c in final if "maml" in (c.first, c.second) and c.place == (5, 1))


def test_what_fails_later_keeps_what_was_found_before(make_results):
    results = simulated(make_results, better=0.3)
    states = to_the_end(results)
    found = names_of(states[1])
    assert ("maml", "protonet", 5, 1) in found
    gone = tuple(replace(c, state="failed", episodes=()) if c.variant == "maml" else c for c in results.cells)
    after = look(states[1], replace(results, cells=gone))
    assert names_of(after) >= found
    assert not next(c for c in after if (c.first, c.second, c.place) == ("maml", "reptile", (5, 1))).undecided


def test_one_and_the_same_cell_is_no_pair(make_results):
    results = simulated(make_results)
    keys = keys_of(results)
    keys["reptile", 5, 1] = keys["maml", 5, 1]
    assert len(begin(keys, LOOKS)) == 5
    del keys["reptile", 5, 1]
    assert len(begin(keys, LOOKS)) == 4


@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 2)])
def test_several_seeds_have_one_estimate(seeds, make_results):
    results = simulated(make_results, better=0.3, seeds=seeds)
    first = to_the_end(results)[0]
    assert all(c.estimate is not None for c in first)
    missing = tuple(
        replace(c, state="missing", episodes=()) if (c.variant, c.seed) == ("maml", 1) else c for c in results.cells
    )
    assert to_the_end(replace(results, cells=missing))[0][0].estimate is None
