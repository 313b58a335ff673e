"""config -> the cells of a grid, checked against the data before anything trains. Pure."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from fewshot_bench.config import LONGEST_NAME, Config, choose, overlay, unsayable
from fewshot_bench.data.format import FAMILIES
from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.experiment.asking import NotInstalled, UnusableVariant, asking, training_setting_of, versions_of
from fewshot_bench.experiment.episodes import Setting, lack
from fewshot_bench.experiment.identity import Cell, Training, by_content
from fewshot_bench.experiment.network import backbone_of, check_network, check_size, weights_of
from fewshot_bench.experiment.rules import Rules, read_rules
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.experiment.spending import Spent, iterations, refuse_twice
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.later import mentioned
from fewshot_bench.methods.registry import METHODS, UnusableMethod, find_method, ignored, method_names, whose
from fewshot_bench.seeding import digest
from fewshot_bench.settings import build

MOST_CELLS = 100_000
SMALLEST = (2, 1)  # ways and shots of an episode


@dataclass(frozen=True)
class Variant:
    """A column of the table: a method under a name, with its settings resolved."""

    name: str
    method: str
    settings: Any  # the method's frozen Settings
    spent: Spent


@dataclass(frozen=True)
class Request:
    """What is asked for: the configuration with the choices of a selection resolved."""

    config: Config
    grid: str
    budget: str
    protocol: str
    split: str
    methods: tuple[str, ...]
    ways: tuple[int, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    episodes: int | None = None  # of every cell; None: the budget's
    rules: Rules | None = None  # how each method is fitted at test, where that was tuned

    def seeds_of(self, method: str) -> tuple[int, ...]:
        """The seeds that a method takes part with."""
        return self.config.grids[self.grid].seeds_of(method, self.seeds)


def resolve(config: Config, selection: Selection) -> Request:
    """The request that a selection makes; empty words leave the grid's choice."""
    name = selection.grid or config.run.grid
    defined = choose(name, config.grids, "unknown grid")
    budget = selection.budget or defined.budget or config.run.budget
    choose(budget, config.budgets, "unknown budget")
    config = with_plain(config, selection.methods)
    for variant in selection.methods:
        of = choose(variant, config.methods, "unknown method").get("method")
        if of != variant and variant in method_names() and variant not in METHODS:
            raise UsageError(
                f"{variant!r} is a variant of {of} in bench.toml and {whose(variant)}: choose another name for one"
            )
    ways, split = selection.ways or defined.ways, selection.split or config.data.split
    rules = config.run.rules if selection.rules is None else selection.rules
    return Request(
        config=config,
        grid=name,
        budget=budget,
        protocol=selection.protocol or defined.protocol or config.run.protocol,
        split=f"inner{max(ways)}" if split == "inner" else split,
        methods=selection.methods or defined.everyone,
        ways=ways,
        shots=selection.shots or defined.shots,
        seeds=selection.seeds or defined.seeds,
        episodes=selection.episodes,
        rules=read_rules(Path(rules)) if rules else None,
    )


def variant(config: Config, name: str, family: str = "") -> Variant:
    """A variant of bench.toml, with its method found and its settings checked. Raises UsageError.

    family: of the data; what is published for it takes the place of defaults
    """
    table = dict(choose(name, config.methods, "unknown method"))
    method_name = table.pop("method", None)
    if reason := unsayable(name):  # another package's name: those of bench.toml are checked when it is read
        raise UnusableVariant(f"the method {name[:LONGEST_NAME]!r} needs a variant in bench.toml: {reason}")
    if method_name is None:
        raise UsageError(f"[methods.{name}] needs the key 'method'")
    if method_name not in method_names():
        raise NotInstalled(
            f"[methods.{name}] method = {method_name!r} is not installed here: "
            f"{did_you_mean(str(method_name), method_names())}"
        )
    try:
        method = find_method(method_name)
    except UnusableMethod as error:
        raise UnusableVariant(f"[methods.{name}] method = {method_name!r}: {error}") from None
    table = overlay(for_family(config, method_name, family), table)
    where = f"families.{family}.methods.{method_name}" if family else f"methods.{name}"  # without a family comes first

    own = {f.name for f in fields(method.Settings)}
    spent = {f.name: table.pop(f.name) for f in fields(Spent) if f.name in table and f.name not in own}
    with asking(f"[methods.{name}] method = {method_name!r}", method_name):
        settings: Any = build(method.Settings, table, where)
        versions_of(method)
        training_setting_of(method, settings, SMALLEST)  # what fails at any size shows before the data are read
        digest(by_content(mentioned(settings)))  # what no identity can hold
    if not family:  # what a family says of it gives way
        refuse_twice(spent, where)
    found = Variant(name, method_name, settings, build(Spent, spent, where))
    build(Adaptation, found.spent.adaptation, f"{where}.adaptation")
    return found


def for_family(config: Config, method: str, family: str) -> dict[str, Any]:
    """What is published for a method on a family of data; nothing for a family that is not in bench.toml."""
    return config.families[family].methods.get(method, {}) if family in config.families else {}


def variants(config: Config) -> tuple[list[Variant], list[str]]:
    """All variants whose methods can be used, and what is wrong with the others. Raises UsageError."""
    config = with_plain(config, method_names())
    found, wrong = _usable(config, config.methods)
    return found, [*map(str, wrong), *ignored()]


def files_named(config: Config) -> dict[str, str]:
    """Content, as an identity has it -> a file of that content that some variant's settings name."""
    values = [value for v in variants(config)[0] for value in asdict(v.settings).values()]
    return {by_content(value): str(value) for value in values if isinstance(value, Path)}


def without_unusable(request: Request) -> tuple[Request, tuple[str, ...]]:
    """A request for those variants whose methods can be used, and what is wrong with the others.

    Raises UsageError where none is left.
    """
    found, wrong = _usable(request.config, request.methods)
    if wrong and not found:
        raise wrong[0]
    return replace(request, methods=tuple(v.name for v in found)), tuple(map(str, wrong))


def leaving_out(request: Request, error: UsageError) -> str:
    """The end of a message on a variant that cannot be used here: the words that choose all others."""
    usable = []
    for name in request.methods if isinstance(error, NotInstalled | UnusableVariant) else ():
        with suppress(UsageError):
            check_settings(replace(request, methods=(name,)))
            usable.append(name)
    return f"; without it: --method {','.join(usable)}" if usable else ""


def _usable(config: Config, names: Iterable[str]) -> tuple[list[Variant], list[UsageError]]:
    found: list[Variant] = []
    wrong: list[UsageError] = []
    for name in names:
        try:
            found.append(variant(config, name))
        except UsageError as error:
            nothing_set = config.methods.get(name) == {"method": name}  # so that nobody but the package is to blame
            if not isinstance(error, UnusableVariant) and not nothing_set:
                raise
            wrong.append(error)
    return found, wrong


def with_plain(config: Config, names: Iterable[str]) -> Config:
    """A method that has no variant in bench.toml is one itself, with its default settings."""
    plain = {name: {"method": name} for name in method_names() if name in names and name not in config.methods}
    return replace(config, methods=config.methods | plain)


def adaptation_of(request: Request, chosen: Variant, tested: tuple[int, int]) -> Adaptation | None:
    """How a variant is fitted when it is tested with (n_way, n_shot); None where it is not.

    Of what sets a key, the last counts: [adaptation], the budget, the variant, the tuned rules. Of a rule with a head
    nothing else counts. Raises UsageError.
    """
    table = request.config.adaptation | request.config.budgets[request.budget].adaptation | chosen.spent.adaptation
    rule: Adaptation = build(Adaptation, table, "adaptation")
    if rule.head:
        return Adaptation(head=rule.head)
    if not find_method(chosen.method).adapts:
        return None
    if not request.rules:
        return rule
    return build(Adaptation, table | request.rules.rule_of(chosen.name, *tested), request.rules.file)


def fitted_at_test(config: Config, selection: Selection) -> tuple[str, ...]:
    """The variants chosen that are fitted to a task by a rule: not by a head, and not without any fitting."""
    request, _ = without_unusable(resolve(config, selection))
    found = [variant(request.config, name) for name in request.methods]
    tested = (request.ways[0], request.shots[0]) if request.ways and request.shots else (5, 1)
    rules = {v.name: adaptation_of(request, v, tested) for v in found}
    return tuple(name for name, rule in rules.items() if rule and not rule.head)


def inherited(config: Config, budget: str, chosen: Variant) -> dict[str, tuple[Any, str]]:
    """What a variant does not set as its method's settings: iterations and rule, each with where it comes from."""
    own, of_budget, spent = f"[methods.{chosen.name}]", f"[budgets.{budget}]", chosen.spent
    layers = {"[adaptation]": config.adaptation, of_budget: config.budgets[budget].adaptation, own: spent.adaptation}
    rule = {name: (value, where) for where, table in layers.items() for name, value in table.items()}
    if "head" in rule and rule["head"][0]:
        rule = {"head": rule["head"]}
    elif not find_method(chosen.method).adapts:
        rule = {}
    if spent.cost_of:
        return rule | {"cost_of": (spent.cost_of, own)}
    return rule | {"iterations": (iterations(config.budgets[budget], chosen), own if spent.own else of_budget)}


def _like(config: Config, chosen: Variant, family: str) -> Variant | None:
    """The variant at whose cost another trains, where it names one. Raises UsageError."""
    named, where = chosen.spent.cost_of, f"[methods.{chosen.name}] cost_of"
    if not named:
        return None
    if named == chosen.name:
        raise UsageError(f"{where} = {named!r} names itself: name another variant")
    choose(named, config.methods, f"{where}: unknown variant")
    like = variant(config, named, family)
    if like.spent.cost_of:
        raise UsageError(f"{where} = {named!r}: that one itself names another, {like.spent.cost_of!r}")
    return like


def check_settings(request: Request) -> None:
    """Raise UsageError for a wrong setting of a variant or of the adaptation; needs no data."""
    backbone_of(request.config)
    check_network(request.config)
    budget, known = request.config.budgets[request.budget], dict.fromkeys(method_names())
    # a wrong value is one where another takes its place, too
    build(Adaptation, request.config.adaptation, "adaptation")
    build(Adaptation, budget.adaptation, f"budgets.{request.budget}.adaptation")
    for method in budget.iterations:
        choose(method, known | {"other": None}, f"[budgets.{request.budget}] iterations: unknown method")
    for family, defined in request.config.families.items():
        choose(family, dict.fromkeys(FAMILIES), "[families]: unknown family")
        for method, table in defined.methods.items():
            choose(method, known, f"[families.{family}.methods]: unknown method")
            refuse_twice(table, f"families.{family}.methods.{method}")
    for name, family in product(request.methods, ("", *request.config.families)):
        chosen = variant(request.config, name, family)
        _like(request.config, chosen, family)
        for tested in product(request.ways, request.shots):
            adaptation_of(request, chosen, tested)


def cells(request: Request, images: ImageSet, other: ImageSet | None = None) -> list[Cell]:
    """Every cell of the request, checked against the data before anything trains. Raises UsageError.

    other: a data set whose novel classes are tested on, in place of the images' own
    """
    novel = other or images
    config, split = request.config, images.split(request.split)
    n_cells = len(request.ways) * len(request.shots) * len(request.seeds) * len(request.methods)
    if n_cells > MOST_CELLS:
        raise UsageError(f"[grids.{request.grid}] has {n_cells} cells, more than {MOST_CELLS}: divide it")
    _check_data(request, images)
    if novel.images.shape[1:] != images.images.shape[1:]:
        shapes = ["×".join(map(str, data.images.shape[1:])) for data in (images, novel)]
        raise UsageError(
            f"{images.name} has images of {shapes[0]} (channels, pixels), {novel.name} of {shapes[1]}: a network takes "
            "one kind; set image_size in [data], or choose data of as many channels"
        )
    found, settings = [], list(product(request.ways, request.shots))
    what = f"novel classes in split {split.name!r}" + (f" of {novel.name}" if other else "")
    for way, shot in settings:
        if why := lack(novel, novel.split(request.split).novel, Setting(way, shot, config.episodes.n_query), what):
            less = "choose fewer ways or shots (--way, --shot) or queries (--set episodes.n_query=N)"
            raise UsageError(f"{why}: {less}")
    of_variant: dict[str, list[tuple[Training, Adaptation | None]]] = {}  # in each setting, with any seed
    for name in request.methods:
        chosen = variant(config, name, images.family)
        of_variant[name] = [
            (_training(request, images, chosen, setting), adaptation_of(request, chosen, setting))
            for setting in settings
        ]
    for seed in request.seeds:
        for name in (name for name in request.methods if seed in request.seeds_of(name)):
            seeded: dict[tuple[int, ...], Training] = {}  # one object a training: its key is computed once
            for (way, shot), (training, adaptation) in zip(settings, of_variant[name], strict=True):
                size = (training.n_way, training.n_shot, training.iterations)
                if size not in seeded:
                    seeded[size] = replace(training, seed=seed)
                found.append(
                    Cell(
                        variant=name,
                        training=seeded[size],
                        split=split.name,
                        setting=Setting(way, shot, config.episodes.n_query),
                        bank_seed=config.episodes.bank_seed,
                        adaptation=adaptation,
                        n_episodes=request.episodes or config.budgets[request.budget].episodes_at(way, shot),
                        novel=other.fingerprint if other else "",
                    )
                )
    return found


def _check_data(request: Request, images: ImageSet) -> None:
    if request.rules:
        request.rules.check_data(images)
    check_size(backbone_of(request.config), images)
    padding, side = request.config.augmentation.crop_padding, images.images.shape[-1]
    if padding >= side:
        raise UsageError(
            f"[augmentation] crop_padding = {padding} must be less than {side}: the images of "
            f"{images.name} have {side}x{side} pixels, and are reflected at their borders"
        )


def _training(request: Request, images: ImageSet, chosen: Variant, tested: tuple[int, int]) -> Training:
    """The training, with seed 0, that serves a cell tested with (n_way, n_shot)."""
    config, split, method = request.config, images.split(request.split), find_method(chosen.method)
    size = config.training
    wanted = (size.way, size.shot)
    if request.protocol == "matched":
        wanted = (tested[0], min(tested[1], size.most_shots))
    where = f"[methods.{chosen.name}] method = {chosen.method!r}"
    with asking(where, chosen.method):
        n_way, n_shot = training_setting_of(method, chosen.settings, wanted)
    if n_way:
        setting = Setting(n_way, n_shot, size.query)
        what = f"base classes in split {split.name!r} to train {chosen.name} on"
        if why := lack(images, split.base, setting, what):
            own = [
                f"{name} of [methods.{chosen.name}]"
                for name in ("train_way", "train_shot")
                if hasattr(chosen.settings, name)
            ]
            less = ", ".join([f"{'tested' if request.protocol == 'matched' else '[training]'} way and shot", *own])
            raise UsageError(f"{why}: lower what {chosen.name} trains on ({less}, query of [training])")
    like = _like(config, chosen, images.family)
    _, channels, height, _ = images.images.shape
    return Training(
        method=chosen.method,
        versions=versions_of(method),
        settings=chosen.settings,
        fingerprint=images.fingerprint,
        base_parts=split.base_parts,
        in_channels=channels,
        image_size=height,
        filters=config.model.filters if "filters" in backbone_of(config).settings else 0,
        n_base_classes=len(split.base),
        n_way=n_way,
        n_shot=n_shot,
        n_query=size.query if n_way else 0,
        iterations=iterations(config.budgets[request.budget], chosen, like, (*wanted, size.query)),
        seed=0,
        augmentation=config.augmentation,
        backbone=config.model.backbone,
        drop_block=config.model.drop_block,
        numerics=config.model.numerics,
        input_size=config.model.input_size,
        normalisation=config.model.normalisation,
        weights=weights_of(config),
    )
