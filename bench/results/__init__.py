"""Remembering it: the results database, long tables, and what is collected from them for tables."""
