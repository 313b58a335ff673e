"""A rendered table is read again: what was edited, is stale or is gone is found, and nothing else."""

import json
import re
import time
from dataclasses import replace

import pytest

from fewshot_bench.tables.latex import render_latex
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.render import render, render_cells
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.style import Style
from fewshot_bench.tables.summary import disjoint_episodes, summarise
from fewshot_bench.tables.verify.again import READERS
from fewshot_bench.tables.verify.table_check import SINCE, Origin, Witnesses
from fewshot_bench.tables.verify.verification import UnknownSchema, keys_in, verify

PAPERS = load_published()
SMALL = {"variants": ("protonet", "maml", "maml-mtl"), "settings": ((5, 1), (5, 5), (20, 1))}
BOTH = pytest.mark.parametrize("kind", [".tex", ".html"])


def rendered(results, kind):
    return render(summarise(results), {".tex": "latex", ".html": "html"}[kind], PAPERS)


def stored(results):
    """What a database would hold of them."""
    held = [replace(c, episodes=()) if c.state == "failed" else c for c in results.cells if c.state != "missing"]
    return {cell.key: replace(cell, state="done") for cell in held}


def origins(results):
    """The data behind every cell."""
    e = results.experiment
    return {
        c.key: Origin(e.fingerprint, e.split, e.dataset, disjoint_episodes(e, c.n_way, c.n_shot)) for c in results.cells
    }


def wanted(results):
    """What the table's command shows, as one of a small grid."""
    return {(c.variant, c.n_way, c.n_shot): c.n_episodes_wanted for c in results.cells if c.n_episodes_wanted}


def check(text, kind, results, shows=None):
    tables = READERS[kind](text)
    papers = {paper.id: paper for paper in PAPERS}
    return verify(
        tables, Witnesses(stored(results), papers, lambda command: wanted(shows or results), origins(results))
    )


def again(results):
    """What a command shows when it is carried out again: complete cells over as many episodes as were shown."""

    def shown(command, counts):
        cells = []
        for c in results.cells:
            n = counts.get((c.variant, c.n_way, c.n_shot), len(c.episodes))
            whole = n if c.state == "done" else c.n_episodes_wanted
            cells.append(replace(c, episodes=c.episodes[:n], n_episodes_wanted=whole))
        return replace(results, cells=tuple(cells))

    return shown


def check_whole(text, kind, results, page=None):
    """Everything, as what is stored gives it."""
    papers = {paper.id: paper for paper in PAPERS}
    held = Witnesses(stored(results), papers, lambda command: {}, origins(results), again(results), page)
    return verify(READERS[kind](text), held)


def found(*arguments):
    return [(f.kind, f.name) for f in check(*arguments).findings]


def swapped(text, first, second):
    """The text with the first occurrences of two pieces in each other's place."""
    assert text.count(first) == text.count(second) == 1
    return text.replace(first, "\0").replace(second, first).replace("\0", second)


def lines_of(text, start):
    return [line for line in text.split("\n") if line.startswith(start)]


def edit(text, old, new, after=""):
    """One occurrence replaced: the first that is seen by a reader, behind `after`."""
    place = text.index(old, text.index(after))
    return text[:place] + new + text[place + len(old) :]


@BOTH
def test_what_was_rendered_is_true(kind, make_results, marked):
    odd = ("maml", "b&w_50%", "<i>~^$#{x}\\")
    for results in (
        make_results(), marked, make_results(seeds=(0, 1, 2)), make_results(variants=odd), make_results(n=1),
        make_results(settings=((5, 1),)), make_results(variants=("maml",)),
    ):  # fmt: skip
        verified = check(rendered(results, kind), kind, results)
        assert (verified.findings, verified.notes, verified.exit_code) == ((), (), 0)
        assert verified.n_cells + verified.n_empty == len(results.variants) * len(results.settings)
        assert verified.n_published == sum(len(paper.rows) for paper in PAPERS)


@BOTH
def test_every_single_digit_that_is_changed_is_found(kind, make_results):
    """In every row of every table, measured and published, and in the chances."""
    results = make_results(**SMALL)
    text = rendered(results, kind)
    if kind == ".tex":
        spans = [m.span() for m in re.finditer(r"^\\quad.*$|chance [\d.]+", text, re.M)]
    else:
        rows = [m.span() for m in re.finditer(r"<tr[ >].*?</tr>", text, re.S)]
        spans = [(a + m.start(), a + m.end()) for a, b in rows for m in re.finditer(r">[^<]*<", text[a:b])]
    digits = [
        i for a, b in spans for i in range(a, b) if text[i].isdigit() and '<th scope="col">' not in text[a - 20 : a]
    ]
    assert len(digits) > 300
    for i in digits[::3]:
        changed = text[:i] + str((int(text[i]) + 3) % 10) + text[i + 1 :]
        assert found(changed, kind, results), text[i - 30 : i + 10]


@BOTH
def test_an_edited_number_is_named_with_its_line(kind, make_results):
    results = make_results(**SMALL)
    text = rendered(results, kind)
    value = results.cells[1 * 3 + 1]
    assert (value.variant, value.n_way, value.n_shot) == ("maml", 5, 5)
    true = f"{100 * summarise(results).rows[1].cells[1].mean:.2f}"
    row = next(i for i, line in enumerate(text.split("\n"), 1) if re.match(r"(\\quad |.*data-row.*>)5 shots", line))
    lines = text.split("\n")
    place = lines[row - 1].rindex(true) if kind == ".tex" else lines[row - 1].rindex(f">{true}") + 1
    lines[row - 1] = lines[row - 1][:place] + "99.99" + lines[row - 1][place + 5 :]
    (finding,) = check("\n".join(lines), kind, results).findings
    assert (finding.kind, finding.line, finding.name) == ("edited", row, "maml 5-way 5-shot")
    assert finding.shown.startswith("99.99")
    assert finding.true.startswith(true)
    assert finding.text.startswith(f"line {row}: edited by hand: maml 5-way 5-shot shows 99.99 ± ")


@pytest.mark.parametrize(
    "dress",
    [
        lambda t: t.replace("\n", "\r\n").replace("\r\n", "\n"),
        lambda t: re.sub(r"\\textbf\{([\d.]+)", r"{\\bfseries\\color{red} \1", t),
        lambda t: re.sub(r"(\d\d\.\d\d)(\{\\scriptsize)", r"\1\\textsuperscript{3}$^{7}$\\footnotemark[2]\2", t),
        lambda t: re.sub(r"& (\d\d\.\d\d)", r"& \\phantom{0}\\textcolor{blue!50}{\1}", t),
        lambda t: t.replace("\\quad", "  \\rowcolor{gray!20}\n\\quad"),
        lambda t: t.replace(" & ", "\n  & ").replace(" \\\\", " % a comment of 12.34\n\\tabularnewline"),
        lambda t: t.replace(" \\\\\n", " \\\\[2pt] \\addlinespace[3pt]\n"),
        lambda t: t.replace("maml-mtl & n", "\\textsc{MAML MTL}$^1$ & \\emph{n}"),
        lambda t: t.replace("\\quad 1 shot", "\\multirow{2}{*}{5-way} 1-shot", 1),
        lambda t: "Ours is 12.34 better.\n\\begin{tabular}{ll}\na & 5 \\\\\nb & 6 \\\\\n\\end{tabular}\n" + t,
        lambda t: t.replace("% cell", "    %%  cell").replace("tabular}", "tabularx}"),
        lambda t: "% a line of text\n" * 20_000 + t + "\\section{x} 3.14 & 15 \\\\\n" * 20_000,
    ],
)
def test_latex_may_be_dressed_as_one_likes(dress, make_results):
    results = make_results(**SMALL)
    text = dress(rendered(results, ".tex"))
    before = time.process_time()
    assert check(text, ".tex", results).findings == ()
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "style",
    [
        Style(columns=("maml-mtl", "protonet", "n")),
        Style(columns=("maml", "maml-mtl")),
        Style(interval=False, one_column=True),
        Style(siunitx=True),
        Style(transpose=True),
        Style(transpose=True, siunitx=True, bare=True, interval=False),
        Style(standalone=True, caption="Mine, of all \\emph{three} methods.", label="tab:x"),
    ],
    ids=str,
)
def test_every_style_of_latex_is_read(style, make_results):
    results = make_results(**SMALL)
    text = render_latex(summarise(results), PAPERS, style)
    for checked in (check, check_whole):
        assert checked(text, ".tex", results).findings == ()
    number = re.search(r"(?m)^[^%\n]* & \D*(\d\d\.\d\d)", text)
    edited = check(text[: number.start(1)] + "99.99" + text[number.end(1) :], ".tex", results).findings
    assert [finding.kind for finding in edited] == ["edited"]


def test_an_edited_heading_is_called_one(make_results):
    results = make_results(**SMALL)
    text = render_latex(summarise(results), (), Style(transpose=True, siunitx=True))
    [finding] = check(text.replace("chance 20.00", "chance 21.00", 1), ".tex", results).findings
    assert "a field of the heading shows 5-way, chance 21.00" in finding.text


def test_html_may_be_dressed_as_one_likes(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".html")
    text = re.sub(r"(>\d\d\.\d\d)", r"\1<sup>9</sup><script>1 < 2; 7.77</script><!-- 8.88 -->", text)
    text = (
        text.replace("<small>", "<b><i>").replace("</small>", "</i></b>").replace("±", "&plusmn;").replace("</td>", "")
    )
    other = "<table><tr><td>5</td><td data-celle='1'>6</td></tr></table>"
    assert check(f"<!doctype html><p>5.55{other}{text}{other}", ".html", results).findings == ()


def test_columns_may_move_whole_and_not_in_part(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")

    def moved(line):
        start, *cells, n, disjoint = line.split(" & ")
        return " & ".join([start, *reversed(cells), n, disjoint])

    header, rows = lines_of(text, "Task & protonet")[0], lines_of(text, "\\quad")[:3]
    whole = text.replace(header, moved(header))
    assert len(found(whole, ".tex", results)) == 6  # the titles alone: maml stands in the middle
    for row in rows:
        whole = whole.replace(row, moved(row))
    assert found(whole, ".tex", results) == []
    one_row = text.replace(rows[0], moved(rows[0]))
    assert found(one_row, ".tex", results) == [("edited", "protonet 5-way 1-shot"), ("edited", "maml-mtl 5-way 1-shot")]


def test_rows_may_move_whole_and_not_in_part(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    first, second = lines_of(text, "\\quad")[:2]
    alone = found(swapped(text, first, second), ".tex", results)
    names = {f"{variant} 5-way {shot}-shot" for variant in SMALL["variants"] for shot in (1, 5)}
    assert {name for _, name in alone} >= names | {"the label of 5-way 1-shot", "the label of 5-way 5-shot"}
    blocks = re.findall(r"% row(?:.*\n)*?\\quad.*\n", text)
    assert found(swapped(text, blocks[0], blocks[1]), ".tex", results) == []
    under_another_way = found(swapped(text, blocks[0], blocks[2]), ".tex", results)
    assert under_another_way == [("edited", "the label of 20-way 1-shot"), ("edited", "the label of 5-way 1-shot")]
    labels = text.replace(first, first.replace("1 shot", "5 shots")).replace(
        second, second.replace("5 shots", "1 shot")
    )
    assert [kind for kind, _ in found(labels, ".tex", results)] == ["edited", "edited"]


def test_what_is_gone_is_told(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    first, _, third = lines_of(text, "\\quad")[:3]
    facts = lines_of(text, "% cell")[1]
    paper = lines_of(text, "% published")[0]
    block = re.search(r"% row(?:.*\n)*?\\quad.*\n", text)[0]
    gone = {
        text.replace(first + "\n", ""): ("gone", "5-way 1-shot"),
        text.replace(third + "\n", ""): ("gone", "20-way 1-shot"),
        text.replace(block, ""): ("gone", "maml 5-way 1-shot"),
        text.replace(first, " & ".join(first.split(" & ")[:-1]) + " \\\\"): ("gone", "disjoint of 5-way 1-shot"),
        text.replace(facts + "\n", ""): ("unknown", "a number of 5-way 1-shot"),
        text.replace(paper + "\n", ""): ("unknown", "a number"),
        text.replace(lines_of(text, "\\multicolumn{6}")[0], ""): ("edited", "the label of 5-way 1-shot"),
        re.sub(r"(% row.*\n)(% cell.*\n)*\\quad", r"\\quad", text, count=1): ("unknown", "a number"),
        text.replace(facts, facts[:-20]): ("edited", "the facts 'cell'"),
    }
    for broken, said in gone.items():
        assert broken != text
        assert said in found(broken, ".tex", results), said


def test_html_cells_and_rows_that_are_gone(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".html")
    row = re.search(r"<tr data-row.*?</tr>", text, re.S)[0]
    assert ("gone", "maml 5-way 1-shot") in found(text.replace(row, ""), ".html", results)
    cell = re.findall(r"<td class=\"done.*?</td>", row, re.S)[1]
    assert ("gone", "maml 5-way 1-shot") in found(text.replace(cell, ""), ".html", results)
    bare = re.sub(r" data-cell=\"[^\"]*\"", "", cell)
    assert ("unknown", "a number of 5-way 1-shot") in found(text.replace(cell, bare), ".html", results)
    paper = re.search(r"<tr data-published.*?</tr>", text, re.S)[0]
    assert found(text.replace(paper, ""), ".html", results) == [("gone", "eshratifar2019 5-way 1-shot")]


def forged(text, kind, change):
    """The facts of maml at 5-way 1-shot changed, and what is seen with them."""
    quoted = {".tex": lambda t: t, ".html": lambda t: t.replace('"', "&#34;")}[kind]
    pattern = (
        r"% cell (\{\"variant\": \"maml\".*)"
        if kind == ".tex"
        else r"data-cell=\"(\{&#34;variant&#34;: &#34;maml&#34;.*?)\""
    )
    old = re.search(pattern, text)[1]
    facts = json.loads(old.replace("&#34;", '"'))
    new = facts | change(facts)
    text = text.replace(old, quoted(json.dumps(new)))
    value, half = facts["shown"].split(" ± ")
    between = {".tex": re.escape(r"{\scriptsize\,$\pm$\,"), ".html": " <small>± "}[kind]
    (seen,) = re.findall(rf"{value}{between}{half}", text)
    value_now, half_now = new["shown"].split(" ± ")
    return text.replace(seen, seen.replace(value, value_now).replace(half, half_now))


@BOTH
def test_the_database_decides_where_the_facts_are_edited_too(kind, make_results):
    results = make_results(**SMALL)
    text = rendered(results, kind)
    better = lambda f: {"mean": f["mean"] + 0.1, "shown": f"{100 * f['mean'] + 10:.2f} ± {100 * f['half_width']:.2f}"}  # noqa: E731
    (finding,) = check(forged(text, kind, better), kind, results).findings
    true = summarise(results).rows[0].cells[1].mean
    assert (finding.kind, finding.name) == ("stale", "maml 5-way 1-shot")
    assert f"the database now has {100 * true:.2f} ± " in finding.text
    assert "(40 episodes)" in finding.text
    assert found(forged(text, kind, lambda f: better(f) | {"keys": ["ff"]}), kind, results)[0][0] == "unknown"
    assert found(forged(text, kind, lambda f: better(f) | {"keys": []}), kind, results)[0][0] == "unknown"
    for changed in ({"mean": 0.9}, {"half_width": 0.9}, {"sd": 0.5}, {"mean": float("nan")}, {"sd": None}):
        assert found(forged(text, kind, lambda f, c=changed: c), kind, results)[0][0] == "edited", changed
    for damaged in ({"n": "40"}, {"keys": [1]}, {"mean": "x"}, {"n_way": None}):
        kinds = [k for k, _ in found(forged(text, kind, lambda f, d=damaged: d), kind, results)]
        assert kinds[0] == "edited", damaged


def test_another_cells_key_is_no_alibi(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    cells = {cell.keys[0]: cell for cell in summarise(results).cells}
    for key in ("maml-mtl-5-1-0", "maml-5-5-0"):
        cell = cells[key]
        shown = f"{100 * cell.mean:.2f} ± {100 * cell.half_width:.2f}"
        whole = {"keys": [key], "mean": cell.mean, "sd": cell.deviation, "half_width": cell.half_width, "shown": shown}
        assert found(forged(text, ".tex", lambda f, w=whole: w), ".tex", results) == [("edited", "maml 5-way 1-shot")]


def test_one_cell_may_have_two_names(make_results):
    """Equal work is stored once, under the name that asked first; the other has no cell of its own."""
    results = make_results(**SMALL)
    text = (
        rendered(results, ".tex").replace('"variant": "maml-mtl"', '"variant": "twin"').replace("& maml-mtl", "& twin")
    )
    assert {f.kind for f in check(text, ".tex", results).findings} == {"gone"}  # its command shows maml-mtl
    tables = READERS[".tex"](text)
    papers = {paper.id: paper for paper in PAPERS}
    assert verify(tables, Witnesses(stored(results), papers, lambda command: {}, origins(results))).findings == ()


@BOTH
def test_what_the_database_has_by_now(kind, make_results):
    results = make_results(**SMALL, n=12)
    text = rendered(results, kind)
    more = make_results(**SMALL, n=40)
    for finding in (findings := check(text, kind, more).findings):
        assert (finding.kind, finding.true.endswith("(40 episodes)")) == ("stale", True)
    assert len(findings) == 9
    # a larger budget has extended the cells; what this table's command shows is as it was
    assert found(text, kind, more, results) == []
    assert {k for k, _ in found(text, kind, replace(results, cells=results.cells[:5]), results)} == {"unknown"}
    fewer = make_results(**SMALL, n=11)
    assert len(found(text, kind, fewer, results)) == 9


@pytest.mark.parametrize("kind", [".tex", ".html"])
def test_variants_measured_since_make_no_mark_an_edited_one(kind, make_results):
    results = make_results()
    then = replace(results, n_measured=dict.fromkeys(results.settings, 7))
    since = replace(results, n_measured=dict.fromkeys(results.settings, 40))
    assert rendered(then, kind) != rendered(since, kind)
    assert check_whole(rendered(then, kind), kind, since).findings == ()
    assert check_whole(rendered(since, kind), kind, then).findings != ()  # there were never so many


@BOTH
def test_seeds_and_episodes_measured_since_make_no_mark_an_edited_one(kind, make_results):
    """Of as many variants: how their seeds vary is another today, and said to be the file's."""
    results = make_results(settings=((5, 1),), seeds=(0, 1, 2))
    spread = Spread(1e-8, 8.0, 12.0, 40)
    then, noisy, finer = (
        replace(results, spreads={(5, 1): one})
        for one in (spread, replace(spread, variance=1.0), replace(spread, variance=spread.variance * (1 + 1e-15)))
    )
    dagger, text = {".tex": r"$\dagger$", ".html": "†"}[kind], rendered(then, kind)
    assert text.count(dagger) != rendered(noisy, kind).count(dagger)
    for since, notes in ((then, ()), (finer, ()), (noisy, (SINCE,)), (replace(then, spreads={(5, 1): None}), (SINCE,))):
        checked = check_whole(text, kind, since)
        assert (checked.findings, checked.notes) == ((), notes)
    marked = edit(text, dagger, "", after='"spread"' if kind == ".tex" else "data-row")
    assert check_whole(marked, kind, noisy).findings


def test_cells_without_a_number_are_true_until_there_is_one(make_results, marked):
    text = rendered(marked, ".tex")
    results = make_results()
    stale = {(f.name, f.shown) for f in check(text, ".tex", results).findings if f.kind == "stale"}
    assert {("maml 5-way 1-shot", ""), ("maml 5-way 5-shot", ""), ("reptile 20-way 100-shot", "")} < stale
    assert any(name == "transfer 35-way 5-shot" for name, _ in stale)  # partial then, whole now
    assert len(stale) == 4
    written_in = text.replace("& $\\times$", "& 55.55", 1)
    assert ("edited", "maml 5-way 1-shot") in found(written_in, ".tex", marked)


def test_the_star_of_too_few_episodes_must_stay(marked):
    for kind, star in ((".tex", re.compile(r"\}\*")), (".html", re.compile(r"\*(?= <small>)"))):
        text = rendered(marked, kind)
        assert found(star.sub("}" if kind == ".tex" else "", text), kind, marked) == [
            ("edited", "transfer 35-way 5-shot")
        ]


def test_a_cell_that_failed_since(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    broken = replace(
        results,
        cells=tuple(
            replace(c, reason="it diverged", episodes=c.episodes[:3]) if c.key == "maml-5-1-0" else c
            for c in results.cells
        ),
    )
    (finding,) = check(text, ".tex", broken).findings
    assert finding.text.endswith("the database now has no number")


@BOTH
def test_published_numbers_are_held_against_the_packaged_tables(kind, make_results):
    results = make_results(**SMALL)
    text = rendered(results, kind)
    seen_and_facts = text.replace("37.44", "39.44")
    assert found(seen_and_facts, kind, results) == [("edited", "eshratifar2019 5-way 1-shot Transfer Learning")]
    other = text.replace(
        "eshratifar2019&#34;, " if kind == ".html" else 'eshratifar2019", ',
        "nobody2020" + ("&#34;, " if kind == ".html" else '", '),
    )
    assert {k for k, _ in found(other, kind, results)} == {"unknown"}


def test_counts_are_those_of_the_cells(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex").replace('"n": "40"', '"n": "600"').replace("& 40", "& 600")
    assert [k for k, name in found(text, ".tex", results) if name.startswith("n of ")] == ["edited"] * 3


def test_an_unknown_command_is_held_against_everything_stored(make_results):
    results, more = make_results(**SMALL, n=12), make_results(**SMALL, n=40)
    tables = READERS[".tex"](rendered(results, ".tex"))
    papers = {paper.id: paper for paper in PAPERS}
    verified = verify(tables, Witnesses(stored(more), papers, lambda command: None, origins(more)))
    assert len(verified.findings) == 9
    assert verified.notes == ("what `bench run --grid full` shows is not known here: all stored episodes count",)


def test_a_reworded_heading_is_taken_by_its_place_and_told(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex").replace("& maml &", "& Ours &")
    verified = check(text, ".tex", results)
    assert verified.findings == ()
    assert [re.sub(r"\d+", "N", note) for note in verified.notes] == [
        "line N: the column headed 'Ours' was taken by its place"
    ]


def test_facts_of_a_newer_version_are_not_guessed_at(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex").replace('"schema": 1', '"schema": 2')
    with pytest.raises(UnknownSchema, match="schema 2"):
        check(text, ".tex", results)


@pytest.mark.parametrize("junk", ["[" * 100_000, "1" * 10_000, '{"a": 1}', "null", "\x00", "{}}", '{"n_way": 1e999}'])
def test_facts_that_are_none_do_no_harm(junk, make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    assert found(text.replace(lines_of(text, "% cell")[0], "% cell {" + junk), ".tex", results)
    html = rendered(results, ".html")
    facts = re.search(r"data-cell=\"[^\"]*\"", html)[0]
    assert found(html.replace(facts, f"data-cell='{junk}'"), ".html", results)


def test_a_file_of_very_many_rows_takes_its_time_once(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    block = re.search(r"% row(?:.*\n)*?\\quad.*\n", text)[0]
    blocks = "".join(block.replace('"n_way": 5', f'"n_way": {n}') for n in range(6, 2006))
    before = time.process_time()
    assert len(found(text.replace(block, block + blocks), ".tex", results)) > 2000
    assert time.process_time() - before < 20


def test_keys_are_collected(make_results):
    results = make_results(**SMALL)
    assert keys_in(READERS[".tex"](rendered(results, ".tex"))) == {c.key for c in results.cells}


def without_facts(text, kind, *names):
    """The text with all facts of some kinds taken out."""
    for name in names:
        text = re.sub(rf"% {name} \{{.*\n" if kind == ".tex" else rf" data-{name}=\"[^\"]*\"", "", text)
    return text


@BOTH
def test_published_numbers_whose_facts_are_all_gone_are_unknown(kind, make_results):
    results = make_results(**SMALL)
    text = without_facts(rendered(results, kind), kind, "published").replace("37.44", "39.44")
    unknown = [f for f in check(text, kind, results).findings if (f.kind, f.name) == ("unknown", "a number")]
    assert len(unknown) == sum(len(row.values) for paper in PAPERS for row in paper.rows)
    assert any(f.shown.startswith("39.44") for f in unknown)
    alone = without_facts(text, kind, "bench", "row", "cell")
    assert {k for k, _ in found(alone, kind, results)} == {"unknown"}


@BOTH
def test_measured_numbers_whose_facts_are_all_gone_are_unknown(kind, make_results):
    results = make_results(**SMALL)
    text = without_facts(rendered(results, kind), kind, "row", "cell")
    verified = check(text, kind, results)
    told = [(f.kind, f.name) for f in verified.findings]
    assert told == [("gone", "the table"), *[("unknown", "a number")] * 3 * (3 + 2)]
    assert (verified.n_cells, verified.exit_code) == (0, 3)


def test_a_command_whose_table_is_gone(make_results):
    results = make_results(**SMALL)
    text = re.sub(r"\\begin\{table\*\}(?:.*\n)*?\\end\{table\*\}\n", "", rendered(results, ".tex"), count=1)
    assert found(text, ".tex", results) == [("gone", "the table")]


@BOTH
def test_tables_of_others_are_named_and_not_judged(kind, make_results):
    results = make_results(**SMALL)
    other = {
        ".tex": "\\begin{tabular}{l}\na & 5 \\\\\n\\end{tabular}\n",
        ".html": "<table><tr><td>a<td>5</table>\n",
    }[kind]
    verified = check(other + rendered(results, kind), kind, results)
    assert verified.findings == ()
    assert verified.notes == ("line 1: a table without facts is not checked",)


@BOTH
def test_the_facts_of_the_whole_table_must_be_there(kind, make_results):
    results = make_results(**SMALL)
    text = rendered(results, kind)
    verified = check(without_facts(text, kind, "bench"), kind, results)
    assert [(f.kind, f.name) for f in verified.findings] == [("gone", "the table")]
    assert verified.exit_code == 3
    quote = {".tex": '"', ".html": "&#34;"}[kind]
    damaged = text.replace(f"{quote}schema{quote}: 1", f"{quote}schema{quote}: x")
    assert found(damaged, kind, results) == [("edited", "the facts 'bench'")]


@pytest.mark.parametrize(("name", "was"), [("dataset", "strokes"), ("fingerprint", "5f1c0de"), ("split", "paper")])
def test_the_data_are_those_of_the_cells(name, was, make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    (finding,) = check(text.replace(f'"{name}": "{was}"', f'"{name}": "other"'), ".tex", results).findings
    assert finding.text == f"line 1: edited by hand: {name} shows other, its cells are of {was}"
    gone = text.replace(f'"{name}": "{was}"', '"x": 1')
    assert found(gone, ".tex", results) == [("edited", name)]
    made_of_others = make_results(**SMALL, **{name: "other"})
    assert found(text, ".tex", made_of_others) == [("edited", name)]


def test_disjoint_is_computed_again(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex").replace('"disjoint": "64"', '"disjoint": "640"').replace("& 64 ", "& 640 ")
    (finding,) = check(text, ".tex", results).findings
    assert finding.text.endswith("edited by hand: disjoint of 5-way 1-shot shows 640, its data allow 64")
    elsewhere = {key: replace(origin, disjoint=None, dataset="") for key, origin in origins(results).items()}
    papers = {paper.id: paper for paper in PAPERS}
    witnesses = Witnesses(stored(results), papers, lambda command: wanted(results), elsewhere)
    verified = verify(READERS[".tex"](text), witnesses)
    assert verified.findings == ()
    assert [note for note in verified.notes if "disjoint" in note and "not checked" in note]


def test_the_list_of_every_cell(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".html") + render_cells(summarise(results))
    assert check(text, ".html", results).findings == ()
    (row,) = re.findall(r"<tr id=\"maml-5-way-1-shot\".*?</tr>", text)
    cells = re.findall(r"<td>[±\d. ]+</td>", row)
    for cell, column in zip(cells, ("accuracy", "n", "sd", "sampler"), strict=True):
        changed = text.replace(row, row.replace(cell, "<td>9.99</td>", 1))
        assert found(changed, ".html", results) == [("edited", f"{column} of maml 5-way 1-shot in the list of cells")]
    assert found(text.replace(row, ""), ".html", results) == [("gone", "maml 5-way 1-shot in the list of cells")]
    relabelled = text.replace(row, row.replace(">maml 5-way", ">maml 7-way"))
    assert found(relabelled, ".html", results) == [("edited", "the label of maml 5-way 1-shot in the list of cells")]
    undressed = text.replace(' class="cells"', "").replace(row, row.replace(cells[0], "<td>9.99</td>"))
    assert found(undressed, ".html", results) == [("edited", "accuracy of maml 5-way 1-shot in the list of cells")]
    more = text.replace(row, row + row.replace("maml-5", "best-5"))
    assert found(more, ".html", results) == [("unknown", "the listed cell 'best-5-way-1-shot'")]


def test_the_list_of_cells_without_a_number(marked):
    text = rendered(marked, ".html") + render_cells(summarise(marked))
    assert check(text, ".html", marked).findings == ()


def test_empty_cells_are_no_measured_ones(marked):
    verified = check(rendered(marked, ".tex"), ".tex", marked)
    assert (verified.n_cells, verified.n_empty) == (60, 3)
    nothing = replace(marked, cells=tuple(replace(c, state="missing", episodes=()) for c in marked.cells))
    verified = check(rendered(nothing, ".tex"), ".tex", nothing)
    assert (verified.findings, verified.n_cells, verified.n_empty, verified.exit_code) == ((), 0, 63, 5)


def test_a_number_that_was_changed_in_the_facts_alone_is_named(make_results):
    results = make_results(**SMALL)
    text = rendered(results, ".tex")
    for field, value in (("n", 400), ("mean", 0.9), ("sd", None)):
        changed = forged(text, ".tex", lambda f, name=field, said=value: {name: said})
        maml = [f for f in check(changed, ".tex", results).findings if f.name == "maml 5-way 1-shot"]
        if field == "n":
            assert maml[0].text.endswith("maml 5-way 1-shot has n 400 in its facts, the database has n 40")
        assert [f.kind for f in maml] == ["edited"]
        assert field in maml[0].text
        assert "now has" not in maml[0].text


@BOTH
def test_marks_bold_and_words_are_read_where_the_results_can_be_had_again(kind, make_results, marked):
    bold, dagger, note = {
        ".tex": (
            r"\\textbf\{(\d\d\.\d\d[^}]*\}?)\}",
            r"\\textsuperscript\{\$\\dagger\$\}(?= &)",
            r"\\textsuperscript\{a\}(?= &)",
        ),
        ".html": (r' best(?=\")', r"<sup>†</sup>(?=</td>)", r"<sup>a</sup>(?=</td>)"),
    }[kind]  # fmt: skip
    for results in (make_results(**SMALL), make_results(), make_results(seeds=(0, 1)), marked):
        text = rendered(results, kind)
        verified = check_whole(text, kind, results)
        assert (verified.findings, verified.notes) == ((), ())
        for pattern in (bold, dagger, *([note] if results is marked else [])):
            changed = re.sub(pattern, lambda m: m[1] if m.re.groups else "", text, count=1)
            if changed != text:
                (finding,) = check_whole(changed, kind, results).findings
                assert (finding.kind, re.fullmatch(r"\S+ \d+-way \d+-shot", finding.name)[0]) == (
                    "edited",
                    finding.name,
                )
                assert "what is stored gives" in finding.text
    assert re.search(note, text)


@BOTH
def test_every_word_around_a_table_that_is_changed_is_found(kind, make_results):
    results = make_results(**SMALL)
    text = rendered(results, kind)
    if kind == ".tex":
        spans = [m.span(1) for m in re.finditer(r"\\caption\{(.*)\}$|^(?!\\|%)(.*)\\par$", text, re.M) if m[1]]
        spans += [m.span(1) for m in re.finditer(r"^([A-Z].*)\\par$", text, re.M)]
    else:
        spans = [m.span(1) for m in re.finditer(r"<(?:caption|li|p)[^>]*>([^<]*)", text)]
    words = [(a + m.start(), a + m.end()) for a, b in spans for m in re.finditer(r"\w{2,}", text[a:b])]
    assert len(words) > 300
    for start, end in words[:: len(words) // 60]:
        assert check_whole(text[:start] + "xyz" + text[end:], kind, results).findings, text[start - 30 : end + 10]


@BOTH
def test_what_is_stale_is_told_apart_from_what_was_edited(kind, make_results):
    """The file is held against the episodes that it shows, its cells against those that there are by now."""
    text, more = rendered(make_results(**SMALL, n=12), kind), make_results(**SMALL, n=40)
    papers = {paper.id: paper for paper in PAPERS}
    held = Witnesses(stored(more), papers, lambda command: wanted(more), origins(more), again(more))
    findings = verify(READERS[kind](text), held).findings
    assert [f.kind for f in findings] == ["stale"] * 9
    edited = text.replace("n = 12 episodes", "n = 999 episodes")
    (finding,) = [f for f in verify(READERS[kind](edited), held).findings if f.kind == "edited"]
    assert "'999'" in finding.text


def test_where_the_results_are_others_by_now_the_words_are_not_checked_and_a_note_says_so(make_results, marked):
    verified = check_whole(rendered(marked, ".tex"), ".tex", make_results())
    assert len(verified.notes) == 1
    assert verified.notes[0].startswith("bold, marks, captions, notes and words are not checked")


@BOTH
def test_an_interval_that_is_not_around_its_mean(kind, make_results):
    """Read, compared with its facts and the database, and found where either end is edited."""
    results = make_results(**SMALL)
    right = tuple(replace(e, n_correct=75 - (e.number == 7)) for e in results.cells[0].episodes)
    results = replace(results, cells=(replace(results.cells[0], episodes=right), *results.cells[1:]))
    text = rendered(results, kind)
    assert check(text, kind, results).findings == ()
    low, high = (f"{100 * end:.2f}" for end in summarise(results).cells[0].interval)
    for end in (low, high):
        changed = edit(text, end, "98.76", after="99.97{" if kind == ".tex" else "99.97 <")
        assert found(changed, kind, results) == [("edited", "protonet 5-way 1-shot")]
    moved = text.replace(f"{summarise(results).cells[0].interval[0]}", "0.5")
    assert found(moved, kind, results) == [("edited", "protonet 5-way 1-shot")]
