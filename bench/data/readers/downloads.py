"""Data sets that are downloaded from where they are published, and checked by the MD5 that torchvision knows.

torchvision's own readers are not used: they open pickles with `pickle.load` and unpack archives to the disk. Nor is its
download, which has no limits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fewshot_bench.data.format import Progress
from fewshot_bench.data.readers.faults import reason
from fewshot_bench.errors import DataError
from fewshot_bench.files import remove_leftovers, temporary
from fewshot_bench.machine import Background

FOLDER = "downloads"  # below the cache
TIMEOUT_SECONDS = 30.0  # without an answer
LONGEST_SECONDS = 3600.0  # of a whole download: 169 MB at 50 kB/s
MAX_BYTES = 256 << 20  # of a file; CIFAR-100 has 169 MB
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A source that may have to be fetched first; `downloads`: the folder to keep its files in."""

    downloads: Path = Path(FOLDER)


def fetch(url: str, md5: str, folder: Path, progress: Progress) -> Path:
    """A published file in a folder, downloaded unless it is there already.

    It appears there whole and with its checksum, or not at all. Raises DataError when it cannot be had.
    """
    from http.client import HTTPException  # here: who reads files of arrays needs none of these

    from torchvision.datasets.utils import check_integrity

    path = folder / url.rpartition("/")[2]
    new = temporary(path)
    if check_integrity(path, md5):
        return path
    progress(f"downloading {path.name}", 0, 1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        _download(url, new)
        if not check_integrity(new, md5):
            raise DataError(f"what {url} sends is not the published file (its MD5 differs): try another network")
        new.replace(path)
    except (OSError, HTTPException) as error:
        raise DataError(
            f"cannot download {url} to {folder} ({_cause(error)}): fetch it by other means and put it there"
        ) from None
    finally:
        new.unlink(missing_ok=True)
    progress(f"downloading {path.name}", 1, 1)
    return path


def _download(url: str, path: Path) -> None:
    """Raises OSError, also for what is too large or takes too long.

    A thread of its own listens: a server can hold up its headers, too, byte by byte and each in time.
    """
    failed: list[Exception] = []

    def listen() -> None:
        try:
            with file:
                _receive(url, file)
        except Exception as error:  # noqa: BLE001  # raised again below
            failed.append(error)

    file = path.open("wb")
    listener = Background(target=listen)
    listener.start()
    listener.join(LONGEST_SECONDS)
    if listener.is_alive():
        raise OSError(f"it takes longer than {LONGEST_SECONDS / 60:,.0f} minutes")
    if failed:
        raise failed[0]


def _receive(url: str, file: IO[bytes]) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    left = MAX_BYTES
    request = Request(url, headers={"User-Agent": "fewshot-bench"})
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            while piece := answer.read1(PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    raise OSError(f"it sends more than {MAX_BYTES >> 20} MiB")
                file.write(piece)
    except HTTPError as refused:
        refused.close()  # it holds the connection
        raise


def _cause(error: Exception) -> str:
    """ "Connection refused": what went wrong, in words."""
    from urllib.error import URLError

    inner = error.reason if isinstance(error, URLError) else error
    return getattr(inner, "strerror", None) or reason(inner if isinstance(inner, Exception) else error)
