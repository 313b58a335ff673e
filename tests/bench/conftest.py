"""A tiny grid on tiny photographs, and the command line, called in this process or in one of its own."""

import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import torch
from PIL import Image
from sqlalchemy import URL, Connection, Engine, create_engine

import fewshot_bench
from benchmarks.postgresql import Server, server
from benchmarks.processes import Process, Processes
from fewshot_bench.cli import main
from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.registry import find_method
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Writer, engine, upgrading
from fewshot_bench.results.store.checksums import SEALED, recount, seal
from fewshot_bench.results.store.schema import claims, owners
from fewshot_bench.running import pace
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Gallery
from fewshot_bench.tables.scores import EpisodeResult

NUMBERS = itertools.count()
CONFIG = """
[run]
grid = "tiny"
budget = "tiny"
device = "cpu"
threads = 1
jobs = 1
[data]
source = {source!r}
[episodes]
n_query = 3
[model]
filters = 4
[training]
way = 4
shot = 2
query = 3
[adaptation]
{adaptation}
[budgets.tiny]
iterations = {{ other = 6, transfer = 6, protonet = 6 }}
episodes = {{ 1 = 6 }}
adaptation = {{}}
[grids.tiny]
methods = ["transfer", "protonet"]
ways = [4]
shots = [1, 5]
seeds = [0]
[methods.protonet]
method = "protonet"
train_way = 5
[methods.hopeless]
method = "maml"
inner_lr_per_way = 1e38
"""


RULES = """
data = "photos"
fingerprint = {fingerprint!r}
split = "inner4"
trainings = []
[[rules]]
variant = "transfer"
n_way = 4
from_shot = 1
adaptation = {{ steps = 1 }}
"""


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Workplace:
    """A folder with a tiny bench.toml."""

    folder: Path
    processes: Processes

    @property
    def database(self) -> Path:
        return self.folder / "out" / "results.sqlite"

    def add(self, toml: str) -> None:
        """Append to bench.toml."""
        path = self.folder / "bench.toml"
        path.write_text(path.read_text() + toml)

    def write_rules(self) -> None:
        """As `bench tune` would write tuned.toml here: one step for transfer."""
        fingerprint = fewshot_bench.plan().cells[0].cell.training.fingerprint
        (self.folder / "tuned.toml").write_text(RULES.format(fingerprint=fingerprint))

    def begin(self, *words: str, before: str = "", **options: Any) -> Process:
        """Begin a command in a process of its own, after some Python that may prepare an accident."""
        code = f"{before}\nimport sys\nfrom fewshot_bench.cli import main\nsys.argv[0] = 'bench'\nmain()\n"
        return self.processes.begin(code, *words, cwd=self.folder, **options)

    def in_own_process(self, *words: str, before: str = "") -> Ran:
        """The same until its end."""
        process = self.begin(*words, before=before)
        out, err = process.communicate()
        return Ran(process.wait(), out, err)


@pytest.fixture(scope="session", autouse=True)
def _migrated_once() -> Iterator[None]:
    """A new file gets the schema that the migrations made in the first one, statement by statement."""
    made: list[str] = []

    def migrate(connection: Connection, revision: str | None, path: Path | None, kept: list[Path]) -> None:
        is_new_file = revision is None and path is not None
        if is_new_file and made:
            for statement in made:
                connection.exec_driver_sql(statement)
            return
        upgrading.migrate(connection, revision, path, kept)
        if is_new_file:
            whole: Any = connection.connection.driver_connection
            made.extend(list(whole.iterdump())[1:-1])  # without its transaction, which is the caller's

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "migrate", migrate)
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """SQLite's statements are compiled once for the files of all tests: a third of the time that each file took."""
    first = create_engine("sqlite://")
    first.connect().close()  # now it knows SQLite's version
    first.dispose()

    def create(url: URL | str, **options: Any) -> Engine:
        made = create_engine(url, **options)
        if made.dialect.name == first.dialect.name:
            made.dialect, made._compiled_cache = first.dialect, first._compiled_cache
        return made

    with pytest.MonkeyPatch.context() as patched:
        for module in ("engine", "snapshot"):
            patched.setattr(f"fewshot_bench.results.store.{module}.create_engine", create)
        yield


@pytest.fixture(scope="session", autouse=True)
def _timed_briefly() -> Iterator[None]:
    """A dry run times some steps of each method: a few of the tiny grid's, and not as many as fit into a second."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pace, "STEPS_SECONDS", 0.01)
        yield


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """13 classes of 12 grey images of 16 pixels, in miniImageNet's layout; classes differ in brightness."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    rng, number = np.random.default_rng(0), 0
    for part, n_classes in (("train", 6), ("val", 3), ("test", 4)):
        rows = ["filename,label"]
        for _ in range(n_classes):
            number += 1
            pattern = rng.integers(0, 200, (16, 16))
            for i in range(12):
                name = f"c{number:02d}_{i:02d}.png"
                pixels = (pattern + rng.integers(0, 56, (16, 16))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "images" / name)
                rows.append(f"{name},class{number:02d}")
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """One cache for all tests, so that the photographs are decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(
    tmp_path: Path, photos: Path, cache: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> Workplace:
    """The current folder, with a tiny bench.toml in it and nothing else."""
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    monkeypatch.delenv("BENCH_DB", raising=False)
    monkeypatch.chdir(tmp_path)
    # written out, so that no change of the packaged defaults changes what is tested here
    rule = Adaptation().identity | {"steps": 2, "batches": 2}
    adaptation = "\n".join(f"{name} = {value}" for name, value in rule.items())
    (tmp_path / "bench.toml").write_text(CONFIG.format(source=str(photos), adaptation=adaptation))
    return Workplace(tmp_path, processes)


@pytest.fixture
def bench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`bench WORDS...` in this process, as the shell would call it."""

    def call(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ending.value.code, int)
        return Ran(ending.value.code, out, err)

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file's first test leaves its results for the others."""
    return tmp_path_factory.mktemp("finished") / "out"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs the tiny grid leaves it for all others."""
    return tmp_path_factory.mktemp("tiny") / "out"


@pytest.fixture
def run(place: Workplace, bench: Callable[..., "Ran"], tiny: Path) -> Workplace:
    """The tiny grid, finished."""
    if tiny.exists():
        shutil.copytree(tiny, place.folder / "out")
    else:
        assert bench("run", "-q").code == 0
        shutil.copytree(place.folder / "out", tiny)
    return place


@pytest.fixture
def reseal() -> Callable[[str | Path], None]:
    """Make every checksum but those of episodes that of what is there now: only somebody with this code can."""

    def forge(where: str | Path) -> None:
        database = create_engine(f"sqlite:///{where}")
        with database.begin() as connection:
            recount(connection)
            for table in (*SEALED, owners, claims):
                seal(connection, table)
        database.dispose()

    return forge


@pytest.fixture(scope="session")
def full_size() -> ImageSet:
    """The size of miniImageNet without its content: 64, 16 and 20 classes, 120 images each."""
    n = 120
    return ImageSet(
        name="full",
        note="Nothing is in these images.",
        images=np.zeros((100 * n, 1, 16, 16), dtype=np.uint8),
        class_ids=np.arange(100).repeat(n),
        class_names=tuple(f"class{i:02d}" for i in range(100)),
        parts={"train": tuple(range(64)), "val": tuple(range(64, 80)), "test": tuple(range(80, 100))},
        fingerprint="full",
    )


@pytest.fixture
def make_lab(images: ImageSet, tmp_path: Path) -> Callable[..., Laboratory]:
    """A laboratory over the easy images, with checkpoints in a folder of the test's own."""

    def make(should_stop: Callable[[], bool] = lambda: False, checkpoints: str | Path = "checkpoints") -> Laboratory:
        cpu = torch.device("cpu")
        return Laboratory(Gallery(images, cpu), Checkpoints(tmp_path / checkpoints), cpu, should_stop)

    return make


@pytest.fixture(scope="session")
def make_training(images: ImageSet) -> Callable[..., Training]:
    """A training of a registered method on the easy images, 43 iterations unless told otherwise."""

    def make(name: str, iterations: int = 43, seed: int = 0, **settings) -> Training:
        method = find_method(name)
        chosen = method.Settings(**settings)
        n_way, n_shot = method.training_setting(chosen, 4, 2)
        return Training(
            name, (method.version,), chosen, images.fingerprint, ("train",), 1, 16, 4,
            len(images.parts["train"]), n_way, n_shot, 3 if n_way else 0, iterations, seed,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def training(make_training) -> Training:
    return make_training("transfer")


@pytest.fixture(scope="session")
def cell(training) -> Cell:
    return Cell("transfer", training, "paper", Setting(4, 1, 3), 0, Adaptation(), 6)


@pytest.fixture(scope="session")
def other_cell(training) -> Cell:
    return Cell("transfer", training, "paper", Setting(4, 5, 3), 0, Adaptation(), 6)


@pytest.fixture
def where(tmp_path: Path) -> str:
    """The path of a database that is not there yet."""
    return str(tmp_path / "results.sqlite")


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("2026-01-01T00:00:00+00:00", "bench run", "", None, {"torch": "2"})


@pytest.fixture
def writer(where: str, provenance: Provenance) -> Writer:
    return Writer(where, provenance)


@pytest.fixture
def store_cell(cell: Cell) -> Callable[..., None]:
    """Write episodes of a cell, and its training first, as a run does."""

    def store(writer: Writer, results: list[EpisodeResult], of: Cell = cell) -> None:
        writer.start_training(of.training)
        writer.record_episodes(of, "label", "bench run ...", results, 1.5)

    return store


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A PostgreSQL server that may be stopped."""
    with server() as found:
        yield found


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make an empty database, on a server of ours or the one that BENCH_TEST_POSTGRESQL names; its URL."""
    named = os.environ.get("BENCH_TEST_POSTGRESQL")
    own = None if named else request.getfixturevalue("own_server")

    def make() -> str:
        name = f"bench_test_{os.getpid()}_{next(NUMBERS)}"
        if own:
            return str(own.database(name))
        with psycopg.connect(str(named), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{str(named).rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(scope="session", autouse=True)
def _environment():
    """No colour or width of the terminal that runs the tests may leak into what they compare."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        os.environ.pop(name, None)
