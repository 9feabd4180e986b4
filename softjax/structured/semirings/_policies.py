"""Regularized maxima over one axis of a table of candidates, in every regularizer."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers import Primal, Regularizer, SimplexProjection, evaluate, find_root
from softjax_solvers.internal import derivative, safe_divide, stop_gradient

from .._danskin import attach
from .._semirings import ABSENT
from ._plain import is_present


class Policy(eqx.Module):
    """The maximizer y of `<x, y> - softness (R(y) - r(1))` over the simplex.

    The maximum is *transparent*: that of a single candidate is its own score. So
    stages of a recursion cost nothing by themselves.
    """

    @abc.abstractmethod
    def choose(
        self, x: Float[Array, "n ..."], here: Bool[Array, "n ..."]
    ) -> tuple[Float[Array, "..."], Float[Array, "n ..."]]:
        """The maximum and y; 0 where there is no candidate."""

    @abc.abstractmethod
    def parameters(self) -> tuple[Any, ...]:
        """Softness and what else `term` depends on."""

    @staticmethod
    @abc.abstractmethod
    def term(y: Float[Array, "n ..."], *parameters: Any) -> Float[Array, "..."]:
        """`-softness (R(y) - r(1))`."""

    def maximum(self, x: Float[Array, "n ..."]) -> tuple[Array, Array]:
        """The maximum with its derivatives, and y."""
        here = is_present(x)
        # What is added to an absent candidate, or is infinite, must not count.
        x = jnp.where(here, x, ABSENT)
        value, y = self.choose(x, here)
        value = jnp.where(jnp.any(here, axis=0), value, ABSENT)
        return attach(value, y, x, self.parameters(), term=self.term), y


def policy(regularizer: Regularizer, softness: Float[Array, ""]) -> Policy:
    """The form of the maximum for a regularizer."""
    structure = regularizer.structure()
    if structure.rate is not None:
        return _Softmax(softness / structure.rate)
    if structure.linear:
        one = jnp.ones((), softness.dtype)
        width = regularizer.gradient(one) - regularizer.gradient(0 * one)
        return _Sparsemax(softness * width)
    if structure.steep:
        return _Steep(softness, regularizer)
    return _Root(softness, regularizer)


def _largest(x: Array, here: Array) -> Array:
    """The largest candidate, as a constant."""
    return jnp.max(jax.lax.stop_gradient(jnp.where(here, x, ABSENT)), axis=0)


def _relative(x: Array, here: Array, softness: Array, floor: float) -> Array:
    """`(x - max x) / softness`, and `floor` of what is not here."""
    # No quotient of what is not here: it may be infinite, and its derivative NaN.
    apart = jnp.where(here, x - _largest(x, here), 0)
    return jnp.where(here, apart / softness, floor)


def _objective(x: Array, here: Array, y: Array) -> Array:
    """`<x, y>` by differences from the largest, which are small where y is not."""
    largest = _largest(x, here)
    return largest + jnp.sum(jnp.where(y != 0, (x - largest) * y, 0), axis=0)


class _Softmax(Policy):
    """The policy of a multiple of the entropy."""

    softness: Float[Array, ""]

    def parameters(self):
        return (self.softness,)

    @staticmethod
    def term(y, softness):
        # Not by `xlogy`, whose derivative at 0 is infinite, where y does not move.
        inside = jnp.where(y > 0, y, 1)
        return -softness * jnp.sum(inside * jnp.log(inside), axis=0)

    def choose(self, x, here):
        scores = _relative(x, here, self.softness, -jnp.inf)
        terms = jnp.exp(scores)
        total = jnp.sum(terms, axis=0)
        some = jnp.where(total == 0, 1, total)
        value = _largest(x, here) + self.softness * jnp.log(some)
        return value, terms / some


class _Sparsemax(Policy):
    """The policy of a multiple of the square."""

    softness: Float[Array, ""]

    def parameters(self):
        return (self.softness,)

    @staticmethod
    def term(y, softness):
        return softness * (1 - jnp.sum(y * y, axis=0)) / 2

    def choose(self, x, here):
        # A score of -1 or less has no share, and sums of others are well scaled.
        scores = _relative(x, here, self.softness, -1)
        scores = jnp.where(scores <= -1, -1, scores)
        y = jnp.where(here, sparsemax(scores), 0)
        return _objective(x, here, y) + self.term(y, self.softness), y


class _Root(Policy):
    """The policy of any other link, by a search for the threshold."""

    softness: Float[Array, ""]
    regularizer: Regularizer

    def parameters(self):
        return self.softness, self.regularizer

    @staticmethod
    def term(y, softness, regularizer):
        most = regularizer.value(jnp.ones((), y.dtype))
        return softness * (most - jnp.sum(regularizer.value(y), axis=0))

    def choose(self, x, here):
        r = self.regularizer
        scores = _relative(x, here, self.softness, 0)
        # A single candidate has its share at any dual; r'(1) may be infinite.
        count = jnp.maximum(jnp.sum(here, axis=0), 2).astype(x.dtype)
        one = jnp.ones((), x.dtype)
        uniform, highest = r.gradient(one / count), r.gradient(one)
        lowest = jax.lax.stop_gradient(jnp.min(scores, axis=0))
        upper = -uniform
        lower = jnp.minimum(jnp.maximum(-highest, lowest - uniform), upper)
        args = scores, here, r
        # No derivative of the search, which a reverse mode would want where the rule
        # of a root is dropped: see `attach`. One more step of Newton's has that of the
        # root.
        still, lower, upper = stop_gradient((args, lower, upper))
        theta = _newton_step(find_root(_missing, still, lower, upper, lower), args)
        # A second one, of which only derivatives count, has them up to the third order.
        again = _newton_step(theta, args)
        theta = jax.lax.stop_gradient(theta) + (again - jax.lax.stop_gradient(again))
        y = jnp.where(here, r.link(scores - theta), 0)
        # The sum is 1 but for rounding, which stages would multiply.
        y = safe_divide(y, jax.lax.stop_gradient(jnp.sum(y, axis=0)))
        return _finished(self, x, here, y)


def _newton_step(theta: Array, args: tuple[Array, Array, Regularizer]) -> Array:
    missing, slope = derivative(lambda theta: _missing(theta, args), theta)
    return theta - safe_divide(missing, slope)


def _missing(theta: Array, args: tuple[Array, Array, Regularizer]) -> Array:
    scores, here, r = args
    return jnp.sum(jnp.where(here, r.link(scores - theta), 0), axis=0) - 1


def _finished(policy: Policy, x: Array, here: Array, y: Array) -> tuple[Array, Array]:
    """The maximum at y, and y; to the last bit right for a single candidate."""
    alone = jnp.sum(here, axis=0) <= 1
    y = jnp.where(alone & here, 1, y)
    fixed = jax.lax.stop_gradient(y)
    term = policy.term(fixed, *policy.parameters())
    # Where the rule of `attach` is dropped, higher derivatives need that of y; r' may
    # be infinite at 0 and 1.
    inner = jnp.where((y > 0) & (y < 1), y, 1 / 2)
    moving = policy.term(inner, *stop_gradient(policy.parameters()))
    term = term + (moving - jax.lax.stop_gradient(moving))
    return _objective(x, here, y) + jnp.where(alone, 0, term), y


class _Steep(Policy):
    """The policy of a link that may be infinitely steep, by the projection itself."""

    softness: Float[Array, ""]
    regularizer: Regularizer

    parameters = _Root.parameters

    @staticmethod
    def term(y, softness, regularizer):
        return _Root.term(y, softness, regularizer)

    def choose(self, x, here):
        rows, mask = jnp.moveaxis(x, 0, -1), jnp.moveaxis(here, 0, -1)
        some = mask | ~jnp.any(mask, axis=-1, keepdims=True)
        problem = SimplexProjection(rows, self.softness, some)
        y = jnp.moveaxis(evaluate(problem, self.regularizer, Primal()), -1, 0)
        y = jnp.where(here, y, 0)
        return _finished(self, x, here, y)


def sparsemax(scores: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """The projection onto the simplex, along the first axis, of scores in [-1, 0].

    Without a sort, which takes long to compile within a loop: the threshold of all
    that are above the last one, until none is dropped (Michelot, 1986).
    """
    count = scores.shape[0]
    still = jax.lax.stop_gradient(scores)

    def threshold(theta, scores):
        inside = ~(still <= theta)
        size = jnp.sum(inside, axis=0).astype(scores.dtype)
        total = jnp.sum(jnp.where(inside, scores, 0), axis=0)
        return (total - 1) / size, size

    def step(state):
        theta, size, _ = state
        theta, new = threshold(theta, still)
        return theta, new, jnp.any(new < size)

    start = (jnp.sum(still, axis=0) - 1) / count
    state = start, jnp.full(start.shape, count, scores.dtype), jnp.asarray(True)
    theta, _, _ = jax.lax.while_loop(lambda state: state[2], step, state)
    # The last threshold once more, which alone has a derivative: a rule would be
    # dropped, see `attach`. Not by `jnp.minimum`, which splits the derivative where the
    # two are equal.
    moving, _ = threshold(theta, scores)
    return jnp.where(still <= theta, 0, scores - moving)
