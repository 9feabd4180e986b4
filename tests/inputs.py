"""Random inputs, the same in every process."""

import numpy as np


def rng(*seed: int | str) -> np.random.Generator:
    """A generator of numbers that only this seed determines, in any process."""
    words = [n for part in seed for n in str(part).encode()]
    return np.random.default_rng(words)
