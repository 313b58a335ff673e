"""The network of [model]: its backbone and initial weights, checked before anything is prepared for it."""

from pathlib import Path

from fewshot_bench.config import Config, choose
from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import UsageError
from fewshot_bench.files import BY_CONTENT
from fewshot_bench.methods.backbones import BACKBONES, TIMM, Backbone, find_backbone
from fewshot_bench.methods.pretrained import TimmTrunk, UnusableNetwork


def backbone_of(config: Config) -> Backbone:
    """The backbone of [model]. Raises UsageError for one that there is not, or a setting that it does not have."""
    model = config.model
    if not model.backbone.startswith(TIMM):
        choose(model.backbone, BACKBONES, "[model] backbone: unknown backbone")
    try:
        backbone = find_backbone(model.backbone)
    except UnusableNetwork as error:
        raise UsageError(f"[model] backbone = {model.backbone!r}: {error}") from None
    if model.drop_block and "drop_block" not in backbone.settings:
        known = ", ".join(name for name, b in BACKBONES.items() if "drop_block" in b.settings)
        raise UsageError(
            f"[model] drop_block = {model.drop_block}: {backbone.label} has no DropBlock; set it to 0, or backbone to "
            f"{known}"
        )
    for key in ("input_size", "normalisation", "weights"):
        if getattr(model, key) and key not in backbone.settings:
            raise UsageError(
                f"[model] {key}: {backbone.label} has no such choice; leave it out, or name a network of timm"
            )
    return backbone


def weights_of(config: Config) -> Path | str | None:
    """The file of initial weights of [model], or its content's name; None where there is none. Raises UsageError for
    what is no file."""
    named = config.model.weights
    if not named or named.startswith(BY_CONTENT):
        return named or None
    path = Path(named).expanduser()
    if not path.is_file():
        raise UsageError(f"[model] weights = {named!r} is not a file")
    return path


def check_network(config: Config) -> None:
    """Raise UsageError unless a network of timm can be built with its weights, before anything is prepared for it."""
    model, weights = config.model, weights_of(config)
    if model.backbone.startswith(TIMM) and not isinstance(weights, str):
        try:
            TimmTrunk(model.backbone.removeprefix(TIMM), model.input_size, 0, weights, model.normalisation)
        except UnusableNetwork as error:
            raise UsageError(f"[model] {'weights' if weights else 'backbone'}: {error}") from None


def check_size(backbone: Backbone, images: ImageSet) -> None:
    """Raise UsageError for images that a backbone cannot take."""
    height, width = images.images.shape[2:]
    if height != width or height < backbone.smallest:
        raise UsageError(
            f"{images.name}: its images are {height}x{width} pixels, but {backbone.label} needs squares of at least "
            f"{backbone.smallest}: set image_size in [data]"
        )
