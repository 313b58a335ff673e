"""Tuned rules of fitting at test: what `bench tune` wrote, and `bench run --rules` reads. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewshot_bench.config import MOST_WAYS
from fewshot_bench.data.images import INNER, ImageSet
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.settings import build
from fewshot_bench.tables.parsing import ParseError, parse_toml, read_bytes


@dataclass(frozen=True)
class Rule:
    """How one variant is fitted in one group of settings; the other keys of the file's entry are for people."""

    variant: str
    n_way: int = field(metadata={"min": 2, "max": MOST_WAYS})
    from_shot: int = field(metadata={"min": 1, "max": MOST_WAYS})  # and up to the next one's
    adaptation: dict[str, Any]  # what it changes of [adaptation]


@dataclass(frozen=True)
class Rules:
    """All of a file."""

    file: str
    content_sha256: str
    rules: tuple[Rule, ...]
    data: str  # the name of the data set that they were tuned on
    fingerprint: str  # its
    split: str
    trainings: frozenset[str]  # keys of those that they were tuned on
    seeds: frozenset[int]  # theirs

    @property
    def name(self) -> str:
        """What tells them from other rules, in a word."""
        return f"tuned:{self.content_sha256[:8]}"

    def rule_of(self, variant: str, n_way: int, n_shot: int) -> dict[str, Any]:
        """What a variant changes of [adaptation] in a setting. Raises UsageError where it was not tuned for it."""
        fitting = [r for r in self.rules if (r.variant, r.n_way) == (variant, n_way) and r.from_shot <= n_shot]
        if not fitting:
            together = ",".join(dict.fromkeys([*(r.variant for r in self.rules), variant]))  # a file is written anew
            raise UsageError(
                f"{self.file} has no rule for {variant} with {n_way} ways and {n_shot} shots: tune it too, with "
                f"`bench tune --method {together}` and the ways of [tuning], or leave it out, by --method"
            )
        return max(fitting, key=lambda rule: rule.from_shot).adaptation

    def check_data(self, images: ImageSet) -> None:
        """Raise UsageError for other data than they were tuned on: novel classes may be among those looked at."""
        if self.fingerprint != images.fingerprint:
            raise UsageError(
                f"{self.file} was tuned on {self.data} ({self.fingerprint[:8]}), not on {images.name} "
                f"({images.fingerprint[:8]}), whose novel classes it may have seen: `bench tune` on these data"
            )

    def tuned_elsewhere(self, cells: Iterable[Cell], images: ImageSet) -> tuple[str, ...]:
        """The variants of cells that are trained otherwise than what they were tuned on, but for the base classes."""
        inner = images.split(self.split)
        trained = {(c.variant, c.training.key): c.training for c in cells if c.adaptation and not c.adaptation.head}
        found = dict.fromkeys(
            variant
            for (variant, _), training in trained.items()
            if not any(
                replace(training, base_parts=inner.base_parts, n_base_classes=len(inner.base), seed=seed).key
                in self.trainings
                for seed in self.seeds
            )
        )
        return tuple(found)


def read_rules(path: Path) -> Rules:
    """The rules in a file. Raises UsageError in one line."""
    try:
        content = read_bytes(path)
        document = parse_toml(content)
        entries = document.get("rules")
        if not isinstance(entries, list):
            raise ParseError("it is not what `bench tune` writes: [[rules]] is missing")
        known = Rule.__dataclass_fields__
        rules = [build(Rule, {k: v for k, v in dict(entry).items() if k in known}, "[rules]") for entry in entries]
        places = Counter((rule.variant, rule.n_way, rule.from_shot) for rule in rules)
        for (variant, n_way, from_shot), times in places.items():
            if times > 1:
                raise ParseError(
                    f"{times} [[rules]] are for {variant}, n_way = {n_way}, from_shot = {from_shot}: keep one"
                )
        data, fingerprint, split = (str(document[name]) for name in ("data", "fingerprint", "split"))
        if not INNER.fullmatch(split):
            raise ParseError(f"split = {split!r}: rules are tuned on `inner` alone, which holds no novel class")
        trained = {str(entry["key"]): int(entry.get("seed", 0)) for entry in document["trainings"]}
    except OSError as error:
        raise UsageError(f"--rules {path}: cannot be read: {error.strerror}; `bench tune` writes one") from None
    except KeyError as missing:
        raise UsageError(f"--rules {path}: it is not what `bench tune` writes: {missing} is missing") from None
    except (ParseError, UsageError, TypeError, ValueError) as error:
        raise UsageError(f"--rules {path}: {error}") from None
    keys, seeds = frozenset(trained), frozenset(trained.values())
    return Rules(str(path), sha256(content).hexdigest(), tuple(rules), data, fingerprint, split, keys, seeds)
