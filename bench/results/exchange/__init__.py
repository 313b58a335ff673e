"""Results as long tables, one row an episode: out, and back in."""
