"""Which primitives make whole numbers: comparisons of those stand between integers."""

from __future__ import annotations

from collections.abc import Sequence

from jax.extend.core import JaxprEqn

from ._values import Value, is_integral

LINEAR = {"add", "add_any", "sub", "mul", "neg", "cumprod", "cumsum", "dot_general"}
LINEAR |= {"conv_general_dilated", "reduce_prod", "reduce_sum", "reduce_window_sum"}
LINEAR |= {"device_put", "sharding_constraint"}
"""Primitives that are linear in each of the numbers that they are given."""

_OF_WHOLE = LINEAR | {"abs", "broadcast_in_dim", "convert_element_type", "max", "min"}
_OF_WHOLE |= {"reshape", "square", "squeeze"}
"""Primitives that make whole numbers of whole numbers."""

_OF_ALL = {"ceil", "floor", "round", "sign"}
"""Primitives that make whole numbers of all numbers."""


def makes_whole(eqn: JaxprEqn, operands: Sequence[Value]) -> bool:
    """Whether the results of operands are sure to be whole numbers."""
    name = eqn.primitive.name
    if name in _OF_WHOLE or (name == "integer_pow" and eqn.params["y"] >= 0):
        return all(map(is_integral, operands))
    return name in _OF_ALL
