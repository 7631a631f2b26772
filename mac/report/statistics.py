"""Uncertainty of an accuracy."""

from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)


def wilson(correct: float, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927), as if videos were independent.

    Args:
        correct: successes, 0 … total; a mean over runs may be fractional.
        total: trials, ≥ 1.

    Returns:
        Lower and upper limit in [0, 1].
    """
    share = correct / total
    centre = share + Z * Z / (2 * total)
    half = Z * (share * (1 - share) / total + Z * Z / (4 * total * total)) ** 0.5
    scale = 1 + Z * Z / total
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)
