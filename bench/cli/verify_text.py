"""What `bench verify` says."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewshot_bench.experiment.selection import Selection
from fewshot_bench.replay.verification import verified
from fewshot_bench.tables.documents import one_line
from fewshot_bench.tables.verify.verification import Verification

UNCHECKED = "not checked: plots, images, and what is not the benchmark's own; --help says more"
Selected = Callable[[str], Selection | None]


def said(file: Path, database: str, selected: Selected, config: Path | None, *, as_json: bool) -> tuple[int, str]:
    """Exit code, and what is not true in a file: for people, or as JSON."""
    found = verified(file, database, selected, config)
    return found.exit_code, json.dumps(_document(file, found)) if as_json else "\n".join(_lines(file, found))


def _document(file: Path, found: Verification) -> dict[str, Any]:
    findings = [dataclasses.asdict(finding) | {"text": finding.text} for finding in found.findings]
    return dataclasses.asdict(found) | {"file": str(file), "findings": findings, "exit_code": found.exit_code}


def _lines(file: Path, found: Verification) -> list[str]:
    """For people: what is wrong, then the count."""
    lines = [finding.text for finding in found.findings] + [f"note: {one_line(note)}" for note in found.notes]
    empty = f", {found.n_empty} empty" if found.n_empty else ""
    counted = f"{found.n_cells} measured cells{empty} and {found.n_published} published rows"
    if not found.findings:
        agree = "all agree with their facts, and these with what is stored"
        lines.append(f"{file}: {counted}: {agree if found.n_cells else 'nothing measured is in the file'}")
        return [*lines, UNCHECKED]
    kinds = {
        kind: sum(finding.kind == kind for finding in found.findings) for kind in ("edited", "stale", "unknown", "gone")
    }
    return [*lines, f"{file}: {counted}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)]
