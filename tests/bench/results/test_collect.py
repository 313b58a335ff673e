"""What is read of stored results, and what is checked on the way."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from fewshot_bench.config import load
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.grid import cells, resolve
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.results.collect import results, rule_of
from fewshot_bench.tables.summary import summarise


def damage_answers(run):
    connection = sqlite3.connect(run.database)
    connection.execute("UPDATE answers SET labels = x'00' WHERE number = 0")
    connection.commit()
    connection.close()


def test_damaged_answers_are_refused_by_what_reads_them_and_no_other(run, bench, reseal):
    damage_answers(run)
    reseal(str(run.database))
    for words in (["report", "--format", "csv"], ["doctor"], ["compare", "transfer", "protonet"], ["power"]):
        ran = bench(*words)
        assert ran.code == 6, words
        assert "the answers of cell" in ran.err
        assert "episode 0, are impossible: the file was damaged or edited; restore a copy" in ran.err
        assert ran.out == ""
    ran = bench("compare", "out", "out")  # databases are compared by their counts
    assert ran.code == 0, ran.err
    assert ran.out


def test_the_rule_of_a_table_is_called_published_where_it_is_that_for_its_kind_of_images(full_size):
    def of(variant, family, beside="transfer", **adaptation):
        methods = {variant: {"method": "maml", "adaptation": adaptation}} if adaptation else {}
        config = replace(load(), methods=load().methods | methods)
        images = replace(full_size, family=family)
        request = resolve(config, Selection(methods=(variant, beside), ways=(5,), shots=(1,)))
        return rule_of(Chosen(request, images, cells(request, images), Path("out"), "", None, None))

    assert of("maml", "") == of("transfer", "characters") == "the published rule"
    assert of("maml", "characters") == "the published rules"
    assert of("own", "", lr_per_way=0.4, lr_most=2.0, steps=3) == "the rule of bench.toml"
    assert of("own", "characters", steps=4) == "the rule of bench.toml"
    assert of("protonet", "", beside="transfer-logistic") == "no common rule"


def test_every_budget_that_is_stored_is_a_point_over_training_images(run, bench):
    run.add(
        "\n[budgets.more]\niterations = { other = 9 }\nepisodes = { 1 = 4 }\nadaptation = { steps = 1 }\n"
        "[budgets.broken]\niterations = { other = 9 }\nepisodes = { 1 = 4 }\nadaptation = { stps = 1 }\n"
    )
    assert bench("run", "-q", "--budget", "more", "--shot", "1").code == 0
    assert bench("run", "-q", "--budget", "more", "--method", "protonet", "--shot", "5", "--episodes", "2").code == 0
    found = results(choose(Selection()), with_budgets=True)
    points = {(p.budget, p.variant, p.n_shot): p for p in found.by_budget}
    tiny = {("tiny", variant, shot) for variant in ("transfer", "protonet") for shot in (1, 5)}
    assert points.keys() == tiny | {("more", "transfer", 1), ("more", "protonet", 1), ("more", "protonet", 5)}
    for cell in summarise(found).cells:
        point = points["tiny", cell.variant, cell.n_shot]
        assert (point.mean, point.half_width, point.complete) == (cell.mean, cell.half_width, True)
    images = [points[budget, "transfer", 1].images_seen for budget in ("tiny", "more")]
    assert images == [6 * 64, 9 * 64]
    assert not points["more", "transfer", 1].same_rule
    assert points["more", "protonet", 1].same_rule  # it has none
    assert not points["more", "protonet", 5].complete
    assert results(choose(Selection())).by_budget == ()


@pytest.mark.usefixtures("bench")
def test_the_share_of_the_published_training_is_no_setting(run):
    """Of transfer's 240,000 updates 6, whatever the budget called `paper` says here."""
    run.add("\n[budgets.paper]\niterations = { transfer = 6, protonet = 6, other = 6 }\n")
    share = results(choose(Selection(methods=("transfer",)))).experiment.published_share
    assert share == "0.0025 %"


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(("updates", "share"), [(239_999, "99 %"), (240_000, ""), (28_000, "11 %"), (2400, "1 %")])
def test_no_share_is_rounded_up_to_all_and_an_untrained_network_has_none(run, updates, share):
    iterations = f"iterations = {{ transfer = {updates}, other = 6 }}"
    run.add(f"\n[budgets.much]\n{iterations}\nepisodes = {{ 1 = 4 }}\nadaptation = {{}}\n")
    chosen = choose(Selection(methods=("transfer", "untrained"), budget="much"))
    assert results(chosen).experiment.published_share == share
