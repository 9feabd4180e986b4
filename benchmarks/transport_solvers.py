"""The solvers of a transport problem against each other, value and gradient.

All runs are compiled and take turns in one process; medians are printed, with the
largest number of steps and the largest error of a column's sum relative to its
marginal. The cases are those of operators with `method="ot"`.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import optimistix as optx

import softjax as sj
from softjax.solvers import TransportProjection, solve

SOLVERS = {
    "default": None,
    "semi_dual": "semi_dual",
    "alternating": "alternating",
    "sinkhorn": "sinkhorn",
    "optx.LBFGS": optx.LBFGS(rtol=1e-6, atol=1e-6),
}
# name, batch, number of elements, masses of the anchors
CASES = [
    ("argmax", 4, 256, [1, 255]),
    ("top_k, k = 5", 4, 256, [1] * 5 + [251]),
    ("sort", 4, 64, [1] * 64),
    ("sort", 8, 128, [1] * 128),
]


def compile_case(batch: int, n: int, counts: list[int], mode: str, solver):
    x = jax.nn.sigmoid(jax.random.normal(jax.random.key(0), (batch, n)))
    anchors = jnp.linspace(0, 1, len(counts))

    def total(x):
        problem = TransportProjection.on_line(x, anchors, jnp.asarray(counts), 0.1)
        solution = solve(problem, mode, solver)
        return jnp.sum(jnp.cos(jnp.arange(n))[:, None] * solution.value), solution

    value = jax.jit(lambda x: total(x)[0])
    gradient = jax.jit(jax.grad(lambda x: total(x)[0]))
    solution = jax.jit(lambda x: total(x)[1])(x)
    facts = (int(solution.steps.max()), float(solution.residual.max()))
    return ((lambda: value(x)), (lambda: gradient(x))), facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--modes", nargs="+", default=["smooth", "c0", "c2"])
    options = parser.parse_args()
    print(
        f"{'operator':14}{'batch x n':>10}  {'mode':8}{'solver':14}"
        f"{'value':>11}{'gradient':>12}{'steps':>7}{'residual':>10}"
    )
    for name, batch, n, counts in CASES:
        for mode in options.modes:
            exponential = sj.solvers.get_regularizer(mode).exponential
            runs = {
                key: compile_case(batch, n, counts, mode, solver)
                for key, solver in SOLVERS.items()
                if exponential or key != "sinkhorn"
            }
            taken: dict[tuple[str, int], list[float]] = {}
            for repeat in range(options.repeats + 1):
                for key, (fns, _) in runs.items():
                    for which in (0, 1):
                        start = time.perf_counter()
                        jax.block_until_ready(fns[which]())
                        if repeat:  # the first call compiles
                            spent = 1e3 * (time.perf_counter() - start)
                            taken.setdefault((key, which), []).append(spent)
            for key, (_, (steps, residual)) in runs.items():
                value, gradient = (
                    statistics.median(taken[key, which]) for which in (0, 1)
                )
                print(
                    f"{name:14}{f'{batch} x {n}':>10}  {mode:8}{key:14}"
                    f"{value:8.2f} ms{gradient:9.2f} ms{steps:7}{residual:10.0e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
