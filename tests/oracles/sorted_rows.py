"""Soft permutation matrices of SoftSort and NeuralSort, dense, and their ranks.

They are ascending: row i is for the i-th smallest element.
"""

import numpy as np

from .links import Link
from .simplex import simplex_oracle


def softsort_oracle(x, softness, link: Link, queries=None) -> np.ndarray:
    """Projections of `-|q_i - x_j| / softness`, q the sorted x unless given."""
    x = np.asarray(x, np.float64)
    queries = (
        np.sort(x, axis=-1) if queries is None else np.asarray(queries, np.float64)
    )
    z = -np.abs(queries[..., :, None] - x[..., None, :])
    return simplex_oracle(z, np.asarray(softness)[..., None], link)


def neuralsort_oracle(x, softness, link: Link, positions=None) -> np.ndarray:
    """Projections of `((2i - n - 1) x_j - sum_l |x_j - x_l|) / softness`, i = 1..n."""
    x = np.asarray(x, np.float64)
    n = x.shape[-1]
    positions = np.arange(1, n + 1) if positions is None else np.asarray(positions)
    deviations = np.abs(x[..., :, None] - x[..., None, :]).sum(-1)
    z = (2 * positions - n - 1)[:, None] * x[..., None, :] - deviations[..., None, :]
    return simplex_oracle(z, np.asarray(softness)[..., None], link)


def softsort_rank_oracle(x, softness, link: Link) -> np.ndarray:
    """`sum_j y_ij j`, rows y_i for x_i over the ascending anchors."""
    x = np.asarray(x, np.float64)
    rows = softsort_oracle(np.sort(x, axis=-1), softness, link, queries=x)
    return rows @ np.arange(1.0, x.shape[-1] + 1)


def neuralsort_rank_oracle(x, softness, link: Link) -> np.ndarray:
    """`sum_i P_ij i / sum_i P_ij`, P the soft permutation matrix."""
    rows = neuralsort_oracle(x, softness, link)
    positions = np.arange(1.0, rows.shape[-1] + 1)[:, None]
    return (rows * positions).sum(-2) / rows.sum(-2)
