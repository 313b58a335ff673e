"""The section of docs/results.md on rules of fitting at test that were tuned on base classes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmarks.measured.pairs import differences
from fewshot_bench.config import load
from fewshot_bench.experiment.rules import Rule, read_rules
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.pairs import Comparison, compare_variants
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import summarise

NAME = "miniimagenet-32tuned"


def section() -> list[str]:
    """The lines of the section."""
    stored, both = _stored(), _both()
    return [
        "`bench tune` chose among the same candidates for each method, on episodes of base classes that the model was "
        f"not trained on ({', '.join(f'`{v}`' for v in stored.variants)}, seed 0, trained again on another card; "
        f"`bench report --measured {NAME}`). Fitted as chosen, then the same networks by the published rule:",
        "",
        render(summarise(stored), "markdown").strip(),
        "",
        "Percentage points that the chosen rule adds, with 95 % intervals for classes like these; – where the "
        "published rule was chosen:",
        "",
        *differences(both, ((variant, _published(variant)) for variant in stored.variants)),
        "",
        f"Chosen, where not the published rule (no candidate had more than {_most('steps')} steps or {_most('epochs')} "
        "epochs):",
        "",
        *_chosen(),
    ]


def gains(variant: str) -> tuple[Comparison, ...]:
    """Its chosen rule less the published one, in each setting."""
    return compare_variants(_both(), variant, _published(variant))


@cache
def _stored() -> Results:
    return results(choose_stored(shipped(NAME)), with_answers=True)


def _published(variant: str) -> str:
    return f"{variant} as published"


def _both() -> Results:
    """The cells of both rules as variants of one table; where the rule is the same, so is the cell."""
    stored = _stored()
    assert stored.beside
    keys = {cell.key for cell in stored.cells}
    others = (cell for cell in stored.beside.cells if cell.key not in keys)
    cells = (replace(cell, variant=_published(cell.variant)) for cell in others)
    names = (*stored.variants, *map(_published, stored.variants))
    return replace(stored, variants=names, cells=(*stored.cells, *cells), n_measured={})


def _chosen() -> Iterator[str]:
    published = load(None).adaptation
    for rule in read_rules(Path(str(shipped(NAME).rules))).rules:
        changed = {name: value for name, value in rule.adaptation.items() if value != published[name]}
        if changed:
            yield f"- {_where(rule)}: " + ", ".join(f"{name} = {value}" for name, value in changed.items())


def _most(what: str) -> int:
    return max(int(rule.get(what, 0)) for group in load(None).tuning.values() for rule in group.rules)


def _where(rule: Rule) -> str:
    return f"`{rule.variant}`, {rule.n_way}-way, from {rule.from_shot}-shot"
