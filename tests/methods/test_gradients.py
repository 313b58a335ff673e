"""Gradients against slow float64 references written from the papers' formulas, on images with tied pixels."""

import copy

import pytest
import torch
import torch.nn.functional as F

from fewshot_bench.methods.adaptation import Adaptation, fit
from fewshot_bench.methods.anil import Anil
from fewshot_bench.methods.heads import cross_entropy, linear
from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.protomaml import ProtoMaml
from fewshot_bench.methods.r2d2 import R2D2, R2D2Settings
from fewshot_bench.methods.reptile import Reptile, ReptileSettings

PROBLEM = Problem(1, 16, 4, 8, 3, 2, 3, 10, 5)


def tied_episodes(n_tasks: int = 2, n_query: int = 3) -> Episodes:
    """Few grey levels, so that pooling windows tie, as they do on real and on drawn images."""
    g = torch.Generator().manual_seed(0)

    def images(n: int):
        return torch.randint(0, 3, (n_tasks, n, 1, 16, 16), generator=g).double() / 2

    return Episodes(
        images(6),
        torch.tensor([0, 1, 2, 2, 1, 0]).expand(n_tasks, -1),
        images(3 * n_query),
        torch.arange(3).repeat(n_query).expand(n_tasks, -1),
        torch.arange(3).expand(n_tasks, -1),
    )


def reference_logits(w: list, support, queries, norm: str):
    """One task's network, written out plainly: `w` is [conv, gamma, beta] x 4, head weight, head bias."""
    logits = reference_features(w, support, queries, norm) @ w[12].T + w[13]
    return logits if queries is None else logits[len(support) :]


def reference_features(w: list, support, queries, norm: str):
    n = len(support)
    x = torch.cat([support, queries]) if queries is not None else support
    for i in range(4):
        conv, gamma, beta = w[3 * i : 3 * i + 3]
        x = F.conv2d(x, conv, padding=1)
        of = x if queries is None else x[:n] if norm == "support" else x[n:]
        mean = of.mean((0, 2, 3), keepdim=True)
        variance = ((of - mean) ** 2).mean((0, 2, 3), keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt() * gamma[:, None, None] + beta[:, None, None]
        x = F.max_pool2d(F.relu(x), 2)
    return x.flatten(1)


def weights_of(method) -> list:
    return [*method.trunk.parameters(), *method.head.parameters()]


def inner_losses(w, episodes, t, steps, lr, create_graph):
    for _ in range(steps):
        loss = F.cross_entropy(reference_logits(w, episodes.support_images[t], None, ""), episodes.support_labels[t])
        gradients = torch.autograd.grad(loss, w, create_graph=create_graph)
        w = [p - lr * g for p, g in zip(w, gradients, strict=True)]
    return w


@pytest.mark.parametrize("first_order", [False, True])
def test_anil_gradient(first_order):
    settings = MamlSettings(first_order=first_order, inner_steps=3, inner_lr_per_way=0.1 / 3, meta_batch=2)
    method, episodes = Anil(PROBLEM, settings).double(), tied_episodes()
    method.gradients(episodes)
    start = [p.detach().clone().requires_grad_() for p in weights_of(method)]
    total = torch.zeros((), dtype=torch.float64)
    for t in range(2):
        features = reference_features(start, episodes.support_images[t], episodes.query_images[t], "support")
        head = start[12:]
        for _ in range(3):
            loss = F.cross_entropy(features[:6] @ head[0].T + head[1], episodes.support_labels[t])
            gradients = torch.autograd.grad(loss, head, create_graph=not first_order, retain_graph=True)
            head = [p - 0.1 * g for p, g in zip(head, gradients, strict=True)]
        total = total + F.cross_entropy(features[6:] @ head[0].T + head[1], episodes.query_labels[t]) / 2
    for mine, theirs in zip(weights_of(method), torch.autograd.grad(total, start), strict=True):
        torch.testing.assert_close(mine.grad, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first_order", [False, True])
def test_protomaml_gradient(first_order):
    """The inner gradients take the prototypes for constants of their own; the outer one goes through them."""
    settings = MamlSettings(first_order=first_order, inner_steps=2, inner_lr_per_way=0.01 / 3, meta_batch=2)
    method, episodes = ProtoMaml(PROBLEM, settings).double(), tied_episodes()
    method.gradients(episodes)
    start = [p.detach().clone().requires_grad_() for p in method.trunk.parameters()]
    total = torch.zeros((), dtype=torch.float64)
    for t in range(2):
        labels = episodes.support_labels[t]
        support = reference_features(start, episodes.support_images[t], None, "")
        prototypes = torch.stack([support[labels == c].mean(0) for c in range(3)])
        w = [*(p * 1 for p in start), 2 * prototypes, -(prototypes**2).sum(1)]
        w = inner_losses(w, episodes, t, 2, 0.01, create_graph=not first_order)
        logits = reference_logits(w, episodes.support_images[t], episodes.query_images[t], "support")
        total = total + F.cross_entropy(logits, episodes.query_labels[t]) / 2
    for mine, theirs in zip(method.trunk.parameters(), torch.autograd.grad(total, start), strict=True):
        torch.testing.assert_close(mine.grad, theirs, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("n_shot", [2, 20])
def test_r2d2_gradient_goes_through_the_ridge_regression(n_shot):
    """Woodbury's form with few images, the other one with many: both the inverse written out."""
    g = torch.Generator().manual_seed(0)
    support, queries = (torch.randn(1, n, 4, generator=g, dtype=torch.float64) for n in (3 * n_shot, 6))
    labels, answers = torch.arange(3).repeat(1, n_shot), torch.arange(3).repeat(1, 2)
    method = R2D2(PROBLEM, R2D2Settings(ridge=0.7)).double()
    leaves = [support.requires_grad_(), queries.requires_grad_(), method.log_ridge, method.log_scale]
    loss = cross_entropy(method.logits(support, labels, queries, 3), answers).sum()
    x, q = (torch.cat([f[0], torch.ones(len(f[0]), 1, dtype=torch.float64)], 1) for f in (support, queries))
    y, n = F.one_hot(labels[0], 3).double(), len(support[0])
    inverse = torch.linalg.inv(x.T @ x / n + method.log_ridge.exp() * torch.eye(5, dtype=torch.float64))
    expected = F.cross_entropy(method.log_scale.exp() * q @ inverse @ x.T @ y / n, answers[0])
    torch.testing.assert_close(loss, expected)
    pairs = zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["support", "transductive"])
@pytest.mark.parametrize("first_order", [False, True])
def test_maml_gradient(first_order, norm):
    settings = MamlSettings(first_order=first_order, inner_steps=3, inner_lr_per_way=0.1 / 3, norm=norm, meta_batch=2)
    method, episodes = Maml(PROBLEM, settings).double(), tied_episodes()
    method.gradients(episodes)
    start = [p.detach().clone().requires_grad_() for p in weights_of(method)]
    total = torch.zeros((), dtype=torch.float64)
    for t in range(2):
        w = inner_losses(start, episodes, t, 3, 0.1, create_graph=not first_order)
        logits = reference_logits(w, episodes.support_images[t], episodes.query_images[t], norm)
        total = total + F.cross_entropy(logits, episodes.query_labels[t]) / 2
    for mine, theirs in zip(weights_of(method), torch.autograd.grad(total, start), strict=True):
        torch.testing.assert_close(mine.grad, theirs, rtol=1e-9, atol=1e-12)


def test_second_order_gradient_is_the_slope_of_the_query_loss():
    """Central differences know nothing of autograd."""
    method, episodes = (
        Maml(PROBLEM, MamlSettings(inner_steps=2, inner_lr_per_way=0.1 / 3, meta_batch=2)).double(),
        tied_episodes(),
    )
    method.gradients(episodes)
    g, step = torch.Generator().manual_seed(3), 1e-6
    for p in weights_of(method):
        direction = torch.randn(p.shape, generator=g, dtype=torch.float64)
        slope = 0.0
        for sign in (1, -1):
            moved = copy.deepcopy(method)
            twin = dict(moved.named_parameters())[next(n for n, q in method.named_parameters() if q is p)]
            with torch.no_grad():
                twin.add_(sign * step * direction)
            slope += sign * float(moved.query_loss(episodes).mean().detach()) / (2 * step)
        torch.testing.assert_close(float((p.grad * direction).sum()), slope, rtol=1e-4, atol=1e-7)


def test_first_and_second_order_differ():
    gradients = []
    for first_order in (False, True):
        method = Maml(PROBLEM, MamlSettings(first_order=first_order, inner_lr_per_way=0.1 / 3)).double()
        method.gradients(tied_episodes())
        gradients.append(method.trunk.get_parameter("conv0").grad.clone())
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-2)


def test_maml_without_inner_steps_forward_is_multitask_training():
    """With inner lr 0 the outer gradient is the plain mean of the tasks' query gradients (S. identities)."""
    method, episodes = Maml(PROBLEM, MamlSettings(inner_lr_per_way=0.0)).double(), tied_episodes()
    method.gradients(episodes)
    start = [p.detach().clone().requires_grad_() for p in weights_of(method)]
    losses = [
        F.cross_entropy(
            reference_logits(start, episodes.support_images[t], episodes.query_images[t], "support"),
            episodes.query_labels[t],
        )
        for t in range(2)
    ]
    expected = torch.autograd.grad(torch.stack(losses).mean(), start)
    for mine, theirs in zip(weights_of(method), expected, strict=True):
        torch.testing.assert_close(mine.grad, theirs, rtol=1e-9, atol=1e-12)


def test_reductions_differ_by_the_number_of_tasks():
    for make in (
        lambda r: Maml(PROBLEM, MamlSettings(task_reduction=r)),
        lambda r: Reptile(PROBLEM, ReptileSettings(task_reduction=r, meta_batch=2)),
    ):
        gradients = []
        for reduction in ("mean", "sum"):
            method = make(reduction).double()
            method.gradients(tied_episodes())
            gradients.append(method.trunk.get_parameter("conv1").grad.clone())
        torch.testing.assert_close(2 * gradients[0], gradients[1])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_reptile_moves_towards_where_the_tasks_end(optimizer):
    settings = ReptileSettings(
        inner_optimizer=optimizer, inner_lr=0.01, inner_steps=4, inner_batch=4, meta_batch=2, outer_step=0.5
    )
    method = Reptile(PROBLEM, settings).double()
    start = [p.detach().clone() for p in weights_of(method)]
    episodes = tied_episodes()
    method.gradients(episodes)
    method.update()
    ends = []
    for t in range(2):
        w = [p.clone().requires_grad_() for p in start]
        # torch's own optimisers as the reference; slices of four run through the six images and start again
        kind = torch.optim.SGD(w, lr=0.01) if optimizer == "sgd" else torch.optim.Adam(w, lr=0.01, betas=(0.0, 0.999))
        for i in range(4):
            rows = [(4 * i + j) % 6 for j in range(4)]
            kind.zero_grad()
            loss = F.cross_entropy(
                reference_logits(w, episodes.support_images[t, rows], None, ""),
                episodes.support_labels[t, rows],
            )
            loss.backward()
            kind.step()
        ends.append([p.detach() for p in w])
    for mine, before, *after in zip(weights_of(method), start, *ends, strict=True):
        expected = before + 0.5 * (sum(after) / 2 - before)
        torch.testing.assert_close(mine.detach(), expected, rtol=1e-9, atol=1e-12)


def test_reptile_with_one_inner_step_of_sgd_is_joint_training():
    """k = 1: the outer step is SGD on the tasks' mean loss, with rate inner_lr * outer_step."""
    settings = ReptileSettings(inner_optimizer="sgd", inner_lr=0.1, inner_steps=1, inner_batch=6, meta_batch=2)
    method, episodes = Reptile(PROBLEM, settings).double(), tied_episodes()
    start = [p.detach().clone().requires_grad_() for p in weights_of(method)]
    method.gradients(episodes)
    method.update()
    losses = [
        F.cross_entropy(reference_logits(start, episodes.support_images[t], None, ""), episodes.support_labels[t])
        for t in range(2)
    ]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), start)
    for mine, before, gradient in zip(weights_of(method), start, gradients, strict=True):
        torch.testing.assert_close(mine.detach(), (before - 0.1 * gradient).detach(), rtol=1e-9, atol=1e-12)


def test_reptile_outer_step_falls_to_zero():
    problem = Problem(1, 16, 4, 8, 3, 2, 0, 4, 5)
    method = Reptile(problem, ReptileSettings(meta_batch=2))
    lengths = []
    for method.iteration in range(4):
        method.gradients(Episodes(*(f.float() if f.is_floating_point() else f for f in tied_episodes())))
        method.update()
        lengths.append(method.optimizers["outer"].param_groups[0]["lr"])
    assert lengths == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_head_is_fitted_as_torchs_optimisers_do(name):
    """Two tasks at once, in mini-batches, at a rate that grows with the ways; a second fit starts from a new state."""
    g = torch.Generator().manual_seed(0)
    features, labels = torch.rand(2, 10, 4, generator=g).double(), torch.randint(0, 3, (2, 10), generator=g)
    start = {"head_weight": torch.rand(2, 3, 4, generator=g).double(), "head_bias": torch.zeros(2, 3).double()}
    rule = Adaptation(lr_per_way=0.02, full_batch=9, batch_size=4, batches=7, epochs=1, optimizer=name)
    for _ in range(2):
        fitted = fit(linear, start, (features, labels), rule)
    for task in range(2):
        own = {key: value[task : task + 1].clone().requires_grad_() for key, value in start.items()}
        optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[name](own.values(), lr=0.06)
        for i in range(7):
            rows = torch.arange(4 * i, 4 * i + 4) % 10
            optimizer.zero_grad()
            F.cross_entropy(linear(own, features[task : task + 1, rows])[0], labels[task, rows]).backward()
            optimizer.step()
        for key, value in own.items():
            torch.testing.assert_close(fitted[key][task], value[0].detach(), rtol=1e-12, atol=1e-12)
