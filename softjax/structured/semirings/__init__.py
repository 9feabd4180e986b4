"""Meanings of the operations that a recursion is written in."""

from .hard import Hard as Hard
from .k_best import KBest as KBest
from .regularized import Regularized as Regularized
from .sampled import Sampled as Sampled
