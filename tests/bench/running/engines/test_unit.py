"""One unit of work as a command: a training alone, a cell alone."""

import json
import os
import shlex
import subprocess
from threading import Timer
from unittest import mock

import pytest

from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.results.store import Reader
from fewshot_bench.running import runner
from fewshot_bench.running.engines import JOB, slurm


@pytest.fixture
def chosen(place):
    return choose(Selection())


def rows(database: str) -> dict:
    reader = Reader(database)
    keys = list(reader.cells())
    weights = {key: training.checkpoint for key, training in reader.trainings().items()}
    return {"weights": weights, "episodes": reader.episodes(keys)}


def test_units_one_by_one_make_the_grid(run, bench, chosen, monkeypatch):
    whole = rows(chosen.database)
    monkeypatch.setenv("BENCH_DB", str(run.folder / "units.sqlite"))
    for cell in chosen.cells:
        narrowed = shlex.split(chosen.command(cell))[1:]
        assert bench(*narrowed, "--training", cell.training.key).code == 0
        assert cell.key not in Reader(chosen.database).cells()
        assert bench(*narrowed).code == 0
        assert cell.key in Reader(chosen.database).cells()
    assert rows(chosen.database) == whole


def test_a_training_alone_is_trained_once(run, bench, chosen):
    ran = bench("run", "--training", chosen.cells[0].training.key[:6])
    assert ran.code == 0
    assert "0 to do" in ran.err


def test_a_training_alone_that_fails_says_so(place, bench, monkeypatch):
    """Its cells' jobs wait for its success; they fail with it, as in a run of both."""
    ran = bench("run", "--method", "hopeless", "--training", "")
    assert ran.code == 4
    assert ran.err.splitlines()[-1] == "0 cells done, 2 cells failed."
    assert bench("run", "--method", "hopeless", "--training", "").code == 4
    with monkeypatch.context() as patched:
        patched.setattr(runner, "train", mock.Mock(side_effect=OSError("no room")))
        ran = bench("run", "--method", "protonet", "--training", "")
    assert ran.code == 4
    assert "not done: protonet-4w1s-s0 protonet-4w5s-s0" in ran.err
    ran = bench("run", "--method", "protonet", "--training", "")
    assert ran.code == 0, ran.err
    cells = Reader(str(place.database)).cells().values()
    assert [cell.reason for cell in cells] == ["training diverged: loss not finite at iteration 1"] * 2


def test_a_dry_run_of_a_training_alone_tells_of_it_alone(place, bench, chosen):
    key = chosen.cells[0].training.key
    ran = bench("run", "--training", key, "-n", "--json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert [training["key"] for training in document["trainings"]] == [key]
    assert document["trainings"][0]["expected_test_seconds"] == 0
    assert document["expected_wall_seconds"] == document["trainings"][0]["expected_seconds"]


@pytest.mark.parametrize(("key", "n"), [("", 2), ("zz", 0)])
@pytest.mark.parametrize("dry", [(), ("-n",)])
def test_a_key_names_one_training(place, bench, key, n, dry):
    ran = bench("run", "--training", key, *dry)
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == (
        f"bench: error: --training {key!r}: keys of {n} chosen trainings begin so; give one's (bench run -n)"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "slurm"], "--engine slurm needs a database that several machines can write"),
        (["--engine", "dask", "--until", "separated"], "--until needs each result before it continues"),
        (["--engine", "dask", "--jobs", "64"], "dask decides how many of its jobs run at once"),
        (["--detach"], "--detach leaves jobs to an engine"),
        (["--engine", "slorm"], "did you mean 'slurm'"),
    ],
)
def test_what_engines_cannot_do(place, bench, words, said):
    ran = bench("run", *words)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_named(place, bench, new_database, monkeypatch):
    monkeypatch.setenv("BENCH_DB", new_database())
    monkeypatch.setenv("PATH", str(place.folder), prepend=os.pathsep)
    (place.folder / "squeue").write_text("#!/bin/sh\n")
    (place.folder / "squeue").chmod(0o755)
    (place.folder / "out").touch()
    for words in (["run"], ["cancel"]):
        ran = bench(*words, "--engine", "slurm")
        assert ran.code == 2
        assert ran.err.splitlines()[-1].endswith("Not a directory: choose an --out that can be written")


def test_status_needs_no_engine(run, bench):
    """One that bench.toml names may be out of reach, or not meant for this database."""
    run.add('[engine]\nname = "slurm"\n')
    said = bench("status")
    assert said.code == 0
    assert "jobs:      unknown: --engine slurm needs a database" in said.out
    assert json.loads(bench("status", "--json").out)["jobs"] is None
    assert bench("status", "--engine", "slurm").code == 2


def test_a_job_waits_for_a_server_from_its_beginning(place, bench, own_server, monkeypatch):
    """Many jobs begin at once, and a server has only so many connections; a person is told at once."""
    monkeypatch.setenv("BENCH_DB", own_server.database("waited_for"))
    own_server.stop()
    coming = Timer(0.5, own_server.start)
    try:
        ran = bench("run", "--method", "protonet", "--training", "")
        assert (ran.code, ran.err.count("its server is not up, or listens elsewhere")) == (6, 1)
        monkeypatch.setenv(JOB, "slurm 7")
        coming.start()
        ran = bench("run", "--method", "protonet", "--training", "")
    finally:
        coming.join()
    assert ran.code == 0, ran.err
    assert "the database's server is away; trying again for" in ran.err


def test_weights_travel_in_the_database(place, bench, chosen, monkeypatch):
    path = place.folder / "bench.toml"
    path.write_text(path.read_text().replace("[run]", '[run]\nweights = "database"'))
    monkeypatch.setenv("BENCH_DB", str(place.folder / "units.sqlite"))
    narrowed = shlex.split(chosen.command(chosen.cells[0]))[1:]
    assert bench(*narrowed, "--training", chosen.cells[0].training.key, "--out", "one").code == 0
    ran = bench(*narrowed, "--out", "other")
    assert ran.code == 0
    assert "trained again" not in ran.err
    [there] = (place.folder / "one" / "checkpoints").glob("*.safetensors")
    assert (place.folder / "other" / "checkpoints" / there.name).read_bytes() == there.read_bytes()


def test_a_job_sees_the_folder_of_weights(place, bench, monkeypatch):
    monkeypatch.setenv("BENCH_SHARED_FOLDER", str(place.folder / "elsewhere"))
    ran = bench("run")
    assert ran.code == 2
    assert "cannot be seen on this machine: name an --out that all machines share" in ran.err
    assert not place.database.exists()


def test_a_job_that_does_not_know_its_database_says_so():
    """As where a cluster hands no environment on: it would fill an SQLite file that nobody reads."""
    script = slurm.SCRIPT.format(job=JOB, command="echo it ran")
    for environment, code, said in (({}, 2, ""), ({"BENCH_DB": "postgresql://db/results"}, 0, "it ran\n")):
        ran = subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout) == (code, said)
        assert bool(code) == ("BENCH_DB: is not in the environment of jobs" in ran.stderr)


def test_a_job_ends_with_whoever_runs_it(processes):
    """A Dask worker that is killed leaves no unit at work that nobody knows of."""
    code = (
        "import os, signal, sys\nfrom fewshot_bench.running.engines import begin_job\n"
        "told, tell = os.pipe()\nworker = os.fork()\n"
        "if not worker:\n"
        "    os.environ['BENCH_PARENT'] = str(os.getpid())\n"
        "    if not os.fork():\n"
        "        signal.signal(signal.SIGTERM, lambda *_: os._exit(os.write(tell, b'saved') and 0))\n"
        "        begin_job()\n        os.write(tell, b'begun')\n        signal.pause()\n"
        "    signal.pause()\n"
        "os.close(tell)\nassert os.read(told, 5) == b'begun'\nos.kill(worker, signal.SIGKILL)\n"
        "print(os.read(told, 5).decode())\n"
        "os.environ['BENCH_PARENT'] = str(worker)\nbegin_job()"
    )
    job = processes.begin(code)
    said, error = job.communicate()
    assert said == "saved\n"
    assert error.splitlines()[-1].endswith("which ran this job, has ended")
