"""`bench run --until separated`: looks planned beforehand, decisions from their episodes alone, exact resuming."""

import json
import re
import shutil
import signal
import sqlite3

import pytest

STOP_AT_THE_SECOND_LOOK = """
import os, signal
from fewshot_bench.running import runner
from fewshot_bench.results import store
runner.CHUNK_SECONDS, record, asked = 0.0, store.Writer.record_episodes, []
def recording(self, cell, label, command, results, seconds):
    record(self, cell, label, command, results, seconds)
    if results[-1].number == 8 and not asked:
        asked.append(os.kill(os.getpid(), signal.SIGINT))
store.Writer.record_episodes = recording
"""


def rows(place, query: str) -> list:
    connection = sqlite3.connect(place.database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def episodes(place) -> list:
    return rows(place, "SELECT cell_key, number, episode_id, n_correct FROM episodes ORDER BY 1, 2")


def told(text: str) -> list[str]:
    """What was decided: all lines about looks and the result, not what was done for them."""
    return [line for line in text.splitlines() if re.match(r"analysis \d+:$|  \d+-way|   |result", line)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Where the first test leaves its results for the others."""
    return tmp_path_factory.mktemp("finished")


# twin is hardly another than transfer: these two are never told apart
TWIN = '[methods.twin]\nmethod = "transfer"\nlr = 0.00101\n'
UNTIL = ("run", "--until", "separated", "--max-episodes", "24", "--method", "transfer,protonet,twin")


@pytest.fixture
def place(place):
    place.add(TWIN)
    return place


@pytest.fixture
def whole(place, bench, finished):
    """What an uninterrupted run said; its database is in place."""
    if (finished / "said").exists():
        shutil.copytree(finished / "out", place.folder / "out")
    else:
        ran = bench(*UNTIL)
        assert ran.code == 0, ran.err
        shutil.copytree(place.folder / "out", finished / "out")
        (finished / "said").write_text(ran.err)
    return (finished / "said").read_text()


def test_episodes_are_added_look_by_look(whole, place):
    assert rows(place, "SELECT DISTINCT n_episodes FROM cells") == [(24,)]
    assert "analysis 1: 6 cells: 0 done, 0 partial, 0 failed, 6 to do" in whole
    for look, n in ((1, 6), (2, 12), (3, 24)):
        assert re.search(rf"^analysis {look}:\n  4-way 1-shot    {n} episodes: \d of 3 pairs separated", whole, re.M)
    said = " ".join(whole.split())
    # more episodes than share no image are no obstacle to a test for other classes
    assert "not separated with 24 episodes (at most 5 episodes without a shared image)" in said
    assert "transfer/twin" in said[said.index("result:") :]
    assert "One training seed: this compares checkpoints, not methods." in said


def test_running_again_does_nothing_and_says_the_same(whole, place, bench):
    stored, runs = episodes(place), rows(place, "SELECT * FROM runs")
    again = bench(*UNTIL)
    assert again.code == 0
    assert told(again.err) == told(whole)
    assert (episodes(place), rows(place, "SELECT * FROM runs")) == (stored, runs)


def test_what_was_stored_beyond_a_look_changes_no_decision(whole, place, bench):
    stored = episodes(place)
    shutil.rmtree(place.folder / "out")
    assert bench("run", "--episodes", "24", "--method", "transfer", "-q").code == 0
    assert bench("run", "--episodes", "10", "--method", "protonet,twin", "-q").code == 0
    ran = bench(*UNTIL)
    assert told(ran.err) == told(whole)
    assert episodes(place) == stored


def test_interrupted_within_a_look_the_same_command_goes_on(whole, place, bench):
    stored = episodes(place)
    shutil.rmtree(place.folder / "out")
    stopped = place.in_own_process(*UNTIL, before=STOP_AT_THE_SECOND_LOOK)
    assert stopped.code == 128 + signal.SIGINT
    assert "stopped; " in stopped.err
    assert "Continue with: bench run --until separated --max-episodes 24" in stopped.err
    assert "result:" not in stopped.err
    assert len(episodes(place)) < len(stored)
    again = bench(*UNTIL)
    assert (again.code, told(again.err)) == (0, told(whole))
    assert episodes(place) == stored


@pytest.mark.slow
def test_workers_find_the_same(place, bench):
    words = (*UNTIL, "--max-episodes", "12", "--shot", "1")
    # the first look is there already: each that computes starts workers of its own
    assert bench("run", "-q", "--method", "transfer,protonet,twin", "--shot", "1").code == 0
    ran = place.in_own_process(*words, "--jobs", "2")
    assert ran.code == 0, ran.err
    stored = episodes(place)
    shutil.rmtree(place.folder / "out")
    assert told(bench(*words).err) == told(ran.err)
    assert episodes(place) == stored


@pytest.mark.usefixtures("place")
def test_as_json(whole, bench):
    ran = bench(*UNTIL, "--json", "-q")
    assert (ran.code, ran.err) == (0, "")
    looks = [json.loads(line) for line in ran.out.splitlines()]
    assert [look["look"] for look in looks] == list(range(1, len(looks) + 1))
    first, *_, last = looks
    assert {pair["episodes"] for pair in first["pairs"]} == {6}
    assert {pair["episodes"] for pair in last["pairs"]} == {24}
    assert {pair["scope"] for pair in last["pairs"]} == {"for classes like these"}
    assert not any(p["separated"] for p in last["pairs"] if {p["first"], p["second"]} == {"transfer", "twin"})
    for pair in last["pairs"]:
        assert pair["disjoint_episodes"] == 7 * (12 // (pair["n_shot"] + 3)) // 4


def test_a_dry_run_shows_the_looks_and_touches_nothing(place, bench):
    before = sorted(place.folder.rglob("*"))
    ran = bench(*UNTIL, "-n")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"4-way 1-shot +6 +12 +24 ", ran.out)
    assert "6 to do, from 3 trainings" in ran.out
    assert sorted(place.folder.rglob("*")) == before
    plan, looks = map(json.loads, bench("run", "--until", "separated", "-n", "--json").out.splitlines())
    assert len(plan["cells"]) == 4
    assert looks["looks"][0] == {"n_way": 4, "n_shot": 1, "episodes": [6, 12, 24, 48]}
    assert looks["pairs"] == 2


def test_clear_differences_need_no_more_looks(place, bench):
    place.add(
        "\n[budgets.more]\niterations = { other = 60 }\nepisodes = { 1 = 40 }\nadaptation = {}\n"
        '[methods.idle]\nmethod = "transfer"\nlr = 1e-9\n'
    )
    words = ("run", "--until", "separated", "--budget", "more", "--method", "protonet,idle", "--shot", "5")
    ran = bench(*words)
    assert ran.code == 0
    assert re.search(r"separated with (40|80|160) episodes: protonet > idle", ran.err), ran.err
    assert "It speaks for classes like these." in " ".join(ran.err.split())
    assert re.search("protonet > idle|idle > protonet", " ".join(ran.err.split()))
    assert rows(place, "SELECT MAX(n_episodes) FROM cells")[0][0] < 320


@pytest.mark.usefixtures("place")
def test_failed_cells_are_not_waited_for(bench):
    words = (*UNTIL, "--max-episodes", "12", "--method", "hopeless", "--shot", "1")
    ran = bench(*words)
    assert ran.code == 4
    assert ran.err.count("failed: ") == 1
    assert "3 pairs without results" in " ".join(ran.err.split())
    again = bench(*words, "--retry-failed")
    assert again.code == 4
    assert again.err.count("failed: ") == 1  # tried once more, not once a look


@pytest.mark.usefixtures("place")
def test_several_seeds_compare_methods(bench):
    words = (*UNTIL, "--max-episodes", "6", "--shot", "1")
    ran = bench(*words, "--seed", "0,1")
    assert ran.code == 0
    assert "2 training seeds: this compares methods" in ran.err
    assert "corrects for the pairs of one setting." in " ".join(ran.err.split())
    ran = bench(*words, "--seed", "0,1,2")
    assert "of one setting, and takes from other pairs how seeds vary." in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--max-episodes", "24"], 2, "--max-episodes needs --until separated"),
        (
            ["--until", "separated", "--max-episodes", "4"],
            2,
            "--max-episodes 4 is fewer than the 6 of the first analysis",
        ),
        (["--until", "separated", "--method", "transfer"], 5, "choose at least two"),
        (["--until", "separated", "--training", "ab"], 2, "--training tests nothing"),
        (["--until", "bored"], 2, "'bored' is not"),
    ],
)
@pytest.mark.usefixtures("place")
def test_errors_are_one_line(words, code, says, bench):
    ran = bench("run", *words)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
