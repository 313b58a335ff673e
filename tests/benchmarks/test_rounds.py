"""Who is timed when, and what happens to a side that fails."""

import pytest

from benchmarks.contest import rounds
from benchmarks.contest.conversation import WorkerFailed
from benchmarks.contest.rounds import Layout, measure
from benchmarks.contest.work import Work

WORK = Work("supervised", 16, 1, 2, n_way=4, batch=10)
SECONDS = {"plain": 0.4, "ours": 0.2, "fails": 1.0}


class Fake:
    """A worker whose seconds are made up; the side "fails" does so in its second reading."""

    asked: list[tuple[str, str]]  # in order, of all workers

    def __init__(self, side: str, threads: int) -> None:
        self.side, self.readings = side, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def send(self, question, **details):
        self._details = details
        self.asked.append((self.side, question))

    def receive(self):
        if self.asked[-1][1] == "gemm":
            return {"flops_per_second": 1e9}
        self.readings += 1
        if self.side == "fails" and self.readings == 3:
            raise WorkerFailed("out of memory")
        repetitions = self._details.get("repetitions", 1)
        return {"seconds": SECONDS[self.side] * repetitions, "peak_bytes": 5}


@pytest.fixture
def asked(monkeypatch):
    Fake.asked = []
    monkeypatch.setattr(rounds, "Worker", Fake)
    return Fake.asked


def test_rates_are_of_all_processes_and_rounds_are_in_turn(asked, tmp_path):
    timing = measure(WORK, ["ours", "plain"], tmp_path, Layout(rounds=2, seconds=1.0, processes=2))
    rates = {reading.side: reading.rates for reading in timing.readings}
    assert rates["ours"] == pytest.approx([2 * 10 / 0.2] * 2)
    assert rates["plain"] == pytest.approx([2 * 10 / 0.4] * 2)
    assert timing.gemm == [2e9, 2e9]
    timed = [side for side, question in asked[-12:]]  # two rounds of the product and two sides, two processes each
    assert timed[::2] == ["plain", "ours", "plain", "plain", "plain", "ours"]


def test_who_fails_is_left_out_from_there_on(asked, tmp_path):
    timing = measure(WORK, ["ours", "fails"], tmp_path, Layout(rounds=3, seconds=1.0))
    ours, fails = timing.readings
    assert fails.failure == "out of memory"
    assert len(ours.rates) == 3
    assert [side for side, question in asked if question != "gemm"].count("fails") == 3
