"""The pairs that the page of results speaks of, and what was measured of them."""

from collections.abc import Sequence

from fewshot_bench.tables.pairs import Comparison, compare_variants
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.wording import points

# what each sentence of the paper is about: meta-transfer against its parents
PARENTS = (("maml-mtl", "maml"), ("maml-mtl", "transfer"), ("reptile-mtl", "reptile"), ("reptile-mtl", "transfer"))
SEQUENTIAL = (("maml-mtl", "pretrained-maml"), ("reptile-mtl", "pretrained-reptile"))
# a question, what its pairs are, and the pairs: first minus second
QUESTIONS = (
    (
        "Is it joint training that helps?",
        "meta-transfer against the same two losses one after the other, for as many images passed through the network",
        SEQUENTIAL,
    ),
    (
        "Or more training?",
        "meta-transfer against its parent, trained for as many images passed through the network",
        (("maml-mtl", "maml-equal"),),
    ),
    (
        "Does it matter how the losses are joined?",
        "one gradient of their weighted sum against the average of parameters",
        (("maml-mtl-joint", "maml-mtl"),),
    ),
    (
        "Features or adaptation?",
        "methods that adapt all layers against a logistic regression on transfer's frozen features",
        (("maml", "transfer-logistic"), ("maml-mtl", "transfer-logistic"), ("reptile-mtl", "transfer-logistic")),
    ),
    (
        "The rule?",
        "the same network, fitted by another head in place of the published steps",
        (("transfer-logistic", "transfer"), ("transfer-centroid", "transfer")),
    ),
    ("Steps at all?", "a head in closed form against MAML's steps", (("r2d2", "maml"),)),
    (
        "What is training worth?",
        "against the untrained network, fitted by the same steps",
        (("transfer", "untrained"), ("maml", "untrained")),
    ),
)


def differences(stored: Results, pairs: Sequence[tuple[str, str, str]]) -> list[str]:
    """A line a pair, a column a setting."""
    head = [f"{way}-way {shot}-shot" for way, shot in stored.settings]
    lines = ["| | " + " | ".join(head) + " |", "|:---|" + "---:|" * len(head)]
    for first, second, name in pairs:
        found = {(c.n_way, c.n_shot): c for c in compare_variants(stored, first, second)}
        lines.append(f"| {name} | " + " | ".join(_difference(found.get(s)) for s in stored.settings) + " |")
    return lines


def _difference(c: Comparison | None) -> str:
    if c is None or c.mean is None or c.estimate is None:
        return "–"
    low, high = c.estimate.interval(within=1.0)
    text = f"{points(c.mean)} [{points(low)}, {points(high)}]"
    return f"**{text}**" if c.significant else text


def won(stored: Results, first: str, second: str) -> str:
    """In how many settings the mean of `first` is higher or lower, and in how many of them significantly."""
    pairs = [c for c in compare_variants(stored, first, second) if c.mean is not None]
    if not pairs:
        return f"`{first}` and `{second}` are not both measured"
    above, below = ([c for c in pairs if sign * (c.mean or 0.0) > 0] for sign in (1, -1))
    one = f" (seed {pairs[0].seeds[0]} alone)" if len(pairs[0].seeds) < len(stored.seeds) else ""
    return (
        f"`{first}` is above `{second}` in {len(above)} of {len(pairs)} settings, significantly in "
        f"{sum(c.significant for c in above)}, and below in {len(below)}, significantly in "
        f"{sum(c.significant for c in below)}{one}"
    )
