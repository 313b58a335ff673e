"""The operators with closed-form derivatives against torch's own, where pooling windows tie as in real images."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

from fewshot_bench.methods import conv4
from fewshot_bench.methods.adaptation import adapt, classifier, query_logits, sgd
from fewshot_bench.methods.conv4 import Conv4
from fewshot_bench.methods.derivatives import convolution, norm_pool_relu
from fewshot_bench.methods.heads import LinearHead, cross_entropy

EPSILON = 1e-5


def torch_block(x: Tensor, gamma: Tensor, beta: Tensor, n: int, epsilon: float = EPSILON) -> Tensor:
    variance, mean = torch.var_mean(x[:n], (0, 2, 3), correction=0, keepdim=True)
    normalised = (x - mean) * torch.rsqrt(variance + epsilon)
    return F.relu(F.max_pool2d(normalised * gamma[:, None, None] + beta[:, None, None], 2))


def torch_convolution(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    return F.conv2d(x, weight, padding=1, groups=groups)


def drawings(n: int, channels: int, size: int) -> Tensor:
    """Images with large empty areas, as drawn characters have: black bars on white."""
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(n, channels, size, size, dtype=torch.double)
    for image in images:
        row, column = torch.randint(2, size - 2, (2,), generator=generator).tolist()
        image[:, row : row + 2, 1:-1] = 1
        image[:, 1:-1, column] = 1
    return images


def tied(x: Tensor) -> float:
    """The fraction of 2x2 windows in which the largest value stands more than once."""
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    return float(((windows == windows.amax(-1, keepdim=True)).sum(-1) > 1).double().mean())


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def derivatives(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """y, its gradients along a fixed direction, and those of their inner product with another one."""
    direction = random(*y.shape, seed=7).requires_grad_()
    first = grad(y, inputs, direction, create_graph=True)
    product = torch.stack([(g * random(*g.shape, seed=8)).sum() for g in first]).sum()
    return [y, *first, *grad(product, [*inputs, direction], materialize_grads=True)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * float(other.detach().abs().max()))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_blocks_derivatives_are_those_of_its_values(n):
    inputs = [random(3, 2, 2, 3, seed=n), random(2, seed=1), random(2, seed=2)]
    inputs = [t.requires_grad_() for t in inputs]
    assert gradcheck(lambda x, gamma, beta: norm_pool_relu(x, gamma, beta, n, EPSILON), inputs)
    assert gradgradcheck(lambda x, gamma, beta: norm_pool_relu(x, gamma, beta, n, EPSILON), inputs)


@pytest.mark.parametrize("n", [4, 10])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [16, 17])
def test_tied_windows_give_torchs_derivatives(n, memory_format, size):
    gamma = random(6, seed=1)
    gamma[0] = 0.0  # ties everything
    weight = random(6, 1, 3, 3, seed=3)
    x = F.conv2d(drawings(10, 1, size), weight, padding=1).contiguous(memory_format=memory_format)
    assert tied(x) > 0.3
    beta = random(6, seed=2)
    inputs = [t.requires_grad_() for t in (x, gamma, beta)]
    found = derivatives(norm_pool_relu(x, gamma, beta, n, EPSILON), inputs)
    assert_same(found, derivatives(torch_block(x, gamma, beta, n), inputs))


@pytest.mark.parametrize("groups", [1, 2])
def test_the_convolutions_derivatives_are_torchs(groups):
    x, weight = random(2, 2, 3, 4).requires_grad_(), random(2, 2 // groups, 3, 3, seed=1).requires_grad_()
    assert gradgradcheck(lambda x, weight: convolution(x, weight, groups), [x, weight])
    for inputs in ([x, weight], [weight]):  # a network's first layer has no gradient of its images
        images = x if len(inputs) == 2 else x.detach()
        found = derivatives(convolution(images, weight, groups), inputs)
        assert_same(found, derivatives(torch_convolution(images, weight, groups), inputs))


def test_a_third_derivative_is_an_error():
    x = random(3, 2, 4, 4).requires_grad_()
    gamma, beta = torch.ones(2, 2, dtype=torch.double)
    (first,) = grad(norm_pool_relu(x, gamma, beta, 3, EPSILON).square().sum(), x, create_graph=True)
    (second,) = grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_float32_is_as_exact_as_its_digits():
    x = random(100, 8, 32, 32) + 5  # far from zero, where torch's moments of this layout lose four digits
    gamma, beta = random(8, seed=1), random(8, seed=2)
    exact = torch_block(x, gamma, beta, len(x))
    single = norm_pool_relu(x.float(), gamma.float(), beta.float(), len(x), EPSILON)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=5e-6)


def meta_gradient(images: Tensor, n_tasks: int) -> list[Tensor]:
    """MAML's gradient after three inner steps, n_tasks folded tasks of one support set and one query set."""
    generator = torch.Generator().manual_seed(0)
    trunk, head = Conv4(1, 16, 6, generator).double(), LinearHead(6, 5, generator).double()
    support, queries = images[:20].expand(n_tasks, -1, -1, -1, -1), images[20:].expand(n_tasks, -1, -1, -1, -1)
    labels = torch.arange(5).repeat(4).expand(n_tasks, -1)
    batches = [(support, labels)] * 3
    weights, _ = adapt(
        classifier(trunk), trunk.weights(n_tasks) | head.weights(n_tasks), batches, sgd(0.1), second_order=True
    )
    loss = cross_entropy(query_logits(trunk, weights, support, queries, "support"), labels).sum()
    return list(grad(loss, [*trunk.parameters(), *head.parameters()]))


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_a_meta_gradient_is_that_of_torchs_operators(monkeypatch, n_tasks):
    images = drawings(40, 1, 16)
    found = meta_gradient(images, n_tasks)
    monkeypatch.setattr(conv4, "_differentiated", lambda x: False)
    assert_same(found, meta_gradient(images, n_tasks))
