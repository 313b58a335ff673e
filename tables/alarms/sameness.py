"""What must be the same in one table and is not, and what must not be the same and is."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from fewshot_bench.tables.alarms.alarm import ONE_SEED, Check, name, rung
from fewshot_bench.tables.scores import CellScore, EpisodeResult
from fewshot_bench.tables.wording import counted

# Two trained models agree in an episode's count by luck now and then; in this many episodes on end they do not.
ENOUGH = 20
Setting = tuple[int, int]  # (n_way, n_shot)
Column = Mapping[Setting, CellScore]  # one training seed of one variant
Named = tuple[tuple[str, int], Column]


def other_episodes(cells: Sequence[CellScore]) -> Check:
    """Cells of one setting that were not tested on the same episodes."""
    rows: dict[Setting, list[CellScore]] = defaultdict(list)
    for cell in cells:
        rows[cell.n_way, cell.n_shot].append(cell)
    found = []
    for row in rows.values():
        ((usual, _),) = Counter(cell.episodes[0].episode_id for cell in row).most_common(1)
        pattern = max((c for c in row if c.episodes[0].episode_id == usual), key=lambda cell: len(cell.episodes))
        for cell in row:
            n = min(len(cell.episodes), len(pattern.episodes))
            n_shared = len({e.episode_id for e in cell.episodes[:n]} & {e.episode_id for e in pattern.episodes[:n]})
            if n_shared < n:
                found.append((name(cell), f"shares {n_shared} of its first {n} episodes with {name(pattern)}"))
    advice = "do not compare them: data, bank seed or sampler differ; evaluate it again"
    return rung("other episodes", counted(rows, "setting"), advice, found)


def other_backbone(cells: Sequence[CellScore]) -> Check:
    """Trainings whose backbone is not the one that most cells of the table have."""
    known = [cell for cell in cells if cell.backbone]
    sizes = Counter(cell.backbone for cell in known).most_common()
    found = (
        (
            f"{variant} seed {seed}",
            f"its backbone is {backbone}; {sizes[0][1]} of {len(known)} cells have {sizes[0][0]}",
        )
        for variant, seed, backbone in dict.fromkeys((c.variant, c.seed, c.backbone) for c in known)
        if backbone != sizes[0][0]
    )
    advice = "compare equal sizes only: run it again with the same [model]"
    return rung("other backbone", counted(known, "cell"), advice, found)


def equal_seeds(cells: Sequence[CellScore]) -> Check:
    """Two training seeds of one variant with equal weights, or with equal counts wherever they can be compared."""
    pairs = _pairs_alike(cells, part=0)
    found = (
        (f"{variant} seeds {first} and {second}", _same(column, other, other_at_test=False))
        for ((variant, first), column), ((_, second), other) in pairs
    )
    looked_at = counted(pairs, "pair of seeds", "pairs of seeds")
    return rung("equal seeds", looked_at, ONE_SEED, (pair for pair in found if pair[1]))


def equal_variants(cells: Sequence[CellScore]) -> Check:
    """Two variants with equal counts wherever they can be compared.

    Equal weights with other counts are no alarm: a setting may act at test alone.
    """
    pairs = _pairs_alike(cells, part=1)
    found = (
        (f"{first} and {second} seed {seed}", _same(column, other, other_at_test=True))
        for ((first, seed), column), ((second, _), other) in pairs
    )
    looked_at = counted(pairs, "pair of variants", "pairs of variants")
    advice = "look at what tells them apart (bench show): it has no effect"
    return rung("equal variants", looked_at, advice, (pair for pair in found if pair[1]))


def _pairs_alike(cells: Sequence[CellScore], part: int) -> list[tuple[Named, Named]]:
    """The pairs of columns, each by its (variant, seed), in which this part of the two names is the same."""
    columns: dict[tuple[str, int], dict[Setting, CellScore]] = defaultdict(dict)
    for cell in cells:
        columns[cell.variant, cell.seed][cell.n_way, cell.n_shot] = cell
    alike: dict[str | int, list[Named]] = defaultdict(list)
    for name_and_cells in columns.items():
        alike[name_and_cells[0][part]].append(name_and_cells)
    return [pair for group in alike.values() for pair in combinations(group, 2)]


def _same(first: Column, second: Column, *, other_at_test: bool) -> str:
    """In what two columns are the same, in words; empty where they are not, or too little is known."""
    pairs = [(first[setting], second[setting]) for setting in first if setting in second]
    if any(a.key == b.key != "" for a, b in pairs):
        return "they are one training under two names"
    counts = _equal_counts(pairs)
    if any(a.weights == b.weights != "" for a, b in pairs) and not (other_at_test and counts is False):
        return "their weights are equal"
    return "their counts are equal in every episode that they share" if counts else ""


def _equal_counts(pairs: list[tuple[CellScore, CellScore]]) -> bool | None:
    """Whether the counts agree in every shared episode; None where there are too few to tell."""
    n_telling = 0
    for a, b in pairs:
        shared = []
        for counts in _shared_counts(a.episodes, b.episodes):
            if counts[0] != counts[1]:
                return False
            shared.append(counts)
        if len(set(shared)) > 1:  # one count everywhere tells nothing: two models may know one answer, or all
            n_telling += len(shared)
    return True if n_telling >= ENOUGH else None


def _shared_counts(a: Sequence[EpisodeResult], b: Sequence[EpisodeResult]) -> Iterator[tuple[int, int]]:
    """The counts of both in every episode that they share; those of one bank stand in the same places."""
    places = None
    for place, episode in enumerate(b):
        same = place < len(a) and a[place].episode_id == episode.episode_id
        if not same and places is None:
            places = {other.episode_id: i for i, other in enumerate(a)}
        found = place if same else (places or {}).get(episode.episode_id)
        if found is not None:
            yield a[found].n_correct, episode.n_correct
