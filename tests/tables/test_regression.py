"""The regression check: every verdict, what it rests on, and the printed forms."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.check.baseline import Baseline, baseline_of, make_baseline, read_baseline, stored_cell
from fewshot_bench.tables.check.regression import OTHER_EXPERIMENT, OTHER_VERSION, RegressionReport, compare
from fewshot_bench.tables.check.render import VERDICT_RENDERERS, WORDS, render_verdicts
from fewshot_bench.tables.statistics.changes import difference, sample
from fewshot_bench.tables.statistics.estimate import holm, of_episodes

ONE = (("maml",), ((5, 1),))


def changed(results, by, name=None, n_way=None, n_shot=None):
    """The results with by(i) more queries right in episode i of the cells that match."""

    def matches(cell):
        wanted = (name, n_way, n_shot)
        return all(w in (None, is_) for w, is_ in zip(wanted, (cell.variant, cell.n_way, cell.n_shot), strict=True))

    cells = tuple(
        replace(cell, episodes=tuple(replace(e, n_correct=e.n_correct + by(i)) for i, e in enumerate(cell.episodes)))
        if matches(cell)
        else cell
        for cell in results.cells
    )
    return replace(results, cells=cells)


def with_cell(results, i=0, **changes):
    cells = list(results.cells)
    cells[i] = replace(cells[i], **changes)
    return replace(results, cells=tuple(cells))


def stored(results):
    """A baseline that has been through a file."""
    return read_baseline(json.loads(json.dumps(make_baseline(results))))


def of_schema_1(results):
    """A baseline as it was kept before episodes were."""
    names = ("variant", "n_way", "n_shot", "seed", "key")
    cells = [stored_cell(cell) for cell in results.cells]
    return read_baseline(
        {
            "schema": 1,
            "experiment": make_baseline(results)["experiment"],
            "cells": [
                {name: getattr(cell.score, name) for name in names}
                | {"episodes_sha256": cell.episodes_sha256}
                | {"mean": cell.accuracy.mean, "deviation": cell.accuracy.deviation, "n_episodes": cell.accuracy.n}
                for cell in cells
            ],
        }
    )


def finding_of(results, baseline, **options):
    [finding] = compare(results, baseline, **options).cells
    return finding


def wave(i):
    """A change that differs from episode to episode."""
    return (0, -3, 2, -1, -4)[i % 5]


def test_same_results_are_identical(make_results):
    results = make_results()
    report = compare(results, stored(results))
    assert {finding.verdict for finding in report.findings} == {"identical"}
    assert (len(report.cells), len(report.variants)) == (63, 7)
    assert (report.exit_code, report.notes) == (0, ())


@pytest.mark.parametrize(
    ("by", "verdict", "code"),
    [
        (lambda i: -8 - i % 3, "worse", 3),
        (lambda i: 8 + i % 3, "improved", 0),
        (lambda i: -1 if i in (3, 17) else 0, "equivalent", 0),  # next to nothing, interval within half a point
        (lambda i: (-1) ** i * 9 - (i == 0), "undecided", 0),  # nothing on the whole, but far from known
        (lambda i: -1 if i % 5 else 0, "worse", 3),  # 1.07 points, the same nearly everywhere
    ],
)
def test_verdicts(make_results, by, verdict, code):
    results = make_results(*ONE, n=600)
    report = compare(changed(results, by), stored(results))
    assert (report.cells[0].verdict, report.exit_code) == (verdict, code)
    assert report.cells[0].difference == pytest.approx(np.mean([by(i) for i in range(600)]) / 75)


def test_a_difference_below_the_margin_is_never_worse(make_results):
    """However sure it is: what is sure and small is equivalent."""
    results = make_results(*ONE)
    worse = changed(results, lambda i: -8)
    finding = finding_of(worse, stored(results), margin=0.2)
    assert (finding.verdict, finding.p < 1e-6) == ("equivalent", True)
    assert finding_of(worse, stored(results), margin=8 / 75).verdict == "worse"  # as large as the margin
    assert finding_of(worse, stored(results), margin=0).verdict == "worse"


def test_without_a_margin_nothing_is_equivalent_unless_identical(make_results):
    results = make_results(*ONE, n=600)
    slightly = changed(results, lambda i: -1 if i == 3 else 0)
    assert finding_of(slightly, stored(results)).verdict == "equivalent"
    assert finding_of(slightly, stored(results), margin=0).verdict == "undecided"


def test_cells_are_paired_by_episode(make_results):
    results = make_results(*ONE)
    finding = finding_of(changed(results, wave), stored(results))
    before = [e.accuracy for e in results.cells[0].episodes]
    after = [e.accuracy for e in changed(results, wave).cells[0].episodes]
    test = stats.ttest_rel(after, before)
    assert finding.p == pytest.approx(test.pvalue)
    assert finding.estimate.interval() == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert (finding.paired, finding.n_episodes, finding.n_queries) == (True, 40, 40 * 75)


def test_the_order_of_episodes_does_not_matter(make_results):
    results = make_results(*ONE)
    turned = with_cell(changed(results, wave), episodes=changed(results, wave).cells[0].episodes[::-1])
    assert finding_of(turned, stored(results)).p == finding_of(changed(results, wave), stored(results)).p


def test_only_shared_episodes_count(make_results):
    many, few = make_results(*ONE, n=40), make_results(*ONE, n=12)
    for measured, baseline in ((few, many), (many, few)):
        finding = finding_of(changed(measured, wave), stored(baseline))
        after, before = ([e.accuracy for e in r.cells[0].episodes[:12]] for r in (changed(measured, wave), baseline))
        assert finding.p == pytest.approx(stats.ttest_rel(after, before).pvalue)
        assert finding.n_episodes == 12
    report = compare(few, stored(many))
    assert (report.cells[0].verdict, report.exit_code) == ("identical", 0)
    assert "only some of the baseline's episodes" in report.notes[0]


def test_a_partial_cell_is_compared_on_what_it_has(make_results):
    results = make_results(*ONE)
    partial = with_cell(results, state="partial", episodes=results.cells[0].episodes[:7], reason="7 of 40 episodes")
    finding = finding_of(partial, stored(results))
    assert (finding.verdict, finding.n_episodes) == ("identical", 7)


def test_equal_accuracies_from_other_counts_are_not_identical(make_results):
    results = make_results(*ONE, n=600)
    finding = finding_of(changed(results, lambda i: {0: 1, 1: -1}.get(i, 0)), stored(results))
    assert (finding.verdict, finding.difference) == ("equivalent", pytest.approx(0.0, abs=1e-12))


def test_variants_are_tested_over_clusters_of_shared_queries(make_results):
    """Against statsmodels: a mean weighted by queries, robust to clusters of one way and number."""
    from statsmodels.regression.linear_model import WLS

    results = make_results(("maml", "reptile"), seeds=(0, 1), n=15)
    rng = np.random.default_rng(0)
    draws = {cell.key: rng.integers(-4, 3, 15) for cell in results.cells}
    cells = tuple(
        replace(
            cell,
            episodes=tuple(
                replace(e, n_correct=e.n_correct + int(d)) for e, d in zip(cell.episodes, draws[cell.key], strict=True)
            )[: 15 if cell.n_shot < 100 else 6],
        )
        for cell in results.cells
    )
    found = compare(replace(results, cells=cells), stored(results)).variants[0]
    gained, queries, clusters = [], [], []
    for cell in cells:
        if cell.variant == "maml":
            for i, e in enumerate(cell.episodes):
                gained.append(draws[cell.key][i] / e.n_queries)
                queries.append(e.n_queries)
                clusters.append(100 * cell.n_way + i)
    model = WLS(np.array(gained), np.ones(len(gained)), np.array(queries))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": np.array(clusters)})
    assert found.estimate.mean == pytest.approx(fit.params[0])
    assert found.estimate.error == pytest.approx(fit.bse[0])
    assert found.estimate.sources[0].degrees == 3 * 15 - 1
    assert found.name == "maml, all 18 cells"
    assert found.n_queries == sum(queries)


def test_a_small_drop_everywhere_is_found_only_together(make_results):
    results = make_results(("maml", "reptile"), n=12)
    drop = changed(results, lambda i: (2, -6, -1, -5, 1, -4)[i % 6], "maml")
    report = compare(drop, stored(results))
    assert {finding.verdict for finding in report.cells if finding.variant == "maml"} == {"undecided"}
    assert [(finding.name, finding.verdict) for finding in report.variants] == [
        ("maml, all 9 settings", "worse"),
        ("reptile, all 9 settings", "identical"),
    ]
    assert report.exit_code == 3


def test_a_variant_with_one_cell_is_not_tested_twice(make_results):
    results = make_results(*ONE)
    assert compare(changed(results, wave), stored(results)).variants == ()


def test_holm_covers_cells_and_variants(make_results):
    results = make_results(("maml", "reptile"))
    report = compare(changed(results, wave, "maml"), stored(results))
    tested = [finding for finding in report.findings if finding.estimate]
    assert len(tested) == 9 + 1  # what is identical is not tested
    assert [f.p for f in tested] == pytest.approx(holm([f.estimate.p_value() for f in tested]))


def test_old_baselines_are_compared_by_welch(make_results):
    results = make_results(*ONE)
    other = changed(results, wave)
    finding = finding_of(other, of_schema_1(results))
    after, before = ([e.accuracy for e in r.cells[0].episodes] for r in (other, results))
    test = stats.ttest_ind(after, before, equal_var=False)
    assert finding.p == pytest.approx(test.pvalue)
    assert finding.estimate.interval() == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert not finding.paired
    for n in (40, 60):  # more episodes since: the first ones are the stored ones
        more = compare(make_results(*ONE, n=n), of_schema_1(results))
        assert (more.cells[0].verdict, more.cells[0].n_episodes) == ("identical", 40)
    report = compare(make_results(), of_schema_1(make_results()))
    assert {finding.verdict for finding in report.cells} == {"identical"}
    assert report.variants == ()
    assert "keeps no episodes" in report.notes[0]


def test_other_episodes_are_compared_by_welch(make_results):
    """Another version of the bank: one lineage, no episode in common."""
    results = make_results(*ONE)
    old = with_cell(results, lineage="same", key="old")
    episodes = tuple(replace(e, episode_id="new " + e.episode_id) for e in changed(results, wave).cells[0].episodes)
    report = compare(with_cell(results, lineage="same", episodes=episodes), stored(old))
    [finding] = report.cells
    assert (finding.paired, finding.verdict, finding.reason) == (False, "undecided", OTHER_VERSION)
    assert report.notes[-1].endswith("no episode is shared")


def test_welch_needs_two_episodes_and_some_variance():
    varied, constant = sample([0.2, 0.4, 0.9]), sample([0.5, 0.5])
    assert difference(sample([0.4]), varied) is None
    assert difference(varied, sample([0.4])) is None
    assert difference(constant, constant) is None
    assert difference(constant, varied).half_width() == pytest.approx(
        of_episodes(np.array([0.2, 0.4, 0.9])).half_width()
    )
    # two deviations of a rounding each: sqrt(2 * (0.1² / 12) / 2)
    assert difference(constant, constant, quantum=0.1).error == pytest.approx(0.1 / 12**0.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "missing", "episodes": ()}, "not measured"),
        ({"state": "done", "episodes": ()}, "not measured"),
        ({"key": "other"}, OTHER_EXPERIMENT),
        ({"key": "other", "lineage": "other"}, OTHER_EXPERIMENT),
        ({"key": "other", "state": "failed", "episodes": ()}, OTHER_EXPERIMENT),
    ],
)
def test_not_comparable_says_why(make_results, change, reason):
    results = with_cell(make_results(*ONE), lineage="the same")
    report = compare(with_cell(make_results(*ONE), **change), stored(results))
    assert (report.cells[0].verdict, report.cells[0].reason, report.exit_code) == ("not comparable", reason, 5)


def test_another_version_of_the_code_is_compared_and_told(make_results):
    results = make_results(*ONE)
    old = stored(with_cell(results, lineage="same", key="old"))
    report = compare(with_cell(results, lineage="same"), old)
    assert (report.cells[0].verdict, report.cells[0].reason) == ("identical", OTHER_VERSION)
    assert OTHER_VERSION in report.notes[0]
    report = compare(with_cell(changed(results, lambda i: -8), lineage="same"), old)
    assert report.exit_code == 3
    # a baseline of schema 1 knows no lineage
    old = of_schema_1(with_cell(results, key="old"))
    assert finding_of(results, old).reason == OTHER_EXPERIMENT


def test_other_answers_of_the_same_weights_are_a_conflict(make_results):
    """Of one key; another version of the code has another one."""
    results = with_cell(make_results(*ONE), weights="c" * 64)
    report = compare(changed(results, lambda i: -8), baseline_of(results))
    assert "1 cell with one key, so of one experiment, has other answers in the baseline" in report.notes[0]
    assert "1 of them with the same weights" in report.notes[0]
    assert compare(results, baseline_of(results)).notes == ()
    other = with_cell(changed(results, lambda i: -8), lineage="same", key="new")
    assert not any("conflict" in note for note in compare(other, stored(with_cell(results, lineage="same"))).notes)


def test_cells_on_one_side_only(make_results):
    wide, narrow = make_results(("maml", "reptile"), ((5, 1),)), make_results(*ONE)
    assert [f.reason for f in compare(narrow, stored(wide)).cells] == ["", "not in the measured grid"]
    report = compare(wide, stored(narrow))
    assert [(f.name, f.reason) for f in report.cells] == [
        ("maml 5-way 1-shot seed 0", ""),
        ("reptile 5-way 1-shot seed 0", "not in the baseline"),
    ]
    assert report.exit_code == 0


def test_one_episode_tells_nothing_unless_identical(make_results):
    results = make_results(("maml",), n=1)
    assert {f.verdict for f in compare(results, stored(results)).cells} == {"identical"}
    report = compare(changed(results, lambda i: -8), stored(results))
    assert {(f.verdict, f.reason[:11]) for f in report.cells} == {("undecided", "one episode")}
    assert report.variants[0].n_episodes == 9  # together they are nine


def test_four_episodes_are_not_equivalent(make_results):
    few, enough = make_results(*ONE, n=4), make_results(*ONE, n=5)
    slightly = {"margin": 0.5}
    assert finding_of(changed(few, wave), stored(few), **slightly).verdict == "undecided"
    assert finding_of(changed(enough, wave), stored(enough), **slightly).verdict == "equivalent"


def test_a_cell_that_fails_now_is_worse(make_results):
    results = make_results(*ONE)
    broken = with_cell(results, state="failed", reason="NaN at step 3", episodes=())
    for baseline in (stored(results), of_schema_1(results)):
        report = compare(broken, baseline)
        assert (report.cells[0].verdict, report.cells[0].reason) == ("worse", "failed: NaN at step 3")
        assert report.exit_code == 3
        for format in ("text", "markdown", "junit"):
            assert "failed: NaN at step 3" in render_verdicts(report, format)


def test_exit_codes(make_results):
    results = make_results(("maml", "reptile"), ((5, 1),))
    unsure = changed(results, lambda i: (-1) ** i * 9, "maml")
    assert compare(unsure, stored(results)).exit_code == 0
    assert compare(unsure, stored(results), strict=True).exit_code == 7
    both = changed(unsure, lambda i: -8, "reptile")
    assert compare(both, stored(results), strict=True).exit_code == 3
    assert compare(results, stored(results), strict=True).exit_code == 0
    assert compare(replace(results, cells=()), stored(results), strict=True).exit_code == 5


def test_another_experiment_is_told(make_results):
    report = compare(make_results(*ONE, fingerprint="new"), stored(make_results(*ONE)))
    assert report.notes == ("fingerprint: baseline '5f1c0de', measured 'new'",)


def test_another_database_is_a_baseline(make_results, marked):
    results = make_results()
    baseline = baseline_of(marked)
    assert len(baseline.cells) == 63 - 3  # the partial one counts
    counts = [f.verdict for f in compare(results, baseline).cells]
    assert (counts.count("identical"), counts.count("not comparable")) == (59, 3)


def test_the_margin_is_a_fraction(make_results):
    with pytest.raises(ValueError, match="fraction"):
        compare(make_results(*ONE), stored(make_results(*ONE)), margin=3)


@pytest.fixture
def report(make_results) -> RegressionReport:
    """Every verdict once, in five cells of as many variants."""
    names = ("worst", "best", "unsure", "absent", "near", "equal")
    results = make_results(names, ((5, 1),), n=600)
    for name, by in (
        ("worst", lambda i: -8 - i % 3),
        ("best", lambda i: 8 + i % 3),
        ("unsure", lambda i: (-1) ** i * 9),
        ("near", lambda i: -1 if i == 3 else 0),
    ):
        results = changed(results, by, name)
    results = with_cell(results, 3, state="missing", episodes=())
    return compare(results, stored(make_results(names, ((5, 1),), n=600)))


def test_text_leads_with_the_verdict_and_leaves_identical_out(report):
    text = render_verdicts(report, "text")
    head, below = text.split("\n\n", 1)
    assert " ".join(head.split()).startswith(
        "Regression: 1 of 6 cells worse. "
        "6 cells: 1 worse, 1 improved, 1 undecided, 1 not comparable, 1 equivalent, 1 identical "
        "4 cells with one key, so of one experiment, have other answers in the baseline: a con"
    )
    columns, *rows = below.splitlines()
    assert columns.split() == ["verdict", "before", "after", "points", "95", "%", "interval", "p", "(Holm)", "episodes"]
    assert [row.split()[:2] for row in rows[:4]] == [
        ["worse", "worst"], ["improved", "best"], ["undecided", "unsure"], ["equivalent", "near"],
    ]  # fmt: skip
    assert "1 not comparable, not measured: absent 5-way 1-shot seed 0" in rows
    assert max(map(len, text.splitlines())) <= 110


def test_markdown_shows_what_changed_and_folds_the_rest(report):
    text = render_verdicts(report, "markdown")
    assert text.startswith("**Regression: 1 of 6 cells worse.**\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| worse", "| improved"]
    folded = text[text.index("<details>") : text.index("</details>")]
    assert [line.split(",")[0] for line in folded.splitlines() if line.startswith("-")] == [
        "- undecided", "- equivalent", "- 1 not comparable",
    ]  # fmt: skip


def test_json_holds_every_cell(report):
    document = json.loads(render_verdicts(report, "json"))
    assert document["exit_code"] == 3
    assert [cell["verdict"] for cell in document["cells"]] == [f.verdict for f in report.cells]
    worst = document["cells"][[cell["variant"] for cell in document["cells"]].index("worst")]
    assert (worst["low"], worst["high"]) == pytest.approx(report.cells[-1].estimate.interval())
    assert worst["difference"] == pytest.approx(worst["after"] - worst["before"])


def test_junit_parses_and_counts(report):
    suite = ET.fromstring(render_verdicts(report, "junit")).find("testsuite")
    assert suite.attrib["tests"] == str(len(suite.findall("testcase"))) == "6"
    assert suite.attrib["failures"] == str(len(suite.findall("testcase/failure"))) == "1"
    assert suite.attrib["skipped"] == str(len(suite.findall("testcase/skipped"))) == "2"
    assert "points, 95 % interval" in suite.find("testcase/failure").attrib["message"]
    assert {case.attrib["message"] for case in suite.findall("testcase/skipped")} >= {"not comparable: not measured"}


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        ({}, "Identical: every episode that is compared, in 63 of 63 cells."),
        ({"by": lambda i: -1 if i == 3 else 0}, "No regression shown, but 70 undecided."),  # 40 episodes
        ({"by": wave, "name": "maml"}, "Regression: 3 of 63 cells and 0 of 7 variants worse."),
        ({"by": lambda i: (-1) ** i * 9, "name": "maml"}, "No regression shown, but 10 undecided."),
    ],
)
def test_headlines_claim_no_more_than_was_found(make_results, change, headline):
    results = make_results()
    report = compare(changed(results, **change) if change else results, stored(results))
    assert render_verdicts(report, "text").splitlines()[0] == headline


@pytest.mark.parametrize("by", [lambda i: -9 - i % 3, wave, lambda i: (-1) ** i * 9, lambda i: i % 3 - 1, lambda i: 0])
def test_a_comment_stays_short_whatever_happened(make_results, by):
    results = make_results()
    for other in (changed(results, by), make_results(settings=((7, 3),)), with_cell(changed(results, by), key="x")):
        text = render_verdicts(compare(other, stored(results)), "markdown")
        assert text.count("\n") <= 60
        assert text.count(WORDS) == 1


@pytest.mark.parametrize("format", VERDICT_RENDERERS)
def test_names_and_reasons_cannot_break_a_document(format, make_results):
    results = make_results(("a|b\n<c> & `d`", "e"), ((5, 1), (5, 5)))
    failed = with_cell(changed(results, wave), state="failed", reason="<x> & | y\n```", episodes=())
    text = render_verdicts(compare(failed, stored(results)), format)
    if format == "junit":
        messages = [case.attrib["message"] for case in ET.fromstring(text).iter("failure")]
        assert "worse: failed: <x> & | y ```" in messages
    elif format == "json":
        assert json.loads(text)["cells"][0]["variant"] == "a|b\n<c> & `d`"
    elif format == "markdown":
        assert "<c>" not in text
        assert "a\\|b &lt;c&gt;" in text
    else:
        assert "a|b <c> & `d` 5-way" in text


@pytest.mark.parametrize("format", VERDICT_RENDERERS)
def test_an_empty_comparison_prints(format, make_results):
    results = make_results(*ONE)
    report = compare(replace(results, cells=()), Baseline(stored(results).identity, ()))
    assert report.exit_code == 5
    assert render_verdicts(report, format).endswith("\n")


def test_an_unknown_format_is_refused(report):
    with pytest.raises(ValueError, match="known: text, markdown, json, junit"):
        render_verdicts(report, "html")
