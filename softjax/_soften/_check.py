"""A softened function beside the hard one: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._record import Report

_SMALL = 1e-3
"""Share of the softness at which values ought to be the hard ones."""


class Check(NamedTuple):
    """A comparison of a softened function with the hard one.

    Values are pytrees; gradients are those of the sum of all floats returned, with
    respect to all floats given, as flat arrays. `error` is the largest difference of
    `value_at_small_softness` from `hard_value`, relative to 1 and the hard value.
    """

    hard_value: Any
    value: Any
    value_at_small_softness: Any
    error: float
    hard_gradient: np.ndarray
    gradient: np.ndarray
    report: Report

    def __repr__(self) -> str:
        norms = [np.linalg.norm(g) for g in (self.hard_gradient, self.gradient)]
        zero = [int(np.sum(g == 0)) for g in (self.hard_gradient, self.gradient)]
        size = self.gradient.size
        lines = [
            f"error at a small softness: {self.error:.2g}",
            f"norm of the gradient: {norms[0]:.3g} hard, {norms[1]:.3g} soft",
            f"zero entries of {size}: {zero[0]} hard, {zero[1]} soft",
            f"hard for want of a rule: {len(self.report.hard)}",
        ]
        return "\n".join(lines)


def compare(
    fn: Callable,
    soften: Callable[..., Callable],
    softness: Any,
    report: Report,
    args: tuple,
) -> Check:
    """Values and gradients of `fn` and of `soften()`, and values of `soften(small)`."""
    hard_value, hard_gradient = _value_and_gradient(fn, args)
    value, gradient = _value_and_gradient(soften(), args)
    small = _compiled(soften(_SMALL * np.asarray(softness)), args)
    pairs = zip(_numbers(hard_value), _numbers(small), strict=True)
    error = max((_error(*pair) for pair in pairs), default=0.0)
    return Check(hard_value, value, small, error, hard_gradient, gradient, report)


def _compiled(fn: Callable, args: tuple) -> Any:
    return eqx.filter_jit(lambda args: fn(*args))(args)


def _numbers(tree: Any) -> list[np.ndarray]:
    return [np.asarray(x, float) for x in jax.tree.leaves(tree) if eqx.is_array_like(x)]


def _error(hard: np.ndarray, soft: np.ndarray) -> float:
    same = (hard == soft) | (np.isnan(hard) & np.isnan(soft))
    with np.errstate(invalid="ignore"):
        difference = np.abs(soft - hard) / (1 + np.abs(hard))
    return float(np.max(np.where(same, 0, difference), initial=0))


def _value_and_gradient(fn: Callable, args: tuple) -> tuple[Any, np.ndarray]:
    floats, others = eqx.partition(args, _is_float_leaf)

    @jax.jit
    def both(floats: Any) -> Any:
        def total(floats: Any) -> Any:
            out = fn(*eqx.combine(floats, others))
            leaves = [x for x in jax.tree.leaves(out) if eqx.is_array_like(x)]
            used = [
                jnp.sum(x)
                for x in leaves
                if jnp.issubdtype(jnp.result_type(x), jnp.inexact)
            ]
            return sum(used, jnp.zeros(())), [jnp.asarray(x) for x in leaves]

        gradient, leaves = jax.jacfwd(total, has_aux=True)(floats)
        return leaves, gradient

    leaves, gradient = both(jax.tree.map(jnp.asarray, floats))
    flat = [np.ravel(g) for g in jax.tree.leaves(gradient)]
    return leaves, np.concatenate(flat) if flat else np.zeros(0)


def _is_float_leaf(leaf: Any) -> bool:
    return eqx.is_inexact_array_like(leaf)
