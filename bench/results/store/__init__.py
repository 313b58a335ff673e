"""The results database; only this folder imports sqlalchemy."""

from fewshot_bench.results.store.claiming import Claims
from fewshot_bench.results.store.reading import Reader
from fewshot_bench.results.store.transactions import patient, upgrade
from fewshot_bench.results.store.writing import Writer

__all__ = ["Claims", "Reader", "Writer", "patient", "upgrade"]
