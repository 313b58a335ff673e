"""What `bench status` looks at: the database, its alarms, and the jobs of an engine."""

from fewshot_bench.doctor.stored_alarms import overview
from fewshot_bench.running.engines.jobs import jobs_at

__all__ = ["jobs_at", "overview"]
