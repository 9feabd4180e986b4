"""The interface of a regularizer, and what follows from its link alone."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._kernels.arrays import inexact, is_traced, safe_divide
from .._kernels.derivatives import derivative, stop_gradient, tangent_of
from .._kernels.logarithms import safe_log
from .._kernels.quadrature import integrate
from .._kernels.roots import bracketed_newton, find_root
from .._platform.batches import any_true
from .elementwise import ELEMENTWISE, elementwise
from .structure import Structure, Unknown


class Regularizer(eqx.Module):
    """A separable, strictly convex regularizer `R(y) = sum_i r(y_i)` of `y >= 0`.

    The one thing to define is the *link* `phi = (r*)'`. Everything else follows from
    it numerically; a subclass overrides whatever it has in closed form. All methods
    act elementwise on arrays of any shape and must be built of JAX operations that
    can be differentiated. Array fields (a parameter of the regularizer) may be traced
    and are differentiated too; whatever their type is, results have that of the
    argument.

    **Example:**

        >>> class Shifted(sj.solvers.Regularizer):
        ...     def link(self, t):  # r'(y) = log(1 + y)
        ...         return jnp.expm1(jnp.maximum(t, 0))
        ...
        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode=Shifted(), softness=0.5))
        [0.    0.937 0.063]

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses",
        JMLR 21 (2020).
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in ELEMENTWISE & vars(cls).keys():
            setattr(cls, name, elementwise(name, vars(cls)[name]))

    @abc.abstractmethod
    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """`phi(t) = argmax_y t y - r(y)`: nondecreasing, >= 0, reaching (0, 1)."""

    # What follows are defaults, meant to be overridden by closed forms.

    def structure(self) -> Structure:
        """The shape of the link, by which algorithms are chosen.

        Which of them must not depend on what is traced. Default: none is known, and it
        is looked at.
        """
        return Unknown(self)

    def unit(self) -> tuple[Regularizer, float | Float[Array, ""]]:
        """Another regularizer and a factor, the product of which is this one.

        What maps solutions to numbers without a unit belongs to the former. Default:
        itself and 1.
        """
        return self, 1.0

    def grounded(self) -> Regularizer:
        """This one less a linear term, by which r'(0) is 0, where that is finite.

        What is next to 0 is resolved then, also by steep links. Default: itself, where
        there is no formula for that.
        """
        return self

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """The derivative `phi'(t)`. Default: forward-mode differentiation."""
        return derivative(self.link, t)[1]

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """`log phi(t)`, -inf with derivative 0 where the link is 0.

        Default: the logarithm of the link, which a closed form has beyond the smallest
        number of the type.
        """
        return safe_log(self.link(t))

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        """The inverse link `r'(y)` for y in [0, 1]. Default: a root find.

        `r'(0)` is where the link leaves 0, `-inf` if it never reaches 0; a default
        that is found by looking, so a regularizer in which that point depends on a
        differentiated parameter should override this method.
        """
        y = inexact(y)
        if is_traced((self, y)):
            return _invert_link(self, y)
        with jax.ensure_compile_time_eval():
            return _invert_link(self, y)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """`r*(t)`, the integral of the link from -inf. Default: quadrature."""
        return antiderivative(
            inexact(t), self, integral=_integrate_link, integrand=_call_link
        )

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        """`r(y)`, up to the constant that makes `r(0) = 0`. Default: Fenchel-Young."""
        y = inexact(y)
        interior = y > 0
        t = self.gradient(jnp.where(interior, y, 1 / 2))
        return jnp.where(interior, t * y - self.conjugate(t), 0)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """First entry of `argmax_{y in simplex} <[t, 0], y> - R(y)`, in [0, 1]."""
        return _two_point(inexact(t), self)

    def log_sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """`log sigmoid(t)`, as `log_link`. Default: the logarithm of the sigmoid."""
        return safe_log(self.sigmoid(t))

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """The integral of `sigmoid` from -inf to t, a smooth `max(t, 0)`.

        By Danskin's theorem it is the regularized maximum of [t, 0], up to a
        constant. Default: quadrature, with `sigmoid` attached as its derivative.
        """
        return antiderivative(
            inexact(t), self, integral=_integrate_two_point, integrand=_call_sigmoid
        )

    def transition_scale(self) -> Float[Array, ""]:
        """The factor of softness in elementwise operators.

        `5 / (r'(1) - r'(0))`, and at least 1: a bounded transition then fills
        [-5 softness, 5 softness], unless it is already that wide at the softness
        itself, as an unbounded one is, to which such transitions may converge.
        """
        width = self.gradient(jnp.asarray(1.0)) - self.gradient(jnp.asarray(0.0))
        # Of a width below 5; what is longer has the same scale, and no derivative.
        short = width < 5
        return jnp.where(short, 5 / jnp.where(short, width, 5), 1.0)

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """A function that is zero where `total`, a sum of links, equals `target`.

        It increases with `total`. Root finds are fast if it undoes the curvature of
        the link, as `r'(total) - r'(target)` does. Default: the relative error.
        """
        return total / target - 1

    def simplex_dual(
        self,
    ) -> Callable[[Float[Array, "*batch n"], Bool[Array, "*batch n"]], Array] | None:
        """A closed form for theta in `sum_i phi(scores_i - theta) = 1`, if any.

        Returns `None`, or a function of `(scores, where)`, of shape `*batch n` with
        the largest score 0, that returns theta of shape `*batch`.
        """
        return None


@eqx.filter_custom_jvp
def antiderivative(t, regularizer, *, integral, integrand):
    """`integral(t, regularizer)`, with `integrand` as its derivative in t.

    The quadrature inside is thus never differentiated with respect to t.
    """
    return integral(t, regularizer)


@antiderivative.def_jvp
def _antiderivative_jvp(primals, tangents, *, integral, integrand):
    t, regularizer = primals
    t_tangent, regularizer_tangent = tangents
    out = antiderivative(t, regularizer, integral=integral, integrand=integrand)
    tangent = jnp.zeros_like(out)
    if t_tangent is not None:
        tangent = tangent + integrand(t, regularizer) * t_tangent
    if jax.tree.leaves(regularizer_tangent):
        tangent = tangent + tangent_of(
            lambda r: integral(t, r), (regularizer,), (regularizer_tangent,)
        )
    return out, tangent


def link_from_gradient(
    gradient: Callable[[Array], Array], t: Float[Array, "..."]
) -> Float[Array, "..."]:
    """The link that belongs to a given `r'`, solving `r'(y) = t` for y >= 0.

    **Arguments:**

    - `gradient`: the elementwise, strictly increasing function `r'` on y > 0. It may
        close over traced parameters.
    - `t`: an array of any shape.

    **Returns:** `y` of the shape of `t`; 0 where `t <= r'(0)`. Its derivative
    `1 / r''(y)` is implicit, so that no iteration is ever differentiated.

    **Example:**

        >>> t = jnp.array([-1.0, 0.0, 1.0])
        >>> print(sj.solvers.link_from_gradient(lambda y: jnp.log(y) + y, t))
        [0.278 0.567 1.   ]
    """
    t = inexact(t)
    gradient = eqx.filter_closure_convert(gradient, t)
    # In u = log y the equation stays well scaled. A y so small that a second derivative
    # of r', of order 1 / y^2, would overflow counts as 0.
    info = jnp.finfo(t.dtype)
    lower = jnp.full_like(t, jnp.log(info.tiny) / 2)
    upper = jnp.full_like(t, jnp.log(info.max) / 2)
    inside = ~(t <= stop_gradient(gradient)(jnp.exp(lower)))

    def residual(u, args):
        gradient, t = args
        return _relative(t - gradient(jnp.exp(u)), t)

    # Where there is no root, any equation that holds at once will do.
    safe_t = jnp.where(inside, t, stop_gradient(gradient)(jnp.ones_like(t)))
    u = find_root(residual, (gradient, safe_t), lower, upper, jnp.zeros_like(t))
    y = jnp.where(inside, jnp.exp(u), 0)
    return jnp.where(jnp.isnan(t), t, y)


def _call_link(t, regularizer):
    return regularizer.link(t)


def _call_sigmoid(t, regularizer):
    return regularizer.sigmoid(t)


def _link_residual(t, args):
    regularizer, y = args
    return _relative(y - regularizer.link(t), y)


def _relative(residual: Array, size: Array) -> Array:
    """A residual relative to large numbers: a search stops at their rounding."""
    return residual / jnp.maximum(jnp.abs(jax.lax.stop_gradient(size)) / 4, 1)


def _widen(stop: Callable[[Array], Array], like: Array) -> Float[Array, "..."]:
    """The first power of 2 at which `stop` holds elementwise, or 2^30."""
    return jax.lax.while_loop(
        lambda size: any_true(~stop(size) & (size < 2.0**30)),
        lambda size: jnp.where(stop(size), size, 2 * size),
        jnp.ones_like(like),
    )


# Compiled, since its loops would otherwise be compiled anew at every call.
@eqx.filter_jit
def _invert_link(regularizer: Regularizer, y: Float[Array, "..."]) -> Array:
    frozen = stop_gradient(regularizer)
    inner = y > 0
    target = jnp.where(inner, y, 1 / 2)
    goal = jax.lax.stop_gradient(target)
    upper = _widen(lambda size: frozen.link(size) >= goal, y)
    lower = -_widen(lambda size: frozen.link(-size) <= goal, y)
    root = find_root(_link_residual, (regularizer, target), lower, upper, upper)
    root = jnp.where(frozen.link(upper) >= goal, root, jnp.inf)
    return jnp.where(inner, root, _support_edge(frozen, y))


def _support_edge(regularizer: Regularizer, like: Array) -> Float[Array, "..."]:
    """`r'(0)`: the largest t with phi(t) = 0, or -inf."""
    one = jnp.ones_like(like)
    top = bracketed_newton(
        functools.partial(derivative, lambda t: 1 - regularizer.link(t)),
        -_widen(lambda size: regularizer.link(-size) <= 1, like),
        _widen(lambda size: regularizer.link(size) >= 1, like),
        one,
    ).point
    bottom = -_widen(lambda size: regularizer.link(-size) == 0, like)

    def halve(_, bracket):
        lower, upper = bracket
        middle = lower + (upper - lower) / 2
        positive = regularizer.link(middle) > 0
        return jnp.where(positive, lower, middle), jnp.where(positive, middle, upper)

    lower, _ = jax.lax.fori_loop(0, 48, halve, (bottom, top))
    # A link that only underflows is still negligible half way up to 1, which one
    # with bounded support is not.
    bounded = regularizer.link(bottom) == 0
    bounded &= regularizer.link(lower + (top - lower) / 2) > 1e-12
    return jnp.where(bounded, lower, -jnp.inf)


def _two_point_residual(dual, args):
    regularizer, gap = args
    return regularizer.link(-dual) + regularizer.link(-gap - dual) - 1


def _two_point_dual(gap: Array, regularizer: Regularizer) -> Array:
    """theta in `phi(-theta) + phi(-gap - theta) = 1`, for scores 0 and -gap <= 0.

    So measured from the larger score, it stays of order 1 however large the gap.
    """
    frozen = stop_gradient(regularizer)
    at_half = frozen.gradient(jnp.asarray(1 / 2, gap.dtype))
    at_one = frozen.gradient(jnp.asarray(1.0, gap.dtype))
    lower = jnp.maximum(-at_one, -gap - at_half)
    upper = jnp.broadcast_to(-at_half, gap.shape)
    return find_root(_two_point_residual, (regularizer, gap), lower, upper, lower)


def _magnitude(t: Array) -> Array:
    """`|t|` with derivative 1 at 0."""
    return jnp.where(t < 0, -t, t)


def _two_point(t: Array, regularizer: Regularizer) -> Array:
    gap = _magnitude(t)
    theta = _two_point_dual(gap, regularizer)
    larger = regularizer.link(-theta)
    smaller = regularizer.link(-gap - theta)
    return safe_divide(jnp.where(t < 0, smaller, larger), larger + smaller)


def _integrate_link(t: Array, regularizer: Regularizer) -> Array:
    edge = jax.lax.stop_gradient(regularizer.gradient(jnp.zeros((), t.dtype)))
    return integrate(regularizer.link, t, jnp.maximum(t - edge, 0), -1)


def _integrate_two_point(t: Array, regularizer: Regularizer) -> Array:
    # For t < 0, with theta of the two-point problem, both terms are positive:
    # r*(t - theta) + integral over u in [-theta, r'(1)] of 1 - phi(u).
    gap = _magnitude(t)
    start = -_two_point_dual(gap, regularizer)
    top = regularizer.gradient(jnp.asarray(1.0, t.dtype))
    rest = integrate(
        lambda u: jnp.maximum(1 - regularizer.link(u), 0),
        start,
        jnp.maximum(top - start, 0),
        1,
    )
    return jnp.maximum(t, 0) + _integrate_link(start - gap, regularizer) + rest
