"""Readouts of a solution: the dual, the primal, means under it, the maximum."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from .._kernels.derivatives import tangent_of
from .._kernels.logarithms import relative

if TYPE_CHECKING:
    from .solution import Solution


class Moves(NamedTuple):
    """Tangents of all that a readout depends on; None where there are none."""

    problem: PyTree
    regularizer: PyTree
    readout: PyTree


class Readout(eqx.Module):
    """A function of an optimal dual, which is differentiated together with it.

    **Example:**

        >>> class Support(sj.solvers.Readout):
        ...     def read(self, solution):
        ...         return jnp.sum(solution.value > 0, axis=-1)
        ...
        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.evaluate(problem, "c0", Support()))
        2
    """

    @abc.abstractmethod
    def read(self, solution: Solution) -> PyTree[Array]:
        """The value that belongs to a solution."""

    def value_and_tangent(
        self, solution: Solution, moves: Moves, linear_solver: Any
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        """`read` of an optimal solution, and how it changes with all it depends on.

        Default: the dual moves by the implicit function theorem, and `read` with it. A
        problem that knows the derivative of both steps together has it in its table
        `fused`.
        """
        return reading_and_tangent(None, solution, self, moves, linear_solver)


def reading_and_tangent(
    problem: Any, solution: Solution, readout: Readout, moves: Moves, linear_solver: Any
) -> tuple[PyTree[Array], PyTree[Array]]:
    """The default of `Readout.value_and_tangent`, as it stands in a table `fused`."""
    dual_move = solution.dual_tangent(moves, linear_solver)

    def read(readout, problem, regularizer, dual):
        return readout.read(solution.at(problem, regularizer, dual))

    out = readout.read(solution)
    args = readout, solution.problem, solution.regularizer, solution.dual
    moves_of_args = moves.readout, moves.problem, moves.regularizer, dual_move
    return out, tangent_of(read, args, moves_of_args)


class Dual(Readout):
    """The dual itself.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.evaluate(problem, "c0", sj.solvers.Dual()))
        -0.8
    """

    def read(self, solution: Solution) -> PyTree[Array]:
        return solution.dual

    def value_and_tangent(
        self, solution: Solution, moves: Moves, linear_solver: Any
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        if solution.dual is None:  # which cancels
            return None, None
        return solution.dual, solution.dual_tangent(moves, linear_solver)


class Primal(Readout):
    """The dense solution y.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.evaluate(problem, "c0", sj.solvers.Primal()))
        [0.  0.8 0.2]
    """

    def read(self, solution: Solution) -> PyTree[Array]:
        return solution.problem.primal(solution.dual, solution.regularizer)


class LogPrimal(Readout):
    """The logarithm of the dense solution, -inf where that is 0.

    Exact however small y is, where the problem and the link know logarithms: for the
    entropy, `log y_i` is an argument of the link less a logarithm of a sum. Derivatives
    are those of the logarithm where y is positive, and 0 elsewhere.

    **Example:**

        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.SimplexProjection(z, 1e-3)
        >>> print(sj.solvers.evaluate(problem, "smooth", sj.solvers.LogPrimal()))
        [-800.    0. -300.]
        >>> print(sj.solvers.evaluate(problem, "c0", sj.solvers.LogPrimal()))
        [-inf   0. -inf]
    """

    def read(self, solution: Solution) -> PyTree[Array]:
        return solution.problem.log_primal(solution.dual, solution.regularizer)

    def value_and_tangent(
        self, solution: Solution, moves: Moves, linear_solver: Any
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        problem: Any = solution.problem
        known = problem.fused.get(Primal)
        if known is None:
            return reading_and_tangent(problem, solution, self, moves, linear_solver)
        moves = moves._replace(readout=Primal())
        y, move = known(problem, solution, Primal(), moves, linear_solver)
        return self.read(solution), jax.tree.map(relative, move, y)


class Means(Readout):
    """`y @ values`, without forming y where the problem's structure allows it.

    With weights w of the entries, which are copies, `(w * y) @ values`.

    **Arguments:**

    - `values`: `*#batch n`.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> means = sj.solvers.Means(jnp.array([0.0, 1.0, 2.0]))
        >>> print(sj.solvers.evaluate(problem, "c0", means))
        1.2
    """

    values: Float[Array, "*#batch n"]

    def read(self, solution: Solution) -> PyTree[Array]:
        return solution.problem.means(solution.dual, solution.regularizer, self.values)


class ColumnMeans(Readout):
    """`y^T values / y^T 1`, for one value a row of y; 0 where a column is 0.

    **Arguments:**

    - `values`: `*#batch m`.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.NeuralSortRows(None, support, 0.1)
        >>> means = sj.solvers.ColumnMeans(jnp.arange(3.0))
        >>> print(sj.solvers.evaluate(problem, "smooth", means))
        [0.006 1.041 1.953]
    """

    values: Float[Array, "*#batch m"]

    def read(self, solution: Solution) -> PyTree[Array]:
        return solution.problem.column_means(
            solution.dual, solution.regularizer, self.values
        )


class Value(Readout):
    """The regularized maximum, `MaximizationProblem.objective` of the solution.

    By Danskin's theorem its derivative is that of the objective at a fixed solution.
    The feasible set counts as constant.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 1.0)
        >>> print(f"{sj.solvers.evaluate(problem, 'c0', sj.solvers.Value()):.3f}")
        -0.378
    """

    def read(self, solution: Solution) -> PyTree[Array]:
        problem: Any = solution.problem
        return problem.objective(solution.value, solution.regularizer)

    def value_and_tangent(
        self, solution: Solution, moves: Moves, linear_solver: Any
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        y = solution.value
        tangent = tangent_of(
            lambda problem, regularizer: problem.objective(y, regularizer),
            (solution.problem, solution.regularizer),
            (moves.problem, moves.regularizer),
        )
        return self.read(solution), tangent
