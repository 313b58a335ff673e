"""How many bytes a row of episodes and of answers takes on a PostgreSQL server, with its share of the index.

python -m benchmarks.rows
"""

import os

from sqlalchemy import insert, text

from benchmarks.postgresql import server
from fewshot_bench.results.store.engine import open_engine
from fewshot_bench.results.store.schema import answers, episodes

N_CELLS, N_EPISODES, N_QUERIES = 100, 600, 300  # 20-way cells with 15 queries a class


def main() -> None:
    """Write the rows and print what they take."""
    with server() as own:
        engine = open_engine(own.database("rows"), write=True)
        with engine.begin() as c:
            c.execute(text("SET session_replication_role = replica"))  # rows alone: no cells to refer to
            for cell in range(N_CELLS):
                keys = [{"cell_key": f"{cell:016x}", "number": number} for number in range(N_EPISODES)]
                counted = {"n_correct": 150, "n_queries": N_QUERIES, "run_id": 1}
                c.execute(insert(episodes), [key | counted | {"episode_id": os.urandom(8).hex()} for key in keys])
                c.execute(insert(answers), [key | {"labels": os.urandom(N_QUERIES)} for key in keys])
        with engine.begin() as c:
            for table in (episodes.name, answers.name):
                sizes = c.execute(text(f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}')")).one()
                rows, index = (size / (N_CELLS * N_EPISODES) for size in sizes)
                print(f"{table}: {rows:.0f} bytes a row, {index:.0f} of index")


if __name__ == "__main__":
    main()
