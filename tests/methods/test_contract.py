"""What every method must do; a new one is tested by being registered."""

import dataclasses

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running.tasks import BaseClasses, Gallery

CPU = torch.device("cpu")
WAY, SHOT, QUERY = 4, 3, 5
RULE = Adaptation(lr_per_way=0.025, steps=4, full_batch=20, batch_size=8, batches=6)
NORMS = ["support", "transductive", "running"]


def settings_for(name: str, **overrides):
    """The method's defaults at a size that eight base classes can serve."""
    cls = METHODS[name].Settings
    small = {
        "train_way": 6,
        "train_shot": 5,
        "batch_size": 16,
        "meta_batch": 2,
        "inner_steps": 3,
        "supervised_lr": 3e-3,
    }
    fields = {f.name for f in dataclasses.fields(cls)}
    return cls(**{k: v for k, v in (small | overrides).items() if k in fields})


def make(name: str, images, iterations: int = 10, seed: int = 1, **overrides):
    settings = settings_for(name, **overrides)
    if overrides.get("norm", "support") != "support" and not hasattr(settings, "norm"):
        pytest.skip(f"{name} has no norm setting")
    method = METHODS[name]
    n_way, n_shot = method.training_setting(settings, WAY, SHOT)
    problem = Problem(1, 16, 8, len(images.parts["train"]), n_way, n_shot, QUERY, iterations, seed)
    return method(problem, settings)


def source_for(images, seed: int = 0) -> BaseClasses:
    return BaseClasses(images, images.parts["train"], Gallery(images, CPU), ["test", seed])


def episodes_of(images, n_tasks: int, n_way: int = WAY, n_shot: int = SHOT) -> Episodes:
    sampler = bank(images, "paper", n_way, QUERY, 0)
    drawn = [sampler.draw(i, Setting(n_way, n_shot, QUERY)) for i in range(n_tasks)]
    return Gallery(images, CPU).collate(drawn, torch.arange(len(images.class_names)).numpy())


def trained(name: str, images, iterations: int = 3, **overrides):
    method, source = make(name, images, iterations=iterations, **overrides), source_for(images)
    for _ in range(iterations):
        method.step(source)
    return method


def state_of(method) -> dict[str, torch.Tensor]:
    return method.training_state()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(params=list(METHODS))
def name(request):
    return request.param


def test_a_step_moves_weights_and_tells_a_finite_loss(name, images):
    method = make(name, images)
    before = {k: p.detach().clone() for k, p in method.named_parameters()}
    losses = method.step(source_for(images))
    assert "loss" in losses
    assert all(v.shape == () and v.isfinite() and not v.requires_grad for v in losses.values())
    assert any(not torch.equal(before[k], p) for k, p in method.named_parameters())
    assert method.iteration == 1


@pytest.mark.parametrize("n_way", [WAY, 7])
@pytest.mark.parametrize("n_shot", [1, SHOT, 9])  # 9 is beyond `full_batch`: mini-batches
def test_logits_have_a_row_a_query_and_a_column_a_class(name, images, n_way, n_shot):
    logits = trained(name, images).predict(episodes_of(images, 2, n_way, n_shot), RULE)
    assert logits.shape == (2, n_way * QUERY, n_way)
    assert logits.isfinite().all()
    assert not logits.requires_grad


@pytest.mark.parametrize("norm", NORMS)
def test_predict_leaves_the_state_alone_and_is_repeatable(name, images, norm):
    method, episodes = trained(name, images, norm=norm), episodes_of(images, 2)
    before = state_of(method)
    first = method.predict(episodes, RULE)
    assert same(before, state_of(method))
    assert torch.equal(first, method.predict(episodes, RULE))


@pytest.mark.parametrize("norm", NORMS)
def test_many_episodes_at_once_equal_one_by_one(name, images, norm):
    # in float64, where the order of summation hides: in float32 adaptation magnifies it, by how much depends on the CPU
    method, episodes = trained(name, images, norm=norm).double(), episodes_of(images, 3)
    episodes = episodes._replace(
        support_images=episodes.support_images.double(), query_images=episodes.query_images.double()
    )
    together = method.predict(episodes, RULE)
    alone = torch.cat([method.predict(e, RULE) for e in episodes.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("norm", NORMS)
def test_a_query_depends_on_other_queries_only_if_transductive(name, images, norm):
    method, episodes = trained(name, images, norm=norm), episodes_of(images, 1)
    queries = episodes.query_images
    itself_changed = torch.cat([1 - queries[:, :1], queries[:, 1:]], 1)
    others_changed = torch.cat([queries[:, :1], 0.5 * queries[:, 1:].flip(1)], 1)

    def first_logits(images_):
        return method.predict(episodes._replace(query_images=images_), RULE)[:, 0]

    logits = first_logits(queries)
    assert not torch.allclose(logits, first_logits(itself_changed), atol=1e-4)  # so that the next line can fail
    assert torch.allclose(logits, first_logits(others_changed), rtol=1e-4, atol=1e-5) == (norm != "transductive")


@pytest.mark.parametrize("norm", NORMS)
def test_same_seed_same_weights_and_another_seed_others(name, images, norm):
    assert same(state_of(trained(name, images, norm=norm)), state_of(trained(name, images, norm=norm)))
    assert not same(state_of(trained(name, images)), state_of(trained(name, images, seed=2)))


@pytest.mark.parametrize("norm", NORMS)
def test_a_restored_method_goes_on_as_if_never_stopped(name, images, norm):
    whole = trained(name, images, iterations=4, norm=norm)
    first, source = make(name, images, iterations=4, norm=norm), source_for(images)
    first.step(source)
    first.step(source)
    second = make(name, images, iterations=4, norm=norm, seed=9).load_training_state(state_of(first))
    second.step(source)
    second.step(source)
    assert same(state_of(whole), state_of(second))
    episodes = episodes_of(images, 1)
    assert torch.equal(whole.predict(episodes, RULE), second.predict(episodes, RULE))


@pytest.mark.parametrize("overrides", [{"norm": norm} for norm in NORMS] + [{"norm": "running", "frozen": True}])
def test_what_is_classified_from_embedded_images_is_what_is_predicted(name, images, overrides):
    known = {f.name for f in dataclasses.fields(METHODS[name].Settings)}
    method = trained(name, images, **{k: v for k, v in overrides.items() if k in known})
    if not method.embeds:
        pytest.skip("its features depend on more than the image")
    episodes = episodes_of(images, 2)
    fields = {
        part: torch.stack([method.embed(task) for task in getattr(episodes, part)])
        for part in ("support_images", "query_images")
    }
    logits = method.classify(episodes._replace(**fields), RULE)
    torch.testing.assert_close(logits, method.predict(episodes, RULE), rtol=1e-4, atol=1e-5)


def test_folding_tasks_does_not_change_a_step(name, images, in_double):
    looped, folded = make(name, images), make(name, images)
    folded.execution = Execution(tasks_at_once=8)
    for method in (looped, folded):
        method.double()
        source = source_for(images)
        method.step(in_double(source))
    for (key, a), b in zip(looped.named_parameters(), folded.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=key)


def test_beats_chance_on_an_easy_set(name, images):
    lr = {"inner_lr_per_way": 0.025} if name in ("maml", "maml-mtl") else {}
    method = trained(name, images, iterations=60, **lr)
    episodes = episodes_of(images, 20)
    accuracy = (method.predict(episodes, RULE).argmax(-1) == episodes.query_labels).float().mean()
    assert accuracy > 0.45  # chance is 0.25; 400 queries have a standard error of at most 0.025


def test_labels_carry_no_meaning_of_their_own(images):
    """Permuting an episode's labels permutes ProtoNet's logits: nothing depends on a label's number."""
    method, episodes = trained("protonet", images), episodes_of(images, 1)
    order = torch.tensor([2, 0, 3, 1])
    permuted = episodes._replace(support_labels=order[episodes.support_labels])
    expected = torch.empty_like(method.predict(episodes, RULE))
    expected[:, :, order] = method.predict(episodes, RULE)
    torch.testing.assert_close(method.predict(permuted, RULE), expected, rtol=1e-4, atol=1e-4)
