"""Names for what soft operators return."""

from jaxtyping import Array, Float

SoftBool = Float[Array, "..."]
"""The probability, in [0, 1], that a Boolean is true.

**Example:**

    >>> p: sj.SoftBool = sj.greater(jnp.array([0.4, 0.6]), 0.5)
    >>> print(p)
    [0.269 0.731]
"""

SoftIndex = Float[Array, "... n"]
"""A distribution over the n positions of an axis: along the last one, with sum 1.

**Example:**

    >>> p: sj.SoftIndex = sj.argmax(jnp.array([0.2, 1.0, 0.7]))
    >>> print(p)
    [0.    0.952 0.047]
"""
