"""Quotients by what may be tiny or 0, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np

from softjax_solvers.internal import safe_divide


def test_of_tiny_denominators():
    """Squares of them, which underflow, are in no derivative."""

    def share(u):
        tiny = u * np.float32(1e-25)
        return safe_divide(tiny[0], jnp.sum(tiny))

    u = np.array([1.0, 2.0, 5.0], np.float32)
    gradient, hessian = jax.jit(lambda u: (jax.grad(share)(u), jax.hessian(share)(u)))(
        u
    )
    total, first = np.sum(u), np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(gradient, first / total - u[0] / total**2, rtol=1e-5)
    both = -(first[:, None] + first) / total**2 + 2 * u[0] / total**3
    np.testing.assert_allclose(hessian, both, rtol=1e-5)


def test_of_nothing():
    """A cotangent of 0 stays 0, however large the derivative is; so does 0 / 0."""

    def weighed(d, cotangent):
        return cotangent * safe_divide(d, jnp.sum(d, keepdims=True))

    for d in np.array([[1e-25, 3e-25], [0.0, 0.0]], np.float32):
        jacobian = jax.jacrev(lambda d: jax.jacrev(weighed)(d, 0.0))(d)
        np.testing.assert_array_equal(jacobian, np.zeros((2, 2, 2)))


def test_of_integers():
    quotient = safe_divide(np.array([1, 2, 3]), np.array([2, 0, 4]))
    np.testing.assert_array_equal(quotient, [0.5, 0.0, 0.75])
