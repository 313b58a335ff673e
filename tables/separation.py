"""Which variants differ significantly in each interim analysis: what `bench run --until` decides by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from fewshot_bench.tables.pairs import differences, estimate_of
from fewshot_bench.tables.scores import COUNTED, CellScore, Results, cells_by_place
from fewshot_bench.tables.statistics.estimate import Estimate
from fewshot_bench.tables.statistics.sequential import as_z, fractions_of, separated

Place = tuple[int, int]  # (n_way, n_shot)


@dataclass(frozen=True)
class Contest:
    """Two variants in one setting, and what each look taken so far saw: first minus second, as fractions."""

    first: str
    second: str
    place: Place
    looks: tuple[int, ...]  # episodes at each planned look
    estimates: tuple[Estimate | None, ...] = ()  # of the looks taken; None where a variant has no result
    separated: bool = False

    @property
    def n_episodes(self) -> int:
        """At the last look taken; 0 before the first."""
        return self.looks[len(self.estimates) - 1] if self.estimates else 0

    @property
    def estimate(self) -> Estimate | None:
        """At the last look taken."""
        return self.estimates[-1] if self.estimates else None

    @property
    def comparable(self) -> bool:
        """Separated, or with results of both at every look taken."""
        return self.separated or None not in self.estimates

    @property
    def undecided(self) -> bool:
        """Comparable, but not separated yet."""
        return not self.separated and self.comparable


def begin(keys: Mapping[tuple[str, int, int], Sequence[str]], looks: Mapping[Place, tuple[int, ...]]) -> list[Contest]:
    """Every pair of variants in every setting, given the keys of their cells: (variant, n_way, n_shot) -> a key a seed.

    Two variants that are one and the same cell are no pair.
    """
    variants = dict.fromkeys(variant for variant, *_ in keys)
    pairs = ((a, b, place) for place in looks for a, b in combinations(variants, 2))
    return [
        Contest(a, b, place, looks[place])
        for a, b, place in pairs
        if (a, *place) in keys and (b, *place) in keys and keys[a, *place] != keys[b, *place]
    ]


def open_places(contests: Iterable[Contest]) -> tuple[Place, ...]:
    """The settings that need another look: some pair is undecided, and a look is left."""
    return tuple(dict.fromkeys(c.place for c in contests if c.undecided and len(c.estimates) < len(c.looks)))


def look(contests: Sequence[Contest], results: Results) -> list[Contest]:
    """Take the next look in every setting that needs one, then decide about all pairs.

    Of the episodes in `results` a look uses those planned for it and no more, so that looking is repeated exactly
    whatever was stored since.
    """
    cells, places = cells_by_place(results), open_places(contests)
    taken = [
        replace(c, estimates=(*c.estimates, _estimate(cells, c, results.experiment.new_classes)))
        if c.place in places
        else c
        for c in contests
    ]
    z = [[as_z(e.p_value()) if e else 0.0 for e in c.estimates] for c in taken]
    decided = separated(z, [fractions_of(c.looks) for c in taken])
    return [replace(c, separated=yes) for c, yes in zip(taken, decided, strict=True)]


def _estimate(
    cells: Mapping[tuple[str, int, int], Sequence[CellScore]], contest: Contest, new_classes: bool
) -> Estimate | None:
    """At the next look; None unless all seeds of both variants have all its episodes."""
    first, second = (cells[variant, *contest.place] for variant in (contest.first, contest.second))
    n = contest.looks[len(contest.estimates)]
    if any(cell.state not in COUNTED or len(cell.episodes) < n for cell in (*first, *second)):
        return None
    seeds, values = differences(first, second)
    return estimate_of(values[:, :n], seeds, first, second, new_classes=new_classes) if values.shape[1] >= n else None
