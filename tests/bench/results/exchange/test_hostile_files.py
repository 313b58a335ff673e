"""Files to import that were made to be waited for, or to take the memory: refused in one line, before they do."""

import lzma
import os
import resource

import pytest

from fewshot_bench.errors import UsageError
from fewshot_bench.results.exchange.long_file import LONGEST_LINE, REQUIRED, read_rows


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "long.csv")
    with pytest.raises(UsageError, match="it is not a regular file"):
        list(read_rows(tmp_path / "long.csv"))


def test_a_line_without_an_end(tmp_path):
    (tmp_path / "long.csv").write_bytes(b"\0" * 100)
    os.truncate(tmp_path / "long.csv", 4 << 30)
    with pytest.raises(UsageError, match="a line has 16,777,216 letters or more"):
        list(read_rows(tmp_path / "long.csv"))


def test_a_packed_line_without_an_end(tmp_path):
    (tmp_path / "long.csv.xz").write_bytes(lzma.compress(b"a" * 2 * LONGEST_LINE))
    with pytest.raises(UsageError, match="a line has 16,777,216 letters or more"):
        list(read_rows(tmp_path / "long.csv.xz"))


def test_long_texts_that_a_parquet_file_repeats(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pyarrow.array([letter * (1 << 20) for letter in "abcde"])
    repeated = pyarrow.DictionaryArray.from_arrays(pyarrow.array([row % 5 for row in range(3000)]), texts)
    file = tmp_path / "long.parquet"
    parquet.write_table(pyarrow.table(dict.fromkeys(REQUIRED, repeated)), file, compression="zstd")
    assert file.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=f"from row 1: 200 rows have {LONGEST_LINE:,} letters or more"):
        list(read_rows(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10  # KiB; as rows these are 15 GB
