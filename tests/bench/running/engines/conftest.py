"""Engines as labs have them, with real daemons, on this machine; each is brought up once."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks import clusters, forked
from benchmarks.contest.environments import ROOT
from fewshot_bench.running.engines import slurm as engine

# with daemons on two cores a look takes seconds
OFTEN = "from fewshot_bench.running.engines import driving; driving.LOOK_SECONDS, driving.LOOKING_SHARE = 0.2, 1.0; "
SERVER = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from benchmarks import forked; forked.main(sys.argv[1])"


@pytest.fixture(scope="session")
def wait_for():
    return clusters.wait_for


@pytest.fixture(scope="session")
def python(tmp_path_factory, processes) -> Iterator[Path]:
    """What stands for Python in jobs, and in jobs that these submit."""
    folder = tmp_path_factory.mktemp("stub")
    before = f"{OFTEN}from fewshot_bench.running.engines import slurm; slurm.PYTHON = {str(folder / 'python')!r}; "
    with forked.python(folder, partial(processes.begin, SERVER), before) as stub:
        yield stub


@pytest.fixture(scope="module")  # idle, its three processes still use the processor
def dask(tmp_path_factory, python) -> Iterator[clusters.Dask]:
    with clusters.started(clusters.Dask(tmp_path_factory.mktemp("dask"), python)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def a_slurm(tmp_path_factory, python) -> Iterator[clusters.Slurm]:
    if why := clusters.no_slurm():
        (pytest.fail if os.environ.get("BENCH_TEST_SLURM") else pytest.skip)(why)
    with clusters.started(clusters.Slurm(tmp_path_factory.mktemp("slurm"), python)) as cluster:
        yield cluster


@pytest.fixture
def slurm(a_slurm, monkeypatch) -> clusters.Slurm:
    monkeypatch.setenv("PATH", str(a_slurm.folder / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(engine, "PYTHON", str(a_slurm.python))
    return a_slurm


@pytest.fixture(params=["dask", "slurm"])
def cluster(request) -> clusters.Dask | clusters.Slurm:
    return request.getfixturevalue(request.param)
