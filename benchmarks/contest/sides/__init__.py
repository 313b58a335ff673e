"""One file a side. Each has METHODS: name -> builder(work, tasks, dtype) -> (step, parameters by name)."""
