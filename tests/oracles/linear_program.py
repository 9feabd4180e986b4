"""Linear programs, regularized ones by minimization of the primal problem."""

import numpy as np
import scipy.optimize

from .primal import PRIMAL

GRADIENTS = {"smooth": np.log, "c0": lambda y: y, "c1": np.sqrt}
"""r' of these modes."""


def linear_program_oracle(
    mode, z, A=None, b=None, softness=0.1, G=None, h=None, upper=None
):
    """The y of a regularized linear program, by sequential quadratic programming.

    It starts from a feasible y.
    """
    r = PRIMAL[mode]
    constraints = []
    if A is not None:
        # Of equalities that depend on each other, a basis.
        left, sizes, right = np.linalg.svd(A)
        rank = np.sum(sizes > 1e-9)
        basis = right[:rank]
        side = (left.T @ b)[:rank] / sizes[:rank]
        equality = dict(type="eq", fun=lambda y: basis @ y - side, jac=lambda y: basis)
        constraints.append(equality)
    if G is not None:
        constraints.append(dict(type="ineq", fun=lambda y: h - G @ y, jac=lambda y: -G))
    bounds = _bounds(z, upper)
    start = scipy.optimize.linprog(0 * z, G, h, A, b, bounds, method="highs-ipm").x
    best = scipy.optimize.minimize(
        lambda y: softness * np.sum(r(y)) - z @ y,
        np.maximum(start, 1e-3),
        jac=lambda y: softness * GRADIENTS[mode](np.maximum(y, 1e-300)) - z,
        method="SLSQP",
        bounds=bounds,
        constraints=constraints,
        options=dict(ftol=1e-15, maxiter=1000),
    )
    return best.x


def vertex_oracle(z, A=None, b=None, G=None, h=None, upper=None):
    """The y of a linear program without a regularizer, which has to be unique."""
    bounds = _bounds(z, upper)
    return scipy.optimize.linprog(-z, G, h, A, b, bounds, method="highs-ds").x


def _bounds(z, upper):
    upper = np.broadcast_to(np.inf if upper is None else upper, z.shape)
    return np.stack([np.zeros_like(z), upper], axis=-1)
