from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._core.regularizer import Regularizer
from ..._core.rows import check_softness
from ..._kernels.arrays import broadcasts, inexact, working_type
from .line import reduced_costs
from .problem import Transport
from .row_fit import fit_exponential


class TransportProjection(Transport):
    """Regularized optimal transport, `min_P <C, P> + softness M R(P / M)`.

    The plan P is nonnegative, its rows sum to `mu` and its columns to `nu`, both of
    which have the total mass M, unless that is given as the `unit`. With M = 1 this is
    `min_G <C, G> + softness R(G)` over the transport polytope. The solution is
    `P = M phi(f_i + g_j - C_ij / softness)` with the dual
    [`softjax.solvers.Potentials`][]; rows and columns without mass are 0.

    With `weights`, row i counts as so many copies of it, of each of which P has the
    plan: columns sum to `nu_j = sum_i weights_i P_ij`, and what is minimized is
    `sum_i weights_i (<C_i, P_i> + softness M sum_j r(P_ij / M))`. A row of weight 0
    counts for no column, and has a plan of its own.

    **Arguments:**

    - `cost`: `*batch n m`.
    - `mu`, `nu`: nonnegative, of shapes that broadcast against `*batch n` and
        `*batch m`, and of equal sums, in which mu counts as often as its weight.
    - `softness`: positive, of a shape that broadcasts against `*batch`.
    - `unit`: the mass M that the regularizer is relative to, of a shape that broadcasts
        against `*batch`; None for the total one.
    - `weights`: nonnegative, of a shape that broadcasts against `*batch n`; None for 1.
        With links that are bounded by 1, no mu may exceed M.

    **Example:**

        >>> cost = jnp.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]])
        >>> mu, nu = jnp.array([1.5, 1.5]), jnp.ones(3)
        >>> problem = sj.solvers.TransportProjection(cost, mu, nu, 1.0)
        >>> print(sj.solvers.solve(problem, "smooth").value)
        [[0.799 0.35  0.35 ]
         [0.201 0.65  0.65 ]]

    ??? cite

        Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport",
        NeurIPS 2013; Blondel, Seguy and Rolet, "Smooth and sparse optimal transport",
        AISTATS 2018.
    """

    def __init__(
        self,
        cost: Any,
        mu: Any,
        nu: Any,
        softness: Any,
        unit: Any = None,
        weights: Any = None,
    ):
        self.cost = inexact(cost)
        dtype = working_type(self.cost.dtype)
        self.mu, self.nu = _as_constant(mu, dtype), _as_constant(nu, dtype)
        check_softness(softness)
        self.softness = jnp.asarray(softness, dtype)[..., None, None]
        self.unit = None if unit is None else jnp.asarray(unit, dtype)[..., None]
        self.weights = None if weights is None else _as_constant(weights, dtype)
        shape = self.cost.shape
        if self.cost.ndim < 2 or 0 in shape[-2:]:
            raise ValueError(
                "TransportProjection: cost must have two last axes of at least one "
                f"entry, got shape {shape}."
            )
        for name, x, full in (
            ("mu", self.mu, shape[:-1]),
            ("nu", self.nu, (*shape[:-2], shape[-1])),
            ("softness", self.softness, (*shape[:-2], 1, 1)),
            ("unit", self.unit, (*shape[:-2], 1)),
            ("weights", self.weights, shape[:-1]),
        ):
            if x is not None and not (
                x.shape[-1:] == full[-1:] and broadcasts(full, x.shape)
            ):
                raise ValueError(
                    f"TransportProjection: {name} of shape {x.shape} does not fit to a "
                    f"cost of shape {shape}."
                )

    @property
    def dtype(self) -> jnp.dtype:
        return self.cost.dtype

    @classmethod
    def on_line(
        cls,
        points: Any,
        anchors: Any,
        counts: Any,
        softness: Any,
        where: Any = None,
        ascending: bool = False,
        unit: Any = None,
        weights: Any = None,
    ) -> "TransportProjection":
        """Move `points` of mass 1 to `anchors` of mass `counts`, at squared distance.

        The cost is `(points_i - anchors_j)^2` up to potentials, which do not change the
        plan: those of the hard plan, which follow from sorting. So costs are exact
        where they are small, zero potentials are optimal as softness goes to 0, and
        nearly so at any softness.

        **Arguments:**

        - `points`: `*batch n`.
        - `anchors`: ascending, of a shape that broadcasts against `*batch m`.
        - `counts`: nonnegative, of a shape that broadcasts against `*batch m`, and of
            the sum of the weights, which is the number of points where there are none.
        - `softness`: positive, of a shape that broadcasts against `*batch`.
        - `where`: optional mask `*batch n` of the points that take part.
        - `ascending`: whether `points` are, with those that take part first.
        - `unit`: as of the class.
        - `weights`: as of the class; those of points that do not take part may be
            anything.
        """
        given = inexact(points)
        dtype = working_type(given.dtype)
        points = given.astype(dtype)
        if weights is not None:
            weights = jnp.asarray(weights, dtype)
            weights = weights if where is None else jnp.where(where, weights, 0)
        cost, counts = reduced_costs(points, anchors, counts, where, ascending, weights)
        mu = np.ones(points.shape[-1], dtype) if where is None else where.astype(dtype)
        cost = cost.swapaxes(-1, -2).astype(given.dtype)
        return cls(cost, mu, counts, softness, unit, weights)

    def specialize(self, regularizer: Regularizer) -> Transport:
        if regularizer.structure().rate is None:
            return self
        return _Entropic(
            self.cost, self.mu, self.nu, self.softness, self.unit, self.weights
        )


class _Entropic(Transport):
    """Transport by an exponential link."""

    fit: ClassVar[Callable[..., Array]] = staticmethod(fit_exponential)

    def moving(self, dual, regularizer):
        return self.mask


def _as_constant(x: Any, dtype: Any) -> Array | np.ndarray:
    """`x` as an array: one of NumPy, whose values are known, where it is one."""
    return x.astype(dtype) if isinstance(x, np.ndarray) else jnp.asarray(x, dtype)
