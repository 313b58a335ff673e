"""One small file a data format or layout; `fewshot_bench.data` names them all."""
