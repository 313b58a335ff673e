"""`bench method check`: a line a check, and an exit code."""

import pytest

from fewshot_bench.methods import registry
from fewshot_bench.methods.protonet import ProtoNet


class Small(ProtoNet):
    """Keeps all its promises, cheaply."""

    trials = ({"train_way": 6, "norm": "support"},)


class Flat(Small):
    """Has one class too few."""

    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation)[..., 1:]


@pytest.mark.parametrize(("method", "code"), [(Small, 0), (Flat, 3)])
def test_check_tells_each_promise_and_whether_all_hold(method, code, bench, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {"mine": method})
    checked = bench("method", "check", "mine")
    *lines, last = checked.out.splitlines()
    assert (checked.code, checked.err) == (code, "")
    broken = [line for line in lines if line.startswith("BROKEN ")]
    assert last == f"mine: {len(lines) - len(broken)} checks hold, {len(broken)} do not"
    assert bool(broken) == bool(code)
    said = "predict returned logits of shape (2, 20, 3), not (2, 20, 4): episodes, queries, classes"
    assert any(line.endswith(f"(mine, train_way = 6, norm = support): {said}") for line in lines) == bool(code)


@pytest.mark.parametrize(("name", "said"), [("mamll", "there is no method 'mamll'; known: "), ("lost", "absent")])
def test_what_is_no_method_is_one_line(name, said, bench, install):
    install("broken", "import absent", lost="broken:Nearest")
    checked = bench("method", "check", name)
    assert (checked.code, checked.out, checked.err.count("\n")) == (2, "", 1)
    assert said in checked.err
