"""Every random number comes from what it is for, never from order, time, device or a shared generator."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Canonical = None | bool | int | float | str | Sequence["Canonical"] | Mapping[str, "Canonical"]


def digest(value: Canonical) -> str:
    """SHA-256 (hex) of canonical JSON: sorted keys, no spaces; equal values give equal digests everywhere."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def derive_seed(*purpose: Canonical) -> int:
    """A 63-bit seed for one purpose, e.g. derive_seed("weights", training_key)."""
    return int(digest(list(purpose))[:16], 16) >> 1


class Stream:
    """A numbered sequence of draws: draw i is the same whether or not the ones before it were made.

    Philox is counter-based, and numpy guarantees its raw output across versions (unlike its Generator's).
    """

    def __init__(self, *purpose: Canonical) -> None:
        self._key = int(digest(list(purpose))[:32], 16)

    def words(self, index: int, count: int) -> NDArray[np.uint64]:
        """`count` raw 64-bit words of draw number `index`."""
        # the index fills the counter's second word, so draws cannot run into each other
        words: NDArray[np.uint64] = np.random.Philox(key=self._key, counter=[0, index, 0, 0]).random_raw(count)
        return words


def shuffled(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A random permutation of range(len(words)), made by sorting random words."""
    return np.argsort(words, kind="stable").astype(np.int64)


def smallest(words: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """`shuffled(row)[:count]` of each row of words (n, m), without sorting the rest: (n, count)."""
    bound = np.partition(words, count - 1)[:, count - 1 : count]
    found = np.nonzero(words <= bound)[1]
    if len(found) != len(words) * count:  # several words equal the bound; sorting tells which come first
        return np.argsort(words, kind="stable")[:, :count].astype(np.int64)
    places = found.reshape(-1, count)
    order = np.argsort(np.take_along_axis(words, places, axis=1), kind="stable")
    return np.take_along_axis(places, order, axis=1)
