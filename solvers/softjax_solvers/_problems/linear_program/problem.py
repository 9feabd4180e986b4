from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._core.problem import ConcaveDualProblem, MaximizationProblem
from ..._core.readout import Means, Moves, Primal, Readout, reading_and_tangent
from ..._core.regularizer import Regularizer
from ..._core.rows import check_candidates, softness_per_row
from ..._core.solution import Solution
from ..._kernels.arrays import (
    broadcasts,
    eps,
    inexact,
    is_traced,
    safe_multiply,
    working_type,
)
from ..._kernels.derivatives import replace_value
from .anchor import Anchor, at_zero
from .matrices import Stacked, as_matrix
from .matrix import Matrix

if TYPE_CHECKING:
    import lineax as lx


class Program(MaximizationProblem):
    """A linear program in its final form: rows of equalities above inequalities."""

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    matrix: Matrix
    rhs: Float[Array, "*batch m"]
    upper: Float[Array, "*batch n"] | None
    absent: Bool[Array, "*batch n"]  # y is 0 there, whatever constraints ask for
    anchor: Anchor | None  # at multipliers 0 if None
    equalities: int = eqx.field(static=True)  # the number of rows that are
    within_one: bool = eqx.field(static=True)  # whether `upper` is known to be below 1

    @property
    def dtype(self) -> jnp.dtype:
        return self.z.dtype

    @property
    def scores(self) -> Float[Array, "*batch n"]:
        return self.z / self.softness

    def anchoring(self) -> Anchor:
        if self.anchor is None:
            return at_zero(self.z, self.rhs.shape[-1])
        return self.anchor

    def anchored(self, arrays: Anchor) -> Program:
        return dataclasses.replace(self, anchor=arrays)

    @property
    def equality(self) -> Bool[Array, " m"]:
        """A mask of the rows that are equalities."""
        return jnp.arange(self.rhs.shape[-1]) < self.equalities

    @property
    def row_scale(self) -> Float[Array, "*batch m"]:
        """Factors by which rows have norm 1, where norms are known."""
        square = self.matrix.diagonal(jnp.ones_like(self.z))
        positive = square > 0
        return jnp.where(positive, jax.lax.rsqrt(jnp.where(positive, square, 1)), 1)

    @property
    def bound(self) -> Float[Array, "*batch n"]:
        """Upper bounds on y; where there are none, numbers whose squares are finite."""
        return jnp.where(self.absent, 0, self._upper)

    @property
    def _upper(self) -> Float[Array, "*#batch #n"]:
        """Upper bounds on what is not absent, a single one where there are none."""
        dtype = self.z.dtype
        most = jnp.asarray(jnp.finfo(dtype).max, dtype) ** 0.5
        return most if self.upper is None else jnp.minimum(self.upper, most)

    def arguments(self, dual: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """`z / softness - K^T dual`, in short steps from the anchor's."""
        anchor, unit = self.anchoring(), jax.lax.stop_gradient(self.softness)
        there = self.scores - self.matrix.apply_transpose(anchor.dual)
        there = replace_value(there, anchor.left / unit)
        return there - self.matrix.apply_transpose(dual - anchor.dual)

    def _clip(
        self, t: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> tuple[Bool[Array, "*batch n"], Float[Array, "*batch n"]]:
        """A mask of y at its upper bound, and arguments of the link there."""
        top = regularizer.gradient(jax.lax.stop_gradient(self._upper))
        top = jax.lax.stop_gradient(top)
        full = t > top
        # Far above, the link may overflow; and r'(0) may be infinite.
        return full, jnp.where(full, jnp.where(jnp.isfinite(top), top, 0), t)

    def link(
        self, t: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """`min(phi(t), upper)`."""
        full, t = self._clip(t, regularizer)
        y = jnp.where(full, self._upper, regularizer.link(t))
        return jnp.where(self.absent, 0, y)

    def slope(
        self, t: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        full, t = self._clip(t, regularizer)
        return jnp.where(full | self.absent, 0, regularizer.slope(t))

    def gap(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """Differences of all rows from their right-hand sides."""
        return self.rhs - self.matrix.apply(y)

    def binding(
        self, dual: Float[Array, "*batch m"], gap: Float[Array, "*batch m"]
    ) -> Bool[Array, "*batch m"]:
        """Rows in which the gap has to vanish: all but inequalities that hold."""
        return self.equality | (dual > 0) | (gap < 0)

    def relative(
        self,
        gap: Float[Array, "*batch m"],
        y: Float[Array, "*batch n"],
        row_scale: Float[Array, "*batch m"],
    ) -> Float[Array, "*batch"]:
        """The largest gap, of rows of norm 1, relative to what is summed."""
        side = jnp.max(jnp.abs(row_scale * self.rhs), axis=-1, keepdims=True, initial=1)
        size = jnp.maximum(side, row_scale * self.matrix.sizes(y))
        return jnp.max(jnp.abs(row_scale * gap) / size, axis=-1, initial=0)

    def active(self, dual: Float[Array, "*batch m"]) -> Bool[Array, "*batch m"]:
        """Rows whose multipliers move: all but inequalities that do not bind."""
        return self.equality | (dual > 0)

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        active = self.active(dual)
        gap = self.gap(self.primal(dual, regularizer))
        return jnp.where(active, gap, dual)

    def jacobian(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        from ..._operators.normal import NormalOperator

        slope = self.slope(self.arguments(dual), regularizer)
        return NormalOperator(self.matrix, slope, self.active(dual))

    def primal(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        dual = jnp.where(self.active(dual), dual, 0)
        return self.link(self.arguments(dual), regularizer)

    def residual(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = self.primal(dual, regularizer)
        gap = self.gap(y)
        gap = jnp.where(self.binding(dual, gap), gap, 0)
        return self.relative(gap, y, self.row_scale)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        scores = jnp.where(self.absent, -jnp.inf, self.scores)
        terms = safe_multiply(scores, y) - regularizer.value(y)
        return self.softness[..., 0] * jnp.sum(terms, axis=-1)

    def default_solver(self, regularizer: Regularizer) -> str:
        return "projected_newton"

    def steady_value_and_tangent(
        self, solution: Solution, readout: Readout, moves: Moves, linear_solver: Any
    ) -> tuple[Array, Array]:
        """A readout of y and its tangent, where softness moves what is left of scores.

        What constraints take of them moves with the softness too, but multipliers make
        up for that: of large scores, the difference would be rounding.
        """
        move = moves.problem.softness
        if move is not None:
            problem: Any = solution.problem
            left = problem.arguments(solution.dual)
            shift = -left * move
            z_move = moves.problem.z
            z_move = shift if z_move is None else z_move + shift
            steady = dataclasses.replace(moves.problem, z=z_move, softness=None)
            moves = moves._replace(problem=steady)
        return reading_and_tangent(self, solution, readout, moves, linear_solver)

    fused: ClassVar = {
        Primal: steady_value_and_tangent,
        Means: steady_value_and_tangent,
    }

    def solution(
        self,
        dual: Float[Array, "*batch m"],
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        """The solution of a solver that aims at a residual of `tolerance`.

        The rounding of what is left of scores, which is that of y, does not count as a
        failure, up to a thousandth.
        """
        residual = self.residual(dual, regularizer)
        left = self.anchoring().left / self.softness
        left = jnp.where(self.primal(dual, regularizer) > 0, jnp.abs(left), 0)
        rounding = 8 * eps(residual) * jnp.max(left, axis=-1)
        least = max(tolerance, 1000 * eps(residual))
        converged = residual <= jnp.maximum(least, jnp.minimum(rounding, 1e-3))
        return Solution(self, regularizer, dual, steps, residual, converged)


class LinearProgram(Program):
    """A linear program, `argmax_y <z, y> - softness R(y)` with constraints on y >= 0:

        A y = b,  G y <= h,  y <= upper

    The solution is `y = min(phi(z / softness - A^T mu - G^T nu), upper)`, where the
    dual holds mu and then nu >= 0, in units of softness. Where multipliers are not
    unique, as of rows that depend on each other, they are those of a small norm; y is
    unique. If no y fits, `Solution.converged` is False, and y is finite. Where scores
    are large beside the softness, constraints take nearly all of them: with
    `ProjectedNewton`, `Solution.problem` has what is left to twice the digits, so that
    in float32 a `z / softness` of 1e9 leaves y and its derivatives exact; of an
    operator of Lineax, if its entries have few digits. Other solvers do not, and
    constraints hold up to the rounding of sums of `z / softness`.

    Derivatives are those at the set of inequalities and bounds that bind. A derivative
    in b or h is along what leaves a solution: where rows depend on each other, the part
    of a move that no solution follows is left out.

    **Arguments:**

    - `z`: `*batch n`. Where it is -inf, y is 0, whatever constraints ask for.
    - `A`, `G`: of m rows and n columns, of any rank: an array `(m, n)` or, for each
        program of a batch, `*#batch m n`; a `BCOO` of `jax.experimental.sparse`; a
        [`softjax.solvers.Incidence`][]; or a linear operator of Lineax, of the type of
        z, and float32 where that is of 16 bits. None for no rows. Those that are no
        arrays are the same for the whole batch; `jax.vmap` over programs takes others.
    - `b`, `h`: a scalar or an array that broadcasts against `*batch m`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `upper`: nonnegative and possibly infinite, a scalar or an array that broadcasts
        against `*batch n`. None for none. Links that are bounded or end at a finite
        argument, such as that of `"cubic"`, need one that is known to be at most 1.

    **Raises:** `TypeError` and `ValueError` for arguments that do not fit.

    **Example:**

        >>> z = jnp.array([1.0, 2.0, 3.0])
        >>> A, G = jnp.ones((1, 3)), jnp.array([[0.0, 1.0, 2.0]])
        >>> problem = sj.solvers.LinearProgram(z, A, 1.0, 0.5, G=G, h=1.2)
        >>> found = sj.solvers.solve(problem, "c0")
        >>> print(found.value, found.dual)
        [0.233 0.333 0.433] [1.767 1.9  ]

    ??? cite

        Mangasarian, "Normal solutions of linear programs", Mathematical Programming
        Study 22, 1984.
    """

    def __init__(
        self,
        z: Any,
        A: Any = None,
        b: Any = None,
        softness: Any = 0.1,
        *,
        G: Any = None,
        h: Any = None,
        upper: Any = None,
    ):
        z = inexact(z)
        check_candidates(z, "LinearProgram")
        self.absent = jnp.isneginf(z)
        self.z = z = jnp.where(self.absent, 0, z)
        self.softness = softness_per_row(softness, z)
        none = jnp.zeros((*z.shape[:-1], 0), working_type(z.dtype))
        blocks, sides = [], [none]
        for names, matrix, side in (("Ab", A, b), ("Gh", G, h)):
            if (matrix is None) != (side is None):
                given, missing = names if side is None else reversed(names)
                raise ValueError(
                    f"LinearProgram: {given} is given, and {missing} is None. Both "
                    "have to be given, or none."
                )
            if matrix is not None:
                block = as_matrix(matrix, names[0], z)
                shape = (*z.shape[:-1], block.shape[0])
                blocks.append(block)
                sides.append(_broadcast(side, names[1], shape, z))
        blocks = blocks or [as_matrix(jnp.zeros((0, z.shape[-1])), "A", z)]
        self.matrix = blocks[0] if len(blocks) == 1 else Stacked(*blocks)
        self.rhs = jnp.concatenate(sides, axis=-1)
        self.equalities = 0 if A is None else blocks[0].shape[0]
        known = np.inf if upper is None or is_traced(upper) else np.asarray(upper)
        if not np.all(known >= 0):
            raise ValueError(
                f"LinearProgram: upper must be nonnegative, got {np.min(known)}."
            )
        self.within_one = bool(np.all(known <= 1))
        self.anchor = None
        self.upper = None if upper is None else _broadcast(upper, "upper", z.shape, z)

    def specialize(self, regularizer: Regularizer) -> Program:
        structure = regularizer.structure()
        if structure.rate is None and not (structure.unbounded or self.within_one):
            raise ValueError(
                "A LinearProgram may need any y >= 0, which a link that is bounded or "
                "ends at a finite argument does not reach, got the regularizer "
                f"{regularizer!r}. Use a mode such as 'smooth', 'c0' or 'c1'; or pass "
                "an upper of at most 1, and not as a traced array."
            )
        parts = self.z, self.softness, self.matrix, self.rhs, self.upper
        parts = *parts, self.absent, self.anchoring()
        if self.rhs.shape[-1] > self.equalities:
            return _Inequalities(*parts, self.equalities, self.within_one)
        return _Equalities(*parts, self.equalities, self.within_one)


class _Inequalities(Program):
    """A program some of whose multipliers are nonnegative."""


class _Equalities(Program, ConcaveDualProblem):
    """A program whose multipliers may be any, as minimisers take them."""

    def dual_value(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        t = self.arguments(dual)
        full, inner = self._clip(t, regularizer)
        beyond = self._upper * jnp.where(full, t - inner, 0)
        conjugate = regularizer.conjugate(inner) + beyond
        conjugate = jnp.where(self.absent, 0, conjugate)
        return -(jnp.sum(conjugate, axis=-1) + jnp.sum(self.rhs * dual, axis=-1))

    def initial_dual(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        return jnp.zeros_like(self.rhs)

    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        return jnp.ones((), self.z.dtype)

    def flat(self) -> _Equalities:
        batch, n = self.z.shape[:-1], self.z.shape[-1]

        def flatten(x: Array, size: int) -> Array:
            return jnp.broadcast_to(x, (*batch, size)).reshape(-1, size)

        return _Equalities(
            flatten(self.z, n),
            flatten(self.softness, 1),
            self.matrix.repeated(batch),
            flatten(self.rhs, self.rhs.shape[-1]),
            None if self.upper is None else flatten(self.upper, n),
            flatten(self.absent, n),
            None,
            self.equalities,
            self.within_one,
        )

    def to_solution(
        self,
        dual: Float[Array, "rows m"],
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Solution:
        dual = jnp.where(jnp.isfinite(dual), dual, 0).reshape(self.rhs.shape)
        steps = steps.reshape(self.z.shape[:-1])
        return self.solution(dual, steps, regularizer, tolerance)


def _broadcast(x: Any, name: str, shape: tuple[int, ...], z: Array) -> Array:
    x = jnp.asarray(x, working_type(z.dtype))
    if not broadcasts(shape, x.shape):
        raise ValueError(
            f"LinearProgram: {name} of shape {x.shape} must broadcast against {shape}."
        )
    return jnp.broadcast_to(x, shape)
