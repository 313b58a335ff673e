"""Everything that may happen to a run and its database, done many times: `python -m benchmarks.soak`."""
