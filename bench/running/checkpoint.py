"""Weights on disk: safetensors, written whole or not at all, finished ones named by their content."""

import hashlib
import json
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fewshot_bench.errors import BenchError
from fewshot_bench.files import remove_leftovers
from fewshot_bench.running.weights import LARGEST_BYTES, content_of, forbidden, write_weights


class Unusable(Exception):
    """The state of an interrupted training cannot be gone on from; the message is one line."""


class Named(Protocol):
    """A training, or what stands for one."""

    @property
    def key(self) -> str:
        """Of 16 hex digits."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the key is the hash of."""


class Checkpoints:
    """The folder of one results database's checkpoints.

    fetch: gives the content of finished weights by their SHA-256 that another machine may have made, or None
    """

    def __init__(self, folder: Path, fetch: Callable[[str], bytes | None] = lambda _: None) -> None:
        self._folder, self._fetch = folder, fetch
        remove_leftovers(folder)

    def save_partial(self, training: Named, state: dict[str, Tensor]) -> None:
        """Replace the state that an interrupted training goes on from."""
        owner = {"training": training.key, "identity": _text(training.identity)}
        content = save(state, owner)
        self._write(self._partial(training.key), hashlib.sha256(content).hexdigest().encode() + content)

    def load_partial(self, training: Named) -> dict[str, Tensor] | None:
        """The state to go on from; None if there is none.

        Raises Unusable where the file is damaged or another training's; it is put aside then, and gone next time.
        Raises BenchError where it can be neither read nor put aside.
        """
        path = self._partial(training.key)
        try:
            status = path.stat()
            bounded = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_BYTES
            content = path.read_bytes() if bounded else b""  # a pipe would be waited for
        except PermissionError as error:
            raise forbidden(path, error) from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            # its own hash stands in front: a damaged state must not be trained on
            if content[:64] != hashlib.sha256(content[64:]).hexdigest().encode():
                raise Unusable("it is damaged")
            state, owner = load(content[64:]), _owner(content[64:])
            if owner.get("training") != training.key or owner.get("identity") != _text(training.identity):
                raise Unusable(f"it is the state of {owner.get('training', 'no training that it names')}")
        except (Unusable, SafetensorError) as error:
            raise self.put_aside(training, str(error)) from None
        return state

    def put_aside(self, training: Named, why: str) -> Unusable | BenchError:
        """Take away the state that a training cannot be gone on from; what is to be raised."""
        path = self._partial(training.key)
        aside = path.with_name(f"{path.name}.unusable")
        try:
            path.replace(aside)
        except FileNotFoundError:  # another process took it away
            pass
        except OSError as error:
            again = "move it away and run the same command again"
            return BenchError(f"{path}: {why}, and cannot be moved ({error.strerror}); {again}")
        return Unusable(f"{path}: {why}: it was not used and is now {aside.name}; training {training.key} starts anew")

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
        content = self.finished(sha256)
        try:
            return None if content is None else load(content)
        except SafetensorError:
            return None

    def finished(self, sha256: str) -> bytes | None:
        """The content of the file of finished weights, fetched if it is not here; None if there is none."""
        content = content_of(self._finished(sha256), sha256)
        if content is not None:
            return content
        fetched = self._fetch(sha256)
        if fetched is None or hashlib.sha256(fetched).hexdigest() != sha256:
            return None
        self._write(self._finished(sha256), fetched)
        return fetched

    def _partial(self, training_key: str) -> Path:
        return self._folder / f"{training_key}.partial"

    def _finished(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.safetensors"

    def _write(self, path: Path, content: bytes) -> None:
        write_weights(path, content, "make room or choose another --out, and run the same command again")


def _text(identity: dict[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _owner(content: bytes) -> dict[str, str]:
    """What a file of safetensors says of itself."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    found = json.loads(header).get("__metadata__", {})
    return dict(found)
