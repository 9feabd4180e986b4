"""All of `jax.nn`, soft where there is a surrogate: `from softjax import nn`.

As `softjax.numpy` is for `jax.numpy`. `one_hot` accepts soft indices.

**Example:**

    >>> from softjax import nn
    >>> x = jnp.array([-1.0, 0.0, 1.0])
    >>> print(nn.relu(x), nn.relu(x, mode="hard"), nn.gelu(x))
    [0.    0.069 1.   ] [0. 0. 1.] [-0.159  0.     0.841]
"""

from typing import TYPE_CHECKING, Any

import jax.nn

from ._namespace import namespace
from ._surrogates import NN

if TYPE_CHECKING:
    from jax.nn import *  # noqa: F403 # pyright: ignore

    # Each takes what that of jax.nn does, and our keywords.
    hard_sigmoid: Any
    hard_silu: Any
    hard_swish: Any
    hard_tanh: Any
    leaky_relu: Any
    one_hot: Any
    relu: Any
    relu6: Any
else:
    __getattr__, __dir__ = namespace(__name__, jax.nn, NN)
