"""A folder of synthetic photographs: class folders of JPEG files with the size in bytes that real ones have."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 84  # pixels, as miniImageNet
TEXTURE = 512  # pixels of a class's texture, which its images are windows of
JPEG_QUALITY = 75
FALL = 1.0  # the amplitude of photographs falls with frequency about as 1 / f (Field 1987)


def write(folder: Path, n_classes: int, per_class: int, seed: int = 0) -> int:
    """Write `<folder>/<class>/<image>.jpg`; returns the mean size of a file in bytes."""
    with ThreadPoolExecutor(2) as pool:
        sizes = list(pool.map(lambda c: _write_class(folder / f"class{c:02d}", per_class, [seed, c]), range(n_classes)))
    return round(sum(sizes) / (n_classes * per_class))


def _write_class(folder: Path, per_class: int, seed: list[int]) -> int:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    texture, total = _texture(rng), 0
    for number in range(per_class):
        top, left = rng.integers(0, TEXTURE - SIDE, 2)
        window = texture[top : top + SIDE, left : left + SIDE] + rng.normal(0, 2, (SIDE, SIDE, 1))  # a sensor's noise
        stream = io.BytesIO()
        Image.fromarray(window.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=JPEG_QUALITY)
        (folder / f"{number:04d}.jpg").write_bytes(stream.getvalue())
        total += stream.tell()
    return total


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Coloured noise (TEXTURE, TEXTURE, 3) whose amplitude falls with frequency, most of it in brightness."""
    frequency = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None])
    frequency[0, 0] = np.inf
    planes = []
    for contrast in (50, 20, 20):  # brightness, and two directions of colour
        noise = np.fft.rfft2(rng.normal(size=(TEXTURE, TEXTURE))) / frequency**FALL
        plane = np.fft.irfft2(noise, (TEXTURE, TEXTURE))
        planes.append(contrast * plane / plane.std())
    grey, warm, green = planes
    texture: NDArray[np.float64] = np.stack([grey + warm, grey + green, grey - warm], axis=-1)
    return texture + rng.uniform(80, 170, 3)
