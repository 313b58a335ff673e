"""Results that come with the package: settings and episodes of one experiment, read on any machine."""

from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import DATABASE, cache_folder, content_of
from fewshot_bench.results.exchange.importing import merge_file
from fewshot_bench.results.provenance import collect

FOLDER = Path(str(files("fewshot_bench.tables"))) / "measured"


def names() -> list[str]:
    """What can be read so: NAME.toml has the settings, NAME-*.csv.xz the episodes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def shipped(name: str) -> Selection:
    """Configuration and folder of a shipped experiment; its database is made in the cache the first time.

    Raises UsageError for a name of none.
    """
    if name not in names():
        raise UsageError(f"--measured: there is no {name!r}: {did_you_mean(name, names())}")
    episodes = sorted(FOLDER.glob(f"{name}-*.csv.xz"))
    folder = cache_folder() / "measured" / "-".join([name, *(content_of(path)[:8] for path in episodes)])
    if not (folder / DATABASE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as made:
            for path in episodes:
                merge_file(path, str(Path(made) / DATABASE), collect(f"bench import {path.name}", "", 0, 0))
            folder.mkdir(exist_ok=True)
            (Path(made) / DATABASE).replace(folder / DATABASE)
    return Selection(config=FOLDER / f"{name}.toml", out=folder)
