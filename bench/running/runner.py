"""Train one training, evaluate one cell. Yields what happened; knows no database and no screen."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_bench import machine
from fewshot_bench.config import NO_AUGMENTATION, AugmentationConfig
from fewshot_bench.errors import BenchError
from fewshot_bench.experiment.episodes import Episode, bank
from fewshot_bench.experiment.identity import Cell, Training, by_content
from fewshot_bench.experiment.records import TrainingProgress, pack_answers
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.backbones import find_backbone
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.frozen import Frozen
from fewshot_bench.methods.interface import Episodes, Method
from fewshot_bench.methods.registry import find_method
from fewshot_bench.methods.returned import wrong_features, wrong_logits, wrong_losses
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.curves import Clock, Losses
from fewshot_bench.running.device import arithmetic, describe
from fewshot_bench.running.events import Progressed, Saved, Trained, TrainingEvent, TrainingFailed
from fewshot_bench.running.returned import BrokenMethod, leaving_nothing, require
from fewshot_bench.running.tasks import BaseClasses, Features, Gallery, class_index
from fewshot_bench.seeding import derive_seed
from fewshot_bench.tables.scores import EpisodeResult

SAVE_SECONDS = 20.0  # a kill loses at most this much of a training
CHUNK_SECONDS = 5.0  # and about this much of an evaluation, whose first episode comes alone to tell its pace
LOG_EVERY = 50  # iterations between points of a curve, at most
CURVE_POINTS = 20  # at least, where there are as many iterations
GPU_PIXELS = 16_384 * 32 * 32  # in one evaluation pass on a GPU: bounds its memory


class Stopped(Exception):
    """The run was asked to stop; everything up to here is saved."""


class WeightsGone(FileNotFoundError):
    """The weights of a training that is finished are not there any more."""


@dataclass(frozen=True)
class Laboratory:
    """What every training and evaluation of a run shares."""

    gallery: Gallery
    checkpoints: Checkpoints
    device: torch.device
    should_stop: Callable[[], bool]
    recompute: bool = False  # see `execution.Execution`
    novel: Gallery | None = None  # of another data set, whose novel classes are tested on
    embedded: WeakKeyDictionary[Method, dict[str, Features]] = field(default_factory=WeakKeyDictionary)  # by split
    loaded: dict[tuple[str, str, bool], Method] = field(default_factory=dict)  # by training, weights, frozen: the last

    @property
    def tested(self) -> Gallery:
        """The images whose novel classes are tested on."""
        return self.novel or self.gallery

    def base_classes(self, training: Training, augmentation: AugmentationConfig = NO_AUGMENTATION) -> BaseClasses:
        """What a training draws from."""
        classes = self.gallery.images.classes_of(training.base_parts)
        return BaseClasses(classes, self.gallery, training.data_identity, augmentation)


def build(training: Training, lab: Laboratory) -> Method:
    """The method of a training, with its initial weights, on the device."""
    method = find_method(training.method)(training.problem, training.settings).to(lab.device)
    method.execution = execution_of(training, lab.device, lab.recompute)
    return method


def execution_of(training: Training, device: torch.device, recompute: bool) -> Execution:
    """How the steps of a training are carried out on a device."""
    on_gpu = device.type == "cuda"
    return Execution(
        tasks_at_once=64 if on_gpu and find_backbone(training.backbone).folds else 1,
        # DropBlock draws anew in each step, and would draw something else in a step that is done again
        recompute=recompute and not training.drop_block,
        recorded=on_gpu and not training.drop_block,
    )


def load(training: Training, checkpoint: str, lab: Laboratory, rule: Adaptation | None = None) -> Method:
    """The finished method of a stored training, frozen where the rule has a head.

    Raises WeightsGone if its weights are missing or damaged, BrokenMethod for one that has no features to freeze.
    """
    state = lab.checkpoints.load_finished(checkpoint)
    if state is None:
        raise WeightsGone(f"the weights {checkpoint} are missing or damaged")
    method = build(training, lab).load_training_state(state).eval()
    return frozen(method, training, lab) if rule and rule.head else method


def frozen(method: Method, training: Training, lab: Laboratory) -> Method:
    """A finished method's features under a head that a rule names. Raises BrokenMethod for one without any."""
    source = lab.base_classes(training)
    try:
        with arithmetic(training.numerics, lab.device):
            return Frozen(method, source, keep_moments=bool(training.weights) and not training.iterations)
    except TypeError as error:
        raise BrokenMethod(f"{training.method}: {error}") from None


def train(training: Training, lab: Laboratory) -> Iterator[TrainingEvent]:
    """Train from the start, or from where an earlier run was stopped; the result is the same, bit for bit.

    Raises Unusable where that is no state of this training: called again, it starts anew. Raises Stopped, with the
    state saved, soon after `lab.should_stop()` turns true. The partial state stays on disk
    until the caller has recorded the end and drops it, so that a kill in between loses nothing.
    """
    if isinstance(training.weights, str):
        raise BenchError(
            f"[model] weights = {training.weights!r} says what the file holds, not where it is, enough to read "
            "results; to train, name the file"
        )
    method = build(training, lab)
    if by_content(training.weights) != training.identity.get("weights"):
        raise BenchError(f"{training.weights} has changed since this run began; start it again")
    source = lab.base_classes(training, training.augmentation)
    clock, pending = Clock(lab.device), Losses()
    logged_at = _go_on(training, lab, method, source, pending, clock)
    every = max(1, min(LOG_EVERY, training.iterations // CURVE_POINTS))
    saved_at = time.monotonic()

    def progress() -> TrainingProgress:
        return TrainingProgress(
            method.iteration, source.images_drawn, clock.seconds(), clock.peak_bytes(), describe(lab.device)
        )

    if method.iteration:
        yield Saved(training, progress())  # it goes on from there
    while method.iteration < training.iterations:
        pending.add(_step(method, source, training, lab.device))
        stop, last = lab.should_stop(), method.iteration == training.iterations
        if method.iteration - logged_at >= every or last:
            bad = pending.first_not_finite()
            if bad is not None or (last and not _all_finite(method)):
                step = logged_at + bad + 1 if bad is not None else method.iteration
                what = "loss" if bad is not None else "weights"
                yield TrainingFailed(
                    training,
                    replace(progress(), iteration=step),
                    f"training diverged: {what} not finite at iteration {step}",
                )
                return
            yield Progressed(training, progress(), pending.means())
            pending, logged_at = Losses(), method.iteration
        if (stop or time.monotonic() - saved_at > SAVE_SECONDS) and not last:
            state = method.training_state() | source.state() | pending.state() | clock.state()
            lab.checkpoints.save_partial(training, state)
            saved_at = time.monotonic()
            yield Saved(training, progress())
        if stop and not last:
            raise Stopped
    done = progress()
    checkpoint = lab.checkpoints.save_finished(method.training_state())
    yield Trained(training, done, checkpoint)


def _go_on(
    training: Training, lab: Laboratory, method: Method, source: BaseClasses, pending: Losses, clock: Clock
) -> int:
    """Load the state that an interrupted training was saved in, if it was; the iteration that its curves reach."""
    saved = lab.checkpoints.load_partial(training)
    if saved is None:
        return 0
    try:
        method.load_training_state(saved)
        source.load_state(saved)
        pending.load_state(saved, lab.device)
        clock.load_state(saved)
    except (KeyError, ValueError, RuntimeError) as error:
        if machine.lacks_memory(error):
            raise
        raise lab.checkpoints.put_aside(training, f"other code saved it ({error})") from None
    if not 0 < method.iteration < training.iterations:
        raise lab.checkpoints.put_aside(training, f"it stands at iteration {method.iteration}")
    return method.iteration - len(pending)


def _step(method: Method, source: BaseClasses, training: Training, device: torch.device) -> dict[str, Tensor]:
    """One step; what DropBlock draws in it depends on its number alone, so that training can go on anywhere."""
    before = method.iteration
    with arithmetic(training.numerics, device), leaving_nothing(training.method, "step"):
        if not training.drop_block:
            losses = method.step(source)
        else:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(derive_seed("drop block", *training.data_identity, before))
                losses = method.step(source)
    require(training.method, wrong_losses(losses, method.iteration - before))
    return losses


def evaluate(cell: Cell, method: Method, lab: Laboratory, first: int) -> Iterator[list[EpisodeResult]]:
    """The cell's episodes from number `first` on, in chunks of a few seconds.

    Raises Stopped between episodes, after yielding what is done; FloatingPointError for logits that are not
    finite, BrokenMethod for what are none.
    """
    chunk: list[EpisodeResult] = []
    started = -CHUNK_SECONDS
    try:
        for results in _passes(cell, method, lab, first):
            chunk += results
            stop = lab.should_stop() and chunk[-1].number + 1 < cell.n_episodes
            if stop or time.monotonic() - started > CHUNK_SECONDS:
                yield chunk
                chunk, started = [], time.monotonic()
            if stop:
                raise Stopped
    except FloatingPointError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _passes(cell: Cell, method: Method, lab: Laboratory, first: int) -> Iterator[list[EpisodeResult]]:
    """The cell's episodes from number `first` on, on a GPU as many at once as there is memory for."""
    setting, images = cell.setting, lab.tested.images
    sampler = bank(images, cell.split, setting.n_way, setting.n_query, cell.bank_seed)
    numbers = class_index(images, images.split(cell.split).novel)
    features = embed(cell, method, lab)
    at_once = 1
    if lab.device.type == "cuda" and (method.embeds or find_backbone(cell.training.backbone).folds):
        at_once = max(1, GPU_PIXELS // (setting.n_images * cell.training.image_size**2))
    adaptation = cell.adaptation or Adaptation()  # a method that adapts nothing ignores it

    def answers_to(drawn: list[Episode]) -> NDArray[np.int64]:
        """(T, n_way*n_query); what it takes on the GPU is given back where it fails."""
        batch = lab.tested.collate(drawn, numbers, features)
        with arithmetic(cell.training.numerics, lab.device):
            logits = answer(cell.training.method, method, batch, adaptation)  # (T, n_way*n_query, n_way)
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError(f"adaptation diverged: logits not finite in episode {first} or soon after")
        return logits.argmax(-1).cpu().numpy()

    while first < cell.n_episodes:
        drawn = [sampler.draw(i, setting) for i in range(first, min(first + at_once, cell.n_episodes))]
        try:
            answers = answers_to(drawn)
        except torch.OutOfMemoryError:  # others are on this GPU, too
            if len(drawn) == 1:
                raise
            at_once = len(drawn) // 2
            continue
        yield [_result(first + i, e, answers[i]) for i, e in enumerate(drawn)]
        first += len(drawn)


def answer(name: str, method: Method, episodes: Episodes, adaptation: Adaptation) -> Tensor:
    """The method's logits (T, n_way*n_query, n_way), which it makes without the queries' labels.

    Raises BrokenMethod, which names it, for what are no logits.
    """
    unlabelled = episodes._replace(query_labels=torch.full_like(episodes.query_labels, -1))
    with leaving_nothing(name, "predict"):
        logits = (method.classify if method.embeds else method.predict)(unlabelled, adaptation)
    require(name, wrong_logits(logits, episodes))
    return logits


def embed(cell: Cell, method: Method, lab: Laboratory) -> Features | None:
    """The novel images as the method embeds them, if it does: once, however many settings they are asked for in."""
    if not method.embeds:
        return None

    def features(images: Tensor) -> Tensor:
        with leaving_nothing(cell.training.method, "embed"):
            found = method.embed(images)
        require(cell.training.method, wrong_features(found, images))
        return found

    known = lab.embedded.setdefault(method, {})
    if cell.split not in known:
        images = lab.tested.images
        indices = np.concatenate([images.images_of_class[c] for c in images.split(cell.split).novel])
        with arithmetic(cell.training.numerics, lab.device):
            known[cell.split] = Features(features, indices, lab.tested)
    return known[cell.split]


def _result(number: int, episode: Episode, answers: NDArray[np.int64]) -> EpisodeResult:
    n_correct = int((answers == episode.query_labels).sum())
    return EpisodeResult(number, episode.id, n_correct, len(answers), pack_answers(answers, len(episode.classes)))


def _all_finite(method: Method) -> bool:
    return all(bool(p.isfinite().all()) for p in method.parameters())
