"""Transport of many points on a line, by the entries of its plan that are not 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._core.problem import Problem
from ..._core.readout import ColumnMeans, Dual, Moves, Readout
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._kernels.arrays import eps, safe_divide
from ..._kernels.bands import LOW, Diagonals, fold_sums, reach
from ..._kernels.derivatives import derivative, replace_value, tangent_of
from ..._kernels.roots import bracketed_newton
from .band import Band
from .compressed import MeanPlaces
from .line import partial_sums
from .problem import Potentials


class BandedTransport(Problem):
    """Transport of n points on a line to n anchors at equal distances, near its band.

    The plan is `P_ij = count phi(f_i + g_j + B_ij)` of mass 1 a point and an anchor.
    Points that are sorted go to anchors nearby, so that entries are 0, or of no
    account, beyond a distance from the diagonal, which follows from the potentials.
    Within it, they are formed when they are summed, in O(n) memory.

    **Attributes:**

    - `points`: `*batch n`, ascending. Those that take part are `count` of them, from
        the one with the index `start`, both `*batch`; anchors of theirs are in [0, 1].
    - `softness`: `*batch`.
    """

    points: Float[Array, "*batch n"]
    softness: Float[Array, "*batch"]
    start: Int[Array, "*batch"]
    count: Int[Array, "*batch"]

    @classmethod
    def on_line(
        cls,
        points: Float[Array, "*batch n"],
        softness: Any,
        start: Any = 0,
        count: Any = None,
    ) -> BandedTransport:
        """As of the class, of shapes that broadcast; a `count` of None is n."""
        *batch, n = points.shape
        softness = jnp.broadcast_to(jnp.asarray(softness, points.dtype), batch)
        start = jnp.broadcast_to(jnp.asarray(start, jnp.int32), batch)
        count = jnp.asarray(n if count is None else count, jnp.int32)
        return cls(points, softness, start, jnp.broadcast_to(count, batch))

    @property
    def inside(self) -> Bool[Array, "*batch n"]:
        index = jnp.arange(self.points.shape[-1]) - self.start[..., None]
        return (index >= 0) & (index < self.count[..., None])

    @property
    def share(self) -> Float[Array, "*batch 1"]:
        """The mass of one point, of all."""
        return 1 / self.count[..., None].astype(self.points.dtype)

    def span(self, regularizer: Regularizer) -> Float[Array, "*batch 1"]:
        """How far below the largest argument of a row others may be to count."""
        share = self.share
        least = jnp.zeros_like(share)
        if not regularizer.structure().sparse:
            least = share * eps(share) / 100
        most = jnp.minimum(share, 1 - eps(share))
        return regularizer.gradient(most) - regularizer.gradient(least)

    @property
    def _rate(self) -> Float[Array, "*batch 1"]:
        last = jnp.maximum(self.count - 1, 1).astype(self.points.dtype)
        return (2 / (last * self.softness))[..., None]

    @property
    def _pull(self) -> tuple[Array, Array]:
        rate = self._rate
        pull = jnp.where(self.inside, self.points, 0) * rate
        known = jax.lax.stop_gradient(self.points)
        both = self.inside[..., 1:] & self.inside[..., :-1]
        spacing = jnp.where(both, known[..., 1:] - known[..., :-1], 0)
        return pull, spacing * jax.lax.stop_gradient(rate)

    def reach(
        self, g: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Int[Array, ""]]:
        """The largest `g_j + B_ij` of rows, and the blocks of all that counts."""
        inside, (_, spacing) = self.inside, self._pull
        span = jax.lax.stop_gradient(self.span(regularizer))
        return reach(jnp.where(inside, g, LOW), inside, spacing, span)

    def band(self, dual: Potentials, regularizer: Regularizer, blocks: Any) -> Band:
        pull, spacing = self._pull
        line = Diagonals(spacing, blocks)
        return Band(*dual, pull, line, self.inside, regularizer)

    def fit_rows(
        self,
        g: Float[Array, "*batch n"],
        top: Float[Array, "*batch n"],
        blocks: Int[Array, ""],
        start: Float[Array, "*batch n"],
        regularizer: Regularizer,
    ) -> Float[Array, "*batch n"]:
        """The f by which rows have their sums, as of `row_fit`."""
        inside, (_, spacing) = self.inside, self._pull
        target = jnp.broadcast_to(self.share, g.shape)
        g = jnp.where(inside, g, LOW)
        rate: Any = regularizer.structure().rate
        alone = regularizer.gradient(jnp.minimum(target, 1 - eps(target)))

        def sums(f):
            def terms(entry):
                if rate is not None:
                    return (jnp.exp(rate * entry.t),)
                return regularizer.link(entry.t), regularizer.slope(entry.t)

            own = (jnp.where(inside, f, LOW),)
            count = 2 if rate is None else 1
            return fold_sums(terms, own, (g,), spacing, True, blocks, count)

        if rate is not None:
            (total,) = sums(-top)
            total = jnp.where(total > 0, total, 1)
            return jnp.where(inside, alone - jnp.log(total) / rate - top, 0)
        # Newton's method for minus f, as of `row_fit`.
        lower = top - alone
        upper = top - regularizer.gradient(target * self.share)
        wide = 64 * eps(g)
        lower, upper = lower - wide * jnp.abs(lower), upper + wide * jnp.abs(upper)

        def equation(dual):
            total, slope = sums(-dual)
            residual, steep = derivative(
                lambda total: regularizer.contrast(total, target), total
            )
            return jnp.where(inside, residual, 0), -steep * slope

        found = bracketed_newton(
            equation, lower, upper, -start, tolerance=16 * eps(g), max_steps=40
        )
        return jnp.where(inside, -found.point, 0)

    def excess(
        self, dual: Potentials, regularizer: Regularizer, blocks: Any
    ) -> Potentials:
        """By how much sums of rows and columns are above theirs, over all mass."""
        band = self.band(dual, regularizer, blocks)
        share = jnp.where(self.inside, self.share, 0)
        ones = jnp.ones_like(self.points)
        (rows,), (columns,) = band.sums(ones), band.sums(ones, by_rows=False)
        return Potentials(rows - share, columns - share)

    def optimality(self, dual, regularizer):
        return self.excess(dual, regularizer, self.reach(dual.g, regularizer)[1])

    def jacobian(self, dual, regularizer):
        from ..._operators.banded import BandedBipartiteLaplacian

        blocks = self.reach(dual.g, regularizer)[1]
        return BandedBipartiteLaplacian(self.band(dual, regularizer, blocks))

    def residual(self, dual, regularizer):
        gap = self.optimality(dual, regularizer)
        return jnp.max(jnp.abs(gap.g) / self.share, axis=-1)

    def primal(self, dual, regularizer):
        """The plan, `*batch n n`, of the points to the anchors; others stay."""
        pull, _ = self._pull
        inside, n = self.inside, pull.shape[-1]
        known = jax.lax.stop_gradient(jnp.where(inside, self.points, 0))
        apart = known[..., None, :] - known[..., :, None]
        both = inside[..., 1:, None] & inside[..., :-1, None]
        # Differences of points are exact where they are close.
        halves = jnp.where(both, (apart[..., 1:, :] + apart[..., :-1, :]) / 2, 0)
        rate = jax.lax.stop_gradient(self._rate)
        cost = partial_sums(rate[..., None] * halves)
        beside = np.arange(n)[:, None] - np.arange(n)
        f, g = dual.f[..., None, :], dual.g[..., :, None]
        t = f + g + replace_value(beside * pull[..., None, :], -cost)
        edge = regularizer.gradient(jnp.zeros((), t.dtype))
        size = jnp.abs(f) + jnp.abs(g) + cost
        moving = t - edge > 16 * eps(t) * size
        y = regularizer.link(jnp.where(moving, t, jax.lax.stop_gradient(t)))
        y = jnp.where(inside[..., None, :] & inside[..., :, None], y, 0)
        scale = safe_divide(jnp.ones_like(pull), jnp.sum(y, axis=-2))
        y = jnp.where(inside[..., None, :], y * scale[..., None, :], np.eye(n))
        return y.swapaxes(-1, -2)

    def column_means(self, dual, regularizer, values):
        blocks = self.reach(dual.g, regularizer)[1]
        return self._column_means(self.band(dual, regularizer, blocks), values)

    def _column_means(self, band: Band, values: Array) -> Array:
        inside = self.inside
        values = jnp.broadcast_to(values, self.points.shape)
        # Relative to the mean, and with sums of rows that are exact.
        centre = jax.lax.stop_gradient(jnp.where(inside, values, 0))
        centre = jnp.sum(centre, axis=-1, keepdims=True) * self.share
        beside = jnp.where(inside, values - centre, 0)
        (rows,) = band.sums(jnp.ones_like(beside))
        scale = safe_divide(jnp.where(inside, self.share, 0), rows)
        above, total = band.sums(scale * beside, scale, by_rows=False)
        return jnp.where(inside, centre + safe_divide(above, total), values)

    def mean_places(
        self, dual: Potentials, regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """Mean places of points among the anchors, from 0 in the first one."""
        blocks = self.reach(dual.g, regularizer)[1]
        return self._mean_places(self.band(dual, regularizer, blocks))

    def _mean_places(self, band: Band) -> Array:
        index = jnp.arange(self.points.shape[-1]) - self.start[..., None]
        ones = jnp.ones_like(self.points)
        (rows,), (moment,) = band.sums(ones), band.sums(ones, power=1)
        beside = safe_divide(moment, rows)
        return index.astype(beside.dtype) + beside

    def _move(
        self, solution: Solution, moves: Moves
    ) -> tuple[Potentials, Int[Array, ""]]:
        """The tangent of the dual, and the blocks of its band."""
        from ..._operators.banded import BandedBipartiteLaplacian
        from ..._operators.solve import linear_solve

        dual, regularizer = solution.dual, solution.regularizer
        blocks = self.reach(dual.g, regularizer)[1]
        excess = tangent_of(
            lambda p: p.excess(dual, regularizer, blocks), (self,), (moves.problem,)
        )
        system = BandedBipartiteLaplacian(self.band(dual, regularizer, blocks))
        return linear_solve(system, jax.tree.map(jnp.negative, excess)), blocks

    def _value_and_tangent(
        self,
        read: Callable[[BandedTransport, Any, Band], Array],
        solution: Solution,
        readout: Readout,
        moves: Moves,
    ) -> tuple[Array, Array]:
        """A readout and its tangent, by one band for all that they take."""
        move, blocks = self._move(solution, moves)

        def of(problem, readout, dual):
            band = problem.band(dual, solution.regularizer, blocks)
            return read(problem, readout, band)

        args = self, readout, solution.dual
        moves_of_args = moves.problem, moves.readout, move
        return of(*args), tangent_of(of, args, moves_of_args)

    def dual_and_tangent(self, solution, readout, moves, linear_solver):
        return solution.dual, self._move(solution, moves)[0]

    def means_and_tangent(self, solution, readout, moves, linear_solver):
        def read(problem, readout, band):
            return problem._column_means(band, readout.values)

        return self._value_and_tangent(read, solution, readout, moves)

    def places_and_tangent(self, solution, readout, moves, linear_solver):
        def read(problem, readout, band):
            return readout.first + problem._mean_places(band)

        return self._value_and_tangent(read, solution, readout, moves)

    fused: ClassVar = {
        Dual: dual_and_tangent,
        ColumnMeans: means_and_tangent,
        MeanPlaces: places_and_tangent,
    }

    def default_solver(self, regularizer):
        from ..._solvers.banded_newton import BandedNewton

        return BandedNewton()
