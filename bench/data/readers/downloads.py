"""Data sets that torchvision downloads from where they are published, and checks by their MD5.

torchvision's own readers are not used: they open pickles with `pickle.load` and unpack archives to the disk.
"""

import contextlib
import http.client
import io
import os
import socket
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fewshot_bench.data.format import Progress
from fewshot_bench.data.readers.faults import reason
from fewshot_bench.errors import DataError

FOLDER = "downloads"  # below the cache
TIMEOUT_SECONDS = 30.0  # without an answer


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A source that may have to be fetched first; `downloads`: the folder to keep its files in."""

    downloads: Path = Path(FOLDER)


def fetch(url: str, md5: str, folder: Path, progress: Progress) -> Path:
    """A published file in a folder, downloaded unless it is there already.

    It appears there whole and with its checksum, or not at all. Raises DataError when it cannot be had.
    """
    from torchvision.datasets.utils import check_integrity, download_url  # here: it takes seconds to import

    path = folder / url.rpartition("/")[2]
    if check_integrity(path, md5):
        return path
    progress(f"downloading {path.name}", 0, 1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".downloading-") as temporary, _quick_and_quiet():
            download_url(url, temporary, path.name, md5)
            os.replace(Path(temporary) / path.name, path)
    except RuntimeError:
        raise DataError(f"what {url} sends is not the published file (its MD5 differs): try another network") from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot download {url} to {folder} ({_cause(error)}): fetch it by other means and put it there"
        ) from None
    progress(f"downloading {path.name}", 1, 1)
    return path


@contextlib.contextmanager
def _quick_and_quiet() -> Iterator[None]:
    """Gives up on a server that is silent, and hides torchvision's progress bar, which would cut through ours."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _cause(error: Exception) -> str:
    """ "Connection refused": what went wrong, in words."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(inner, "strerror", None) or reason(inner if isinstance(inner, Exception) else error)
