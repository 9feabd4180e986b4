"""Time of soft sorts and ranks of segments, with gradients, against padded rows.

Segments of random sizes in one flat array: `sj.segment.sort` and `sj.segment.rank`, in
the order of their ids and shuffled, against the operators along an axis with `where=`,
of rows that `sj.segment.pad` has filled up. They are timed in turn, so that whatever
else the machine does falls on both alike.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from timing import medians

import softjax as sj

SIZE, SEGMENTS = 8192, 300


def native(name, ids):
    def value(x):
        return getattr(sj.segment, name)(x, ids, SEGMENTS)

    return value


def padded(name, ids, max_size):
    def value(x):
        rows, where, unpad = sj.segment.pad(x, ids, SEGMENTS, max_size)
        return unpad(getattr(sj, name)(rows, axis=1, where=where))

    return value


def gradient(value):
    def loss(x):
        return jnp.sum(value(x) * jnp.cos(jnp.arange(SIZE)))

    return jax.grad(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of operators over segments.")
    parser.add_argument("--repeats", type=int, default=31, help="calls of each")
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    sizes = rng.multinomial(SIZE, rng.dirichlet(np.full(SEGMENTS, 4.0)))
    ordered = np.repeat(np.arange(SEGMENTS), sizes)
    largest = int(sizes.max())
    x = jnp.asarray(rng.normal(size=SIZE), jnp.float32)
    device = jax.devices()[0]
    print(f"{device.platform}, float32, medians of {repeats} calls, milliseconds")
    print(f"{SEGMENTS} segments in {SIZE} numbers, the largest of {largest}")
    print(f"{'':<26} {'segments':>9} {'padded':>9} {'ratio':>7}")
    for order, ids in (("ordered", ordered), ("shuffled", rng.permutation(ordered))):
        ids = jnp.asarray(ids)
        for name in ("sort", "rank"):
            functions = {
                "segments": native(name, ids),
                "padded": padded(name, ids, largest),
            }
            for kind, transform in (("value", lambda f: f), ("gradient", gradient)):
                compiled = {k: jax.jit(transform(f)) for k, f in functions.items()}
                time_of = medians(compiled, x, repeats=repeats)
                flat, rows = 1e3 * time_of["segments"], 1e3 * time_of["padded"]
                print(
                    f"{order:<9} {name:<5} {kind:<10} "
                    f"{flat:9.3f} {rows:9.3f} {flat / rows:7.2f}"
                )


if __name__ == "__main__":
    main()
