from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.precision import widened
from .._core.problem import ConcaveDualProblem
from .._core.regularizer import Regularizer
from .._core.rows import as_mask, flatten_batch, softness_per_row
from .._core.solution import Solution
from .._kernels.arrays import (
    inexact,
    is_traced,
    pad_last,
    safe_divide,
    working_type,
)
from .._kernels.fourth_differences import second_differences
from .._kernels.scans import sums_from_ends
from .._kernels.subsets import log_subset_sums
from .shapes import check_fits

if TYPE_CHECKING:
    import lineax as lx


class MajorizationProjection(ConcaveDualProblem):
    """A linear program over descending y that a smooth w majorizes.

    With z in descending order, y maximizes

        <z, y> - softness (sum_k r(b_k - y_1 - ... - y_k) + sum_k r(y_k - y_(k+1)))

    over y of the same sum as w, k = 1, ..., n - 1, where the bounds are smooth,
    `b_k = softness log e_k(exp(w / softness))` with the elementary symmetric polynomial
    e_k. As softness goes to 0, they become the sums of the k largest entries of w, and
    y becomes w in descending order. Both kinds of slacks stay positive, and y is a
    smooth function of w everywhere, also where entries of it are equal.

    With `s = phi(-a)` and `d = phi(-dual)` for the two kinds of slacks, the optimal
    dual, of n - 1 numbers, has `a_k = (z_k - z_(k+1)) / softness + L(dual)_k`, where L
    takes negative second differences, and `d = L(b - s)`.

    **Arguments:**

    - `z`: descending, of a shape that broadcasts against `*batch n`.
    - `w`: `*batch n`, descending.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n` of the entries of both z and w, a prefix of each
        row; y is 0 outside.

    Only the entropy will do as a regularizer: the bounds are its own.

    **Example:**

        >>> z, w = jnp.array([1.0, 0.5, 0.0]), jnp.array([1.0, 0.7, 0.2])
        >>> problem = sj.solvers.MajorizationProjection(z, w, 0.1)
        >>> print(sj.solvers.solve(problem, "smooth").value)
        [1.004 0.692 0.204]
    """

    drop: Float[Array, "*batch m"]  # of z, from each entry to the next, over softness
    bend: Float[Array, "*batch m"]  # of the bounds: minus their second differences
    rise: Float[Array, "*batch n"]  # of the bounds, from each to the next
    where: Bool[Array, "*batch n"] | None
    own_type: Any = eqx.field(static=True)  # of w, from which they are differences

    def __init__(
        self,
        z: Array,
        w: Array,
        softness: Array | float,
        where: Array | None = None,
    ):
        w = inexact(w)
        if w.ndim == 0 or w.shape[-1] == 0:
            raise ValueError(
                "MajorizationProjection: w must have at least one entry along its last "
                f"axis, got shape {w.shape}."
            )
        z = inexact(z)
        name = type(self).__name__
        check_fits(name, "z", z, "w", w)
        if where is not None:
            where = jnp.asarray(where)
            check_fits(name, "where", where, "w", w)
            where = jnp.broadcast_to(where, w.shape)
        self.own_type, w = w.dtype, widened(w)
        z = jnp.broadcast_to(z.astype(w.dtype), w.shape)
        softness = softness_per_row(softness, w)
        self.where = where
        self.drop = (z[..., :-1] - z[..., 1:]) / softness
        sums = log_subset_sums(w / softness, where)
        more = sums - pad_last(sums, 1, -1)
        count = jnp.sum(as_mask(where, w), axis=-1, keepdims=True)
        if where is not None:
            w = jnp.where(where, w, 0)
        self.rise = w + softness * more
        bend = (w[..., :-1] - w[..., 1:]) + softness * (more[..., :-1] - more[..., 1:])
        # Newton's inequalities, which rounding might violate.
        k = jnp.arange(1, w.shape[-1], dtype=w.dtype)
        least = jnp.log1p((count + 1) / k / jnp.maximum(count - k, 1))
        lift = jnp.maximum(softness * least - bend, 0)
        self.bend = bend + jax.lax.stop_gradient(lift)

    @property
    def dtype(self) -> jnp.dtype:
        computed = self.bend.dtype
        return self.own_type if computed == working_type(self.own_type) else computed

    @property
    def inside(self) -> Bool[Array, "*batch m"]:
        """A mask of duals: there are those between two entries that both take part."""
        return as_mask(self.where, self.rise)[..., 1:]

    def specialize(self, regularizer: Regularizer) -> MajorizationProjection:
        rate = regularizer.structure().rate
        known = isinstance(rate, int | float) and not is_traced(regularizer)
        if not (known and rate == 1 and _link_at_zero(regularizer) == 1):
            raise ValueError(
                "A MajorizationProjection has bounds that are made for the entropy at "
                f"its own softness, got the regularizer {regularizer!r}. Use "
                "mode='smooth', with a multiple of the entropy as a multiple of the "
                "softness, or another method."
            )
        return self

    def default_solver(self, regularizer: Regularizer) -> str:
        return "damped_newton"

    def arguments(
        self, dual: Float[Array, "*batch m"]
    ) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
        """Arguments of the link, for the slacks s and for the gaps d."""
        return -(self.drop + second_differences(dual, self.inside)), -dual

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        slack, gap = (regularizer.link(t) for t in self.arguments(dual))
        error = self.bend - second_differences(slack, self.inside) - gap
        return jnp.where(self.inside, error, dual)

    def quadratic_model(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> tuple[Array, Array, Array]:
        """The weights of minus the Hessian of `dual_value`, and its gradient.

        The Hessian is `L diag(inner) L + diag(outer)`.
        """
        inner, outer = (regularizer.slope(t) for t in self.arguments(dual))
        return inner, outer, -self.optimality(dual, regularizer)

    def jacobian(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        from .._operators.fourth_differences import FourthDifferences

        inner, outer = (regularizer.slope(t) for t in self.arguments(dual))
        return FourthDifferences(inner, outer, self.inside)

    def primal(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        slack, gap = (
            jnp.where(self.inside, regularizer.link(t), 0) for t in self.arguments(dual)
        )
        where = as_mask(self.where, self.rise)
        # The gaps add up from the middle on, which an outlier leaves alone; and what is
        # there follows from the slacks.
        place = jnp.arange(where.shape[-1])
        middle = jnp.sum(where, axis=-1, keepdims=True) // 2
        above, below = place[:-1] < middle, place[:-1] >= middle
        y = self.rise - (pad_last(slack, 0, 1) - pad_last(slack, 1, 0))
        y = jnp.sum(y, axis=-1, keepdims=True, where=place == middle)
        fall, rise = sums_from_ends(jnp.where(below, gap, 0), jnp.where(above, gap, 0))
        more = pad_last(rise, 0, 1) - pad_last(fall, 1, 0)
        return jnp.where(where, y + more, 0)

    def residual(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """The largest error of the gaps, relative to the largest of their parts."""
        slack, gap = (regularizer.link(t) for t in self.arguments(dual))

        def largest(x: Array) -> Array:
            return jnp.max(jnp.abs(x), axis=-1, initial=0, where=self.inside)

        parts = jnp.maximum(jnp.abs(self.bend), jnp.maximum(slack, gap))
        return safe_divide(largest(self.optimality(dual, regularizer)), largest(parts))

    def dual_value(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        slack, gap = (regularizer.conjugate(t) for t in self.arguments(dual))
        terms = jnp.where(self.inside, self.bend * dual + slack + gap, dual**2)
        return -jnp.sum(terms, axis=-1)

    def initial_dual(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        # Optimal where all slacks are equal.
        least = jnp.finfo(self.bend.dtype).tiny
        dual = -regularizer.gradient(jnp.maximum(self.bend, least))
        return jnp.where(self.inside, dual, 0)

    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        return jnp.ones((), self.bend.dtype)

    def flat(self) -> "MajorizationProjection":
        return flatten_batch(self, self.bend.shape[:-1])

    def to_solution(
        self,
        dual: Float[Array, "rows m"],
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        dual = jnp.where(jnp.isfinite(dual), dual, 0).reshape(self.bend.shape)
        residual = self.residual(dual, regularizer)
        steps = steps.reshape(residual.shape)
        return Solution(self, regularizer, dual, steps, residual, residual <= tolerance)


def _link_at_zero(regularizer: Regularizer) -> float:
    """By which an exponential link, without a parameter, is `exp(t)`, or is shifted."""
    with jax.ensure_compile_time_eval():
        return float(regularizer.link(jnp.zeros(())))
