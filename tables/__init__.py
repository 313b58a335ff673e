"""Numbers -> statistics -> tables: `summary` averages, `render` prints, `regression` compares."""
