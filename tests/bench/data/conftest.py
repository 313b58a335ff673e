"""Tiny photograph sets in every way that they can lie on a disk."""

import functools
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

CLASSES = {"train": ("dog", "ant"), "val": ("cow",), "test": ("bee", "elk")}
IMAGES_PER_CLASS = 3


def encode(pixels: np.ndarray, image_format: str = "JPEG") -> bytes:
    """An image file of (H, W) or (H, W, 3) uint8."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format)
    return out.getvalue()


@dataclass
class Photos:
    """files: name -> bytes; csvs: name of the CSV file -> its text. Tests change them before writing them."""

    files: dict[str, bytes]
    csvs: dict[str, str]

    def write_csvs(self, folder: Path) -> Path:
        """The lists alone."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.csvs.items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    def as_folder(self, folder: Path) -> Path:
        """The lists, and `images/` beside them."""
        self.write_csvs(folder)
        (folder / "images").mkdir()
        for name, data in self.files.items():
            (folder / "images" / name).write_bytes(data)
        return folder

    def as_folder_with_archive(self, folder: Path, suffix: str = ".tar.xz", prefix: str = "images/") -> Path:
        """The lists, and `images.tar.xz` beside them."""
        self.write_csvs(folder)
        members = [(prefix + name, data) for name, data in self.files.items()]
        write_tar(folder / f"images{suffix}", members)
        return folder

    def as_archive(self, archive: Path, top: str = "") -> Path:
        """One archive of everything."""
        members = [(f"{top}images/{name}", data) for name, data in self.files.items()]
        members += [(top + name, text.encode()) for name, text in self.csvs.items()]
        return write_tar(archive, members)


def write_tar(archive: Path, members: list[tuple[str, bytes]]) -> Path:
    """An archive of regular files, packed as its suffix says."""
    modes: dict[str, Literal["w:xz", "w:gz"]] = {".xz": "w:xz", ".gz": "w:gz", ".tgz": "w:gz"}
    mode = modes.get(archive.suffix)
    with tarfile.open(archive, mode) if mode else tarfile.open(archive, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


@pytest.fixture
def photos() -> Photos:
    """5 classes of 3 colour photographs, 12×10 pixels; rows and files in no particular order."""
    rng = np.random.default_rng(0)
    files, csvs = {}, {}
    for part, labels in CLASSES.items():
        rows = ["filename,label"]
        for number in reversed(range(IMAGES_PER_CLASS)):
            for label in labels:
                name = f"{label}{number:04d}.jpg"
                files[name] = encode(rng.integers(0, 256, (10, 12, 3), np.uint8))
                rows.append(f"{name},{label}")
        csvs[f"{part}.csv"] = "\n".join(rows) + "\n"
    return Photos(files, csvs)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


PARTS_IN_THE_WILD = {"base": "train", "val": "val", "novel": "test"}


def _path(name: str) -> str:
    """dog0001.jpg -> dog/dog0001.jpg"""
    return f"{name[:3]}/{name}"


def _below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}{_path(name)}": data for name, data in files.items()}


def _split_folders(files: dict[str, bytes], names: tuple[str, ...] = ("train", "val", "test")) -> dict[str, bytes]:
    part_of = {label: name for name, labels in zip(names, CLASSES.values(), strict=True) for label in labels}
    return {f"{part_of[name[:3]]}/{_path(name)}": data for name, data in files.items()}


def _bertinetto(files: dict[str, bytes]) -> dict[str, bytes]:
    lists = {f"splits/ravi/{part}.txt": "\n".join(labels).encode() + b"\n" for part, labels in CLASSES.items()}
    return _below("data/", files) | lists


def _chen(files: dict[str, bytes], root: str, at: str = "") -> dict[str, bytes]:
    names = [label for labels in CLASSES.values() for label in labels]
    lists = {}
    for file, part in PARTS_IN_THE_WILD.items():
        images = [name for name in files if name[:3] in CLASSES[part]]
        content = {
            "label_names": names,
            "image_names": [root + _path(name) for name in images],
            "image_labels": [names.index(name[:3]) for name in images],
        }
        lists[f"{file}.json"] = json.dumps(content).encode()
    return _below(at, files) | lists


def _easyfsl(files: dict[str, bytes], at: str = "") -> dict[str, bytes]:
    lists = {}
    for part, labels in CLASSES.items():
        rows = [f"{name[:3]},{name}" for name in files if name[:3] in labels]
        lists[f"{part}.csv"] = "\n".join(["class_name,image_name", *rows]).encode()
    return _below(at, files) | lists


def _flat(files: dict[str, bytes]) -> dict[str, bytes]:
    rows = [f"{label},{part}" for part, labels in CLASSES.items() for label in labels]
    return _below("", files) | {"split.csv": "\n".join(["class,part", *rows]).encode()}


# layout -> path -> bytes of everything in a folder of the set `photos`
LAYOUTS: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "split-folders": _split_folders,
    "split-folders, valid": lambda files: _split_folders(files, ("train", "valid", "test")),
    "split-folders, Validation": lambda files: _split_folders(files, ("base", "Validation", "novel")),
    "bertinetto": _bertinetto,
    "chen-json, relative": lambda files: _chen(files, "images/", "images/"),
    "chen-json, of another machine": lambda files: _chen(files, "/home/chen/CUB/images/", "CUB/images/"),
    "chen-json, of Windows": lambda files: {
        name: data.replace(b"/", rb"\\") if name.endswith("json") else data
        for name, data in _chen(files, "C:/data/", "a/").items()
    },
    "easyfsl-csv": _easyfsl,
    "easyfsl-csv, images/": lambda files: _easyfsl(files, "images/"),
    "class-folders, split.csv": _flat,
}


class Layouts:
    """Writes the files of a set as a folder, or as an archive when the path ends like one."""

    def files(self, name: str, photos: Photos) -> dict[str, bytes]:
        """path -> bytes of the photographs in one of LAYOUTS."""
        return LAYOUTS[name](photos.files)

    def write(self, path: Path, files: dict[str, bytes], top: str = "") -> Path:
        """A folder of the files, or an archive where the path ends like one."""
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
                for name, data in files.items():
                    members.writestr(top + name, data)
        elif path.suffix:
            write_tar(path, [(top + name, data) for name, data in files.items()])
        else:
            for name, data in files.items():
                (path / top / name).parent.mkdir(parents=True, exist_ok=True)
                (path / top / name).write_bytes(data)
        return path


@pytest.fixture
def layouts() -> Layouts:
    return Layouts()


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Each of LAYOUTS by name; up to the comma it is the name in FORMATS."""
    return str(request.param)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Serves a folder on this machine, and gives its address."""
    servers = []

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
