from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._core.problem import ConcaveDualProblem, MaximizationProblem, Problem
from ..._core.regularizer import Regularizer
from ..._core.solver import Solution
from ..._kernels.numerics import (
    derivative,
    eps,
    exact_einsum,
    inexact,
    is_traced,
    safe_divide,
    tangent_of,
)
from ..._kernels.roots import bracketed_newton
from ..._kernels.sorting import permute, sort_with_permutation
from ..._operators.laplacian import laplacian_solve

_FEW = 16
"""Up to how many sums of a matrix's first rows are not worth to be shared."""


class Potentials(NamedTuple):
    """The dual of a transport problem, in units of softness; `g[..., 0]` is 0.

    **Example:**

        >>> cost, ones = jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.ones(2)
        >>> problem = sj.solvers.TransportProjection(cost, ones, ones, 1.0)
        >>> print(sj.solvers.solve(problem, "smooth").dual.g)
        [0. 0.]
    """

    f: Float[Array, "*batch n"]
    g: Float[Array, "*batch m"]


class TransportProjection(ConcaveDualProblem, MaximizationProblem):
    """Regularized optimal transport, `min_P <C, P> + softness M R(P / M)`.

    The plan P is nonnegative, its rows sum to `mu` and its columns to `nu`, both of
    which have the total mass M, unless that is given as the `unit`. With M = 1 this is
    `min_G <C, G> + softness R(G)` over the transport polytope. The solution is
    `P = M phi(f_i + g_j - C_ij / softness)` with the dual
    [`softjax.solvers.Potentials`][]; rows and columns without mass are 0.

    **Arguments:**

    - `cost`: `*batch n m`.
    - `mu`, `nu`: nonnegative, of shapes that broadcast against `*batch n` and
        `*batch m`, and of equal sums.
    - `softness`: positive, of a shape that broadcasts against `*batch`.
    - `unit`: the mass M that the regularizer is relative to, of a shape that broadcasts
        against `*batch`; None for the total one.

    **Example:**

        >>> cost = jnp.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]])
        >>> mu, nu = jnp.array([1.5, 1.5]), jnp.ones(3)
        >>> problem = sj.solvers.TransportProjection(cost, mu, nu, 1.0)
        >>> print(sj.solvers.solve(problem, "smooth").value)
        [[0.799 0.35  0.35 ]
         [0.201 0.65  0.65 ]]

    ??? cite

        Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport",
        NeurIPS 2013; Blondel, Seguy and Rolet, "Smooth and sparse optimal transport",
        AISTATS 2018.
    """

    cost: Float[Array, "*batch n m"]
    mu: Float[Array | np.ndarray, "*#batch n"]
    nu: Float[Array | np.ndarray, "*#batch m"]
    softness: Float[Array, "*#batch 1 1"]
    unit: Float[Array | np.ndarray, "*#batch 1"] | None

    def __init__(self, cost: Any, mu: Any, nu: Any, softness: Any, unit: Any = None):
        self.cost = inexact(cost)
        dtype = self.cost.dtype
        self.mu, self.nu = _as_constant(mu, dtype), _as_constant(nu, dtype)
        self.softness = jnp.asarray(softness, dtype)[..., None, None]
        self.unit = None if unit is None else jnp.asarray(unit, dtype)[..., None]
        shape = self.cost.shape
        if self.cost.ndim < 2 or 0 in shape[-2:]:
            raise ValueError(
                "TransportProjection: cost must have two last axes of at least one "
                f"entry, got shape {shape}."
            )
        for name, x, full in (
            ("mu", self.mu, shape[:-1]),
            ("nu", self.nu, (*shape[:-2], shape[-1])),
            ("softness", self.softness, (*shape[:-2], 1, 1)),
            *([] if self.unit is None else [("unit", self.unit, (*shape[:-2], 1))]),
        ):
            try:
                fits = x.ndim > 0 and x.shape[-1] == full[-1]
                fits = fits and jnp.broadcast_shapes(x.shape, full) == full
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"TransportProjection: {name} of shape {x.shape} does not fit to a "
                    f"cost of shape {shape}."
                )

    @classmethod
    def on_line(
        cls,
        points: Any,
        anchors: Any,
        counts: Any,
        softness: Any,
        where: Any = None,
        ascending: bool = False,
        unit: Any = None,
    ) -> "TransportProjection":
        """Move `points` of mass 1 to `anchors` of mass `counts`, at squared distance.

        The cost is `(points_i - anchors_j)^2` up to potentials, which do not change the
        plan: those of the hard plan, which follow from sorting. So costs are exact
        where they are small, zero potentials are optimal as softness goes to 0, and
        nearly so at any softness.

        **Arguments:**

        - `points`: `*batch n`.
        - `anchors`: ascending, of a shape that broadcasts against `*batch m`;
            constants.
        - `counts`: nonnegative integers that broadcast against `*batch m`, and add up
            to the number of points; constants.
        - `softness`: positive, of a shape that broadcasts against `*batch`.
        - `where`: optional mask `*batch n` of the points that take part.
        - `ascending`: whether `points` are, with those that take part first.
        - `unit`: as of the class.
        """
        points = inexact(points)
        x = jax.lax.stop_gradient(points)
        # What is known already takes no part in the program.
        xp = jnp if is_traced((anchors, counts)) else np
        anchors, counts = (xp.asarray(a).astype(x.dtype) for a in (anchors, counts))
        before = xp.cumsum(counts, axis=-1).astype(int)
        before, size = before[..., :-1], before[..., -1:]
        # Between two anchors stands a threshold, half way between two points.
        beside = xp.stack([before - 1, before], axis=-2)
        beside = xp.clip(beside, 0, size[..., None] - 1)
        beside = beside.reshape(*before.shape[:-1], 2 * before.shape[-1])
        in_order = x
        if not ascending:
            in_order = x if where is None else jnp.where(where, x, jnp.inf)
            in_order, _ = sort_with_permutation(in_order)
        batch = jnp.broadcast_shapes(x.shape[:-1], before.shape[:-1])
        threshold = permute(
            jnp.broadcast_to(in_order, (*batch, x.shape[-1])),
            jnp.broadcast_to(beside, (*batch, beside.shape[-1])),
        )
        threshold = threshold.reshape(*batch, 2, before.shape[-1]).sum(axis=-2) / 2
        gap = anchors[..., 1:] - anchors[..., :-1]
        excess = x[..., None, :] - threshold[..., :, None]
        weighted = 2 * gap[..., :, None] * excess
        # Sums of positive terms that begin at a point's own anchor: nothing cancels.
        cost = _partial_sums(weighted)
        own = anchors[..., 0, None] + jnp.sum(
            jnp.where(excess > 0, gap[..., :, None], 0), axis=-2
        )
        # The derivative is that of -2 x a, up to another potential.
        slope = -2 * (anchors[..., :, None] - own[..., None, :])
        cost = _attach_slope(points, cost, slope)
        mu = np.ones(x.shape[-1], x.dtype) if where is None else where.astype(x.dtype)
        return cls(cost.swapaxes(-1, -2), mu, counts, softness, unit)

    # Everything inside is laid out as `*batch m n`: anchors are few, so that loops
    # run over the long axis, and a soft index is a transposed plan anyway.

    @property
    def mass(self) -> Float[Array | np.ndarray, "*#batch 1"]:
        """The mass M by which the regularizer divides the plan."""
        if self.unit is not None:
            return self.unit
        return self.nu.sum(axis=-1, keepdims=True)

    @property
    def rows(self) -> Float[Array, "*#batch n"]:
        """Sums of the rows of the plan over M."""
        return jnp.asarray(self.mu / self.mass)

    @property
    def columns(self) -> Float[Array, "*#batch m"]:
        return jnp.asarray(self.nu / self.mass)

    @property
    def mask(self) -> Bool[Array | np.ndarray, "*#batch #m #n"]:
        """Where there is mass; of one entry if that is known to be everywhere."""
        marginals = (self.mu, self.nu)
        if all(isinstance(x, np.ndarray) and bool(np.all(x > 0)) for x in marginals):
            return np.ones((1, 1), bool)
        return (self.nu > 0)[..., :, None] & (self.mu > 0)[..., None, :]

    @property
    def scores(self) -> Float[Array, "*batch m n"]:
        return -self.cost.swapaxes(-1, -2) / self.softness

    def arguments(self, dual: Potentials) -> Float[Array, "*batch m n"]:
        """What the link is applied to."""
        return dual.g[..., :, None] + dual.f[..., None, :] + self.scores

    def unnormalized(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        """The plan over M that belongs to a dual, whatever it sums to."""
        t = self.arguments(dual)
        t = jnp.where(self._moves(dual, regularizer), t, jax.lax.stop_gradient(t))
        return jnp.where(self.mask, regularizer.link(t), 0)

    def _moves(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Bool[Array | np.ndarray, "*#batch m n"]:
        """Which entries of the plan have a derivative: those above 0.

        Duals are often found where an entry is just about to be 0. It is one of them
        by more than rounding, or what links two parts of the plan in one place of a
        program might not in another.
        """
        if regularizer.rate() is not None:
            return self.mask
        t = self.arguments(dual)
        edge = regularizer.gradient(jnp.zeros((), t.dtype))
        size = jnp.abs(dual.g[..., :, None]) + jnp.abs(dual.f[..., None, :])
        return self.mask & (t - edge > 16 * eps(t) * (size + jnp.abs(self.scores)))

    def objective(
        self, y: Float[Array, "*batch n m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        share = y.swapaxes(-1, -2) / self.mass[..., None]
        terms = self.scores * share - regularizer.value(share)
        total = jnp.sum(terms, axis=(-1, -2), where=self.mask)
        return self.softness[..., 0, 0] * self.mass[..., 0] * total

    def optimality(self, dual: Potentials, regularizer: Regularizer) -> Potentials:
        plan = self.unnormalized(dual, regularizer)
        return Potentials(
            jnp.sum(plan, axis=-2) - self.rows, jnp.sum(plan, axis=-1) - self.columns
        )

    def transposed(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan, in which each row of the plan sums to mu exactly."""
        plan = self.unnormalized(dual, regularizer)
        scale = safe_divide(jnp.asarray(self.mu), jnp.sum(plan, axis=-2))
        return plan * scale[..., None, :]

    def primal(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch n m"]:
        return self.transposed(dual, regularizer).swapaxes(-1, -2)

    def expectation(
        self,
        dual: Potentials,
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
    ) -> Float[Array, "*batch n"]:
        plan = self.transposed(dual, regularizer)
        return jnp.sum(plan * values[..., :, None], axis=-2)

    def gap(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        """What the columns of the plan lack: `nu - sum_i P_ij`."""
        plan = self.transposed(dual, regularizer)
        mu = self.mu[..., None, :]
        # Most of a column's mass usually is from rows that have nearly all of theirs
        # there. Such a row counts as whole, which is exact where marginals are whole
        # numbers, less what it has elsewhere. Products with 0 and 1 are compiled into
        # the sums, which selections are not.
        major = jnp.where(plan > mu / 2, jnp.ones_like(plan), 0)
        minor = plan - plan * major
        elsewhere = jnp.sum(minor, axis=-2, keepdims=True)
        whole = jnp.sum(major * mu, axis=-1)
        rest = jnp.sum(major * elsewhere - minor, axis=-1)
        return (jnp.asarray(self.nu) - whole) + rest

    def residual(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        return self.error(self.gap(dual, regularizer))

    def error(self, gap: Float[Array, "*batch m"]) -> Float[Array, "*batch"]:
        """The largest error of a column's sum, relative to its marginal."""
        return jnp.max(jnp.abs(gap) / jnp.where(self.nu > 0, self.nu, jnp.inf), axis=-1)

    def _slope(self, dual: Potentials, regularizer: Regularizer, mask: Any) -> Array:
        """The derivative of the plan's entries in the link's arguments."""
        return jnp.where(mask, regularizer.slope(self.arguments(dual)), 0)

    def edges(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m m"]:
        """The graph whose Laplacian is minus the Hessian of the semi-dual in g."""
        _, _, edges = _eliminate_rows(self._slope(dual, regularizer, self.mask))
        return edges

    def dual_tangent(
        self,
        dual: Potentials,
        regularizer: Regularizer,
        shift: Potentials,
        linear_solver: Any = None,
    ) -> Potentials:
        weight = self._slope(dual, regularizer, self._moves(dual, regularizer))
        f, g = _potentials_of_sums(
            weight, jax.tree.map(jnp.negative, shift), linear_solver
        )
        first = g[..., :1]
        return Potentials(f + jnp.where(self.mu > 0, first, 0), g - first)

    def solved_primal(
        self,
        regularizer: Regularizer,
        find_dual: Callable[[Problem, Regularizer], Potentials],
        linear_solver: Any = None,
    ) -> Float[Array, "*batch n m"]:
        plan = _solved_plan(
            self, regularizer, find_dual=find_dual, linear_solver=linear_solver
        )
        return plan.swapaxes(-1, -2)

    def dual_value(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        conjugate = jnp.where(self.mask, regularizer.conjugate(self.arguments(dual)), 0)
        return (
            jnp.sum(self.rows * dual.f, axis=-1)
            + jnp.sum(self.columns * dual.g, axis=-1)
            - jnp.sum(conjugate, axis=(-2, -1))
        )

    def initial_dual(self, regularizer: Regularizer) -> Potentials:
        *batch, _, m = self.cost.shape
        g = jnp.zeros((*batch, m), self.cost.dtype)
        return Potentials(self.fit_rows(g, regularizer), g)

    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        share = 1 / jnp.asarray(self.cost.shape[-2] + 1, self.cost.dtype)
        # What lies below the largest entry of a row by more than that hardly counts.
        return regularizer.gradient(share) - regularizer.gradient(share / 3000)

    def flat(self) -> "TransportProjection":
        *batch, n, m = self.cost.shape
        return TransportProjection(
            self.cost.reshape(-1, n, m),
            jnp.broadcast_to(self.mu, (*batch, n)).reshape(-1, n),
            jnp.broadcast_to(self.nu, (*batch, m)).reshape(-1, m),
            jnp.broadcast_to(self.softness[..., 0, 0], batch).reshape(-1),
            None
            if self.unit is None
            else jnp.broadcast_to(self.unit[..., 0], batch).reshape(-1),
        )

    def restore(
        self,
        dual: Potentials,
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        *batch, _, m = self.cost.shape
        g = dual.g.reshape(*batch, m)
        g = jnp.where(jnp.isfinite(g), g, 0)
        g = g - g[..., :1]
        dual = Potentials(self.fit_rows(g, regularizer), g)
        error = self.residual(dual, regularizer)
        return self.solution(dual, steps.reshape(batch), error, regularizer, tolerance)

    def solution(
        self,
        dual: Potentials,
        steps: Array,
        error: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        """What a solver found that aims at an error of `tolerance`.

        Sums of many terms may be rounded by more, which does not count as a failure.
        """
        converged = error <= max(tolerance, 1e-5, 800 * eps(error))
        return Solution(self, regularizer, dual, steps, error, converged)

    def swap(self) -> "TransportProjection":
        """The same problem with rows and columns in each other's place."""
        cost, softness = self.cost.swapaxes(-1, -2), self.softness[..., 0, 0]
        unit = None if self.unit is None else self.unit[..., 0]
        return TransportProjection(cost, self.nu, self.mu, softness, unit)

    def fit_rows(
        self,
        g: Float[Array, "*batch m"],
        regularizer: Regularizer,
        start: Float[Array, "*batch n"] | None = None,
    ) -> Float[Array, "*batch n"]:
        """The f for which all rows sum to mu, given g: one scalar equation a row.

        **Arguments:**

        - `start`: where to start from, if something is known.
        """
        present = (self.nu > 0)[..., :, None]
        return _fit(
            self.scores + g[..., :, None], self.rows, present, regularizer, start
        )


@eqx.filter_custom_jvp
def _solved_plan(
    problem: TransportProjection,
    regularizer: Regularizer,
    *,
    find_dual: Callable[[Problem, Regularizer], Potentials],
    linear_solver: Any,
) -> Float[Array, "*batch m n"]:
    return problem.transposed(find_dual(problem, regularizer), regularizer)


# The dual moves along: f such that rows keep their sums, which leaves a system for g.
@_solved_plan.def_jvp
def _solved_plan_jvp(primals, tangents, *, find_dual, linear_solver):
    problem, regularizer = primals
    dual = find_dual(problem, regularizer)
    plan = problem.transposed(dual, regularizer)
    moves = problem._moves(dual, regularizer)
    weight = problem._slope(dual, regularizer, moves)
    scores, rows, columns = tangent_of(
        lambda p: (p.scores, p.rows, p.columns), (problem,), tangents[:1]
    )
    t = problem.arguments(dual)
    move = weight * scores + tangent_of(
        lambda r: jnp.where(moves, r.link(t), 0), (regularizer,), tangents[1:]
    )
    excess = Potentials(jnp.sum(move, axis=-2) - rows, jnp.sum(move, axis=-1) - columns)
    f, g = _potentials_of_sums(weight, excess, linear_solver)
    move = move - weight * (f[..., None, :] + g[..., :, None])
    mass = problem.mass[..., None]
    growth = tangent_of(lambda p: p.mass[..., None] * plan, (problem,), tangents[:1])
    return plan, mass * move + growth / mass


def _eliminate_rows(
    weight: Float[Array, "*batch m n"],
) -> tuple[
    Float[Array, "*batch n"], Float[Array, "*batch m n"], Float[Array, "*batch m m"]
]:
    """The sums of the columns of `weight`; the shares of its entries in those; and the
    graph on its rows whose Laplacian is left when the diagonal block is eliminated."""
    total = jnp.sum(weight, axis=-2)
    share = weight * safe_divide(1, total)[..., None, :]
    edges = exact_einsum("...jn,...kn->...jk", weight, share)
    loops = jnp.eye(edges.shape[-1], dtype=bool)
    return total, share, jnp.where(loops, 0, edges)


def _potentials_of_sums(
    weight: Float[Array, "*batch m n"], sums: Potentials, linear_solver: Any
) -> Potentials:
    """f and g for which `weight_ji (f_i + g_j)` has these sums over j, and over i.

    A symmetric system, so that its solution is its own transpose.
    """
    total, share, edges = jax.lax.stop_gradient(_eliminate_rows(weight))

    def apply(x):
        flow = weight * (x.f[..., None, :] + x.g[..., :, None])
        return Potentials(jnp.sum(flow, axis=-2), jnp.sum(flow, axis=-1))

    def solve(_, sums):
        rhs = sums.g - exact_einsum("...jn,...n->...j", share, sums.f)
        g = laplacian_solve(edges, rhs, linear_solver)
        f = safe_divide(sums.f, total) - exact_einsum("...jn,...j->...n", share, g)
        return Potentials(f, g)

    return jax.lax.custom_linear_solve(apply, sums, solve, symmetric=True)


def _as_constant(x: Any, dtype: Any) -> Array | np.ndarray:
    """`x` as an array: one of NumPy, whose values are known, where it is one."""
    return x.astype(dtype) if isinstance(x, np.ndarray) else jnp.asarray(x, dtype)


@jax.custom_jvp
def _attach_slope(points, cost, slope):
    """`cost`, `*batch m n`, with its derivative in the points `*batch n`."""
    return cost


@_attach_slope.defjvp
def _attach_slope_jvp(primals, tangents):
    points, cost, slope = primals
    moved = slope * tangents[0][..., None, :]
    return _attach_slope(points, cost, slope), moved


def _partial_sums(x: Float[Array, "*batch l n"]) -> Float[Array, "*batch l+1 n"]:
    """`sum_{i < j} max(-x_i, 0) + sum_{i >= j} max(x_i, 0)` for j from 0 to l."""
    *batch, size, n = x.shape
    count = size + 1
    if count <= _FEW:
        sign = 1 - 2 * np.tri(count, size, k=-1, dtype=x.dtype)
        terms = jnp.maximum(sign[..., None] * x[..., None, :, :], 0)
        return jnp.sum(terms, axis=-2)
    before, after = jnp.maximum(-x, 0), jnp.maximum(x, 0)
    # Products with triangular matrices, of the entries of a block and of the blocks:
    # few operations, and fast.
    width = math.isqrt(size) + 1
    blocks = -(-count // width)

    def split(x):
        x = jnp.pad(x, [(0, 0)] * len(batch) + [(0, blocks * width - size), (0, 0)])
        return x.reshape(*batch, blocks, width, n)

    terms = jnp.concatenate([split(before), split(after)], axis=-2)
    lower = np.tri(width, k=-1, dtype=x.dtype)
    inside = exact_einsum("jl,...ln->...jn", np.hstack([lower, 1 - lower]), terms)
    halves = jnp.sum(terms.reshape(*batch, blocks, 2, width, n), axis=-2)
    lower = np.tri(blocks, k=-1, dtype=x.dtype)
    outside = exact_einsum(
        "jsl,...lsn->...jn", np.stack([lower, lower.T], axis=1), halves
    )
    sums = inside + outside[..., None, :]
    return sums.reshape(*batch, blocks * width, n)[..., :count, :]


def _fit(scores, target, present, regularizer, start):
    """`shift` in `sum_j phi(scores_ji + shift_i) = target_i`, summing over axis -2.

    Over the j that are `present`, of shape `*#batch m 1`.
    """
    low = jnp.finfo(scores.dtype).min
    inside = target > 0
    target = jnp.where(inside, target, 1 / 2)
    top = jnp.max(jnp.where(present, scores, low), axis=-2)
    rate = regularizer.rate()
    if rate is not None:
        # Nothing overflows where the largest is 0.
        terms = jnp.exp(rate * (scores - top[..., None, :]))
        total = jnp.sum(jnp.where(present, terms, 0), axis=-2)
        alone = regularizer.gradient(target)
        return jnp.where(inside, alone - jnp.log(total) / rate - top, 0)
    centred = scores - top[..., None, :]
    # The largest entry lies between the mean and the sum. Where r'(1) is infinite, no
    # entry reaches 1.
    largest = jnp.minimum(target, 1 - eps(scores))
    lower = -regularizer.gradient(largest)
    upper = -regularizer.gradient(largest / jnp.maximum(present.sum(axis=-2), 1))
    # The inverse link has been rounded.
    lower = lower - 64 * eps(scores) * jnp.abs(lower)
    upper = upper + 64 * eps(scores) * jnp.abs(upper)
    lower, upper = (jnp.broadcast_to(bound, top.shape) for bound in (lower, upper))
    start = lower if start is None else -(start + top)

    def residual(dual):
        y = regularizer.link(centred - dual[..., None, :])
        total = jnp.sum(jnp.where(present, y, 0), axis=-2)
        return regularizer.contrast(total, target)

    # A plan's rows are normalized in the end, so that no more than this is needed.
    tolerance = 16 * eps(scores)
    equation = functools.partial(derivative, residual)
    dual = bracketed_newton(equation, lower, upper, start, tolerance=tolerance).point
    return jnp.where(inside, -dual - top, 0)
