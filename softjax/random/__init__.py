"""Soft random choices: draws of `jax.random` that are differentiable.

Each perturbs scores with noise, and hands them to an operator of this library: so they
take its modes, methods and solvers. Hard draws, those of `mode="hard"` and those of the
straight-through variants `NAME_st`, have the distribution of their namesakes in
`jax.random`.
"""

import typing

from ._noise import (
    Gumbel as Gumbel,
    Laplace as Laplace,
    Logistic as Logistic,
    Noise as Noise,
    Normal as Normal,
)
from ._straight_through import variants as _variants
from .arrays import choice as choice, permutation as permutation
from .categorical import categorical as categorical
from .coins import bernoulli as bernoulli, rademacher as rademacher
from .counts import (
    binomial as binomial,
    geometric as geometric,
    multinomial as multinomial,
)
from .perturb import perturb as perturb
from .subsets import orderings as orderings, top_k as top_k

_WITH_MODE = (
    *(bernoulli, binomial, categorical, choice, geometric, multinomial, orderings),
    *(permutation, rademacher, top_k),
)
globals().update(_variants(_WITH_MODE))

if typing.TYPE_CHECKING:
    # The straight-through variants, which are generated.
    def __getattr__(name: str) -> typing.Any: ...
