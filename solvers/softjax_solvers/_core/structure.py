"""The shapes of links by which algorithms are chosen."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._kernels.arrays import is_traced

if TYPE_CHECKING:
    from .regularizer import Regularizer


class Structure(eqx.Module):
    """The shape of a link `phi`, as far as it is known whatever is traced.

    **Attributes:**

    - `rate`: the number c of a link that is known to be `phi(0) exp(c t)`, else None.
        Then `phi(a + b)` is in proportion to `exp(c a) exp(c b)`, by which sums of
        links are found in closed form and in linear time.
    - `sparse`: whether `phi(t) = 0` for some t, which makes solutions sparse.
    - `unbounded`: whether neither `phi` nor `r'` levels off for large arguments.
    - `linear`: whether `phi` is known to be linear where it is positive.
    - `steep`: whether `phi` may have an infinite slope where it leaves 0. Then rounding
        of a dual moves small entries far, and solutions and derivatives are formed from
        the other entries instead.

    **Example:**

        >>> for mode in ("smooth", "c0", "cubic"):
        ...     shape = sj.solvers.get_regularizer(mode).structure()
        ...     print(shape.rate, shape.sparse, shape.unbounded, shape.linear)
        ...
        1.0 False True False
        None True True True
        None True False False
    """

    @property
    @abc.abstractmethod
    def rate(self) -> float | Float[Array, ""] | None: ...

    @property
    @abc.abstractmethod
    def sparse(self) -> bool: ...

    @property
    @abc.abstractmethod
    def unbounded(self) -> bool: ...

    @property
    @abc.abstractmethod
    def linear(self) -> bool: ...

    @property
    @abc.abstractmethod
    def steep(self) -> bool: ...

    @abc.abstractmethod
    def scaled(self, factor: float | Float[Array, ""]) -> Structure:
        """The shape of `phi(t / factor)`."""

    @property
    def windowed(self) -> bool:
        """Whether entries far below the largest are 0, and those near 0 harmless."""
        return self.sparse and not self.steep


class Exponential(Structure):
    """A link `phi(0) exp(rate t)`, of a multiple of the entropy.

    **Example:**

        >>> print(sj.solvers.Exponential(1.0).scaled(4.0).rate)
        0.25
    """

    rate: float | Float[Array, ""] = 1.0
    sparse: bool = eqx.field(default=False, init=False, static=True)
    unbounded: bool = eqx.field(default=True, init=False, static=True)
    linear: bool = eqx.field(default=False, init=False, static=True)
    steep: bool = eqx.field(default=False, init=False, static=True)

    def scaled(self, factor: float | Float[Array, ""]) -> Exponential:
        return Exponential(self.rate / factor)


class General(Structure):
    """Any other link.

    **Arguments:** the attributes of [`softjax.solvers.Structure`][].

    **Example:**

        >>> print(sj.solvers.General(sparse=True, unbounded=True).windowed)
        True
    """

    rate: None = eqx.field(default=None, init=False)
    sparse: bool = eqx.field(default=False, static=True, kw_only=True)
    unbounded: bool = eqx.field(default=False, static=True, kw_only=True)
    linear: bool = eqx.field(default=False, static=True, kw_only=True)
    steep: bool = eqx.field(default=False, static=True, kw_only=True)

    def scaled(self, factor: float | Float[Array, ""]) -> General:
        return self


class Unknown(Structure):
    """The shape of a user's link, found by looking at it when it is asked for.

    True where that is not known, since parameters are traced.
    """

    regularizer: Regularizer
    steep: bool = eqx.field(default=False, static=True, kw_only=True)
    rate: None = eqx.field(default=None, init=False)
    linear: bool = eqx.field(default=False, init=False, static=True)

    @property
    def sparse(self) -> bool:
        """Whether `r'(0)` is finite."""
        if is_traced(self):
            return True
        with jax.ensure_compile_time_eval():
            return bool(jnp.isfinite(self.regularizer.gradient(jnp.zeros(()))))

    @property
    def unbounded(self) -> bool:
        """Whether `phi` and `r'` grow between large numbers."""
        if is_traced(self):
            return True
        with jax.ensure_compile_time_eval():
            r = self.regularizer
            t = r.gradient(jnp.asarray([2.0**10, 2.0**20]))
            grows = r.link(jnp.asarray(2.0**30)) > 2.0**10
            return bool(grows & (t[1] - t[0] > 1))

    def scaled(self, factor: float | Float[Array, ""]) -> Unknown:
        return self
