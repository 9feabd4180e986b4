from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._core.problem import ConcaveDualProblem, MaximizationProblem
from ..._core.readout import LogPrimal, Moves, Primal, reading_and_tangent
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._kernels import arrays
from ..._kernels.arrays import eps, exact_einsum, safe_divide, sum_of_rows
from ..._kernels.derivatives import stop_gradient, tangent_of
from ..._kernels.laplacian import eliminate_rows
from ..._kernels.logarithms import log_over_sum, safe_log
from .row_fit import fit

if TYPE_CHECKING:
    import lineax as lx


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


class Transport(ConcaveDualProblem, MaximizationProblem):
    """Regularized optimal transport, whatever the link."""

    cost: Float[Array, "*batch n m"]
    mu: Float[Array | np.ndarray, "*#batch n"]
    nu: Float[Array | np.ndarray, "*#batch m"]
    softness: Float[Array, "*#batch 1 1"]
    unit: Float[Array | np.ndarray, "*#batch 1"] | None
    weights: Float[Array | np.ndarray, "*#batch n"] | None

    fit: ClassVar[Callable[..., Array]] = staticmethod(fit)

    # Everything inside is laid out as `*batch m n`: anchors are few, so that loops
    # run over the long axis, and a soft index is a transposed plan anyway.

    @property
    def mass(self) -> Float[Array | np.ndarray, "*#batch 1"]:
        """The mass M by which the regularizer divides the plan."""
        if self.unit is not None:
            return self.unit
        total = self.nu.sum(axis=-1, keepdims=True)
        if self.weights is None:
            return total
        # Where nothing counts, rows have plans nevertheless.
        return jnp.where(total > 0, total, 1)

    @property
    def row_shares(self) -> Float[Array, "*#batch n"]:
        """Sums of the rows of the plan over M."""
        return jnp.asarray(self.mu / self.mass)

    @property
    def column_shares(self) -> Float[Array, "*#batch m"]:
        return jnp.asarray(self.nu / self.mass)

    def count(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Mass of the rows, each as often as it counts."""
        return x if self.weights is None else jnp.asarray(self.weights) * x

    def count_entries(
        self, x: Float[Array, "*batch m n"]
    ) -> Float[Array, "*batch m n"]:
        if self.weights is None:
            return x
        return jnp.asarray(self.weights)[..., None, :] * x

    @property
    def mask(self) -> Bool[Array | np.ndarray, "*#batch #m #n"]:
        """A mask of mass; of one entry if that is known to be everywhere."""
        marginals = (self.mu, self.nu)
        if all(isinstance(x, np.ndarray) and bool(np.all(x > 0)) for x in marginals):
            return np.ones((1, 1), bool)
        return (self.nu > 0)[..., :, None] & (self.mu > 0)[..., None, :]

    @property
    def scores(self) -> Float[Array, "*batch m n"]:
        return -self.cost.swapaxes(-1, -2) / self.softness

    def arguments(self, dual: Potentials) -> Float[Array, "*batch m n"]:
        """Arguments of the link, for all entries of the transposed plan."""
        return dual.g[..., :, None] + dual.f[..., None, :] + self.scores

    def unnormalized(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        """The plan over M that belongs to a dual, whatever it sums to."""
        t = self.arguments(dual)
        t = jnp.where(self.moving(dual, regularizer), t, jax.lax.stop_gradient(t))
        return jnp.where(self.mask, regularizer.link(t), 0)

    def moving(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Bool[Array | np.ndarray, "*#batch m n"]:
        """A mask of the entries of the plan that have a derivative: those above 0.

        Duals are often found where an entry is just about to be 0. It is one of them
        by more than rounding, or what links two parts of the plan in one place of a
        program might not in another.
        """
        t = self.arguments(dual)
        edge = regularizer.gradient(jnp.zeros((), t.dtype))
        size = jnp.abs(dual.g[..., :, None]) + jnp.abs(dual.f[..., None, :])
        return self.mask & (t - edge > 16 * eps(t) * (size + jnp.abs(self.scores)))

    def objective(
        self, y: Float[Array, "*batch n m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        share = y.swapaxes(-1, -2) / self.mass[..., None]
        terms = arrays.safe_multiply(-self.cost.swapaxes(-1, -2), share)
        terms = terms - self.softness * regularizer.value(share)
        # The feasible set counts as constant, of which the weights are a part.
        terms = stop_gradient(self).count_entries(terms)
        total = jnp.sum(terms, axis=(-1, -2), where=self.mask)
        return total * self.mass[..., 0]

    def optimality(self, dual: Potentials, regularizer: Regularizer) -> Potentials:
        plan = self.unnormalized(dual, regularizer)
        return Potentials(
            jnp.sum(plan, axis=-2) - self.row_shares,
            jnp.sum(self.count_entries(plan), axis=-1) - self.column_shares,
        )

    def transposed(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan, in which each row of the plan sums to mu exactly."""
        plan = self.unnormalized(dual, regularizer)
        scale = safe_divide(jnp.asarray(self.mu), sum_of_rows(plan))
        return plan * scale[..., None, :]

    def primal(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch n m"]:
        return self.transposed(dual, regularizer).swapaxes(-1, -2)

    def log_primal(self, dual: Potentials, regularizer: Regularizer) -> Array:
        t = self.arguments(dual)
        t = jnp.where(self.moving(dual, regularizer), t, jax.lax.stop_gradient(t))
        logs = jnp.where(self.mask, regularizer.log_link(t), -jnp.inf)
        logs = log_over_sum(logs, -2) + safe_log(jnp.asarray(self.mu))[..., None, :]
        return logs.swapaxes(-1, -2)

    def means(
        self,
        dual: Potentials,
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
    ) -> Float[Array, "*batch n"]:
        plan = self.transposed(dual, regularizer)
        return jnp.sum(plan * values[..., :, None], axis=-2)

    def column_means(
        self,
        dual: Potentials,
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch m"]:
        y = self.primal(dual, regularizer)
        y = y if self.weights is None else self.weights[..., None] * y
        weighted = jnp.sum(y * values[..., None], axis=-2)
        return safe_divide(weighted, jnp.sum(y, axis=-2))

    def column_residual(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        """Residuals of the columns: `nu - sum_i weights_i P_ij`."""
        plan = self.transposed(dual, regularizer)
        mu = jnp.asarray(self.mu)
        # Most of a column's mass usually is from rows that have nearly all of theirs
        # there. Such a row counts as whole, which is exact where marginals are whole
        # numbers, less what it has elsewhere. Products with 0 and 1 are compiled into
        # the sums, which selections are not, or are a fast product of matrices.
        major = jnp.where(plan > mu[..., None, :] / 2, jnp.ones_like(plan), 0)
        minor = plan - plan * major
        elsewhere = sum_of_rows(minor)[..., None, :]
        whole = exact_einsum("...jn,...n->...j", major, self.count(mu))
        rest = jnp.sum(self.count_entries(major * elsewhere - minor), axis=-1)
        residual = (jnp.asarray(self.nu) - whole) + rest
        return residual if self.weights is None else self._balance(residual)

    def _balance(self, residual: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """Residuals of columns whose marginals have exactly the mass of the rows.

        Sums of weights are rounded. What marginals differ by for that reason no plan
        can make good, and the columns share it in proportion to theirs.
        """
        most = self.cost.shape[-2] * eps(residual) * self.mass
        total = jnp.clip(jnp.sum(residual, axis=-1, keepdims=True), -most, most)
        nu = jnp.asarray(self.nu)
        return residual - safe_divide(nu, jnp.sum(nu, axis=-1, keepdims=True)) * total

    def residual(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        return self.feasibility_error(self.column_residual(dual, regularizer))

    def feasibility_error(
        self, residual: Float[Array, "*batch m"]
    ) -> Float[Array, "*batch"]:
        """The largest error of a column's sum, relative to its marginal."""
        return jnp.max(
            jnp.abs(residual) / jnp.where(self.nu > 0, self.nu, jnp.inf), axis=-1
        )

    def _slope(self, dual: Potentials, regularizer: Regularizer, mask: Any) -> Array:
        """The derivative of the plan's entries in the link's arguments."""
        return jnp.where(mask, regularizer.slope(self.arguments(dual)), 0)

    def edges(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch m m"]:
        """The graph whose Laplacian is minus the Hessian of the semi-dual in g."""
        weight = self._slope(dual, regularizer, self.mask)
        _, _, edges = eliminate_rows(weight, self.weights)
        return edges

    def jacobian(
        self, dual: Potentials, regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        from ..._operators.laplacian import BipartiteLaplacian

        weight = self._slope(dual, regularizer, self.moving(dual, regularizer))
        return BipartiteLaplacian(weight, self.weights, Potentials)

    # The dual moves along, by a system of which f is eliminated: rows keep their sums.
    def primal_and_tangent(
        self, solution: Solution, readout: Primal, moves: Moves, linear_solver: Any
    ) -> tuple[Float[Array, "*batch n m"], Float[Array, "*batch n m"]]:
        from ..._operators.laplacian import BipartiteLaplacian
        from ..._operators.solve import linear_solve

        dual, regularizer = solution.dual, solution.regularizer
        plan = self.transposed(dual, regularizer)
        moving = self.moving(dual, regularizer)
        weight = self._slope(dual, regularizer, moving)
        mass = self.mass[..., None]

        def parts(p):
            columns = p.column_shares
            if p.weights is not None:
                columns = columns - jnp.sum(p.count_entries(plan / mass), axis=-1)
            return p.scores, p.row_shares, columns

        scores, rows, columns = tangent_of(parts, (self,), (moves.problem,))
        t = self.arguments(dual)
        move = weight * scores + tangent_of(
            lambda r: jnp.where(moving, r.link(t), 0),
            (regularizer,),
            (moves.regularizer,),
        )
        excess = Potentials(
            sum_of_rows(move) - rows,
            jnp.sum(self.count_entries(move), axis=-1) - columns,
        )
        system = BipartiteLaplacian(weight, self.weights, Potentials)
        f, g = linear_solve(system, excess, linear_solver)
        move = move - weight * (f[..., None, :] + g[..., :, None])
        growth = tangent_of(
            lambda p: p.mass[..., None] * plan, (self,), (moves.problem,)
        )
        move = mass * move + growth / mass
        return plan.swapaxes(-1, -2), move.swapaxes(-1, -2)

    fused: ClassVar = {Primal: primal_and_tangent, LogPrimal: reading_and_tangent}

    def dual_value(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        conjugate = jnp.where(self.mask, regularizer.conjugate(self.arguments(dual)), 0)
        return (
            jnp.sum(self.count(self.row_shares * dual.f), axis=-1)
            + jnp.sum(self.column_shares * dual.g, axis=-1)
            - jnp.sum(self.count_entries(conjugate), axis=(-2, -1))
        )

    def initial_dual(self, regularizer: Regularizer) -> Potentials:
        *batch, _, m = self.cost.shape
        g = jnp.zeros((*batch, m), self.cost.dtype)
        return Potentials(self.fit_rows(g, regularizer), g)

    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        share = 1 / jnp.asarray(self.cost.shape[-2] + 1, self.cost.dtype)
        # What lies below the largest entry of a row by more than that hardly counts.
        return regularizer.gradient(share) - regularizer.gradient(share / 3000)

    def flat(self) -> Transport:
        *batch, n, m = self.cost.shape

        def flatten(x: Any, *shape: int) -> Array:
            return jnp.broadcast_to(x, (*batch, *shape)).reshape(-1, *shape)

        unit = None if self.unit is None else flatten(self.unit, 1)
        weights = None if self.weights is None else flatten(self.weights, n)
        return self.replace(
            flatten(self.cost, n, m),
            flatten(self.mu, n),
            flatten(self.nu, m),
            flatten(self.softness, 1, 1),
            unit,
            weights,
        )

    def replace(self, *parts: Any) -> Self:
        """This problem with other arrays, in the order of its fields."""
        return eqx.tree_at(
            lambda p: (p.cost, p.mu, p.nu, p.softness, p.unit, p.weights),
            self,
            parts,
            is_leaf=lambda x: x is None,
        )

    def to_solution(
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
        """The solution of a solver that aims at an error of `tolerance`.

        Sums of many terms may be rounded by more, which does not count as a failure.
        """
        converged = error <= max(tolerance, 800 * eps(error))
        return Solution(self, regularizer, dual, steps, error, converged)

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
        scores = self.scores + g[..., :, None]
        # Of a row that counts little, more than M may be moved: see `fit`.
        weights = None if self.weights is None else np.ones((1, 1), scores.dtype)
        return self.fit(scores, self.row_shares, present, regularizer, start, weights)

    def fit_columns(
        self,
        f: Float[Array, "*batch n"],
        regularizer: Regularizer,
        start: Float[Array, "*batch m"] | None = None,
    ) -> Float[Array, "*batch m"]:
        """The g for which all columns sum to nu, given f: one equation a column.

        **Arguments:**

        - `start`: where to start from, if something is known.
        """
        present = (self.mu > 0)[..., :, None]
        scores = self.scores.swapaxes(-1, -2) + f[..., :, None]
        weights = None if self.weights is None else self.weights[..., :, None]
        target = self.column_shares
        return self.fit(scores, target, present, regularizer, start, weights)

    def default_solver(self, regularizer: Regularizer) -> str:
        return "semi_dual"
