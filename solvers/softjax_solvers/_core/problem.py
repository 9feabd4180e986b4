"""The interface of a regularized linear program."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._kernels.arrays import safe_divide
from .._kernels.derivatives import derivative
from .._kernels.logarithms import safe_log
from .precision import common_type
from .readout import Readout
from .regularizer import Regularizer

if TYPE_CHECKING:
    import lineax as lx

    from .solution import Solution
    from .solver import Solver


class Problem(eqx.Module):
    """A regularized linear program `max_{y in P} <z, y> - softness R(y)`.

    A problem holds arrays, batch dimensions leading. A solver finds its *dual*; the
    problem says when a dual is optimal, and what solution belongs to it.

    **Attributes:**

    - `fused`: readouts whose derivative is known together with that of the dual, by
        their class: a method `(solution, readout, moves, linear_solver) -> value,
        tangent`, as `Readout.value_and_tangent` is.
    - `cancels`: classes of readouts in which the dual cancels, so that nothing has to
        find it. They are given None for it.
    - `dense`: classes of readouts that are those of the `general` form, as structure is
        of no use to them.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(problem.primal(found.dual, found.regularizer))
        [0.    0.952 0.047]
    """

    fused: ClassVar[Mapping[type[Readout], Callable[..., tuple[Any, Any]]]] = {}
    cancels: ClassVar[frozenset[type[Readout]]] = frozenset()
    dense: ClassVar[frozenset[type[Readout]]] = frozenset()

    @abc.abstractmethod
    def optimality(self, dual: PyTree[Array], regularizer: Regularizer) -> PyTree:
        """The residual of the optimality conditions, zero at the optimal dual.

        It has the structure of the dual.
        """

    @abc.abstractmethod
    def primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        """The dense solution y that belongs to a dual."""

    @abc.abstractmethod
    def residual(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "..."]:
        """The distance of `dual` from feasible: a number >= 0 for each solution."""

    # What follows are defaults, meant to be overridden by what is known better.

    @property
    def dtype(self) -> jnp.dtype:
        """The type of solutions; those of 16 bits are found in float32.

        Default: that of all arrays together.
        """
        return common_type(self)

    def specialize(self, regularizer: Regularizer) -> Problem:
        """The final object that knows how this problem is evaluated with `regularizer`.

        Asked for once, before anything is solved. Default: the problem itself.

        **Raises:** `ValueError` if the problem has no solution with that regularizer.
        """
        return self

    def general(self) -> Problem:
        """This problem for solvers that cannot make use of its structure.

        Default: the problem itself.
        """
        return self

    def default_solver(self, regularizer: Regularizer) -> str | Solver[Any] | None:
        """The best known solver, or its name. Default: None, there is not one."""
        return None

    def accepted_by(self, solver: Solver[Any], regularizer: Regularizer) -> bool:
        """Whether a solver solves this problem. Default: if it says that it does."""
        return solver.accepts(self, regularizer)

    def solved_by(self, solver: Solver[Any], regularizer: Regularizer) -> Solution:
        """The solution of a solver. Default: its `solve`, of the problem as a whole."""
        return solver.solve(self, regularizer)

    def evaluated_by(
        self,
        solver: Solver[Any],
        regularizer: Regularizer,
        readout: Readout,
        linear_solver: Any = None,
    ) -> Any:
        """A readout of the optimal solution. Default: under the one rule for it."""
        from .solution import Search, evaluate_by

        if type(readout) in self.dense:
            form = self.general()
            return form.evaluated_by(solver, regularizer, readout, linear_solver)
        return evaluate_by(Search(solver), self, regularizer, readout, linear_solver)

    def anchoring(self) -> PyTree[Array]:
        """Arrays that a solver chose for what a dual alone has no digits for.

        `Solution.problem` has them. Default: None.
        """
        return None

    def anchored(self, arrays: PyTree[Array]) -> Problem:
        """This problem with the `anchoring` of a solution. Default: itself."""
        return self

    def closed_form(
        self, regularizer: Regularizer
    ) -> Callable[[], PyTree[Array]] | None:
        """A function that returns the optimal dual in closed form. Default: None."""
        return None

    def log_primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        """The logarithm of y, -inf where it is 0. Default: of the dense y.

        Where y is made of links, `Regularizer.log_link` has it beyond its underflow.
        """
        return jax.tree.map(safe_log, self.primal(dual, regularizer))

    def means(
        self,
        dual: PyTree[Array],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Array:
        """`y @ values`. Default: of the dense y."""
        return jnp.sum(self.primal(dual, regularizer) * values, axis=-1)

    def column_means(
        self,
        dual: PyTree[Array],
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
    ) -> Array:
        """`y^T values / y^T 1` of a matrix y, `*batch m n`. Default: of the dense y."""
        y = self.primal(dual, regularizer)
        weighted = jnp.sum(y * values[..., None], axis=-2)
        return safe_divide(weighted, jnp.sum(y, axis=-2))

    def jacobian(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        """The derivative of `optimality` in the dual, as a linear operator of Lineax.

        Its structure decides what solves it: see `softjax_solvers._operators.solve`.
        Default: none is known, which takes the time of one matrix of all solutions of a
        batch; `jax.vmap` over problems has a small one for each.
        """
        import lineax as lx

        return lx.JacobianLinearOperator(
            lambda dual, _: self.optimality(dual, regularizer), dual
        )


class MaximizationProblem(Problem):
    """A problem whose solution y maximizes an objective that can be evaluated.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> r = sj.solvers.get_regularizer("c0")
        >>> best = sj.solvers.solve(problem, r).value
        >>> other = jnp.array([0.0, 0.5, 0.5])
        >>> print(bool(problem.objective(best, r) > problem.objective(other, r)))
        True
    """

    @abc.abstractmethod
    def objective(self, y: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        """`<z, y> - softness R(y)`, up to a term that all feasible y share."""


class ConcaveDualProblem(Problem):
    """A problem whose dual is the maximum of a concave function of its variables.

    **Example:**

        >>> ones = jnp.ones(3)
        >>> cost = jnp.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
        >>> problem = sj.solvers.TransportProjection(cost, ones, ones, 1.0)
        >>> r = sj.solvers.Entropy()
        >>> best, start = sj.solvers.solve(problem, r).dual, problem.initial_dual(r)
        >>> print(bool(problem.dual_value(best, r) > problem.dual_value(start, r)))
        True
    """

    @abc.abstractmethod
    def dual_value(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """The function that an optimal dual maximizes."""

    @abc.abstractmethod
    def initial_dual(self, regularizer: Regularizer) -> PyTree[Array]:
        """The dual to start from."""

    @abc.abstractmethod
    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        """By how much dual variables typically differ."""

    @abc.abstractmethod
    def flat(self) -> ConcaveDualProblem:
        """These problems with a single, leading batch axis, to `vmap` over."""

    @abc.abstractmethod
    def to_solution(
        self,
        dual: PyTree[Array],
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        """The [`softjax.solvers.Solution`][] with a dual of `flat`, made feasible."""


class ScalarDualProblem(Problem):
    """A problem with one scalar unknown a solution, which a batched root find serves.

    `optimality` then depends entry by entry on the dual, and turns from positive to
    negative where it is optimal.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 1.0)
        >>> lower, upper = problem.bracket(sj.solvers.PNorm(2))
        >>> dual = sj.solvers.solve(problem, "c0").dual
        >>> print(bool((lower <= dual) & (dual <= upper)))
        True
    """

    @abc.abstractmethod
    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """Lower and upper bounds on the dual."""

    @abc.abstractmethod
    def flat(self) -> ScalarDualProblem:
        """These rows with a single, leading batch axis, to `vmap` over."""

    def default_solver(self, regularizer: Regularizer) -> str | Solver[Any] | None:
        return "newton"

    def initial_dual(self, regularizer: Regularizer) -> Float[Array, "*rows"]:
        """The dual at which Newton's method starts. Default: the lower bound.

        There all the mass is on the largest score, and the residual of a convex link
        falls monotonically to zero.
        """
        return self.bracket(regularizer)[0]

    def residual_and_slope(
        self, dual: Array, regularizer: Regularizer
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """The function that Newton's method makes zero, and its derivative in the dual.

        Of the sign of `optimality`. Default: `optimality`.
        """
        return derivative(lambda dual: self.optimality(dual, regularizer), dual)

    def rounding(self, regularizer: Regularizer) -> float:
        """Units of rounding in `residual_and_slope`."""
        return 4

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*rows"]:
        return jnp.abs(self.optimality(dual, regularizer))

    def jacobian(
        self, dual: Array, regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        import lineax as lx

        _, slope = derivative(lambda d: self.optimality(d, regularizer), dual)
        return lx.DiagonalLinearOperator(slope)
