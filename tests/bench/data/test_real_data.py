"""Real photographs, where there are any: BENCH_REAL_DATA names a folder or archive in a known layout."""

import os
import time

import numpy as np
import pytest

from fewshot_bench.data import open_images

REAL_DATA = os.environ.get("BENCH_REAL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA, reason="BENCH_REAL_DATA names no data set")
def test_real_photographs_open_again_in_under_a_second(shared_cache):
    first = open_images(str(REAL_DATA), shared_cache)
    start = time.process_time()
    second = open_images(str(REAL_DATA), shared_cache)
    assert time.process_time() - start < 1
    assert first.fingerprint == second.fingerprint
    assert len(second.images) == len(second.class_ids)
    assert second.images.shape[1] == 3
    assert min(len(indices) for indices in second.images_of_class) >= 2
    spread = np.asarray(second.images[:: len(second.images) // 200], np.float64).std(axis=(1, 2, 3))
    assert (spread > 1).mean() > 0.99, "photographs are not blank"
    split = second.split("paper")
    assert not set(split.base) & set(split.novel)
