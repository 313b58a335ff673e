"""Numbers that should not be as they are: below chance, falling with shots, all or nothing, without spread.

A test that rings is corrected (Holm 1979) over everything that it looks at, so that a table without fault rings in at
most one of twenty cases a check.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from fewshot_bench.tables.alarms.alarm import EDITED, Check, name, p_text, rung, seeds_text
from fewshot_bench.tables.scores import CellScore, shared_accuracies
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Values, holm, of_episodes
from fewshot_bench.tables.summary import accuracy_of, p_below_chance
from fewshot_bench.tables.wording import counted, percent

FEW = 5  # episodes: fewer may agree by chance


def below_chance(cells: Sequence[CellScore]) -> Check:
    """Cells that are worse than guessing, by the binomial test over queries and by Student's t over episodes.

    The larger p-value counts, see `p_below_chance`.
    """
    family, advice = counted(cells, "cell"), "look at the order of its labels and at the loss of its training"
    p_values = [p_below_chance(cell.episodes, 1 / cell.n_way) for cell in cells]
    return rung("below chance", family, advice, _off_chance(cells, p_values, family))


def permuted_labels(cells: Sequence[CellScore]) -> Check:
    """The label-permutation control: cells that were tested with shuffled support labels, and are not at chance.

    Two-sided: Student's t over episodes above chance, and as in `below_chance` below it.
    """
    family = counted(cells, "model")
    advice = "look for a way from the queries' labels to its answers: their order, class_ids, a shared object"
    return rung("permuted labels", family, advice, _off_chance(cells, [_p_off_chance(cell) for cell in cells], family))


def falls_with_shots(cells: Sequence[CellScore]) -> Check:
    """Accuracy that falls from one number of shots to the next, on the same classes and queries.

    The test is Student's t on the episodes' paired differences, each first averaged over the seeds: it is about the
    trained models of the table.
    """
    steps = [(few, many, rise) for few, many in _steps(cells) if (rise := _rise(few, many))]
    family, found = counted(steps, "pair of shots", "pairs of shots"), []
    p_values = [rise.p_value(alternative="less") if rise.mean < 0 else 1.0 for _, _, rise in steps]
    for (few, many, rise), p in zip(steps, holm(p_values), strict=True):
        if p <= ALPHA:
            change = f"{100 * rise.mean:.2f} ± {100 * rise.half_width():.2f} points"
            text = f"{change} from {few[0].n_shot} to {many[0].n_shot} shots on the same queries ({p_text(p, family)})"
            found.append((f"{few[0].variant} {few[0].n_way}-way {seeds_text([cell.seed for cell in few])}", text))
    advice = "look at how it is fitted to the larger support set: steps, rate, batch-norm"
    return rung("falls with shots", family, advice, found)


def all_or_nothing(cells: Sequence[CellScore]) -> Check:
    """Cells with every query right, or every query wrong, in at least two episodes."""
    several, found = [cell for cell in cells if len(cell.episodes) > 1], []
    for cell in several:
        accuracies = set(_accuracies(cell))
        if accuracies in ({0.0}, {1.0}):
            which = "right" if accuracies == {1.0} else "wrong"
            found.append((name(cell), f"every query of all {len(cell.episodes)} episodes is {which}"))
    advice = "look for copies among the images and for labels that reach the method: bench doctor --control"
    return rung("all or nothing", counted(several, "cell"), advice, found)


def no_spread(cells: Sequence[CellScore]) -> Check:
    """Cells whose episodes all have one count, which independent queries hardly ever would (binomial, Bonferroni)."""
    several, found = [cell for cell in cells if len(cell.episodes) >= FEW], []
    for cell in several:
        counts = {(episode.n_correct, episode.n_queries) for episode in cell.episodes}
        right, of = min(counts)
        if len(counts) > 1 or right in (0, of):
            continue
        log_choose = math.lgamma(of + 1) - math.lgamma(right + 1) - math.lgamma(of - right + 1)
        p_one = math.exp(log_choose + right * math.log(right / of) + (of - right) * math.log(1 - right / of))
        if p_one ** (len(cell.episodes) - 1) * len(several) <= ALPHA:
            text = f"all {len(cell.episodes)} episodes have the same count, {right} of {of} queries"
            found.append((name(cell), text))
    advice = "look at its answers: one label for everything, or one episode again and again"
    return rung("no spread", counted(several, "cell"), advice, found)


def contradicted(cells: Sequence[CellScore]) -> Check:
    """Cells whose stored answers give another number of right queries than their counts."""
    kept = [(cell, cell.confusion.answered) for cell in cells if cell.confusion is not None]
    found = []
    for cell, answered in kept:
        n_answers, n_right = int(answered.sum()), int(np.trace(answered))
        # answers may be kept of the first episodes alone
        asked = np.cumsum([episode.n_queries for episode in cell.episodes])
        covered = cell.episodes[: int(np.searchsorted(asked, n_answers)) + 1]
        n_counted = sum(episode.n_correct for episode in covered)
        if n_answers not in asked or n_right != n_counted:
            text = f"{n_right} of its {n_answers} stored answers are right, but {n_counted} were counted"
            found.append((name(cell), text))
    looked_at = counted(kept, "cell with answers", "cells with answers")
    return rung("contradicted", looked_at, EDITED, found)


def _off_chance(cells: Sequence[CellScore], p_values: Sequence[float], family: str) -> Iterator[tuple[str, str]]:
    """The cells whose p-value stands after Holm's correction."""
    for cell, p in zip(cells, holm(p_values), strict=True):
        if p <= ALPHA:
            measured = f"{accuracy_of(cell.episodes)} over {counted(cell.episodes, 'episode')}"
            guessed = f"where guessing gives {percent(1 / cell.n_way)} %"
            yield name(cell), f"{measured}, {guessed} ({p_text(p, family)})"


def _p_off_chance(cell: CellScore) -> float:
    over = of_episodes(_accuracies(cell), 1 / cell.most_queries)
    if over is None:  # a single episode, or nothing to ask
        return 1.0
    below, above = p_below_chance(cell.episodes, 1 / cell.n_way), over.p_value(1 / cell.n_way, "greater")
    return min(1.0, 2 * min(below, above))


def _steps(cells: Sequence[CellScore]) -> list[tuple[list[CellScore], list[CellScore]]]:
    """Neighbouring numbers of shots of a variant and way: the cells of each, for the seeds that both have."""
    ladders: dict[tuple[str, int], dict[int, dict[int, CellScore]]] = {}
    for cell in cells:
        ladder = ladders.setdefault((cell.variant, cell.n_way), {})
        ladder.setdefault(cell.n_shot, {})[cell.seed] = cell
    steps = []
    for ladder in ladders.values():
        for few, many in pairwise(ladder[n_shot] for n_shot in sorted(ladder)):
            if seeds := sorted(few.keys() & many.keys()):
                steps.append(([few[seed] for seed in seeds], [many[seed] for seed in seeds]))
    return steps


def _rise(few: list[CellScore], many: list[CellScore]) -> Estimate | None:
    """By how much accuracy rises with the shots; None where fewer than two numbers of episodes are shared."""
    values = shared_accuracies([*few, *many], by_number=True)
    quantum = 1 / (len(few) * few[0].most_queries)
    return of_episodes(values[len(few) :].mean(axis=0) - values[: len(few)].mean(axis=0), quantum)


def _accuracies(cell: CellScore) -> Values:
    return np.array([episode.accuracy for episode in cell.episodes])
