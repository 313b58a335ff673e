"""A few-shot image-classification benchmark: it decides what to run, runs it and remembers it.

Start reading at `runner.py`, where a model is trained and tested: `Method.step` is the next hop, and the science.
`cli/session.py` is where a run's plan, its work and the database meet. ARCHITECTURE.md has the map.
"""

__version__ = "0.1.0"
