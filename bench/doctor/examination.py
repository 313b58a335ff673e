"""Everything that `bench doctor` looks at: the images, the stored results, the models."""

from collections.abc import Callable, Sequence

from fewshot_bench.doctor import models
from fewshot_bench.doctor.copies import across, copies
from fewshot_bench.errors import NoResultsYet
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import checkpoints
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_prepared
from fewshot_bench.results.store import Reader
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.device import choose_device, prepare
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Gallery
from fewshot_bench.tables.alarms.alarm import Check
from fewshot_bench.tables.alarms.checks import checks
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.wording import counted, duration

Say = Callable[[str], None]


def examined(selection: Selection, control: bool, say: Say) -> tuple[list[Check], str]:
    """What was looked at in the chosen cells, and why it was only images; "" where there are results.

    control: also test a model of each method and seed with shuffled support labels
    say: is told what is looked at, as it may take long
    """
    chosen = choose_prepared(selection)
    name, images = chosen.request.split, chosen.images
    images, split = across(images, chosen.other, name) if chosen.other else (images, images.split(name))
    say(f"looking for duplicates among {len(images.images):,} images")
    found = list(copies(images, split))
    cells = _stored(chosen)
    if any(cell.episodes for cell in cells):
        return [*found, *checks(cells), *_of_models(chosen, control, say)], ""
    if failed := [cell for cell in cells if cell.reason]:
        return found, f"{len(failed)} of these cells failed and none has results: `bench run -n` says why"
    return found, "no results of these cells are stored: `bench run`"


def _stored(chosen: Chosen) -> Sequence[CellScore]:
    """The chosen cells as they are stored; none where there is no database."""
    try:
        return results(chosen, with_answers=True).cells
    except NoResultsYet:
        return ()


def _of_models(chosen: Chosen, control: bool, say: Say) -> list[Check]:
    run = chosen.request.config.run
    device = choose_device(run.device, chosen.request.config.model.numerics)
    prepare(device, run.threads)
    novel = Gallery(chosen.other, device) if chosen.other else None
    weights = Checkpoints(checkpoints(chosen.out))
    lab = Laboratory(Gallery(chosen.images, device), weights, device, lambda: False, novel=novel)
    stored = models.stored_models(chosen.cells, Reader(chosen.database))
    say(f"looking at {counted(stored, 'model')}, an episode each")
    found = [models.queries_apart(stored, lab)]
    if control:
        few, n = models.one_a_column(stored), models.CONTROL_EPISODES
        takes = duration(n * sum(model.seconds_per_episode for model in few))
        say(f"testing {counted(few, 'model')} with shuffled labels, {n} episodes each: about {takes}")
        found.append(models.label_control(few, lab, lambda name: say(f"  {name}")))
    return found
