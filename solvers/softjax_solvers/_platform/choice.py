"""Choice of an algorithm by the kind of device that a program is compiled for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def on_cpu(serial: Callable[..., Any], parallel: Callable[..., Any], *args: Any) -> Any:
    """`serial(*args)` in programs for a CPU, and `parallel(*args)` in any others.

    Loops whose steps read and write single numbers are the fastest on a CPU, and slow
    on an accelerator, which starts a kernel for each. Programs that are exported for
    several platforms have both.
    """
    return jax.lax.platform_dependent(*args, cpu=serial, default=parallel)
