"""`bench verify`: from a finished grid to a table, and back from what somebody made of the table."""

import json
import re
import shutil

import pytest

TABLES = {"table.tex": "latex", "report.html": "html"}
UNCHECKED = "not checked: plots, images, and what is not the benchmark's own; --help says more"
COUNTED = "4 measured cells and 11 published rows: "


@pytest.fixture
def run(place, bench, finished):
    """The tiny grid, finished, with its tables beside it."""
    if finished.exists():
        shutil.copytree(finished, place.folder, dirs_exist_ok=True)
    else:
        assert bench("run", "-q").code == 0
        for name, format_ in TABLES.items():
            words = ["--published"] if format_ == "latex" else []
            assert bench("report", "--format", format_, *words, "-o", name).code == 0
        shutil.copytree(place.folder, finished)
    return place


def edit(place, name, pattern, new):
    """Change the first match in a file."""
    path = place.folder / name
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, new, text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.usefixtures("run")
def test_what_was_rendered_is_true(name, bench):
    ran = bench("verify", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{name}: {COUNTED}all agree with their facts, and these with what is stored\n{UNCHECKED}\n"
    document = json.loads(bench("verify", name, "--json").out)
    assert (document["exit_code"], document["n_cells"], document["findings"], document["notes"]) == (0, 4, [], [])


def test_an_edited_number_is_named(run, bench):
    edit(run, "table.tex", r"(?m)^(\\quad 5 shots & .*?)\d\d\.\d\d", r"\g<1>99.99")
    edit(run, "report.html", r"(>5 shots</th>.*?)>\d\d\.\d\d", r"\g<1>>99.99")
    for name in ("table.tex", "report.html"):
        ran = bench("verify", name)
        assert (ran.code, ran.err) == (3, "")
        line = next(i for i, t in enumerate((run.folder / name).read_text().split("\n"), 1) if "99.99" in t)
        said = r"edited by hand: transfer 4-way 5-shot shows 99\.99 ± [\d.]+, its facts say [\d.]+ ± [\d.]+"
        assert re.search(rf"^line {line}: {said}$", ran.out, re.M), ran.out
        assert ran.out.endswith(f"{name}: {COUNTED}1 edited\n")
        (finding,) = json.loads(bench("verify", name, "--json").out)["findings"]
        assert (finding["kind"], finding["line"], finding["name"]) == ("edited", line, "transfer 4-way 5-shot")


def test_more_episodes_make_a_table_stale(run, bench):
    config = (run.folder / "bench.toml").read_text()
    place = run.folder / "bench.toml"
    place.write_text(config + "\n[budgets.more]\niterations = { other = 6 }\nepisodes = { 1 = 9 }\nadaptation = {}\n")
    assert bench("run", "-q", "--method", "transfer", "--shot", "1", "--budget", "more").code == 0
    assert bench("verify", "table.tex").code == 0  # its own command still shows six
    place.write_text(config.replace("episodes = { 1 = 6 }", "episodes = { 1 = 9 }"))
    ran = bench("verify", "table.tex")
    assert ran.code == 3
    found = re.search(r"stale: transfer 4-way 1-shot shows .*, the database now has (.*) \(9 episodes\)", ran.out)
    assert found[1] in bench("report", "--format", "markdown", "--budget", "tiny", "--method", "transfer").out
    assert "1 stale" in ran.out


@pytest.mark.usefixtures("run")
def test_another_database_does_not_know_the_numbers(bench):
    assert bench("run", "-q", "--method", "protonet", "--shot", "1", "--out", "other").code == 0
    ran = bench("verify", "table.tex", "--out", "other")
    assert ran.code == 3
    assert "3 unknown" in ran.out
    assert re.search(r"unknown: transfer 4-way 1-shot .* its key [0-9a-f]{16} is not in this database", ran.out)
    ran = bench("verify", "table.tex", "--out", "none")
    assert (ran.code, len(ran.err.splitlines())) == (6, 1)


def test_rows_that_the_command_shows_must_be_there(run, bench):
    edit(run, "table.tex", r"% row(?:.*\n)*?\\quad.*\n", "")
    ran = bench("verify", "table.tex")
    assert ran.code == 3
    assert ran.out.count("is what its command shows, but is not in the file") == 2


@pytest.mark.usefixtures("run")
def test_a_narrower_table_is_whole(bench):
    for words in (["-k", "protonet and 5s"], ["--shot", "1"], ["--method", "protonet"], ["--episodes", "3"]):
        assert bench("report", "--format", "latex", "-o", "narrow.tex", *words).code == 0
        ran = bench("verify", "narrow.tex")
        assert (ran.code, "note:" in ran.out) == (0, False), ran.out


@pytest.mark.parametrize(
    "command",
    [
        "bench run --grid gone", "touch x; rm -r out", "bench run --help", "bench run --config /dev/zero --bad", "'",
        "bench init", "bench", "bench run -k 'and'", "$(touch x)", "bench run --out x --data x", "bench run --way 1",
    ],
)  # fmt: skip
def test_the_command_in_a_file_is_read_and_never_run(command, run, bench):
    edit(run, "table.tex", r'"command": "[^"]*"', lambda _: f'"command": {json.dumps(command)}')
    before = sorted(run.folder.rglob("*"))
    ran = bench("verify", "table.tex")
    assert (ran.code, ran.err) == (0, "")
    assert ("is not known here: all stored episodes count" in ran.out) == ("--out x" not in command)
    assert sorted(run.folder.rglob("*")) == before


def test_what_a_file_says_cannot_move_the_cursor(run, bench):
    edit(run, "table.tex", r'"variant": "protonet"', lambda _: '"variant": "\\u001b[2Jx"')
    ran = bench("verify", "table.tex")
    assert ran.code == 3
    assert "\x1b" not in ran.out


WRONG = {
    "empty.tex": (5, "there are no facts in it"),
    "own.html": (5, "there are no facts in it"),
    "table.md": (2, "only .tex, .html, .htm can be verified"),
    "none.tex": (2, "No such file"),
    "out": (2, "is a directory"),
    "newer.tex": (2, "its facts are in schema 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_verified_is_one_line(name, run, bench):
    (run.folder / "empty.tex").write_text("")
    (run.folder / "own.html").write_text("<table><tr><td>5.00</td></tr></table>")
    (run.folder / "table.md").write_text("| 5 |")
    (run.folder / "newer.tex").write_text((run.folder / "table.tex").read_text().replace('"schema": 1', '"schema": 2'))
    ran = bench("verify", name)
    code, said = WRONG[name]
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert said in ran.err


def test_any_encoding_and_line_ending_can_be_read(run, bench):
    path = run.folder / "table.tex"
    text = path.read_text(encoding="utf-8")
    path.write_bytes(b"\xef\xbb\xbf" + "% Umlaute: äöü\n".encode("latin-1") + text.replace("\n", "\r\n").encode())
    assert bench("verify", "table.tex").code == 0


def test_the_data_are_held_against_the_database(run, bench):
    edit(run, "table.tex", r'"split": "paper"', '"split": "ravi"')
    edit(run, "table.tex", r'"fingerprint": "[0-9a-f]+"', '"fingerprint": "0000"')
    edit(run, "table.tex", r'"dataset": "[^"]*"', '"dataset": "miniImageNet"')
    ran = bench("verify", "table.tex")
    assert ran.code == 3
    for field in ("dataset shows miniImageNet", "fingerprint shows 0000", "split shows ravi, its cells are of paper"):
        assert f"line 1: edited by hand: {field}" in ran.out
    assert ran.out.endswith("3 edited\n")


def test_disjoint_is_computed_from_the_data(run, bench):
    edit(run, "table.tex", r'"disjoint": "(\d+)"', r'"disjoint": "9\1"')
    edit(run, "table.tex", r"(?m)^(\\quad 1 shot.*& )(\d+ \\\\)$", r"\g<1>9\2")
    ran = bench("verify", "table.tex")
    assert ran.code == 3
    assert re.search(r"edited by hand: disjoint of 4-way 1-shot shows 9(\d+), its data allow \1$", ran.out, re.M)


@pytest.mark.usefixtures("run")
def test_images_need_not_be_at_hand(bench, monkeypatch):
    """What the database says of the data set is enough, whatever the images are called where they are cached."""
    from fewshot_bench.replay import verification

    monkeypatch.setattr(verification, "find", lambda *_: pytest.fail("the images were looked for"))
    assert (ran := bench("verify", "report.html")).code == 0
    assert "note: " not in ran.out


@pytest.mark.usefixtures("run")
def test_data_of_which_nothing_is_known_are_told(bench, monkeypatch):
    from fewshot_bench.replay import verification

    monkeypatch.setattr(verification, "_data_set", lambda *_: None)
    ran = bench("verify", "table.tex")
    assert (ran.code, ran.out.count("note: ")) == (0, 1)
    assert "column disjoint are not checked" in ran.out


@pytest.mark.parametrize("name", TABLES)
def test_deleted_facts_are_told(name, run, bench):
    edit(run, name, r"% bench .*\n| data-bench=\"[^\"]*\"", "")
    ran = bench("verify", name)
    assert (ran.code, ran.out.endswith("1 gone\n")) == (3, True)
    assert "gone: the table has no facts about its command and data" in ran.out


def test_the_list_of_cells_in_a_report(run, bench):
    edit(run, "report.html", r'(<tr id="transfer-4-way-5-shot".*?<td>)\d+\.\d+', r"\g<1>99.99")
    ran = bench("verify", "report.html")
    assert ran.code == 3
    assert "accuracy of transfer 4-way 5-shot in the list of cells shows 99.99, its facts say" in ran.out


def test_a_table_with_nothing_measured(run, bench):
    measured, mark, papers = (run.folder / "table.tex").read_text().partition("% Published")
    facts = '"keys": [], "state": "missing", "n": 0, "mean": null, "sd": null, "half_width": null, "shown": ""'
    measured = re.sub(r'"keys": .*"shown": "[^"]*"', facts, measured)
    measured = re.sub(r"(\\textbf\{)?\d+\.\d+\{\\scriptsize[^}]*\}", "---", measured)
    measured = re.sub(r'"n": "\d+"', '"n": "0"', measured)
    measured = re.sub(r"& \d+(\S* & \d+ \\\\)", r"& 0\1", measured)
    (run.folder / "empty.tex").write_text(measured + mark + papers)
    ran = bench("verify", "empty.tex")
    assert ran.code == 5
    assert "0 measured cells, 4 empty and 11 published rows: nothing measured is in the file" in ran.out


def test_a_table_made_under_another_configuration_is_rendered_again_under_that(run, bench):
    """It is named on the command line: what the file itself names is not opened."""
    (run.folder / "bench.toml").rename(run.folder / "other.toml")
    text = (run.folder / "table.tex").read_text(encoding="utf-8")
    (run.folder / "table.tex").write_text(text.replace(r"95 \% t-interval", r"99 \% t-interval"), encoding="utf-8")
    blind = bench("verify", "table.tex")
    assert (blind.code, "is not known here" in blind.out or "are not checked" in blind.out) == (0, True), blind.out
    ran = bench("verify", "table.tex", "--config", "other.toml")
    assert (ran.code, "after 'mean ±', shows '99'" in ran.out) == (3, True), ran.out


def test_help_says_what_is_not_checked(bench):
    words = " ".join(bench("verify", "--help").out.split())
    assert "Not checked are plots, images, LaTeX's labels and comments (and the notes in them), and tables" in words


LISTED, COSTS = '<tr id="transfer-4-way-5-shot">', r'<table class="cost">.*?<tbody>\s*<tr>'
EDITS = {
    "opening": (r"\bhas the highest mean accuracy\b", "has the lowest mean accuracy", "the opening, after"),
    "title": (r"<title>[^<]*", "<title>Ours wins", "the opening shows 'Ours wins'"),
    "style": (r"</style>", "td::after{content:'!'}</style>", "the page's style and script, after"),
    "hidden": (r"<p (?=id=.alarms)", "<p hidden ", "the page's style and script, after"),
    "share": (r"from 1 and 5 example images", "from 1 example images", "the section 'What was measured', after"),
    "alarms": (r"Alarms: none rang", "Alarms: several rang", "the section 'What was measured', after"),
    "alarm": (r"(none rang of .*?)falls with shots, ", r"\1", "the section 'What was measured', after"),
    "caption": (r"n = 6 episodes a cell", "n = 600 episodes a cell", "the section 'Accuracy', after"),
    "note": (r"it covers the sampler only", "it covers everything", "the section 'Accuracy', after"),
    "bold": (r'class="done best"', 'class="done"', r"(transfer|protonet) 4-way [15]-shot shows .*, what is stored"),
    "bolder": (
        r'(class="done" [^>]*>)(<a .*?</a>)',
        r"\1<b>\2</b>",
        r"\w+ 4-way [15]-shot shows .* in bold, what is stored",
    ),
    "section": (r"<section>", "<section><h2>Summary</h2><p>Ours wins.</p></section><section>", "the section 'Summary'"),
    "cost row": (rf"({COSTS}.*?)(</tbody>)", r"\1<tr><th>ours</th><td>0</td></tr>\2", "a row of the table of cost"),
    "data": (rf"({LISTED}(?:.*?<td>){{5}})[^<]+", r"\g<1>0.01", "data of transfer 4-way 5-shot in the list"),
    "key": (rf"({LISTED}.*?<code>)..", r"\g<1>zz", "keys of transfer 4-way 5-shot in the list"),
    "cost": (rf"({COSTS}.*?<td>0</td>.*?<td>)\d+", r"\g<1>99", "iterations of .* in the table of cost"),
    "provenance": (r"<dt>data set</dt><dd>", "<dt>data set</dt><dd>mini", "the section 'Provenance', after"),
    "commit": (r"(data-bench=.*?&#34;commit&#34;: &#34;)", r"\g<1>x", "the table has commit x"),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_what_was_read_by_nobody_is_rendered_again(what, run, bench):
    pattern, new, said = EDITS[what]
    edit(run, "report.html", f"(?s){pattern}", new)
    ran = bench("verify", "report.html")
    assert (ran.code, ran.err) == (3, "")
    assert re.search(rf"^line \d+: edited by hand: {said}", ran.out, re.M) or said in ran.out, ran.out
    assert ran.out.endswith("1 edited\n"), ran.out


def test_marks_caption_and_notes_in_latex(run, bench):
    for pattern, new, said in (
        (
            r"(?m)^(\\quad 1 shot.*?)\\textbf\{(\S+)\}",
            r"\1\2",
            r"4-way 1-shot shows .*, what is .* in bold",
        ),
        (r"(?m)^(\\quad 5 shots & \S+)", r"\1$^\\dagger$", r"4-way 5-shot shows .* †"),
        (
            r"95 \\% t-interval",
            r"99 \\% t-interval",
            "the caption, after 'mean ±', shows '99', what is .*'95'",
        ),
        (r"Bold: the highest mean", "Bold: our mean", "the notes, after 'image.? Bold:?|the notes, after"),
    ):
        text = (run.folder / "table.tex").read_text(encoding="utf-8")
        edit(run, "table.tex", pattern, new)
        ran = bench("verify", "table.tex")
        (run.folder / "table.tex").write_text(text, encoding="utf-8")
        assert (ran.code, ran.out.endswith("1 edited\n")) == (3, True), ran.out
        assert re.search(said, ran.out), ran.out


def test_words_of_the_author_around_a_table_are_no_edits(run, bench):
    path = run.folder / "table.tex"
    text = path.read_text(encoding="utf-8").replace("\\caption{", "\\caption{\\textbf{Ours.} ", 1)
    path.write_text("We win by 12.34 points.\n" + text + "\nAs the table shows, n = 5.\n", encoding="utf-8")
    assert bench("verify", "table.tex").code == 0


def test_tuned_rules_stand_beside_those_of_bench_toml_and_both_are_true(run, bench):
    """A table of each, in every format; an edit in the second one is found like one in the first."""
    run.write_rules()
    assert bench("run", "-q", "--rules", "tuned.toml").code == 0
    texts = {}
    for format_ in ("markdown", "latex", "html", "csv", "json"):
        texts[format_] = bench("report", "--rules", "tuned.toml", "--format", format_).out
    tuned = "fitted by rules tuned by one procedure (tuned.toml, SHA-256 "
    for format_ in ("markdown", "latex", "html"):
        text = re.sub(r"\\(.)", r"\1", texts[format_])
        assert 0 < text.index(tuned) < text.index("fitted by the rule of bench.toml, ")
    rules = [line.rsplit(",", 1)[1] for line in texts["csv"].splitlines()[1:]]
    assert len(rules) == 8
    assert len(set(rules[:4])) == len(set(rules[4:])) == 1
    both = json.loads(texts["json"])
    cells = [{(c["variant"], c["n_shot"]): c["mean"] for row in table["rows"] for c in row["cells"]}
             for table in (both, both["beside"])]  # fmt: skip
    assert cells[0]["protonet", 1] == cells[1]["protonet", 1]  # nothing of it is fitted
    assert cells[0]["transfer", 1] != cells[1]["transfer", 1]
    for name, format_ in TABLES.items():
        (run.folder / name).write_text(texts[format_], encoding="utf-8")
        ran = bench("verify", name)
        assert (ran.code, "8 measured cells" in ran.out) == (0, True), ran.out
        head, table, rest = texts[format_].partition("the rule of bench.toml, ")
        changed = re.sub(r"\d\d\.\d\d( <small>| *\{)", r"99.99\1", rest, count=1)
        assert changed != rest
        (run.folder / name).write_text(head + table + changed, encoding="utf-8")
        ran = bench("verify", name)
        assert (ran.code, "shows 99.99" in ran.out) == (3, True), ran.out
