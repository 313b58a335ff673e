"""How results were made, apart from how they came into a database: by a run there, by a merge, or from a file."""

import json
from collections.abc import Mapping
from typing import Any

from fewshot_bench.results.provenance import Provenance

IMPORTED, BY, AT = "imported from", "made by", "made at"  # facts of an importing run

# what is known of the run that made a result: started_at, command, git_commit, git_dirty, facts; None: nothing is
Origin = dict[str, Any]


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
