"""The section of docs/results.md on rules of fitting at test that were tuned on base classes."""

from dataclasses import replace

from benchmarks.measured.pairs import differences
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.render import render
from fewshot_bench.tables.summary import summarise

NAME = "miniimagenet-32tuned"


def section() -> list[str]:
    """The lines of the section."""
    stored = results(choose_stored(shipped(NAME)), with_answers=True)
    published = stored.beside
    assert published
    named = {variant: f"{variant} as published" for variant in stored.variants}
    cells = (replace(cell, variant=named[cell.variant]) for cell in published.cells)
    both = replace(stored, variants=(*stored.variants, *named.values()), cells=(*stored.cells, *cells), n_measured={})
    return [
        "`bench tune` chose among the same candidates for each method, on episodes of base classes that the model was "
        f"not trained on ({', '.join(f'`{v}`' for v in stored.variants)}, seed 0, trained again on another card; "
        f"`bench report --measured {NAME}`). Fitted as chosen, then the same networks by the published rule:",
        "",
        render(summarise(stored), "markdown").strip(),
        "",
        "Percentage points that the chosen rule adds, with 95 % intervals for classes like these:",
        "",
        *differences(both, named.items()),
    ]
