"""What a user can get wrong: one line on stderr that says what, an exit code of its own, and no traceback."""

import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

LONG = "x" * 300  # a name that no file can have, and of which Path.exists raises an OSError

# words of the command -> exit code, what the line must say
WRONG = {
    ("rnu",): (2, "No such command 'rnu'"),
    ("run", "--gird", "full"): (2, "No such option '--gird'. Did you mean '--grid'"),
    ("run", "--grid", "ful"): (2, "unknown grid 'ful': did you mean 'full'"),
    ("run", "--method", "mamll"): (2, "unknown method 'mamll': did you mean 'maml'"),
    ("run", "--budget", "tini"): (2, "unknown budget 'tini': did you mean 'tiny'"),
    ("run", "--split", "papre"): (2, "unknown split 'papre': did you mean 'paper'"),
    ("run", "--protocol", "both"): (2, "'both' is not one of 'single', 'matched'"),
    ("run", "--way", "five"): (2, "'five' is not a valid int"),
    ("run", "--way", "1"): (2, "1 is not in the range 2<=x"),
    ("run", "--way", "4,"): (2, "'' is not a valid int"),
    ("run", "--way", "8"): (2, "8-way 1-shot needs 8 classes, but there are 7 novel classes"),
    ("run", "--shot", "10"): (2, "class 'class07', one of the novel classes in split 'paper', has 12: choose fewer"),
    ("run", "--set", "methods.protonet.train_way=99"): (
        2,
        "lower what protonet trains on ([training] way and shot, train_way of [methods.protonet], query of [training])",
    ),
    ("run", "--method", "reptile", "--set", "training.way=4"): (2, "train_shot of [methods.reptile]"),
    ("run", "--protocol", "matched", "--set", "training.query=99"): (2, "trains on (tested way and shot, train_way of"),
    ("run", "--seed", "2147483648"): (2, "2147483648 is not in the range"),
    ("run", "--jobs", "-1"): (2, "-1 is not in the range 0<=x<=512"),
    ("run", "--seed", "-1"): (2, "-1 is not in the range 0<=x"),
    ("run", "--threads", "0"): (2, "0 is not in the range 1<=x<=512"),
    ("run", "--device", "tpu"): (2, "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
    ("run", "--data", "nowhere/photos"): (2, "there is no nowhere/photos"),
    ("run", "--data", "strokse"): (2, "no folder or file strokse here, and no data set of that name (did you mean"),
    ("run", "--data", "."): (2, "is in no known layout"),
    ("run", "--config", "none.toml"): (2, "none.toml: cannot be read: No such file"),
    ("tune", "-o", "none/tuned.toml"): (2, "none/tuned.toml: its folder is not there: make it"),
    ("run", "-k", "maml and"): (2, "expected a word, found the end"),
    ("run", "-k", "(" * 5000): (2, "it is nested more than 50 deep"),
    ("run", "-k", "not " * 5000 + "maml"): (2, "it is nested more than 50 deep"),
    ("run", "--timeout", "nan"): (2, "'nan' is not finite"),
    ("run", "--timeout", "inf"): (2, "'inf' is not finite"),
    ("compare", "--margin", "nan"): (2, "'nan' is not finite"),
    ("compare", LONG, "maml"): (2, f"unknown method '{LONG[:10]}"),
    ("status", "--out", LONG): (6, f"{LONG}/results.sqlite: File name too long"),
    ("check", "--against", LONG): (2, f"{LONG}: File name too long"),
    ("import", LONG): (2, f"{LONG}: File name too long"),
    ("merge", LONG): (2, f"{LONG}: File name too long"),
    ("run", "-k", "nothing"): (5, "-k 'nothing' matches none of the cells"),
    ("run", "--out", "bench.toml"): (2, "bench.toml"),
    ("report", "--format", "pdf"): (2, "'pdf' is not one of"),
    ("report", "-o", "x"): (2, "-o needs --format"),
    ("report",): (6, "there are no results yet; make some with `bench run`"),
    ("status",): (6, "there are no results yet"),
    ("report", "--out", "else where"): (6, "there are no results yet; make some with `bench run --out 'else where'`"),
    ("show",): (2, "Missing argument 'CELL'"),
    ("show", "abc"): (6, "there are no results yet"),
    ("list",): (2, "Choose from: methods, datasets, grids"),
    ("list", "animals"): (2, "'animals' is not one of"),
    ("check",): (2, "Missing option '--against'"),
    ("check", "--against", "x", "--margin", "101"): (2, "101"),
    ("check", "--against", "x", "--margin", "nan"): (2, "nan"),
    ("init", "--force"): (2, "No such option"),
}  # fmt: skip


def one_line(ran, code: int, said: str) -> None:
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1, ran.err
    assert ran.err.startswith("bench: error: ")
    assert said in ran.err


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:50])
def test_a_wrong_command_is_one_line(words, place, bench):
    before = sorted(place.folder.rglob("*"))
    one_line(bench(*words), *WRONG[words])
    assert sorted(place.folder.rglob("*")) == before  # it was found before anything was made


# what is wrong in bench.toml -> what the line must say
CONFIGS = {
    "[run\n": "bench.toml: not valid TOML",
    "[modell]\nfilters = 4\n": "there is no section [modell]: did you mean 'model'",
    "[grids.mine]\nmethods = []\nways = [4]\nshots = [1]\nseeds = [0]\n": "[grids.mine] methods = []",
    '[methods.mine]\nmethod = "maml"\ninner_lrr = 1\n': "[methods.mine] has no key 'inner_lrr'",
    '[methods.mine]\nmethod = "maml"\nlr = nan\n': "[methods.mine] lr = nan",
    '[methods.mine]\nmethod = "mmal"\n': "[methods.mine] method = 'mmal' is not installed here: did you mean 'maml'",
    '[methods.mine]\nmethod = "protonet"\ntrain_way = 7\n': "6 base classes in split 'paper' to train mine on",
}


def test_a_configuration_that_is_named_is_the_only_one_read(place, bench):
    own = place.folder / "bench.toml"
    own.rename(place.folder / "mine.toml")
    own.write_text("no = = toml")
    assert bench("run", "-n", "--config", "mine.toml").code == 0


@pytest.mark.parametrize("toml", CONFIGS)
def test_a_wrong_configuration_is_one_line(toml, place, bench):
    place.add("\n" + toml)
    one_line(bench("run", "--method", "mine"), 2, CONFIGS[toml])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; `--write` makes one"),
        ("{", "not a file of stored accuracies"),
        ("[]", "not a baseline"),
        ('{"schema": 99}', "baseline schema 99"),
        ('{"schema": 1}', "not a baseline"),
    ],
)
def test_a_wrong_baseline_is_one_line(content, said, place, bench):
    bench("run", "-q", "--shot", "1", "--method", "transfer")
    if content is not None:
        (place.folder / "base.json").write_text(content)
    one_line(bench("check", "--against", "base.json"), 2, said)


@pytest.mark.usefixtures("place")
def test_a_cell_that_is_not_there(bench):
    bench("run", "-q", "--shot", "1", "--method", "transfer")
    one_line(bench("show", "zz"), 5, "no cell's key starts with 'zz'")
    one_line(bench("show", os.fsdecode(b"\xff")), 5, r"no cell's key starts with '\udcff'")
    one_line(bench("show", os.fsdecode(b"\xff-4w1s-s0")), 5, r"\udcff-4w1s-s0 is not stored")


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("sqlite://", 2, "in memory"),
        ("mysql://host/db", 2, "mysql cannot be used"),
        ("no/such/folder/x.sqlite", 6, "there are no results yet"),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_wrong_database_is_one_line(url, code, said, bench, monkeypatch):
    monkeypatch.setenv("BENCH_DB", url)
    one_line(bench("status"), code, said)


@pytest.mark.parametrize("words", [["run"], ["run", "-n"], ["report"], ["status"]], ids=" ".join)
def test_another_programs_database_is_one_line(words, place, bench):
    place.database.parent.mkdir()
    connection = sqlite3.connect(place.database)
    connection.execute("CREATE TABLE photos (id)")
    connection.commit()
    connection.close()
    before = place.database.read_bytes()
    ran = bench(*words)
    assert ran.code == 6
    assert "another program's database" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert place.database.read_bytes() == before


def test_other_results_for_stored_episodes_are_a_conflict(place, bench, provenance, monkeypatch):
    """Two runs at once whose machines do not agree: the second one stops, and the first one's numbers stay."""
    from fewshot_bench.methods.transfer import Transfer
    from fewshot_bench.results.store import Writer

    words, record, firsts, stored = ["run", "--shot", "1", "--method", "transfer"], Writer.record_episodes, [], []
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "record_episodes", lambda self, *what: [firsts.append(what), record(self, *what)])
        assert bench(*words).code == 0
    shutil.rmtree(place.folder / "out")

    def episodes():
        with closing(sqlite3.connect(place.database)) as connection:
            return connection.execute("SELECT * FROM episodes").fetchall()

    def second(self, *what):
        record(Writer(str(place.database), provenance), *firsts[0])  # the first run is a moment faster
        stored.extend(episodes())
        record(self, *what)

    monkeypatch.setattr(Writer, "record_episodes", second)
    monkeypatch.setattr(Transfer, "predict", lambda self, e, rule: -1e-9 * e.query_labels[..., None].expand(-1, -1, 4))
    ran = bench(*words)
    assert ran.code == 6
    assert re.search(r"correct now, \d+/12 stored; nothing was changed", ran.err.splitlines()[-1])
    assert "Traceback" not in ran.err
    assert episodes() == stored != []


@pytest.mark.usefixtures("place")
def test_a_method_that_diverges_fails_alone(bench):
    ran = bench("run", "--method", "hopeless,transfer")
    assert ran.code == 4
    assert re.search(r"hopeless-4w1s-s0  failed: training diverged: \w+ not finite at iteration \d", ran.err)
    assert "2 cells done, 2 cells failed" in ran.err
    assert "Traceback" not in ran.err
    assert "2 done, 0 partial, 2 failed" in bench("run", "-n", "--method", "hopeless,transfer").out
    assert bench("run", "--method", "hopeless,transfer").code == 4  # and says so again, without training
    assert "training diverged" in bench("status").out
    retried = bench("run", "--method", "hopeless", "--retry-failed")
    assert (retried.code, "2 cells failed" in retried.err) == (4, True)
    assert "failed" in bench("report", "--format", "csv", "--method", "hopeless,transfer").out


@pytest.mark.usefixtures("place")
def test_a_method_that_breaks_fails_alone_and_v_shows_why(bench, monkeypatch):
    from fewshot_bench.methods.protonet import ProtoNet

    def breaks(self, source):
        raise RuntimeError("a bug\nin two lines")

    monkeypatch.setattr(ProtoNet, "step", breaks)
    ran = bench("run", "--shot", "1")
    assert (ran.code, "Traceback" in ran.err) == (4, False)
    assert "protonet-4w1s-s0  failed: training broke" in ran.err
    assert "RuntimeError: a bug in two lines" in ran.err
    assert "transfer-4w1s-s0 " in ran.err
    assert "Traceback" in bench("run", "--shot", "1", "--retry-failed", "-v").err


def test_checkpoints_that_cannot_be_written_end_the_run_but_fail_no_cell(place, bench):
    (place.folder / "out").mkdir()
    (place.folder / "out" / "checkpoints").touch()
    ran = bench("run", "--shot", "1", "--method", "transfer")
    assert ran.code == 1
    assert re.match("bench: error: out/checkpoints.*cannot be written", ran.err.splitlines()[-1])
    assert "Traceback" not in ran.err
    (place.folder / "out" / "checkpoints").unlink()
    assert bench("run", "--shot", "1", "--method", "transfer").code == 0  # no --retry-failed is needed


@pytest.mark.usefixtures("place")
def test_a_folder_that_cannot_be_made_is_one_line(bench):
    ran = bench("run", "--out", "bench.toml/below")
    assert ran.code == 6
    assert ran.err.splitlines()[-1] == "bench: error: bench.toml/below: Not a directory; choose another --out"
    assert "Traceback" not in ran.err


def test_a_report_that_cannot_be_written_is_one_line(place, bench):
    bench("run", "-q", "--shot", "1", "--method", "transfer")
    one_line(bench("report", "--format", "csv", "-o", "bench.toml/x"), 2, "bench.toml")
    (place.folder / "out" / "plots").touch()
    one_line(bench("report", "--shot", "1", "--method", "transfer"), 2, "out/plots: cannot be written: File exists")
