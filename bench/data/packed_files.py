"""Archives of files that hold many images each: pickles, HDF5, .npz, Parquet. Unpacked aside, and read from there.

Which format it is shows by the names of the members alone; only the files that it reads are then unpacked, into a
temporary folder that is removed afterwards.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fewshot_bench.data.format import Format, ImageSink, Labels, Progress
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.archives import archive_name
from fewshot_bench.errors import DataError

SUFFIXES = (".pkl", ".pickle", ".npz", ".hdf5", ".parquet", "_labels.json")
MAX_FILES = 10_000  # of these, in an archive


def format_of(archive: Archive, formats: Mapping[str, Format]) -> str | None:
    """The name in `formats` of the one that the files in an archive have; None when they have none."""
    with _folder(archive) as folder:
        for file in _files(archive):  # empty ones: a format is told by their names
            try:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
            except OSError as error:
                raise DataError(f"{folder / file} has a name that cannot be unpacked ({error.strerror})") from None
        return next((name for name, known in formats.items() if known.recognises(str(folder))), None)


def decode(archive: Archive, known: Format, into: tuple[ImageSink, int | None, Progress]) -> Labels:
    """Unpack the files and decode them in their format; see `source.Source.decode`."""
    sink, image_size, progress = into
    with _folder(archive) as folder:
        progress("unpacking the archive", 0, 1)
        archive.write(_files(archive), folder)
        return known.find(str(folder)).decode(sink, image_size, progress)


def _files(archive: Archive) -> tuple[str, ...]:
    files = archive.files(SUFFIXES)
    if len(files) > MAX_FILES:
        raise DataError(f"{archive.path} holds more than {MAX_FILES:,} files of data")
    return files


@contextmanager
def _folder(archive: Archive) -> Iterator[Path]:
    """A temporary folder called like the data set; messages that name it name the archive instead."""
    try:
        temporary = TemporaryDirectory(prefix="fewshot-bench-")
    except OSError as error:
        raise DataError(f"{archive.path} cannot be unpacked ({error.strerror}): let TMPDIR name a folder") from None
    with temporary:
        folder = Path(temporary.name).resolve() / (archive_name(archive.path).strip(".") or "data")
        folder.mkdir()
        try:
            yield folder
        except DataError as error:
            text = str(error).replace(f"{folder}/", f"{archive.path}: ").replace(str(folder), str(archive.path))
            raise DataError(text) from None
