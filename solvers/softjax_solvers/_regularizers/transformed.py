"""Regularizers that are a multiple of another one and a linear term."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Array, Bool, Float

from .._core.regularizer import Regularizer
from .._core.structure import Structure

Number: TypeAlias = float | Float[Array, ""]


class Transformed(Regularizer):
    """Regularizer `factor r(y) + linear y` for another one, r, with all that r has.

    The link is `phi((t - linear) / factor)`. So an exponential stays one, with another
    rate, a line stays a line, and closed forms of r are closed forms of this.
    """

    @abc.abstractmethod
    def parts(self) -> tuple[Regularizer, Number, Number]:
        """Regularizer r, positive factor, and coefficient of the linear term."""

    def _argument(self, t: Array) -> Array:
        """Argument of the link of r."""
        _, factor, linear = self.parts()
        return (t - linear) / factor

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.parts()[0].link(self._argument(t))

    def structure(self) -> Structure:
        r, factor, _ = self.parts()
        return r.structure().scaled(factor)

    def unit(self) -> tuple[Regularizer, float | Float[Array, ""]]:
        r, factor, linear = self.parts()
        if not (isinstance(linear, int | float) and linear == 0):
            return self, 1.0
        r, inner = r.unit()
        return r, inner * factor

    def grounded(self) -> Regularizer:
        from .combined import Scaled  # which is one of these

        r, factor, _ = self.parts()
        return Scaled(r.grounded(), factor)

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, _ = self.parts()
        return r.slope(self._argument(t)) / factor

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.parts()[0].log_link(self._argument(t))

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, linear = self.parts()
        return factor * r.gradient(y) + linear

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, _ = self.parts()
        return factor * r.conjugate(self._argument(t))

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, linear = self.parts()
        return factor * r.value(y) + linear * y

    # Of two entries with sum 1, the linear terms add up to a constant.

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, _ = self.parts()
        return r.sigmoid(t / factor)

    def log_sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, _ = self.parts()
        return r.log_sigmoid(t / factor)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        r, factor, _ = self.parts()
        return factor * r.softplus(t / factor)

    def transition_scale(self) -> Float[Array, ""]:
        # The factor is one of the softness, in elementwise operators too.
        return self.parts()[0].transition_scale()

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return self.parts()[0].contrast(total, target)

    def simplex_dual(
        self,
    ) -> Callable[[Float[Array, "*batch n"], Bool[Array, "*batch n"]], Array] | None:
        r, factor, linear = self.parts()
        dual = r.simplex_dual()
        if dual is None:
            return None
        return lambda scores, where: factor * dual(scores / factor, where) - linear


def unwrapped(regularizer: Regularizer) -> tuple[Regularizer, Number, Number]:
    """The parts of a regularizer, of which the first is no multiple of another."""
    if not isinstance(regularizer, Transformed):
        return regularizer, 1.0, 0.0
    other, factor, linear = regularizer.parts()
    base, inner, line = unwrapped(other)
    return base, factor * inner, factor * line + linear
