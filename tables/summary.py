"""Results -> Table: rows are settings grouped by way, columns are variants; accuracies stay fractions."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewshot_bench.tables.pairs import Comparison, compare_all, compare_with, estimate_of, spreads_of
from fewshot_bench.tables.scores import (
    COUNTED,
    CellScore,
    CellState,
    EpisodeResult,
    Experiment,
    Results,
    quantum,
    shared_accuracies,
)
from fewshot_bench.tables.statistics.estimate import (
    Estimate,
    Source,
    Values,
    mean_of,
    near_an_end,
    of_episodes,
    of_seeds_and_episodes,
)
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.wording import accuracy, cell_name

# Of several seeds the worst state decides: a mean over the seeds that happened to survive would flatter.
WORST_LAST: tuple[CellState, ...] = ("done", "partial", "missing", "failed")
# Means this close are one value that was rounded on different ways: far below what one image could change.
TIE = 1e-12
Ends = tuple[float, float]  # of an interval; fractions
WIDE = 2.0  # times the sampler's interval: beyond that, the table says so at the cell


@dataclass(frozen=True)
class SeedScore:
    """One seed's share of a cell."""

    seed: int
    key: str
    state: CellState
    reason: str
    mean: float | None  # a fraction; None where no episode counts
    n_episodes: int
    n_episodes_wanted: int


@dataclass(frozen=True)
class Cell:
    """One number of the table, or the reason why there is none."""

    variant: str
    n_way: int
    n_shot: int
    state: CellState  # the worst of its seeds
    reason: str
    mean: float | None  # over episodes, each first averaged over the seeds; None when failed or missing
    deviation: float | None  # of the episodes' accuracies, ddof = 1; None when n_episodes < 2
    half_width: float | None  # 95 %, sampler: other episodes on the same images; None when n_episodes < 2
    data_half_width: float | None  # 95 %, data: new classes like these; None where no answers were kept
    seed_half_width: float | None  # 95 %, other training seeds and episodes; None with one seed
    n_episodes: int  # shared by all seeds
    seeds: tuple[SeedScore, ...]
    best: bool = False  # the highest mean of its row among at least two done cells, or tied with it
    near_best: bool = False  # not the best, but not significantly worse either
    unclear: bool = False  # not the best, and nothing can be told of the two: they were not, or hardly, tested
    interval: Ends | None = None  # the sampler's where it is not mean ± half_width: near 0 and 1
    data_interval: Ends | None = None  # likewise
    seed_interval: Ends | None = None  # likewise

    @property
    def ends(self) -> Ends | None:
        """The sampler's interval; None where there is none."""
        return ends(self.mean, self.half_width, self.interval)

    @property
    def data_is_wide(self) -> bool:
        """Whether other classes could change the number much more than other episodes."""
        return _wide(self.data_half_width, self.half_width)

    @property
    def seeds_are_wide(self) -> bool:
        """Whether another training seed could change the number much more than other episodes."""
        return _wide(self.seed_half_width, self.half_width)

    @property
    def keys(self) -> tuple[str, ...]:
        """The identity of each seed's cell, in the order of the seeds."""
        return tuple(seed.key for seed in self.seeds)


@dataclass(frozen=True)
class Row:
    """One setting: all variants on the same episodes."""

    n_way: int
    n_shot: int
    disjoint_episodes: int  # no more episodes than this can be drawn without using an image twice
    cells: tuple[Cell, ...]
    n_compared: int = 0  # variants whose pairs are the family of its comparisons, shown or not
    spread: Spread | None = None  # of their seeds

    @property
    def chance(self) -> float:
        """The accuracy of guessing, a fraction."""
        return 1 / self.n_way

    @property
    def n_episodes(self) -> tuple[int, int]:
        """The fewest and most episodes behind a number of this row; (0, 0) where there is none."""
        return _fewest_and_most(self.cells)

    @property
    def reuses_images(self) -> bool:
        """Whether a number rests on more episodes than can be disjoint: its interval is then too narrow."""
        return self.n_episodes[1] > self.disjoint_episodes


@dataclass(frozen=True)
class Table:
    """The whole result, ready to be printed."""

    experiment: Experiment
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]  # rows of one way stand together
    comparisons: tuple[Comparison, ...]  # of each row's best with all others, or of every pair
    beside: "Table | None" = None  # the same under another rule

    @property
    def ways(self) -> tuple[int, ...]:
        """The numbers of classes, in the order of the rows."""
        return tuple(dict.fromkeys(row.n_way for row in self.rows))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, row by row."""
        return tuple(cell for row in self.rows for cell in row.cells)

    @property
    def n_episodes(self) -> tuple[int, int]:
        """The fewest and most episodes behind any number; (0, 0) where there is none."""
        return _fewest_and_most(self.cells)

    @property
    def with_beside(self) -> "list[Table]":
        """It, and the one beside it."""
        return [self, *([self.beside] if self.beside else [])]


def _fewest_and_most(cells: Sequence[Cell]) -> tuple[int, int]:
    counts = [cell.n_episodes for cell in cells if cell.mean is not None]
    return (min(counts), max(counts)) if counts else (0, 0)


def disjoint_episodes(experiment: Experiment, n_way: int, n_shot: int) -> int:
    """At most how many episodes of a setting can be drawn from the novel classes without sharing an image."""
    uses_of_a_class = experiment.images_per_novel_class // (n_shot + experiment.n_query)
    return experiment.n_novel_classes * uses_of_a_class // n_way


def summarise(results: Results, *, every_pair: bool = False) -> Table:
    """Average, count and judge every cell; raises ValueError on a cell that is doubled or has no place.

    every_pair: compare those, too, of which neither is the best of its row: quadratic in the variants
    """
    scores = _by_place(results)
    ways = list(dict.fromkeys(n_way for n_way, _ in results.settings))
    settings = sorted(results.settings, key=lambda setting: ways.index(setting[0]))
    marked = {s: _mark_best(tuple(cell_of(scores[variant, *s]) for variant in results.variants)) for s in settings}
    spreads = spreads_of(results)
    best = {setting: [cell.variant for cell in cells if cell.best] for setting, cells in marked.items()}
    comparisons = compare_all(results) if every_pair else compare_with(results, best)
    rows = []
    for setting in settings:
        capacity = disjoint_episodes(results.experiment, *setting)
        tests = [c for c in comparisons if (c.n_way, c.n_shot) == setting]
        cells = _mark_near_best(marked[setting], tests)
        rows.append(Row(*setting, capacity, cells, results.n_compared(*setting), spreads[setting]))
    beside = summarise(results.beside, every_pair=every_pair) if results.beside else None
    return Table(results.experiment, results.variants, results.seeds, tuple(rows), comparisons, beside)


def _by_place(results: Results) -> dict[tuple[str, int, int], list[CellScore]]:
    """The seeds of every (variant, n_way, n_shot); one that was left out is missing, never overlooked."""
    given: dict[tuple[str, int, int, int], CellScore] = {}
    for score in results.cells:
        if score.place in given:
            raise ValueError(f"two results for {cell_name(*score.place)}")
        given[score.place] = score
    scores = defaultdict(list)
    for variant in results.variants:
        for n_way, n_shot in results.settings:
            for seed in results.seeds_of.get(variant, results.seeds):
                empty = CellScore(variant, n_way, n_shot, seed, key="", state="missing")
                score = given.pop((variant, n_way, n_shot, seed), empty)
                scores[variant, n_way, n_shot].append(score)
    if given:
        raise ValueError(f"a result outside the table: {cell_name(*next(iter(given)))}")
    return scores


def cell_of(scores: list[CellScore]) -> Cell:
    """One cell from its seeds (at least one)."""
    seeds = tuple(_seed_score(score) for score in scores)
    state = max((seed.state for seed in seeds), key=WORST_LAST.index)
    reason = _reason(seeds, state)
    values = np.empty((0, 0))
    if state in COUNTED:
        values = shared_accuracies(scores)
        if values.shape[1] < max(seed.n_episodes for seed in seeds) and state == "done":
            state, reason = "partial", f"the seeds share only {values.shape[1]} episodes"
    by_episode = values.mean(axis=0) if values.size else np.empty(0)
    step = quantum(scores, [score.seed for score in scores])
    n_answers = by_episode.size / (step * len(scores)) if step else 0.0  # seeds answer the same queries
    shown = over_episodes(by_episode, step, len(scores)) if by_episode.size else (None, None, None)
    data = _for_new_classes(scores, by_episode[None], n_answers) if by_episode.size else (None, None)
    of_seeds = _reach(of_seeds_and_episodes(values, step), n_answers) if len(values) > 1 else (None, None)
    return Cell(
        variant=scores[0].variant,
        n_way=scores[0].n_way,
        n_shot=scores[0].n_shot,
        state=state,
        reason=reason,
        mean=shown[0],
        deviation=float(np.std(by_episode, ddof=1)) if by_episode.size > 1 else None,
        half_width=shown[1],
        data_half_width=data[0],
        seed_half_width=of_seeds[0],
        n_episodes=by_episode.size,
        seeds=seeds,
        interval=shown[2],
        data_interval=data[1],
        seed_interval=of_seeds[1],
    )


def over_episodes(accuracies: Values, step: float, n_cells: int = 1) -> tuple[float, float | None, Ends | None]:
    """The mean of accuracies (E,), E at least 1, and `_reach` of its 95 % interval, as every output has them.

    step: the smallest step of an episode's accuracy, see `of_episodes`
    n_cells: each accuracy is the mean of so many, on the same queries
    """
    if accuracies.size == 1:
        return mean_of(accuracies), None, None
    return mean_of(accuracies), *_reach(of_episodes(accuracies, step), accuracies.size / (step * n_cells))


def ends(mean: float | None, half_width: float | None, interval: Ends | None) -> Ends | None:
    """Where the interval of a mean ends; None where there is none."""
    if interval or mean is None or half_width is None:
        return interval
    return mean - half_width, mean + half_width


def interval_of(results: Sequence[EpisodeResult]) -> tuple[float, float | None, Ends | None]:
    """`over_episodes` of one training's episodes, at least one."""
    return over_episodes(*_with_step(results))


def accuracy_of(results: Sequence[EpisodeResult]) -> str:
    """ "52.31 ± 1.20 %": of one training's episodes, at least one, as a table shows them."""
    return accuracy(*interval_of(results)) + " %"


def p_below_chance(results: Sequence[EpisodeResult], chance: float) -> float:
    """That one training's answers are no worse than guessing; 1 above chance, or for too few episodes to tell.

    The larger p-value of the binomial test over queries and of Student's t over episodes: the queries of an episode
    share its classes and support, so the binomial test alone finds too much; a few episodes that happen to agree would
    fool the t-test alone. Accuracies near zero are skewed, and a low mean has a low spread: at chance it is taken to be
    larger in proportion. But not above `chance`, the most that answers can have which know nothing of the labels
    (Hoeffding 1951, variance of a random matching).
    """
    over = of_episodes(*_with_step(results)) if results else None
    if over is None or over.mean >= chance:  # scipy takes 0.3 s to import
        return 1.0
    from scipy.special import bdtr

    most = max(chance / (over.error * math.sqrt(len(results))), 1.0)
    wider = min(chance / over.mean, most) if over.mean else most
    of_means = Estimate(over.mean, (Source(over.error * wider, len(results) - 1),))
    n_correct, n_queries = sum(result.n_correct for result in results), sum(result.n_queries for result in results)
    return max(float(bdtr(n_correct, n_queries, chance)), of_means.p_value(chance, "less"))


def _with_step(results: Sequence[EpisodeResult]) -> tuple[Values, float]:
    """The accuracies (E,) of at least one episode, and the smallest step that one can make."""
    accuracies = np.array([result.accuracy for result in results])
    return accuracies, 1 / max(result.n_queries for result in results)


def _for_new_classes(scores: list[CellScore], by_episode: Values, n_answers: float) -> tuple[float | None, Ends | None]:
    """Of accuracies (1, E), averaged over the seeds; (None, None) unless every seed has its answers."""
    estimate = estimate_of(by_episode, [score.seed for score in scores], scores)
    if estimate is None and all(score.confusion for score in scores):
        return 0.0, None
    return _reach(estimate, n_answers) if estimate and estimate.new_classes else (None, None)


def _reach(estimate: Estimate | None, n_answers: float) -> tuple[float, Ends | None]:
    """Half of the 95 % interval, and where it ends if that is not mean ± half; 0 where nothing varies."""
    if estimate is None:
        return 0.0, None
    interval = near_an_end(estimate, n_answers)
    return ((interval[1] - interval[0]) / 2 if interval else estimate.half_width()), interval


def _seed_score(score: CellScore) -> SeedScore:
    counts = score.state in COUNTED
    accuracies = [episode.accuracy for episode in score.episodes] if counts else []
    state: CellState = "missing" if counts and not accuracies else score.state
    reason = score.reason
    if state == "partial" and not reason:
        reason = f"{len(accuracies)} of {score.n_episodes_wanted} episodes"
    mean = mean_of(np.array(accuracies)) if accuracies else None
    return SeedScore(score.seed, score.key, state, reason, mean, len(accuracies), score.n_episodes_wanted)


def _reason(seeds: tuple[SeedScore, ...], state: CellState) -> str:
    """Why the cell is not done; names the seeds where there are several, and their state where it is not the cell's."""
    if len(seeds) == 1:
        return seeds[0].reason
    told = [
        (seed, seed.reason or (seed.state if seed.state != state else "")) for seed in seeds if seed.state != "done"
    ]
    return "; ".join(f"seed {seed.seed}" + (f": {why}" if why else "") for seed, why in told)


def _mark_best(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    done = [cell.mean for cell in cells if cell.state == "done" and cell.mean is not None]
    if len(done) < 2:  # alone, it is not better than anything
        return cells
    return tuple(
        replace(cell, best=cell.state == "done" and cell.mean is not None and cell.mean >= max(done) - TIE)
        for cell in cells
    )


def _mark_near_best(cells: tuple[Cell, ...], tests: Sequence[Comparison]) -> tuple[Cell, ...]:
    """How each done cell stands to the best of its row."""
    best = {cell.variant for cell in cells if cell.best}
    against = [test for test in tests if (test.first in best) != (test.second in best) and test.p is not None]
    worse = {test.loser for test in against}
    tested = {name for test in against if not test.cannot_tell for name in (test.first, test.second)} - worse
    return tuple(
        replace(cell, near_best=cell.variant in tested, unclear=cell.variant not in tested | worse)
        if best and not cell.best and cell.state == "done"
        else cell
        for cell in cells
    )


def _wide(half_width: float | None, sampler: float | None) -> bool:
    return half_width is not None and sampler is not None and half_width > WIDE * sampler
