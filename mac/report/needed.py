"""How many seeds or test videos would decide what is undecided."""

from mac.report.differences import SEEDS_WANTED
from mac.report.statistics import LEVEL, Z

MOST_SEEDS = 100


def would_decide(
    gap: float, video: float, videos: int, per_seed: float, sides: int = 2, fixed: float = 0.0, done: int = 0
) -> str:
    """Say what would decide a question if the numbers stay as they are.

    Args:
        gap: distance of the estimate from the value that would decide otherwise [points], ≥ 0.
        video: variance over source groups, with these test videos [points²].
        videos: how many these are.
        per_seed: variance of one seed, summed over the sides that are run [points²].
        sides: how many sides are run.
        fixed: variance that no run of ours makes smaller [points²].
        done: seeds that were run already.
    """
    from scipy.special import stdtrit

    for seeds in range(max(SEEDS_WANTED, done + 1), MOST_SEEDS + 1):
        if stdtrit(sides * (seeds - 1), 1 - LEVEL / 2) ** 2 * (video + fixed + per_seed / seeds) <= gap**2:
            return f"about {seeds} seeds{' a side' if sides > 1 else ''} would decide a gap of this size"
    room = (gap / Z) ** 2 - fixed - per_seed / MOST_SEEDS
    if room <= 0 and fixed:
        return "no number of seeds or videos decides a gap of this size: the other number is of a single run"
    if room <= 0 or (wanted := video * videos / room) > 1_000_000:
        return "a gap of this size is too small to be decided"
    return f"no number of seeds decides a gap of this size on {videos:,} videos; about {wanted:,.0f} videos would"
