"""Names of methods: this package's, other packages', a script's; what is broken is one line and stops nothing else."""

import hashlib
from dataclasses import dataclass

import pytest

from fewshot_bench.methods import registry
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.registry import METHODS, UnusableMethod, find_method, method_names, origins, register

GOOD = """
from fewshot_bench.methods.protonet import ProtoNet

class Nearest(ProtoNet):
    version = 3
"""


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def refusal(name: str) -> str:
    """Why a name stands for no method, in one line."""
    with pytest.raises(UnusableMethod) as refused:
        find_method(name)
    said = str(refused.value)
    assert "\n" not in said
    return said


def test_a_method_of_another_package_is_known_by_its_entry_point(install):
    module = install("neighbours", GOOD, nearest="neighbours:Nearest")
    assert method_names() == [*METHODS, "nearest"]
    assert find_method("nearest").version == 3
    sha256 = hashlib.sha256(module.read_bytes()).hexdigest()
    assert origins(["maml", "nearest"]) == {
        "nearest": f"neighbours 1.2 neighbours:Nearest, neighbours.py SHA-256 {sha256}"
    }


BROKEN = {
    "missing module": ("", "absent:Nearest", "cannot be imported: ModuleNotFoundError: No module named 'absent'"),
    "missing import": ("import absent", "broken:Nearest", "cannot be imported: ModuleNotFoundError: No module named"),
    "syntax": ("def f(:", "broken:Nearest", "cannot be imported: SyntaxError: invalid syntax"),
    "no such class": (GOOD, "broken:Other", "cannot be imported: AttributeError: module 'broken' has no attribute"),
    "no object": (GOOD, "broken", "is no method: a module is no subclass of fewshot_bench.methods.interface.Method"),
    "nonsense": (GOOD, "= !", "cannot be imported: "),
    "raises": ("1 / 0", "broken:Nearest", "cannot be imported: ZeroDivisionError: division by zero"),
    "raises no Exception": (
        "class Gone(BaseException): pass\nraise Gone(1)",
        "broken:Nearest",
        "cannot be imported: Gone: 1",
    ),
    "raises what cannot be said": (
        "class Mute(Exception):\n    __str__ = None\nraise Mute",
        "broken:Nearest",
        "cannot be imported: Mute: without words",
    ),
    "trials": (GOOD + "    trials = 5\n", "broken:Nearest", "is no method: Nearest.trials are no tuple of settings"),
    "ends a generator": ("raise GeneratorExit", "broken:Nearest", "cannot be imported: GeneratorExit"),
    "ends": ("raise SystemExit(3)", "broken:Nearest", "cannot be imported: SystemExit: 3"),
    "number": ("Nearest = 3", "broken:Nearest", "is no method: a int is no subclass of"),
    "function": ("def Nearest(): pass", "broken:Nearest", "is no method: a function is no subclass of"),
    "another class": ("class Nearest: pass", "broken:Nearest", "is no method: the class Nearest is no subclass of"),
    "abstract": (
        "from fewshot_bench.methods.interface import Method\nclass Nearest(Method): pass",
        "broken:Nearest",
        "is no method: Nearest has no predict and no step",
    ),
    "settings": (GOOD + "    Settings = dict\n", "broken:Nearest", "is no method: Nearest.Settings is no dataclass"),
    "thawed settings": (
        f"from dataclasses import dataclass\n{GOOD}    @dataclass\n    class Settings: pass\n",
        "broken:Nearest",
        "is no method: Nearest.Settings is not frozen: @dataclass(frozen=True)",
    ),
    "settings of settings": (
        f"from dataclasses import dataclass\n{GOOD}    @dataclass(frozen=True)\n    class Settings:\n"
        "        lr: float | None = None\n        sizes: tuple[int, ...] = (4,)\n        layers: list[int] = None\n",
        "broken:Nearest",
        "is no method: Nearest.Settings.layers is of a type that no table or stored result gives back: have int, ",
    ),
    "settings of an unknown type": (
        f"from dataclasses import dataclass\n{GOOD}    @dataclass(frozen=True)\n    class Settings:\n"
        "        lr: 'Rate' = None\n",
        "broken:Nearest",
        "is no method: the types of Nearest.Settings cannot be read: NameError: name 'Rate' is not defined",
    ),
    "version": (GOOD.replace("3", "'3'"), "broken:Nearest", "is no method: Nearest.version is no whole number"),
    "older way": (
        GOOD + "    embeds = True\n    def predict(self, episodes, adaptation): pass\n",
        "broken:Nearest",
        "cannot be imported: TypeError: Nearest declares `embeds`, but its `embed` is older than its `predict`",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_one_line_and_stops_nothing_else(kind, install):
    code, place, said = BROKEN[kind]
    install("broken", code, nearest=place)
    install("neighbours", GOOD, other="neighbours:Nearest")
    assert refusal("nearest").startswith(f"the entry point 'nearest = {place}' of broken 1.2 {said}")
    assert find_method("other").version == 3
    assert find_method("maml") is METHODS["maml"]
    assert method_names() == [*METHODS, "nearest", "other"]


def test_two_packages_that_declare_one_name_are_both_named(install):
    install("neighbours", GOOD, nearest="neighbours:Nearest")
    install("strangers", GOOD, nearest="strangers:Nearest", own="strangers:Nearest")
    said = refusal("nearest")
    assert "'nearest = neighbours:Nearest' of neighbours 1.2" in said
    assert "'nearest = strangers:Nearest' of strangers 1.2" in said
    assert find_method("own").version == 3


def test_a_built_in_name_cannot_be_taken(install):
    install("neighbours", GOOD, maml="neighbours:Nearest")
    assert find_method("maml") is METHODS["maml"]
    assert method_names() == list(METHODS)
    (said,) = registry.ignored()
    assert (
        said
        == "the entry point 'maml = neighbours:Nearest' of neighbours 1.2 is ignored: a built-in method has that name"
    )


def test_a_list_of_entry_points_that_cannot_be_read_stops_nothing_else(install):
    module = install("broken", GOOD)
    (module.parent / "broken-1.2.dist-info" / "entry_points.txt").write_text("[fewshot_bench.methods]\nnearest\n")
    install("neighbours", GOOD, other="neighbours:Nearest")
    assert method_names() == [*METHODS, "other"]


def test_an_unknown_name_lists_the_known_ones():
    assert refusal("mamll").startswith("there is no method 'mamll'; known: transfer, protonet, maml,")


class Own(ProtoNet):
    """A script's method."""


def test_a_script_may_register_its_own_and_again(install):
    register("own", Own)
    assert method_names() == [*METHODS, "own"]
    assert find_method("own") is Own
    register("own", ProtoNet)
    assert find_method("own") is ProtoNet
    assert origins(["own"])["own"].startswith(
        "registered by fewshot_bench.methods.protonet:ProtoNet, protonet.py SHA-256"
    )


@pytest.mark.parametrize("name", ["maml", "nearest", "fomaml", "transfer-logistic"])
def test_a_name_that_is_taken_is_not_registered(name, install):
    install("neighbours", GOOD, nearest="neighbours:Nearest")
    with pytest.raises(UnusableMethod, match=f"the name '{name}' is taken"):
        register(name, Own)


@pytest.mark.parametrize("name", ["", " ", None, 5, ["own"]])
def test_a_name_is_a_text(name):
    with pytest.raises(UnusableMethod, match="is no text: a method is chosen by it"):
        register(name, Own)
    assert method_names() == list(METHODS)


def test_what_is_no_method_is_not_registered():
    with pytest.raises(UnusableMethod, match="'own' is no method: Method has no predict and no step"):
        register("own", Method)  # type: ignore[type-abstract]


def test_what_another_process_cannot_import_is_told():
    class Local(ProtoNet):
        """Of this function."""

    @dataclass(frozen=True)
    class Settings:
        """Of this function, too."""

    assert registry.importable(ProtoNet)
    assert not registry.importable(Local)
    assert not registry.importable(type("ProtoNet", (ProtoNet,), {"__module__": ProtoNet.__module__}))
    typed = type("Typed", (ProtoNet,), {"__module__": "__main__"})
    assert not registry.importable(typed)
