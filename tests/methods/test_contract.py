"""What every method must do; one is tested by being registered, or by an installed package that declares it."""

from contextlib import suppress

import pytest
import torch
from _pytest.mark import ParameterSet

from fewshot_bench.methods.contract import RULE, Check, EasyImages, Subject, cases
from fewshot_bench.methods.registry import UnusableMethod, find_method, method_names


@pytest.fixture(scope="module", autouse=True)
def house_alone():
    """Here they count."""


def all_cases() -> list[ParameterSet]:
    """Every check of every method that can be used."""
    found = []
    for name in method_names():
        with suppress(UnusableMethod):  # the test below says so
            found += [pytest.param(check, s, id=f"{check.__name__}-{s}") for check, s in cases(name)]
    return found


@pytest.mark.parametrize("name", method_names())
def test_every_name_stands_for_a_method(name):
    find_method(name)


@pytest.mark.parametrize(("check", "subject"), all_cases())
def test_contract(check: Check, subject: Subject):
    check(subject)


def test_labels_carry_no_meaning_of_their_own():
    """Permuting an episode's labels permutes ProtoNet's logits: nothing depends on a label's number."""
    method = Subject("protonet", find_method("protonet"), {}).trained()
    episodes, order = EasyImages().novel(1), torch.tensor([2, 0, 3, 1])
    permuted = episodes._replace(support_labels=order[episodes.support_labels])
    expected = torch.empty_like(method.predict(episodes, RULE))
    expected[:, :, order] = method.predict(episodes, RULE)
    torch.testing.assert_close(method.predict(permuted, RULE), expected, rtol=1e-4, atol=1e-4)
