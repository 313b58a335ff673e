"""What must be the same in one table and is not, and what must not be the same and is."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from fewshot_bench.tables.alarms.alarm import Alarm, Check, name
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.wording import counted

# Two trained models agree in an episode's count by luck now and then; in this many episodes on end they do not.
ENOUGH = 20
Setting = tuple[int, int]  # (n_way, n_shot)
Column = Mapping[Setting, CellScore]  # one training seed of one variant


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
                text = f"shares {n_shared} of its first {n} episodes with {name(pattern)}"
                advice = "do not compare them: data, bank seed or sampler differ; evaluate it again"
                found.append(Alarm("other episodes", name(cell), text, advice))
    return Check("other episodes", counted(rows, "setting"), tuple(found))


def other_backbone(cells: Sequence[CellScore]) -> Check:
    """Trainings whose backbone is not the one that most cells of the table have."""
    known = [cell for cell in cells if cell.backbone]
    sizes, found = Counter(cell.backbone for cell in known).most_common(), []
    for variant, seed, backbone in dict.fromkeys((c.variant, c.seed, c.backbone) for c in known):
        if backbone != sizes[0][0]:
            text = f"its backbone is {backbone}; {sizes[0][1]} of {len(known)} cells have {sizes[0][0]}"
            advice = "compare equal sizes only: run it again with the same [model]"
            found.append(Alarm("other backbone", f"{variant} seed {seed}", text, advice))
    return Check("other backbone", counted(known, "cell"), tuple(found))


def equal_seeds(cells: Sequence[CellScore]) -> Check:
    """Two training seeds of one variant with equal weights, or with equal counts wherever they can be compared."""
    columns = _columns(cells)
    pairs = [(a, b) for a, b in combinations(columns, 2) if a[0] == b[0]]
    advice = "count them as one seed, and look at whether the training uses its seed"
    found = [
        Alarm("equal seeds", f"{a[0]} seeds {a[1]} and {b[1]}", how, advice)
        for a, b in pairs
        if (how := _same(columns[a], columns[b], other_at_test=False))
    ]
    return Check("equal seeds", counted(pairs, "pair of seeds", "pairs of seeds"), tuple(found))


def equal_variants(cells: Sequence[CellScore]) -> Check:
    """Two variants with equal counts wherever they can be compared.

    Equal weights with other counts are no alarm: a setting may act at test alone.
    """
    columns = _columns(cells)
    pairs = [(a, b) for a, b in combinations(columns, 2) if a[1] == b[1]]
    advice = "look at what tells them apart (bench show): it has no effect"
    found = [
        Alarm("equal variants", f"{a[0]} and {b[0]} seed {a[1]}", how, advice)
        for a, b in pairs
        if (how := _same(columns[a], columns[b], other_at_test=True))
    ]
    return Check("equal variants", counted(pairs, "pair of variants", "pairs of variants"), tuple(found))


def _columns(cells: Sequence[CellScore]) -> dict[tuple[str, int], Column]:
    """(variant, seed) -> its cells."""
    columns: dict[tuple[str, int], dict[Setting, CellScore]] = defaultdict(dict)
    for cell in cells:
        columns[cell.variant, cell.seed][cell.n_way, cell.n_shot] = cell
    return dict(columns)


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
        counts = {episode.episode_id: episode.n_correct for episode in a.episodes}
        shared = [(counts[e.episode_id], e.n_correct) for e in b.episodes if e.episode_id in counts]
        if any(one != other for one, other in shared):
            return False
        if len(set(shared)) > 1:  # one count everywhere tells nothing: two models may know one answer, or all
            n_telling += len(shared)
    return True if n_telling >= ENOUGH else None
