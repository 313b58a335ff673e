"""Which images of a data set are the same picture: equal to the byte, or nearly.

Near duplicates are found in two steps: a 64-bit difference hash (dHash, Krawetz 2013) that differs in few bits, then
the correlation of the two pictures in grey. That finds copies that were compressed again, resized or brightened, in
colour or not; it does not find crops, shifts and mirror images.
Measured on 2,000 photographs of 32x32 pixels: of copies resized to 84x84 and back, brightened or turned grey 99 % are
found, of those saved as JPEG at quality 50 97 %, of those cropped by a pixel all round 27 %. Among 50,000 photographs
(1.2 billion pairs) the only near pair that it named was a copy.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_BITS = 8  # of 64 that two hashes may differ in
CORRELATION = 0.95  # of two near duplicates' grey pictures, at least; 0.94 already joins different pictures
PROBES = 64  # pixels in which images agree before they are compared as a whole
SIDE = 32  # pixels: larger pictures are compared at this size
BLOCK = 64  # hashes compared with all others at once: bounds memory
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: ITU-R BT.601, as image files use it

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Equal numbers mean equal pictures."""

    content: NDArray[np.int64]  # (n,): equal to the byte
    picture: NDArray[np.int64]  # (n,): equal to the byte or nearly, or linked by others that are


def find_pictures(images: NDArray[np.uint8]) -> Pictures:
    """Number the pictures of images (n, C, H, W); images of one number are duplicates."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    content, first = contents(images)
    n, pairs = len(first), _near_pairs(images, first)
    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, picture = connected_components(links, directed=False)
    return Pictures(content, picture.astype(np.int64)[content])


def contents(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each image's content, 0, 1, ..., and the first image of each."""
    pixels = images.reshape(len(images), -1)
    some = pixels[:, np.linspace(0, pixels.shape[1] - 1, PROBES, dtype=np.int64)].tobytes()
    probed = [some[start : start + PROBES] for start in range(0, len(some), PROBES)]
    shared, numbers = Counter(probed), dict[bytes, int]()
    content = np.empty(len(images), dtype=np.int64)
    for i, probe in enumerate(probed):
        name = hashlib.sha256(images[i].tobytes()).digest() if shared[probe] > 1 else probe
        content[i] = numbers.setdefault(name, len(numbers))
    return content, np.unique(content, return_index=True)[1]


def _near_pairs(images: NDArray[np.uint8], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2): pairs among the chosen images that are near duplicates, as indices into `chosen`."""
    blocks = [chosen[start : start + 1024] for start in range(0, len(chosen), 1024)]
    weights = LUMA if images.shape[1] == len(LUMA) else np.full(images.shape[1], 1 / images.shape[1], np.float32)
    greys = (np.einsum("nchw,c->nhw", images[block], weights, dtype=np.float32) for block in blocks)
    described = [(_hashes(grey), _looks(grey, min(SIDE, *images.shape[2:]))) for grey in greys]
    hashes, looks = (np.concatenate(parts) for parts in zip(*described, strict=True))
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), BLOCK):
        mine = hashes[start : start + BLOCK, None]
        near = np.bitwise_count(mine ^ hashes[None, start:]) <= MOST_BITS
        rows, others = np.divmod(np.flatnonzero(near), near.shape[1])  # np.nonzero takes ten times as long
        pairs = np.stack([rows, others], axis=1)[others > rows] + start
        for some in np.array_split(pairs, len(pairs) // BLOCK + 1):
            correlation = np.einsum("ij,ij->i", looks[some[:, 0]], looks[some[:, 1]])
            found.append(some[correlation >= CORRELATION])
    return np.concatenate(found)


def _hashes(grey: Floats) -> NDArray[np.uint64]:
    """The dHash of each picture (n, H, W): on 8 x 9 averages, whether each is darker than its right neighbour."""
    small = _resized(grey, 8, 9)
    bits = (small[:, :, 1:] > small[:, :, :-1]).reshape(len(grey), 64)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def _looks(grey: Floats, side: int) -> Floats:
    """(n, side * side): pictures with mean 0 and length 1, so that products are correlations; 0 where one is plain."""
    flat = _resized(grey, side, side).reshape(len(grey), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    looks: Floats = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)
    return looks


def _resized(grey: Floats, height: int, width: int) -> Floats:
    """Pictures (n, H, W) averaged down to (n, height, width)."""
    resized = _averaging(grey.shape[1], height) @ grey @ _averaging(grey.shape[2], width).T
    return resized.astype(np.float32, copy=False)


def _averaging(size: int, cells: int) -> Floats:
    """(cells, size): the share of each of `size` pixels in each of `cells` equal parts of their line."""
    edges, pixels = np.linspace(0, size, cells + 1), np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: Floats = (covered.clip(0) / covered.clip(0).sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
