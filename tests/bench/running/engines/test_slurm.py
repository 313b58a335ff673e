"""What is asked of Slurm's commands, by ones that write down what they were asked."""

import os
from pathlib import Path

import pytest

from fewshot_bench.errors import UsageError
from fewshot_bench.running.engines import Job
from fewshot_bench.running.engines.slurm import Slurm


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Makes one, from its script; what they were asked is in the file `asked`."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/asked\n{script}\n')
        path.chmod(0o755)

    return make


def slurm(out: Path, **options: str) -> Slurm:
    return Slurm(options, out, "")


@pytest.mark.parametrize("name", ["", "array", "job-n", "outp", "wrap", "wait", "dependency"])
def test_what_a_job_is_stays_ours(name, tmp_path):
    """Abbreviated, too, as sbatch takes them."""
    with pytest.raises(UsageError, match=f"--engine-option '{name}': what jobs are called"):
        slurm(tmp_path, **{name: "x"})


@pytest.mark.parametrize(
    ("limit", "is_long_enough"),
    [("2", False), ("0:90", False), ("2:00", False), ("0:2:0", False), ("3", True), ("2:01", True), ("1:00:00", True),
     ("1-0", True), ("banana", True), ("0", True), ("UNLIMITED", True)],
)  # fmt: skip
def test_a_time_limit_leaves_time_to_work(limit, is_long_enough, tmp_path):
    """A job that is told to stop when it begins is queued again for ever; and 1:00 is a minute."""
    if is_long_enough:
        slurm(tmp_path, time=limit)
    else:
        with pytest.raises(UsageError, match=f"--engine-option time={limit}: a job saves its state 120 s before"):
            slurm(tmp_path, time=limit)
    slurm(tmp_path, time=limit, signal="B:USR1@10")


def test_a_switch_swallows_nothing(commands, tmp_path):
    """An option that was given no value takes the next word for it."""
    commands("sbatch", "echo 7")
    slurm(tmp_path / "50%", exclusive="", mem="100").submit(Job("bench-1-t2", ("run",)))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-3:] == ["--signal=B:USR1@120", "--mem=100", "--exclusive"]
    assert f"--output={tmp_path}/50%%/jobs/bench-1-t2.log" in asked


def test_an_answer_without_a_job_is_an_error(commands, tmp_path):
    commands("sbatch", "echo slurm 22.05")
    with pytest.raises(UsageError, match=r"made no job, but said: 'slurm 22.05'"):
        slurm(tmp_path, version="").submit(Job("bench-1-t2", ("run",)))


def test_jobs_with_one_name_are_cancelled_together(commands, tmp_path, monkeypatch):
    """Two drivers that begin at once submit both; squeue's settings hide none, nor does a nameless job."""
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    lines = '"7|None|bench-1-t2" "8|Priority|bench-1-t2" "9|JobHeldUser|" "10|None|bench-1-c3"'
    commands("squeue", f'[ -n "$SQUEUE_STATES" ] || printf "%s\\n" {lines}')
    commands("scancel", "")
    engine = slurm(tmp_path)
    assert engine.alive() == {"bench-1-t2", "bench-1-c3"}
    engine.cancel({"bench-1-t2"})
    assert (tmp_path / "asked").read_text().splitlines()[-2:] == ["7", "8"]
    assert engine.held(engine.alive()) == ""  # the job that is held is another's


@pytest.mark.parametrize(
    "reason",
    ["PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit", "JobHeldUser", "job requeued in held state",
     "ReqNodeNotAvail, UnavailableNodes:vm", "Nodes required for job are DOWN, DRAINED or reserved"],
)  # fmt: skip
def test_a_reason_that_does_not_pass_is_named(commands, tmp_path, reason):
    commands("squeue", f"printf '%s\\n' '7|{reason}|bench-1-t2' '8|Dependency|bench-1-c3'")
    engine = slurm(tmp_path)
    assert engine.alive() == {"bench-1-t2", "bench-1-c3"}
    assert engine.held(engine.alive()).startswith(f"Slurm may let jobs wait for ever: {reason} (job 7); ")
    assert engine.held({"bench-1-c3", "bench-2-t2"}) == ""  # those of another database
    commands("squeue", "echo '7|Resources|bench-1-t2'")
    assert engine.held(engine.alive()) == ""
