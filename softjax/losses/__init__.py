"""Losses and metrics that are made of soft operators.

All but `spo_plus`, which takes a single problem, return one number for each row of the
batch: which mean to take is up to the user. They take `where`, a mask that broadcasts
to the scores: the loss is that of the elements that there are, row by row, and masked
ones may be anything, in the targets too. Rows without any element have the value 0, and
NaN where it is a mean of nothing, without a gradient.
"""

from .decisions import spo_plus
from .distributions import entropy, kl_divergence, soft_cross_entropy
from .fenchel_young import permutation_loss, rank_loss, simplex_loss, top_k_loss
from .metrics import spearman, trimmed_mean
from .pairs import auc, pairwise_loss
from .ranking import (
    average_precision,
    mrr,
    ndcg,
    precision,
    recall,
    top_k_cross_entropy,
)

__all__ = [
    "auc",
    "average_precision",
    "entropy",
    "kl_divergence",
    "mrr",
    "ndcg",
    "pairwise_loss",
    "permutation_loss",
    "precision",
    "rank_loss",
    "recall",
    "simplex_loss",
    "soft_cross_entropy",
    "spearman",
    "spo_plus",
    "top_k_cross_entropy",
    "top_k_loss",
    "trimmed_mean",
]
