from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._core.groups import Rows, Segments
from ..._core.problem import MaximizationProblem
from ..._core.regularizer import Regularizer
from ..._core.rows import parse_ids
from ..._kernels.arrays import safe_multiply
from ..simplex import Simplex
from .reduced import parse_scores, parse_strength


class GroupLassoProjection(Simplex):
    """A projection onto the simplex of few groups, by the length of each.

    `argmax_{y in simplex} <z, y> - softness (R(y) + strength sum_g |y_g|)` along the
    last axis, with Euclidean lengths: the group lasso, and the sparse one too, as the
    sum of absolute values is 1. With s = z / softness and the dual theta, the positive
    parts `v = max(s - theta, 0)` of each group are shortened by the strength, `y_g = (1
    - strength / |v_g|) v_g`, and 0 if they are no longer than it.

    **Arguments, raises:** those of [`softjax.solvers.GroupedSimplexProjection`][]. It
    takes linear links, such as that of `"c0"`, and raises `ValueError` for others.

    **Example:**

        >>> z, groups = jnp.array([0.9, 0.8, 0.7, 0.2]), jnp.array([0, 0, 1, 1])
        >>> problem = sj.solvers.GroupLassoProjection(z, 1.0, 0.5, groups)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.448 0.393 0.133 0.026]

    ??? cite

        Yuan and Lin, "Model selection and estimation in regression with grouped
        variables", Journal of the Royal Statistical Society B 68 (2006).
    """

    strength: Float[Array, "*#batch 1"]
    members: Segments

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        strength: Array | float,
        groups: Int[Array, " n"],
        where: Array | None = None,
    ):
        name = type(self).__name__
        self.z, self.softness, self.where = parse_scores(z, softness, where, name)
        self.strength = parse_strength(strength, self.z, name)
        self.members = Segments(parse_ids(groups, self.z), self.z.shape[-1])
        self.largest, self.weights, self.groups = None, None, Rows()

    def specialize(self, regularizer: Regularizer) -> GroupLassoProjection:
        if not regularizer.structure().linear:
            raise ValueError(
                "A GroupLassoProjection takes regularizers with a linear link, got "
                f"{regularizer!r}. Use mode='c0', or a GroupedSimplexProjection, which "
                "takes any."
            )
        return self

    def closed_form(self, regularizer: Regularizer) -> Callable[[], Array] | None:
        return None

    log_primal = MaximizationProblem.log_primal

    def links(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        # The link is a line from its edge on, which a linear term of r shifts.
        edge, top = regularizer.gradient(jnp.asarray([0.0, 1.0], self.z.dtype))
        arguments = self.scores - dual[..., None] - edge
        v = self.masked(jnp.where(arguments <= 0, 0, arguments))
        inside = self.members.inside
        square = self.members.spread(self.members.sum(jnp.where(inside, v * v, 0)))
        length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        long = length > self.strength
        share = 1 - self.strength / jnp.where(long, length, 1)
        share = jnp.where(inside, jnp.where(long, share, 0), 1)
        return v * share / (top - edge)

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        return jnp.sum(self.links(dual, regularizer), axis=-1) - 1

    def means(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        y = self.primal(dual, regularizer)
        return jnp.sum(y * values, axis=-1)

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        # All on the largest entry, alone in its group; or no group is long enough.
        zero = jnp.zeros(self.z.shape[:-1], self.z.dtype)
        edge, alone = regularizer.gradient(jnp.asarray([0.0, 1.0], self.z.dtype))
        return zero - alone - self.strength[..., 0], zero - edge

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = self.masked(y)
        terms = safe_multiply(self.scores, y) - regularizer.value(y)
        square = self.members.sum(jnp.where(self.members.inside, y * y, 0))
        some = square > 0
        lengths = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)
        total: Any = self.strength[..., 0] * jnp.sum(lengths, axis=-1)
        return self.softness[..., 0] * (jnp.sum(terms, axis=-1) - total)
