"""Sentences of papers with their readings, as data."""
