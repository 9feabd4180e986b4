"""Losses and metrics that are made of soft operators.

All of them return one number for each row of the batch: which mean to take is up to the
user.
"""

from .fenchel_young import (
    permutation_loss as permutation_loss,
    rank_loss as rank_loss,
    simplex_loss as simplex_loss,
    top_k_loss as top_k_loss,
)
from .metrics import (
    auc as auc,
    ndcg as ndcg,
    spearman as spearman,
    top_k_cross_entropy as top_k_cross_entropy,
    trimmed_mean as trimmed_mean,
)

__all__ = [
    "auc",
    "ndcg",
    "permutation_loss",
    "rank_loss",
    "simplex_loss",
    "spearman",
    "top_k_cross_entropy",
    "top_k_loss",
    "trimmed_mean",
]
