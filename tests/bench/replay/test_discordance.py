"""Answers compared query by query, and how much of what differs rounding explains."""

import numpy as np
import pytest
import torch

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import Answers, pack_answers
from fewshot_bench.replay.discordance import NEAR_TIE, SHAKEN_BY, compare, shaken, tolerance
from fewshot_bench.running.runner import build
from fewshot_bench.tables.scores import EpisodeResult


def result(labels, number=0, episode_id="a"):
    correct = int((labels == np.arange(2).repeat(2)).sum())
    return EpisodeResult(number, episode_id, correct, 4, pack_answers(labels, 2))


LOGITS = np.array([[1.0, 0.0], [0.50001, 0.5], [0.0, 1.0], [0.0, 1.0]])  # range 1; query 1 is nearly a tie


@pytest.mark.parametrize(
    ("stored", "differing", "explained"),
    [([0, 0, 1, 1], 0, True), ([0, 1, 1, 1], 1, True), ([1, 0, 1, 1], 1, False), ([1, 1, 1, 1], 2, False)],
)
def test_answers_are_compared_query_by_query(stored, differing, explained):
    now, then = result(LOGITS.argmax(1)), result(np.array(stored))
    compared = compare(then, then.answers, now, LOGITS)
    assert (compared.n_differing, compared.by_rounding, compared.n_ties) == (differing, explained, 1)
    gaps = [LOGITS[q].max() - LOGITS[q, stored[q]] for q in range(4) if stored[q] != LOGITS[q].argmax()]
    assert [query.gap for query in compared.discordant] == pytest.approx(gaps)
    counted = compare(then, None, now, LOGITS)  # a count can hide two answers that cancel out, but not their sum
    assert (counted.n_differing, counted.by_rounding) == (abs(then.n_correct - now.n_correct), differing < 2)


def test_other_episodes_are_never_explained():
    then = result(LOGITS.argmax(1))
    compared = compare(then, then.answers, result(LOGITS.argmax(1), episode_id="b"), LOGITS)
    assert (compared.differs, compared.by_rounding) == (True, False)


def test_answers_must_be_labels_of_the_episode():
    then = result(np.array([0, 0, 1, 1]))
    for bad in (b"\x00\x00\x01", b"\x00\x00\x01\x02", b"\x01\x01\x00\x00"):
        with pytest.raises(DatabaseError, match="do not fit"):
            compare(then, Answers(bad), result(LOGITS.argmax(1)), LOGITS)


def test_the_tolerance_is_what_rounding_does_here():
    assert tolerance(LOGITS, [LOGITS]) == NEAR_TIE
    assert tolerance(LOGITS * 7, [LOGITS * 7 + 0.14, LOGITS * 7 - 0.07]) == pytest.approx(2 * 0.14 / 7)
    assert tolerance(LOGITS, [-9 * LOGITS]) == 1.0
    assert tolerance(LOGITS * 0, [LOGITS * 0]) == NEAR_TIE


def test_shaking_moves_every_weight_by_a_millionth(make_training, make_lab):
    before = build(make_training("protonet"), make_lab())
    after, again = (shaken(build(make_training("protonet"), make_lab()), 1) for _ in range(2))
    for old, new, same in zip(before.parameters(), after.parameters(), again.parameters(), strict=True):
        assert torch.equal(new, same)
        assert (new - old).abs().max() <= 1.2 * SHAKEN_BY * old.abs().max()
    moved = [not torch.equal(old, new) for old, new in zip(before.parameters(), after.parameters(), strict=True)]
    assert any(moved)
