"""A cosine classifier on frozen features (Baseline++: Chen, Liu, Kira, Wang, Huang 2019).

As in the published code: logits are 2 g_c cos(w_c, x), w and g start as a linear layer's weights and their lengths,
and 100 epochs of SGD at 0.01 in batches of 4 fit both (momentum 0.9 dampened by 0.9, weight decay 0.001).
Deviations: beyond 100 support images a batch is a 25th of them, so that there are 2,500 steps at most (published:
87,500 at 35-way 100-shot); batches run through the support set's random order without shuffling it again; every task
starts from the same draw. The published training has a cosine head, too: transfer with `training_head = "cosine"`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.adaptation import slices
from fewshot_bench.methods.heads import full_precision

EPOCHS, LR, MOMENTUM, DECAY = 100, 0.01, 0.9, 0.001  # published code
BATCH, MOST_BATCHES = 4, 25  # images; in an epoch


def cosine_logits(support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
    """(T, Q, n_way) of query features (T, Q, F), given support features (T, N, F) with labels (T, N)."""
    with full_precision(support, queries) as (x, q):
        weight = fitted(F.normalize(x, dim=-1), F.one_hot(labels, n_way).to(x.dtype))
        return F.normalize(q, dim=-1) @ weight.transpose(1, 2)


def fitted(x: Tensor, y: Tensor) -> Tensor:
    """(T, n_way, F): 2 g w/|w| after the fit to x (T, N, F) of unit length and one-hot y (T, N, n_way)."""
    n_tasks, n_images, n_features = x.shape
    size = max(BATCH, math.ceil(n_images / MOST_BATCHES))
    draw = torch.rand(y.shape[2], n_features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = ((2 * draw - 1) / math.sqrt(n_features)).to(x, non_blocking=True).repeat(n_tasks, 1, 1)
    g = w.norm(dim=-1, keepdim=True)  # (T, n_way, 1)
    moves: list[Tensor] = []
    for images, wanted in slices(x, y, size, EPOCHS * math.ceil(n_images / size)):
        length = w.norm(dim=-1, keepdim=True)
        direction = w / length
        error = (2 * images @ (g * direction).transpose(1, 2)).softmax(-1) - wanted  # (T, B, n_way)
        slope = 2 * error.transpose(1, 2) @ images / images.shape[1]  # by g w/|w|: (T, n_way, F)
        of_g = (slope * direction).sum(-1, keepdim=True)
        of_w = g / length * (slope - of_g * direction)
        slopes = of_w + DECAY * w, of_g + DECAY * g
        moves = [m.lerp(s, 1 - MOMENTUM) for m, s in zip(moves or slopes, slopes, strict=True)]  # as torch's SGD begins
        w, g = w - LR * moves[0], g - LR * moves[1]
    fit: Tensor = 2 * g * F.normalize(w, dim=-1)
    return fit
