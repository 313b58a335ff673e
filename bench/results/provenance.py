"""Where a number came from: code, command, versions, hardware. Recorded beside results, not identity."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fewshot_bench import __version__
from fewshot_bench.files import as_text
from fewshot_bench.machine import cores
from fewshot_bench.results.passwords import command_without_passwords

IMPORTED, BY, AT = "imported from", "made by", "made at"  # facts of an importing run
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "SQLAlchemy")

# what is known of the run that made a result: started_at, command, git_commit, git_dirty, facts; None: nothing is
Origin = dict[str, Any]


@dataclass(frozen=True)
class Provenance:
    """What is recorded of one run."""

    started_at: str  # ISO 8601, UTC
    command: str
    git_commit: str  # empty outside a checkout
    git_dirty: bool | None
    facts: dict[str, str]


def collect(command: str, device: str, threads: int, jobs: int, others: Mapping[str, str] | None = None) -> Provenance:
    """The provenance of the run that is starting with a command.

    others: more facts: what the rules of fitting and methods of other packages are
    """
    commit, dirty = _git()
    facts = {
        "fewshot-bench": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(cores()),
        "device": device,
        "threads": str(threads),
        "jobs": str(jobs),
    }
    if job := os.environ.get("BENCH_JOB"):
        facts["job"] = f"{job} on {platform.node()}"
    facts |= {name: version(name) for name in LIBRARIES}
    facts |= others or {}
    return Provenance(now(), command_without_passwords(as_text(command)), commit, dirty, facts)


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def origin(run: Mapping[str, Any]) -> Origin | None:
    """The origin that a row of `runs` names: that run itself, or for an import what its file said."""
    facts: dict[str, str] = json.loads(run["facts"])
    code = {name: run[name] for name in ("git_commit", "git_dirty")}
    if IMPORTED not in facts:
        return code | {"started_at": run["started_at"], "command": run["command"], "facts": facts}
    if BY not in facts or AT not in facts:
        return None
    own = {name: value for name, value in facts.items() if name not in (IMPORTED, BY, AT)}
    return code | {"started_at": facts[AT], "command": facts[BY], "facts": own}


def importing_run(made: Origin | None, source: str, provenance: Provenance) -> dict[str, Any]:
    """The row of `runs` for results from a file: the import, with what the file says of how they were made."""
    facts = made["facts"] | {BY: made["command"], AT: made["started_at"]} if made else {}
    return {
        "started_at": provenance.started_at,
        "ended_at": provenance.started_at,
        "exit_code": 0,
        "command": provenance.command,
        "git_commit": made["git_commit"] if made else "",
        "git_dirty": made["git_dirty"] if made else None,
        "facts": json.dumps(facts | {IMPORTED: source}, sort_keys=True),
    }


def machine(made: Origin) -> str:
    """The processor and device that a run names, e.g. "AMD EPYC, cpu"."""
    named = (made["facts"].get(name, "") for name in ("processor", "device"))
    return ", ".join(filter(None, named)) or "a machine without a name"


def _git() -> tuple[str, bool | None]:
    """The commit of the checkout that this code runs from, and whether tracked files differ from it."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():  # installed from a wheel
        return "", None
    try:
        commit = _output(["git", "rev-parse", "HEAD"], here)
        return commit, bool(_output(["git", "status", "--porcelain", "--untracked-files=no"], here))
    except (OSError, subprocess.CalledProcessError):
        return "", None


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
