"""A stored result computed again, and what changed since one was stored."""
