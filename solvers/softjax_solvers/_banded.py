"""Linear systems of fourth differences, solved in parallel along the row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int

from ._linear import Quiet
from ._numerics import eps, pad_last

_Pair = tuple[Array, Array]
_Block = tuple[_Pair, _Pair]  # 2 x 2 matrices, by their entries


def second_differences(
    x: Float[Array, "*batch m"], inside: Bool[Array, "*#batch m"]
) -> Float[Array, "*batch m"]:
    """`2 x_k - x_(k-1) - x_(k+1)`, where all that is not `inside` is 0."""
    x = jnp.where(inside, x, 0)
    return jnp.where(inside, 2 * x - _at(x, -1) - _at(x, 1), 0)


def solve_fourth_differences(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """x in `(L diag(inner) L + diag(outer)) x = rhs`, with L the `second_differences`.

    `inner` and `outer` are positive, and `inside` is a prefix of each row; x is 0
    outside. The matrix has five diagonals, or three of 2 x 2 blocks. Each step of
    cyclic reduction (Hockney, 1965) doubles the distance between blocks that are
    coupled, so log m steps decouple them all.
    """
    m = rhs.shape[-1]
    inner = jnp.where(inside, inner, 0)
    diagonal = 4 * inner + _at(inner, -1) + _at(inner, 1)
    diagonal = jnp.where(inside, diagonal + outer, 1)
    first = jnp.where(_at(inside, 1), -2 * (inner + _at(inner, 1)), 0)
    second = jnp.where(_at(inside, 2), _at(inner, 1), 0)

    def pair(x: Array, fill: float = 0.0) -> _Pair:
        x = pad_last(x, 0, m % 2, fill)
        return x[..., ::2], x[..., 1::2]

    upper, lower = pair(diagonal, 1.0)
    beside, across = pair(first)
    block = ((upper, beside), (beside, lower))
    skip, skip_too = pair(second)
    coupling = ((skip, jnp.zeros_like(skip)), (across, skip_too))
    steps = max(upper.shape[-1] - 1, 0).bit_length()

    def reduce(step, system):
        block, coupling, rhs = system
        distance = 1 << step
        inverse = _inverse(block)
        onward = _product(inverse, coupling)
        back = _transpose(coupling)

        def before(x):
            return jax.tree.map(lambda x: _at(x, -distance), x)

        def after(x):
            return jax.tree.map(lambda x: _at(x, distance), x)

        toward = _product(coupling, after(inverse))
        block = _minus(block, before(_product(back, onward)))
        block = _minus(block, _product(toward, back))
        rest = _minus(rhs, before(_apply(_transpose(onward), rhs)))
        rest = _minus(rest, _apply(toward, after(rhs)))
        coupling = _product(toward, after(coupling))
        return block, jax.tree.map(jnp.negative, coupling), rest

    system = (block, coupling, pair(jnp.where(inside, rhs, 0)))
    block, _, rest = jax.lax.fori_loop(0, steps, reduce, system)
    x = jnp.stack(_apply(_inverse(block), rest), axis=-1)
    return x.reshape(*rhs.shape[:-1], -1)[..., :m]


def fourth_difference_solve(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
    linear_solver: lx.AbstractLinearSolver | None = None,
) -> Float[Array, "*batch m"]:
    """The same through Lineax, which differentiates it.

    The operator is applied as two products with a tridiagonal matrix, more accurate
    than what `solve_fourth_differences` forms of it, and that is the preconditioner.

    **Arguments:**

    - `linear_solver`: a solver of Lineax for symmetric positive definite operators;
        None for conjugate gradients.
    """
    if linear_solver is None:
        linear_solver = lx.CG(4 * eps(rhs), 4 * eps(rhs), max_steps=32)

    def solve(inner, outer, rhs, inside):
        def apply(x):
            inward = second_differences(inner * second_differences(x, inside), inside)
            return inward + jnp.where(inside, outer, 1) * x

        weights = jax.lax.stop_gradient((inner, outer))

        def nearly_solve(x):
            return solve_fourth_differences(*weights, x, inside)

        like = jax.eval_shape(lambda: rhs)
        tag = lx.positive_semidefinite_tag
        operator = lx.FunctionLinearOperator(apply, like, tag)
        nearly = lx.FunctionLinearOperator(nearly_solve, like, tag)
        return lx.linear_solve(
            operator,
            rhs,
            Quiet(linear_solver),
            options=dict(preconditioner=nearly),
            throw=False,
        ).value

    return jnp.vectorize(solve, signature="(m),(m),(m),(m)->(m)")(
        inner, outer, rhs, inside
    )


def _at(x: Array, shift: int | Int[Array, ""]) -> Array:
    """`x` so many places further on along its last axis, 0 beyond its ends."""
    m = x.shape[-1]
    return jax.lax.dynamic_slice_in_dim(pad_last(x, m, m), m + shift, m, axis=-1)


def _minus(x, y):
    return jax.tree.map(jnp.subtract, x, y)


def _transpose(x: _Block) -> _Block:
    (a, b), (c, d) = x
    return (a, c), (b, d)


def _apply(x: _Block, y: _Pair) -> _Pair:
    first, second = (a * y[0] + b * y[1] for a, b in x)
    return first, second


def _product(x: _Block, y: _Block) -> _Block:
    first, second = (_apply(x, column) for column in _transpose(y))
    return _transpose((first, second))


def _inverse(x: _Block) -> _Block:
    """Of a symmetric positive definite block."""
    (a, b), (_, c) = x
    scale = 1 / (a * c - b * b)
    return (c * scale, -b * scale), (-b * scale, a * scale)
