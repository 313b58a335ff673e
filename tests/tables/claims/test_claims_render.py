"""Judged claims in every format: right, escaped, and never saying more than was measured."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fewshot_bench.reports.claims_page import claims_page
from fewshot_bench.tables.claims.file import parse_claims, shipped_claims
from fewshot_bench.tables.claims.render import CLAIM_RENDERERS, render_claims
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.wording import WIDTH

VARIANTS = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")
HOSTILE = '"50%_a&b#c$d{e}f~g^h <script>alert(1)</script> a|b \\\\input{x}"'
MAML_WINS = 'kind = "better"\nbetter = ["maml"]\nworse = ["transfer", "protonet"]\n'
CLEAR = {"maml": (0.6, 0.8), "transfer": (0.4, 0.5), "protonet": (0.5, 0.6)}
OPEN = CLEAR | {"protonet": (0.59, 0.6)}


@pytest.fixture(scope="module")
def shipped():
    return parse_claims(shipped_claims(), "eshratifar2019.toml", VARIANTS, ["eshratifar2019"])


@pytest.fixture
def marked_judgement(shipped, marked):
    """The shipped claims on a grid with cells in every state."""
    return judge(shipped, marked, load_published())


@pytest.fixture
def hostile(shipped, marked):
    claim = replace(shipped.claims[0], sentence=HOSTILE, where=HOSTILE, reading=HOSTILE)
    file = replace(shipped, source=HOSTILE, claims=(claim, *shipped.claims[1:]))
    failed = [replace(c, reason=HOSTILE) if c.state == "failed" else c for c in marked.cells]
    experiment = replace(marked.experiment, dataset=HOSTILE, dataset_note=HOSTILE, split=HOSTILE)
    return judge(file, replace(marked, cells=tuple(failed), experiment=experiment), load_published())


@pytest.fixture
def told(make_claims):
    """One claim as text, on one line."""

    def tell(results, text=MAML_WINS, quantifier="all", published=""):
        judgement = judge(make_claims(text, quantifier, published), results, load_published())
        return " ".join(render_claims(judgement, "details").split())

    return tell


def test_text_is_narrow_and_has_a_block_a_claim(marked_judgement, hostile):
    text = render_claims(marked_judgement, "details")
    assert text.count("Measured  ") == 10
    for rendered in (text, render_claims(hostile, "details")):
        assert max(map(len, rendered.splitlines())) <= WIDTH
        assert rendered.endswith("\n")


def test_one_seed_speaks_of_checkpoints_and_several_of_methods(grid, told):
    one, three = told(grid(CLEAR)), told(grid(CLEAR, seeds=(0, 1, 2)))
    assert (
        "supported for these checkpoints, on these classes: of 4 comparisons 4 shown true, 0 shown false, 0 open" in one
    )
    assert "every verdict is about these checkpoints, not about the methods" in one
    assert "cover episodes only, on these classes" in one
    assert "supported for the methods as trained here, 3 seeds" in three
    assert "checkpoints" not in three
    assert "cover episodes and training seeds" in three


def test_the_head_says_under_which_conditions(grid, told):
    text = told(grid(CLEAR), published="eshratifar2019")
    assert "Measured on strokes, split paper (64 base, 36 novel classes), protocol single, budget quick" in text
    assert "The paper's own table is of miniImageNet, not of strokes." in text
    assert "agrees, on other data" in text
    assert "miniImageNet" not in told(grid(CLEAR))


def test_the_link_has_its_margin_interval_and_p(grid, told, make_claims):
    results = grid(OPEN)
    link = judge(make_claims(MAML_WINS), results).claims[0].link
    low, high = link.estimate.interval(1 - 0.05 / 4)  # chosen of four
    shown = f"{100 * link.estimate.mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points, n = 30"
    text = told(results)
    assert f"Weakest link 5-way 1-shot maml > protonet: {shown}; one-sided p = {link.p_true:.2f}" in text
    assert "a true difference of 1 point at this link would be shown with probability" in text
    assert re.search(r"up to [\d,]+ more episodes a cell in 2 cells \([\d,]+ in all\), about \d+ min of testing", text)
    assert "images are then used more than once (of 5-way 1-shot at most" in text


def test_the_first_three_lines_say_what_is_decided_and_what_to_do(grid, make_claims):
    def first(results):
        return render_claims(judge(make_claims(MAML_WINS), results), "text").splitlines()[:3]

    assert first(grid(CLEAR)) == [
        "Decided           c supported (on these classes)",
        "Not decided       nothing",
        "Next step         none is needed",
    ]
    decided, undecided, step = first(grid(OPEN))
    assert (decided.split(), undecided.split()) == (["Decided", "nothing"], ["Not", "decided", "c"])
    assert re.match(r"Next step +for c, up to [\d,]+ more episodes a cell in 2 cells", step)


@pytest.mark.parametrize("format", [name for name in CLAIM_RENDERERS if name != "junit"])
def test_a_verdict_carries_the_share_of_the_published_training(format, grid, make_claims):
    results = grid(CLEAR | {"protonet": (0.5, 0.9)})
    shares = {"maml": (0.25, 0.25), "protonet": (0.25, 0.25), "reptile": (7.0, 25.0)}  # that one is not in the sentence
    short = replace(results, experiment=replace(results.experiment, shares=shares))
    text = render_claims(judge(make_claims(MAML_WINS), short), format).replace("\\%", "%")
    assert "0.25 %" in text
    if format not in ("json", "text"):
        assert text.casefold().count("refuted at 0.25 % of the published training") >= 2
    assert "0.25" not in render_claims(judge(make_claims(MAML_WINS), results), format)
    decided_later = replace(results.experiment, shares=shares)
    undecided = judge(make_claims(MAML_WINS), replace(grid(OPEN), experiment=decided_later))
    assert "undecided at" not in render_claims(undecided, format)


def test_a_refutation_names_the_corrected_p(grid, told):
    text = told(grid(CLEAR | {"protonet": (0.5, 0.9)}))
    assert "refuted for these checkpoints" in text
    assert "5-way 5-shot maml > protonet" in text
    assert "against it after Holm" in text
    assert "To decide" not in text


def test_some_has_a_strongest_link(grid, told):
    text = told(grid({"maml": (0.3, 0.7), "transfer": (0.4, 0.5), "protonet": (0.5, 0.9)}), quantifier="some")
    assert "Strongest link 5-way 5-shot maml > transfer" in text
    assert "(at least one of 4 comparisons)" in text
    assert "one-sided p < 0.0001 after Holm" in text


def test_what_is_missing_is_named(grid, told):
    text = told(grid({"maml": CLEAR["maml"]}))
    assert "Incomplete transfer 5-way 1-shot: not selected; protonet 5-way 1-shot: not selected; " in text
    assert "and 1 more" in text
    assert "Weakest link" not in text
    assert "Power " not in text.split("- Power")[0]


def test_a_claim_without_a_table_speaks_of_no_paper(grid, told):
    text = told(grid(CLEAR))
    assert "Paper's table" not in text
    assert "Agreement" not in text


def test_margins_of_the_paper_say_so_and_stand_apart(marked_judgement):
    text = " ".join(render_claims(marked_judgement, "details").split())
    assert "holds (18 of 18 comparisons, 9 of 9 settings); smallest margin +0.44 points (paper)" in text
    assert "not in that order (35 of 36 comparisons hold, 8 of 9 settings); 5-way 5-shot maml-mtl < protonet" in text
    assert "maml-mtl < protonet by 0.32 points (paper)" in text
    assert "5-way protonet, 100 shots < 5 by 7.07 points (paper)" in text
    rows = [line for line in render_claims(marked_judgement, "markdown").splitlines() if line.startswith("| ")]
    for row in rows[2:]:
        _, _, paper, measured, link, _, _ = row.split("|")
        assert re.fullmatch(r" (holds \(\d+ of \d+\)|not in that order \(\d+ of \d+ hold\)) ", paper)
        assert "(paper)" not in measured + link


def test_html_is_one_section_whose_links_lead_somewhere(marked_judgement, hostile):
    for judgement in (marked_judgement, hostile):
        page = Page(render_claims(judgement, "html"))
        assert page.tags[0] == ("section", "claims")
        assert page.opened == []
        assert set(page.links) <= {f"#{name}" for _, name in page.tags if name}
        assert len(page.links) == 10
    assert "script" not in [tag for tag, _ in Page(render_claims(hostile, "html")).tags]


def test_the_page_loads_nothing_from_outside(marked_judgement):
    text = claims_page(marked_judgement)
    assert text.startswith("<!DOCTYPE html>")
    assert Page(text).opened == []
    assert not re.search(r'(src|href)="(?!#)', text)


class Page(HTMLParser):
    """Tags with their ids, links, and what was not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.opened = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found.get("id")))
        if "href" in found:
            self.links.append(found["href"])
        if tag != "meta":
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def test_markdown_has_equal_columns(marked_judgement, hostile):
    for judgement in (marked_judgement, hostile):
        lines = [line for line in render_claims(judgement, "markdown").splitlines() if line.startswith("|")]
        assert len(lines) == 2 + 10
        assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {7}
    assert "<script>" not in render_claims(hostile, "markdown")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_latex_compiles(marked_judgement, hostile, tmp_path):
    body = render_claims(marked_judgement, "latex") + render_claims(hostile, "latex")
    document = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "t.tex").write_text(document % body, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]


def test_junit_has_a_test_case_a_sentence(shipped, marked_judgement, hostile, grid, make_claims):
    suite = ET.fromstring(render_claims(marked_judgement, "junit")).find("testsuite")
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases] == [f"claims.{claim.id}" for claim in shipped.claims]
    verdicts = [judged.verdict for judged in marked_judgement.claims]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (
        "10", str(verdicts.count("refuted")), str(verdicts.count("undecided")),
    )  # fmt: skip
    for case, verdict in zip(cases, verdicts, strict=True):
        assert [child.tag for child in case] == [
            {"supported": "system-out", "refuted": "failure", "undecided": "skipped"}[verdict]
        ]
    assert len(ET.fromstring(render_claims(hostile, "junit")).findall(".//testcase")) == 10
    supported = render_claims(judge(make_claims(MAML_WINS), grid(CLEAR)), "junit")
    assert "Weakest link" in ET.fromstring(supported).find(".//system-out").text


def test_json_holds_every_comparison(grid, make_claims):
    judgement = judge(make_claims(MAML_WINS, published="eshratifar2019"), grid(OPEN), load_published())
    document = json.loads(render_claims(judgement, "json"))
    assert document["about"] == "checkpoints"
    assert document["counts"] == {"supported": 0, "refuted": 0, "undecided": 1}
    [claim] = document["claims"]
    assert [c["comparison"] for c in claim["comparisons"]] == [
        str(hypothesis) for hypothesis in judgement.claims[0].claim.hypotheses
    ]
    link = claim["comparisons"][claim["link"]]
    assert link["interval"][0] < 0 < link["difference"] < link["interval"][1]
    assert link["p_true"] + link["p_false"] == pytest.approx(1)
    assert (claim["paper"]["holding"], claim["paper"]["printed"]) == (2, 4)
    assert claim["to_decide"]["cells"][0]["more_episodes"] > 0


def test_json_of_nothing_has_nulls(grid, make_claims):
    document = json.loads(render_claims(judge(make_claims(MAML_WINS), grid({"maml": (0.5, 0.6)})), "json"))
    [claim] = document["claims"]
    assert (claim["link"], claim["power"], claim["paper"]) == (None, None, None)
    assert {c["difference"] for c in claim["comparisons"]} == {None}


@pytest.mark.parametrize("format", CLAIM_RENDERERS)
def test_same_results_same_bytes(format, shipped, marked):
    shuffled = replace(marked, cells=marked.cells[::-1])
    first, second = (render_claims(judge(shipped, r, load_published()), format) for r in (marked, shuffled))
    assert first == second


def test_unknown_format_names_the_known():
    with pytest.raises(ValueError, match="known: text, details, html, markdown, latex, json, junit"):
        render_claims(None, "pdf")


def test_what_is_borrowed_is_said(grid, make_claims):
    """Of three seeds the counts rest on other pairs, too; of one they do not."""
    for seeds, borrows in (((0,), False), ((0, 1, 2), True)):
        results = grid(CLEAR, seeds=seeds)
        results = replace(results, spreads=dict.fromkeys(results.settings, Spread(1e-4, 8.0, 8.0)))
        text = " ".join(render_claims(judge(make_claims(MAML_WINS), results), "details").split())
        assert ("of that sentence, and borrow from other pairs what they tell of the seeds: `bench" in text) == borrows
