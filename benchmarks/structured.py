"""Times of a chain's value and marginals, and of what it takes to compile them.

Run: `python -m benchmarks.structured`, with `--quick` for fewer repeats.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import softjax.structured as st

TIMES, STATES, BATCH = 100, 10, 8


def measure(semiring, structure, scores, repeats: int) -> tuple[float, float, float]:
    """Seconds to compile, the least time of a call, and the edges in the support."""

    def both(unary, transition):
        return jax.value_and_grad(structure.recursion)((unary, transition), semiring)

    started = time.perf_counter()
    program = jax.jit(jax.vmap(both)).lower(*scores).compile()
    compiled = time.perf_counter() - started
    _, (_, edges) = jax.block_until_ready(program(*scores))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(program(*scores))
        times.append(time.perf_counter() - started)
    return compiled, min(times), float(jnp.mean(jnp.sum(edges > 0, axis=(1, 2, 3))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    repeats = 20 if parser.parse_args().quick else 200
    rng = np.random.default_rng(0)
    unary = rng.normal(size=(BATCH, TIMES, STATES)).astype(np.float32)
    shape = BATCH, TIMES - 1, STATES, STATES
    scores = jnp.asarray(unary), jnp.asarray(rng.normal(size=shape), jnp.float32)
    modes = ["smooth", "c0", "c1", "c2", "cubic"]
    semirings = {"hard": st.Hard()}
    semirings |= {mode: st.Regularized(mode, 1.0) for mode in modes}
    print(f"chain of {TIMES} times and {STATES} states, batch of {BATCH}")
    print("| mode | value and marginals, ms | times hard | compile, s | edges |")
    print("| --- | --- | --- | --- | --- |")
    base = None
    for name, semiring in semirings.items():
        compiled, least, edges = measure(semiring, st.Chain(), scores, repeats)
        base = base or least
        print(
            f"| {name} | {1e3 * least:.2f} | {least / base:.1f} | {compiled:.1f} | "
            f"{edges:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
