"""Tiny photograph sets in every way that they can lie on a disk."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

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
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.csvs.items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    def as_folder(self, folder: Path) -> Path:
        self.write_csvs(folder)
        (folder / "images").mkdir()
        for name, data in self.files.items():
            (folder / "images" / name).write_bytes(data)
        return folder

    def as_folder_with_archive(self, folder: Path, suffix: str = ".tar.xz", prefix: str = "images/") -> Path:
        self.write_csvs(folder)
        members = [(prefix + name, data) for name, data in self.files.items()]
        write_tar(folder / f"images{suffix}", members)
        return folder

    def as_archive(self, archive: Path, top: str = "") -> Path:
        members = [(f"{top}images/{name}", data) for name, data in self.files.items()]
        members += [(top + name, text.encode()) for name, text in self.csvs.items()]
        return write_tar(archive, members)


def write_tar(archive: Path, members: list[tuple[str, bytes]]) -> Path:
    """An archive of regular files, packed as its suffix says."""
    mode = {".xz": "w:xz", ".gz": "w:gz", ".tgz": "w:gz"}.get(archive.suffix, "w")
    with tarfile.open(archive, mode) as tar:
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
