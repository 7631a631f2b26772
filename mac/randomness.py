"""Stateless randomness: every random number is a pure function of named keys.

No generator is carried through a run, so a value depends neither on the number of workers, nor on restarts, nor on
the order in which things happen: resuming a run needs only the step it stopped at.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

Key = int | str | np.ndarray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(word: np.ndarray) -> np.ndarray:
    """Apply the SplitMix64 finaliser (Steele, Lea and Flood 2014), a bijection of 64-bit words."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _word(key: Key) -> np.ndarray:
    if isinstance(key, str):
        return np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8).digest(), dtype="<u8")[0]
    return np.asarray(key, dtype=np.int64).astype(np.uint64)


def uniform(keys: Sequence[Key], count: int) -> np.ndarray:
    """Draw numbers uniformly from [0, 1).

    Args:
        keys: what the draw is for, e.g. ``(seed, "crop", epoch, videos, view)``. Integer arrays broadcast: one
            independent draw per element.
        count: numbers per draw.

    Returns:
        float64 of shape (*broadcast shape of the keys, count), in [0, 1).
    """
    with np.errstate(over="ignore"):
        state = np.zeros((), dtype=np.uint64)
        for key in keys:
            state = _mix((state + _GOLDEN) ^ _mix(_word(key) + _GOLDEN))
        counter = _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
        words = _mix(state[..., None] + counter)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choose(draws: np.ndarray, options: int | np.ndarray) -> np.ndarray:
    """Turn draws of :func:`uniform` into integers 0 … options − 1, each equally likely."""
    return (draws * options).astype(np.int64)  # the largest draw is 1 − 2⁻⁵³: its product rounds to below `options`


def shuffle(numbers: np.ndarray, keys: Sequence[Key]) -> np.ndarray:
    """Put different whole numbers (N,), e.g. videos, in a random order."""
    return numbers[np.argsort(uniform((*keys, numbers), 1)[:, 0], kind="stable")]


def integer_seed(keys: Sequence[Key]) -> int:
    """Derive one 53-bit seed for a library generator (weight initialisation, NumPy) from named keys."""
    return int(uniform(keys, 1).ravel()[0] * 2**53)
