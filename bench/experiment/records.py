"""What a run produces and what is remembered of it: the plain records that runner, store and plan exchange."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NewType

import numpy as np
from numpy.typing import NDArray

# The label given to each query of an episode, query by query: a byte each, or two (little-endian) beyond 256 ways.
Answers = NewType("Answers", bytes)
SMALL = 256  # ways that a byte can name


def pack_answers(labels: NDArray[np.int64], n_way: int) -> Answers:
    """Labels 0..n_way-1, query by query, as they are stored."""
    return Answers(labels.astype("u1" if n_way <= SMALL else "<u2").tobytes())


def unpack_answers(answers: bytes, n_way: int) -> NDArray[np.unsignedinteger]:
    """The labels that were packed, in the small integers that they were packed in."""
    return np.frombuffer(answers, "u1" if n_way <= SMALL else "<u2")


def n_right(labels: NDArray[np.integer], n_way: int) -> int:
    """How many queries got the right one of n_way labels; -1 where they are not as many of each, label by label."""
    n_query, rest = divmod(len(labels), n_way)
    return -1 if rest else int((labels == np.arange(n_way).repeat(n_query)).sum())


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
    pace: str  # see `pace_of`


def pace_of(variant: str, identity: Mapping[str, Any]) -> str:
    """Equal for cells whose episodes take equally long: variant, setting and rule, whatever the training."""
    return json.dumps([variant, identity["setting"], identity["adaptation"]], sort_keys=True)
