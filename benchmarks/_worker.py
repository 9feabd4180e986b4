"""Worker process of one library, which takes orders as lines of JSON.

A script, so that the repository, whose package is named like that of the reference, is
not on its path. Told to `compile` a case, it says how long that takes and how much
memory the program needs; told to `begin`, it calls the program for the first times;
told to `run`, it says how long a call takes.
"""

import gc
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _cases import Case
from _libraries import build, differentiable
from timing import seconds

PACKAGES = ("numpy", "scipy", "equinox", "lineax", "ott-jax", "jaxopt")
TURN = 2e-3
"""Seconds that a turn lasts at least, as far as `MOST_CALLS` allow."""
MOST_CALLS = 50
SHOWN = 1024
"""Number of entries of a result that are shown, to tell whether libraries agree."""


class Worker:
    """Compiled programs of one case, by kind: its value, its gradient.

    - `runs`: kind -> function and arguments.
    - `calls`: kind -> number of calls in a turn.
    """

    def __init__(self, library: str):
        self.library = library
        self.runs: dict[str, tuple] = {}
        self.calls: dict[str, int] = {}

    def describe(self) -> dict[str, Any]:
        """Import the library, and describe its versions and device."""
        build(self.library, Case("sort", "ot", "smooth"), 1.0)
        device = jax.devices()[0]
        return dict(
            python=sys.version.split()[0],
            jax=jax.__version__,
            device=device.device_kind,
            platform=device.platform,
            runtime=device.client.platform_version.splitlines()[0],
            packages={name: found for name in PACKAGES if (found := _version(name))},
        )

    def compile(
        self,
        case: list[str],
        kind: str,
        shape: list[int],
        softness: float,
        memory_limit: float,
    ) -> dict[str, Any]:
        """Compile a program, and say what that took; or answer why not.

        Seconds are of the processor, as other libraries may compile meanwhile.
        """
        self.runs.pop(kind, None)
        fn = build(self.library, Case(*case), softness)
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        # This library projects onto permutahedra in units of it, and others as x is.
        x /= x.std(axis=-1, keepdims=True)
        if not differentiable(self.library):
            if kind == "gradient":
                return dict(status="none")
            self.runs[kind] = fn, x
            return dict(status="ok")
        arguments: tuple = (x,)
        # Imports what is imported on first use, so that it is not counted below.
        out = jax.eval_shape(fn, x)
        if kind == "gradient":
            if not jnp.issubdtype(out.dtype, jnp.floating):
                return dict(status="none")
            # An argument: a large constant would be folded in compilation.
            weights = np.cos(np.arange(math.prod(out.shape), dtype=np.float32))
            arguments = x, weights.reshape(out.shape)
        call = _programs(fn)[kind]
        jax.clear_caches()
        # Objects from before are not searched for garbage while time is measured.
        gc.collect()
        gc.freeze()
        start = time.process_time()
        call = jax.jit(call).lower(*arguments).compile()
        found = dict(compile_s=time.process_time() - start)
        gc.unfreeze()
        used = call.memory_analysis()
        assert used is not None
        found["memory"] = used.temp_size_in_bytes
        around = used.output_size_in_bytes + used.argument_size_in_bytes
        if used.temp_size_in_bytes + around > memory_limit:
            return dict(status="memory", **found)
        self.runs[kind] = call, *jax.device_put(arguments)
        return dict(status="ok", **found)

    def begin(self, kind: str) -> dict[str, Any]:
        """Call a program for the first times; its result, if it is a value."""
        taken = seconds(*self.runs[kind])
        if taken < 1:  # the first call warms up
            taken = min(seconds(*self.runs[kind]) for _ in range(3))
        self.calls[kind] = min(MOST_CALLS, math.ceil(TURN / taken))
        found: dict[str, Any] = dict(seconds=taken)
        if kind == "value":
            call, *given = self.runs[kind]
            found["result"] = _shown(call(*given))
        return dict(status="ok", **found)

    def run(self, kind: str) -> dict[str, Any]:
        """Time of a call in seconds, as the mean of a turn."""
        count = self.calls[kind]
        if count > 1:  # threads sleep, and others were in the caches
            seconds(*self.runs[kind])
        taken = sum(seconds(*self.runs[kind]) for _ in range(count)) / count
        return dict(status="ok", seconds=taken)


def _programs(fn: Callable) -> dict[str, Callable]:
    def loss(x, weights):
        return jnp.sum(fn(x) * weights)

    return dict(value=fn, gradient=jax.value_and_grad(loss))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _shown(result: Any) -> list[float]:
    flat = np.ravel(np.asarray(result, np.float64))
    picked = flat[np.linspace(0, flat.size - 1, min(SHOWN, flat.size)).astype(int)]
    return [float(value) for value in picked]


def main() -> None:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    library, *words = sys.argv[1:]
    if "inline" in words:  # JAX reads this from no environment
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    worker = Worker(library)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(worker, order.pop("do"))(**order)
        except Exception as error:
            # JAX puts some messages into a box of lines.
            lines = [s for s in str(error).splitlines() if any(map(str.isalpha, s))]
            lines = lines or [""]
            # What a callback raises is told at the end of the message.
            first = lines[-1] if lines[0].endswith("last):") else lines[0]
            why = f"{type(error).__name__}: {first}"[:200]
            answer = dict(status="raises", why=why)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
