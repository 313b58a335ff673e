"""A PostgreSQL server: a package's own, or the one that BENCH_TEST_POSTGRESQL names."""

import itertools
import os
from collections.abc import Callable, Iterator

import psycopg
import pytest

from benchmarks.postgresql import Server, server

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """One that may be stopped."""
    with server() as found:
        yield found


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make an empty database; its URL."""
    named = os.environ.get("BENCH_TEST_POSTGRESQL")
    own = None if named else request.getfixturevalue("own_server")

    def make() -> str:
        name = f"bench_test_{os.getpid()}_{next(NUMBERS)}"
        if own:
            return str(own.database(name))
        with psycopg.connect(str(named), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{str(named).rpartition('/')[0]}/{name}"

    return make
