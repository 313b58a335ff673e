"""The benchmark from Python, as a user's script has it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import fewshot_bench
from fewshot_bench import curves, episodes, plan, results, run
from fewshot_bench.errors import NoResultsYet, NothingSelected, UsageError
from fewshot_bench.methods.strangers import modes
from fewshot_bench.results import frames
from fewshot_bench.running.events import CellFinished, Trained

SCRIPT = """
import fewshot_bench as bench
print("top level")
planned = bench.plan(methods="protonet", shots=[1, 5])
table = bench.run(methods="protonet", shots=[1, 5], jobs=2)
both = bench.episodes("out").merge(bench.results("out"), on="cell_key", suffixes=("", "_mean"))
print(planned)
means = both.groupby("cell")[["accuracy", "accuracy_mean"]].mean()
print(len(table), len(both), abs(means["accuracy"] - means["accuracy_mean"]).max())
"""


def test_a_script_that_trains_in_workers_runs_its_top_level_once(place):
    (place.folder / "script.py").write_text(SCRIPT)
    script = place.processes.begin("import runpy; runpy.run_path('script.py', run_name='__main__')", cwd=place.folder)
    out, err = script.communicate()
    assert script.wait() == 0, err
    first, planned, counted = out.splitlines()
    assert first == "top level"
    assert planned == "2 cells: 0 done, 0 partial, 0 failed, 2 to do, from 1 trainings"
    assert counted.startswith("2 12 ")
    assert float(counted.split()[-1]) < 1e-12


def test_importing_costs_nothing_until_a_name_is_used():
    code = (
        "import time; began = time.process_time(); import fewshot_bench; took = time.process_time() - began\n"
        "import sys; print(took); print(*({'torch', 'numpy', 'pandas', 'click'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, loaded = ran.stdout.splitlines()
    assert float(took) < 0.1
    assert not loaded


def test_every_public_name_is_there():
    assert set(fewshot_bench.__all__) <= set(dir(fewshot_bench))
    for name in fewshot_bench.__all__:
        assert callable(getattr(fewshot_bench, name)), name
        assert getattr(fewshot_bench, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fewshot_bench.nothing  # noqa: B018


@pytest.mark.usefixtures("run")
def test_results_are_called_whether_the_package_of_that_name_is_loaded_or_not():
    code = "import fewshot_bench as b{}; print(len(b.results('out')), len(b.results('out')))"
    for more in ("", ", fewshot_bench.results.store"):
        ran = subprocess.run([sys.executable, "-c", code.format(more)], capture_output=True, text=True, check=True)
        assert ran.stdout == "4 4\n"


@pytest.mark.usefixtures("place")
def test_a_run_tells_what_happens_and_returns_what_is_stored(bench):
    told = []
    table = run(methods=["transfer", "protonet"], shots=1, out="mine", progress=told.append)
    assert [len([e for e in told if isinstance(e, kind)]) for kind in (Trained, CellFinished)] == [2, 2]
    assert list(table["cell"]) == ["transfer-4w1s-s0", "protonet-4w1s-s0"]  # the grid's order
    for row in table.to_dict("records"):
        shown = bench("show", row["cell_key"], "--out", "mine").out
        assert f"accuracy       {100 * row['accuracy']:.2f} " in shown
        assert f"over {row['n_episodes']} episodes" in shown
    again: list = []
    assert run(methods=["transfer", "protonet"], shots=1, out="mine", progress=again.append).equals(table)
    assert again == []  # nothing was left to do


@contextmanager
def doubles() -> Iterator[None]:
    """As some scripts begin: a dtype and numbers of threads and backends of their own."""
    backends, before = (torch.backends.cuda.matmul, torch.backends.cudnn), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    for backend in backends:
        backend.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(before)
        for backend in backends:
            backend.allow_tf32 = False


def switched() -> tuple[Any, ...]:
    backends = (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
    )
    return modes(), torch.is_inference_mode_enabled(), torch.get_num_threads(), backends


@pytest.mark.usefixtures("place")
def test_what_a_script_switched_in_torch_changes_no_result_and_is_as_it_was():
    """A cell that fails without gradients, say, would be stored as failed."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16)).astype(np.uint8)
    ways: list[Any] = [nullcontext(), torch.no_grad(), torch.inference_mode(), torch.device("meta"), doubles()]
    found = []
    for place, mode in enumerate(ways):
        with mode:
            before = switched()
            table = run(methods="transfer", shots=1, out=str(place))
            assert switched() == before
            model = fewshot_bench.load(str(place), "transfer-4w1s-s0").fit(pixels, list("aabb"))
            found.append((table["reason"].item(), table["accuracy"].item(), model.predict_proba(pixels).tolist()))
            assert switched() == before
    assert found == [found[0]] * 5


@pytest.mark.usefixtures("run")
def test_the_tables_have_the_documented_columns_and_types():
    for read in (frames.results, frames.episodes, frames.curves):
        for column, dtype in zip(map(str, read("out")), read("out").dtypes, strict=True):
            assert column in (read.__doc__ + frames.results.__doc__), column
            is_text = column in ("cell", "variant", "method", "split", "label", "name", "reason") or "key" in column
            assert dtype == ("str" if is_text or column == "episode_id" else dtype)
            assert is_text or column == "episode_id" or dtype in (np.int64, np.float64), column
    assert list(episodes("out").columns[:11]) == list(results("out").columns[:11])
    counted = episodes("out")
    assert (counted["accuracy"] == counted["n_correct"] / counted["n_queries"]).all()
    assert set(curves("out")["training_key"]) == set(results("out")["training_key"])


def test_cells_are_chosen_by_the_words_of_the_command_line(run):
    assert len(results("out")) == 4
    assert set(results("out", methods="protonet")["variant"]) == {"protonet"}
    assert set(results("out", shots=[5])["n_shot"]) == {5}
    assert list(episodes("out", matching="transfer and 1s")["cell"].unique()) == ["transfer-4w1s-s0"]
    nothing = results(run.database, ways=35)
    assert nothing.empty
    assert list(nothing.dtypes) == list(results("out").dtypes)
    for methods in ({"protonet"}, np.array(["protonet"]), pd.Series(["protonet"]), {"protonet": 1}.keys()):
        assert set(results("out", methods=methods)["variant"]) == {"protonet"}
    forms: list[Any] = [{5}, np.array([5]), pd.Series([5]), np.int64(5), (n for n in [5])]
    for shots in forms:
        assert set(results("out", shots=shots)["n_shot"]) == {5}
    for wrong in ({"ways": "5"}, {"ways": 4.0}, {"methods": "maml,protonet"}, {"methods": [3]}, {"matching": 3}):
        for read in (results, episodes, curves):
            with pytest.raises(UsageError, match=rf"{next(iter(wrong))} = .* (must be|is no name)"):
                read("out", **wrong)
    nowhere: list[Any] = [None, 3, b"out"]
    for where in nowhere:
        with pytest.raises(UsageError, match=r"where = .* must be a text or a path"):
            results(where)
    with pytest.raises(NoResultsYet):
        results("elsewhere")


def test_a_configuration_may_be_a_dict_and_the_stored_command_repeats_it(place, photos, bench):
    tiny = {"iterations": {"other": 3}, "episodes": {"1": 4}, "adaptation": {}}
    mine = {
        "run": {"device": "cpu", "jobs": 1, "budget": "tiny", "grid": "tiny"}, "budgets": {"tiny": tiny},
        "model": {"filters": np.int64(4)}, "training": {"way": 4, "shot": 2, "query": 3}, "episodes": {"n_query": 3},
        "grids": {"tiny": {"methods": ("protonet",), "ways": np.array([4]), "shots": [1], "seeds": [0]}},
        "methods": {"protonet": {"method": "protonet", "train_way": 5}},
        "augmentation": {"flip": np.bool(False)},
    }  # fmt: skip
    assert len(plan(config=mine, data=photos).todo) == 1
    assert not (place.folder / "out").exists()  # a plan leaves nothing behind
    (row,) = run(config=mine, data=photos).itertuples()
    assert row.n_episodes == 4
    repeat = shlex.split(json.loads(bench("show", row.cell_key, "--json").out)["cell"]["command"])
    assert "1 done, 0 partial, 0 failed, 0 to do" in bench(*repeat[1:], "-n").out


@pytest.mark.usefixtures("place")
def test_a_run_that_was_stopped_goes_on_with_the_same_call():
    def stop(event):
        if isinstance(event, Trained):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(methods="transfer", shots=1, progress=stop)
    assert len(run(methods="transfer", shots=1)) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"ways": 1}, "ways = 1 must be between 2 and"),
        ({"shots": "5"}, "shots = '5' must be a whole number"),
        ({"episodes": 0}, "episodes = 0 must be between 1 and"),
        ({"protocol": "matchd"}, "unknown protocol 'matchd': did you mean 'matched'?"),
        ({"methods": "protonett"}, "unknown method 'protonett': did you mean 'protonet'?"),
        ({"config": {"run": {"treads": 1}}}, r"\[run\] has no key 'treads': did you mean 'threads'?"),
        ({"config": {"run": {"out": object()}}}, "config: run holds <object"),
        ({"config": {"run": {"out": 3}}}, r"^config: \[run\] out = 3"),
        ({"config": {"run": "x"}}, "^config: run = 'x' must be a section"),
        (
            {"config": {"methods": {"maml": {"method": "mml"}}}},
            r"^config: \[methods.maml\] method = 'mml' is not installed here: did you",
        ),
        ({"config": []}, r"config = \[\] must be a text or a path or a dict"),
        ({"methods": 3}, "methods = 3 must be a text"),
        ({"methods": [None]}, "methods = None must be a text"),
        ({"methods": "maml,protonet"}, "methods = 'maml,protonet' is no name: several are a list"),
        ({"ways": np.array([5.0])}, r"ways = np.float64\(5.0\) must be a whole number"),
        ({"grid": 3}, "grid = 3 must be a text"),
        ({"grid": Path("smoke")}, "grid = PosixPath"),
        ({"split": 3}, "split = 3 must be a text"),
        ({"matching": 3}, "matching = 3 must be a text"),
        ({"out": 3}, "out = 3 must be a text or a path"),
        ({"budget": ["smoke"]}, r"budget = \['smoke'\] must be a text"),
        ({"protocol": ["single"]}, r"unknown protocol \['single'\]"),
        ({"device": torch.device("cpu")}, "unknown device device"),
        ({"method": "protonet"}, "unknown word 'method': did you mean 'methods'"),
        ({"retry_failed": "no"}, "retry_failed = 'no' must be True or False"),
        ({"recalled": True}, "unknown word 'recalled'"),
        ({"config": "nowhere.toml"}, "nowhere.toml: cannot be read"),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_cannot_be_is_said_in_one_line(words, said):
    with pytest.raises(UsageError, match=said) as error:
        plan(**words)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("place")
def test_any_iterable_is_several_words():
    several: list[Any] = [{"maml", "protonet"}, np.array(["maml", "protonet"]), (m for m in ("maml", "protonet"))]
    for methods in [*several, pd.Series(["maml", "protonet"]), {"maml": 1, "protonet": 2}.keys()]:
        assert {c.cell.variant for c in plan(methods=methods, ways=np.array([4]), shots={1}).cells} == {
            "maml",
            "protonet",
        }


@pytest.mark.usefixtures("place")
def test_a_run_that_cannot_be_leaves_nothing_behind(place):
    with pytest.raises(UsageError, match="progress = 3 must be a function"):
        run(progress=3)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="only the main thread is told of"):
        pool.submit(run, methods="protonet", shots=1).result()
    assert not place.database.exists()


@pytest.mark.usefixtures("place")
def test_a_run_is_not_begun_by_what_another_one_tells():
    """Each would wait for what the other has claimed. Reading is free, and so is another database."""
    words: dict[str, Any] = {"methods": "protonet", "shots": 1}
    seen: list = []

    def begin(_):
        seen.append(len(results("out")))
        if len(seen) == 1:
            run(**words, out="other")
            with pytest.raises(UsageError, match="a run of this process is filling it"):
                run(**words, out=Path("out").resolve())

    assert len(run(**words, progress=begin)) == len(results("other")) == 1
    assert seen[-1] == 1
    assert len(run(**words, episodes=8)) == 1


@pytest.mark.usefixtures("place")
def test_a_selection_without_cells_is_one_line():
    with pytest.raises(NothingSelected, match="matches none of the cells"):
        plan(matching="nothing")
