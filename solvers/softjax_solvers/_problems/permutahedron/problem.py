from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..._core.problem import MaximizationProblem
from ..._core.readout import Means, Moves, Primal
from ..._core.regularizer import Regularizer
from ..._core.rows import as_mask, per_row, softness_per_row
from ..._core.solution import Solution
from ..._kernels.arrays import eps, inexact, safe_divide, working_type
from ..._kernels.derivatives import derivative, tangent_of
from ..._kernels.sorting import invert, permute, reorder, sort_with_permutation
from ..by_primal import means_and_tangent
from ..shapes import check_fits
from .blocks import Blocks
from .pooling import Balance, Rule, choose_rule, is_odd

if TYPE_CHECKING:
    import lineax as lx


_POLISHING = 4
"""Steps of Newton's method from a solution with the accuracy of its dual."""


class PermutahedronProjection(MaximizationProblem):
    """Project z / softness onto `conv{permutations of w}`.

    With s = z / softness and w in descending order, there are block values v, constant
    on consecutive blocks B and descending, such that in each block

    - `sum_B phi(s_i - v) = sum_B w_i` and `y = phi(s - v)`, with the link extended to
        an odd function about `t = r'(0)`, if that is finite (`max_y <z, y> - softness
        sum_i (r(|y_i|) + r'(0) (y_i - |y_i|))`);
    - `sum_B phi(s_i - v) = sum_B phi(w_i)` and `y = s - v`, if the link is positive
        everywhere (with the entropy, the projection in the Kullback-Leibler divergence
        of e^s and e^w). A multiple of a regularizer is one of the softness here too.

    The v are the solution of an isotonic regression of s against w. y has the order of
    z; its derivatives are those of the blocks, which have to be found only once.

    **Arguments:**

    - `z`: `*batch n`.
    - `w`: broadcasts against `*batch n`; in any order.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n` of the entries of both z and w; y is 0 outside.
    - `weights`: nonnegative, broadcasts against `*batch n`. An entry stands for so many
        copies of it, and its y is that of each. Both sums above are weighted by them,
        and only their ratios matter. The y of an entry of weight 0 is the limit. None
        for 1.
    - `spacing`: at which distances the w of an entry's copies lie around w_i, `*#batch
        1` of nonnegative numbers; None if all of them are w_i.
    - `z_is_sorted`, `w_is_sorted`: whether their rows are known to be in descending
        order, masked entries last. With weights, w_i belongs to the entry z_i, whatever
        `w_is_sorted` says: w has the order of z, and has to descend with it.
    - `permutation`: what has sorted z and all that has its order, if `z_is_sorted`; y
        is then in the order from before. None if y is in the order of z.

    **Raises:** `ValueError` if the link is bounded, or if there is a spacing and the
    link is positive everywhere, but no exponential.

    **Example:**

        >>> z, w = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 2.0, 3.0])
        >>> problem = sj.solvers.PermutahedronProjection(z, w, 0.5)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [1.133 2.733 2.133]
        >>> weights = jnp.array([2.0, 1.0, 1.0])
        >>> w = jnp.array([1.5, 4.0, 3.0])
        >>> problem = sj.solvers.PermutahedronProjection(z, w, 0.5, weights=weights)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [1.85 3.45 2.85]

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020.
    """

    z: Float[Array, "*batch n"]  # descending, masked entries last
    w: Float[Array, "*batch n"]  # descending, masked entries last
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None  # of the sorted entries: a prefix
    permutation: Int[Array, "*batch n"] | None  # that sorted z
    weights: Float[Array, "*batch n"] | None  # in the order of z, 0 where masked
    spacing: Float[Array, "*#batch 1"] | None

    def __init__(
        self,
        z: Array,
        w: Array,
        softness: Array | float,
        where: Array | None = None,
        *,
        weights: Array | None = None,
        spacing: Array | float | None = None,
        z_is_sorted: bool = False,
        w_is_sorted: bool = False,
        permutation: Int[Array, "*batch n"] | None = None,
    ):
        z = inexact(z)
        if z.ndim == 0:
            raise ValueError("PermutahedronProjection: z must have at least one axis.")
        dtype = working_type(z.dtype)
        w = _fitting("w", inexact(w).astype(dtype), z)
        if where is not None:
            where = _fitting("where", jnp.asarray(where), z)
        if weights is not None:
            weights = _fitting("weights", inexact(weights).astype(dtype), z)
        if not z_is_sorted:
            z, permutation = _descending(z, where)
            if weights is not None:
                w, weights = (permute(x, permutation) for x in (w, weights))
        if weights is None and not w_is_sorted:
            w, _ = _descending(w, where)
        if where is not None:
            if not z_is_sorted:
                position = jnp.arange(z.shape[-1])
                where = position < jnp.sum(where, axis=-1, keepdims=True)
            z, w = jnp.where(where, z, 0), jnp.where(where, w, 0)
            weights = None if weights is None else jnp.where(where, weights, 0)
        self.z, self.w, self.where, self.permutation = z, w, where, permutation
        self.softness, self.weights = softness_per_row(softness, z), weights
        self.spacing = None if spacing is None else per_row(spacing, z, "spacing")

    @property
    def dtype(self) -> jnp.dtype:
        return self.z.dtype

    def specialize(self, regularizer: Regularizer) -> IsotonicRegression:
        structure = regularizer.structure()
        if structure.rate is None and not structure.unbounded:
            raise ValueError(
                f"The link of the regularizer {regularizer!r} does not map to all "
                "positive numbers from a range without an upper end, and a projection "
                "onto a permutahedron has to reach any number. Use a mode whose link "
                "does, such as 'smooth', 'c0', 'c1' or 'c2', or another method."
            )
        rule, w = choose_rule(regularizer), self.w
        if self.weights is not None and self.spacing is not None:
            w = rule.shared(w, self.weights, self.spacing)
        return IsotonicRegression(
            self.z,
            w,
            self.softness,
            self.where,
            self.permutation,
            rule,
            self.weights,
        )

    @staticmethod
    def moves_with_w(regularizer: Regularizer) -> bool:
        """Whether a shift of all of w is one of y: by a link that is a line, or exp."""
        return choose_rule(regularizer).moves_with_w

    def optimality(self, dual: PyTree[Array], regularizer: Regularizer) -> PyTree:
        return self.specialize(regularizer).optimality(dual, regularizer)

    def residual(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "..."]:
        return self.specialize(regularizer).residual(dual, regularizer)

    def primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        return self.specialize(regularizer).primal(dual, regularizer)

    def objective(self, y: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        return self.specialize(regularizer).objective(y, regularizer)


class IsotonicRegression(MaximizationProblem):
    """A projection onto a permutahedron, with the rule by which blocks are pooled."""

    z: Float[Array, "*batch n"]  # descending, masked entries last
    w: Float[Array, "*batch n"]  # descending, masked entries last
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None  # of the sorted entries: a prefix
    permutation: Int[Array, "*batch n"] | None  # that sorted z
    rule: Rule
    weights: Float[Array, "*batch n"] | None = None  # of the sorted entries

    @property
    def counts(self) -> Float[Array, "*batch n"] | None:
        """The weights, positive and relative to the largest of a row.

        An entry of weight 0 has one that is lost in rounding beside any other, and
        decides on its y where there is none.
        """
        if self.weights is None:
            return None
        largest = jnp.max(self.weights, axis=-1, keepdims=True, initial=0)
        counts = safe_divide(self.weights, jax.lax.stop_gradient(largest))
        known = jax.lax.stop_gradient(counts)
        return counts + (jnp.maximum(known, _least(counts)) - known)

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return as_mask(self.where, self.z)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """`<z, y> - softness sum (r(|y_i|) + r'(0) (y_i - |y_i|))`, both weighted.

        NaN if r'(0) is infinite, which a traced parameter decides on.

        **Raises:** `ValueError` if the link is positive everywhere, with which it is
        exp(y), for one, that maximizes an objective, over another polytope.
        """
        odd = is_odd(regularizer)
        if isinstance(odd, bool) and not odd:
            raise ValueError(
                "A PermutahedronProjection has an objective if r'(0) is finite, got "
                f"the regularizer {regularizer!r}. Use a mode such as 'c0', 'c1' or "
                "'c2'."
            )
        if self.permutation is not None:
            y = permute(y, self.permutation)
        edge = regularizer.gradient(jnp.zeros((), y.dtype))
        edge, size = jnp.where(jnp.isfinite(edge), edge, 0), jnp.abs(y)
        terms = regularizer.value(size) + edge * (y - size)
        terms = jnp.where(odd, self.z * y - self.softness * terms, jnp.nan)
        if self.weights is not None:
            terms = terms * self.weights
        return jnp.sum(terms, axis=-1, where=self.mask)

    def arguments(self, dual: Blocks) -> Float[Array, "*batch n"]:
        """`s - v`, 0 where masked."""
        center = permute(self.z, dual.reference)
        if not self.rule.resolves():  # else, the slope at the reference is too large
            center = jax.lax.stop_gradient(center)
        # Not a difference of quotients, which a compiler may round differently.
        u = (self.z - center) / self.softness - dual.offset
        return u if self.where is None else jnp.where(self.where, u, 0)

    def balance(self, dual: Blocks) -> Balance:
        return self._balance(self.arguments(dual), dual)

    def _balance(self, u: Float[Array, "*batch n"], dual: Blocks) -> Balance:
        return self.rule.balance(u, self.w, self.mask, dual, self._shares(dual))

    def _shares(self, dual: Blocks) -> Float[Array, "*batch n"] | None:
        """The weights relative to those of blocks, which no power of one underflows."""
        counts = self.counts
        if counts is None:
            return None
        known = jax.lax.stop_gradient(counts)
        (total,) = dual.totals(known)
        # The weight of an entry alone makes no difference, and neither do those of a
        # block of weights 0: rounding over such a weight would.
        constant = dual.alone | (total <= counts.shape[-1] * _least(counts))
        return jnp.where(constant, known, counts) / total

    def resolved(self, dual: Blocks) -> Blocks:
        """The blocks with values from the score of the entry whose y is next to 0.

        By a steep link, that is of a u that is lost in the rounding of others. So its y
        is what Newton's method solves for, from a sum that it has a slope of 1 in.
        """
        rule, shares = self.rule, self._shares(dual)
        u = self.arguments(dual)
        reference = dual.least(jnp.abs(u))
        apart = (self.z - permute(self.z, reference)) / self.softness
        apart = jnp.where(self.mask, apart, 0)
        own = 1.0 if shares is None else permute(shares, reference)
        dual, y = Blocks(dual.offset, reference), rule.output(permute(u, reference))
        for _ in range(_POLISHING):
            t, rise = derivative(rule.alone, y)
            balance = rule.balance(apart + t, self.w, self.mask, dual, shares)
            slope = balance.slope * rise
            slope = jnp.where(jnp.isfinite(slope) & (slope > own), slope, own)
            y = y - balance.excess / slope
        return Blocks(-rule.alone(y), reference)

    def optimality(self, dual: Blocks, regularizer: Regularizer) -> Blocks:
        return Blocks(self.balance(dual).excess, None)  # pyright: ignore

    def jacobian(
        self, dual: Blocks, regularizer: Regularizer
    ) -> lx.AbstractLinearOperator:
        import lineax as lx

        # The offset of an entry is that of its block.
        slope = Blocks(-self.balance(dual).slope, None)  # pyright: ignore
        return lx.DiagonalLinearOperator(slope)

    def default_solver(self, regularizer: Regularizer) -> str:
        pooled = self.rule.summary() is not None
        return "pool_adjacent_violators" if pooled else "merging"

    def residual(
        self, dual: Blocks, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        balance = self.balance(dual)
        # What is next to underflow is as good as nothing.
        size = jnp.maximum(balance.size, jnp.finfo(self.z.dtype).tiny / eps(self.z))
        relative = jnp.abs(balance.excess / size)
        return jnp.max(relative, axis=-1, initial=0, where=self.mask)

    def primal(
        self, dual: Blocks, regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        return self._unsort(self._sorted_primal(dual)[0])

    def _sorted_primal(self, dual: Blocks) -> tuple[Float[Array, "*batch n"], Balance]:
        """The primal in the order of the dual, and what a move of that would undo."""
        u, rule = self.arguments(dual), self.rule
        y = rule.output(u)
        # A link, or the inverse of one, need not pass NaN on.
        nan = jnp.isnan(u) | jnp.isnan(self.w)
        if self.weights is not None:
            nan = nan | jnp.isnan(self.weights)
        y = jnp.where(nan, jnp.nan, y)
        balance = self._balance(u, dual)
        y = y + rule.unrounded(u, balance)
        return y if self.where is None else jnp.where(self.where, y, 0), balance

    def _unsort(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        if self.permutation is None:
            return y
        return reorder(y, invert(self.permutation), self.permutation)

    # What moves the excess of a block is shared among its entries, which takes one sum.
    def primal_and_tangent(
        self, solution: Solution, readout: Primal, moves: Moves, linear_solver: None
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        dual = solution.dual
        y, balance = self._sorted_primal(dual)

        def at_this_dual(problem):
            y, balance = problem._sorted_primal(dual)
            return y, balance.excess

        move, shift = tangent_of(at_this_dual, (self,), (moves.problem,))
        _, slope = derivative(self.rule.output, self.arguments(dual))
        share = safe_divide(slope, balance.slope)
        # The dual has no derivative where all slopes vanish, but y has one.
        share = jnp.where(self.rule.flat(balance), self._even_share(dual), share)
        return self._unsort(y), self._unsort(move - share * shift)

    def _even_share(self, dual: Blocks) -> Float[Array, "*batch n"] | float:
        """The move of each y in a block in which they move alike by its excess."""
        if self.weights is not None:
            return 1.0  # as the excess is that of shares
        (count,) = dual.totals(self.mask.astype(self.z.dtype))
        return 1 / jnp.maximum(count, 1)

    def weighted(self, values: Array) -> Array:
        return values

    def added(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sum(x, axis=-1)

    fused: ClassVar[Mapping[Any, Callable[..., tuple[Any, Any]]]] = {
        Primal: primal_and_tangent,
        Means: means_and_tangent,
    }


def _fitting(argument: str, x: Array, z: Array) -> Array:
    """An argument of the shape of z."""
    check_fits("PermutahedronProjection", argument, x, "z", z)
    return jnp.broadcast_to(x, z.shape)


def _least(counts: Array) -> float:
    """The weight of what has none: its products with small slopes do not underflow."""
    return float(jnp.finfo(counts.dtype).tiny) ** 0.5


def _descending(x: Array, where: Array | None) -> tuple[Array, Array]:
    if where is None:
        ordered, permutation = sort_with_permutation(-x)
        return -ordered, permutation
    _, permutation = sort_with_permutation(jnp.where(where, -x, jnp.inf))
    return reorder(x, permutation, invert(permutation)), permutation
