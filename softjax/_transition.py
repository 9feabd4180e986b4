"""The soft step that elementwise operators are made of, and how one is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer

from ._dispatch import dispatch
from ._keywords import (
    as_float,
    broadcast_shape,
    check_softness,
    float_type,
    parse_flag,
    parse_mode,
    parse_parameter,
    parse_softness,
    with_defaults,
)

_FAR = 1e15
"""Distance in units of softness where a step has ended, for any regularizer."""


class Transition(eqx.Module):
    """A soft step at 0 and its integral, at a given softness.

    The regularizer only sees finite numbers whose squares do not overflow; further out
    the operators are hard. So infinities do no harm, and NaN is kept whatever the
    regularizer makes of it.
    """

    regularizer: Regularizer
    unit: Float[Array, "..."]
    gated: bool = False

    def heaviside(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        near = jnp.abs(x) < _FAR * self.unit
        step = self.regularizer.sigmoid(jnp.where(near, x, 0) / self.unit)
        return jnp.where(near, step, (1 + jnp.sign(x)) / 2)

    def heaviside_of_numbers(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`heaviside` where nothing is NaN, in fewer operations if it is logistic."""
        if self.regularizer.structure().rate is None:
            return self.heaviside(x)
        # Such a step ends at 0 and 1 by itself.
        far = _FAR * jax.lax.stop_gradient(self.unit)
        return self.regularizer.sigmoid(jnp.clip(x, -far, far) / self.unit)

    def log_heaviside(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        near = jnp.abs(x) < _FAR * self.unit
        step = self.regularizer.log_sigmoid(jnp.where(near, x, 0) / self.unit)
        return jnp.where(near, step, jnp.where(x < 0, -jnp.inf, jnp.where(x > 0, 0, x)))

    def relu(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        # relu(x) = x + relu(-x), so only the small one of the two is ever formed.
        negative = x <= 0
        return jnp.where(negative, 0, x) + self.tail(jnp.where(negative, x, -x))

    def tail(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The soft relu of x <= 0, by which it exceeds the hard one at x and at -x."""
        near = jnp.abs(x) < _FAR * self.unit
        safe = jnp.where(near, x, 0)
        if self.gated:
            soft = safe * self.regularizer.sigmoid(safe / self.unit)
        else:
            soft = self.unit * self.regularizer.softplus(safe / self.unit)
        return jnp.where(near, soft, jnp.where(jnp.isnan(x), x, 0))


def promote(**arrays: Any) -> tuple[dict[str, Array], Any]:
    """The arrays as they are, and the float type that jax.numpy would promote them to.

    Booleans become the integers 0 and 1.

    **Raises:** `TypeError`, naming the argument, for what is not made of real numbers;
    `ValueError` if the shapes do not broadcast together.
    """
    raw = {}
    for name, x in arrays.items():
        as_float(x, name)
        x = jnp.asarray(x)
        raw[name] = x.astype(jnp.int32) if x.dtype == bool else x
    broadcast_shape(**{name: x.shape for name, x in raw.items()})
    dtype = jnp.result_type(*raw.values())
    return raw, float_type(dtype)


_NONE: dict[str, Any] = {}


def apply(
    soft: Callable[..., Array],
    hard: Callable[..., Any],
    arrays: dict[str, Any],
    softness: Any,
    mode: str | Regularizer,
    *,
    gated: bool | None = None,
    parameters: dict[str, Any] = _NONE,
    **options: Any,
) -> Float[Array, "..."]:
    """Check the keywords and evaluate an elementwise operator.

    **Arguments:**

    - `soft`: called as `soft(transition, **arrays, **parameters, **options)`. It is
        compiled, so it has to be a function of its module, not a new one each time.
    - `hard`: such a function, which `mode="hard"` stands for. Called with the values
        of `arrays`, and all others by name.
    - `gated`: whether relus are gated; None where the operator has none.
    - `parameters`: further arrays, which do not decide about the type of the result.
    - `options`: constants of the program.
    """
    check_softness(softness)
    return dispatch(
        _evaluate,
        softness,
        *arrays.values(),
        *parameters.values(),
        names=(tuple(arrays), tuple(parameters)),
        operator=(soft, hard),
        mode=mode,
        gated=gated,
        options=options,
    )


class GatedKeywords(TypedDict, total=False):
    """The keywords of operators that are made of the relu."""

    softness: Any
    mode: str | Regularizer
    gated: bool


GATED: dict[str, Any] = dict(softness=0.1, mode="smooth", gated=False)
"""Their defaults."""


def apply_gated(
    name: str,
    soft: Callable[..., Array],
    hard: Callable[..., Any],
    arrays: dict[str, Any],
    keywords: Mapping[str, Any],
    parameters: dict[str, Any] = _NONE,
) -> Float[Array, "..."]:
    """`apply` of an operator that is made of the relu, with the keywords as given.

    **Raises:** `TypeError` for a keyword that there is not.
    """
    given = with_defaults(keywords, GATED, name)
    given["gated"] = parse_flag(given["gated"], f"{name}: gated")
    return apply(soft, hard, arrays, **given, parameters=parameters)


def _evaluate(softness, *values, names, operator, mode, gated, options):
    (names, others), (soft, hard) = names, operator
    raw, out_dtype = promote(**dict(zip(names, values, strict=False)))
    others = {
        name: parse_parameter(x, name, "a number or an array of them")
        for name, x in zip(others, values[len(names) :], strict=True)
    }
    options |= others
    regularizer, by_name = parse_mode(mode, gated=gated is not None)
    softness = parse_softness(softness, jnp.promote_types(out_dtype, jnp.float32))
    shapes = {name: x.shape for name, x in (raw | others).items()}
    shape = broadcast_shape(**shapes, softness=softness.shape)
    if regularizer is None:
        return jnp.broadcast_to(hard(*raw.values(), **options), shape).astype(out_dtype)
    arrays = {name: x.astype(softness.dtype) for name, x in raw.items()}
    scale = jnp.asarray(regularizer.transition_scale(), softness.dtype)
    transition = Transition(regularizer, softness * scale, by_name or bool(gated))
    out = soft(transition, **arrays, **options)
    # Where softness was traced, it could not be checked.
    return jnp.where(softness > 0, out, jnp.nan).astype(out_dtype)
