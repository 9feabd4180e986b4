"""All of `jax.lax`, soft where there is a surrogate: `from softjax import lax`.

As `softjax.numpy` is for `jax.numpy`. `cond`, `switch`, `select` and
`select_n` accept soft Booleans and soft indices: all branches are evaluated, and their
results averaged.

**Example:**

    >>> from softjax import lax
    >>> x = jnp.array([0.2, 1.0, 0.7])
    >>> print(lax.cummax(x))
    [0.2   1.    0.986]
    >>> print(lax.cond(lax.gt(x[0], 0.2), jnp.sum, jnp.max, x))
    1.45
"""

from typing import TYPE_CHECKING, Any

import jax.lax

from ._namespace import namespace
from ._surrogates import LAX

if TYPE_CHECKING:
    from jax.lax import *  # noqa: F403 # pyright: ignore

    # Each takes what that of jax.lax does, and our keywords.
    abs: Any
    approx_max_k: Any
    approx_min_k: Any
    argmax: Any
    argmin: Any
    ceil: Any
    clamp: Any
    cond: Any
    cummax: Any
    cummin: Any
    dynamic_index_in_dim: Any
    dynamic_slice: Any
    dynamic_slice_in_dim: Any
    eq: Any
    floor: Any
    ge: Any
    gt: Any
    le: Any
    lt: Any
    max: Any
    min: Any
    ne: Any
    reduce_max: Any
    reduce_min: Any
    round: Any
    select: Any
    select_n: Any
    sign: Any
    sort: Any
    sort_key_val: Any
    switch: Any
    top_k: Any
else:
    __getattr__, __dir__ = namespace(__name__, jax.lax, LAX)
