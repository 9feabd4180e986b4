from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.problem import MaximizationProblem, Problem, as_mask, per_row
from ..._core.regularizer import Regularizer
from ..._kernels.numerics import (
    derivative,
    eps,
    inexact,
    is_traced,
    safe_divide,
    tangent_of,
)
from ..._kernels.sorting import invert, permute, sort_with_permutation


class Groups(eqx.Module):
    """Groups of entries of descending arrays, and what is reduced over each."""

    @abc.abstractmethod
    def totals(self, *arrays: Array) -> list[Array]:
        """The sums over one's group; they broadcast against the entries."""

    @abc.abstractmethod
    def first(self, inside: Array, *arrays: Array) -> tuple[Array, ...]:
        """Of arrays, their entries at the first one `inside` one's group.

        They broadcast against the entries; anything where none is inside.
        """


class Blocks(Groups):
    """The solution of an isotonic regression: constant blocks of a sorted row.

    The value of a block is measured from the score of an entry of it, its reference:
    differences of scores within a block are exact where the scores are large and close.

    **Attributes:**

    - `offset`: `*batch n`, constant in each block: its value less the score of its
        reference, at a fixed score of that as far as derivatives go.
    - `reference`: `*batch n`, the index in the row of the reference of one's block.

    **Example:**

        >>> z, w = jnp.array([1.0, 0.7, 0.2]), jnp.array([3.0, 2.0, 1.0])
        >>> problem = sj.solvers.PermutahedronProjection(z, w, 0.4)
        >>> print(sj.solvers.solve(problem, "c0").dual.reference)
        [0 0 2]
    """

    offset: Float[Array, "*batch n"]
    reference: Int[Array, "*batch n"]

    def totals(self, *arrays: Float[Array, "*batch n"]) -> list[Array]:
        return [self._reduce(jax.ops.segment_sum, x) for x in arrays]

    def first(self, inside: Array, *arrays: Array) -> tuple[Array, ...]:
        n = inside.shape[-1]
        position = jax.lax.broadcasted_iota(jnp.int32, inside.shape, inside.ndim - 1)
        position = self._reduce(jax.ops.segment_min, jnp.where(inside, position, n - 1))
        return tuple(permute(x, position) for x in arrays)

    def _reduce(self, reduce: Callable, x: Array) -> Array:
        n = x.shape[-1]
        rows = x.size // max(n, 1)
        first = jnp.arange(rows)[:, None] * n
        label = (first + self.reference.reshape(rows, n)).reshape(-1)
        reduced = reduce(
            x.reshape(-1), label, num_segments=x.size, indices_are_sorted=True
        )
        return reduced[label].reshape(x.shape)


class PermutahedronProjection(MaximizationProblem):
    """Project z / softness onto `conv{permutations of w}`.

    With s = z / softness and w in descending order, there are block values v, constant
    on consecutive blocks B and descending, such that in each block

    - `sum_B phi(s_i - v) = sum_B w_i` and `y = phi(s - v)`, with the link extended to
        an odd function, if r'(0) is finite (`max_y <z, y> - softness sum r(|y_i|)`);
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
    - `z_is_sorted`, `w_is_sorted`: whether their rows are known to be in descending
        order, masked entries last.

    **Example:**

        >>> z, w = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 2.0, 3.0])
        >>> problem = sj.solvers.PermutahedronProjection(z, w, 0.5)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [1.133 2.733 2.133]

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020.
    """

    z: Float[Array, "*batch n"]  # descending, masked entries last
    w: Float[Array, "*batch n"]  # descending, masked entries last
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None  # of the sorted entries: a prefix
    permutation: Int[Array, "*batch n"] | None  # that sorted z

    def __init__(
        self,
        z: Array,
        w: Array,
        softness: Array | float,
        where: Array | None = None,
        *,
        z_is_sorted: bool = False,
        w_is_sorted: bool = False,
    ):
        z = inexact(z)
        if z.ndim == 0:
            raise ValueError("PermutahedronProjection: z must have at least one axis.")
        w = jnp.broadcast_to(inexact(w).astype(z.dtype), z.shape)
        if where is not None:
            where = jnp.broadcast_to(where, z.shape)
        self.permutation = None
        if not z_is_sorted:
            z, self.permutation = _descending(z, where)
        if not w_is_sorted:
            w, _ = _descending(w, where)
        if where is not None:
            if not z_is_sorted:
                position = jnp.arange(z.shape[-1])
                where = position < jnp.sum(where, axis=-1, keepdims=True)
            z, w = jnp.where(where, z, 0), jnp.where(where, w, 0)
        self.z, self.w, self.where = z, w, where
        self.softness = per_row(softness, z, "softness")

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return as_mask(self.where, self.z)

    def check_regularizer(self, regularizer: Regularizer) -> None:
        if regularizer.rate() is None and not regularizer.unbounded():
            raise ValueError(
                f"The link of the regularizer {regularizer!r} does not map to all "
                "positive numbers from a range without an upper end, and a projection "
                "onto a permutahedron has to reach any number. Use a mode whose link "
                "does, such as 'smooth', 'c0', 'c1' or 'c2', or another method."
            )

    @staticmethod
    def moves_with_w(regularizer: Regularizer) -> bool:
        """Whether a shift of all of w is one of y: by a link that is a line, or exp."""
        return _rule(regularizer).moves_with_w

    def rule(self, regularizer: Regularizer) -> "Rule":
        """What ties the value of a block to its entries."""
        return _rule(regularizer)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """`<z, y> - softness sum r(|y_i|)`.

        **Raises:** `ValueError` if the link is positive everywhere, with which it is
        exp(y), for one, that maximizes an objective, over another polytope.
        """
        odd = _is_odd(regularizer)
        if isinstance(odd, bool) and not odd:
            raise ValueError(
                "A PermutahedronProjection has an objective if r'(0) is finite, got "
                f"the regularizer {regularizer!r}. Use a mode such as 'c0', 'c1' or "
                "'c2'."
            )
        if self.permutation is not None:
            y = permute(y, self.permutation)
        terms = self.z * y - self.softness * regularizer.value(jnp.abs(y))
        return jnp.sum(terms, axis=-1, where=self.mask)

    def _arguments(self, dual: Blocks) -> Float[Array, "*batch n"]:
        """`s - v`, 0 where masked."""
        center = jax.lax.stop_gradient(permute(self.z, dual.reference))
        # Not a difference of quotients, which a compiler may round differently.
        u = (self.z - center) / self.softness - dual.offset
        return u if self.where is None else jnp.where(self.where, u, 0)

    def _balance(self, dual: Blocks, regularizer: Regularizer) -> "Balance":
        u, rule = self._arguments(dual), self.rule(regularizer)
        return rule.balance(u, self.w, self.mask, dual)

    def optimality(
        self, dual: Blocks, regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        return self._balance(dual, regularizer).excess

    def check_linear_solver(self, linear_solver: Any) -> None:
        if linear_solver is not None:
            raise TypeError(
                f"linear_solver={linear_solver!r}: the dual of a "
                "PermutahedronProjection has one number a block, whose derivative is "
                "a quotient. Pass None."
            )

    def dual_tangent(
        self,
        dual: Blocks,
        regularizer: Regularizer,
        shift: Float[Array, "*batch n"],
        linear_solver: Any = None,
    ) -> Blocks:
        slope = self._balance(dual, regularizer).slope
        return Blocks(safe_divide(shift, slope), None)  # pyright: ignore

    def residual(
        self, dual: Blocks, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        balance = self._balance(dual, regularizer)
        # What is next to underflow is as good as nothing.
        size = jnp.maximum(balance.size, jnp.finfo(self.z.dtype).tiny / eps(self.z))
        relative = jnp.abs(balance.excess / size)
        return jnp.max(relative, axis=-1, initial=0, where=self.mask)

    def primal(
        self, dual: Blocks, regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        y, balance = self._sorted_primal(dual, regularizer)
        if regularizer.rate() is None:
            # Where all slopes of a block vanish, its value moves infinitely fast with w
            # and the dual has no derivative, but y has one: what is missing is shared.
            missing = jnp.where(balance.slope == 0, -balance.excess, 0)
            y = _take_derivative(y, missing / self._count(dual))
        return self._unsort(y)

    def _sorted_primal(
        self, dual: Blocks, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], "Balance"]:
        """The primal in the order of the dual, and what a move of that would undo."""
        u, rule = self._arguments(dual), self.rule(regularizer)
        y = rule.output(u)
        # A link, or the inverse of one, need not pass NaN on.
        y = jnp.where(jnp.isnan(u) | jnp.isnan(self.w), jnp.nan, y)
        y = y if self.where is None else jnp.where(self.where, y, 0)
        balance = rule.balance(u, self.w, self.mask, dual)
        return y + self._rounded_off(regularizer, rule, u, balance), balance

    def _rounded_off(
        self, regularizer: Regularizer, rule: "Rule", u: Array, balance: "Balance"
    ) -> Float[Array, "*batch n"] | float:
        """Part of the excess that a steep link makes of the rounding of the dual.

        It is shared in proportion to slopes, where sums of y are what is balanced.
        """
        odd = _is_odd(regularizer)
        if odd is False or not regularizer.steep():
            return 0.0
        _, slope = derivative(rule.output, jax.lax.stop_gradient(u))
        share = safe_divide(slope, balance.slope)
        missing = jnp.where(odd, -share * balance.excess, 0)
        if self.where is not None:
            missing = jnp.where(self.where, missing, 0)
        return jax.lax.stop_gradient(missing)

    def _count(self, dual: Blocks) -> Float[Array, "*batch n"]:
        (count,) = dual.totals(self.mask.astype(self.z.dtype))
        return jnp.maximum(count, 1)

    def _unsort(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        if self.permutation is None:
            return y
        return permute(y, invert(self.permutation))

    def solved_primal(
        self,
        regularizer: Regularizer,
        find_dual: Callable[[Problem, Regularizer], Blocks],
        linear_solver: Any = None,
    ) -> Float[Array, "*batch n"]:
        return self._unsort(_solved_primal(self, regularizer, find_dual=find_dual))

    def expectation(
        self, dual: Blocks, regularizer: Regularizer, values: Float[Array, "*batch n"]
    ) -> Float[Array, "*batch"]:
        return jnp.sum(self.primal(dual, regularizer) * values, axis=-1)


@eqx.filter_custom_jvp
def _solved_primal(
    problem: PermutahedronProjection,
    regularizer: Regularizer,
    *,
    find_dual: Callable[[Problem, Regularizer], Blocks],
) -> Float[Array, "*batch n"]:
    y, _ = problem._sorted_primal(find_dual(problem, regularizer), regularizer)
    return y


# What moves the excess of a block is shared among its entries, which takes one sum.
@_solved_primal.def_jvp
def _solved_primal_jvp(primals, tangents, *, find_dual):
    problem, regularizer = primals
    dual = find_dual(problem, regularizer)
    y, balance = problem._sorted_primal(dual, regularizer)

    def at_this_dual(problem, regularizer):
        y, balance = problem._sorted_primal(dual, regularizer)
        return y, balance.excess

    move, shift = tangent_of(at_this_dual, (problem, regularizer), tuple(tangents))
    rule, u = problem.rule(regularizer), problem._arguments(dual)
    _, slope = derivative(rule.output, u)
    share = safe_divide(slope, balance.slope)
    if regularizer.rate() is None:
        # As in `primal`.
        share = jnp.where(balance.slope == 0, 1 / problem._count(dual), share)
    return y, move - share * shift


@jax.custom_jvp
def _take_derivative(y: Array, zero: Array) -> Array:
    """`y`, with the derivatives of `y + zero`, of which `zero` need not be computed."""
    return y


@_take_derivative.defjvp
def _take_derivative_jvp(primals, tangents):
    y_dot, zero_dot = tangents
    return _take_derivative(*primals), y_dot + zero_dot


def _rule(regularizer: Regularizer) -> "Rule":
    rate = regularizer.rate()
    if rate is not None:
        return _LogSums(rate)
    odd = _is_odd(regularizer)
    if odd is True and regularizer.linear():
        return _LinearSums(regularizer)
    return _Sums(regularizer, odd)


def _is_odd(regularizer: Regularizer) -> bool | Bool[Array, ""]:
    """Whether r'(0) is finite, so that the link is extended to an odd function.

    A `bool` where that is known, and else not the guess of `reaches_zero`.
    """
    # A factor makes no difference, traced or not.
    regularizer, _ = regularizer.unit()
    if is_traced(regularizer):
        return jnp.isfinite(regularizer.gradient(jnp.zeros(())))
    return regularizer.reaches_zero()


def _descending(x: Array, where: Array | None) -> tuple[Array, Array]:
    if where is None:
        ordered, permutation = sort_with_permutation(-x)
        return -ordered, permutation
    _, permutation = sort_with_permutation(jnp.where(where, -x, jnp.inf))
    return permute(x, permutation), permutation


class Balance(NamedTuple):
    """What ties the value v of a group to its entries.

    **Attributes:**

    - `excess`: decreases in v, and vanishes for the right one.
    - `slope`: minus its derivative in v.
    - `size`: the size of what it is a difference of.
    """

    excess: Array
    slope: Array
    size: Array


class Rule(eqx.Module):
    """How entries are pooled, in terms of `u = s - v`."""

    moves_with_w: eqx.AbstractClassVar[bool]  # whether y shifts when w does

    @abc.abstractmethod
    def alone(self, w: Array) -> Array:
        """The u of an entry that is a block of its own."""

    @abc.abstractmethod
    def output(self, u: Array) -> Array:
        """The y of an entry."""

    @abc.abstractmethod
    def balance(self, u: Array, w: Array, inside: Array, groups: Groups) -> Balance:
        """The balance of each group, of which only the entries `inside` count."""

    def summary(self) -> Summary | None:
        """How blocks are pooled without their entries. Default: None, they are not."""
        return None

    def summary_scale(self) -> float | Float[Array, ""]:
        """Factor of u before it is summarized. Default: 1."""
        return 1.0


Pair = tuple[Array, Array]


class Summary(eqx.Module):
    """Two numbers that say of a block what has to be known to pool it with another.

    They are relative to the first entry: to its s, and to the u that it has alone.
    """

    new: eqx.AbstractClassVar[tuple[float, float]]  # of an entry

    @abc.abstractmethod
    def join(self, block: Pair, after: Pair, rise: Array, drop: Array) -> Pair:
        """That of two blocks, where s and u of the second one are so much more."""

    @abc.abstractmethod
    def level(self, block: Pair) -> Array:
        """By how much the value of a block is above that of its first entry alone."""


class _Means(Summary):
    """The number of entries, and the sum of their values."""

    new: ClassVar[tuple[float, float]] = (1, 0)

    def join(self, block, after, rise, drop):
        (count, total), (more, added) = block, after
        return count + more, total + added + more * (rise - drop)

    def level(self, block):
        count, total = block
        return total / count


class _Exponentials(Summary):
    """The sums of the exponentials of s and of w, which is the u of an entry alone."""

    new: ClassVar[tuple[float, float]] = (1, 1)

    def join(self, block, after, rise, drop):
        (source, target), (more_source, more_target) = block, after
        return (
            source + jnp.exp(rise) * more_source,
            target + jnp.exp(drop) * more_target,
        )

    def level(self, block):
        source, target = block
        return jnp.log(source / target)


class _Sums(Rule):
    """Sums of links; `odd` says whether they are extended to an odd function."""

    moves_with_w: ClassVar[bool] = False

    regularizer: Regularizer
    odd: bool | Bool[Array, ""]

    def _choose(self, odd: Callable, positive: Callable, x: Array) -> Array:
        if isinstance(self.odd, bool):
            return odd(x) if self.odd else positive(x)
        # Not both: what is not meant may overflow.
        return jax.lax.cond(self.odd, lambda x: odd(x), lambda x: positive(x), x)

    # Where the link is positive everywhere, w and y are arguments of the link of its
    # unit, so that a multiple of a regularizer is a multiple of the softness.

    def _to_unit(self, u: Array) -> Array:
        return u / self.regularizer.unit()[1]

    def _from_unit(self, w: Array) -> Array:
        return self.regularizer.unit()[1] * w

    def _edge(self, like: Array) -> Float[Array, ""]:
        edge = self.regularizer.gradient(jnp.zeros((), like.dtype))
        return jnp.where(jnp.isfinite(edge), edge, 0)

    def _extended(self, u: Array) -> Array:
        edge = self._edge(u)
        distance = jnp.where(u < edge, edge - u, u - edge)
        # At the edge the slope is that from the right, of both sides.
        least = jnp.finfo(u.dtype).tiny + eps(u) * jnp.abs(edge)
        off = jax.lax.stop_gradient(jnp.maximum(distance, least) - distance)
        y = self.regularizer.link(edge + (distance + off))
        # There it is 0, and just has the derivative of what is next to it.
        y = jnp.where(distance > 0, y, y - jax.lax.stop_gradient(y))
        return jnp.where(u < edge, -y, y)

    def _inverse(self, w: Array) -> Array:
        edge = self._edge(w)
        height = self.regularizer.gradient(jnp.abs(w)) - edge
        return edge + jnp.where(w < 0, -height, height)

    def _link(self, u: Array) -> Array:
        return self._choose(self._extended, self.regularizer.link, u)

    def alone(self, w: Array) -> Array:
        return self._choose(self._inverse, self._from_unit, w)

    def output(self, u: Array) -> Array:
        return self._choose(self._extended, self._to_unit, u)

    def balance(self, u: Array, w: Array, inside: Array, groups: Groups) -> Balance:
        unit, _ = self.regularizer.unit()
        target = self._choose(_same, unit.link, w)
        return _balance_sums(self._link, u, target, inside, groups)


def _balance_sums(
    link: Callable[[Array], Array],
    u: Array,
    target: Array,
    inside: Array,
    groups: Groups,
) -> Balance:
    """The balance of groups in which `link(u)` sums to the same as `target`."""
    y, slope = derivative(link, jnp.where(inside, u, 0))
    size = jax.lax.stop_gradient(jnp.abs(y) + jnp.abs(target))
    terms = (jnp.where(inside, x, 0) for x in (y - target, slope, size))
    return Balance(*groups.totals(*terms))


def _same(x: Array) -> Array:
    return x


class _LinearSums(Rule):
    """The same where a link is a line, whose extension to an odd function is one."""

    moves_with_w: ClassVar[bool] = True

    regularizer: Regularizer

    def _gradient(self, y: float, like: Array) -> Float[Array, ""]:
        return self.regularizer.gradient(jnp.full((), y, like.dtype))

    def summary(self) -> Summary:
        return _Means()

    def alone(self, w: Array) -> Array:
        start = self._gradient(0, w)
        return start + (self._gradient(1, w) - start) * w

    def output(self, u: Array) -> Array:
        start = self._gradient(0, u)
        return (u - start) / (self._gradient(1, u) - start)

    def balance(self, u: Array, w: Array, inside: Array, groups: Groups) -> Balance:
        return _balance_sums(self.output, u, w, inside, groups)


class _LogSums(Rule):
    """Logarithms of sums of exponentials, for a multiple of the entropy.

    With the rate c of the link, `sum_B exp(c u_i) = sum_B exp(w_i)` and `y = c u`.
    """

    moves_with_w: ClassVar[bool] = True

    rate: float | Float[Array, ""]

    def summary(self) -> Summary:
        return _Exponentials()

    def summary_scale(self) -> float | Float[Array, ""]:
        return self.rate

    def alone(self, w: Array) -> Array:
        return w / self.rate

    def output(self, u: Array) -> Array:
        return self.rate * u

    def balance(self, u: Array, w: Array, inside: Array, groups: Groups) -> Balance:
        u = self.rate * u
        # Both descend: nothing overflows where the first is 0.
        source, target = jax.lax.stop_gradient(groups.first(inside, u, w))

        def total(x: Array) -> Array:
            # One by one, which XLA compiles into faster code for exponentials.
            (total,) = groups.totals(jnp.exp(jnp.where(inside, x, -jnp.inf)))
            return jnp.where(total == 0, 1, total)

        sources, targets = total(u - source), total(w - target)
        excess = source - target + jnp.log(sources / targets)
        size = 1 + jnp.abs(source) + jnp.abs(target)
        return Balance(excess, self.rate * jnp.ones_like(excess), size)
