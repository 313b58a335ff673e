"""The regression check: every verdict, the margin, and the printed forms."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from scipy import stats

from fewshot_bench.tables.baseline import BaselineError, episodes_sha256
from fewshot_bench.tables.regression import compare, make_baseline
from fewshot_bench.tables.scores import EpisodeScore
from fewshot_bench.tables.verdicts import VERDICT_RENDERERS, render_verdicts

ONE = (("maml",), ((5, 1),))


def shifted(results, by, name="maml", n_way=5, n_shot=1):
    """The results with `by` more queries correct in every episode of one cell."""
    cells = tuple(
        replace(cell, episodes=tuple(replace(e, n_correct=e.n_correct + by) for e in cell.episodes))
        if (cell.variant, cell.n_way, cell.n_shot) == (name, n_way, n_shot)
        else cell
        for cell in results.cells
    )
    return replace(results, cells=cells)


def stored(results):
    """A baseline that has been through a file."""
    return json.loads(json.dumps(make_baseline(results)))


def verdict_of(results, baseline, **options):
    [verdict] = compare(results, baseline, **options).verdicts
    return verdict


def test_same_results_are_identical(make_results):
    results = make_results()
    report = compare(results, stored(results))
    assert report.counts["identical"] == 63
    assert report.exit_code == 0
    assert report.experiment_differences == ()


@pytest.mark.parametrize(("by", "verdict", "code"), [(-8, "worse", 3), (8, "better", 0), (-1, "within margin", 0)])
def test_a_shift_is_judged_by_the_margin(make_results, by, verdict, code):
    results = make_results(*ONE)
    report = compare(shifted(results, by), stored(results))
    assert report.verdicts[0].verdict == verdict
    assert report.verdicts[0].difference == pytest.approx(by / 75)
    assert report.exit_code == code


def test_margin_is_welchs_interval_at_least_the_minimum(make_results):
    results = make_results(*ONE)
    other = shifted(results, -1)
    first, second = ([e.accuracy for e in r.cells[0].episodes] for r in (results, other))
    interval = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    expected = (interval.high - interval.low) / 2
    assert verdict_of(other, stored(results)).margin == pytest.approx(expected)
    assert verdict_of(other, stored(results), min_margin=0.2).margin == 0.2
    assert verdict_of(shifted(results, -8), stored(results), min_margin=0.2).verdict == "within margin"


def test_equal_accuracies_from_other_counts_are_not_identical(make_results):
    results = make_results(*ONE)
    first, second, *rest = results.cells[0].episodes
    swapped = (
        replace(first, n_correct=first.n_correct + 1),
        replace(second, n_correct=second.n_correct - 1),
        *rest,
    )
    changed = replace(results, cells=(replace(results.cells[0], episodes=swapped),))
    verdict = verdict_of(changed, stored(results))
    assert (verdict.verdict, verdict.difference) == ("within margin", pytest.approx(0.0, abs=1e-12))


def test_hash_ignores_order_but_nothing_else():
    episodes = (EpisodeScore("a", 3, 75, 0), EpisodeScore("b", 4, 75, 1))
    known = episodes_sha256(episodes)
    assert episodes_sha256(episodes[::-1]) == known
    for changed in (EpisodeScore("c", 3, 75, 0), EpisodeScore("a", 2, 75, 0), EpisodeScore("a", 3, 70, 0)):
        assert episodes_sha256((changed, episodes[1])) != known


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "missing", "episodes": ()}, "missing"),
        ({"state": "partial", "reason": "7 of 40 episodes"}, "partial: 7 of 40 episodes"),
        ({"key": "other"}, "another experiment: key other, baseline maml-5-1-0"),
        ({"episodes": ()}, "no episodes stored"),
    ],
)
def test_not_comparable_says_why(make_results, change, reason):
    results = make_results(*ONE)
    changed = replace(results, cells=(replace(results.cells[0], **change),))
    report = compare(changed, stored(results))
    assert (report.verdicts[0].verdict, report.verdicts[0].reason) == ("not comparable", reason)
    assert report.exit_code == 5


def test_cells_on_one_side_only(make_results):
    wide, narrow = make_results(("maml", "reptile"), ((5, 1),)), make_results(*ONE)
    report = compare(narrow, stored(wide))
    assert [v.reason for v in report.verdicts] == ["", "not in the measured grid"]
    report = compare(wide, stored(narrow))
    assert [(v.name, v.reason) for v in report.verdicts] == [
        ("maml 5-way 1-shot seed 0", ""),
        ("reptile 5-way 1-shot seed 0", "not in the baseline"),
    ]
    assert report.exit_code == 0


def test_single_episodes_tell_nothing_unless_identical(make_results):
    results = make_results(*ONE, n=1)
    assert verdict_of(results, stored(results)).verdict == "identical"
    assert "one episode" in verdict_of(shifted(results, -8), stored(results)).reason


def test_only_done_cells_are_stored(marked):
    baseline = stored(marked)
    assert len(baseline["cells"]) == 63 - 4
    with pytest.raises(BaselineError, match="no complete cell"):
        make_baseline(replace(marked, cells=tuple(replace(c, state="failed") for c in marked.cells)))


def test_another_experiment_is_told(make_results):
    report = compare(make_results(*ONE, fingerprint="new"), stored(make_results(*ONE)))
    assert report.experiment_differences == ("fingerprint: baseline '5f1c0de', measured 'new'",)


def test_malformed_baselines_are_refused(make_results):
    results = make_results(*ONE)
    good = stored(results)
    cell = good["cells"][0]
    for document, message in (
        ([], "no 'schema'"),
        ({**good, "schema": 99}, "this version reads 1"),
        ({**good, "cells": [{**cell, "extra": 1}]}, "extra"),
        ({**good, "experiment": {}}, "dataset"),
        ({**good, "cells": [cell, cell]}, "two accuracies"),
        ({**good, "cells": [{**cell, "mean": float("nan")}]}, "cannot be"),
        ({**good, "cells": [{**cell, "mean": "0.5"}]}, "not a baseline"),
    ):
        with pytest.raises(BaselineError, match=message):
            compare(results, document)
    with pytest.raises(ValueError, match="fraction"):
        compare(results, good, min_margin=3)


def test_a_cell_that_fails_now_is_worse(make_results):
    results = make_results(*ONE)
    broken = replace(results.cells[0], state="failed", reason="NaN at step 3", episodes=())
    report = compare(replace(results, cells=(broken,)), stored(results))
    assert (report.verdicts[0].verdict, report.verdicts[0].reason) == ("worse", "failed: NaN at step 3")
    assert report.exit_code == 3
    for format in ("text", "markdown", "junit"):
        assert "failed: NaN at step 3" in render_verdicts(report, format)


@pytest.fixture
def report(make_results):
    """One cell of each kind, with a name that tries to break out."""
    names = ("maml", "reptile", 'a"<&|\n]]>\x00', "transfer", "protonet")
    results = make_results(names, ((5, 1),))
    baseline = stored(results)
    results = shifted(shifted(shifted(results, -9, "maml"), 9, "reptile"), 1, "transfer")
    odd = replace(results.cells[2], state="partial", reason="<x> & \x01 |\n y")
    return compare(replace(results, cells=(*results.cells[:2], odd, *results.cells[3:])), baseline)


def test_junit_parses_and_counts(report):
    suite = ET.fromstring(render_verdicts(report, "junit")).find("testsuite")
    assert suite.attrib["tests"] == "5"
    assert suite.attrib["failures"] == str(len(suite.findall("testcase/failure"))) == "1"
    assert suite.attrib["skipped"] == str(len(suite.findall("testcase/skipped"))) == "1"
    assert "margin" in suite.find("testcase/failure").attrib["message"]
    assert suite.find("testcase/skipped").attrib["message"] == "partial: <x> & | y"


def test_text_leads_with_the_counts_and_leaves_identical_out(report):
    text = render_verdicts(report, "text")
    first, *lines = text.splitlines()
    assert first == "5 cells: 1 identical, 1 within margin, 1 better, 1 worse, 1 not comparable"
    assert len(lines) == 4
    assert lines[0].startswith("worse           maml 5-way 1-shot seed 0: 40.07 -> 28.07 % (-12.00 points, margin")


def test_markdown_and_json_hold_every_cell(report):
    rows = [line for line in render_verdicts(report, "markdown").splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 5
    document = json.loads(render_verdicts(report, "json"))
    assert document["exit_code"] == 3
    assert [cell["verdict"] for cell in document["cells"]] == [v.verdict for v in report.verdicts]


@pytest.mark.parametrize("format", VERDICT_RENDERERS)
def test_an_empty_comparison_prints(format, make_results):
    results = make_results(*ONE)
    report = compare(replace(results, cells=()), stored(results))
    assert report.exit_code == 5
    assert render_verdicts(report, format).endswith("\n")
