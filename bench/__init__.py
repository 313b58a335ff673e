"""A few-shot image-classification benchmark: it decides what to run, runs it and remembers it.

Start reading at `cli/run.py` (what happens), `runner.py` (how a model is trained and tested) and
`methods/` (the science). ARCHITECTURE.md has the map.
"""

__version__ = "0.1.0"
