"""Results read where their images are not, and with no word but the folder that they are in."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import astuple, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ttest_rel

from benchmarks.known_duplicates import known, without
from benchmarks.measured import answer, tuned
from benchmarks.measured.__main__ import DOCS
from benchmarks.measured.answer import NUMBERS, PLOT, SHOWN, answer_page, numbers, shown
from benchmarks.measured.page import FEATURES, NAME, results_page
from benchmarks.measured.pairs import other_devices
from fewshot_bench.data.images import ImageSet, outline, without_pixels, wrong_outline
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.files import DATABASE
from fewshot_bench.results.claims import judgement
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, names, shipped
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.claims.words import measured as worded
from fewshot_bench.tables.pairs import compare_variants, spreads_of

MINIIMAGENET = os.environ.get("BENCH_MINIIMAGENET")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_an_outline_is_all_but_the_pixels(class_ids):
    images = ImageSet(
        name="some", note="Some.", images=np.ones((len(class_ids), 3, 8, 8), dtype=np.uint8),
        class_ids=np.array(class_ids, dtype=np.int64), class_names=tuple("abcde"),
        parts={"train": (0, 1), "val": (2,), "test": (3, 4)}, fingerprint="f" * 64, family="characters",
    )  # fmt: skip
    read = without_pixels(images.fingerprint, json.loads(json.dumps(outline(images))))
    assert images.has_pixels
    assert not read.has_pixels
    assert read.images.shape == images.images.shape
    np.testing.assert_array_equal(read.class_ids, images.class_ids)
    same = ("name", "note", "family", "class_names", "parts", "fingerprint")
    assert [getattr(read, name) for name in same] == [getattr(images, name) for name in same]


def test_episodes_of_an_outline_are_those_of_the_images(images):
    read = without_pixels(images.fingerprint, outline(images))
    drawn, again = (bank(one, "paper", 4, 3, 0).draw(0, Setting(4, 5, 3)) for one in (images, read))
    assert drawn.id == again.id


@pytest.fixture
def elsewhere(run, photos, monkeypatch):
    """The results without configuration, images and cache: as another machine has them."""
    (run.folder / "mine.toml").write_text(
        '[[claims]]\nid = "one"\nsentence = "Transfer wins."\nreading = "Transfer beats ProtoNet."\n'
        'better = ["transfer"]\nworse = ["protonet"]\nways = [4]\nshots = [1]\n'
    )
    monkeypatch.setenv("BENCH_CACHE", str(run.folder / "empty"))
    hidden = photos.with_name("hidden")
    photos.rename(hidden)
    yield run
    hidden.rename(photos)


def test_a_report_needs_no_images(elsewhere, bench):
    ran = bench("report")
    assert ran.code == 0, ran.err
    assert "protonet" in (elsewhere.folder / "out" / "table.md").read_text(encoding="utf-8")
    assert bench("data", "describe", "photos").code != 0  # the images are really not there
    for command in (("compare",), ("power",)):
        assert bench(*command).code in (0, 5), command


def test_the_report_is_that_of_the_images(run, bench, photos, monkeypatch):
    with_images = bench("report", "--format", "json").out
    hidden = photos.with_name("hidden2")
    photos.rename(hidden)
    try:
        monkeypatch.setenv("BENCH_CACHE", str(run.folder / "empty"))
        assert bench("report", "--format", "json").out == with_images
    finally:
        hidden.rename(photos)


def test_what_the_last_run_was_asked_is_read_where_nothing_else_is_named(place, bench):
    place.add('[grids.mine]\nmethods = ["transfer"]\nways = [3]\nshots = [2]\nseeds = [0]\nbudget = "tiny"\n')
    shutil.copy("bench.toml", "mine.toml")
    (place.folder / "bench.toml").unlink()
    ran = bench("run", "--config", "mine.toml", "--grid", "mine", "--out", "small")
    assert ran.code == 0, ran.err
    assert "bench report --out small" in ran.err
    ran = bench("report", "--format", "markdown", "--out", "small")
    assert ran.code == 0, ran.err
    assert "as in the last run: --config=mine.toml --grid=mine" in ran.err
    assert "2 shots" in ran.out
    narrowed = bench("report", "--format", "csv", "--out", "small", "--shot", "7")
    assert "missing" in narrowed.out or narrowed.code == 5
    named = bench("report", "--format", "csv", "--out", "small", "--config", "mine.toml", "--grid", "tiny")
    assert named.code == 5  # a grid that is named is not replaced
    assert "last run" not in named.err


@pytest.mark.parametrize("command", [("report",), ("compare",), ("doctor",), ("check", "--against", "x", "--write")])
def test_what_a_stored_command_names_is_not_opened(command, run, bench, reseal, tmp_path):
    def forge(stored: str) -> None:
        with closing(sqlite3.connect(run.database)) as connection, connection:
            connection.execute("UPDATE runs SET command = ?", [stored])
        reseal(run.database)

    for words in ("--data omniglot", "--set data.source=cifar-fs", f"--data {tmp_path}", "--novel-data fc100"):
        forge(f"bench run {words}")
        ran = bench(*command)
        assert ran.code == 2
        assert "bench: error: the data of the last run, " in ran.err.splitlines()[-1]
    forge("bench run --set run.out=other")
    assert bench(*command).code in (0, 5)
    assert not (run.folder / "other").exists()


def test_a_forged_outline_is_one_line(run, bench, reseal):
    for outlined in ("{}", "[]", json.dumps({"runs": [[0, 10**12]]}), None):
        database = run.folder / "out" / "results.sqlite"
        with closing(sqlite3.connect(database)) as connection, connection:
            ((whole,),) = connection.execute("SELECT outline FROM data_sets")
            forged = outlined or json.dumps(json.loads(whole) | {"runs": [[0, 10**12]]})
            connection.execute("UPDATE data_sets SET outline = ?", [forged])
        reseal(database)
        ran = bench("report", "--format", "csv")
        assert ran.code != 0
        assert ran.err.count("\n") == 1
        assert "data_sets" in ran.err
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE data_sets SET outline = ?", [whole])


@pytest.fixture(scope="module")
def measured(cache):
    """The shipped results, read by the present code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(cache))
        patch.delenv("BENCH_DB", raising=False)
        chosen = choose_stored(shipped(NAME))
        features = results(choose_stored(shipped(FEATURES)), with_answers=True)
        yield results(chosen, with_answers=True, with_budgets=True), judgement(None, shipped(NAME)), chosen, features


def test_shipped_results_are_those_of_the_present_code(measured):
    stored, *_ = measured
    assert {cell.seed for cell in stored.cells if cell.variant == "maml-mtl"} == {0, 1, 2}
    missing = [cell for cell in stored.cells if cell.state != "done"]  # another key would be missing
    assert not missing


def test_a_pair_that_is_read_alone_is_compared_as_beside_all_others(measured):
    """Seeds and families are those of the whole grid, whatever a selection shows of it."""
    stored, _, chosen, _ = measured
    pair = ("maml-mtl", "transfer")
    two = [cell for cell in chosen.cells if cell.variant in pair]
    alone = results(replace(chosen, cells=two, request=replace(chosen.request, methods=pair)), with_answers=True)
    assert compare_variants(alone, *pair) == compare_variants(stored, *pair)
    shown = spreads_of(replace(stored, spreads={}))
    assert {s: astuple(spread) for s, spread in shown.items()} == pytest.approx(
        {s: pytest.approx(astuple(spread)) for s, spread in stored.spreads.items()}
    )


def test_the_pages_of_results_are_what_the_command_writes(measured):
    assert (DOCS / "results.md").read_text(encoding="utf-8") == results_page(*measured)
    stored, judged, _, features = measured
    assert (DOCS / "answer.md").read_text(encoding="utf-8") == answer_page(stored, judged, features)


def test_what_the_page_says_of_trainings_is_read_from_them(measured):
    stored, *_ = measured
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"divides pixels by 255 were trained: seed 0 of ([^.;]*)\.", page)
    on_a_cpu = {v for t in stored.trainings if t.device == "cpu" and t.seed == 0 for v in t.variants}
    assert {"baseline++", "maml-equal"} <= on_a_cpu
    assert not on_a_cpu & {*told.split(", ")}
    assert {"r2d2", "maml", "transfer-logistic"} <= {*told.split(", ")}
    assert "Budgets: `quick` (seed 0) and `standard` (seeds 0, 1, 2)." in page
    alike = [("maml", "transfer"), ("transfer-logistic", "untrained")]
    assert other_devices(stored, alike) == ""
    assert other_devices(stored, [*alike, ("maml-mtl", "maml-equal")]) == "; not all trained on the same device"


def test_the_paper_s_sentences_are_judged_by_both_rules(measured):
    """The same sentences and comparisons; what is fitted by no rule has the same cells in both."""
    stored, judged, *_ = measured
    by_tuned, tuned_cells = tuned.judged(), {cell.place: cell for cell in tuned._stored().cells}
    assert {cell.state for cell in tuned_cells.values()} == {"done"}
    assert by_tuned.seeds == stored.seeds
    assert [(one.claim.id, len(one.tested)) for one in by_tuned.claims] == [
        (one.claim.id, len(one.tested)) for one in judged.claims
    ]
    same = [cell for cell in stored.cells if cell.place in tuned_cells and cell.key == tuned_cells[cell.place].key]
    assert {cell.variant for cell in same} >= {"protonet"}
    assert all(tuned_cells[cell.place].episodes == cell.episodes for cell in same if cell.variant == "protonet")
    page = (DOCS / "results.md").read_text(encoding="utf-8").partition("## Rules that were tuned")[2]
    for one in by_tuned.claims:
        assert f"| {one.claim.reading} | {worded(one, by_tuned).replace(': ', ' | ', 1)} |" in page


def test_how_often_a_training_on_another_device_differs_is_counted(measured):
    stored, *_ = measured
    again = {cell.key: cell for cell in tuned._stored().beside.cells if cell.variant != "protonet"}
    p_values = [
        ttest_rel(*([e.accuracy for e in cell.episodes] for cell in (once, again[once.key]))).pvalue
        for once in stored.cells
        if once.key in again
    ]
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert len(p_values) == 6 * 9 * 3
    assert f" in {sum(p < 0.05 for p in p_values)} of {len(p_values)} cells by more than their 95 % interval" in page


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([(5, 1)], "with 1 shot of 5 ways"),
        ([(5, 1), (5, 5), (9, 1), (9, 5), (35, 9)], "with 1 and 5 shots of 5 and 9 ways, with 9 shots of 35 ways"),
    ],
)
def test_settings_with_the_same_shots_are_told_together(settings, told):
    assert answer._where(settings) == told


def test_known_duplicates_are_novel_images_and_the_rest_is_what_is_stored(measured):
    stored, _, chosen, _ = measured
    duplicates, novel = known(NAME), set(chosen.novel.split("paper").novel)
    assert {chosen.novel.class_names.index(duplicate.image[0]) for duplicate in duplicates} <= novel
    means = {cell.key: np.mean([e.accuracy for e in cell.episodes]) for cell in stored.cells if cell.episodes}
    some = replace(chosen, cells=[cell for cell in chosen.cells if cell.key in means][:40])
    assert {cell.key: every for cell, (every, _) in without(some, []).items()} == pytest.approx(
        {cell.key: means[cell.key] for cell in some.cells}
    )
    assert all(every == rest for every, rest in without(some, []).values())
    assert any(every != rest for every, rest in without(some, duplicates).values())


def test_the_picture_shows_the_numbers_of_the_pages(measured):
    """`make picture` draws it; README shows it."""
    with Image.open(DOCS / PLOT) as picture:
        told = picture.info[NUMBERS]
    stored, _, _, features = measured
    assert told == numbers(shown(stored, features))
    assert len(told.splitlines()) == 9 * len(SHOWN)
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert all(line.rsplit(maxsplit=3)[1] in page for line in told.splitlines())
    assert f"](docs/{PLOT})" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_the_shipped_cells_are_those_of_the_present_code(name, measured):
    asked = shipped(name)
    config = tomllib.loads(asked.config.read_text(encoding="utf-8"))
    splits = ("ravi", "ravi-val") if config.get("data", {}).get("split") == "ravi" else ("paper",)
    budgets = (None, *config.get("budgets", ["quick"]))
    rules = dict.fromkeys((asked.rules, ""))  # and the published one
    stored = Reader(choose_stored(asked).database)
    rows = [row for row in stored.all_cells() if row["n_episodes"]]
    asked = replace(asked, seeds=tuple(sorted({int(row["seed"]) for row in rows})))  # those in no table yet, too
    chosen = [choose_stored(replace(asked, budget=b, split=s, rules=r)) for b, s, r in product(budgets, splits, rules)]
    held = {row["key"]: row["training_key"] for row in rows}
    present = {cell.key: cell.training.key for one in chosen for cell in one.cells}
    assert held
    assert {key: present.get(key) for key in held} == held
    # what a report names as its command holds on any machine
    assert chosen[0].command().startswith(f"bench report --measured {name} --grid measured --data ")
    assert "/" not in chosen[0].command()
    assert not any(re.search(r"[ =]/|~", command) for command in stored.run_commands())


def test_the_stored_accuracies_of_characters_are_those_of_the_shipped_episodes(bench, monkeypatch):
    monkeypatch.delenv("BENCH_DB", raising=False)
    ran = bench("check", "--measured", "strokes", "--grid", "full", "--budget", "standard", "--against", "standard")
    assert (ran.code, ran.err) == (0, "")
    assert "63 cells: 63 identical" in ran.out


@pytest.mark.skipif(not MINIIMAGENET, reason="BENCH_MINIIMAGENET names no folder with miniImageNet")
def test_shipped_cells_measured_anew(bench):
    """Untrained networks alone: others take an hour on a CPU."""
    for cell in ("untrained-5w1s-s0", "untrained-20w5s-s0"):
        ran = bench("replay", cell, "--measured", NAME, "--retrain", "--data", MINIIMAGENET, "--episode", "0")
        assert ran.code == 0, ran.err
        assert ran.out.splitlines()[-1].startswith(("identical", "same within"))


def imported_at(name):
    with closing(sqlite3.connect(shipped(name).out / DATABASE)) as connection:
        ((when,),) = connection.execute("SELECT max(started_at) FROM runs")
    return when


def test_a_report_of_shipped_results_is_verified_by_another_reader(measured, bench, tmp_path, monkeypatch):
    """Of two tables: by the tuned rules, and by the published one."""
    monkeypatch.delenv("BENCH_DB", raising=False)
    name, file = "miniimagenet-32tuned", tmp_path / "table.tex"
    asked = ("report", "--measured", name, "--seed", "0", "--format", "latex")
    file.write_text(bench(*asked).out, encoding="utf-8")
    one = imported_at(name)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "another"))
    ran = bench("verify", str(file), "--measured", name)
    assert ran.code == 0, ran.out + ran.err
    assert "note:" not in ran.out
    assert one < imported_at(name)  # each reader's at a time of its own
    first, second = re.findall(r'"command": "([^"]*)"', file.read_text(encoding="utf-8"))
    assert second == f"{first} --rules ''"
    text = file.read_text(encoding="utf-8")
    again = bench(*shlex.split(second)[1:], "--format", "latex")
    assert [told.count(r"\begin{tabular}") for told in (text, again.out)] == [2, 1]
    for what, edited in ((r"\textbf", r"\textit"), ("the published rule", "the published rules")):
        before, _, after = text.rpartition(what)  # of the second table
        file.write_text(f"{before}{edited}{after}", encoding="utf-8")
        assert bench("verify", str(file), "--measured", name).code == 3, what


def test_a_cache_that_cannot_be_written_is_one_line(bench, tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_DB", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    ran = bench("report", "--measured", "strokes")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "set BENCH_CACHE" in ran.err


def test_no_other_results_are_shipped(bench, monkeypatch):
    monkeypatch.delenv("BENCH_DB", raising=False)
    ran = bench("report", "--measured", "nothing")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "miniimagenet-32" in ran.err
    for words in (("--out", "x"), ("--rules", "x")):
        assert bench("report", "--measured", "miniimagenet-32", *words).code == 2


def test_errors_name_shipped_files_without_their_folder(bench, monkeypatch):
    monkeypatch.delenv("BENCH_DB", raising=False)
    ran = bench("report", "--measured", "miniimagenet-32tuned", "--method", "anil")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert " miniimagenet-32tuned.toml: rules/miniimagenet-32tuned.toml has no rule for anil " in ran.err


FORGED: dict[str, dict[str, Any]] = {
    "no parts": {"parts": {}},
    "another part": {"parts": {"x": [0]}},
    "a class in two parts": {"parts": {"train": [0, 1], "val": [1], "test": [2]}},
    "a class in no part": {"parts": {"train": [0], "val": [1], "test": [2]}},
    "a run of no class": {"runs": [[0, 5], [1, 5], [2, 5], [4, 5]]},
    "classes out of order": {"runs": [[1, 5], [0, 5], [2, 5], [3, 5]]},
}


@pytest.mark.parametrize("case", FORGED)
def test_an_outline_has_each_class_once(case):
    parts = {"train": [0, 1], "val": [2], "test": [3]}
    whole: dict[str, Any] = {"class_names": list("abcd"), "runs": [[c, 5] for c in range(4)], "parts": parts}
    assert wrong_outline(whole) == ""
    assert "must" in wrong_outline(whole | FORGED[case])


def test_half_a_quotation_in_the_last_command_says_nothing_of_an_experiment(run, bench, reseal):
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute("UPDATE runs SET command = ?", ["bench run --grid 'x"])
    connection.close()
    reseal(run.database)
    ran = bench("compare", "transfer", "protonet")
    assert (ran.code, ran.err) == (0, "")


def test_an_export_to_a_terminal_is_cleaned(run, bench, reseal, monkeypatch):
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute("UPDATE cells SET label = ?", ["\x1b[2J"])
    connection.close()
    reseal(run.database)
    monkeypatch.setattr("fewshot_bench.cli.output.Cleaned.isatty", lambda _: True)
    ran = bench("export")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\\x1b[2J" in ran.out


@pytest.mark.parametrize("words", [("doctor",), ("replay", "protonet-5w1s-s0"), ("check", "--against", "smoke")])
def test_images_that_do_not_come_with_the_results_are_asked_for(words, place, bench, photos, monkeypatch):
    ran = bench(*words, "--measured", "miniimagenet-32")
    said = "this command needs the images of miniimagenet-32, which do not come with its results: name them with --data"
    assert (ran.code, ran.err) == (2, f"bench: error: {said} FOLDER\n")
    named = bench(*words, "--measured", "miniimagenet-32", "--data", str(photos))  # it is these that are then judged
    assert named.code == 2
    assert "needs the images" not in named.err
