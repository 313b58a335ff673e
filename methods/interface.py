"""What a method is: two functions, `step` and `predict`. The loop around them belongs to the runner."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from fewshot_bench.methods.adaptation import Adaptation, OptimizerName
from fewshot_bench.methods.execution import Execution, Recorded

# Raise it when backbones, adaptation or optimisers change what every method computes: all results become stale.
CORE_VERSION = 1


class Episodes(NamedTuple):
    """T episodes of one setting, ready on the device. Images are floats in [0, 1].

    The support images stand in a random order, so consecutive slices of them are random mini-batches.
    """

    support_images: Tensor  # (T, n_way*n_shot, C, H, W)
    support_labels: Tensor  # (T, n_way*n_shot) int64, 0..n_way-1
    query_images: Tensor  # (T, n_way*n_query, C, H, W)
    query_labels: Tensor  # (T, n_way*n_query) int64
    class_ids: Tensor  # (T, n_way) int64: which class each label stands for, counted within base or novel

    @property
    def n_way(self) -> int:
        """Classes in each episode."""
        return self.class_ids.shape[1]

    def embedded(self, embed: Callable[[Tensor], Tensor]) -> "Episodes":
        """The same episodes with features (T, N, F) in place of images; embed: see `Method.embed`."""
        both = self.support_images, self.query_images
        support, queries = (torch.stack([embed(task) for task in images]) for images in both)
        return self._replace(support_images=support, query_images=queries)

    def split(self, n_tasks: int) -> "list[Episodes]":
        """The same episodes in pieces of at most n_tasks."""
        return [Episodes(*parts) for parts in zip(*(torch.split(field, n_tasks) for field in self), strict=True)]


class TaskSource(Protocol):
    """The base classes, drawn from in two independent seeded streams. A method pulls what it needs."""

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> Episodes:
        """The next n_tasks episodes over the base classes."""
        ...

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The next i.i.d. batch: images (size, C, H, W), base-class labels (size,) int64."""
        ...


@dataclass(frozen=True)
class Problem:
    """What a method is built for; everything here is part of a training's identity."""

    in_channels: int  # of an image: 1 or 3
    image_size: int  # pixels, square
    filters: int  # of each layer, where the backbone has this choice
    n_base_classes: int  # that it trains on
    n_way: int  # classes in a training episode, as `Method.training_setting` resolved it
    n_shot: int  # support images per class, likewise
    n_query: int  # queries per class in a training episode
    iterations: int  # outer updates in the whole training: schedules need their end
    seed: int  # of the initial weights
    backbone: str = "conv4"  # see backbones.find_backbone
    drop_block: float = 0.0  # share of activations that DropBlock drops in training, where the backbone has it
    input_size: int = 0  # pixels that images are resized to, where the backbone resizes; 0: as it was made for
    normalisation: str = ""  # of pixels, where the backbone has this choice; empty: as it was made for
    weights: Path | None = None  # a file of initial weights in place of the seed's, where the backbone takes one


class Method(nn.Module, ABC):
    """One way to prepare a model for new tasks.

    A subclass registers its parameters and buffers as any module does, puts its optimisers into
    `self.optimizers`, and implements `step` and `predict`. Checkpoints, budgets and progress are the runner's.
    """

    Settings: ClassVar[type]  # a frozen dataclass; every default names its source
    version: ClassVar[int]  # raise it when old results stop being comparable
    adapts: ClassVar[bool] = True  # False where `predict` ignores its `adaptation`
    # with which settings `contract` tries it, where the defaults are too slow or learn nothing in 60 small steps
    trials: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """`embeds` is never inherited: what a subclass changes would not be asked for, its parent's answer would be.

        Raises TypeError for a class that declares it, with a `predict` of its own and its parent's way around it.
        """
        super().__init_subclass__(**kwargs)
        if "embeds" not in vars(cls):
            cls.embeds = Method.embeds  # type: ignore[method-assign]
            return
        for way_around in ("embed", "classify"):
            if _depth(cls, "predict") < _depth(cls, way_around):
                raise TypeError(f"{cls.__name__} declares `embeds`, but its `{way_around}` is older than its `predict`")

    def __init__(self, problem: Problem, settings: Any) -> None:
        super().__init__()
        self.problem = problem
        self.settings = settings
        self.iteration = 0  # outer updates done
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.execution = Execution()
        self._recorded: dict[str, Recorded] = {}
        self.tracks_moments = True  # whether training passes feed the running moments (norm "running")

    @classmethod
    def training_setting(cls, settings: Any, n_way: int, n_shot: int) -> tuple[int, int]:
        """The (n_way, n_shot) that this method trains on when the protocol says n_way, n_shot.

        (0, 0) means that it trains without episodes, so one training serves every setting.
        """
        return n_way, n_shot

    @classmethod
    def versions(cls) -> list[int]:
        """What a training's identity carries: the versions of everything that the method is made of."""
        return [cls.version]

    @abstractmethod
    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One outer update. Returns what to log as 0-dim tensors (no host sync); "loss" is expected."""

    @abstractmethod
    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """Logits (T, n_way*n_query, n_way) for the queries; leaves self bit-identical.

        `adaptation` is the one rule by which every gradient method fits a new task.
        """

    @property
    def embeds(self) -> bool:
        """Whether `predict` sees an image only through features that depend on nothing but that image.

        Where it is so, `embed` and `classify` are there, are asked in place of `predict`, and each image is embedded
        once for all episodes. No subclass inherits it; one for which it still holds says `embeds = Parent.embeds`.
        """
        return False

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, F) of images (N, C, H, W); only where `embeds`."""
        raise NotImplementedError

    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """As `predict`, on episodes that hold features (T, N, F) in place of images; only where `embeds`."""
        raise NotImplementedError

    def run(self, gradients: Callable[..., Tensor], *inputs: Tensor | Episodes) -> Tensor:
        """gradients(*inputs), which sets parameters' gradients and returns a loss; as `execution` says."""
        if not self.execution.recorded:
            return gradients(*inputs)
        name = gradients.__name__
        if name not in self._recorded:
            self._recorded[name] = Recorded(self)
        return self._recorded[name](gradients, *inputs)

    def generator(self) -> torch.Generator:
        """A generator for the initial weights, the same on every device."""
        return torch.Generator().manual_seed(self.problem.seed)

    def training_state(self) -> dict[str, Tensor]:
        """Everything that the next `step` depends on, as named tensors (shared ones once).

        Raises TypeError where an optimiser's state holds something else.
        """
        state = dict(self.named_parameters()) | dict(self.named_buffers())
        for name, optimizer in self.optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                for slot, value in slots.items():
                    if not isinstance(value, Tensor):
                        kind = type(value).__name__
                        raise TypeError(f"optimizers[{name!r}] keeps {slot!r} as {kind}: only tensors are stored")
                    state[f"{name}/{index}/{slot}"] = value
        state["iteration"] = torch.tensor(self.iteration)
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    @torch.no_grad()
    def load_training_state(self, state: dict[str, Tensor]) -> Self:
        """Continue from `training_state()`. Raises KeyError where a tensor is missing."""
        for name, tensor in (dict(self.named_parameters()) | dict(self.named_buffers())).items():
            tensor.copy_(state[name])
        for name, optimizer in self.optimizers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                if key.startswith(f"{name}/"):
                    _, index, slot = key.split("/")
                    slots.setdefault(int(index), {})[slot] = value.clone()
            optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
        self.iteration = int(state["iteration"])
        return self


def make_optimizer(name: OptimizerName, module: nn.Module, lr: float) -> torch.optim.Optimizer:
    """An outer optimiser over a module's parameters."""
    kinds: dict[str, type[torch.optim.Adam | torch.optim.SGD]] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    return kinds[name](module.parameters(), lr=lr)


def _depth(cls: type, name: str) -> int:
    """How far up the line of its parents a class finds an attribute."""
    return next(depth for depth, parent in enumerate(cls.__mro__) if name in vars(parent))
