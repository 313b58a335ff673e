"""Methods of other packages and of scripts, from the command to the database, in worker processes too."""

import csv
import hashlib
import importlib
import io
import json
import os
import sys
import zipfile

import pytest

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.choosing import choose
from fewshot_bench.experiment.plan import Plan, PlannedTraining
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.methods import registry
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.replay.model import load
from fewshot_bench.results.store import Reader
from fewshot_bench.running.library import run
from fewshot_bench.running.units import Workplace
from fewshot_bench.running.workers import for_workers

CODE = """
from fewshot_bench.methods.protonet import ProtoNet

class Nearest(ProtoNet):
    @classmethod
    def training_setting(cls, settings, n_way, n_shot):
        return 5, n_shot
"""
BAD = (
    CODE
    + """
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation) * float("nan")
"""
)


CLAIMS = """
schema = 1
source = "Note"
ways = [4]
shots = [1]
[[claims]]
id = "one"
sentence = "A sentence."
where = "here"
reading = "A reading."
quantifier = "all"
kind = "better"
better = ["nearest"]
worse = ["protonet"]
"""


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def test_a_method_without_a_variant_is_one_by_its_own_name(place, bench, install):
    install("neighbours", CODE, nearest="neighbours:Nearest")
    assert bench("run", "-q", "--method", "nearest", "--shot", "1").code == 0
    reader = Reader(str(place.database))
    (cell,) = reader.all_cells()
    assert (cell["variant"], cell["n_episodes"]) == ("nearest", 6)
    (run,) = reader.runs_behind([cell["key"]])
    assert run["facts"]["method nearest"].startswith("neighbours 1.2 neighbours:Nearest, neighbours.py SHA-256 ")
    assert "method protonet" not in run["facts"]


def test_what_an_upgrade_changed_is_told_of_a_method_without_a_variant(place, bench, install):
    module = install("neighbours", CODE, nearest="neighbours:Nearest")
    words = ["--method", "nearest,protonet", "--shot", "1,2"]
    told = bench("run", *words).err  # of what the grid does not have, a report must be told
    assert "plots: bench report --method nearest,protonet --shot 1,2\n" in told, told
    assert "up to date" in bench("why", "nearest-4w1s-s0").out
    (place.folder / "claims.toml").write_text(CLAIMS)
    judged = bench("claims", "--claims", "claims.toml")
    assert judged.code == 0, judged.err
    sys.modules.pop("neighbours")
    module.write_text(f"{CODE}\n    version = 99\n")
    os.utime(module, (1, 1))  # else the compiled code of before is taken for its
    changed = bench("why", "nearest-4w1s-s0")
    assert (changed.code, "the code's version" in changed.out, "no such cell" in changed.out) == (0, True, False)
    ran = bench("replay", "nearest-4w1s-s0")
    assert (ran.code, ran.err.count("\n")) == (5, 1)
    assert ", and neighbours 1.2 neighbours:Nearest, neighbours.py SHA-256 " in ran.err


def test_a_table_says_which_methods_follow_no_rule_but_their_own(place, bench, install):
    install("neighbours", CODE, nearest="neighbours:Nearest")
    methods = ["--method", "nearest,transfer", "--shot", "1"]
    assert bench("run", "-q", *methods).code == 0
    assert (
        ", fitted by the rule of bench.toml (nearest in its own way), "
        in bench("report", *methods, "--format", "markdown").out
    )
    rows = csv.DictReader(io.StringIO(bench("report", *methods, "--format", "csv").out))
    assert {row["variant"]: row["rule"] for row in rows} == {"nearest": "its own", "transfer": "the rule of bench.toml"}
    assert bench("report", *methods).code == 0
    page = (place.folder / "out" / "report.html").read_text()
    assert "models were fitted by the rule of bench.toml (nearest in its own way). " in page
    assert (
        ", fitted by no common rule (nearest in its own way), "
        in bench("report", "--method", "nearest", "--shot", "1", "--format", "markdown").out
    )


def test_a_grid_of_a_method_without_a_variant_says_what_to_add(place, bench, install):
    install("neighbours", CODE, nearest="neighbours:Nearest")
    config = place.folder / "bench.toml"
    grid = config.read_text().replace('methods = ["transfer", ', 'methods = ["nearest", ')
    config.write_text(grid)
    said = bench("run", "-q")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert 'a grid names variants: add [methods.nearest] with method = "nearest"\n' in said.err
    config.write_text(f'{grid}\n[methods.nearest]\nmethod = "nearest"\n')
    assert bench("run", "-q", "--shot", "1").code == 0


def test_a_name_that_means_a_variant_and_a_method_is_refused(place, bench, install):
    install("neighbours", CODE, untrained="neighbours:Nearest")
    said = bench("run", "-q", "--method", "untrained", "--shot", "1")
    assert said.code == 2
    assert "'untrained' is a variant of transfer in bench.toml and the entry point 'untrained = n" in said.err


@pytest.fixture
def apart(place):
    """As `bench`, in a process of its own, whose workers have what torch takes seconds to import."""
    finds = f"import sys; sys.path.insert(0, {str(place.folder / 'site')!r})\n"
    return lambda *words, before="": place.in_own_process(*words, before=finds + before)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_method_whose_answers_are_none_or_that_ends_its_caller_fails_alone(jobs, apart, install):
    install("neighbours", BAD, nearest="neighbours:Nearest")
    for name, kind in (("leaves", "GeneratorExit"), ("quits", "SystemExit(3)"), ("taps", "KeyboardInterrupt")):
        where = "predict(self, episodes, adaptation)" if name != "quits" else "__init__(self, problem, settings)"
        install(name, f"{CODE}\n    def {where}:\n        raise {kind}\n", **{name: f"{name}:Nearest"})
    methods = "nearest,leaves,quits,taps,protonet"
    ran = apart("run", "--json", "-q", "--method", methods, "--shot", "1", "--jobs", jobs)
    assert (ran.code, ran.err.count("\n")) == (4, 4)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert {line["cell"]: line["failed"] for line in lines if "failed" in line} == {
        "nearest-4w1s-s0": "adaptation diverged: logits not finite in episode 0 or soon after",
        "leaves-4w1s-s0": "evaluation broke in or after episode 0: GeneratorExit",
        "quits-4w1s-s0": "training broke after iteration 0: SystemExit: 3",
        "taps-4w1s-s0": "evaluation broke in or after episode 0: KeyboardInterrupt",
    }
    assert [line["cell"] for line in lines if "accuracy" in line] == ["protonet-4w1s-s0"]


def test_a_list_of_methods_goes_on_without_the_broken_ones(place, bench, install):
    install("broken", "import absent", lost="broken:Nearest")
    install("neighbours", CODE, nearest="neighbours:Nearest", maml="neighbours:Nearest")
    listed = bench("list", "methods")
    assert listed.code == 0
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert {"maml", "hopeless", "nearest"} <= set(names)
    assert "lost" not in names
    assert [line.split(" of ")[1].split(" ")[0] for line in listed.err.splitlines()] == ["broken", "neighbours"]


def test_a_broken_package_is_one_line_where_it_is_asked_for(place, bench, install):
    install("broken", "import absent", lost="broken:Nearest")
    ran = bench("run", "-q", "--method", "lost")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "the entry point 'lost = broken:Nearest' of broken 1.2 cannot be imported" in ran.err
    assert bench("run", "-q", "--method", "protonet", "--shot", "1").code == 0


def test_a_registered_method_reaches_worker_processes(place, apart, install):
    install("neighbours", CODE)
    registers = "import neighbours, fewshot_bench; fewshot_bench.register('nearest', neighbours.Nearest)"
    assert apart("run", "-q", "--method", "nearest", "--jobs", "2", before=registers).code == 0
    assert {cell["n_episodes"] for cell in Reader(str(place.database)).all_cells()} == {6}


def test_a_registered_method_that_workers_cannot_import_is_one_line(make_training, tmp_path):
    class Local(ProtoNet):
        """Of this function."""

    registry.register("local", Local)
    training = make_training("local", train_way=5)
    plan = Plan((), (PlannedTraining(training, None, ()),), 0)
    place = Workplace("strokes", tmp_path, None, tmp_path, "cpu", 1, "")
    with pytest.raises(UsageError, match="the method 'local' is a class of this process alone"):
        for_workers(place, plan)


TELLS = """
import multiprocessing
from fewshot_bench.running.library import run

def tell(event):
    raise ZeroDivisionError

try:
    run(methods="protonet", jobs=2, progress=tell)
except ZeroDivisionError:
    print(multiprocessing.active_children())
"""


def test_whoever_is_told_may_break_and_no_process_is_left(place):
    told = place.processes.begin(TELLS, cwd=place.folder)
    assert told.communicate() == ("[]\n", "")


def test_other_variants_go_on_without_a_broken_one(place, bench, install):
    install("broken", "import absent", lost="broken:Nearest")
    place.add('[methods.gone]\nmethod = "lost"\n[grids.both]\nmethods = ["gone", "protonet"]\nways = [4]\nshots = [1]\n'
              "seeds = [0]\n")  # fmt: skip
    ran = bench("run", "-q", "--grid", "both")
    assert ran.code == 4
    assert " ".join(ran.err.split()).startswith("left out: [methods.gone] method = 'lost': the entry point 'lost = ")
    assert [cell["variant"] for cell in Reader(str(place.database)).all_cells()] == ["protonet"]
    with pytest.warns(UserWarning, match=r"left out: \[methods.gone\]"):
        assert list(run(grid="both")["variant"]) == ["protonet"]
    assert bench("run", "-q", "--method", "gone").code == 2


def test_a_variant_whose_package_is_not_installed_can_be_left_out(place, bench):
    place.add('[methods.gone]\nmethod = "lost"\n[grids.both]\nmethods = ["transfer", "gone", "protonet"]\nways = [4]\n'
              "shots = [1]\nseeds = [0]\n")  # fmt: skip
    for command in ("run", "report"):
        ran = bench(command, "-q", "--grid", "both")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "[methods.gone] method = 'lost' is not installed here" in ran.err
        assert ran.err.endswith("; without it: --method transfer,protonet\n")
        assert bench(command, "-q", "--grid", "both", "--method", "transfer,protonet").code == 0
    assert "without it" not in bench("run", "--method", "gone").err


PRETRAINED = """
from dataclasses import dataclass
from pathlib import Path
from fewshot_bench.methods.protonet import ProtoNet, ProtoNetSettings

@dataclass(frozen=True)
class Settings(ProtoNetSettings):
    train_way: int = 5
    weights: Path | None = None

class Nearest(ProtoNet):
    Settings = Settings

    def __init__(self, problem, settings):
        super().__init__(problem, settings)
        self.found = settings.weights.read_bytes() if settings.weights else b""
"""


def test_a_file_that_a_setting_names_counts_by_its_content(place, bench, install):
    install("neighbours", PRETRAINED, nearest="neighbours:Nearest")
    place.add('[methods.near]\nmethod = "nearest"\nweights = "one.bin"\n')

    def key(name: str, content: bytes) -> str:
        (place.folder / name).write_bytes(content)
        chosen = choose(Selection(methods=("near",), shots=(1,), config=place.folder / "bench.toml"))
        return str(chosen.cells[0].key)

    first = key("one.bin", b"1")
    assert bench("run", "-q", "--method", "near", "--shot", "1").code == 0
    assert [cell["key"] for cell in Reader(str(place.database)).all_cells()] == [first]
    assert key("one.bin", b"22") != first
    text = (place.folder / "bench.toml").read_text()
    (place.folder / "bench.toml").write_text(text.replace("one.bin", "other.bin"))
    assert key("other.bin", b"1") == first
    assert bench("replay", first).code == 0  # bench.toml names a file of that content
    assert load("out", first).cell.key == first
    (place.folder / "other.bin").write_bytes(b"333")
    ran = bench("replay", first)
    assert (ran.code, ran.err.count("\n")) == (5, 1)
    assert "[settings] weights is a file of which only the content is known, 'sha256:" in ran.err
    (place.folder / "other.bin").unlink()
    ran = bench("run", "-q", "--method", "near")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "[methods.near] weights = 'other.bin' is not a file" in ran.err
    assert bench("run", "-q", "--method", "nearest", "--shot", "1").code == 0  # without a file


ODD = {
    "training_setting": (
        "    @classmethod\n    def training_setting(cls, *words):\n        return 1 / 0\n",
        "raises ZeroDivisionError: division by zero",
    ),
    "its answer": (
        "    @classmethod\n    def training_setting(cls, *words):\n        return 5\n",
        "its training setting is 5, not two whole numbers",
    ),
    "sizes": (
        "    @classmethod\n    def training_setting(cls, *words):\n        return -1, 2.5\n",
        "its training setting is (-1, 2.5)",
    ),
    "a version": ("    version = -5\n", "its versions are [-5], not whole numbers from 0 to 1000000"),
    "huge sizes": (
        "    @classmethod\n    def training_setting(cls, *words):\n        return 0, 10**9\n",
        "its training setting is (0, 1000000000), not two whole numbers up to 10000",
    ),
    "an end": ("    @classmethod\n    def versions(cls):\n        raise GeneratorExit\n", "raises GeneratorExit"),
    "versions": ("    @classmethod\n    def versions(cls):\n        return ['1']\n", "its versions are ['1']"),
    "settings": (
        "    from dataclasses import dataclass\n    @dataclass(frozen=True)\n    class Settings:\n        a: int = 1\n"
        "        def __post_init__(self):\n            raise OSError('no\\nway')\n",
        "raises OSError: no way",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_method_that_breaks_while_it_is_asked_is_left_out(kind, place, bench, install):
    code, said = ODD[kind]
    install(
        "broken", "from fewshot_bench.methods.protonet import ProtoNet\nclass Odd(ProtoNet):\n" + code, odd="broken:Odd"
    )
    ran = bench("run", "-n", "--method", "odd,protonet", "--shot", "1")
    assert ran.code in (0, 4)
    assert " ".join(ran.err.split()).startswith(
        "left out: [methods.odd] method = 'odd': the entry point 'odd = broken:"
    )
    assert said in " ".join(ran.err.split())
    listed = bench("list", "methods")
    assert (listed.code, listed.err.count("of broken 1.2")) == (0, 1)
    ran = bench("run", "-q", "--method", "odd")
    assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_plan_is_shown_though_a_step_is_broken(place, bench, install):
    install("broken", CODE + "    def step(self, source):\n        return 1 / 0\n", lost="broken:Nearest")
    shown = bench("run", "-n", "--method", "lost,protonet", "--shot", "1")
    assert (shown.code, shown.err) == (0, "")
    assert [line.count("unknown") for line in shown.out.splitlines() if "GiB" in line or "unknown" in line] == [1, 0]
    ran = bench("run", "-q", "--method", "lost", "--shot", "1", "--json")
    assert ran.code == 4
    failed = json.loads(ran.out)["failed"]
    assert failed == "training broke after iteration 0: ZeroDivisionError: division by zero"


@pytest.fixture
def changing(place, bench, install):
    """A package whose method has a stored result and then another `predict`."""

    def change(package: str, predict: str) -> str:
        module = install(package, CODE, **{package: f"{package}:Nearest"})
        assert bench("run", "-q", "--method", package, "--shot", "1").code == 0
        sys.modules.pop(package)
        module.write_text(f"{CODE}\n    def predict(self, episodes, adaptation):\n        {predict}\n")
        os.utime(module, (1, 1))  # else the compiled code of before is taken for its
        return f"{package}-4w1s-s0"

    return change


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        ("raise ValueError('no\\nwords')", "raised broke: ValueError: no words"),
        ("raise SystemExit(0)", "raised broke: SystemExit: 0"),
        ("raise GeneratorExit", "raised broke: GeneratorExit"),
        ("return super().predict(episodes, adaptation)[..., :1]", "predict returned logits of shape (1, 12, 1), not"),
    ],
)
def test_a_method_that_breaks_when_it_is_replayed_is_different_and_no_traceback(predict, said, changing, bench):
    cell = changing("raised", predict)
    for words in ((), ("--retrain",)):
        ran = bench("replay", cell, *words)
        assert ran.code == 3
        assert said in ran.out.splitlines()[-1]


ODD_SETTINGS = """
from dataclasses import dataclass
from fewshot_bench.methods.protonet import ProtoNet, ProtoNetSettings

print("on import")

@dataclass(frozen=True, kw_only=True)
class Settings(ProtoNetSettings):
    more: {kind}

class Nearest(ProtoNet):
    Settings = Settings
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("int", "[methods.odd] needs the key 'more'"),
        ("frozenset = frozenset()", "is no method: Nearest.Settings.more is of a type that no table"),
        ("float = float('nan')", "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_a_list_of_methods_goes_on_without_one_whose_settings_are_no_identity(kind, said, place, bench, install):
    install("oddities", ODD_SETTINGS.format(kind=kind), odd="oddities:Nearest")
    listed = bench("list", "methods")
    assert listed.code == 0
    assert "hopeless" in listed.out
    assert said in listed.err.splitlines()[-1]
    ran = bench("run", "-q", "--method", "odd")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert said in ran.err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_a_method_prints_is_no_part_of_an_answer(jobs, place, bench, install):
    code = CODE + "    def predict(self, *words):\n        print('hello')\n        return super().predict(*words)\n"
    install("loud", code, nearest="loud:Nearest")
    ran = bench("run", "-q", "--json", "--method", "nearest", "--shot", "1", "--jobs", jobs)
    assert json.loads(ran.out)["cell"] == "nearest-4w1s-s0"
    assert ran.err == "hello\n" * 6


def test_what_a_package_prints_on_import_is_no_part_of_an_answer(place, bench, install):
    install("loud", 'print("on import")\n' + CODE, nearest="loud:Nearest")
    ran = bench("run", "-n", "--json", "--method", "nearest", "--shot", "1")
    assert json.loads(ran.out)["cells"]
    assert ran.err == "on import\n"


def test_a_name_that_cannot_be_said_needs_a_variant(place, bench, install):
    install("slashed", CODE, **{"a/b": "slashed:Nearest"})
    ran = bench("run", "-q", "--method", "a/b", "--shot", "1")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "the method 'a/b' needs a variant in bench.toml: it holds '/'" in ran.err
    place.add('[methods.ab]\nmethod = "a/b"\n')
    assert bench("run", "-q", "-n", "--method", "ab", "--shot", "1").code == 0


def test_the_code_of_a_package_in_a_zip_is_known_by_its_content(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("inside_a_zip.py", CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    registry.register("nearest", importlib.import_module("inside_a_zip").Nearest)
    code = f"inside_a_zip.py SHA-256 {hashlib.sha256(CODE.encode()).hexdigest()}"
    assert registry.origins(["nearest"]) == {"nearest": f"registered by inside_a_zip:Nearest, {code}"}
