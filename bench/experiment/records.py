"""What a run produces and what is remembered of it: the plain records that runner, store and plan exchange."""

from dataclasses import dataclass, field
from typing import Any, Literal, NewType

from fewshot_bench.tables.scores import EpisodeScore

# The label given to each query of an episode, query by query: a byte each, or two (little-endian) beyond 256 ways.
Answers = NewType("Answers", bytes)
SMALL = 256  # ways that a byte can name


@dataclass(frozen=True)
class EpisodeResult:
    """One evaluated episode."""

    number: int  # in the bank
    episode_id: str
    n_correct: int
    n_queries: int
    # empty where they are not needed or were not kept; results are compared by what was counted
    answers: Answers = field(default=Answers(b""), compare=False, repr=False)

    def score(self) -> EpisodeScore:
        """What tables are made from."""
        return EpisodeScore(self.episode_id, self.n_correct, self.n_queries, self.number)


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is and what it has cost so far."""

    iteration: int
    images_seen: int
    seconds: float
    peak_memory_bytes: int
    device: str


@dataclass(frozen=True)
class StoredTraining:
    """What the store holds of a training."""

    key: str
    state: Literal["running", "finished", "failed"]
    method: str
    identity: dict[str, Any]  # what the key is the hash of
    iteration: int
    iterations: int
    images_seen: int
    seconds: float
    peak_memory_bytes: int
    device: str
    checkpoint: str  # SHA-256 of the finished weights' file; empty until then
    reason: str  # of a failure


@dataclass(frozen=True)
class StoredCell:
    """What the store holds of a cell."""

    key: str
    n_episodes: int
    seconds: float
    reason: str  # of a failure; empty where there was none
    pace: tuple[str, int, int]  # (variant, n_way, n_shot): cells alike in these take alike long
