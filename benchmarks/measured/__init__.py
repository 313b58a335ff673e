"""Writes docs/results.md and docs/answer.md from the results that come with the package: no number in them is typed.

python -m benchmarks.measured          writes both, and the plot of the answer
"""
