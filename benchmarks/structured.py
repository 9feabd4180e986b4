"""Times of a chain's value and marginals, and of what it takes to compile them.

Run: `python -m benchmarks.structured`, with `--quick` for fewer repeats. Beside PyTorch
and torch-struct (`pip install torch torch-struct`), if they are there, each task of
both is called in turns, in one process.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

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


def peers(scores) -> dict[str, Callable[[], Any]]:
    """Value and marginals of the same chain by torch-struct, by mode."""
    import torch  # pyright: ignore[reportMissingImports]
    import torch_struct  # pyright: ignore[reportMissingImports]

    unary, edges = map(np.array, scores)
    # Of the states after and before each step; the first unary scores are in the first.
    potentials = edges.swapaxes(-1, -2) + unary[:, 1:, :, None]
    potentials[:, 0] += unary[:, 0, None, :]
    potentials = torch.tensor(potentials)

    def both(semiring):
        x = potentials.clone().requires_grad_()
        value = torch_struct.LinearChain(semiring).sum(x)
        (marginals,) = torch.autograd.grad(value.sum(), x)
        return value.detach().numpy(), marginals

    semirings = {
        "hard": torch_struct.MaxSemiring,
        "smooth": torch_struct.LogSemiring,
        "c0": torch_struct.SparseMaxSemiring,
    }
    return {mode: lambda s=s: both(s) for mode, s in semirings.items()}


def compare(scores, repeats: int) -> None:
    """Medians of calls in turns."""
    print("\n| mode | here, ms | torch-struct, ms | times as long |")
    print("| --- | --- | --- | --- |")
    semirings = {"hard": st.Hard(), "smooth": st.Regularized("smooth", 1.0)}
    semirings["c0"] = st.Regularized("c0", 1.0)
    for mode, theirs in peers(scores).items():

        def both(unary, transition, semiring=semirings[mode]):
            recursion = st.Chain().recursion
            return jax.value_and_grad(recursion)((unary, transition), semiring)

        program = jax.jit(jax.vmap(both))
        calls = lambda program=program: program(*scores), theirs
        value, other = (jax.block_until_ready(call())[0] for call in calls)
        if mode != "c0":  # whose maxima are not transparent there
            np.testing.assert_allclose(value, other, rtol=1e-4)
        times = [[], []]
        for _ in range(repeats):
            for call, taken in zip(calls, times, strict=True):
                started = time.perf_counter()
                jax.block_until_ready(call())
                taken.append(time.perf_counter() - started)
        ours, those = np.median(times, axis=1)
        print(f"| {mode} | {1e3 * ours:.2f} | {1e3 * those:.1f} | {those / ours:.0f} |")


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
    if importlib.util.find_spec("torch_struct") is not None:
        compare(scores, max(repeats // 10, 5))


if __name__ == "__main__":
    main()
