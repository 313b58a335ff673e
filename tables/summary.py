"""Results -> Table: rows are settings grouped by way, columns are variants; accuracies stay fractions."""

from collections import defaultdict
from dataclasses import dataclass, replace

from fewshot_bench.tables.scores import CellScore, CellState, Experiment, Results
from fewshot_bench.tables.statistics.sampler import sample

# Of several seeds the worst state decides: a mean over the seeds that happened to survive would flatter.
WORST_LAST: tuple[CellState, ...] = ("done", "partial", "missing", "failed")
# Means this close are one value that was rounded on different ways: far below what one image could change.
TIE = 1e-12


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
    half_width: float | None  # of the 95 % t-interval over episodes; None when n_episodes < 2
    n_episodes: int  # shared by all seeds
    seeds: tuple[SeedScore, ...]
    best: bool = False  # the highest mean of its row among at least two done cells, or tied with it

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

    @property
    def chance(self) -> float:
        """The accuracy of guessing, a fraction."""
        return 1 / self.n_way

    @property
    def n_episodes(self) -> tuple[int, int]:
        """The fewest and most episodes behind a number of this row; (0, 0) where there is none."""
        counts = [cell.n_episodes for cell in self.cells if cell.mean is not None]
        return (min(counts), max(counts)) if counts else (0, 0)

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
        counts = [cell.n_episodes for cell in self.cells if cell.mean is not None]
        return (min(counts), max(counts)) if counts else (0, 0)


def disjoint_episodes(experiment: Experiment, n_way: int, n_shot: int) -> int:
    """At most how many episodes of a setting can be drawn from the novel classes without sharing an image."""
    uses_of_a_class = experiment.images_per_novel_class // (n_shot + experiment.n_query)
    return experiment.n_novel_classes * uses_of_a_class // n_way


def summarise(results: Results) -> Table:
    """Average, count and judge every cell; raises ValueError on a cell that is doubled or has no place."""
    scores = _by_place(results)
    ways = list(dict.fromkeys(n_way for n_way, _ in results.settings))
    rows = []
    for n_way, n_shot in sorted(results.settings, key=lambda setting: ways.index(setting[0])):
        cells = tuple(_cell(scores[variant, n_way, n_shot]) for variant in results.variants)
        capacity = disjoint_episodes(results.experiment, n_way, n_shot)
        rows.append(Row(n_way, n_shot, capacity, _mark_best(cells)))
    return Table(results.experiment, results.variants, results.seeds, tuple(rows))


def _by_place(results: Results) -> dict[tuple[str, int, int], list[CellScore]]:
    """The seeds of every (variant, n_way, n_shot); one that was left out is missing, never overlooked."""
    given: dict[tuple[str, int, int, int], CellScore] = {}
    for score in results.cells:
        place = (score.variant, score.n_way, score.n_shot, score.seed)
        if place in given:
            raise ValueError("two results for {} {}-way {}-shot seed {}".format(*place))
        given[place] = score
    scores = defaultdict(list)
    for variant in results.variants:
        for n_way, n_shot in results.settings:
            for seed in results.seeds:
                empty = CellScore(variant, n_way, n_shot, seed, key="", state="missing")
                score = given.pop((variant, n_way, n_shot, seed), empty)
                scores[variant, n_way, n_shot].append(score)
    if given:
        raise ValueError("a result outside the table: {} {}-way {}-shot seed {}".format(*next(iter(given))))
    return scores


def _cell(scores: list[CellScore]) -> Cell:
    """One cell from its seeds (at least one)."""
    seeds = tuple(_seed_score(score) for score in scores)
    state = max((seed.state for seed in seeds), key=WORST_LAST.index)
    reason = _reason(seeds)
    accuracies: list[float] = []
    if state in ("done", "partial"):
        accuracies = _mean_over_seeds(scores)
        if len(accuracies) < max(seed.n_episodes for seed in seeds) and state == "done":
            state, reason = "partial", f"the seeds share only {len(accuracies)} episodes"
    counted = sample(accuracies) if accuracies else None
    return Cell(
        variant=scores[0].variant,
        n_way=scores[0].n_way,
        n_shot=scores[0].n_shot,
        state=state,
        reason=reason,
        mean=counted.mean if counted else None,
        half_width=counted.half_width if counted else None,
        n_episodes=counted.n if counted else 0,
        seeds=seeds,
    )


def _seed_score(score: CellScore) -> SeedScore:
    counts = score.state in ("done", "partial")
    accuracies = [episode.accuracy for episode in score.episodes] if counts else []
    state: CellState = "missing" if counts and not accuracies else score.state
    reason = score.reason
    if state == "partial" and not reason:
        reason = f"{len(accuracies)} of {score.n_episodes_wanted} episodes"
    mean = sample(accuracies).mean if accuracies else None
    return SeedScore(score.seed, score.key, state, reason, mean, len(accuracies), score.n_episodes_wanted)


def _reason(seeds: tuple[SeedScore, ...]) -> str:
    """Why the cell is not done; names the seeds where there are several."""
    if len(seeds) == 1:
        return seeds[0].reason
    told = [(seed.seed, seed.reason or seed.state) for seed in seeds if seed.state != "done"]
    return "; ".join(f"seed {seed}: {why}" for seed, why in told)


def _mean_over_seeds(scores: list[CellScore]) -> list[float]:
    """The accuracy of each episode that every seed has, averaged over the seeds."""
    by_seed = [{episode.episode_id: episode.accuracy for episode in score.episodes} for score in scores]
    shared = [name for name in by_seed[0] if all(name in seed for seed in by_seed)]
    return [sample([seed[name] for seed in by_seed]).mean for name in shared]


def _mark_best(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    done = [cell.mean for cell in cells if cell.state == "done" and cell.mean is not None]
    if len(done) < 2:  # alone, it is not better than anything
        return cells
    return tuple(
        replace(cell, best=cell.state == "done" and cell.mean is not None and cell.mean >= max(done) - TIE)
        for cell in cells
    )
