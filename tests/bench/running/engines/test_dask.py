"""What Dask is told, and what becomes of a scheduler that goes away."""

import pytest

from fewshot_bench.errors import UsageError
from fewshot_bench.running.engines import Job
from fewshot_bench.running.engines.dask import Dask


@pytest.mark.parametrize("resources", ["GPU", "GPU=nan", "GPU=0", "GPU=-1", "GPU=x", "GPU=1,"])
def test_resources_are_amounts(resources, tmp_path):
    """A task that wants another amount would wait for ever."""
    with pytest.raises(UsageError, match="write it like GPU=1"):
        Dask({"scheduler": "tcp://127.0.0.1:1", "resources": resources}, tmp_path, "")


@pytest.mark.parametrize("options", [{"tls-ca": "/nowhere"}, {"scheduler": ""}])
def test_an_address_that_cannot_be_is_one_line(dask, options, tmp_path):
    with pytest.raises(UsageError, match="--engine dask: "):
        Dask({"scheduler": dask.address} | options, tmp_path, "")


def test_a_task_that_no_worker_can_take_is_named(dask, tmp_path, wait_for):
    engine = Dask({"scheduler": dask.address, "resources": "GPU=99"}, tmp_path, "")
    engine.submit(Job("bench-1-t2", ("run",)))
    wait_for(lambda: engine.held(engine.alive()))
    assert engine.held({"bench-2-t2"}) == ""  # of another database
    assert engine.held({"bench-1-t2"}).startswith(
        f"1 task waits: no worker of {dask.address} has what --engine-option resources"
    )
    engine.cancel({"bench-1-t2"})
    wait_for(lambda: not engine.alive())
    assert engine.held({"bench-1-t2"}) == ""
    engine.close()


def test_a_scheduler_that_was_away_is_met_again(dask, tmp_path):
    """A client gives it up after half a minute, a driver after `server_wait_seconds`."""
    engine = Dask({"scheduler": dask.address}, tmp_path, "")
    engine._client.sync(engine._client._close)  # as it does by itself
    with pytest.raises(UsageError, match="--engine dask: "):
        engine.submit(Job("bench-1-t2", ("run",)))
    assert engine.alive() == set()
    engine.close()
