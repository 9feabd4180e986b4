"""Checks of scores that are one array."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def check_array(name: str, scores: Any, shape: tuple[int | None, ...]) -> None:
    """**Raises:** `ValueError` if scores are no array of this shape.

    None stands for any size of at least 1.
    """
    wanted = ", ".join("n m".split()[i] if s is None else str(s) for i, s in enumerate(shape))
    leaves = jax.tree.leaves(scores)
    array = leaves[0] if len(leaves) == 1 and leaves[0] is scores else None
    found = None if array is None else np.shape(array)
    fits = found is not None and len(found) == len(shape)
    if fits:
        pairs = zip(found, shape, strict=True)
        fits = all(have == want or (want is None and have > 0) for have, want in pairs)
    if not fits:
        got = "a pytree of several" if found is None else f"shape {found}"
        raise ValueError(
            f"{name}: scores must be an array of shape ({wanted}), got {got}. Leading "
            "axes are for jax.vmap."
        )
