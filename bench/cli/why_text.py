"""What `bench why` says."""

import dataclasses
import json
import re
from typing import Any

from fewshot_bench.experiment.selection import Selection
from fewshot_bench.replay.why import ABSENT, Answer, why


def said(cell: str, selection: Selection, *, as_json: bool) -> str:
    """What changed since a result was stored: for people, or as JSON."""
    answer = why(cell, selection)
    if as_json:
        return json.dumps(dataclasses.asdict(answer) | {"up_to_date": answer.up_to_date})
    return "\n".join(_lines(answer))


def _lines(answer: Answer) -> list[str]:
    """For people."""
    name, near = answer.cell, answer.near
    if near is None:
        which = f"{name} ({answer.wanted})"
        if not answer.configured:
            return [f"{which} is stored; the configuration has no such cell, and nothing like it is stored"]
        return [f"{which} is not stored, and nothing near it: no other result of its method and setting"]
    if answer.up_to_date:
        return [f"{name}: up to date: stored under {near} ({answer.held})"]
    if answer.configured:
        lines = [f"{name} is now {answer.wanted}; stored is {near} ({answer.held}); changed since:"]
    else:
        lines = [
            f"{name} ({answer.wanted}): the configuration has no such cell; from {near} ({answer.held}) it differs in:"
        ]
    width = max(len(change.field) for change in answer.changes)
    lines += [
        f"  {c.field:<{width}}  {_value(c.old)} -> {_value(c.new)}" + (f"  ({c.meaning})" if c.meaning else "")
        for c in answer.changes
    ]
    if answer.configured and answer.same_training:
        lines.append("  the training is the same: only the test is to be done again")
    return lines


def _value(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value)
    return f"{text[:12]}..." if re.fullmatch(r'"[0-9a-f]{32,}"', text) else text
