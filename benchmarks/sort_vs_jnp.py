"""Time of `sj.sort` and its gradient against `jnp.sort`, compiled, in one process.

The two are timed in turn, so that whatever else the machine does falls on both alike.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
from timing import medians

import softjax as sj

SHAPES = ((8, 1024), (1, 65536))
SORTS = {"jnp": jnp.sort, "soft": sj.sort}


def value(sort: Callable) -> Callable:
    return jax.jit(sort)


def gradient(sort: Callable) -> Callable:
    def loss(x):
        return jnp.sum(sort(x) * jnp.cos(jnp.arange(x.shape[-1])))

    return jax.jit(jax.grad(loss))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of sj.sort against jnp.sort.")
    parser.add_argument("--repeats", type=int, default=51, help="calls of each")
    repeats = parser.parse_args().repeats
    device = jax.devices()[0]
    print(f"{device.platform}, float32, medians of {repeats} calls, milliseconds")
    print(f"{'shape':<12} {'':<9} {'jnp.sort':>9} {'sj.sort':>9} {'ratio':>7}")
    for shape in SHAPES:
        x = jax.random.normal(jax.random.key(0), shape)
        for transform in (value, gradient):
            functions = {name: transform(sort) for name, sort in SORTS.items()}
            time_of = medians(functions, x, repeats=repeats)
            hard, soft = 1e3 * time_of["jnp"], 1e3 * time_of["soft"]
            print(
                f"{shape!s:<12} {transform.__name__:<9} "
                f"{hard:9.3f} {soft:9.3f} {soft / hard:7.2f}"
            )


if __name__ == "__main__":
    main()
