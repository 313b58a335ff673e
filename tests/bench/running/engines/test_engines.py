"""The same grid through an engine is the same grid, whoever is killed on the way."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from fewshot_bench.results.store import Reader
from fewshot_bench.running.engines import driving

LONG = ["--method", "protonet", "--shot", "1", "--budget", "long"]
TOML = "[budgets.long]\niterations = { other = 200 }\nepisodes = { 1 = 6 }\nadaptation = {}\n"
PASSWORD = f"sesame-{os.getpid()}"  # processes of tests beside this one have another


@pytest.fixture
def elsewhere(place, cluster, new_database, monkeypatch):
    """The words that name an engine; the workplace's database is on a server."""
    monkeypatch.setattr(driving, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(driving, "LOOKING_SHARE", 1.0)  # with daemons on two cores a look takes seconds
    monkeypatch.setenv("BENCH_DB", new_database().replace("bench@", f"bench:{PASSWORD}@"))
    place.add(TOML)
    return cluster.ready()


def rows() -> dict:
    reader = Reader(os.environ["BENCH_DB"])
    weights = {key: training.checkpoint for key, training in reader.trainings().items()}
    return {"weights": weights, "episodes": reader.episodes(list(reader.cells()))}


def at_work(*killed: int) -> list[int]:
    """Processes that hold a claim, but for those that were killed."""
    if not exists():
        return []
    who = [unit["who"] for unit in Reader(os.environ["BENCH_DB"]).counts().at_work]
    return [pid for said in who if (pid := int(re.match(r"process (\d+) of", said)[1])) not in killed]


def exists() -> bool:
    """Whether the first unit has made the database's tables."""
    with psycopg.connect(os.environ["BENCH_DB"]) as c:
        return bool(c.execute("SELECT 1 FROM pg_tables WHERE tablename = 'claims'").fetchall())


def has_begun() -> bool:
    """Whether a training's steps are recorded."""
    return exists() and any(training.iteration for training in Reader(os.environ["BENCH_DB"]).trainings().values())


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], dict]:
    return {}


@pytest.fixture
def local(place, bench, known):
    """What a run on this machine has made of some words."""

    def made(*words: str) -> dict:
        if words not in known:
            with pytest.MonkeyPatch.context() as patched:
                patched.delenv("BENCH_DB")
                assert bench("run", *words, "--out", "local").code == 0
                patched.setenv("BENCH_DB", "local/results.sqlite")
                known[words] = rows()
        return known[words]

    return made


def test_a_grid_is_the_same_grid(elsewhere, bench, local):
    ran = bench("run", *elsewhere, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 4
    assert rows() == local()
    with psycopg.connect(os.environ["BENCH_DB"]) as c:
        runs = c.execute("SELECT facts, exit_code FROM runs").fetchall()
    assert len(runs) == 6  # two trainings, four cells
    assert {code for _, code in runs} == {0}
    assert all("job" in facts for facts, _ in runs)
    assert bench("run", *elsewhere).code == 0  # nothing is left
    assert Reader(os.environ["BENCH_DB"]).counts().runs == 6


def test_units_share_a_gpu_one_after_another(elsewhere, bench, cluster, local):
    """By the engine's own means: two cores, one card that it was told of."""
    ran = bench("run", *elsewhere, "--engine-option", cluster.for_gpu)
    assert ran.code == 0, ran.err
    assert rows() == local()
    with psycopg.connect(os.environ["BENCH_DB"]) as c:
        spans = c.execute("SELECT started_at, ended_at FROM runs ORDER BY started_at, ended_at").fetchall()
    assert len(spans) == 6  # a unit may take less than a second, which times are told in
    assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))


def test_units_workers_and_the_driver_may_be_killed(elsewhere, place, bench, cluster, local, wait_for):
    driver = place.begin("run", *LONG, *elsewhere, before=cluster.before)
    [unit] = wait_for(at_work)
    os.kill(unit, signal.SIGKILL)
    [second] = wait_for(lambda: at_work(unit))
    cluster.kill_a_worker()
    assert wait_for(lambda: at_work(unit, second))
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    ran = bench("run", *LONG, *elsewhere)
    assert ran.code == 0, ran.err
    found, wanted = rows(), local(*LONG)
    assert wanted["weights"].items() <= found["weights"].items()
    assert wanted["episodes"].items() <= found["episodes"].items()


def test_jobs_are_left_known_and_cancelled(elsewhere, bench, cluster, local, wait_for):
    assert bench("run", *LONG, *elsewhere, "--detach").err.endswith(
        f"2 jobs wait or run, and go on: bench status --engine {elsewhere[1]}, bench cancel --engine {elsewhere[1]}\n"
    )
    assert wait_for(at_work)
    assert "2 jobs wait or run" in bench("run", *LONG, *elsewhere, "--detach").err
    assert "jobs:      2 wait or run: bench-" in bench("status", *elsewhere).out
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if PASSWORD.encode() in read(path)]
    assert PASSWORD not in cluster.scripts()
    assert wait_for(has_begun)
    [unit] = at_work()
    os.kill(unit, signal.SIGSTOP)  # or it may end before it is told to
    assert bench("cancel", *elsewhere).err == "2 jobs are being cancelled\n"
    wait_for(lambda: is_told_to_end(unit))
    os.kill(unit, signal.SIGCONT)
    wait_for(lambda: not at_work())
    wait_for(lambda: "jobs:" not in bench("status", *elsewhere).out)
    [training] = Reader(os.environ["BENCH_DB"]).trainings().values()
    assert training.state == "running"
    assert [*Path("out/checkpoints").glob("*.partial")]  # its state was saved
    assert bench("run", *LONG, *elsewhere).code == 0
    assert rows() == local(*LONG)


def is_told_to_end(pid: int) -> bool:
    """Whether a signal waits for a process that was stopped, or it goes on, as Slurm has it do then."""
    said = dict(line.split(":", 1) for line in (Path("/proc") / str(pid) / "status").read_text().splitlines())
    return int(said["ShdPnd"], 16) != 0 or not said["State"].strip().startswith("T")


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("limit", [True, False])
@pytest.mark.parametrize("cluster", ["slurm"], indirect=True)
def test_a_preempted_job_saves_and_goes_on(limit, elsewhere, bench, cluster, local, wait_for):
    """As before a time limit: USR1 to the job, which saves its state and is queued again by itself; or by Slurm."""
    assert bench("run", *LONG, *elsewhere, "--detach").code == 0
    wait_for(has_begun)
    [first] = at_work()
    if limit:
        cluster.tell_jobs("USR1")
        wait_for(lambda: not at_work())
        cluster.begin_now()
    else:
        cluster.preempt()
    wait_for(lambda: at_work(first))
    assert [*Path("out/checkpoints").glob("*.partial")]
    assert bench("run", *LONG, *elsewhere).code == 0
    assert rows() == local(*LONG)
    [log] = Path("out/jobs").glob("bench-*-t*.log")
    assert "everything is saved" in log.read_text()


@pytest.mark.parametrize("folder", ["50%j 'a' $b", "50%j \\c é"])
@pytest.mark.parametrize("cluster", ["slurm"], indirect=True)
def test_a_folder_may_have_any_name(folder, elsewhere, place, bench, monkeypatch):
    """Slurm has patterns of its own for files."""
    (place.folder / folder).mkdir()
    shutil.copy(place.folder / "bench.toml", place.folder / folder)
    monkeypatch.chdir(place.folder / folder)
    assert bench("run", "--method", "protonet", "--shot", "1", *elsewhere).code == 0
    assert [path.read_text().splitlines()[-1] for path in Path("out/jobs").glob("*-t*.log")] == ["1 training done."]


def test_the_page_is_true(elsewhere, cluster, local, python, tmp_path):
    """The script of docs/cluster.md, with this machine's names in it."""
    page = (Path(__file__).parents[4] / "docs" / "cluster.md").read_text()
    [script] = [text for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if f"--engine {elsewhere[1]}" in text]
    for theirs, ours in {
        "postgresql://bench@db.example.org/results": shlex.quote(os.environ["BENCH_DB"]),
        "bench run --grid smoke": "bench run --method protonet --shot 1",
        "8786": str(free_port()),
        "partition=main": "mem=100",
    }.items():
        script = script.replace(theirs, ours)
    (tmp_path / "bench").write_text(f'#!/bin/sh\nexec {python} -m fewshot_bench "$@"\n')
    (tmp_path / "dask").write_text(f'#!/bin/sh\nexec {sys.executable} -m dask "$@"\n')
    for name in ("bench", "dask"):
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    preload = f"import sys; sys.executable = {str(python)!r}"  # of Dask's workers
    with (tmp_path / "said").open("w+") as said:
        ran = subprocess.run(
            ["bash", "-e", "-m", "-c", script],
            env=os.environ | {"PATH": path, "DASK_DISTRIBUTED__WORKER__PRELOAD": preload}, stdout=said, stderr=said,
        )  # fmt: skip
        said.seek(0)
        assert ran.returncode == 0, said.read()
    assert rows() == local("--method", "protonet", "--shot", "1")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
