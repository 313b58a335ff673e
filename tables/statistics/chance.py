"""Whether answers are worse than guessing."""

import math

from fewshot_bench.tables.statistics.estimate import Estimate, Source


def p_below_chance(n_correct: int, n_queries: int, over_episodes: Estimate, n_episodes: int, chance: float) -> float:
    """The larger p-value of the binomial test over queries and of Student's t over episodes; 1 above chance.

    The queries of an episode share its classes and support, so the binomial test alone finds too much; a few episodes
    that happen to agree would fool the t-test alone. Accuracies near zero are skewed, and a low mean has a low spread:
    at chance it is taken to be larger in proportion. But not above `chance`, the most that answers can have which know
    nothing of the labels (Hoeffding 1951, variance of a random matching).
    """
    if over_episodes.mean >= chance:  # scipy takes 0.3 s to import
        return 1.0
    from scipy.special import bdtr

    deviation = over_episodes.error * math.sqrt(n_episodes)
    most = max(chance / deviation, 1.0)
    wider = min(chance / over_episodes.mean, most) if over_episodes.mean else most
    of_means = Estimate(over_episodes.mean, (Source(over_episodes.error * wider, n_episodes - 1),))
    return max(float(bdtr(n_correct, n_queries, chance)), of_means.p_value(chance, "less"))
