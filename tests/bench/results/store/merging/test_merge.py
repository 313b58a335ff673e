"""`bench merge`: union where two databases agree, and where they do not, nothing at all."""

import json
from dataclasses import replace
from pathlib import Path

from fewshot_bench.results.store import Reader

OURS, OTHER = "out/results.sqlite", "other/results.sqlite"


def test_everything_comes_into_an_empty_folder(store, bench, cell, other_cell, episode, measured):
    answered = [episode(i, answers=bytes(12)) for i in range(4)]
    store(OTHER, (cell, answered), (other_cell, [episode(i) for i in range(3)]))
    before = Path(OTHER).read_bytes()
    ran = bench("merge", "other")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "merged: 2 cells new, 0 extended, 0 equal",
        "trainings: 1 new",
        "no weights came for 1 training: `bench replay` of such cells will need --retrain",
    ]
    assert measured(OURS) == measured(OTHER)
    assert Path(OTHER).read_bytes() == before
    assert Reader(OURS).episodes([cell.key])[cell.key] == tuple(answered)


def test_merging_again_says_nothing_new_and_does_not_touch_the_file(store, bench):
    store(OTHER)
    bench("merge", OTHER)
    before = Path(OURS).read_bytes()
    ran = bench("merge", OTHER)
    assert ran.out.splitlines() == [
        "merged: nothing new; 1 cell equal",
        "4 equal episodes of the same run on both sides, which is no independent evidence",
    ]
    assert Path(OURS).read_bytes() == before


def test_a_shorter_cell_is_extended_and_a_longer_one_stays(store, bench, cell, other_cell, episode, counts):
    store(OURS, (cell, [episode(i) for i in range(4)]), (other_cell, [episode(i) for i in range(9)]))
    store(OTHER, (cell, [episode(i) for i in range(7)]), (other_cell, [episode(i) for i in range(3)]), machine="B")
    ran = bench("merge", OTHER)
    assert ran.out.startswith("merged: 0 cells new, 1 extended, 1 equal (proved on 3 episodes)\n")
    assert "7 episodes, each measured by two runs, with equal counts" in ran.out  # 4 more in the extended cell
    assert counts(OURS, cell.key) == counts(OTHER, cell.key) == list(range(7))  # and its checksum is right
    assert counts(OURS, other_cell.key) == list(range(9))
    stored = Reader(OURS).cells()[cell.key]
    assert (stored.n_episodes, stored.seconds) == (7, 2.0 + 2.0 * 3 / 7)
    assert [run["facts"]["processor"] for run in Reader(OURS).runs_behind([cell.key])] == ["A", "B"]


def test_equal_results_of_two_machines_are_a_measurement_and_it_says_of_what(store, bench):
    store(OURS, machine="AMD EPYC")
    store(OTHER, machine="Xeon")
    lines = bench("merge", OTHER).out.splitlines()
    assert lines == [
        "merged: nothing new; 1 cell equal (proved on 4 episodes)",
        "a reproducibility measurement across machines: 4 episodes, each measured by two runs, with equal counts",
        "  measured on: AMD EPYC, cpu; Xeon, cpu",
        "1 training, made by two runs, with bit-identical weights",
    ]
    proof = json.loads(bench("merge", OTHER, "--json").out)["proof"]
    assert (proof["n_proved"], proof["n_copied"], proof["machines"]) == (4, 0, ["AMD EPYC, cpu", "Xeon, cpu"])


def test_two_runs_on_one_machine_are_no_measurement_across_machines(store, bench):
    store(OURS)
    store(OTHER, command="bench run --grid other")
    assert "a reproducibility measurement on one kind of machine: 4 episodes, each" in bench("merge", OTHER).out


def test_one_other_number_is_listed_and_forbids_everything(store, bench, cell, other_cell, episode):
    store(OURS)
    wrong = [episode(0), episode(1), episode(2, 11), *(episode(i) for i in range(3, 9))]
    store(OTHER, (cell, wrong), (other_cell, [episode(0)]), machine="B")
    before = {path: Path(path).read_bytes() for path in (OURS, OTHER)}
    for dry_run in ([], ["-n"]):
        ran = bench("merge", OTHER, *dry_run)
        assert ran.code == 6
        assert ran.out == f"{cell.name}  episode    2  {2:016x}  ours 2/12  theirs 11/12\n"
        assert ran.err == (
            f"bench: error: {OTHER} contradicts our results: 1 episode of 1 cell with other counts (3 with equal "
            "ones); nothing was changed\n"
        )
    assert {path: Path(path).read_bytes() for path in (OURS, OTHER)} == before
    found = json.loads(bench("merge", OTHER, "--json").out)
    assert found["forbidden"]
    assert found["conflicts"] == [
        {"cell": cell.name, "key": cell.key, "number": 2, "ours": [f"{2:016x}", 2, 12], "theirs": [f"{2:016x}", 11, 12]}
    ]


def test_another_episode_under_the_same_number_is_a_conflict(store, bench, cell, episode):
    store(OURS)
    store(OTHER, (cell, [replace(episode(0), episode_id="f" * 16)]))
    ran = bench("merge", OTHER)
    assert ran.code == 6
    assert f"{0:016x} here, {'f' * 16} there  ours 0/12  theirs 0/12" in ran.out


def test_many_conflicts_are_counted_and_json_has_them_all(store, bench, cell, episode):
    store(OURS, (cell, [episode(i, 5) for i in range(30)]))
    store(OTHER, (cell, [episode(i, 6) for i in range(30)]))
    ran = bench("merge", OTHER)
    lines = ran.out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 10 more; --json lists them all"
    assert "30 episodes of 1 cell with other counts (0 with equal ones)" in ran.err
    assert len(json.loads(bench("merge", OTHER, "--json").out)["conflicts"]) == 30


def test_a_dry_run_says_the_same_and_changes_nothing(store, bench, tmp_path):
    store(OTHER)
    before = sorted(tmp_path.rglob("*"))
    assert bench("merge", OTHER, "-n").out.startswith("would merge: 1 cell new, 0 extended, 0 equal\n")
    assert sorted(tmp_path.rglob("*")) == before
    assert bench("merge", OTHER).out.startswith("merged: 1 cell new, 0 extended, 0 equal\n")


def test_answers_that_were_not_kept_here_are_brought(store, bench, cell, episode):
    store(OURS, (cell, [episode(0), episode(1), episode(2, answers=bytes(12))]))
    store(OTHER, (cell, [episode(0, answers=bytes(12)), episode(1), episode(2, answers=bytes([1] * 12))]))
    ran = bench("merge", OTHER)
    assert ran.out.splitlines()[0] == "merged: 0 cells new, 0 extended, 1 equal"
    assert "1 episode with equal counts, but other answers to single queries: ours stay" in ran.out
    assert "answers to the queries of 1 episode added, where we had kept only counts" in ran.out
    assert Reader(OURS).answers([cell.key])[cell.key] == {0: bytes(12), 2: bytes(12)}
    assert bench("merge", OTHER).out.startswith("merged: nothing new; 1 cell equal")


def test_runs_are_renumbered_and_none_comes_twice(store, bench, cell, other_cell, episode, measured):
    for command in ("bench run 1", "bench run 2"):
        store(OURS, command=command)  # so that the numbers of runs differ
    store(OTHER, command="theirs", end=False)
    store(OTHER, (other_cell, [episode(0)]), command="theirs, later")
    bench("merge", OTHER)
    commands = [row[1] for row in measured(OURS)["runs"]]
    assert commands == ["bench run 1", "bench run 2", "theirs, later"]  # "theirs" made nothing that is new
    store(OTHER, (cell, [episode(i) for i in range(5)]), command="theirs")
    bench("merge", OTHER)
    store(OTHER, (other_cell, [episode(i) for i in range(2)]), command="theirs")
    bench("merge", OTHER)
    assert [row[1] for row in measured(OURS)["runs"]] == ["bench run 1", "bench run 2", "theirs", "theirs, later"]


def test_a_run_that_was_under_way_is_ended_when_it_comes_again(store, bench, cell, episode, measured):
    writer = store(OTHER, end=False)
    bench("merge", OTHER)
    assert [row[-1] for row in measured(OURS)["runs"]] == [None]
    writer.record_episodes(cell, "label", "command", [episode(4)], 1.0)
    writer.end_run(0)
    bench("merge", OTHER)
    assert [row[-1] for row in measured(OURS)["runs"]] == [0]
