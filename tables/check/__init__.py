"""The regression check: stored accuracies, and what became of them."""
