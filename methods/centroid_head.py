"""The nearest class mean on frozen features (SimpleShot: Wang, Chao, Weinberger, van der Maaten 2019, CL2N).

As published: the mean feature of the base classes is taken off (by `frozen.py`), features are brought to unit length,
and queries go to the class whose mean is nearest. Deviation: that mean is of 4,096 base images drawn, not of all.
"""

import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.embedding import class_means, negative_squared_distance


def centroid_logits(support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
    """(T, Q, n_way) of centred query features (T, Q, F), given support features (T, N, F) with labels (T, N)."""
    x, q = F.normalize(support, dim=-1), F.normalize(queries, dim=-1)
    return negative_squared_distance(q, class_means(x, labels, n_way))
