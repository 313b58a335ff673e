"""Curves of growth: what they are made of, what is counted, and what is said about it."""

import dataclasses
import json

import pytest
import torch

from benchmarks import growth, growth_table
from benchmarks.contest.report import placed
from benchmarks.data import PAGE
from benchmarks.growth_curves import AXES, BASES, Record, costs_of, curve, growths, points
from benchmarks.growth_curves import growth as growth_along
from benchmarks.growth_plot import PICTURES
from benchmarks.growth_points import (
    EMBEDDED,
    LOOKED_UP,
    N_QUERY,
    RECOMPUTED,
    TESTED,
    Counts,
    Measured,
    Point,
    evaluating,
    stepping,
    training_of,
)
from fewshot_bench.methods.execution import Execution

ABOUT = {
    "commit": "abc",
    "measured_at": "2026-01-02T00:00:00",
    "load": 0.5,
    "machine": {"processor": "a processor", "cores": "2", "python": "3.11", "torch": "2.15"},
}
RATE, BANDWIDTH, CALL = 1e11, 1e10, 5e-6  # of a made-up machine


def made_up(point: Point) -> Measured:
    """A machine on which three costs are everything, and memory is linear in the inner steps of MAML alone."""
    images = point.n_tasks * point.n_way * (point.n_shot * point.steps + N_QUERY)
    size = (point.pixels / 32) ** 2
    operations = int(images * size * 2e4 * point.filters**2)
    moved, calls = int(images * size * 1e5 * point.filters), 100 * point.n_tasks
    seconds = operations / RATE + moved / BANDWIDTH + calls * CALL
    added = 2**20 * (50 + 16 * point.steps if point.work == "maml" else 60)
    own = 400 * 2**20
    return Measured(seconds, images, operations, moved, calls, own + added, own, own + 2 * added)


def test_the_page_has_a_place_for_the_section():
    page = PAGE.read_text(encoding="utf-8")
    assert "## Growth" in placed(page, "## Growth", growth.MARKER)


@pytest.fixture(scope="module")
def record() -> Record:
    return {point: made_up(point) for point in points(list(AXES))}


def counts(method, work) -> Counts:
    with Counts(method) as counted:
        work()
    return counted


def test_every_curve_goes_through_its_base_and_grows_to_its_end(record):
    assert len(points(list(AXES))) == len(set(points(list(AXES))))
    for work, axes in AXES.items():
        for axis, values in axes.items():
            assert list(values) == sorted(values)
            assert getattr(BASES[work], axis) in values[:-1]
            assert [value for value, _ in curve(record, work, axis)] == list(values)


def test_what_is_counted_in_a_step():
    """First-order: each image has a forward and a backward pass, whose operations are known."""
    small = Point("fomaml", n_way=3, n_shot=2, steps=2, filters=4, pixels=16, n_tasks=2)
    counted = counts(*stepping(training_of(small), Execution()))
    inner, outer = 2 * 3 * 2 * 2, 2 * 3 * (2 + N_QUERY)  # the support set passes again with the queries
    assert counted.images == inner + outer
    sides = (16, 8, 4, 2)
    layers = [2 * 9 * c * 4 * side**2 for c, side in zip((3, 4, 4, 4), sides, strict=True)]
    convolutions = counted.images * (2 * layers[0] + 3 * sum(layers[1:]))
    assert convolutions <= counted.operations < 1.02 * convolutions  # and the head
    twice = counts(*stepping(training_of(dataclasses.replace(small, n_tasks=4)), Execution()))
    assert twice.operations == 2 * counted.operations
    assert 1.9 < twice.bytes / counted.bytes < 2.1
    assert counted.calls > 100


def test_a_recomputed_step_passes_twice():
    small = Point("maml", n_way=3, n_shot=2, steps=2, filters=4, pixels=16)
    plain, again = (counts(*stepping(training_of(small), Execution(recompute=on))) for on in (False, True))
    assert again.images - plain.images == 2 * 3 * 2


def test_what_is_counted_in_a_test():
    small = Point(TESTED, n_way=3, n_shot=2, steps=4, filters=4, pixels=16, n_tasks=2)
    assert counts(*evaluating(small)).images == 2 * 3 * (2 * 4 + 2 + N_QUERY)
    small = dataclasses.replace(small, work=LOOKED_UP)
    assert counts(*evaluating(small)).images == 0
    assert counts(*evaluating(dataclasses.replace(small, work=EMBEDDED, n_tasks=3))).images == 3 * (2 + N_QUERY)


def test_the_view_of_a_tensor_costs_nothing():
    method = torch.nn.ModuleDict({"trunk": torch.nn.Identity()})
    a, b = torch.ones(5, 7), torch.ones(7, 3)
    counted = counts(method, lambda: a.T.T @ b)
    assert (counted.calls, counted.operations, counted.bytes) == (1, 2 * 5 * 7 * 3, 4 * (35 + 21 + 15))


def test_the_costs_are_found_again(record):
    for work in ("transfer", RECOMPUTED):
        assert costs_of(record, work) == pytest.approx([1 / RATE, 1 / BANDWIDTH, CALL], rel=1e-6)
    few = {point: m for point, m in record.items() if point.work == EMBEDDED}
    assert not any(cost == cost for cost in costs_of(few, EMBEDDED))


def test_growth_is_that_of_an_image_a_pixel_and_a_filter(record):
    grown = {(g.work, g.axis): g for g in growths(record)}
    assert grown["maml", "n_tasks"].seconds == pytest.approx(1)
    assert grown["maml", "pixels"].seconds < 1 < grown["maml", "filters"].seconds
    filters = grown["maml", "filters"]
    assert (filters.start, filters.end, filters.main_cost) == (32, 128, "operations")
    assert filters.operations == pytest.approx(4)
    assert filters.bytes == pytest.approx(1)
    assert filters.expected == pytest.approx(filters.seconds)
    assert grown["maml", "steps"].memory == pytest.approx((50 + 16 * 20) / (50 + 16 * 5))
    assert all(g.is_explained for g in grown.values() if g.work != EMBEDDED)  # too few points to say


def test_what_leaves_the_band_is_bold_and_explained_and_nothing_else_is(record):
    text = growth_table.as_markdown(record, ABOUT)
    outside = [g for g in growths(record) if not g.is_linear]
    assert outside
    assert max(map(len, (line for line in text.splitlines() if not line.startswith("|")))) <= 110
    text = " ".join(text.split())
    assert text.count("**, expected") == len(outside)
    assert text.count("**") == 4 * len(outside)  # in a cell and in the list
    assert "all else with their number" in text
    assert "something else" not in text
    assert "- Memory, MiB, by inner steps: 1: 66, 2: 82, 5: 130, 10: 210, 20: 370; 16.0 MiB a step from 5 to 10" in text
    assert "| maml | 660 MiB | 530 MiB | 1.25 |" in text


def test_a_time_that_the_counts_do_not_explain_is_said_to_be_so(record):
    slow = dataclasses.replace(BASES["maml"], n_tasks=8)
    changed = record | {slow: record[slow]._replace(seconds=2 * record[slow].seconds)}
    found = growth_along(changed, "maml", "n_tasks")
    assert not found.is_linear
    assert not found.is_explained
    assert "something else takes part" in " ".join(growth_table.as_markdown(changed, ABOUT).split())


def test_a_part_of_the_works_has_its_tables(record):
    some = {point: m for point, m in record.items() if point.work == EMBEDDED}
    text = growth_table.as_markdown(some, ABOUT)
    assert "| protonet, embedding |" in text
    assert "maml" not in text


def test_the_record_is_json(record):
    stored = json.loads(json.dumps(growth.stored(record, ABOUT)))
    assert len(stored["points"]) == len(record)
    assert stored["points"][0]["work"] == "transfer"
    assert stored["points"][0]["seconds"] > 0


def test_writing_puts_section_pictures_and_numbers_in_their_places(record, tmp_path, monkeypatch):
    page = tmp_path / "docs" / "measurements.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- growth: begin -->\nold\n<!-- growth: end -->\nafter\n")
    monkeypatch.setattr(growth, "PAGE", page)
    monkeypatch.setattr(growth, "RESULTS", tmp_path / "results")
    written = growth.write(record, ABOUT, "new")
    assert page.read_text() == "before\n<!-- growth: begin -->\nnew\n<!-- growth: end -->\nafter\n"
    assert [path.name for path in written] == ["measurements.md", "abc-growth.json", *PICTURES]
    assert written[1].parent.name == "a-processor-2-cores"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[2:])
