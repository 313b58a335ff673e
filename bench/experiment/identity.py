"""What names a training and a cell: the hash of everything that can change its number. Pure."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fewshot_bench.config import NO_AUGMENTATION, AugmentationConfig, Normalisation, Numerics
from fewshot_bench.experiment.episodes import BANK_VERSION, Setting
from fewshot_bench.experiment.selection import Place
from fewshot_bench.files import BY_CONTENT, content_of
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.later import mentioned
from fewshot_bench.seeding import derive_seed, digest
from fewshot_bench.tables.wording import setting_name

# left out of an identity as long as they are as the paper has them, so that results from before they were choices
# keep their names
UNMENTIONED = ("augmentation", "drop_block", "numerics", "input_size", "normalisation", "weights")


@dataclass(frozen=True)
class Training:
    """One model to train. Equal trainings have equal keys, whatever variant or grid asks for them."""

    method: str
    versions: tuple[int, ...]  # of the method, what it is made of, the shared core and the sampler
    settings: Any
    fingerprint: str
    base_parts: tuple[str, ...]  # of the data set; splits with the same ones share trainings
    in_channels: int
    image_size: int
    filters: int  # 0 where the backbone has no such choice
    n_base_classes: int
    n_way: int  # of its training episodes; 0 where it has none
    n_shot: int
    n_query: int
    iterations: int
    seed: int
    augmentation: AugmentationConfig = NO_AUGMENTATION
    backbone: str = "conv4"
    drop_block: float = 0.0
    numerics: Numerics = "float32"
    input_size: int = 0  # pixels that the backbone resizes to, where it has this choice; 0: as it was made for
    normalisation: Normalisation = ""  # of pixels, where the backbone has this choice; empty: as it was made for
    weights: Path | str | None = None  # initial ones: a file, or "sha256:..." where it is known by its content alone

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that can change the trained weights, and nothing else."""
        everything = dataclasses.asdict(self) | {
            "settings": by_content(mentioned(self.settings)),
            "weights": by_content(self.weights),
        }
        for f in dataclasses.fields(self):
            if f.name in UNMENTIONED and getattr(self, f.name) == f.default:
                del everything[f.name]
        return everything

    @cached_property
    def key(self) -> str:
        """16 hex digits."""
        return digest(self.identity)[:16]

    @property
    def data_identity(self) -> list[str | int]:
        """What the training data are drawn from: no method, so methods with one seed see the same draws."""
        return [self.fingerprint, *self.base_parts, self.seed]

    @property
    def problem(self) -> Problem:
        """What the method is built for. Methods with one seed start from the same trunk."""
        same = {f.name: getattr(self, f.name) for f in dataclasses.fields(Problem)}
        weights = self.weights if isinstance(self.weights, Path) else None
        return Problem(**same | {"seed": derive_seed("weights", self.seed), "weights": weights})

    @property
    def trained_on(self) -> str:
        """In words, for the report."""
        return setting_name(self.n_way, self.n_shot) if self.n_way else "batches of base classes"


@dataclass(frozen=True)
class Cell:
    """One training evaluated in one setting: one number of the table."""

    variant: str
    training: Training
    split: str  # whose novel classes it is tested on
    setting: Setting
    bank_seed: int
    adaptation: Adaptation | None  # None where the method adapts nothing
    n_episodes: int  # wanted; more extend the cell, so they are no part of its identity
    novel: str = ""  # fingerprint of the data set with the novel classes, where it is not the one trained on

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that can change an episode's result, and nothing else."""
        return {
            "training": self.training.key,
            "split": self.split,
            "setting": dataclasses.asdict(self.setting),
            "bank": [BANK_VERSION, self.bank_seed],
            "adaptation": self.adaptation and self.adaptation.identity,
        } | ({"novel": self.novel} if self.novel else {})

    @cached_property
    def key(self) -> str:
        """16 hex digits."""
        return digest(self.identity)[:16]

    @property
    def lineage(self) -> str:
        """16 hex digits, the same for whatever version of the code made the result."""
        return lineage_of(self.training.identity, self.identity)

    @property
    def place(self) -> Place:
        """What its name says."""
        return Place(self.variant, self.setting.n_way, self.setting.n_shot, self.training.seed)

    @property
    def name(self) -> str:
        """How people say it: maml-5w1s-s0."""
        return self.place.name


def by_content(value: Any) -> Any:
    """Settings in which every file is named by what it holds, wherever it lies. Raises OSError."""
    if isinstance(value, Path):
        return f"{BY_CONTENT}{content_of(value)}"
    if isinstance(value, dict):
        return {name: by_content(part) for name, part in value.items()}
    return [by_content(part) for part in value] if isinstance(value, list | tuple) else value


def lineage_of(training: dict[str, Any], cell: dict[str, Any]) -> str:
    """`Cell.lineage` from the two identities, as they are or as the database keeps them."""
    unversioned = {name: value for name, value in training.items() if name != "versions"}
    return digest(cell | {"training": unversioned, "bank": cell["bank"][1]})[:16]
