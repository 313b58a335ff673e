"""The tables of the results database, as they are now; `migrations/` leads here from every earlier version.

Episodes are integers, so that equal results are equal bytes. Rows of episodes are never changed; a cell grows
by more of them and carries a SHA-256 over all. `checksums.py` says what the sums and checksums are of.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()


def _sum(name: str) -> Column[str]:
    return Column(name, String(16), nullable=False, server_default="0" * 16)


runs = Table(  # one invocation of `bench run`: where the rows below come from
    "runs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("started_at", String(32), nullable=False),  # ISO 8601, UTC
    Column("ended_at", String(32)),
    Column("exit_code", Integer),
    Column("command", Text, nullable=False),
    Column("git_commit", String(40), nullable=False),
    Column("git_dirty", Boolean),
    Column("facts", Text, nullable=False),  # JSON: versions, hardware, threads
    _sum("checksum"),
)

trainings = Table(
    "trainings",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("identity", Text, nullable=False),  # canonical JSON: what the key is the hash of
    Column("method", String(100), nullable=False),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),  # the run whose weights these are, or is at it
    Column("state", String(10), nullable=False),  # running, finished, failed
    Column("iteration", Integer, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("images_seen", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("device", String(100), nullable=False),
    Column("checkpoint", String(64), nullable=False),  # SHA-256 of the weights' file; empty until finished
    Column("reason", Text, nullable=False),  # of a failure
    _sum("curves_sum"),
    _sum("checksum"),
)

cells = Table(
    "cells",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("identity", Text, nullable=False),
    Column("training_key", String(16), ForeignKey("trainings.key"), nullable=False, index=True),
    Column("label", String(300), nullable=False, index=True),  # what was asked for, in names: finds stale cells
    Column("variant", String(100), nullable=False),
    Column("n_way", Integer, nullable=False),
    Column("n_shot", Integer, nullable=False),
    Column("n_query", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
    Column("command", Text, nullable=False),  # repeats this one cell
    Column("n_episodes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),  # over its episodes
    Column("seconds", Float, nullable=False),
    Column("reason", Text, nullable=False),
    _sum("answers_sum"),
    _sum("runs_sum"),  # over which run made which episode
    _sum("checksum"),
)

episodes = Table(
    "episodes",
    metadata,
    Column("cell_key", String(16), ForeignKey("cells.key"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # in the bank
    Column("episode_id", String(16), nullable=False),
    Column("n_correct", Integer, nullable=False),
    Column("n_queries", Integer, nullable=False),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
)

answers = Table(  # apart from `episodes`, so that tables are read without them
    "answers",
    metadata,
    Column("cell_key", String(16), ForeignKey("cells.key"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("labels", LargeBinary, nullable=False),  # see records.Answers
)

curves = Table(
    "curves",
    metadata,
    Column("training_key", String(16), ForeignKey("trainings.key"), primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("name", String(50), primary_key=True),
    Column("value", Float, nullable=False),
)

weights = Table(  # finished ones, where `[run] weights` says that they travel in the database
    "weights",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the content, which trainings name
    Column("content", LargeBinary, nullable=False),  # a file of safetensors
)

data_sets = Table(  # what results are of: enough to read them without the images
    "data_sets",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("name", String(300), nullable=False),
    Column("source", Text, nullable=False),  # as the last run named it
    Column("outline", Text, nullable=False),  # JSON, see `data/images.py`
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),  # the last run that used it
    _sum("checksum"),
)

census = Table(  # how many rows there are, and their keys' exclusive or
    "census",
    metadata,
    Column("name", String(20), primary_key=True),  # of the table
    Column("n", Integer, nullable=False),
    Column("keys", String(32), nullable=False),
)

owners = Table(  # a process that does units of work; it counts on as long as it lives
    "owners",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", String(255), nullable=False),  # what names it on its host, see `machine.process`
    Column("counter", BigInteger, nullable=False),
    _sum("checksum"),  # over all but the counter
)

claims = Table(  # a unit of work that somebody is at
    "claims",
    metadata,
    Column("unit", String(40), primary_key=True),  # "training KEY" or "cell KEY"
    Column("owner", String(32), ForeignKey("owners.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),  # for people
    Column("since", String(32), nullable=False),  # for people: ISO 8601, UTC
    _sum("checksum"),
)

# for pandas, DuckDB and Datasette; this program reads none of them
VIEWS = {
    "accuracy": (
        "CREATE VIEW accuracy AS SELECT c.key AS cell_key, c.variant, c.n_way, c.n_shot, c.seed, c.label, "
        "count(*) AS n_episodes, avg(1.0 * e.n_correct / e.n_queries) AS accuracy "
        "FROM cells c JOIN episodes e ON e.cell_key = c.key "
        "GROUP BY c.key, c.variant, c.n_way, c.n_shot, c.seed, c.label"
    ),
    "accuracy_by_episode": (
        "CREATE VIEW accuracy_by_episode AS SELECT c.key AS cell_key, c.variant, c.n_way, c.n_shot, c.seed, c.label, "
        "e.number, e.episode_id, 1.0 * e.n_correct / e.n_queries AS accuracy "
        "FROM cells c JOIN episodes e ON e.cell_key = c.key"
    ),
}
