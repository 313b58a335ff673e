"""The class lists of published splits, shipped as data, and how a data set's classes compare with them."""

from fewshot_bench.data.splits.comparing import Match, compare, recognise, shortened
from fewshot_bench.data.splits.lists import NAMES, Standard, lists, of_classes, standard

__all__ = ["NAMES", "Match", "Standard", "compare", "lists", "of_classes", "recognise", "shortened", "standard"]
