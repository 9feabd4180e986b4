"""The three tables of docs/choose.md: `python benchmarks/choices.py`, in some minutes.

With `--write docs/choose.md`, tables of that page are replaced by those that are
measured; what follows `--only` are the ones to measure.

Times are relative to that of `jnp.sort` of the same numbers, in float32: each is the
smallest of several rounds in which all take turns, so that other load falls on all of
them. Memory is what the compiled program says that it needs. Smoothness is measured in
float64: how many derivatives along a path do not jump.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from smoothness import MODES, along, describe, operator_smoothness, simplex
from timing import turns

import softjax as sj

SOFTNESS = 0.1
ORDERS = 2  # derivatives of operators that are looked at
ROUNDS = 60
BUDGET = 3.0  # seconds of each time that is measured
SPREADS = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
Row = dict[str, str]


def short(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


def numbers(n: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(size=n), jnp.float32)


def sort_and_gradient(**keywords: Any) -> dict[str, Callable]:
    def sort(x):
        return sj.sort(x, softness=SOFTNESS, **keywords)

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(sort(x) ** 2))(x)

    return {"sort": jax.jit(sort), "gradient": jax.jit(gradient)}


def relative_times(n: int, **programs: Callable) -> dict[str, str]:
    """Smallest times of programs of n numbers, in those of a `jnp.sort` of them."""
    functions = {"hard": jax.jit(jnp.sort), **programs}
    taken = turns(functions, numbers(n), repeats=ROUNDS, budget=BUDGET)
    smallest = {name: min(times) for name, times in taken.items()}
    return {name: short(smallest[name] / smallest["hard"]) for name in programs}


def memory(program: Any, n: int) -> str:
    """Numbers of float32 for each element that a program keeps while it runs."""
    analysis = program.lower(numbers(n)).compile().memory_analysis()
    return short(analysis.temp_size_in_bytes / 4 / n)


def softness_rows() -> Iterator[Row]:
    """By softness in standard deviations, on rows of 100 normal numbers."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(200, 100)), jnp.float32)
    order = jnp.argsort(x, axis=-1)
    ranks = sj.rank(x, mode="hard")
    for softness in SPREADS:
        share = sj.argmax(x, axis=-1, softness=softness)
        slopes = jax.jit(
            jax.vmap(
                lambda x, s=softness: jnp.diagonal(
                    jax.jacrev(lambda x: sj.rank(x, softness=s))(x)
                )
            )
        )(x)
        error = sj.sort(x, softness=softness) - jnp.take_along_axis(x, order, -1)
        entropy = -jnp.sum(share * jnp.log(jnp.clip(share, 1e-30)), axis=-1)
        yield {
            "softness": f"{softness:g}",
            "elements in argmax": f"{jnp.mean(jnp.exp(entropy)):.1f}",
            "error of sort": short(float(jnp.mean(jnp.max(jnp.abs(error), -1)))),
            "error of rank": short(
                float(jnp.mean(jnp.abs(sj.rank(x, softness=softness) - ranks)))
            ),
            "slope of rank, median": short(float(jnp.median(jnp.abs(slopes)))),
            "largest": short(float(jnp.mean(jnp.max(jnp.abs(slopes), -1)))),
        }


def mode_rows() -> Iterator[Row]:
    x = jnp.linspace(-1.0, 1.0, 100)
    for mode in MODES:
        regularizer = sj.solvers.get_regularizer(mode)
        # So that transitions have comparable widths.
        softness = SOFTNESS * regularizer.transition_scale()
        share = jnp.mean(sj.argmax(x, mode=mode, softness=softness) == 0)
        slope = jax.grad(lambda t, m=mode: sj.heaviside(t, mode=m, softness=SOFTNESS))
        times = relative_times(1_000, **sort_and_gradient(mode=mode))
        with jax.enable_x64(True):
            path = along(lambda t, m=mode: simplex(m, t))
            kept = sj.solvers.measure_smoothness(path, -1.03, 1.0, 3)
        yield {
            "mode": f'`"{mode}"`',
            "derivatives": describe(kept, 3),
            "zeros of argmax": f"{100 * share:.0f} %",
            "slope of a step": f"{slope(0.0):.2g}",
            "far out": f"{slope(-10 * SOFTNESS):.2g}",
            "time": times["sort"],
            "of its gradient": times["gradient"],
        }


def smoothness(operator: Callable, method: str) -> str:
    """Smoothness of an operator along a path on which two elements meet."""
    with jax.enable_x64(True):
        found = operator_smoothness(operator, "smooth", method, True, ORDERS)
    return describe(found, ORDERS)


def column_sums(x: jax.Array, **keywords: Any) -> str:
    """Largest distance from 1 of what an element has in all places together."""
    try:
        index = sj.argsort(x, softness=SOFTNESS, **keywords)
    except ValueError:
        return "no soft indices"
    return f"{jnp.max(jnp.abs(jnp.sum(index, axis=0) - 1)):.2f}"


def rank_of_equals(**keywords: Any) -> str:
    """Whether two equal elements have the same rank."""
    ranks = sj.rank(jnp.array([0.0, 0.5, 0.5, 1.0]), softness=SOFTNESS, **keywords)
    return "one" if abs(ranks[1] - ranks[2]) < 1e-4 else "two"


def method_rows() -> Iterator[Row]:
    even = jnp.linspace(0.0, 1.0, 20)
    for method in sj.methods.METHODS:
        programs = sort_and_gradient(method=method)
        large = {"large": programs["sort"]}
        times = relative_times(1_000, **programs) | relative_times(10_000, **large)
        soft = sj.sort(even, softness=SOFTNESS, method=method)
        kept = [smoothness(operator, method) for operator in (sj.sort, sj.rank)]
        yield {
            "method": f"`{method}`",
            "error": f"{jnp.max(jnp.abs(soft - even)):.2g}",
            "sort, two meet": kept[0],
            "rank, two meet": kept[1],
            "ranks of two equal": rank_of_equals(method=method),
            "error of columns": column_sums(even, method=method),
            "time": times["sort"],
            "of its gradient": times["gradient"],
            "time, 10,000": times["large"],
            "memory": memory(programs["gradient"], 10_000),
        }


TABLES = {"softness": softness_rows, "mode": mode_rows, "method": method_rows}


def table(rows: list[Row]) -> str:
    cells = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *(list(row.values()) for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def replace(page: str, name: str, new: str) -> str:
    """Page with another table after the comment that names it."""
    pattern = rf"(?<=<!-- choices: {name} -->\n\n)(?:\|.*\n)+"
    return re.sub(pattern, lambda _: new, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    args = parser.parse_args()
    for name in args.only:
        new = table(list(TABLES[name]()))
        print(new, flush=True)
        if args.write is not None:
            page = args.write.read_text()
            args.write.write_text(replace(page, name, new))


if __name__ == "__main__":
    main()
