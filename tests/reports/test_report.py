"""The report: self-contained, escaped, complete, and written whole or not at all."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from fewshot_bench.reports.opening import answer, facts, for_one_number, measured
from fewshot_bench.reports.plots import MOST_VARIANTS
from fewshot_bench.reports.report import documents, report_html
from fewshot_bench.tables.scores import BudgetScore
from fewshot_bench.tables.summary import summarise

VOID = {"meta", "img", "source", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and whether every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(marked):
    return report_html(marked)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def small(make_results):
    return make_results(("maml", "protonet"), ((5, 1), (5, 5)))


def test_every_number_links_to_its_facts(page):
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(places) == len(set(places))
    assert len(links) >= 63
    assert {link.removeprefix("#") for link in links} <= set(places)


def test_nothing_is_loaded_from_outside(html, page):
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name in ("src", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?://|url\((?!#)|@import", html)


def test_the_policy_knows_one_script(html, page):
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy
    [script] = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_every_picture_is_there_with_its_caption(page):
    figures = [attributes for tag, attributes in page.elements if attributes.get("role") == "img"]
    assert len(figures) == len(page.all("svg")) == 5
    captions = {attributes["id"] for attributes in page.all("figcaption")}
    assert {figure["aria-labelledby"] for figure in figures} == captions


def test_tags_are_balanced_and_ids_unique(page):
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(labels) <= set(ids)


def test_it_tells_the_whole_story(page):
    for words in (
        "Strokes is synthetic",
        "So far, with 59 of 63 cells complete (1 partial, 2 failed, 1 missing), on strokes, with 36 novel classes, ",
        "Seven ways of preparing a model, compared on strokes",
        "the loss became NaN at step 30",
        "covers the sampler only",
        "Published values",
        "96.56",
        "bench run --grid full",
        "499b31c (clean)",
        "5f1c0de",
        "80,000",
        "0.67",
        "not comparable with the measured table",
    ):
        assert words in page.text, words
    assert (
        page.text.index("47.93") < page.text.index("What each training took") < page.text.index("not comparable with")
    )


def test_light_dark_phone_and_print(html):
    for words in ("prefers-color-scheme: dark", "max-width: 600px", "@media print", 'name="viewport"'):
        assert words in html


def test_hostile_words_are_only_words(make_results):
    evil = "<script>alert(1)</script>\"'&"
    results = make_results(("maml", evil), ((5, 1),), dataset=evil, dataset_note=evil, command=evil, facts={evil: evil})
    training = replace(results.trainings[1], device=evil, trained_on=evil, reason=evil, state="failed")
    page = Page(report_html(replace(results, trainings=(training,))))
    assert len(page.all("script")) == 1
    assert page.text.count(evil) >= 9
    assert page.open == []


@pytest.fixture(scope="module")
def bare(small):
    """Without what is drawn of trainings."""
    return replace(small, trainings=(), curves=())


def test_the_files_of_a_report_and_the_same_again(small):
    files = documents(small)
    assert list(files) == [
        "report.html",
        "table.tex",
        "table.md",
        *(f"plots/{name}.{kind}" for name in ("accuracy", "heatmap", "curves", "cost") for kind in ("svg", "png")),
    ]
    assert documents(small) == files
    for name, content in files.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(content)) as image:
                image.verify()


def test_budgets_are_drawn_where_several_are_stored(bare):
    def scores(*budgets):
        return tuple(
            BudgetScore(name, v, way, shot, images, 0.3 + 0.1 * i, 0.02, True, True)
            for i, (name, images) in enumerate(budgets)
            for way, shot in bare.settings
            for v in bare.variants
        )

    one, two = (replace(bare, by_budget=scores(*some)) for some in ((("quick", 9),), (("quick", 9), ("paper", 99))))
    assert not any("budgets" in name for name in documents(one))
    files = documents(two)
    assert {"plots/budgets.svg", "plots/budgets.png"} < set(files)
    text = Page(files["report.html"].decode()).text
    assert "several budgets (maml, protonet: 2 of the 2 that were trained), interpolated on straight lines" in text
    assert "5-way 1-shot, 9 to 99 images: maml is highest throughout." in text


def test_methods_of_several_seeds_are_drawn_over_all_settings(make_results):
    results = make_results(("maml", "protonet"), ((5, 1), (5, 5)), seeds=(0, 1))
    files = documents(replace(results, trainings=(), curves=()))
    assert {"plots/aggregate.svg", "plots/aggregate.png"} < set(files)
    assert "interquartile mean over seeds and settings" in Page(files["report.html"].decode()).text


def test_ranks_are_those_of_all_variants_or_are_left_out(make_results):
    settings = ((5, 1), (5, 5), (20, 1))
    for more in (0, 1):
        names = tuple(f"variant-{i}" for i in range(MOST_VARIANTS + more))
        results = replace(make_results(names, settings, n=5, seeds=(0, 1)), trainings=(), curves=())
        files = documents(results)
        drawn = {name for name in ("ranks", "aggregate", "heatmap") if f"plots/{name}.svg" in files}
        assert drawn == ({"heatmap"} if more else {"ranks", "aggregate", "heatmap"})
        text = Page(files["report.html"].decode()).text
        assert ("Plots show the 16 of 17 variants" in text) == bool(more)
        assert ("not among all 17: bench compare ranks these" in text) == bool(more)


def test_the_answer_is_one_sentence_that_begins_with_its_scope(make_results):
    table = summarise(make_results(("maml", "protonet"), ((5, 1), (5, 5)), n=40))
    told = answer(table)
    assert told.startswith(
        "On strokes, with 36 novel classes, 1 training seed and budget quick, protonet has the highest"
    )
    assert "in 2 of 2 settings; in two of them the highest is significantly above all others (paired tests" in told
    assert told.endswith("one training seed, so checkpoints were compared, not methods, on these classes).")
    [paragraph] = measured(table)
    assert paragraph.startswith("Two ways of preparing a model, compared on strokes.")
    assert "apart 5 classes that it had never seen, from 1 and 5 example images" in paragraph
    assert "the mean over 40 tasks" in paragraph
    pretrained = replace(table, experiment=replace(table.experiment, pretraining="Pretrained on x."))
    assert "apart 5 classes that it may have seen, from" in measured(pretrained)[0]


def test_the_answer_names_every_winner_of_a_tie(make_results):
    results = make_results(("a", "b"), ((5, 1),))
    same = replace(results.cells[1], episodes=results.cells[0].episodes)
    told = answer(summarise(replace(results, cells=(results.cells[0], same))))
    assert "a has the highest mean accuracy in 1 of 1 setting and b in 1; in none of them" in told


def test_a_grid_with_gaps_is_called_one(make_results):
    results = make_results(("a", "b"), ((5, 1), (5, 5)))
    cells = (results.cells[0], *(replace(cell, state="missing", episodes=()) for cell in results.cells[1:]))
    told = answer(summarise(replace(results, cells=cells)))
    assert told.startswith("So far, with 1 of 4 cells complete (3 missing), on strokes, with")
    assert told.endswith("no two methods can be compared yet.")
    cells = (results.cells[0], results.cells[1], results.cells[2], replace(results.cells[3], state="failed"))
    assert "in 1 of 1 comparable setting;" in answer(summarise(replace(results, cells=cells)))


def test_the_result_comes_first_then_its_plot_and_all_is_linked(page):
    assert [link["href"] for link in page.all("a")][:4] == ["#accuracy", "#shots", "#measured", "#alarms"]
    headings = [attributes["id"] for tag, attributes in page.elements if tag == "h2" and "id" in attributes]
    assert headings[:3] == ["accuracy", "shots", "measured"]
    assert headings[-3:] == ["cells", "published", "provenance"]


def test_silent_alarms_take_a_line_and_others_are_named_at_the_top(small, page):
    assert "Alarms: none rang of below chance," in page.text
    maml, protonet = small.cells[:2], small.cells[2:]
    same = tuple(replace(b, episodes=a.episodes) for a, b in zip(maml, protonet, strict=True))
    rung = Page(report_html(replace(small, cells=(*maml, *same)))).text
    assert "Alarms: none" not in rung
    assert rung.index("1 alarm: look at it") < rung.index("Accuracy (%)") < rung.index("equal variants, maml and")


def test_what_there_is_nothing_of_has_no_plot_and_no_section(bare):
    assert [name for name in documents(bare) if name.endswith("svg")] == ["plots/accuracy.svg", "plots/heatmap.svg"]
    assert 'id="cost"' not in report_html(bare)
    cells = tuple(replace(cell, state="missing", episodes=()) for cell in bare.cells)
    assert not any(name.startswith("plots/") for name in documents(replace(bare, cells=cells)))


def test_the_command_of_one_number_keeps_all_but_what_narrows():
    whole = "bench run --grid full --data 'my photos' --way 5,20 --seed 0,1 -k 'maml or protonet' --episodes 40"
    one = "--method METHOD --way WAY --shot SHOT --seed SEED"
    assert for_one_number(whole) == f"bench run --grid full --data 'my photos' --episodes 40 {one}"
    assert for_one_number("bench tune --budget quick") == ""


def test_facts_hold_the_identity(make_results):
    told = dict(facts(summarise(make_results(seeds=(0, 1)))))
    assert told["split"] == "paper: 64 base, 36 novel classes"
    assert told["images"] == "1 × 28 × 28, 150 a novel class"
    assert told["seeds"] == "0, 1"
    assert told["torch"] == "2.10.0"


def test_nothing_is_called_significant_that_was_not_tested(make_results):
    """One episode a cell: a highest mean in every setting, and not a single test."""
    told = answer(summarise(make_results(n=1)))
    assert told.endswith("; nothing could be tested.")
    assert "significantly" not in told
