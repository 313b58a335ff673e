"""The pairs that the page of results speaks of, and what was measured of them."""

from collections.abc import Iterable, Sequence

from scipy.special import stdtrit

from fewshot_bench.tables.claims.verdicts import JudgedClaim
from fewshot_bench.tables.pairs import Comparison, compare_variants, spreads_of
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.wording import points

# what each sentence of the paper is about: meta-transfer against its parents
PARENTS = (("maml-mtl", "maml"), ("maml-mtl", "transfer"), ("reptile-mtl", "reptile"), ("reptile-mtl", "transfer"))
SEQUENTIAL = (("maml-mtl", "pretrained-maml"), ("reptile-mtl", "pretrained-reptile"))
# a question, what its pairs are, and the pairs: first minus second
QUESTIONS = (
    (
        "Is it joint training that helps?",
        "meta-transfer against the same two losses one after the other: as many images pass forward and backward, but "
        "more are drawn, as meta-transfer uses each for both losses",
        SEQUENTIAL,
    ),
    (
        "Or more training?",
        "meta-transfer against its parent, trained for as many images passed through the network",
        (("maml-mtl", "maml-equal"), ("reptile-mtl", "reptile-equal")),
    ),
    (
        "Does it matter how the losses are joined?",
        "one gradient of their weighted sum against the average of parameters",
        (("maml-mtl-joint", "maml-mtl"), ("reptile-mtl-joint", "reptile-mtl")),
    ),
    (
        "Features or adaptation?",
        "methods that adapt all layers against a logistic regression on transfer's features; trainings differ, too",
        (("maml", "transfer-logistic"), ("maml-mtl", "transfer-logistic"), ("reptile-mtl", "transfer-logistic")),
    ),
    (
        "The rule?",
        "the same network, fitted by another head in place of the published steps",
        (("transfer-logistic", "transfer"), ("transfer-centroid", "transfer"), ("transfer-cosine", "transfer")),
    ),
    (
        "Steps at all?",
        "a head in closed form against MAML's steps; trained with other ways, images and moments, too",
        (("r2d2", "maml"),),
    ),
    (
        "What is training worth?",
        "against the untrained network, fitted by the same steps",
        (("transfer", "untrained"), ("maml", "untrained"), ("reptile", "untrained"), ("reptile-mtl", "untrained")),
    ),
)


def differences(stored: Results, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line a pair, a column a setting; a pair of fewer seeds than the table names them."""
    head = [f"{way}-way {shot}-shot" for way, shot in stored.settings]
    lines = ["| | " + " | ".join(head) + " |", "|:---|" + "---:|" * len(head)]
    for first, second in pairs:
        found = {(c.n_way, c.n_shot): c for c in compare_variants(stored, first, second)}
        cells = " | ".join(_difference(found.get(s)) for s in stored.settings)
        lines.append(f"| {first} − {second}{_alone(stored, [*found.values()])} | {cells} |")
    return lines


def seeds_named(seeds: Sequence[int]) -> str:
    """ "seed 0", or "seeds 0, 1"."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _alone(stored: Results, pairs: Sequence[Comparison]) -> str:
    """The seeds of a pair that has not all of them."""
    return f" ({seeds_named(pairs[0].seeds)} alone)" if pairs and len(pairs[0].seeds) < len(stored.seeds) else ""


def other_devices(stored: Results, pairs: Iterable[tuple[str, str]]) -> str:
    """Says so where the trainings of a pair, of the same seed, ran on different devices."""
    devices = {(v, t.seed): t.device for t in stored.trainings if t.iterations for v in t.variants}
    apart = any(
        len({devices[side, seed] for side in pair if (side, seed) in devices}) > 1
        for pair in pairs
        for seed in stored.seeds
    )
    return "; not all trained on the same device" if apart else ""


def _difference(c: Comparison | None) -> str:
    if c is None or c.mean is None or c.estimate is None:
        return "–"
    low, high = c.estimate.interval(within=1.0)
    text = f"{points(c.mean)} [{points(low)}, {points(high)}]"
    return f"**{text}**" if c.significant else text


def won(stored: Results, first: str, second: str) -> str:
    """In how many settings the mean of `first` is higher or lower, in how many of them the interval is without 0, and
    in how many the difference is significant."""
    pairs = [c for c in compare_variants(stored, first, second) if c.mean is not None]
    if not pairs:
        return f"`{first}` and `{second}` are not both measured"
    above, below = map(_counts, sides(pairs))
    return f"`{first}` is above `{second}` in {above}, below in {below}{_alone(stored, pairs)}"


def sides(pairs: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """Those whose first is higher by its mean, and those whose second is."""
    above, below = ([c for c in pairs if sign * (c.mean or 0.0) > 0] for sign in (1, -1))
    return above, below


def clear_and_significant(pairs: Sequence[Comparison]) -> tuple[int, int]:
    """How many have a 95 % interval without 0, and how many are significant."""
    clear = sum(c.estimate is not None and abs(c.estimate.mean) > c.estimate.half_width() for c in pairs)
    return clear, sum(c.significant for c in pairs)


def _counts(pairs: Sequence[Comparison]) -> str:
    clear, significant = clear_and_significant(pairs)
    return f"{len(pairs)} ({clear}, {significant})"


def critical(stored: Results) -> str:
    """How much it takes to be significant in these tables."""
    if len(stored.seeds) == 1:
        return "These are checkpoints: another seed may turn them."
    n_tests, n_seeds = max(stored.n_tests(*setting) for setting in stored.settings), len(stored.seeds)
    lending = [spread.borrowed(n_seeds - 1) if spread else 0.0 for spread in spreads_of(stored).values()]
    most, fewest = (float(stdtrit(n_seeds - 1 + of(lending), 1 - ALPHA / 2 / n_tests)) for of in (min, max))
    times = f"{fewest:.0f} times" if round(fewest) == round(most) else f"{fewest:.0f} to {most:.0f} times"
    told = ", and what all pairs tell of how seeds vary," if any(lending) else ""
    few = " Rows of one seed compare checkpoints: another seed may turn them, and their bold is the weaker evidence."
    return (
        f"With {n_seeds} seeds{told} a difference must be {times} its error over seeds to be significant among "
        f"{n_tests} pairs.{few if stored.seeds_of else ''}"
    )


def hangs_on_one(judged: JudgedClaim) -> bool:
    """Whether a sentence is refuted by one comparison alone."""
    return (judged.verdict, judged.n_false) == ("refuted", 1)
