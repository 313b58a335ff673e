"""The table and the record."""

import dataclasses
import json
import re

import pytest

from benchmarks import peers
from benchmarks.contest.report import Check, Contest, in_short, markdown, placed, ratio, record, summary
from benchmarks.contest.rounds import Layout, Reading, Timing
from benchmarks.contest.work import Work

WORK = Work.of("maml", "32x32x3")
CONTEST = Contest(
    command="python -m benchmarks.peers",
    commit="abc",
    date="2026-01-02",
    machine="a processor, 2 cores",
    versions={"torch": "2.15"},
    import_bytes=300 * 2**20,
    layout=Layout(),
    missing={"higher": "no compiler"},
    checks=[Check("maml", "32x32x3", "strokes", 0.25, {"plain": 0.0, "ours": 2e-14, "torchopt": 0.3})],
    timings=[
        Timing(
            WORK,
            [
                Reading("ours", [800.0, 900.0, 1000.0], 2**30),
                Reading("plain", [400.0, 300.0, 1000.0], 2**29),
                Reading("learn2learn", [500.0], 1, "out of memory"),
            ],
            [70e9, 76e9, 72e9],
        )
    ],
)


def test_ratio_is_taken_within_rounds():
    assert ratio([800.0, 900.0, 1000.0], [400.0, 300.0, 1000.0]) == (2.0, 1.0, 3.0)
    with pytest.raises(ValueError):
        ratio([1.0, 2.0], [1.0])


def test_the_table():
    text = markdown(CONTEST)
    # 900 images/s are 9/8 updates of 38 GFLOP a second, of 76
    share = round(100 * 900 / 800 * WORK.flops / 76e9)
    assert f"| **maml** | ours | 900 |  | {share} % | 1024 MiB |" in text
    assert "plain PyTorch | 400 | **2.00** (1.00 to 3.00) |" in text
    assert "learn2learn | failed: out of memory |" in text
    assert "Not installed: higher (no compiler)." in text
    assert "where 25.0 % of the first block's windows tie: 2 of 3 equal plain PyTorch's, to 2e-14" in text
    assert "**Wrong, so not timed**: torchopt's maml on strokes: off by 0.3." in text
    assert "28×28" not in text


def test_a_line_for_who_waits():
    assert in_short(CONTEST.timings[0]) == "images/s: ours 900, plain 400, learn2learn out of memory"


def test_who_gave_no_gradient_has_failed():
    check = Check("maml", "32x32x3", "strokes", 0.25, {"plain": 0.0, "higher": "killed"})
    assert "**Failed, so not timed**: higher's maml on strokes: killed." in markdown(
        dataclasses.replace(CONTEST, checks=[check])
    )


def test_without_ours_there_is_no_ratio():
    (timing,) = CONTEST.timings
    ours = dataclasses.replace(timing.readings[0], failure="killed")
    text = markdown(dataclasses.replace(CONTEST, timings=[Timing(WORK, [ours, timing.readings[1]], [76e9])]))
    assert "plain PyTorch | 400 |  |" in text


def test_the_record_is_json_and_holds_every_reading():
    stored = json.loads(json.dumps(record(CONTEST)))
    (timing,) = stored["timings"]
    assert timing["readings"][0]["rates"] == [800.0, 900.0, 1000.0]
    assert (timing["images_per_update"], timing["flops_per_update"]) == (WORK.images, WORK.flops)


def test_the_summary_has_the_lowest_and_highest_ratio_of_each_table():
    section = markdown(CONTEST)
    over = re.findall(r"\*\*(\d\.\d\d)\*\* \(", section)
    assert summary(section).splitlines()[2:] == [f"| {WORK.method} | {' to '.join(sorted(set(over)))} |"]


def test_the_page_has_the_summary_of_the_measurements():
    section = peers.PAGE.read_text(encoding="utf-8").partition("<!-- peers: begin -->\n")[2].partition("\n<!--")[0]
    for page, text in peers.pages(section).items():
        assert page.read_text(encoding="utf-8") == text


def test_placed_replaces_only_what_is_between_the_markers():
    page = "above\n<!-- peers: begin -->\nold\n<!-- peers: end -->\nbelow\n"
    assert placed(page, "new") == "above\n<!-- peers: begin -->\nnew\n<!-- peers: end -->\nbelow\n"
    assert placed(placed(page, "x"), "new") == placed(page, "new")
    for broken in ("no markers", page + page):
        with pytest.raises(ValueError, match="needs one"):
            placed(broken, "new")
