"""Tables of docs/choose.md, in some minutes: `python benchmarks/choices.py`.

Methods are compared in the mode "smooth", and modes with the default method. Times are
milliseconds, the shortest of several runs, after compilation. Smoothness is measured in
float64: how many derivatives along a path do not jump.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from smoothness import MODES, describe, operator_smoothness
from timing import seconds

import softjax as sj

SOFTNESS = 0.1
SECONDS = 2.0  # for each time that is measured
ORDERS = 2


def milliseconds(fn: Callable, x: jax.Array) -> str:
    compiled = jax.jit(fn)
    seconds(compiled, x)
    taken = []
    while sum(taken) < SECONDS and len(taken) < 200:
        taken.append(seconds(compiled, x))
    return f"{float(f'{1e3 * min(taken):.2g}'):g}"


def numbers(n: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(size=n), jnp.float32)


def times(**keywords) -> list[str]:
    """Times of a sort of 1,000 elements, of its gradient, and of a sort of 10,000."""

    def sort(x):
        return sj.sort(x, softness=SOFTNESS, **keywords)

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(sort(x) ** 2))(x)

    # A transport plan of 10,000 x 10,000 takes minutes.
    large = keywords.get("method") == "ot"
    return [
        milliseconds(sort, numbers(1_000)),
        milliseconds(gradient, numbers(1_000)),
        "-" if large else milliseconds(sort, numbers(10_000)),
    ]


def smoothness(operator: Callable, method: str) -> str:
    """Smoothness of an operator along a path on which two elements meet."""
    with jax.enable_x64(True):
        found = operator_smoothness(operator, "smooth", method, True, ORDERS)
    return describe(found, ORDERS)


def rank_of_equals(**keywords) -> str:
    """Ranks of two equal elements in the middle of four."""
    x = jnp.array([0.0, 0.5, 0.5, 1.0])
    ranks = sj.rank(x, softness=SOFTNESS, **keywords)
    return f"{ranks[1]:.3f}, {ranks[2]:.3f}"


def error(**keywords) -> str:
    """Largest error of the sorted values of 20 elements at equal distances."""
    x = jnp.linspace(0.0, 1.0, 20)
    soft = sj.sort(x, softness=SOFTNESS, **keywords)
    return f"{jnp.max(jnp.abs(soft - x)):.2g}"


def print_table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " --- |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def compare_methods() -> None:
    rows = []
    for method in sj.methods.METHODS:
        kept = [smoothness(f, method) for f in (sj.sort, sj.rank)]
        rows.append(
            [
                f"`{method}`",
                *times(method=method),
                *kept,
                error(method=method),
                rank_of_equals(method=method),
            ]
        )
    header = ["method", "sort", "its gradient", "10,000"]
    header += ["sort, two meet", "rank, two meet", "error", "ranks of two equal"]
    print_table(header, rows)


def compare_modes() -> None:
    x = jnp.linspace(-1.0, 1.0, 100)
    rows = []
    for mode in MODES:
        regularizer = sj.solvers.get_regularizer(mode)
        # So that transitions have comparable widths.
        softness = SOFTNESS * regularizer.transition_scale()
        share = jnp.mean(sj.argmax(x, mode=mode, softness=softness) == 0)
        slope = jax.grad(lambda t, m=mode: sj.heaviside(t, mode=m, softness=SOFTNESS))
        rows.append(
            [
                f'`"{mode}"`',
                *times(mode=mode)[:2],
                f"{100 * share:.0f} %",
                f"{slope(0.0):.2g}",
                f"{slope(-10 * SOFTNESS):.2g}",
            ]
        )
    header = ["mode", "sort", "its gradient", "zeros of argmax"]
    header += ["slope of a step", "far out"]
    print_table(header, rows)


if __name__ == "__main__":
    compare_methods()
    compare_modes()
