"""Settings that came when there were results without them: an identity mentions such a one only where it is on."""

import dataclasses
from typing import Any


def later(default: Any) -> Any:
    """A dataclass's field that is off by default, and is left out of identities where it is off."""
    return dataclasses.field(default=default, metadata={"later": True})


def mentioned(settings: Any) -> dict[str, Any]:
    """A dataclass as a table, without later settings that are off."""
    table = dataclasses.asdict(settings)
    off = [f.name for f in dataclasses.fields(settings) if f.metadata.get("later") and table[f.name] == f.default]
    return {name: value for name, value in table.items() if name not in off}
