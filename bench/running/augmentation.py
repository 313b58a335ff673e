"""Random changes of training images: crops, flips and colour jitter, the same on every device and in any order.

An image's changes are decided by random words that belong to its place in a numbered draw, never by what was changed
before, so a resumed training goes on with the same pixels. Colour jitter has the fixed order brightness, contrast,
saturation, as in Chen et al. 2019's code, and factors that are uniform in [1 - jitter, 1 + jitter]. A crop is the
image, moved by up to `crop_padding` pixels in both directions, as He et al. 2016 cut theirs; but what moves in
is the image's reflection and no black border, which no test image has and which would frame what stands on white.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_bench.config import NO_AUGMENTATION, AugmentationConfig
from fewshot_bench.methods.interface import Episodes
from fewshot_bench.seeding import Canonical, Stream

WORDS = 3  # random words an image; every setting uses its own halves of them, so one does not move the others


class Augmentation:
    """Changes what one training draws. Its streams are apart from those of the draws, and from each other."""

    def __init__(self, config: AugmentationConfig, identity: Canonical) -> None:
        self._config, self._is_off = config, config == NO_AUGMENTATION
        self._episodes = Stream("augmentation of training episodes", identity)
        self._batches = Stream("augmentation of training batches", identity)

    def episodes(self, episodes: Episodes, first: int) -> Episodes:
        """The training episodes from number `first` on, all of their images changed."""
        if self._is_off:
            return episodes
        n_tasks, n_queries = episodes.query_labels.shape
        n_images = n_queries + episodes.support_labels.shape[1]
        words = np.stack([self._episodes.words(first + i, n_images * WORDS) for i in range(n_tasks)])
        words = words.reshape(n_tasks, n_images, WORDS)
        return episodes._replace(  # queries first, so that more shots do not change them
            query_images=augment(episodes.query_images, words[:, :n_queries], self._config),
            support_images=augment(episodes.support_images, words[:, n_queries:], self._config),
        )

    def batch(self, images: Tensor, number: int) -> Tensor:
        """Training batch number `number`, its images (B, C, H, W) changed."""
        if self._is_off:
            return images
        return augment(images, self._batches.words(number, len(images) * WORDS).reshape(-1, WORDS), self._config)


def augment(images: Tensor, words: NDArray[np.uint64], config: AugmentationConfig) -> Tensor:
    """Changed images.

    images: (..., C, H, W) floats in [0, 1]; words: (..., WORDS), an image's own; crop_padding must be below H and W
    """
    flat = images.flatten(0, -4)
    column = parameters(words.reshape(-1, WORDS), config).to(flat.dtype).to(flat.device, non_blocking=True).unbind(1)
    if config.crop_padding:
        flat = _cropped(flat, config.crop_padding, column[0].long(), column[1].long())
    if config.flip:
        flat = _flipped(flat, column[2].bool())
    if config.jitter:
        flat = _jittered(flat, *(factor[:, None, None, None] for factor in column[3:]))
    return flat.reshape(images.shape)


def parameters(words: NDArray[np.uint64], config: AugmentationConfig) -> Tensor:
    """For each image (n, 6), float64: top and left of its crop in the padded image, whether it is flipped (0 or 1), and
    the factors of brightness, contrast and saturation."""
    uniform = words.astype("<u8").view("<u4") / 2**32  # (n, 6) in [0, 1)
    offsets = np.floor(uniform[:, :2] * (2 * config.crop_padding + 1))
    flips = np.floor(uniform[:, 2:3] * 2)
    factors = 1 + config.jitter * (2 * uniform[:, 3:] - 1)
    return torch.from_numpy(np.concatenate([offsets, flips, factors], axis=1))


def _cropped(images: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    height, width = images.shape[-2:]
    padded = functional.pad(images, [padding], padding_mode="reflect")
    crops: Tensor = padded.unfold(2, height, 1).unfold(3, width, 1)  # all, as a view: (n, C, tops, lefts, H, W)
    return crops[torch.arange(len(images), device=images.device), :, top, left]


def _flipped(images: Tensor, flips: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    return torch.where(flips[:, None, None, None], functional.horizontal_flip(images), images)


def _jittered(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """torchvision's adjust_brightness, _contrast and _saturation, which take one factor for all images."""
    from torchvision.transforms.v2.functional import rgb_to_grayscale

    images = images.mul(brightness).clamp_(0, 1)
    mean: Tensor = rgb_to_grayscale(images).mean((-3, -2, -1), keepdim=True)
    images = images.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 1)
    if images.shape[-3] == 1:  # grey has no saturation
        return images
    grey: Tensor = rgb_to_grayscale(images)
    return images.mul_(saturation).add_(grey * (1 - saturation)).clamp_(0, 1)
