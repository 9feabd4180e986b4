"""Comparison with references: tolerances, and derivatives by finite differences."""

import jax
import numpy as np


def tolerance(dtype) -> float:
    """Absolute error that is allowed to a value of order 1."""
    return 3e-6 if np.dtype(dtype) == np.float32 else 1e-10


def assert_close(actual, expected, *, atol: float | None = None, rtol: float = 0.0):
    """Equal shapes and, up to a tolerance that goes with the type, equal entries."""
    actual = np.asarray(actual)
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    atol = tolerance(actual.dtype) if atol is None else atol
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


def finite_difference(fn, args: tuple, tangents: tuple, step: float = 1e-4):
    """The derivative of `fn(*args)` along `tangents`, to fourth order in the step.

    Central differences with one step of Richardson extrapolation. `fn` must compute in
    float64 and be smooth within the step; it may return a pytree of arrays.
    """

    def at(h):
        moved = [
            np.asarray(a, np.float64) + h * np.asarray(t)
            for a, t in zip(args, tangents, strict=True)
        ]
        return fn(*moved)

    def central(h):
        difference = jax.tree.map(
            lambda a, b: np.asarray(a, np.float64) - np.asarray(b, np.float64),
            at(h),
            at(-h),
        )
        return jax.tree.map(lambda d: d / (2 * h), difference)

    return jax.tree.map(
        lambda fine, coarse: (4 * fine - coarse) / 3, central(step / 2), central(step)
    )
