"""Conv-4's operators with first and second derivatives in closed form: what makes second-order MAML fast on a CPU.

Torch differentiates its batch-norm twice in some thirty passes over full-size tensors, and a convolution's gradients
by slower convolutions. Here each operator is two nested autograd functions, the second being the first's gradient
with a `backward` of its own. A third derivative is an error. Values and derivatives are torch's up to rounding; where
values tie in a pooling window, the first gets the gradient, as in torch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

PIXELS = (0, 1, 2)  # all dimensions but the channels


def norm_pool_relu(x: Tensor, gamma: Tensor, beta: Tensor, n: int, epsilon: float) -> Tensor:
    """relu(max_pool2d(batch_norm(x), 2)) of x (N, C, H, W), by the moments of its first n images."""
    y: Tensor = _Block.apply(x.permute(0, 2, 3, 1).contiguous(), gamma, beta, n, epsilon)
    return y.permute(0, 3, 1, 2)


class _Block(Function):
    """Inside, tensors are (N, H, W, C): vectors of channels broadcast, and torch's kernels are fastest so.

    What reaches no winner of a pooling window is zero, so most of the work is on a quarter of the pixels: `at` holds
    the winners' places in x.flatten(), `won` their normalised values.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, n: int, epsilon: float) -> Tensor:
        count = x[:n, ..., 0].numel()
        mean = x[:n].sum(PIXELS) / count  # torch's own moments are 50 times less exact in this layout, in float32
        centred = x - mean
        inverse = torch.rsqrt(centred[:n].square().sum(PIXELS) / count + epsilon)
        normalised = torch.addcmul(beta, centred, gamma * inverse).permute(0, 3, 1, 2)
        y, index = (out.permute(0, 2, 3, 1) for out in F.max_pool2d(normalised, 2, return_indices=True))
        at = _places(index, x)
        won = _take(centred, at) * inverse
        y = y.relu_()
        ctx.save_for_backward(x, gamma, mean, inverse, at, won, y)
        ctx.n = n
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return *_BlockGradient.apply(g, *ctx.saved_tensors, ctx.n), None, None


class _BlockGradient(Function):
    """gx = gamma/deviation (g - g1/count - normalised x g2/count), where g1 = sum(g) and g2 = sum(g normalised x)."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, *saved: Any) -> tuple[Tensor, Tensor, Tensor]:
        x, gamma, mean, inverse, at, won, y, n = saved
        g = torch.ops.aten.threshold_backward(g.contiguous(), y, 0)  # ReLU's
        g1, g2 = g.sum(PIXELS), (g * won).sum(PIXELS)
        scale, count = gamma * inverse, x[:n, ..., 0].numel()
        slope = -scale * inverse * g2 / count
        gx = _line(x, n, slope, -scale * g1 / count - slope * mean)
        _add(gx, at, g * scale)
        ctx.save_for_backward(g, *saved[:-1], g1, g2)
        ctx.n, ctx.count = n, count
        return gx, g2, g1  # of x, gamma, beta

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, u_gamma: Tensor, u_beta: Tensor) -> Any:
        g, x, gamma, mean, inverse, at, won, y, g1, g2 = ctx.saved_tensors
        n, count, scale, u = ctx.n, ctx.count, gamma * inverse, u.contiguous()
        u1, u2 = u[:n].sum(PIXELS), ((x[:n] - mean) * u[:n]).sum(PIXELS) * inverse
        u_won = _take(u, at)
        d_gamma = inverse * ((u_won * g).sum(PIXELS) - (u1 * g1 + u2 * g2) / count)
        # by normalised x the derivative is r = by_u u + by_g g; to x it goes as g did above, and once more by deviation
        by_u, by_g = -scale * g2 / count, u_gamma - scale * u2 / count
        r1, r2 = by_u * u1 + by_g * g1, by_u * u2 + by_g * g2
        slope = -(r2 + gamma * d_gamma) * inverse**2 / count
        dx = _line(x, n, slope, -r1 * inverse / count - slope * mean)
        dx[:n].addcmul_(u[:n], by_u * inverse)
        _add(dx, at, g * (by_g * inverse))
        dg = torch.addcmul(u_beta - scale * u1 / count, won, by_g).addcmul_(u_won, scale)
        return torch.ops.aten.threshold_backward(dg, y, 0), dx, d_gamma, *[None] * 6


def _places(index: Tensor, x: Tensor) -> Tensor:
    """Places in x.flatten() of the pixels with this index (N, h, w, C) within their channel's plane."""
    images, channels = (torch.arange(size, device=x.device) for size in (len(x), x.shape[-1]))
    return (index * x.shape[-1]).add_(channels).add_(images.view(-1, 1, 1, 1) * x[0].numel())


def _take(x: Tensor, at: Tensor) -> Tensor:
    return x.flatten().index_select(0, at.flatten()).view(at.shape)


def _add(x: Tensor, at: Tensor, values: Tensor) -> None:
    x.view(-1).scatter_add_(0, at.flatten(), values.flatten())


def _line(x: Tensor, n: int, slope: Tensor, offset: Tensor) -> Tensor:
    """slope x + offset for the first n images, zeros for the others."""
    line = torch.addcmul(offset, x[:n], slope)
    return line if n == len(x) else torch.cat([line, torch.zeros_like(x[n:])])


def convolution(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """The 3x3 convolution, padded by 1, of x (N, C, H, W)."""
    y: Tensor = _Convolution.apply(x, weight, groups)
    return y


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return *_ConvolutionGradient.apply(g, *ctx.saved_tensors, ctx.groups, ctx.needs_input_grad[0]), None


class _ConvolutionGradient(Function):
    """The gradients are linear in g, x and weight, so their derivatives are the same three convolutions again."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, groups: int, of_x: bool) -> Any:
        ctx.save_for_backward(g, x, weight)
        ctx.groups = groups
        ctx.set_materialize_grads(False)
        return _gradients(g, x, weight, groups, of_x=of_x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, u_weight: Tensor | None) -> Any:
        g, x, weight = ctx.saved_tensors
        dg = dx = d_weight = None
        if u_weight is not None:
            dg = F.conv2d(x, u_weight, padding=1, groups=ctx.groups)
            dx, _ = _gradients(g, x, u_weight, ctx.groups, of_x=ctx.needs_input_grad[1], of_weight=False)
        if u is not None:
            by_u = F.conv2d(u, weight, padding=1, groups=ctx.groups)
            dg = by_u if dg is None else dg.add_(by_u)
            _, d_weight = _gradients(g, u, weight, ctx.groups, of_x=False)
        return dg, dx, d_weight, None, None


def _gradients(g: Tensor, x: Tensor, weight: Tensor, groups: int, of_x: bool = True, of_weight: bool = True) -> Any:
    """A convolution's gradients by x and by its weight, each None unless asked for."""
    geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], groups)  # stride, padding, dilation, not transposed
    return torch.ops.aten.convolution_backward(g, x, weight, None, *geometry, [of_x, of_weight, False])[:2]
