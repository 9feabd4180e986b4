"""Branches under soft Booleans: expected values of several choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._dispatch import dispatch
from ._keywords import as_array, as_float, broadcast_shape
from ._types import SoftBool
from .logic import as_probability
from .selection import mix, promote_outcomes


def _chain(*arrays, count, first_prevails):
    """Branches one upon the other, beginning with the default."""
    conditions, choices = arrays[:count], arrays[count:]
    chances = [as_probability(p, f"condition {i}")[0] for i, p in enumerate(conditions)]
    named = {f"choice_{i}": x for i, x in enumerate(choices)}
    raw, dtype = promote_outcomes(conditions, **named)
    values = [as_float(x.astype(dtype))[0] for x in raw.values()]
    broadcast_shape(
        **{f"condition_{i}": p.shape for i, p in enumerate(chances)},
        **{f"choice_{i}": x.shape for i, x in enumerate(values)},
    )
    out = values.pop()
    branches = list(zip(chances, values, strict=True))
    for p, x in reversed(branches) if first_prevails else branches:
        out = mix(p, x, out)
    return out.astype(dtype)


def select(
    condlist: Sequence[SoftBool], choicelist: Sequence[Any], default: Any = 0
) -> Float[Array, "..."]:
    """Soft `jax.numpy.select`: `sum_i p_i prod_{j<i} (1 - p_j) x_i`, and the default.

    The expected value of the choice of the first of some independent events that
    happens, or of the default where none does: nested calls of [`softjax.where`][].

    **Arguments:**

    - `condlist`: soft Booleans.
    - `choicelist`: as many arrays; all broadcast together.

    **Example:**

        >>> x = jnp.array([-1.0, 0.1, 1.0])
        >>> print(sj.select([sj.less(x, 0.0), sj.less(x, 0.5)], [-1.0, 0.0], 1.0))
        [-1.    -0.256  0.993]
    """
    conditions, choices = list(condlist), list(choicelist)
    if not conditions or len(conditions) != len(choices):
        raise ValueError(
            "select: condlist and choicelist must be of the same length, at least 1, "
            f"got {len(conditions)} and {len(choices)}."
        )
    return dispatch(
        _chain,
        *conditions,
        *choices,
        default,
        count=len(conditions),
        first_prevails=True,
    )


def piecewise(
    x: Any,
    condlist: Any,
    funclist: Sequence[Callable[..., Any] | Any],
    *args: Any,
    **kw: Any,
) -> Float[Array, "..."]:
    """Soft `jax.numpy.piecewise`: the mean of functions under soft conditions.

    `y = default(x)`, and then `y = p_i f_i(x) + (1 - p_i) y` for each condition in
    turn, so that the last one prevails: nested calls of [`softjax.where`][].

    **Arguments:**

    - `condlist`: soft Booleans of the shape of x, or numbers.
    - `funclist`: as many functions of a number or constants, and one more for the
        default, which is 0 if left out. All of them are evaluated everywhere.
    - `args`, `kw`: passed on to the functions.

    **Example:**

        >>> x = jnp.array([-1.0, 0.0, 1.0])
        >>> print(sj.piecewise(x, [sj.greater(x, 0.0)], [lambda x: x, -0.5]))
        [-0.5  -0.25  1.  ]
    """
    functions = list(funclist)
    conditions = [condlist[i] for i in range(len(condlist))]
    count = len(conditions)
    if len(functions) not in (count, count + 1):
        raise ValueError(
            f"piecewise: with {count} conditions, funclist must have {count} or "
            f"{count + 1} entries, got {len(functions)}."
        )
    if len(functions) == count:
        functions.append(0)
    x = jnp.asarray(as_array(x))

    def value(fn):
        return jnp.vectorize(lambda t: fn(t, *args, **kw))(x) if callable(fn) else fn

    choices = [value(fn) for fn in functions]
    # Constants take the shape and, if they are Python's, the type of x.
    choices[-1] = jnp.broadcast_to(choices[-1], x.shape).astype(
        jnp.result_type(x, choices[-1])
    )
    out = dispatch(
        _chain,
        *conditions,
        *choices,
        count=count,
        first_prevails=False,
    )
    # As in jax.numpy, x decides about the type.
    return out.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else out
