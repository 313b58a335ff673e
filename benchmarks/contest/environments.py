"""Each library in an environment of its own below `.bench-peers/`, with the torch of the main one.

A `.pth` file puts the main environment's packages behind the peer's own: all sides run the same torch, and nothing
of several gigabytes is installed four times. Installing goes through pip as it is set up here.
"""

import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".bench-peers"
HERE = ("ours", "plain")  # the sides that need no environment of their own


class CannotInstall(Exception):
    """Why a peer is not there, in one line."""


def python_of(side: str) -> Path:
    """The interpreter of a side, whose environment is made if it is not there. Raises CannotInstall."""
    if side in HERE:
        return Path(sys.executable)
    folder = PEERS / side
    python, ready = folder / "bin" / "python", folder / f".ready-{platform.python_version()}"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "main.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        INSTALLERS[side](python)
        ready.touch()
    return python


def _higher(python: Path) -> None:
    _pip(python, "--no-deps", "higher==0.2.1")


def _torchopt(python: Path) -> None:
    _pip(python, "torchopt==0.7.3")


def _learn2learn(python: Path) -> None:
    """Its archive has C code made for Python 3.7, which does not compile any more; Cython writes it anew."""
    _pip(python, "cython", "setuptools", "gym", "requests", "tqdm")
    archives = python.parents[1] / "source"
    download = ["download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "--dest", str(archives)]
    _run([*_PIP, "--python", str(python), *download, "learn2learn==0.2.0"])
    (archive,) = archives.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(archives, filter="data")
    (source,) = (path for path in archives.iterdir() if path.is_dir())
    for path in source.glob("learn2learn/data/*.c"):
        path.unlink()
    modules = [str(path) for path in source.glob("learn2learn/data/*.pyx")]
    _run([str(python.with_name("cython")), "-3", *modules], cwd=source)
    _pip(python, "--no-deps", "--no-build-isolation", str(source))
    shutil.rmtree(archives)


INSTALLERS: dict[str, Callable[[Path], None]] = {"learn2learn": _learn2learn, "higher": _higher, "torchopt": _torchopt}
SIDES = (*HERE, *INSTALLERS)

_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def _pip(python: Path, *what: str) -> None:
    _run([*_PIP, "--python", str(python), "install", *what])


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise CannotInstall(f"`{' '.join(Path(part).name for part in command[:4])} ...` failed: {said[-1:]}")
