"""What every method must do, checked on small images made here: a broken promise is one line.

`check_method("mine")` is the whole of it, in a test of a package of its own, too; `bench method check mine` prints it.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.interface import Episodes, Method, Problem
from fewshot_bench.methods.later import mentioned
from fewshot_bench.methods.registry import find_method
from fewshot_bench.methods.returned import (
    left_behind,
    wrong_logits,
    wrong_losses,
    wrong_training_setting,
    wrong_versions,
)
from fewshot_bench.methods.strangers import contained, in_one_line, modes

WAY, SHOT, QUERY = 4, 3, 5
N_BASE, N_NOVEL, SIDE, BLOCK = 24, 12, 16, 4  # classes; pixels of an image, and of a block of its pattern
NOISE = 40 / 255
RULE = Adaptation(lr_per_way=0.025, steps=4, full_batch=20, batch_size=8, batches=6)
TOGETHER = 8  # tasks, where many are computed at once
NORMS = ("support", "transductive", "running")
LEAST_ACCURACY = 0.45  # chance is 0.25; 400 queries have a standard error of at most 0.025


class ContractBroken(AssertionError):
    """What a method does not do that it must; one line a finding."""


class EasyImages:
    """Classes that differ by a fixed pattern under noise, easy for anything that learns at all; a TaskSource."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        shape = (N_BASE + N_NOVEL, 1, SIDE // BLOCK, SIDE // BLOCK)
        blocks = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        self._patterns = blocks.repeat_interleave(BLOCK, -1).repeat_interleave(BLOCK, -2)  # (n, 1, SIDE, SIDE)
        self._draws, self._dtype = torch.Generator().manual_seed(seed), dtype

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> Episodes:
        """See `TaskSource.episodes`."""
        return self._episodes(torch.arange(N_BASE), n_tasks, (n_way, n_shot, n_query))

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """See `TaskSource.batch`."""
        labels = torch.randint(N_BASE, (size,), generator=self._draws)
        return self._images(labels), labels

    def novel(self, n_tasks: int, n_way: int = WAY, n_shot: int = SHOT) -> Episodes:
        """Test episodes, of other classes."""
        return self._episodes(torch.arange(N_BASE, N_BASE + N_NOVEL), n_tasks, (n_way, n_shot, QUERY))

    def _episodes(self, classes: Tensor, n_tasks: int, size: tuple[int, int, int]) -> Episodes:
        n_way, n_shot, n_query = size
        chosen = torch.stack([self._shuffled(len(classes))[:n_way] for _ in range(n_tasks)])  # (T, n_way)
        support, queries = torch.arange(n_way).repeat(n_shot), torch.arange(n_way).repeat(n_query)
        support = torch.stack([support[self._shuffled(len(support))] for _ in range(n_tasks)])  # (T, n_way*n_shot)
        queries = queries.expand(n_tasks, -1)  # (T, n_way*n_query)
        ids = classes[chosen]
        of_support, of_queries = (self._images(ids.gather(1, labels)) for labels in (support, queries))
        return Episodes(of_support, support, of_queries, queries, chosen)

    def _images(self, classes: Tensor) -> Tensor:
        clean = self._patterns[classes]  # (*classes.shape, 1, SIDE, SIDE)
        return (clean + NOISE * torch.randn(clean.shape, generator=self._draws)).clamp(0, 1).to(self._dtype)

    def _shuffled(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self._draws)


@dataclass(frozen=True)
class Subject:
    """A method with the settings that it is tried with."""

    name: str
    method: type[Method]
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        """Name and settings."""
        return ", ".join([self.name, *(f"{name} = {value}" for name, value in self.settings.items())])

    @property
    def norm(self) -> str:
        """How it normalises, which says what a query may depend on."""
        return str(getattr(self.method.Settings(**self.settings), "norm", "support"))

    def make(self, iterations: int = 10, seed: int = 1) -> Method:
        """One that is not trained."""
        settings = self.method.Settings(**self.settings)
        n_way, n_shot = self.method.training_setting(settings, WAY, SHOT)
        return self.method(Problem(1, SIDE, 8, N_BASE, n_way, n_shot, QUERY, iterations, seed), settings)

    def trained(self, iterations: int = 2, seed: int = 1, tasks_at_once: int = 1) -> Method:
        """One that is trained, and about to be tested."""
        method, source = self.make(iterations, seed), EasyImages()
        method.execution = Execution(tasks_at_once)
        for _ in range(iterations):
            method.step(source)
        return method.eval()


def says_what_it_is(subject: Subject) -> None:
    """Settings, versions and training setting are what an identity can hold."""
    settings = subject.method.Settings(**subject.settings)
    for name, value in mentioned(settings).items():
        try:
            json.dumps(value, allow_nan=False, default=_file_name)
        except (TypeError, ValueError) as error:
            raise ContractBroken(f"the setting {name} can be in no identity: {in_one_line(error)}") from None
    _refuse(wrong_versions(subject.method.versions()))
    _refuse(wrong_training_setting(subject.method.training_setting(settings, WAY, SHOT)))


def steps(subject: Subject) -> None:
    """A step moves weights, counts itself and tells a finite loss."""
    method = subject.make()
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    losses = _step(method, EasyImages())
    _require("loss" in losses, f"step returned {sorted(losses)}, no 'loss'")
    for name, value in losses.items():
        _require(bool(value.isfinite()), f"{name!r} of the first step is {value}")
    moved = any(not torch.equal(before[name], p) for name, p in method.named_parameters())
    _require(moved, "a step moved no parameter")


def answers(subject: Subject) -> None:
    """Logits have a row a query and a column a class, for other ways and shots than it was trained for, too."""
    method = subject.trained()
    for n_way in (WAY, 7):
        for n_shot in (1, SHOT, 9):  # 9 is beyond `full_batch`: mini-batches
            logits = _predict(method, EasyImages().novel(2, n_way, n_shot))
            where = f"{n_way}-way {n_shot}-shot logits"
            _require(bool(logits.isfinite().all()), f"{where} are not finite")
            _require(not logits.requires_grad, f"{where} have their graph")


def leaves_itself_alone(subject: Subject) -> None:
    """Predicting changes neither the method nor the episodes, and repeats."""
    method, episodes, others = subject.trained(), EasyImages(1).novel(2), EasyImages(2).novel(2)
    before, given = method.training_state(), [field.clone() for field in episodes]
    first = _predict(method, episodes)
    if changed := _differing(before, method.training_state()):
        raise ContractBroken(f"predict changed {changed}")
    _require(not method.training, "predict left the method in training mode")
    _require(all(map(torch.equal, given, episodes)), "predict changed the episodes that it was given")
    _require(torch.equal(first, _predict(method, episodes)), "predict says something else the second time")
    _predict(method, others)
    _require(torch.equal(first, _predict(method, episodes)), "what predict says depends on the episodes before")


def takes_episodes_together(subject: Subject) -> None:
    """Many episodes at once equal one by one."""
    # in float64, where the order of summation hides: in float32 adaptation magnifies it, by how much depends on the CPU
    method, episodes = subject.trained().double(), EasyImages(dtype=torch.float64).novel(3)
    alone = torch.cat([_predict(method, one) for one in episodes.split(1)])
    _close(_predict(method, episodes), alone, "logits of 3 episodes at once differ from one by one", 1e-9)


def sees_queries_one_by_one(subject: Subject) -> None:
    """A query's logits depend on that query, on no query's label, and on other queries only if transductive."""
    method, episodes = subject.trained(), EasyImages().novel(1)
    queries = episodes.query_images
    itself_changed = torch.cat([1 - queries[:, :1], queries[:, 1:]], 1)
    others_changed = torch.cat([queries[:, :1], 0.5 * queries[:, 1:].flip(1)], 1)

    def first_logits(images: Tensor) -> Tensor:
        return _predict(method, episodes._replace(query_images=images))[:, 0]

    logits = first_logits(queries)
    depends = not torch.allclose(logits, first_logits(itself_changed), atol=1e-4)
    _require(depends, "a query's logits do not depend on it")  # so that the next ones can fail
    free = torch.allclose(logits, first_logits(others_changed), rtol=1e-4, atol=1e-5)
    if subject.norm == "transductive":
        _require(not free, "a query's logits depend on no other query, though it says that it is transductive")
    else:
        _require(free, "a query's logits depend on other queries, and it does not say that it is transductive")
    relabelled = episodes._replace(query_labels=episodes.query_labels.flip(1))
    same = torch.equal(_predict(method, episodes), _predict(method, relabelled))
    _require(same, "logits depend on the labels of the queries")


def sees_no_order(subject: Subject) -> None:
    """A query's logits do not depend on where it stands: queries that come class by class tell their labels by it."""
    method, episodes = subject.trained().double(), EasyImages(dtype=torch.float64).novel(1)  # as above
    by_class = episodes.query_labels[0].argsort(stable=True)  # as queries come in a run
    shuffled = by_class[torch.randperm(len(by_class), generator=torch.Generator().manual_seed(0))]

    def logits(order: Tensor) -> Tensor:
        reordered = episodes._replace(
            query_images=episodes.query_images[:, order], query_labels=episodes.query_labels[:, order]
        )
        return _predict(method, reordered)[:, order.argsort()]

    _close(logits(by_class), logits(shuffled), "predict depends on the order of the queries: logits differ", 1e-9)


def follows_its_seed(subject: Subject) -> None:
    """The same seed gives the same weights, and another seed others."""
    state = subject.trained().training_state()
    if differs := _differing(state, subject.trained().training_state()):
        raise ContractBroken(f"trained twice with one seed, {differs} differs: draw from self.generator()")
    if not _differing(state, subject.trained(seed=2).training_state()):
        raise ContractBroken("two seeds gave the same weights: draw them from self.generator()")


def goes_on_where_it_stopped(subject: Subject) -> None:
    """A restored method goes on as if it had never stopped."""
    whole = subject.trained(iterations=4)
    first, source = subject.make(iterations=4), EasyImages()
    first.step(source)
    first.step(source)
    second = subject.make(iterations=4, seed=9).load_training_state(first.training_state())
    second.step(source)
    second.step(source)
    if differs := _differing(whole.training_state(), second.eval().training_state()):
        raise ContractBroken(f"stopped after 2 of 4 steps and restored, {differs} differs: register what a step needs")
    episodes = EasyImages().novel(1)
    same = torch.equal(_predict(whole, episodes), _predict(second, episodes))
    _require(same, "stopped after 2 of 4 steps and restored, it predicts something else")


def classifies_what_it_embeds(subject: Subject) -> None:
    """What is classified from embedded images is what is predicted."""
    method, episodes = subject.trained(), EasyImages().novel(2)
    if method.embeds:
        logits = method.classify(episodes.embedded(method.embed), RULE)
        _close(logits, _predict(method, episodes), "classify differs from predict", 1e-4)


def folds_tasks(subject: Subject) -> None:
    """How many tasks are computed at once does not change a step."""
    looped, folded = subject.make().double(), subject.make().double()
    folded.execution = Execution(TOGETHER)
    for method in (looped, folded):
        method.step(EasyImages(dtype=torch.float64))
    for (name, a), b in zip(looped.named_parameters(), folded.parameters(), strict=True):
        _close(a, b, f"with {TOGETHER} tasks at once, a step gives another {name}", 1e-9)


def beats_chance(subject: Subject) -> None:
    """After 60 steps it is better than chance on easy images."""
    method, episodes = subject.trained(60, tasks_at_once=TOGETHER), EasyImages(1).novel(20)
    right = float((_predict(method, episodes).argmax(-1) == episodes.query_labels).float().mean())
    _require(
        right > LEAST_ACCURACY,
        f"60 steps make {right:.0%} right, and not {LEAST_ACCURACY:.0%} (chance is {1 / WAY:.0%}); if it learns faster "
        "with other settings, name them in `trials`",
    )


EVERY_NORM = (
    leaves_itself_alone, takes_episodes_together, sees_queries_one_by_one, sees_no_order, goes_on_where_it_stopped,
    classifies_what_it_embeds,
)  # fmt: skip
FIRST = (says_what_it_is, steps, answers)  # whose failure is that of all the others
ONCE = (*FIRST, follows_its_seed, folds_tasks, beats_chance)
Check = Callable[[Subject], None]


@dataclass(frozen=True)
class Finding:
    """What came of one check."""

    check: str  # what was to hold
    subject: Subject
    problem: str  # "" where it holds


def cases(name: str) -> Iterator[tuple[Check, Subject]]:
    """Every check of a registered method, and what to make it on. Raises UnusableMethod."""
    method = find_method(name)
    for trial in method.trials:
        first = Subject(name, method, trial)
        yield from ((check, first) for check in ONCE)
        free = "norm" not in trial and any(f.name == "norm" for f in dataclasses.fields(method.Settings))
        for extra in [{"norm": norm} for norm in NORMS] if free else [{}]:
            yield from ((check, Subject(name, method, {**trial, **extra})) for check in EVERY_NORM)


def findings(name: str) -> Iterator[Finding]:
    """What came of each check of a registered method, up to a first one that fails. Raises UnusableMethod."""
    for check, subject in cases(name):
        problem = ""
        try:
            with contained():
                check(subject)
        except ContractBroken as broken:
            problem = str(broken)
        except Exception as error:  # noqa: BLE001  # of the method itself
            problem = in_one_line(error)
        yield Finding((check.__doc__ or "").rstrip("."), subject, problem)
        if problem and check in FIRST:
            return


def check_method(name: str) -> None:
    """Check that a method keeps the interface; takes some seconds.

    Raises:
        ContractBroken: an AssertionError with a line for each finding
        UnusableMethod: for a name that stands for no method
    """
    broken = [f"{finding.subject}: {finding.problem}" for finding in findings(name) if finding.problem]
    if broken:
        raise ContractBroken("\n".join(broken))


def _predict(method: Method, episodes: Episodes) -> Tensor:
    """Its logits. Raises ContractBroken for what are none."""
    before = modes()
    logits = method.predict(episodes, RULE)
    _refuse(left_behind("predict", before) or wrong_logits(logits, episodes))
    return logits


def _step(method: Method, source: EasyImages) -> dict[str, Tensor]:
    """Its losses. Raises ContractBroken for what are none."""
    before, iteration = modes(), method.iteration
    losses = method.step(source)
    _refuse(left_behind("step", before) or wrong_losses(losses, method.iteration - iteration))
    return losses


def _file_name(value: Any) -> str:
    """A file that a setting names. Raises TypeError for another object."""
    if not isinstance(value, Path):
        raise TypeError(f"a {type(value).__name__} is no number, text, list or table")
    return str(value)


def _refuse(wrong: str) -> None:
    _require(not wrong, wrong)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ContractBroken(otherwise)


def _close(a: Tensor, b: Tensor, otherwise: str, tolerance: float) -> None:
    _require(a.shape == b.shape, f"{otherwise} in shape: {tuple(a.shape)}, {tuple(b.shape)}")
    most = float((a - b).detach().abs().max()) if a.numel() else 0.0
    _require(torch.allclose(a, b, rtol=tolerance, atol=tolerance / 10), f"{otherwise}, by up to {most:.2g}")


def _differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> str:
    """The name of a tensor that is not the same in two states; "" where all are."""
    names = dict.fromkeys([*a, *b])
    return next((name for name in names if name not in a or name not in b or not torch.equal(a[name], b[name])), "")
