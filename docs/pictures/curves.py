"""Operators as functions of one number, in every mode, and their derivatives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj
from softjax.solvers import PNorm

from .drawing import COLORS

# These modes are one compiled program. The exponents are a traced array: so the general
# algorithm is at work, and not the closed forms of c0 and c1.
P_NORMS = {"c0": 2.0, "c1": 3 / 2, "c2": 4 / 3}
SOFTNESS = 0.1


class Operator(NamedTuple):
    """Curves of x, of the shape of x each, of which two may share a program."""

    curves: dict[str, str]  # name of the picture -> what is drawn
    fn: Callable[..., tuple[jax.Array, ...]]
    reach: float = 1.0


def _one(name: str, label: str, fn: Callable, **options: Any) -> Operator:
    return Operator({name: label}, lambda x, **kw: (fn(x, **kw),), **options)


ELEMENTWISE = [
    _one("heaviside", "heaviside(x)", sj.heaviside),
    _one("sign", "sign(x)", sj.sign),
    _one("abs", "abs(x)", sj.abs),
    _one("round", "round(x)", sj.round, reach=2.2),
    _one("relu", "relu(x)", sj.relu),
    _one(
        "gated_relu", "relu(x, gated=True)", lambda x, **k: sj.relu(x, gated=True, **k)
    ),
    _one("clip", "clip(x, -1, 1)", lambda x, **k: sj.clip(x, -1, 1, **k), reach=2.0),
    _one("greater", "greater(x, 0.5)", lambda x, **k: sj.greater(x, 0.5, **k)),
    _one("less", "less(x, 0.5)", lambda x, **k: sj.less(x, 0.5, **k)),
    _one("equal", "equal(x, 0.2)", lambda x, **k: sj.equal(x, 0.2, **k)),
    _one("not_equal", "not_equal(x, 0.2)", lambda x, **k: sj.not_equal(x, 0.2, **k)),
    _one(
        "isclose",
        "isclose(x, 0, atol=0.5)",
        lambda x, **k: sj.isclose(x, 0, atol=0.5, **k),
    ),
]

OTHERS = (-0.6, -0.1, 0.5)
"""The elements beside x, which stay where they are."""


def row(x: jax.Array) -> jax.Array:
    others = jnp.broadcast_to(jnp.asarray(OTHERS), (*x.shape, len(OTHERS)))
    return jnp.concatenate([x[..., None], others], axis=-1)


def _pair(fn: Callable) -> Callable:
    """The share of x in a soft index, and the value that goes with it."""
    return lambda x, **kw: fn(row(x), **kw)


AXISWISE = [
    Operator(
        {"argmax": "argmax, share of x", "max": "max"},
        _pair(lambda x, **k: (sj.argmax(x, -1, **k)[..., 0], sj.max(x, -1, **k))),
    ),
    Operator(
        {"argmin": "argmin, share of x", "min": "min"},
        _pair(lambda x, **k: (sj.argmin(x, -1, **k)[..., 0], sj.min(x, -1, **k))),
    ),
    Operator(
        {"argsort": "argsort, share of x in row 1", "sort": "sort, element 1"},
        _pair(lambda x, **k: (sj.argsort(x, **k)[..., 1, 0], sj.sort(x, **k)[..., 1])),
    ),
    Operator(
        {"rank": "rank of x"},
        lambda x, **k: (sj.rank(row(x), **k)[..., 0],),
    ),
    Operator(
        {"top_k": "top_k(2), their mean"},
        lambda x, **k: (jnp.mean(sj.top_k(row(x), 2, **k)[0], axis=-1),),
    ),
    Operator(
        {"top_k_mask": "top_k_mask(2), of x"},
        lambda x, **k: (sj.top_k_mask(row(x), 2, **k)[..., 0],),
    ),
    Operator(
        {
            "argquantile": "argquantile(0.3), share of x",
            "quantile": "quantile(0.3)",
        },
        _pair(
            lambda x, **k: (
                sj.argquantile(x, 0.3, -1, **k)[..., 0],
                sj.quantile(x, 0.3, -1, **k),
            )
        ),
    ),
    Operator(
        {"argmedian": "argmedian, share of x", "median": "median"},
        _pair(lambda x, **k: (sj.argmedian(x, -1, **k)[..., 0], sj.median(x, -1, **k))),
    ),
]
# Made of steps, of which it has the widths.
MEDIAN_NEWTON = _one(
    "median_newton", "median_newton", lambda x, **k: sj.median_newton(row(x), -1, **k)
)


def differentiate(fn: Callable, x: jax.Array) -> tuple[Any, Any]:
    """`fn(x)` and its derivative, for `fn` that treats all entries of x alike."""
    return jax.jit(lambda x: jax.jvp(fn, (x,), (jnp.ones_like(x),)))(x)


def in_all_modes(operator: Operator, comparable: bool) -> tuple[np.ndarray, dict]:
    """x, and mode -> (values, derivatives) of each curve.

    With `comparable`, softness is multiplied by the factor by which elementwise
    operators multiply it themselves.
    """
    # No point is where something is hard, whose derivative is a convention.
    x = jnp.linspace(-operator.reach, operator.reach, 322)

    def soft(x, regularizer):
        scale = regularizer.transition_scale() if comparable else 1.0
        return operator.fn(x, mode=regularizer, softness=SOFTNESS * scale)

    found = {"hard": differentiate(lambda x: operator.fn(x, mode="hard"), x)}
    for mode in ("smooth", "cubic", "quintic", "pseudohuber"):
        r = sj.solvers.get_regularizer(mode)
        found[mode] = differentiate(lambda x, r=r: soft(x, r), x)
    exponents = jnp.asarray(list(P_NORMS.values()))
    values, slopes = differentiate(
        lambda x: jax.vmap(lambda p: soft(x, PNorm(p)))(exponents), x
    )
    for i, name in enumerate(P_NORMS):
        found[name] = ([v[i] for v in values], [s[i] for s in slopes])
    return np.asarray(x), {mode: found[mode] for mode in COLORS}
