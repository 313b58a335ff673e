"""Slurm, by its own commands: sbatch, squeue, scancel. No accounting is needed, since the database says what is done.

Deviation from what is common: submitit is not used. It waits for `sacct`, which clusters without accounting lack.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from fewshot_bench.errors import UsageError
from fewshot_bench.running.engines import JOB, Job

ANSWER_SECONDS = 60.0  # for a command of Slurm's; some hang for ever where its controller is away
PYTHON = sys.executable  # where jobs run, too
WARNED_SECONDS = 120  # before the time limit
# sbatch takes their beginnings, too
OURS = (
    "job-name", "output", "error", "open-mode", "dependency", "kill-on-invalid-dep", "requeue", "no-requeue",
    "parsable", "quiet", "array", "chdir", "input", "wait", "wrap",
)  # fmt: skip
# squeue's reasons that do not pass by themselves, as a job's turn, its dependency or a limit of jobs at once does
LASTING = re.compile("Partition|PerJob|[Hh]eld|Hold|Constraints|Invalid|NotAllowed|NodeDown|NotAvail|DOWN")
HIDING = ("SQUEUE_", "SCANCEL_", "SBATCH_ARRAY", "SBATCH_WAIT")  # a user's habits, which would hide jobs or change them

# A run that is told to stop saves its state and ends with 143. USR1 comes before the time limit: then the job is queued
# again. TERM comes with scancel, and before a preemption, after which Slurm itself queues it again.
SCRIPT = """#!/bin/sh
: "${{BENCH_DB:?is not in the environment of jobs: leave out export=NONE}}"
export {job}="slurm $SLURM_JOB_ID"
trap 'again=yes; kill -TERM $run' USR1
trap 'kill -TERM $run' TERM
{command} &
run=$!
while true; do
    wait $run; code=$?
    kill -0 $run 2>/dev/null || break
done
[ -z "$again" ] || [ $code -ne 143 ] || exec scontrol requeue $SLURM_JOB_ID
exit $code
"""


class Slurm:
    """Jobs of the cluster whose commands are on PATH."""

    def __init__(self, options: Mapping[str, str], out: Path, _database: str) -> None:
        for name in options:
            if any(ours.startswith(name) for ours in OURS):
                raise UsageError(
                    f"--engine-option {name!r}: what jobs are called, do, wait for and write is bench's own"
                )
        if 0 < _seconds(options.get("time", "")) <= WARNED_SECONDS and "signal" not in options:
            raise UsageError(
                f"--engine-option time={options['time']}: a job saves its state {WARNED_SECONDS} s before, so at once; "
                "Slurm reads minutes, minutes:seconds, hours:minutes:seconds or days-hours"
            )
        asked = {"signal": f"B:USR1@{WARNED_SECONDS}"} | dict(options)
        self._options = [f"--{name}={value}" for name, value in asked.items() if value]
        self._options += [f"--{name}" for name, value in asked.items() if not value]  # last: one could swallow a word
        self._folder = out / "jobs"
        self._held: dict[str, tuple[str, str]] = {}  # name -> reason, number
        self._numbers: dict[str, list[str]] = {}  # name -> Slurm's numbers: two drivers may begin at once

    def submit(self, job: Job) -> None:
        """Have it run once its predecessor, if it has one, has succeeded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        words = ["sbatch", "--parsable", f"--job-name={job.name}", "--requeue", "--open-mode=append"]
        words.append(f"--output={_literal(self._log(job.name))}")
        if job.after:
            words += [f"--dependency=afterok:{self._numbers[job.after][-1]}", "--kill-on-invalid-dep=yes"]
        command = shlex.join([PYTHON, "-m", "fewshot_bench", *job.words])
        said = _slurm([*words, *self._options], SCRIPT.format(job=JOB, command=command), job.environment)
        number = said.strip().partition(";")[0]
        if not number.isdecimal():
            raise UsageError(f"sbatch made no job, but said: {' '.join(said.split())[:100]!r}; look at --engine-option")
        self._numbers[job.name] = [number]

    def alive(self) -> set[str]:
        """Names of jobs that wait, run or end just now."""
        lines = _slurm(["squeue", "--noheader", "--me", "--format=%i|%r|%j"]).splitlines()
        found: dict[str, list[str]] = {}
        self._held = {}
        for number, reason, name in (line.split("|", 2) for line in lines):  # a name of others may be empty
            if name.startswith("bench-"):
                found.setdefault(name, []).append(number)
                self._held |= {name: (reason, number)} if LASTING.search(reason) else {}
        self._numbers |= found
        return set(found)

    def held(self, names: Collection[str]) -> str:
        """Slurm's own reasons, each with a job that has it."""
        found = dict(self._held[name] for name in sorted(self._held.keys() & set(names)))
        reasons = ", ".join(f"{reason} (job {number})" for reason, number in sorted(found.items()))
        advice = "`bench cancel` and run with another --engine-option, or have them released"
        return reasons and f"Slurm may let jobs wait for ever: {reasons}; {advice}"

    def cancel(self, names: Collection[str]) -> None:
        """TERM, and KILL after the cluster's KillWait."""
        here = self.alive() & set(names)
        if here:
            _slurm(["scancel", *(number for name in here for number in self._numbers[name])])

    def last_words(self, name: str) -> str:
        """The last line of its log."""
        try:
            lines = self._log(name).read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Nothing is held."""

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _seconds(limit: str) -> int:
    """A time limit as Slurm reads it, as far as hours; 0 for others."""
    parts = limit.split(":")
    if len(parts) > 3 or not all(part.isdecimal() for part in parts):
        return 0
    minutes_first = [0, *map(int, parts)] if len(parts) < 3 else [*map(int, parts)]
    hours, minutes, seconds = (*minutes_first, 0)[:3]
    return 3600 * hours + 60 * minutes + seconds


def _literal(path: Path) -> str:
    """A path as sbatch has to be told it: % begins a pattern there, and with a backslash nothing does."""
    text = str(path)
    return text.replace("\\", "\\\\") if "\\" in text else text.replace("%", "%%")


def _slurm(words: list[str], script: str = "", environment: Mapping[str, str] | None = None) -> str:
    """What a command of Slurm's answers. Raises UsageError in one line."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(HIDING)} | dict(environment or {})
    try:
        done = subprocess.run(words, input=os.fsencode(script), capture_output=True, timeout=ANSWER_SECONDS, env=given)
    except FileNotFoundError:
        raise UsageError(f"{words[0]} is not on PATH: --engine slurm works on a machine of the cluster") from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{words[0]} did not answer for {ANSWER_SECONDS:g} s: is the cluster's controller up?"
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise UsageError(f"{words[0]}: {said[:300] or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")
