"""Stored results of the wanted cells -> the one input of tables and reports."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fewshot_bench.config import Config, load
from fewshot_bench.data.pretraining import seen_in_pretraining, seen_in_training
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.grid import cells as grid_cells
from fewshot_bench.experiment.grid import for_family
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.experiment.network import backbone_of
from fewshot_bench.experiment.records import StoredCell, StoredTraining
from fewshot_bench.experiment.selection import Place, place_of
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.results.confusion import Classes, class_answers
from fewshot_bench.results.provenance import AT
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.pairs import spread_among
from fewshot_bench.tables.papers import published_updates
from fewshot_bench.tables.scores import (
    BudgetScore,
    CellScore,
    CellState,
    CurvePoint,
    EpisodeResult,
    Experiment,
    Results,
    TrainingCost,
)
from fewshot_bench.tables.statistics.classes import ClassAnswers
from fewshot_bench.tables.statistics.seeds import FEWEST_SEEDS, Spread
from fewshot_bench.tables.summary import cell_of

SHOWN = 48  # letters of the name of a file of weights
PROTOCOL_NOTES = {
    "single": (
        "One model a method and seed, trained on small episodes, adapts to all settings; a head whose number of "
        "classes is not the trained one starts at zero."
    ),
    "matched": "For each setting a model of its own, trained with as many classes as it is tested with.",
}


def results(
    chosen: Chosen, *, reader: Reader | None = None, with_answers: bool = False, with_budgets: bool = False
) -> Results:
    """Everything stored of the chosen cells, missing ones marked; raises DatabaseError where episodes are damaged.

    reader: of another database than the selection's own
    Only with the answers do cells have a confusion of classes, for what is said of other classes and for alarms, and
    only then are damaged answers noticed: they are as many bytes as there were queries. Only with the budgets is it
    known what the same cells are after another budget.
    """
    cells, reader = chosen.cells, reader or Reader(chosen.database)
    stored_cells, stored_trainings = reader.cells(), reader.trainings()
    wanted = {cell.key: cell for cell in cells}
    held = [key for key in wanted if key in stored_cells]
    episodes, classes = reader.episodes(held), Classes(chosen.novel)
    answers = reader.answers(held) if with_answers else {}
    trainings = {cell.training.key: cell.training for cell in cells}
    curves = reader.curves(trainings)
    served: dict[str, dict[str, None]] = {key: {} for key in trainings}
    for cell in cells:
        served[cell.training.key][cell.variant] = None
    variants = {key: tuple(names) for key, names in served.items()}
    scores = tuple(
        _score(
            cell,
            stored_cells.get(cell.key),
            stored_trainings.get(cell.training.key),
            episodes.get(cell.key, ())[: cell.n_episodes],
            class_answers(cell, answers.get(cell.key, {}), classes),
        )
        for cell in cells
    )
    measured = _measured(chosen, stored_cells)
    return Results(
        experiment=_experiment(chosen, reader),
        beside=_beside(chosen, reader, with_answers),
        variants=tuple(dict.fromkeys(c.variant for c in cells)),
        settings=tuple(dict.fromkeys((c.setting.n_way, c.setting.n_shot) for c in cells)),
        seeds=tuple(dict.fromkeys(c.training.seed for c in cells)),
        cells=scores,
        trainings=tuple(_cost(t, stored_trainings.get(key), variants[key]) for key, t in trainings.items()),
        curves=tuple(
            CurvePoint(variants[key][0], trainings[key].seed, iteration, loss, trainings[key].trained_on)
            for key, points in curves.items()
            for iteration, loss in points
        ),
        by_budget=_by_budget(chosen, reader, stored_cells, stored_trainings, scores) if with_budgets else (),
        n_measured={setting: len(variants) for setting, variants in measured.items()},
        spreads=_spreads(measured, reader, stored_cells, stored_trainings, scores),
        seeds_of={v: chosen.request.seeds_of(v) for v in chosen.request.config.grids[chosen.request.grid].one_seed},
    )


def _measured(chosen: Chosen, stored: dict[str, StoredCell]) -> dict[tuple[int, int], dict[str, list[Cell]]]:
    """In each setting the variants with results: of the whole grid, and chosen beside it, whatever is shown."""
    request, found = chosen.request, dict[tuple[int, int], dict[str, list[Cell]]]()
    known = {cell.place: cell for cell in chosen.cells}
    grid = request.config.grids[request.grid]
    seeds = tuple(dict.fromkeys([*grid.seeds, *request.seeds]))
    for name in dict.fromkeys([*grid.everyone, *request.methods]):
        with suppress(UsageError):  # one that cannot be made has no results
            cells = grid_cells(dataclasses.replace(request, methods=(name,), seeds=seeds), chosen.images, chosen.other)
            for cell in (known.get(cell.place, cell) for cell in cells):  # whose key is known
                if cell.key in stored and stored[cell.key].n_episodes:
                    found.setdefault(cell.place[1:3], {}).setdefault(name, []).append(cell)
    return found


def _spreads(
    measured: dict[tuple[int, int], dict[str, list[Cell]]],
    reader: Reader,
    stored: dict[str, StoredCell],
    trainings: dict[str, StoredTraining],
    scored: Sequence[CellScore],
) -> dict[tuple[int, int], Spread | None]:
    """How the variants of each setting vary from seed to seed; scored: cells whose episodes are read already."""
    known = {score.key: score for score in scored}
    few = len({score.seed for score in scored}) < FEWEST_SEEDS  # which borrow nothing
    lending = {} if few else {s: [c for c in of.values() if len(c) >= FEWEST_SEEDS] for s, of in measured.items()}
    more = [c for variants in lending.values() for cells in variants for c in cells if c.key not in known]
    episodes = reader.episodes(c.key for c in more)
    for c in more:
        theirs = episodes[c.key][: c.n_episodes]
        known[c.key] = _score(c, stored[c.key], trainings.get(c.training.key), theirs, None)
    return {
        setting: spread_among([known[c.key] for c in cells] for cells in lending.get(setting, []))
        for setting in measured
    }


def _by_budget(
    chosen: Chosen,
    reader: Reader,
    stored: dict[str, StoredCell],
    trainings: dict[str, StoredTraining],
    scored: Sequence[CellScore],
) -> tuple[BudgetScore, ...]:
    """Every variant and setting of the chosen cells, after each of the configuration's budgets that is stored.

    scored: the chosen cells themselves
    """
    known = {(score.place, score.key, score.n_episodes_wanted): score for score in scored}
    found, rules = [], {cell.place[:3]: cell.adaptation for cell in chosen.cells}
    for budget in chosen.request.config.budgets:
        wanted = Counter[tuple[str, int, int]]()
        places: dict[tuple[str, int, int], list[Cell]] = {}
        with suppress(UsageError):  # a budget that nobody uses may have a mistake in it
            for cell in grid_cells(dataclasses.replace(chosen.request, budget=budget), chosen.images, chosen.other):
                place = cell.place[:3]
                wanted[place] += 1
                # few trainings are stored of most budgets, and their keys take less time than those of all cells
                if cell.training.key in trainings and cell.key in stored and stored[cell.key].n_episodes:
                    places.setdefault(place, []).append(cell)
        held_at = {place: places[place] for place in places.keys() & rules.keys()}
        more = [c for held in held_at.values() for c in held if (c.place, c.key, c.n_episodes) not in known]
        episodes = reader.episodes(c.key for c in more)
        for c in more:
            theirs = episodes[c.key][: c.n_episodes]
            known[c.place, c.key, c.n_episodes] = _score(c, stored[c.key], trainings.get(c.training.key), theirs, None)
        for place, held in held_at.items():
            scores = [dataclasses.replace(known[c.place, c.key, c.n_episodes], answers=None) for c in held]
            shown = cell_of(scores) if scores else None
            if shown and shown.mean is not None:
                seen = sum(trainings[cell.training.key].images_seen for cell in held) // len(held)
                complete = shown.state == "done" and len(held) == wanted[place]
                same_rule = all(cell.adaptation == rules[place] for cell in held)
                half, interval = shown.half_width, shown.interval
                found.append(BudgetScore(budget, *place, seen, shown.mean, half, complete, same_rule, interval))
    return tuple(sorted(found, key=lambda score: (score.images_seen, score.variant, score.n_way, score.n_shot)))


def _beside(chosen: Chosen, reader: Reader, with_answers: bool) -> Results | None:
    """The same cells under the rule of bench.toml, where theirs was tuned; None where none of these is stored."""
    if not chosen.request.rules:
        return None
    request = dataclasses.replace(chosen.request, rules=None)
    wanted = {cell.name: cell.n_episodes for cell in chosen.cells}
    found = grid_cells(request, chosen.images, chosen.other)
    cells = [dataclasses.replace(cell, n_episodes=wanted[cell.name]) for cell in found if cell.name in wanted]
    others = results(
        dataclasses.replace(chosen, request=request, cells=cells), reader=reader, with_answers=with_answers
    )
    shown = {cell.key for cell in chosen.cells}  # of a method that no rule fits: the same under both
    return others if any(cell.state != "missing" and cell.key not in shown for cell in others.cells) else None


def stored_scores(reader: Reader, wanted: Callable[[Place], bool]) -> dict[tuple[str, int, int], list[CellScore]]:
    """(variant, n_way, n_shot) -> its cells, one a seed, from the database alone; of several the latest run's."""
    latest = {
        place_of(row): row
        for row in sorted(reader.all_cells(), key=lambda row: int(row["run_id"]))
        if row["n_episodes"] and wanted(place_of(row))
    }
    episodes, trainings = reader.episodes(row["key"] for row in latest.values()), reader.trainings()
    scores: dict[tuple[str, int, int], list[CellScore]] = {}
    for place, row in latest.items():
        counted, weights = episodes[row["key"]], trainings[row["training_key"]].checkpoint
        score = CellScore(*place, row["key"], "done", "", counted, len(counted), weights=weights)
        scores.setdefault(place[:3], []).append(score)
    return scores


def _score(
    cell: Cell,
    stored: StoredCell | None,
    training: StoredTraining | None,
    shown: tuple[EpisodeResult, ...],  # a cell that a larger grid extended is shown with what this one asks for
    answers: ClassAnswers | None,
) -> CellScore:
    reason = (stored.reason if stored else "") or (training.reason if training else "")
    state: CellState = "done" if len(shown) == cell.n_episodes else "partial" if shown else "missing"
    if state != "done" and reason:
        state = "failed"
    return CellScore(
        *cell.place,
        key=cell.key,
        state=state,
        reason=reason if state == "failed" else "",
        episodes=() if state == "failed" else shown,
        n_episodes_wanted=cell.n_episodes,
        lineage=cell.lineage,
        backbone=_stored_backbone(training.identity) if training else "",
        seconds_per_episode=stored.seconds / max(1, stored.n_episodes) if stored else 0.0,
        weights=training.checkpoint if training else "",
        answers=answers if state != "failed" else None,
    )


def _backbone(config: Config) -> str:
    """Conv-4, 32 filters: the backbone of [model], in words."""
    backbone, model = backbone_of(config), config.model
    parts = {backbone.label: True, f"{model.filters} filters": "filters" in backbone.settings}
    parts[f"images resized to {model.input_size} pixels"] = model.input_size > 0
    parts[f"{model.normalisation} normalisation"] = bool(model.normalisation)
    parts[f"starting from {Path(model.weights).name[:SHOWN]}"] = bool(model.weights)
    parts[f"DropBlock {model.drop_block:g}"] = model.drop_block > 0
    parts[f"computed in {model.numerics}"] = model.numerics != "float32"
    return ", ".join(words for words, said in parts.items() if said)


def _stored_backbone(identity: dict[str, Any]) -> str:
    """conv4, 32 filters, 1x28x28: what it is and what it takes in."""
    parts = ["{backbone}", "{filters} filters", "{in_channels}x{image_size}x{image_size}"]
    if not identity["filters"]:
        parts[1] = "DropBlock {drop_block}" if "drop_block" in identity else ""
    rest = {
        "input_size": "resized to {input_size}", "normalisation": "{normalisation} normalisation",
        "weights": "from {weights:.19}", "numerics": "{numerics}",
    }  # fmt: skip
    parts += [text for name, text in rest.items() if name in identity]
    return ", ".join(part for part in parts if part).format(**identity)


def _cost(training: Training, stored: StoredTraining | None, variants: tuple[str, ...]) -> TrainingCost:
    return TrainingCost(
        variants=variants,
        seed=training.seed,
        key=training.key,
        state=stored.state if stored else "missing",
        trained_on=training.trained_on,
        iterations=stored.iteration if stored else 0,
        images_seen=stored.images_seen if stored else 0,
        seconds=stored.seconds if stored else 0.0,
        peak_memory_bytes=stored.peak_memory_bytes if stored else 0,
        device=stored.device if stored else "",
        reason=stored.reason if stored else "",
    )


def _experiment(chosen: Chosen, reader: Reader) -> Experiment:
    request, images, cells = chosen.request, chosen.images, chosen.cells
    split, novel = images.split(request.split), chosen.novel.split(request.split)
    _, channels, height, width = images.images.shape
    seen = [seen_in_pretraining(request.config.model, chosen.novel, novel)]
    seen += [seen_in_training(images, chosen.other, request.split)] if chosen.other else []
    return Experiment(
        dataset=chosen.data,
        dataset_note=images.note + (f" {chosen.other.note}" if chosen.other else ""),
        fingerprint=chosen.fingerprint,
        split=split.name,
        n_base_classes=len(split.base),
        n_novel_classes=len(novel.novel),
        image_shape=(channels, height, width),
        images_per_novel_class=min(len(chosen.novel.images_of_class[c]) for c in novel.novel),
        protocol=request.protocol,
        protocol_note=PROTOCOL_NOTES[request.protocol],
        budget=request.budget,
        backbone=_backbone(request.config),
        norms={c.variant: c.training.settings.norm for c in cells if hasattr(c.training.settings, "norm")},
        n_query=request.config.episodes.n_query,
        command=chosen.command(),
        rule=rule_of(chosen),
        fits_itself=tuple(
            dict.fromkeys(c.variant for c in cells if not c.adaptation and c.training.method not in METHODS)
        ),
        augmentation=str(request.config.augmentation),
        pretraining=" ".join(filter(None, seen)),
        new_classes=request.config.statistics.new_classes,
        shares=_shares(chosen),
        whole=100 * request.config.statistics.whole_training,
        facts=_facts(cells, reader),
    )


def _shares(chosen: Chosen) -> dict[str, tuple[float, float]]:
    """Variant -> the least and the most % of its published training that one has; an untrained network has none."""
    published = published_updates()
    found: dict[str, list[float]] = {}
    for cell in chosen.cells:
        if cell.training.method in published and cell.training.iterations:
            share = 100 * cell.training.iterations / published[cell.training.method]
            found.setdefault(cell.variant, []).append(share)
    return {variant: (min(shares), max(shares)) for variant, shares in found.items()}


def rule_of(chosen: Chosen) -> str:
    """How methods are fitted at test, in words; heads on frozen features are variants of their own."""
    fitted = [cell for cell in chosen.cells if cell.adaptation and not cell.adaptation.head]
    if not fitted:
        return "no common rule"
    if rules := chosen.request.rules:
        elsewhere = ", ".join(rules.tuned_elsewhere(chosen.cells, chosen.images))
        said = f"; tuned on other trainings than here: {elsewhere}" if elsewhere else ""
        return f"rules tuned by one procedure ({Path(rules.file).name}, SHA-256 {rules.content_sha256[:8]}{said})"
    packaged, used = load(), set()
    for cell in fitted:
        of_family = for_family(packaged, cell.training.method, chosen.images.family).get("adaptation", {})
        if cell.adaptation != Adaptation(**of_family):
            return "the rule of bench.toml"
        used.add(cell.adaptation)
    return "the published rules" if len(used) > 1 else "the published rule"


def _facts(cells: list[Cell], reader: Reader) -> dict[str, str]:
    """How tasks are fitted, and the provenance of all runs behind the cells; several values where they differ."""
    found: dict[str, list[str]] = {}
    for rule in dict.fromkeys(cell.adaptation for cell in cells if cell.adaptation):
        found.setdefault("adaptation at test", []).append(
            ", ".join(f"{name} {value}" for name, value in rule.identity.items())
        )
    for run in reader.runs_behind(cell.key for cell in cells):
        commit = (run["git_commit"] or "not a checkout") + (" with uncommitted changes" if run["git_dirty"] else "")
        made_at = run["facts"].get(AT, run["started_at"])  # not when it was imported
        for name, value in {"run": made_at, "commit": commit, **run["facts"]}.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return {name: "; ".join(values) for name, values in found.items()}
