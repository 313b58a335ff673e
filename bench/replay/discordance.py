"""Stored answers against recomputed ones: identical, the same up to rounding, or different."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import Answers, n_right, unpack_answers
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Episodes, Method
from fewshot_bench.tables.scores import EpisodeResult

Verdict = Literal["identical", "same", "different"]

# What rounding can do is measured where it matters: an episode that differs is computed again from weights that are
# moved by up to a millionth of themselves. Adaptation can amplify that a hundred thousand times: measured, logits
# move by a millionth of their range in 5-way 1-shot, and by a tenth of it in 35-way 100-shot. One thread against two
# (42 cells) needed at most 0.27 of the tolerance that follows.
SHAKES = 3  # other weights
SHAKEN_BY = 1e-6  # of each weight
NEAR_TIE = 1e-4  # of the episode's range of logits: the least tolerance, for jumps that three tries do not meet


@dataclass(frozen=True)
class Discordant:
    """A query that got another answer."""

    query: int  # from 0, label by label
    label: int  # the right answer
    stored: int
    now: int
    gap: float  # by how much the stored answer's logit falls short now, as a share of the episode's range of logits


@dataclass(frozen=True)
class EpisodeReplay:
    """One episode, stored and recomputed."""

    number: int
    stored_id: str
    id: str
    n_queries: int
    stored_correct: int
    correct: int
    kept: bool  # whether the answers were; without them only the counts are compared
    discordant: tuple[Discordant, ...]  # empty without answers
    n_ties: int  # queries that rounding alone could have made right or wrong
    tolerance: float  # how far rounding can shift two logits, as a share of the episode's range of logits

    @property
    def n_differing(self) -> int:
        """Queries answered otherwise; without answers at least so many."""
        return len(self.discordant) if self.kept else abs(self.correct - self.stored_correct)

    @property
    def differs(self) -> bool:
        """Whether it is not the stored one."""
        return bool(self.n_differing) or self.id != self.stored_id

    @property
    def by_rounding(self) -> bool:
        """Whether rounding explains all that differs."""
        if self.id != self.stored_id:
            return False
        if self.kept:
            return all(query.gap <= self.tolerance for query in self.discordant)
        return self.n_differing <= self.n_ties


@dataclass(frozen=True)
class Replay:
    """What came of repeating a cell."""

    key: str
    name: str
    stored_weights: str  # SHA-256
    weights: str  # SHA-256 of those that were tested; empty where a training broke
    episodes: tuple[EpisodeReplay, ...]
    broke: str = ""  # why it came to no end; the stored run did
    circumstances: tuple[tuple[str, str, str], ...] = ()  # what differs from the stored run: name, then, now

    @property
    def n_queries(self) -> int:
        """Queries that were answered again."""
        return sum(episode.n_queries for episode in self.episodes)

    @property
    def n_differing(self) -> int:
        """Queries that were answered otherwise; at least so many where only counts were kept."""
        return sum(episode.n_differing for episode in self.episodes)

    @property
    def verdict(self) -> Verdict:
        """identical: the same weights and every answer (where none were kept, every count) as stored.

        same: the stored episodes, and no query was answered otherwise than rounding can explain: the two answers'
        logits are closer than the tolerance of its episode. different: anything else. With other weights than the
        stored ones a replay is the same at best.
        """
        if self.broke or not all(episode.by_rounding for episode in self.episodes):
            return "different"
        as_stored = self.weights == self.stored_weights and not any(episode.differs for episode in self.episodes)
        return "identical" if as_stored else "same"


class Listener:
    """A method that remembers the logits of what it was last asked, episode by episode."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._heard: list[NDArray[np.float64]] = []

    @property
    def embeds(self) -> bool:
        """See `Method.embeds`."""
        return self._method.embeds

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self._method.embed(images)

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`."""
        return self._hear(self._method.predict(episodes, adaptation))

    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`."""
        return self._hear(self._method.classify(episodes, adaptation))

    def _hear(self, logits: Tensor) -> Tensor:
        self._heard += list(logits.detach().to("cpu", torch.float64).numpy())
        return logits

    def as_method(self) -> Method:
        """Itself, for a caller that only predicts."""
        return cast(Method, self)

    def next(self) -> NDArray[np.float64]:
        """(n_way*n_query, n_way): the logits of the next episode, in the order in which they were asked for."""
        return self._heard.pop(0)

    def last(self) -> NDArray[np.float64]:
        """The logits of the last episode; those before it are forgotten."""
        last = self._heard.pop()
        self._heard.clear()
        return last


def shaken(method: Method, seed: int) -> Method:
    """The method itself, each weight moved by up to SHAKEN_BY of its size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in method.parameters():
            noise = 2 * torch.rand(weights.shape, generator=generator) - 1
            weights.mul_(1 + SHAKEN_BY * noise.to(weights.device))
    return method


def tolerance(logits: NDArray[np.float64], others: Iterable[NDArray[np.float64]]) -> float:
    """Twice the furthest that a logit moved in the others, a share of the range: two logits can move apart so far."""
    moved = max((float(np.abs(other - logits).max()) for other in others), default=0.0)
    return min(1.0, max(NEAR_TIE, 2 * moved / _range(logits)))


def compare(
    stored: EpisodeResult,
    answers: Answers | None,
    now: EpisodeResult,
    logits: NDArray[np.float64],
    tolerance: float = NEAR_TIE,
) -> EpisodeReplay:
    """One episode; `logits` (n_way*n_query, n_way) are those of `now`.

    Raises DatabaseError for stored answers that do not fit the stored count.
    """
    n_queries, n_way = logits.shape
    labels = np.arange(n_way).repeat(n_queries // n_way)  # queries stand label by label
    discordant: tuple[Discordant, ...] = ()
    if answers is not None and now.episode_id == stored.episode_id:
        discordant = _discordant(_checked(stored, answers, labels, n_way), now, labels, logits / _range(logits))
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    others = np.where(np.arange(n_way) == labels[:, None], -np.inf, logits).max(axis=1)
    return EpisodeReplay(
        number=stored.number,
        stored_id=stored.episode_id,
        id=now.episode_id,
        n_queries=n_queries,
        stored_correct=stored.n_correct,
        correct=now.n_correct,
        kept=answers is not None,
        discordant=discordant,
        n_ties=int((np.abs(own - others) <= tolerance * _range(logits)).sum()),
        tolerance=tolerance,
    )


def _range(logits: NDArray[np.float64]) -> float:
    return float(logits.max() - logits.min()) or 1.0


def _checked(stored: EpisodeResult, answers: Answers, labels: NDArray[np.int64], n_way: int) -> NDArray[np.int64]:
    given = unpack_answers(answers, n_way).astype(np.int64)
    if given.shape != labels.shape or given.max() >= n_way or n_right(given, n_way) != stored.n_correct:
        raise DatabaseError(
            f"the stored answers of episode {stored.number} do not fit its stored count of {stored.n_correct} correct "
            "ones: the database was damaged or edited; restore a copy"
        )
    return given


def _discordant(
    stored: NDArray[np.int64], now: EpisodeResult, labels: NDArray[np.int64], logits: NDArray[np.float64]
) -> tuple[Discordant, ...]:
    given = unpack_answers(now.answers, logits.shape[1]).astype(np.int64)
    return tuple(
        Discordant(
            query=int(q),
            label=int(labels[q]),
            stored=int(stored[q]),
            now=int(given[q]),
            gap=float(logits[q, given[q]] - logits[q, stored[q]]),
        )
        for q in np.flatnonzero(stored != given)
    )
