"""docs/answer.md: five sentences for someone who must choose a method, and their plot."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.measured import tuned
from benchmarks.measured.pairs import PARENTS, SEQUENTIAL, clear_and_significant, hangs_on_one, seeds_named, won
from fewshot_bench.reports.canvas import to_png
from fewshot_bench.reports.plots import accuracy_against_shots
from fewshot_bench.tables.claims import words
from fewshot_bench.tables.claims.verdicts import Judgement
from fewshot_bench.tables.pairs import compare_variants
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import Row, summarise
from fewshot_bench.tables.wording import accuracy, cell_name, percent, points

PLOT, NUMBERS = "answer.png", "Description"  # of PNG's keywords
FEATURES = "imagenet-logistic"
SHOWN = (
    "transfer", "transfer-logistic", "protonet", "maml", "maml-mtl", "pretrained-maml", "reptile", "reptile-mtl",
    "r2d2", "untrained", FEATURES,
)  # fmt: skip


def answer_page(stored: Results, judged: Judgement, pretrained: Results) -> str:
    """Five sentences for someone who must choose a method. pretrained: the same settings with pretrained features"""
    e, n = stored.experiment, len(stored.settings)
    by_best, alone, rows = dict[str, list[str]](), 0, summarise(stored).rows
    for row in rows:
        best = max((cell for cell in row.cells if cell.mean is not None), key=lambda cell: cell.mean or 0.0)
        alone += not any(cell.near_best or cell.unclear for cell in row.cells)
        seeds = [one.seed for one in best.seeds]
        few = "" if len(seeds) == len(stored.seeds) else f" ({seeds_named(seeds)} alone)"
        by_best.setdefault(f"`{best.variant}`{few}", []).append(f"{row.n_way}-way {row.n_shot}-shot")
    ranked = sorted(by_best.items(), key=lambda each: -len(each[1]))
    highest = "; ".join(f"{name} in {len(where)} of {n} settings ({', '.join(where)})" for name, where in ranked)
    many = [c for c in compare_variants(stored, "transfer-logistic", "transfer") if c.n_way > 5]
    gains, (clear, significant) = [c.mean or 0.0 for c in many], clear_and_significant(many)
    chosen = tuned.means("transfer")
    of_head = {
        (c.n_way, c.n_shot): c.mean or 0.0 for row in rows for c in row.cells if c.variant == "transfer-logistic"
    }
    below = sum(mean < of_head[setting] for setting, mean in chosen.items() if setting[0] > 5)
    above = [
        f"`{a}` is above `{b}` in {sum((c.mean or 0) > 0 for c in compare_variants(stored, a, b))}" for a, b in PARENTS
    ]
    said = ", ".join(_verdict(judged, name) for name in ("maml-mtl", "reptile-mtl"))
    return "\n".join(
        [
            "# Which method for my own images?",
            "",
            f"From one set of photographs ({e.dataset} at {e.image_shape[1]} pixels), short trainings ({e.spent}) and "
            f"{len(stored.seeds)} seeds; on characters the order is [another](results.md#characters). What the names "
            "stand for: `bench list methods`, and [controls](controls.md).",
            "",
            f"1. Of the methods measured here, fitted by the published rule, the highest mean is that of {highest}; it "
            f"is significantly above all others in {alone} of {n}; {_tuned_above(rows)}.",
            f"2. That meta-transfer beats both its parents in all {n} settings is {said}; by their means, "
            f"{'; '.join(above)} of {n} settings.",
            f"3. Whether joint training is what helps: {'; '.join(won(stored, a, b) for a, b in SEQUENTIAL)} (in "
            "brackets: with a 95 % interval without 0, and significant among all pairs); the second of each trains the "
            "same two losses one after the other.",
            "4. With many classes, keep a trained network's features and fit a logistic regression "
            f"(`transfer-logistic`) before you fine-tune all layers by the published rule: with 20 and 35 ways that is "
            f"worth {points(min(gains))} to {points(max(gains))} points (with a 95 % interval without 0 in {clear} of "
            f"{len(gains)} settings, significant among all pairs in {significant}); fine-tuned by a rule that `bench "
            f"tune` chose (`transfer`, {tuned.trained_again()}) the mean is below that of the regression in {below} of "
            f"these {len(gains)} settings, too.",
            f"5. {_pretrained(rows, pretrained)}",
            "",
            "`bench run --data FOLDER` and `bench report` measure all of this on your own images.",
            "",
            f"![Accuracy over shots, one panel for each number of classes]({PLOT})",
            "",
            f"Bands: 95 % over episodes. One seed: {', '.join(v for v in SHOWN if v in {*stored.seeds_of, FEATURES})}.",
            "",
        ]
    )


def _tuned_above(rows: Sequence[Row]) -> str:
    """Where a mean by a tuned rule is above all of these."""
    told = []
    for (n_way, n_shot), best in _best(rows).items():
        means = {variant: tuned.means(variant).get((n_way, n_shot), 0.0) for variant in tuned.variants()}
        higher = sorted((variant for variant in means if means[variant] > best), key=means.__getitem__, reverse=True)
        if higher:
            named = ", ".join(f"`{variant}` ({percent(means[variant])})" for variant in higher)
            told.append(f"{n_way}-way {n_shot}-shot {named}")
    return f"by rules that `bench tune` chose ({tuned.trained_again()}) above it: {'; '.join(told) or 'none'}"


def _best(rows: Sequence[Row]) -> dict[tuple[int, int], float]:
    """(n_way, n_shot) -> its highest mean."""
    return {(r.n_way, r.n_shot): max(cell.mean or 0.0 for cell in r.cells) for r in rows}


def _verdict(judged: Judgement, name: str) -> str:
    """ "refuted for `maml-mtl` (of 18 comparisons 0 shown true, 1 shown false; more seeds may undo it)"."""
    one = next(one for one in judged.claims if one.claim.id == f"narrow-{name}")
    counts = words.measured(one, judged).partition(": ")[2].removesuffix(" (after Holm)")
    alone = "; more seeds may undo it" if hangs_on_one(one) else ""
    return f"{one.verdict} for `{name}` ({counts}{alone})"


def _pretrained(rows: Sequence[Row], pretrained: Results) -> str:
    """How far pretrained features lead, and what they have seen."""
    best = _best(rows)
    leads = [
        (cell.mean or 0.0) - best[cell.n_way, cell.n_shot]
        for cell in summarise(pretrained).cells
        if cell.variant == FEATURES
    ]
    return (
        f"A logistic regression on frozen features of a network trained on ImageNet (`{FEATURES}`: "
        f"{pretrained.experiment.backbone.partition(',')[0]}) is {points(min(leads))} to {points(max(leads))} points "
        f"above the best of these methods. {pretrained.experiment.pretraining}"
    )


def shown(stored: Results, pretrained: Results) -> Results:
    """What the plot shows, as one table."""
    cells = [*stored.cells, *pretrained.cells]
    own = stored.seeds_of | dict.fromkeys(pretrained.variants, pretrained.seeds)
    return replace(stored, variants=SHOWN, cells=tuple(c for c in cells if c.variant in SHOWN), seeds_of=own)


def picture(stored: Results, pretrained: Results) -> bytes:
    """The plot as PNG, with the numbers that it shows as a text in it."""
    plotted = shown(stored, pretrained)
    text, png = PngInfo(), BytesIO()
    text.add_text(NUMBERS, numbers(plotted))
    Image.open(BytesIO(to_png(accuracy_against_shots(summarise(plotted))))).save(png, "PNG", pnginfo=text)
    return png.getvalue()


def numbers(plotted: Results) -> str:
    """What the plot shows, as the tables print it: "maml 5-way 1-shot 40.12 ± 0.83", ..."""
    return "\n".join(
        f"{cell_name(c.variant, c.n_way, c.n_shot)} {accuracy(c.mean, c.half_width, c.interval)}"
        for c in summarise(plotted).cells
    )
