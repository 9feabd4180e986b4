"""Soft permutation matrices of sorting networks, one exchange after the other.

They are descending: row i is for the i-th largest element.
"""

import numpy as np

from .regularizers import heaviside_oracle


def bitonic(start: int, n: int, descending: bool = True):
    """Pairs of places, (of the larger, of the smaller), that sort n, a power of two."""
    if n == 1:
        return
    half = n // 2
    yield from bitonic(start, half, True)
    yield from bitonic(start + half, half, False)
    yield from _merge(start, n, descending)


def _merge(start: int, n: int, descending: bool):
    half = n // 2
    for i in range(start, start + half):
        yield (i, i + half) if descending else (i + half, i)
    if half > 1:
        yield from _merge(start, half, descending)
        yield from _merge(start + half, half, descending)


def odd_even(n: int):
    """Pairs of neighbouring places that sort any n, in n rounds."""
    for first in range(n):
        for i in range(first % 2, n - 1, 2):
            yield i, i + 1


def sorting_network_oracle(x, softness, case, network="bitonic", where=None):
    """Soft permutation matrices `*batch n n`, one soft exchange after the other.

    `case` gives the link of a regularizer, and the ends of its transition. What is not
    there counts for nothing: the others come first, as if they were all.
    """
    x = np.asarray(x, np.float64)
    n = x.shape[-1]
    out = np.zeros((*x.shape, n))
    if where is not None:
        for row in np.ndindex(x.shape[:-1]):
            (place,) = np.nonzero(where[row])
            if place.size:
                inner = sorting_network_oracle(x[row][place], softness, case, network)
                out[row][: place.size, place] = inner
        return out
    size = 1
    while size < n:
        size *= 2
    pairs = list(bitonic(0, size) if network == "bitonic" else odd_even(n))
    size = size if network == "bitonic" else n
    for row in np.ndindex(x.shape[:-1]):
        matrix = np.eye(size, n)
        there = np.arange(size) < n
        for up, down in pairs:
            if there[up] and there[down]:
                difference = (matrix[up] - matrix[down]) @ x[row]
                p = heaviside_oracle(difference, softness, case.link, *case.ends)
            else:
                p = float(there[up] or not there[down])
            matrix[[up, down]] = np.array([[p, 1 - p], [1 - p, p]]) @ matrix[[up, down]]
            there[[up, down]] = there[[up, down]][:: 1 if p else -1]
        out[row] = matrix[:n]
    return out
