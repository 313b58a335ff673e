"""Two databases compared, cell by cell and episode by episode: what a merge would do, and what forbids it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from fewshot_bench.experiment.selection import place_of
from fewshot_bench.results.provenance import machine, origin
from fewshot_bench.results.store.snapshot import Snapshot
from fewshot_bench.results.store.whole import Row, StoredEpisode

# "conflict": with another result for an episode; "empty": known here, and nothing to compare there
CellState = Literal["new", "extended", "equal", "conflict", "empty"]
TrainingState = Literal["new", "replaced", "kept"]
# (state of the cell, our run, their run) -> how many equal episodes of such cells they both made
RunPairs = Counter[tuple[CellState, int, int]]


@dataclass(frozen=True)
class EpisodeConflict:
    """One episode with two results."""

    cell: str  # its name
    key: str
    number: int
    ours: tuple[str, int, int]  # episode id, number correct, number of queries
    theirs: tuple[str, int, int]


@dataclass(frozen=True)
class WeightsConflict:
    """A training with two sets of weights, where results of theirs would come to stand beside ours."""

    training: str  # its key
    cells: tuple[str, ...]  # names of those that would mix
    ours: str  # SHA-256
    theirs: str


@dataclass(frozen=True)
class ComparedCell:
    """A cell of theirs, and what of it is missing here."""

    key: str
    name: str
    training: str
    state: CellState
    n_ours: int
    n_theirs: int
    new_answers: tuple[int, ...] = ()  # numbers of shared episodes whose answers only they kept
    n_other_answers: int = 0  # shared episodes with equal counts whose queries were answered otherwise

    @property
    def n_new(self) -> int:
        """Episodes that only they have."""
        return max(0, self.n_theirs - self.n_ours)


@dataclass(frozen=True)
class Proof:
    """What the equal episodes of both sides show."""

    n_proved: int = 0  # measured by another run on each side
    n_in_equal_cells: int = 0  # of these, those in cells of which nothing is new
    n_copied: int = 0  # of one and the same run: they show nothing
    n_unknown: int = 0  # from a file that does not say how they were made: neither do they
    machines: tuple[str, ...] = ()  # that measured the proved ones
    n_weights: int = 0  # trainings that another run made on each side, their weights equal bit for bit


@dataclass(frozen=True)
class Comparison:
    """What a merge does, if nothing forbids it."""

    cells: tuple[ComparedCell, ...]
    trainings: dict[str, TrainingState]
    conflicts: tuple[EpisodeConflict, ...]
    weights_conflicts: tuple[WeightsConflict, ...]
    proof: Proof
    n_other_weights: int  # trainings with other weights there, of which nothing is taken
    weights: tuple[str, ...]  # SHA-256 of the weights that our results come from as well as theirs, or will

    @property
    def forbidden(self) -> bool:
        """Whether the two cannot both be right."""
        return bool(self.conflicts or self.weights_conflicts)

    @property
    def anything_new(self) -> bool:
        """Whether a merge would change anything."""
        states = {cell.state for cell in self.cells} | set(self.trainings.values())
        return bool(states & {"new", "extended", "replaced"} or any(cell.new_answers for cell in self.cells))


def compare(ours: Snapshot, theirs: Snapshot) -> Comparison:
    """Everything of theirs, against ours. Raises DatabaseError where either's episodes are damaged."""
    our_cells, our_trainings, their_trainings = ours.cells(), ours.trainings(), theirs.trainings()
    pairs: RunPairs = Counter()
    conflicts: list[EpisodeConflict] = []
    cells = tuple(
        _compare_cell(ours, theirs, our_cells.get(key), row, pairs, conflicts)
        for key, row in theirs.cells().items()
        if row["n_episodes"] or not _superseded(our_trainings.get(row["training_key"]), their_trainings, row)
    )
    states: dict[str, TrainingState] = {}
    weights_conflicts = []
    measured = {row["training_key"] for row in our_cells.values() if row["n_episodes"]}
    for key, row in their_trainings.items():
        gained = tuple(cell.name for cell in cells if cell.training == key and cell.n_new)
        here = our_trainings.get(key)
        if here and gained and key in measured and _other_weights(here, row):
            weights_conflicts.append(WeightsConflict(key, gained, here["checkpoint"], row["checkpoint"]))
        states[key] = _training_state(here, row, bool(gained))
    kept = [key for key, state in states.items() if state == "kept"]
    other = {key for key in kept if _other_weights(our_trainings[key], their_trainings[key])}
    return Comparison(
        cells=cells,
        trainings=states,
        conflicts=tuple(conflicts),
        weights_conflicts=tuple(weights_conflicts),
        proof=_proof(ours, theirs, pairs, [(our_trainings[key], their_trainings[key]) for key in kept]),
        n_other_weights=len(other),
        weights=tuple(t["checkpoint"] for key, t in their_trainings.items() if t["checkpoint"] and key not in other),
    )


def _compare_cell(
    ours: Snapshot, theirs: Snapshot, here: Row | None, there: Row, pairs: RunPairs, conflicts: list[EpisodeConflict]
) -> ComparedCell:
    """Adds what it finds of the shared episodes to `pairs` and `conflicts`."""
    our_episodes = ours.episodes(here) if here else []
    their_episodes = theirs.episodes(there)
    name, key = place_of(here or there).name, there["key"]
    shared = list(zip(our_episodes, their_episodes, strict=False))
    differing = [(mine, other) for mine, other in shared if mine.counted != other.counted]
    conflicts += [EpisodeConflict(name, key, mine.number, mine.counted[1:], o.counted[1:]) for mine, o in differing]
    state = "conflict" if differing else _cell_state(here, our_episodes, their_episodes)
    pairs.update((state, mine.run_id, other.run_id) for mine, other in shared if mine.counted == other.counted)
    our_answers = ours.answers(here) if shared and here else {}
    their_answers = theirs.answers(there) if shared else {}
    both = [(i, our_answers.get(i), their_answers.get(i)) for i in range(len(shared))]
    return ComparedCell(
        key=key,
        name=name,
        training=there["training_key"],
        state=state,
        n_ours=len(our_episodes),
        n_theirs=len(their_episodes),
        new_answers=tuple(i for i, mine, other in both if other and not mine),
        n_other_answers=sum(bool(mine and other and mine != other) for _, mine, other in both),
    )


def _cell_state(here: Row | None, ours: list[StoredEpisode], theirs: list[StoredEpisode]) -> CellState:
    if here is None:
        return "new"
    if len(theirs) > len(ours):
        return "extended"
    return "equal" if theirs else "empty"


def _superseded(ours: Row | None, their_trainings: dict[str, Row], cell: Row) -> bool:
    """Whether a cell has no results there for want of a training that is finished here."""
    return ours is not None and ours["state"] == "finished" != their_trainings[cell["training_key"]]["state"]


def _other_weights(ours: Row, theirs: Row) -> bool:
    """Whether both are known and differ."""
    return bool(ours["checkpoint"] and theirs["checkpoint"] and ours["checkpoint"] != theirs["checkpoint"])


def _training_state(ours: Row | None, theirs: Row, gained: bool) -> TrainingState:
    """A finished training is replaced only by one whose results are taken, and where it has none of its own."""
    if ours is None:
        return "new"
    if theirs["state"] != "finished":
        return "kept"
    return "replaced" if ours["state"] != "finished" or (gained and _other_weights(ours, theirs)) else "kept"


def _proof(ours: Snapshot, theirs: Snapshot, pairs: RunPairs, trainings: list[tuple[Row, Row]]) -> Proof:
    our_origins = {number: origin(run) for number, run in ours.runs().items()}
    their_origins = {number: origin(run) for number, run in theirs.runs().items()}
    n: Counter[str] = Counter()
    machines: dict[str, None] = {}
    for (state, mine, other), count in pairs.items():
        made, made_there = our_origins[mine], their_origins[other]
        if made is None or made_there is None:
            n["unknown"] += count
        elif made == made_there:
            n["copied"] += count
        else:
            n["proved"] += count
            n["in equal cells"] += count if state == "equal" else 0
            machines |= {machine(made): None, machine(made_there): None}
    n_weights = 0
    for mine_row, other_row in trainings:
        made, made_there = our_origins[mine_row["run_id"]], their_origins[other_row["run_id"]]
        same = mine_row["checkpoint"] == other_row["checkpoint"] != ""
        n_weights += bool(same and made and made_there and made != made_there)
    return Proof(n["proved"], n["in equal cells"], n["copied"], n["unknown"], tuple(machines), n_weights)
