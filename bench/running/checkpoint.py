"""Weights on disk: safetensors, written whole or not at all, finished ones named by their content."""

import hashlib
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fewshot_bench.files import remove_leftovers
from fewshot_bench.running.weights import write_weights


class Checkpoints:
    """The folder of one results database's checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        remove_leftovers(folder)

    def save_partial(self, training_key: str, state: dict[str, Tensor]) -> None:
        """Replace the state that an interrupted training goes on from."""
        self._write(self._partial(training_key), _pack(state))

    def load_partial(self, training_key: str) -> dict[str, Tensor] | None:
        """The state to go on from; None if there is none, or none that can be read."""
        path = self._partial(training_key)
        try:
            content = path.read_bytes()
        except OSError:  # a folder that cannot be read cannot be written either: saving will say so
            return None
        # its own hash stands in front: a damaged state must not be trained on, only lost
        if content[:64] != hashlib.sha256(content[64:]).hexdigest().encode():
            return None
        return load(content[64:])

    def drop_partial(self, training_key: str) -> None:
        """Forget the state of a training that is recorded as finished or failed: nothing may go on from it."""
        with suppress(OSError):  # missing; or it cannot be removed, and then it costs room and nothing else
            self._partial(training_key).unlink()

    def save_finished(self, state: dict[str, Tensor]) -> str:
        """Store finished weights; returns the SHA-256 that names them."""
        content = save(state)
        sha256 = hashlib.sha256(content).hexdigest()
        self._write(self._finished(sha256), content)
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether weights of that SHA-256 are stored whole."""
        return self.load_finished(sha256) is not None

    def load_finished(self, sha256: str) -> dict[str, Tensor] | None:
        """The weights of that SHA-256; None if the file is missing or damaged."""
        try:
            content = self._finished(sha256).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            return None
        try:
            return load(content)
        except SafetensorError:
            return None

    def _partial(self, training_key: str) -> Path:
        return self._folder / f"{training_key}.partial"

    def _finished(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.safetensors"

    def _write(self, path: Path, content: bytes) -> None:
        write_weights(path, content, "make room or choose another --out, and run the same command again")


def _pack(state: dict[str, Tensor]) -> bytes:
    content = save(state)
    return hashlib.sha256(content).hexdigest().encode() + content
