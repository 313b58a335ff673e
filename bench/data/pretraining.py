"""Whether a network has seen the classes that it is tested on: in its pretraining, or across data sets."""

import re

from fewshot_bench.config import ModelConfig
from fewshot_bench.data.images import ClassSplit, ImageSet

# what weights were trained on -> the class names of data sets that were taken from it, as miniImageNet, tieredImageNet
# and Tiny ImageNet were from ImageNet, whose classes are called by their WordNet ids
TAKEN_FROM = {name: re.compile("n[0-9]{8}") for name in ("imagenet", "imagenet-1k", "imagenet-21k")}


def seen_in_pretraining(model: ModelConfig, images: ImageSet, split: ClassSplit) -> str:
    """What a table has to say of its novel classes where networks start from a file of weights; a sentence, or ""."""
    if not model.weights:
        return ""
    origin = model.pretrained_on
    if not origin:
        return "Pretrained weights: nobody said on what ([model] pretrained_on); it may have held the novel classes."
    names = [images.class_names[c] for c in split.novel]
    if origin.lower() not in TAKEN_FROM:
        return f"Pretrained on {origin}: whether it holds the novel classes is not known here."
    seen = sum(bool(TAKEN_FROM[origin.lower()].fullmatch(name)) for name in names)
    if not seen:
        return f"Pretrained on {origin}: none of the {len(names)} novel classes is named as its classes are."
    return (
        f"WARNING: pretrained on {origin}, which holds {seen} of the {len(names)} novel classes: these networks have "
        "seen the classes that they are tested on, and their accuracies are not few-shot accuracies."
    )


def seen_in_training(images: ImageSet, other: ImageSet, split: str) -> str:
    """What a table has to say where novel classes of the other set are called as base classes trained on; or ""."""
    base = {images.class_names[c] for c in images.split(split).base}
    novel = [other.class_names[c] for c in other.split(split).novel]
    seen = sum(name in base for name in novel)
    if not seen:
        return ""
    return (
        f"WARNING: {seen} of the {len(novel)} novel classes of {other.name} are called as base classes of "
        f"{images.name}: networks were trained on them if they are the same."
    )
