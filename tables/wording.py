"""How names and numbers are spelled, once for every output: settings, cells, percentages, p-values, durations."""


def duration(seconds: float) -> str:
    """ "12 s", "3 min", "2.5 h", "5 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86400:.0f} days"
