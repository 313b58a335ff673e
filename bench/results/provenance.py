"""Where a number came from: code, command, versions, hardware. Recorded beside results, not identity."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fewshot_bench import __version__
from fewshot_bench.files import as_text
from fewshot_bench.machine import cores
from fewshot_bench.results.passwords import command_without_passwords

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "SQLAlchemy")


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
