"""Shapes of what a problem is made of."""

from __future__ import annotations

from jaxtyping import Array

from .._kernels.arrays import broadcasts


def check_fits(name: str, argument: str, x: Array, rows: str, like: Array) -> None:
    """Check that an argument of `name` has a shape that rows, another one, have too.

    **Raises:** `ValueError` if it does not broadcast against them.
    """
    if not broadcasts(like.shape, x.shape):
        raise ValueError(
            f"{name}: {argument} of shape {x.shape} must broadcast against {rows}, "
            f"which is of shape {like.shape}."
        )
