"""The command line from an empty folder to a table: what each command does, prints and leaves behind."""

import json
import re
import sqlite3

import pytest

from fewshot_bench.config import packaged_text
from fewshot_bench.results.store.checksums import episodes_sha256
from fewshot_bench.results.store.writing import COUNTED

NAMES = ["transfer-4w1s-s0", "transfer-4w5s-s0", "protonet-4w1s-s0", "protonet-4w5s-s0"]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def rows(place, query: str) -> list:
    connection = sqlite3.connect(place.database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_dry_run_says_everything_and_touches_nothing(place, bench):
    before = sorted(place.folder.rglob("*"))
    ran = bench("run", "-n")
    assert (ran.code, ran.err) == (0, "")
    assert all(name in ran.out for name in NAMES)
    assert "4 cells: 0 done, 0 partial, 0 failed, 4 to do, from 2 trainings" in ran.out
    assert sorted(place.folder.rglob("*")) == before


def test_a_dry_run_cuts_nothing_at_80_columns(place, bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "transfer-with-longer-name"
    place.add(f'[methods.{name}]\nmethod = "transfer"\nadaptation = {{ steps = 1 }}\n')
    lines = bench("run", "-n", "--method", f"transfer,{name}").out.splitlines()
    assert lines[0].split() == ["key", "serves", "updates", "state", "training", "testing"]
    assert name in lines[2].split()
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("place")
def test_a_dry_run_as_json(bench):
    plan = json.loads(bench("run", "-n", "--json").out)
    assert [(c["cell"], c["state"], c["wanted"]) for c in plan["cells"]] == [(n, "todo", 6) for n in NAMES]
    assert [(t["serves"], t["iterations"]) for t in plan["trainings"]] == [("transfer", 6), ("protonet", 6)]
    assert all(t["timed_now"] and t["expected_seconds"] > 0 < t["expected_test_seconds"] for t in plan["trainings"])
    assert plan["expected_seconds"] == pytest.approx(
        sum(t["expected_seconds"] + t["expected_test_seconds"] for t in plan["trainings"])
    )


def test_a_run_fills_the_grid_and_running_again_does_nothing(place, bench):
    first = bench("run")
    assert (first.code, first.out) == (0, "")
    for name in NAMES:
        assert len(re.findall(rf"^{name} +\d+\.\d+ (± \d+\.\d+|\(\d+\.\d+–\d+\.\d+\)) %", first.err, re.M)) == 1
    assert "4 cells done" in first.err
    stored = rows(place, "SELECT * FROM episodes ORDER BY 1, 2")
    assert len(stored) == 4 * 6
    folder = place.folder / "out" / "checkpoints"
    assert sorted(p.suffix for p in folder.iterdir()) == [".safetensors"] * 2  # nothing partial is left

    again = bench("run")
    assert again.code == 0
    assert "4 cells: 4 done, 0 partial, 0 failed, 0 to do, from 0 trainings" in again.err
    assert rows(place, "SELECT * FROM episodes ORDER BY 1, 2") == stored
    assert rows(place, "SELECT exit_code FROM runs") == [(0,)]  # nothing ran, so no run is recorded


def test_a_larger_grid_does_only_what_is_missing(place, bench):
    assert bench("run", "--method", "transfer", "--shot", "1").code == 0
    trained = rows(place, "SELECT key, checkpoint, seconds FROM trainings")
    ran = bench("run", "--method", "transfer")
    assert "2 cells: 1 done, 0 partial, 0 failed, 1 to do, from 1 trainings" in ran.err
    assert rows(place, "SELECT key, checkpoint, seconds FROM trainings") == trained
    place.add("\n[budgets.more]\niterations = { other = 6 }\nepisodes = { 1 = 9 }\nadaptation = {}\n")
    ran = bench("run", "--method", "transfer", "--shot", "1", "--budget", "more")
    assert "1 partial" in ran.err
    assert [n for (n,) in rows(place, "SELECT n_episodes FROM cells ORDER BY n_shot")] == [9, 6]


@pytest.mark.usefixtures("place")
def test_filters_and_lists(bench):
    ran = bench("run", "-n", "--json", "-k", "transfer and not 5s", "--way", "2,3", "--way", "3", "--seed", "0,7")
    names = [c["cell"] for c in json.loads(ran.out)["cells"]]
    assert sorted(names) == sorted(f"transfer-{way}w1s-s{seed}" for way in (2, 3) for seed in (0, 7))


@pytest.mark.usefixtures("place")
def test_results_as_json_lines(bench):
    ran = bench("run", "--json", "-q", "--shot", "1")
    cells = [json.loads(line) for line in ran.out.splitlines()]
    assert [c["cell"] for c in cells] == [NAMES[0], NAMES[2]]
    assert all(0 <= c["accuracy"] <= 1 for c in cells)
    assert ran.err == ""


@pytest.mark.usefixtures("place")
def test_status_and_show(bench):
    bench("run", "--shot", "1")
    status = bench("status").out
    assert "trainings: 2 finished" in status
    assert "episodes:  12" in status
    assert "exit code 0" in status
    found = json.loads(bench("status", "--json").out)
    key = next(cell["key"] for cell in found["cells"] if cell["variant"] == "protonet")
    assert key in bench("status", "-v").out
    shown = bench("show", key[:8]).out
    for fact in (key, "protonet, seed 0", "4-way 1-shot", "SHA-256", "bench run --grid tiny", "torch", "cpu"):
        assert fact in shown, fact
    assert bench("show", "protonet-4w1s-s0").out == shown
    facts = json.loads(bench("show", key, "--json").out)
    assert len(facts["episodes"]) == 6
    assert facts["training"]["identity"]["settings"]["train_way"] == 5


def with_one_count(place, key, n_correct):
    """Every episode of a cell has this count, as if so measured."""
    connection = sqlite3.connect(place.database)
    connection.execute("UPDATE episodes SET n_correct = ? WHERE cell_key = ?", (n_correct, key))
    counted = ", ".join(COUNTED)
    found = connection.execute(f"SELECT {counted} FROM episodes WHERE cell_key = ? ORDER BY number", (key,))  # noqa: S608
    connection.execute("UPDATE cells SET sha256 = ? WHERE key = ?", (episodes_sha256(found.fetchall()), key))
    connection.commit()
    connection.close()


def test_show_the_lines_of_run_and_the_report_print_one_interval(place, bench, reseal):
    """Also where every episode has the same count: 26.67 ± 0.24 is not 26.67 ± 0.00."""
    ran = bench("run", "--shot", "1", "--method", "protonet").err
    (key,) = rows(place, "SELECT key FROM cells")[0]
    total = rows(place, "SELECT n_queries FROM episodes")[0][0]
    for counts in (None, total // 3):
        if counts:
            with_one_count(place, key, counts)
            reseal(place.database)
        shown = re.search(r"accuracy +([\d.]+ ± [\d.]+) % over 6 episodes", bench("show", key).out)[1]
        assert (shown in ran) == (counts is None)
        assert not shown.endswith("± 0.00")
        out = bench("report", "--format", "markdown", "--shot", "1", "--method", "protonet").out
        assert shown in out
        document = json.loads(bench("report", "--format", "json", "--shot", "1", "--method", "protonet").out)
        (cell,) = document["rows"][0]["cells"]
        assert shown == f"{100 * cell['mean']:.2f} ± {100 * cell['half_width']:.2f}"


def test_the_command_that_show_names_repeats_the_cell(place, bench):
    bench("run", "--shot", "1", "--method", "protonet")
    (command, key, sha256), *_ = rows(place, "SELECT command, key, sha256 FROM cells")
    place.database.unlink()
    assert bench(*command.split()[1:]).code == 0
    assert rows(place, "SELECT key, sha256 FROM cells") == [(key, sha256)]


def test_settings_on_the_command_line(place, bench):
    """They are in the plan, in the repeat command and in what reading falls back to, as if they stood in the file."""
    bench("run", "--shot", "1", "--method", "protonet")
    chosen = ("--shot", "1", "--method", "protonet", "--set", "methods.protonet.train_way=6")
    assert "0 done" in bench("run", "-n", *chosen).out
    assert bench("run", *chosen).code == 0
    keys = json.loads(bench("run", "-n", "--json", *chosen).out)["cells"]
    place.add('[methods.six]\nmethod = "protonet"\ntrain_way = 6\n')
    as_in_file = json.loads(bench("run", "-n", "--json", "--shot", "1", "--method", "six").out)["cells"]
    assert [cell["key"] for cell in keys] == [cell["key"] for cell in as_in_file]
    shown = bench("show", keys[0]["key"]).out
    assert len(re.findall(r"(?:repeat|run) .*--set methods.protonet.train_way=6", shown)) == 2
    told = bench("report", "--format", "csv", "--shot", "1", "--method", "protonet")
    assert "as in the last run: --set=methods.protonet.train_way=6" in told.err
    assert keys[0]["key"] in told.out
    assert bench("why", "protonet-4w1s-s0", "--set", "methods.protonet.train_way=6").out.count("up to date") == 1
    ran = bench("run", "-n", "--set", "methods.maml.inner_stps=3", "--method", "maml")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "with --set methods.maml.inner_stps=3: [methods.maml] has no key 'inner_stps'" in ran.err


def test_stale_results_are_told(place, bench):
    bench("run", "--shot", "1", "--method", "transfer")
    place.add('[methods.transfer]\nmethod = "transfer"\nlr = 0.01\n')
    assert "1 stale" in bench("run", "-n", "--shot", "1", "--method", "transfer").out


@pytest.mark.usefixtures("place")
def test_lists(bench):
    methods = bench("list", "methods", "-v").out
    assert re.search(r"^maml +maml: first_order = false, inner_lr_per_way = ", methods, re.M)
    assert re.search(r"^fomaml +maml: first_order = true", methods, re.M)
    assert "strokes" in bench("list", "datasets").out
    assert re.search(r"^tiny +4 cells: transfer protonet", bench("list", "grids").out, re.M)


def test_init_writes_the_packaged_file_once(place, bench):
    (place.folder / "bench.toml").unlink()
    assert bench("init").code == 0
    assert (place.folder / "bench.toml").read_text(encoding="utf-8") == packaged_text()
    again = bench("init")
    assert (again.code, "exists already" in again.err) == (2, True)


COMMANDS = ["run", "report", "check", "status", "show", "list", "init"]


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)])
def test_help_names_everything(words, bench):
    ran = bench(*words, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Usage: bench")
    if not words:
        assert all(re.search(rf"^  {command} ", ran.out, re.M) for command in COMMANDS)
    else:  # every option says what it does
        for line in re.findall(r"^  (-.*)$", ran.out, re.M):
            assert re.search(r"  \S", line) or line in ran.out.replace("\n" + " " * 10, ""), line


def test_nothing_is_asked_for_and_help_is_shown(bench):
    ran = bench()
    assert ran.code == 2
    assert ran.err.startswith("Usage: bench [OPTIONS] COMMAND")


@pytest.mark.usefixtures("place")
def test_a_pipe_gets_plain_text(bench, monkeypatch):
    """No colours, cursor moves or progress bars where nobody looks at a screen."""
    for words in (["run", "-n"], ["run", "--shot", "1"], ["status"], ["report", "--format", "markdown"]):
        ran = bench(*words)
        assert CONTROL.findall(ran.out + ran.err) == [], words


@pytest.mark.usefixtures("place")
def test_a_pipe_is_not_wrapped(bench):
    out = bench("run", "-n").out
    for cell in json.loads(bench("run", "-n", "--json").out)["cells"]:
        assert re.search(rf"^{cell['cell']} +{cell['key']} +todo +0/6$", out, re.M)
        assert cell["training"] in out  # whole, not cut to fit a terminal that is not there


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.usefixtures("place")
def test_no_color_is_heeded(no_color, bench, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    ran = bench("run", "--method", "hopeless", "--shot", "1")
    assert "failed" in ran.err
    assert bool(re.search(r"\x1b\[[0-9;]*3[1-7]m", ran.err)) != no_color
