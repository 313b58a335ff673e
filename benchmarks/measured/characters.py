"""The section of docs/results.md on the built-in characters."""

import math

from fewshot_bench.config import load
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.render import render
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import counted

NAME = "strokes"
TRAINED = "-as-trained"  # ends the name of a variant that is fitted by as many steps as it is trained with


def section() -> list[str]:
    """The lines of the section."""
    stored = results(choose_stored(shipped(NAME)), with_answers=True)
    e, table = stored.experiment, summarise(stored)
    cells = {(c.variant, c.n_way, c.n_shot): c.mean or 0.0 for c in table.cells}
    whole = [s for s in stored.settings if math.prod(s) <= load(None).adaptation["full_batch"]]  # else mini-batches
    fell = {
        variant: [s for s in whole if cells[variant.removesuffix(TRAINED), *s] < cells[variant, *s]]
        for variant in stored.variants
        if variant.endswith(TRAINED)
    }
    lost = [point.loss for point in stored.curves if point.variant == "fomaml"][-1]
    return [
        f"{e.dataset_note} {e.model}; {e.spent}; {counted(stored.seeds, 'training seed')}; `bench report --measured "
        f"{NAME}`. MAML, FOMAML and meta-transfer on MAML are trained and fitted as MAML's authors publish for "
        "characters (one step of a rate of 2 in training, three at test); the variants "
        f"`…{TRAINED}` are the same networks fitted by one step.",
        "",
        render(table, "markdown").strip(),
        "",
        "With 1 and 5 shots, three steps have a lower mean than the one of training in "
        + ", ".join(f"{len(where)} of {len(whole)} settings of `{name.removesuffix(TRAINED)}`"
                    for name, where in fell.items())
        + f". `fomaml` hardly learnt with these values: its training loss ends at {lost:.2f}, where guessing has "
        f"{math.log(5):.2f}. So here a row tells of the published values as much as of its method.",
    ]  # fmt: skip
