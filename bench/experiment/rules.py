"""Tuned rules of fitting at test: what `bench tune` wrote, and `bench run --rules` reads. Pure."""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fewshot_bench.config import MOST_WAYS
from fewshot_bench.errors import UsageError
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

    @property
    def name(self) -> str:
        """What tells them from other rules, in a word."""
        return f"tuned:{self.content_sha256[:8]}"

    def rule_of(self, variant: str, n_way: int, n_shot: int) -> dict[str, Any]:
        """What a variant changes of [adaptation] in a setting. Raises UsageError where it was not tuned for it."""
        fitting = [r for r in self.rules if (r.variant, r.n_way) == (variant, n_way) and r.from_shot <= n_shot]
        if not fitting:
            raise UsageError(
                f"{self.file} has no rule for {variant} with {n_way} ways and {n_shot} shots: tune it too, with "
                f"`bench tune --method {variant}` and the ways of [tuning]"
            )
        return max(fitting, key=lambda rule: rule.from_shot).adaptation


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
    except OSError as error:
        raise UsageError(f"--rules {path}: cannot be read: {error.strerror}; `bench tune` writes one") from None
    except (ParseError, UsageError, TypeError, ValueError) as error:
        raise UsageError(f"--rules {path}: {error}") from None
    return Rules(str(path), sha256(content).hexdigest(), tuple(rules))
