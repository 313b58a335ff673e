"""The results database; only this folder imports sqlalchemy."""

from fewshot_bench.results.store.engine import upgrade
from fewshot_bench.results.store.reading import Reader
from fewshot_bench.results.store.writing import Writer

__all__ = ["Reader", "Writer", "upgrade"]
