"""The names that stand for regularizers."""

from __future__ import annotations

import re
from collections.abc import Callable

from .._regularizers import Cubic, Entropy, PNorm, PseudoHuber, Quintic
from .hints import did_you_mean
from .regularizer import Regularizer

MODES: dict[str, Callable[[], Regularizer]] = {
    "smooth": Entropy,
    "entropic": Entropy,
    "euclidean": lambda: PNorm(2.0),
    "cubic": Cubic,
    "quintic": Quintic,
    "pseudohuber": PseudoHuber,
}
"""Name of a mode -> what makes its regularizer. `"c<k>"` is understood besides.

**Example:**

    >>> print(", ".join(sj.solvers.MODES))
    smooth, entropic, euclidean, cubic, quintic, pseudohuber
"""

_SMOOTHNESS_CLASS = re.compile(r"c(\d+)")


def get_regularizer(mode: str | Regularizer) -> Regularizer:
    """The regularizer that `mode` stands for.

    **Arguments:**

    - `mode`: a [`softjax.solvers.Regularizer`][], which is returned as it is; a name
        in `softjax.solvers.MODES`; or `"c<k>"` with an integer k >= 0, the p-norm
        with p = (k + 2) / (k + 1), whose projections are k times continuously
        differentiable.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.

    **Example:**

        >>> print(sj.solvers.get_regularizer("smooth"))
        Entropy()
        >>> print(sj.solvers.get_regularizer("c1"))
        PNorm(p=1.5)
    """
    if isinstance(mode, Regularizer):
        return mode
    if not isinstance(mode, str):
        hint = did_you_mean(mode, Regularizer)
        raise TypeError(
            f"mode must be a name or a Regularizer instance, got {mode!r}.{hint}"
        )
    if mode in MODES:
        return MODES[mode]()
    match = _SMOOTHNESS_CLASS.fullmatch(mode)
    if match:
        k = int(match[1])
        return PNorm((k + 2) / (k + 1))
    names = ", ".join(repr(name) for name in MODES)
    raise ValueError(
        f"mode={mode!r} is not known. Allowed: {names}, 'c<k>' for an integer k >= 0 "
        "(such as 'c0', 'c1', 'c2'), or a Regularizer instance."
    )
