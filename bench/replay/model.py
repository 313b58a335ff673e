"""A stored model for images of the user's own: fitted to a few labelled ones, it names others."""

from collections.abc import Iterable, Iterator, KeysView, Sequence, ValuesView
from contextlib import contextmanager
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_bench.config import MOST_EPISODES, Device
from fewshot_bench.data.cache import find
from fewshot_bench.data.formats import omniglot
from fewshot_bench.data.images import INNER
from fewshot_bench.data.readers.given_images import Pixels, given_images
from fewshot_bench.errors import BenchError, DatabaseError, NothingSelected, UsageError
from fewshot_bench.experiment.episodes import bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.selection import path
from fewshot_bench.files import cache_folder, checkpoints, database_at
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Episodes, Method
from fewshot_bench.methods.registry import find_method
from fewshot_bench.methods.returned import wrong_features
from fewshot_bench.replay.rebuild import Stored, find_stored, rebuild
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.engine import sqlite_path
from fewshot_bench.running import runner
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.device import alone, arithmetic, choose_device
from fewshot_bench.running.returned import BrokenMethod, blaming, require
from fewshot_bench.running.runner import Laboratory, answer
from fewshot_bench.running.tasks import EMBEDDED_AT_ONCE, Gallery, as_floats
from fewshot_bench.seeding import Stream, shuffled

AT_ONCE = 1024  # images that are predicted in one pass, where they do not depend on each other


@alone()
def load(
    where: str | PathLike[str], cell: str, *, weights: str | PathLike[str] | None = None, device: Device = "auto"
) -> "TrainedModel":
    """The trained model behind a stored result, ready for images of your own.

    Args:
        where: the folder of a run (`out`), a database's file, or its URL
        cell: its name (maml-5w1s-s0, of several the last run's) or key, or the beginning of that;
            `fit` takes other ways and shots, too
        weights: the folder of the weights; default: `checkpoints` beside the database
        device: cpu or cuda; auto takes a GPU if there is one

    Raises:
        UsageError: for an unknown device, or what is no path or cell's name
        DatabaseError: where there is no database, or the weights are missing
        NothingSelected: for a cell that is not stored, or of other code
    """
    if not isinstance(cell, str):
        raise UsageError(f"cell = {cell!r} must be a text: a cell's name (maml-5w1s-s0) or key")
    folder, database = path("weights", "" if weights is None else weights), database_at(path("where", where))
    stored = find_stored(Reader(database), cell)
    if not folder:
        file = sqlite_path(database)
        if file is None:
            raise UsageError("a database on a server has no weights beside it: name their folder, weights=...")
        folder = str(checkpoints(file.parent))
    return TrainedModel(stored, Path(folder), device)


class TrainedModel:
    """A finished training and its rule of adaptation: `fit` it to a task's labelled images, then `predict`.

    Images are paths of files, PIL images, or arrays or tensors (N, H, W), (N, C, H, W) or (N, H, W, C) of bytes or of
    floats in [0, 1]; a single image that is an array is [image]. Files and PIL images are resized as the data set was,
    and as there the EXIF orientation turns none and transparency is dropped. Each `fit` starts from the stored weights.

    Attributes:
        cell: of the stored result
        name: of the stored result
        of: its data set, split, protocol and budget
        classes: (n,) the labels, sorted, after `fit`
    """

    def __init__(self, stored: Stored, weights: Path, device: Device) -> None:
        self.cell, self.name, self.of = rebuild(stored), stored.name, stored.facts.of
        training = self.cell.training
        self._device = choose_device(device, training.numerics)
        with _asking(training.method):
            self._method = _method(self.cell, stored, weights).to(self._device).eval()
            if self.cell.adaptation and self.cell.adaptation.head:
                self._method = runner.frozen(self._method, training, _laboratory(stored, weights, self._device))
        inner = INNER.match(training.base_parts[0])
        n_base_classes = training.n_base_classes + (int(inner[1]) if inner else 0)
        named = stored.facts.cell["label"].split(" ")[0] == omniglot.NAME  # so may be a folder of one's own
        self._inverted = named and n_base_classes == omniglot.n_base_classes()
        self.classes: NDArray[Any] = np.array([])
        self._support: tuple[Tensor, Tensor] | None = None  # images or features (1, n, ...), numbers of classes (1, n)

    @alone()
    def fit(self, images: Any, labels: Iterable[Any]) -> Self:
        """Take n labelled images as a task's support set, at least one for each of two classes.

        Images that come class by class are shuffled, as a rule of adaptation may see them in mini-batches.

        Args:
            images: n of them
            labels: (n,) whole numbers or texts

        Raises:
            UsageError: for labels that do not fit
            DataError: for what is no image
        """
        names = _labels(labels)
        found = list(self._read(images))
        classes, numbers = np.unique(names, return_inverse=True)
        if len(found) != len(names) or len(classes) < 2:
            raise UsageError(
                f"{len(found)} images and {len(names)} labels of {len(classes)} classes do not make a task"
            )
        order = _order(numbers)
        given = torch.stack(found)[order].to(self._device)
        support = self._seen(given)[None], torch.from_numpy(numbers[order])[None].to(self._device)
        self.classes, self._support = classes, support  # together, so that a failed fit leaves the one before it
        return self

    def predict(self, images: Any) -> NDArray[Any]:
        """The label of each of m images, (m,), as `fit` was given them.

        A transductive model sees the images of one call together.
        """
        best: NDArray[np.int64] = self.predict_proba(images).argmax(1)
        return self.classes[best]

    @alone()
    def predict_proba(self, images: Any) -> NDArray[np.float64]:
        """The softmax of the model's logits, (m, n): a row an image, a column a class, in the order of `classes`."""
        if self._support is None:
            raise UsageError("fit() comes before predict()")
        pixels = self._read(images)
        at_once = None if getattr(self.cell.training.settings, "norm", "") == "transductive" else AT_ONCE
        rows = [np.empty((0, len(self.classes)))]
        while some := list(islice(pixels, at_once)):
            rows.append(self._logits(torch.stack(some).to(self._device)).softmax(-1).cpu().numpy())
        return np.concatenate(rows)

    @alone()
    def features(self, images: Any) -> NDArray[np.float32]:
        """The features of m images that a head or prototypes see, (m, F).

        Raises:
            UsageError: where the method has none
        """
        if not self._method.embeds:
            raise UsageError(f"{self.name} has no features that depend on one image alone")
        training, pixels = self.cell.training, list(self._read(images))
        blank = torch.zeros(training.in_channels, training.image_size, training.image_size)  # of which F is known
        found = self._seen(torch.stack(pixels or [blank]).to(self._device))[: len(pixels)]
        return found.float().cpu().numpy()

    def episode(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
        """The stored result's episode of that number: what `fit` and `predict`, or a classifier of your own, need.

        Returns:
            support images (N, C, H, W), their labels (N,), query images (Q, C, H, W), their labels (Q,)

        Raises:
            UsageError: for what is no whole number, or too large a one
            NothingSelected: where its images are not prepared here
        """
        if not hasattr(number, "__index__") or not 0 <= number < MOST_EPISODES:
            raise UsageError(f"episode {number!r}: they are counted in whole numbers, from 0 to {MOST_EPISODES - 1}")
        fingerprint = self.cell.novel or self.cell.training.fingerprint
        images = find(cache_folder(), fingerprint)
        if images is None:
            raise NothingSelected(f"the images of {self.of} are not prepared here: `bench data prepare SOURCE` does")
        setting = self.cell.setting
        sampler = bank(images, self.cell.split, setting.n_way, setting.n_query, self.cell.bank_seed)
        drawn = sampler.draw(number, setting)
        support, queries = (np.asarray(images.images[rows]) for rows in (drawn.support, drawn.query))
        return support, drawn.support_labels, queries, drawn.query_labels

    def _logits(self, queries: Tensor) -> Tensor:
        """(m, n) float64 of images (m, C, H, W)."""
        assert self._support is not None
        support, labels = self._support
        unknown = torch.zeros(1, len(queries), dtype=torch.int64, device=self._device)
        ids = torch.arange(len(self.classes), device=self._device)[None]
        episode = Episodes(support, labels, self._seen(queries)[None], unknown, ids)
        training = self.cell.training
        with _asking(training.method), arithmetic(training.numerics, self._device):
            logits = answer(training.method, self._method, episode, self.cell.adaptation or Adaptation())
        if not bool(logits.isfinite().all()):
            raise BenchError(f"{self.name} diverged on these images: its logits are not finite")
        return logits[0].double()

    def _seen(self, images: Tensor) -> Tensor:
        """Images (n, C, H, W), or features (n, F) where the method sees no more of them."""
        if not self._method.embeds:
            return images
        features, training = [], self.cell.training
        with _asking(training.method), arithmetic(training.numerics, self._device):
            for some in torch.split(images, EMBEDDED_AT_ONCE):
                features.append(self._method.embed(some))
                require(training.method, wrong_features(features[-1], some))
        return torch.cat(features)

    def _read(self, images: Any) -> Iterator[Tensor]:
        shape = self.cell.training.in_channels, self.cell.training.image_size
        return map(_tensor, given_images(images, shape, inverted=self._inverted))


@contextmanager
def _asking(method: str) -> Iterator[None]:
    """While a method's own code runs. Raises BenchError, in one line, for whatever that raises."""
    try:
        with blaming(method):
            yield
    except (BrokenMethod, FloatingPointError) as error:
        raise BenchError(str(error)) from None


def _method(cell: Cell, stored: Stored, weights: Path) -> Method:
    training, checkpoint = cell.training, stored.facts.training["checkpoint"]
    state = Checkpoints(weights).load_finished(checkpoint)
    if state is None:
        raise DatabaseError(f"the weights of {stored.name}, {weights / checkpoint}.safetensors, are missing or damaged")
    try:
        return find_method(training.method)(training.problem, training.settings).load_training_state(state)
    except (KeyError, RuntimeError) as error:  # tensors of other names or shapes
        raise NothingSelected(f"the weights do not fit this code's {training.method}: {error}") from None


def _laboratory(stored: Stored, weights: Path, device: torch.device) -> Laboratory:
    """Where a head finds the base classes. Raises NothingSelected where their images are not prepared here."""
    images = find(cache_folder(), stored.facts.training["identity"]["fingerprint"])
    if images is None:
        raise NothingSelected(
            f"the head of {stored.name} needs the mean of its base classes' features, and their images are not "
            "prepared here: `bench data prepare SOURCE` prepares them"
        )
    return Laboratory(Gallery(images, device), Checkpoints(weights), device, lambda: False)


def _labels(labels: Any) -> NDArray[Any]:
    """(n,) whole numbers or texts. Raises UsageError."""
    if isinstance(labels, Iterator | KeysView | ValuesView):  # which numpy takes for one object
        labels = list(labels)
    wrong = UsageError("labels must be one whole number or text per image, all of one kind")
    if isinstance(labels, Sequence) and len(set(map(_kind, labels))) > 1:  # which numpy would turn into texts
        raise wrong
    try:
        array = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    except (TypeError, ValueError):  # a tensor of bfloat16, lists in a list
        raise wrong from None
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iubU"):
        raise wrong
    return array


def _kind(label: Any) -> type:
    return str if isinstance(label, str) else bool if isinstance(label, bool | np.bool) else object


def _order(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order to take a support set in: as it comes, unless the images of each class stand together."""
    n_runs = 1 + np.count_nonzero(np.diff(numbers))
    if n_runs == len(numbers) or n_runs > len(np.unique(numbers)):
        return np.arange(len(numbers))
    return shuffled(Stream("order of a support set").words(0, len(numbers)))


def _tensor(pixels: Pixels) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(pixels))
    return as_floats(tensor) if tensor.dtype == torch.uint8 else tensor
