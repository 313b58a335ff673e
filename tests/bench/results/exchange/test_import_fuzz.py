"""`bench import`: whatever is changed in a table, it is imported or refused in one line."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_bench.errors import UsageError
from fewshot_bench.results.exchange import export as exchange
from fewshot_bench.results.exchange.importing import merge_file
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.snapshot import snapshot

OURS = "out/results.sqlite"
JSON_COLUMNS = ("cell_facts", "training_facts", "curves", "unmeasured")


NASTY = st.sampled_from(
    ["", "NA", "nan", "-1", "1e9", "0x10", "9" * 40, "\0", "\ud7ff", "{}", "[]", "null", '{"identity": {}}', "x", "x0g",
     "=1+1", "0" * 16, "f" * 16, "0.0", " 3 ", "١", "true", "a" * 200, '{"identity": {"setting": {"n_way": 1e400}}}']
)  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def imported(path: Path, where: Path, provenance: Provenance) -> None:
    """It is imported or refused, in one line and leaving no trace; nothing else may happen."""
    where.unlink(missing_ok=True)
    refused = ""
    try:
        merge_file(path, str(where), provenance)
    except UsageError as error:
        refused = str(error)
    assert "\n" not in refused
    assert where.exists() == (not refused)
    assert refused or Reader(str(where)).counts().episodes > 0


FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.data())
def test_no_changed_field_ends_in_a_traceback(data, all_rows, folder, provenance, write):
    rows = [dict(row) for row in all_rows]
    for _ in range(data.draw(st.integers(1, 3))):
        row, column = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(sorted(rows[0])))
        row[column] = data.draw(NASTY | st.text(max_size=20))
    rows = data.draw(st.permutations(rows) | st.just(rows))
    write(str(folder / "x.csv"), rows[: data.draw(st.integers(1, len(rows)))])
    imported(folder / "x.csv", folder / "x.sqlite", provenance)


@FUZZ
@given(data=st.data())
def test_no_changed_fact_ends_in_a_traceback(data, all_rows, folder, provenance, write):
    rows = [dict(row) for row in all_rows]
    column = data.draw(st.sampled_from(JSON_COLUMNS))
    facts = json.loads(rows[0][column])
    place = facts
    while isinstance(place, dict | list) and place:
        names = sorted(place) if isinstance(place, dict) else range(len(place))
        name = data.draw(st.sampled_from(list(names)))
        if data.draw(st.booleans()) or not isinstance(place[name], dict | list):
            place[name] = data.draw(VALUES)
            break
        place = place[name]
    rows[0][column] = json.dumps(facts)
    write(str(folder / "x.csv"), rows)
    imported(folder / "x.csv", folder / "x.sqlite", provenance)


@FUZZ
@given(data=st.data(), name=st.sampled_from(["all.csv", "all.parquet"]))
def test_no_changed_bytes_end_in_a_traceback(data, name, all_rows, filled, folder, provenance):
    if not Path("all.parquet").exists():
        with snapshot(OURS) as whole, Path("all.parquet").open("wb") as file:
            exchange.write_parquet(exchange.long_rows(whole), file)
    content = bytearray(Path(name).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    imported(folder / name, folder / "x.sqlite", provenance)
