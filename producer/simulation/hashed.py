"""Random numbers that are functions of integers, so that any of them can be computed without those before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def hashed(*keys: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """64 bits for each combination of integers; the keys are broadcast.

    Mixing as in SplitMix64 (Steele, Lea and Flood, 2014, Fast splittable pseudorandom number generators, OOPSLA).
    """
    state: npt.NDArray[np.uint64] = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2**64
        for key in keys:
            state = state + np.asarray(key, np.int64).astype(np.uint64) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * _FIRST
            state = (state ^ (state >> np.uint64(27))) * _SECOND
            state = state ^ (state >> np.uint64(31))
    return state


def uniform(*keys: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Numbers in (0, 1), independent for different keys."""
    return (hashed(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def normal(*keys: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Standard normal numbers, independent for different keys; by the method of Box and Muller (1958)."""
    return np.sqrt(-2 * np.log(uniform(*keys, 1))) * np.cos(2 * np.pi * uniform(*keys, 2))


def noise(seconds: npt.NDArray[np.float64], scale: float, *keys: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A standard normal process at times in Unix seconds, independent for different keys.

    It is continuous, and its values are correlated over about `scale` seconds: values at knots in this distance are
    blended, with weights of constant variance.
    """
    knot = np.floor(seconds / scale)
    angle = np.pi / 2 * (seconds / scale - knot)
    index = knot.astype(np.int64)
    return np.cos(angle) * normal(*keys, index) + np.sin(angle) * normal(*keys, index + 1)
