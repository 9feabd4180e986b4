"""Names for what soft operators return."""

from jaxtyping import Array, Float

SoftBool = Float[Array, "..."]
"""The probability, in [0, 1], that a Boolean is true."""

SoftIndex = Float[Array, "... n"]
"""A distribution over the n positions of an axis: along the last one, with sum 1."""
