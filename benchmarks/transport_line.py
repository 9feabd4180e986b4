"""`python -m benchmarks.transport_line`: sorts by transport of many elements.

Time and memory of `sj.sort(x, method="ot")` in some modes against `jnp.sort`, its error
and the seconds of processor time in which its gradient is compiled. Up to 1024 elements
the reference is the dense plan in 64 bits; beyond that, in the smooth mode, one of four
times as many nodes in 64 bits, and in others the same in 64 bits.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj
from benchmarks.timing import medians
from softjax_solvers.internal import CompressedTransport, evaluate_and_judge

_DENSE = 1024


def samples(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    half = n // 2
    return {
        "normal": rng.normal(size=n),
        "uniform": rng.uniform(size=n),
        "clusters": np.where(
            np.arange(n) < half, rng.normal(size=n) / 100, 3 + rng.normal(size=n) / 10
        ),
        "ties": np.where(rng.uniform(size=n) < 0.5, 0.3, rng.uniform(size=n)),
        "cauchy": rng.standard_cauchy(size=n),
        "sorted": np.sort(rng.normal(size=n)),
        "reversed": -np.sort(rng.normal(size=n)),
    }


def cosines(n: int) -> jax.Array:
    return jnp.cos(jnp.arange(n))


def soft(x: jax.Array, softness: jax.Array, mode: str = "smooth") -> jax.Array:
    return sj.sort(x, softness=softness, method="ot", mode=mode)


def hard(x: jax.Array, softness: jax.Array) -> jax.Array:
    return jnp.sort(x)


def reference(x: jax.Array, softness: jax.Array, mode: str) -> jax.Array:
    if x.size <= _DENSE:
        keywords: Any = dict(method="ot", mode=mode, solver="semi_dual")
        return sj.sort(x, softness=softness, **keywords)
    if mode != "smooth":
        return soft(x, softness, mode)
    regularizer = sj.solvers.Entropy()
    points = -jnp.sort(-x)[::-1]
    problem = CompressedTransport.on_line(points, softness, regularizer, 128)
    return evaluate_and_judge(problem, regularizer, sj.solvers.ColumnMeans(points))[0]


def gradient(sort: Callable) -> Callable:
    def loss(x, softness):
        return jnp.vdot(sort(x, softness), cosines(x.size).astype(x.dtype))

    return jax.jit(jax.grad(loss))


def main() -> None:
    parser = argparse.ArgumentParser(description="Sorts by transport on a line.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 16384, 65536])
    parser.add_argument("--softness", type=float, nargs="+", default=[1, 0.1, 0.01])
    parser.add_argument("--inputs", nargs="+", default=list(samples(2)))
    parser.add_argument("--modes", nargs="+", default=["smooth", "c0", "c1", "c2"])
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--no-errors", action="store_true", help="times only")
    parser.add_argument("--no-times", action="store_true", help="errors only")
    args = parser.parse_args()
    print("errors of values, of the range, and of gradients, of the largest entry;")
    print(
        "times of value and gradient in times of those of jnp.sort; MiB of the latter"
    )
    print(
        f"{'n':>8} {'mode':<6} {'input':<9} {'softness':>8} {'error':>8} "
        f"{'gradient':>8} {'value':>7} {'gradient':>8} {'MiB':>6} {'compile':>7}"
    )
    for n in args.sizes:
        for mode in args.modes:
            measure(n, mode, args)


def measure(n: int, mode: str, args: argparse.Namespace) -> None:
    of_mode = functools.partial(soft, mode=mode)
    of_reference = functools.partial(reference, mode=mode)
    of_soft = gradient(of_mode)
    like = jax.ShapeDtypeStruct((n,), jnp.float32)
    start = time.process_time()
    compiled = of_soft.lower(like, jnp.float32(1)).compile()
    seconds = time.process_time() - start
    memory = compiled.memory_analysis()
    mib = memory.temp_size_in_bytes / 2**20 if memory else np.nan
    # Compiled once, with a softness that is not known.
    exact = jax.jit(of_reference), gradient(of_reference)
    values = {"soft": jax.jit(of_mode), "hard": jax.jit(hard)}
    gradients = {"soft": of_soft, "hard": gradient(hard)}
    for name in args.inputs:
        x = samples(n)[name].astype(np.float32)
        for softness in args.softness:
            s = jnp.float32(softness)
            error = steep = np.nan
            if not args.no_errors:
                with jax.enable_x64(True):
                    wide = jnp.asarray(x.astype(np.float64))
                    want, slope = (
                        np.asarray(fn(wide, jnp.float64(softness))) for fn in exact
                    )
                error = np.abs(values["soft"](x, s) - want).max() / np.ptp(x)
                steep = np.abs(of_soft(x, s) - slope).max() / np.abs(slope).max()
            ratios = []
            for functions in (values, gradients):
                if args.no_times:
                    ratios.append(np.nan)
                    continue
                device = jnp.asarray(x)
                took = medians(functions, device, s, repeats=args.repeats, budget=3)
                ratios.append(took["soft"] / took["hard"])
            print(
                f"{n:>8} {mode:<6} {name:<9} {softness:>8} {error:>8.0e} {steep:>8.0e} "
                f"{ratios[0]:>7.2f} {ratios[1]:>8.2f} {mib:>6.1f} {seconds:>7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
