"""Training data for a method: the base classes, in two numbered streams that can be resumed anywhere."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_bench.config import NO_AUGMENTATION, AugmentationConfig
from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Episode, Sampler, Setting
from fewshot_bench.methods.interface import Episodes
from fewshot_bench.running.augmentation import Augmentation
from fewshot_bench.seeding import Canonical, Stream

EMBEDDED_AT_ONCE = 256  # images; always the same, as their number can change the last bits


class Gallery:
    """All images of a data set, as uint8; floats are made, on the device, of the few that are asked for."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self.images = images
        self._array = np.asarray(images.images)  # (n, C, H, W); on a CPU still the memory map that all processes share
        self._tensor = torch.from_numpy(np.array(images.images)).to(device) if device.type != "cpu" else None
        self._device = device

    def place(self, *numbers: NDArray[np.int64]) -> list[Tensor]:
        """Numbers of the host on the device: in one copy, which the host does not wait for."""
        if self._tensor is None:
            return [torch.from_numpy(array) for array in numbers]
        packed = torch.from_numpy(np.concatenate([array.ravel() for array in numbers]))
        parts = torch.split(packed.to(self._device, non_blocking=True), [array.size for array in numbers])
        return [part.view(array.shape) for part, array in zip(parts, numbers, strict=True)]

    def pick(self, rows: Tensor) -> Tensor:
        """Images (*rows.shape, C, H, W) as floats in [0, 1]."""
        return as_floats(torch.from_numpy(self._array[rows.numpy()]) if self._tensor is None else self._tensor[rows])

    def collate(
        self, episodes: list[Episode], class_index: NDArray[np.int64], features: "Features | None" = None
    ) -> Episodes:
        """T drawn episodes as one batch, of images or of their features.

        class_index maps the image set's classes to 0, 1, ...
        """
        pick = features.pick if features else self.pick

        def stack(name: str) -> NDArray[np.int64]:
            return np.stack([getattr(e, name) for e in episodes])

        names = ("support", "support_labels", "query", "query_labels")
        support, support_labels, query, query_labels, classes = self.place(
            *map(stack, names), class_index[stack("classes")]
        )
        return Episodes(pick(support), support_labels, pick(query), query_labels, classes)


def as_floats(pixels: Tensor) -> Tensor:
    """Bytes as floats in [0, 1], which is what methods see."""
    floats = pixels.float()
    return floats.div_(floats.new_full((), 255))  # by a number a GPU multiplies with its reciprocal, and is off a bit


def class_index(images: ImageSet, classes: tuple[int, ...]) -> NDArray[np.int64]:
    """For each class of the image set its number among `classes`, -1 for the others."""
    index = np.full(len(images.class_names), -1, dtype=np.int64)
    index[list(classes)] = np.arange(len(classes))
    return index


class Features:
    """Some classes' images as a method embeds them, each once."""

    def __init__(self, embed: Callable[[Tensor], Tensor], indices: NDArray[np.int64], gallery: Gallery) -> None:
        pieces = np.array_split(indices, math.ceil(len(indices) / EMBEDDED_AT_ONCE))
        self._features = torch.cat([embed(gallery.pick(*gallery.place(piece))) for piece in pieces])  # (n, F)
        row = np.full(indices.max() + 1, -1)
        row[indices] = np.arange(len(indices))
        (self._row,) = gallery.place(row)

    def pick(self, rows: Tensor) -> Tensor:
        """Features (*rows.shape, F) of images."""
        return self._features[self._row[rows]]


class BaseClasses:
    """The methods' TaskSource over one training's base classes. Its state is three counters."""

    def __init__(
        self,
        classes: tuple[int, ...],
        gallery: Gallery,
        identity: Canonical,
        augmentation: AugmentationConfig = NO_AUGMENTATION,
    ) -> None:
        self._gallery, images = gallery, gallery.images
        self._augmentation = Augmentation(augmentation, identity)
        self._episodes = Sampler(images, classes, Stream("training episodes", identity))
        self._batches = Stream("training batches", identity)
        self._pool = np.concatenate([images.images_of_class[c] for c in classes])
        self._class_index = class_index(images, classes)
        self._class_of = images.class_ids
        self.episodes_drawn = self.batches_drawn = self.images_drawn = 0

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> Episodes:
        """The next n_tasks training episodes."""
        setting = Setting(n_way, n_shot, n_query)
        first = self.episodes_drawn
        drawn = [self._episodes.draw(first + i, setting) for i in range(n_tasks)]
        self.episodes_drawn += n_tasks
        self.images_drawn += n_tasks * n_way * (n_shot + n_query)
        return self._augmentation.episodes(self._gallery.collate(drawn, self._class_index), first)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The next i.i.d. batch over all base-class images."""
        words = self._batches.words(self.batches_drawn, size)
        rows = self._pool[(words % np.uint64(len(self._pool))).astype(np.int64)]
        self.batches_drawn += 1
        self.images_drawn += size
        at, labels = self._gallery.place(rows, self._class_index[self._class_of[rows]])
        return self._augmentation.batch(self._gallery.pick(at), self.batches_drawn - 1), labels

    def state(self) -> dict[str, Tensor]:
        """The counters, for a checkpoint."""
        counters = {
            "episodes": self.episodes_drawn,
            "batches": self.batches_drawn,
            "images": self.images_drawn,
        }
        return {f"drawn/{name}": torch.tensor(value) for name, value in counters.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue where `state()` was taken."""
        self.episodes_drawn = int(state["drawn/episodes"])
        self.batches_drawn = int(state["drawn/batches"])
        self.images_drawn = int(state["drawn/images"])
