"""What is timed: a method at an image shape, its sizes, and the least arithmetic that a step of it needs."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

# name -> (pixels, channels, filters): Omniglot, small photographs, miniImageNet, each with its published filters
SHAPES = {"28x28x1": (28, 1, 64), "32x32x3": (32, 3, 32), "84x84x3": (84, 3, 32)}

# Published sizes: 5-way 5-shot with 15 queries, meta-batch 4 and 5 inner steps (Finn et al. 2017); Reptile's 15
# shots, 8 steps of 10 images, 5 tasks (Nichol et al. 2018); 20 ways (Snell et al. 2017); batches of 64.
METHODS: dict[str, dict[str, Any]] = {
    "maml": {"n_way": 5, "n_shot": 5, "n_query": 15, "n_tasks": 4, "inner_steps": 5, "inner_lr": 0.05},
    "fomaml": {"n_way": 5, "n_shot": 5, "n_query": 15, "n_tasks": 4, "inner_steps": 5, "inner_lr": 0.05},
    "reptile": {"n_way": 5, "n_shot": 15, "n_tasks": 5, "inner_steps": 8, "inner_batch": 10, "inner_lr": 1e-3},
    "protonet": {"n_way": 20, "n_shot": 5, "n_query": 15},
    "supervised": {"n_way": 64, "batch": 64},
}
# What is different where gradients are compared, in float64, which takes twice as long: fewer images, nothing else.
SMALLER: dict[str, dict[str, Any]] = {
    "maml": {"n_tasks": 2, "n_shot": 2, "n_query": 4},
    "fomaml": {"n_tasks": 2, "n_shot": 2, "n_query": 4},
    "reptile": {"n_tasks": 2},
    "protonet": {"n_way": 10, "n_shot": 2, "n_query": 4},
    "supervised": {"batch": 16},
}


@dataclass(frozen=True)
class Work:
    """One outer update of a method. Everything that a worker needs to know, and JSON can carry."""

    method: str
    pixels: int
    channels: int
    filters: int
    n_way: int  # classes in a task; in all, for supervised
    n_shot: int = 0
    n_query: int = 0  # per class
    n_tasks: int = 1
    inner_steps: int = 0
    inner_batch: int = 0  # images in an inner step; 0: the whole support set
    inner_lr: float = 0.0  # in units of mean cross-entropy
    batch: int = 0  # images; supervised only

    @classmethod
    def of(cls, method: str, shape: str) -> Self:
        """The work of METHODS and SHAPES."""
        pixels, channels, filters = SHAPES[shape]
        return cls(method, pixels, channels, filters, **METHODS[method])

    def smaller(self) -> Self:
        """The same with fewer images, for comparing gradients."""
        return dataclasses.replace(self, **SMALLER[self.method])

    @property
    def shape(self) -> str:
        """As in SHAPES."""
        return f"{self.pixels}x{self.pixels}x{self.channels}"

    @property
    def n_features(self) -> int:
        """Behind four poolings."""
        return self.filters * (self.pixels // 16) ** 2

    @property
    def inner_images(self) -> int:
        """Images that pass through the network in all inner steps."""
        return self.n_tasks * self.inner_steps * (self.inner_batch or self.n_way * self.n_shot)

    @property
    def outer_images(self) -> int:
        """Images whose loss the outer gradient is of: queries, a ProtoNet episode, a batch; none for Reptile."""
        if self.method == "supervised":
            return self.batch
        support = self.n_way * self.n_shot if self.method == "protonet" else 0
        return self.n_tasks * (self.n_way * self.n_query + support)

    @property
    def images(self) -> int:
        """Images in an outer update, counted as often as they pass: support x steps + queries."""
        return self.inner_images + self.outer_images

    @property
    def flops(self) -> int:
        """The fewest operations of an outer update's convolutions (a multiplication and an addition are two).

        Forward, gradient of the weights, gradient of the images: 3 a convolution, 2 for the first, whose images
        need none. A second-order inner step is 9, and 4 for the first: the gradient of all that again, twice,
        but of the first layer's weights alone.
        """
        first, others = _convolutions(self.pixels, self.channels, self.filters)
        plain = 2 * first + 3 * others
        inner = 4 * first + 9 * others if self.method == "maml" else plain
        return self.inner_images * inner + self.outer_images * plain


def _convolutions(pixels: int, channels: int, filters: int) -> tuple[int, int]:
    """Operations of the first and of the other three 3x3 convolutions, forwards, for one image."""
    counts = []
    for _ in range(4):
        counts.append(2 * 9 * channels * filters * pixels**2)
        pixels, channels = pixels // 2, filters
    return counts[0], sum(counts[1:])
