"""Any network of timm as a backbone ("timm:NAME"), with weights from a file; nothing is ever downloaded.

Images are resized (bicubic) to the size that the network was made for, or to `input_size`, and normalised by the mean
and deviation that timm names for its own weights, or by those that `normalisation` names; grey ones become three equal
channels. Its batch-norm layers are replaced by ours, which normalise as the method says, and which start with the
file's moments.
"""

import pickle
import stat
import zipfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.resnets import ModuleTrunk, TaskNorm
from fewshot_bench.methods.trunk import Moments, Weights

# mean and deviation of red, green and blue, as timm and others name them
PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
LARGEST_BYTES = 2**32  # of a file of weights, and of what it unpacks to


class UnusableNetwork(ValueError):
    """A network that cannot be built, or a file that holds no weights of it; one line that says why."""


class TimmTrunk(ModuleTrunk):
    """A network of timm without its classifier."""

    def __init__(self, name: str, input_size: int, seed: int, weights: Path | None, normalisation: str = "") -> None:
        """seed: of the initial weights, timm's own; weights: a file that they come from instead.

        normalisation: what those weights were trained with, where it is not what timm names

        Raises UnusableNetwork.
        """
        import timm

        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            try:
                sized: Any = {"img_size": input_size} if input_size and _is_sized(name) else {}
                net: Any = timm.create_model(name, pretrained=False, num_classes=0, **sized)
            except (RuntimeError, TypeError, ValueError, AssertionError) as error:
                raise UnusableNetwork(f"timm cannot make {name}: {_one_line(error)}") from None
        made_for = net.pretrained_cfg
        for parent in list(net.modules()):
            for child, layer in parent.named_children():
                if isinstance(layer, nn.BatchNorm2d):
                    setattr(parent, child, _NormThenAct(layer))
        if weights:
            _load(net, weights)
        try:
            super().__init__(net, net.num_features)
        except ValueError:
            raise UnusableNetwork(f"{name} has buffers that are no moments of batch-norm: it cannot be used") from None
        self._side = input_size or made_for["input_size"][-1]
        mean, std = PIXELS[normalisation] if normalisation else (made_for["mean"], made_for["std"])
        self._pixels = tuple(zip(mean, std, strict=True))

    def forward(
        self,
        weights: Weights,
        images: Tensor,
        statistics: int | Moments | None = None,
        observed: Moments | None = None,
    ) -> Tensor:
        """See `Trunk.forward`."""
        return super().forward(weights, self._seen(images), statistics, observed)

    def _seen(self, images: Tensor) -> Tensor:
        """Images (T, N, C, H, W) as the network takes them, (T, N, 3, side, side)."""
        flat = images.flatten(0, 1)
        if flat.shape[-1] != self._side:
            flat = F.interpolate(flat, self._side, mode="bicubic", antialias=True).clamp(0, 1)
        channels = flat.expand(-1, 3, -1, -1).unbind(1)
        normalised = torch.stack([(x - mean) / std for x, (mean, std) in zip(channels, self._pixels, strict=True)], 1)
        return normalised.view(*images.shape[:2], 3, self._side, self._side)


class _NormThenAct(TaskNorm):
    """In place of a batch-norm layer, and of timm's with an activation in it; parameters keep their names."""

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__(layer.num_features, layer.eps)
        self.load_state_dict({name: value for name, value in layer.state_dict().items() if not _counts(name)})
        self.drop = getattr(layer, "drop", nn.Identity())
        self.act = getattr(layer, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W), normalised, and what comes after."""
        after: Tensor = self.act(self.drop(super().forward(x)))
        return after


def check_name(name: str) -> None:
    """Raise UnusableNetwork unless timm is installed and has a network of that name."""
    try:
        import timm
    except ImportError as error:
        raise UnusableNetwork(f"timm is needed: pip install 'fewshot-bench[timm]' ({error})") from None
    if not timm.is_model(name):  # a name that a download would be needed for is none either
        near = timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]
        raise UnusableNetwork(f"timm has no network {name!r}" + (f"; it has {', '.join(near)}" if near else ""))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of safetensors, or of a state dict as torch.save writes it, by name.

    Nothing in it is executed, and no more than LARGEST_BYTES are read. Raises UnusableNetwork.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableNetwork(f"{path} is not a regular file")
        packed = [status.st_size]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                packed += [entry.file_size for entry in archive.infolist()]
        if max(status.st_size, sum(packed[1:])) > LARGEST_BYTES:
            raise UnusableNetwork(f"{path} holds more than {LARGEST_BYTES >> 30} GiB")
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnusableNetwork(f"{path} cannot be read: {error.strerror or error}") from None
    except UnusableNetwork:
        raise
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, MemoryError, KeyError) as error:
        raise UnusableNetwork(f"{path} holds no weights that can be read safely: {_one_line(error)[:200]}") from None
    except Exception as error:  # noqa: BLE001  # SafetensorError, and whatever a damaged pickle makes of itself
        raise UnusableNetwork(f"{path} is damaged: {_one_line(error)[:200]}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _load(net: nn.Module, path: Path) -> None:
    """Put a file's tensors into a network: by name; or in their order, where kind and shape of each agree.

    What the file has besides, a classifier, is left.
    """
    wanted = net.state_dict()
    given = {name: value for name, value in read_weights(path).items() if not _counts(name)}
    if not wanted.keys() <= given.keys():  # the same network by another library has other names
        kinds = [[name.rsplit(".", 1)[-1] for name in names] for names in (wanted, list(given)[: len(wanted)])]
        if kinds[0] != kinds[1]:
            missing = next(name for name in wanted if name not in given)
            raise UnusableNetwork(f"{path} holds weights of another network: {missing} is not among them")
        given = dict(zip(wanted, given.values(), strict=False))
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            shapes = f"{tuple(given[name].shape)}, not {tuple(value.shape)}"
            raise UnusableNetwork(f"{path} holds weights of another network: {name} has the shape {shapes}")
    net.load_state_dict({name: given[name] for name in wanted})


def _counts(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _is_sized(name: str) -> bool:
    """Whether a network is built for one size of image, as those with a position for each patch are."""
    import timm

    return bool(getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
