"""Solvers of transport problems against each other.

Each operator with `method="ot"` is a transport problem. This prints, for each of them,
each mode and each solver: the steps taken; the largest error of a column's sum relative
to its marginal; the time of the value and of the gradient, also divided by those of the
default solver; and how long the gradient takes to compile. All runs of a problem are
compiled and take turns in one process, and medians are compared.

With `--figure`, it draws instead how the error falls with time, by running each solver
with more and more steps.
"""

import argparse
import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import matplotlib.pyplot as plt
import optimistix as optx
from timing import medians
from tqdm import tqdm

from softjax.solvers import (
    DualCoordinateAscent,
    OptimistixMinimiser,
    OTTSinkhorn,
    SemiDual,
    TransportProjection,
    choose_solver,
    get_regularizer,
    solve,
)

ROOT = Path(__file__).parents[1]
MODES = ("smooth", "c0", "c1", "c2")


class Case(NamedTuple):
    """Transport of a batch of samples in [0, 1] to anchors of given masses."""

    batch: int
    size: int
    masses: list[int]

    def points(self) -> jax.Array:
        noise = jax.random.normal(jax.random.key(0), (self.batch, self.size))
        return jax.nn.sigmoid(noise)

    def problem(self, points: jax.Array, softness: float) -> TransportProjection:
        anchors = jnp.linspace(0, 1, len(self.masses))
        return TransportProjection.on_line(
            points, anchors, jnp.asarray(self.masses), softness
        )


CASES = {
    "argmax": Case(4, 256, [1, 255]),
    "top_5": Case(4, 256, [1] * 5 + [251]),
    "top_5-512": Case(8, 512, [1] * 5 + [507]),
    "median": Case(4, 256, [127, 1, 1, 127]),
    "sort": Case(4, 64, [1] * 64),
    "sort-128": Case(8, 128, [1] * 128),
}
SOLVERS: dict[str, Any] = {
    "default": None,
    "semi_dual": "semi_dual",
    "alternating": "alternating",
    "4, semi_dual": SemiDual(alternations=4),
    "sinkhorn": "sinkhorn",
    "optx.LBFGS": optx.LBFGS(rtol=1e-6, atol=1e-6),
    "jaxopt.LBFGS": jaxopt.LBFGS,
}


class Row(NamedTuple):
    case: str
    batch: int
    points: int
    anchors: int
    mode: str
    solver: str
    steps: int
    residual: float
    value_ms: float
    value_ratio: float
    gradient_ms: float
    gradient_ratio: float
    compile_s: float


def accepts(solver: Any, problem: TransportProjection, mode: str) -> bool:
    """Whether a solver takes a problem: Sinkhorn's algorithm has the entropy only."""
    try:
        choose_solver(solver, problem, get_regularizer(mode))
    except TypeError:
        return False
    return True


def measure(
    name: str, mode: str, solvers: dict[str, Any], softness: float, repeats: int
) -> Iterator[Row]:
    case = CASES[name]
    points = case.points()
    weights = jnp.cos(jnp.arange(case.size))[:, None]

    def value(points, solver):
        solution = solve(case.problem(points, softness), mode, solver)
        loss = jnp.sum(weights * solution.value)
        return loss, (solution.steps, solution.residual)

    runs: dict[tuple[str, str], Callable] = {}
    compile_time = {}
    for key, solver in solvers.items():
        if not accepts(solver, case.problem(points, softness), mode):
            continue
        loss = functools.partial(value, solver=solver)
        # First, so that imports on first use are not counted below.
        runs[key, "value"] = jax.jit(loss).lower(points).compile()
        start = perf_counter()
        gradient = jax.jit(jax.grad(loss, has_aux=True)).lower(points).compile()
        compile_time[key] = perf_counter() - start
        runs[key, "gradient"] = gradient
    time_of = medians(runs, points, repeats=repeats, budget=2.0)
    for key, compiling in compile_time.items():
        _, (steps, residual) = runs[key, "value"](points)
        value_time, gradient_time = time_of[key, "value"], time_of[key, "gradient"]
        yield Row(
            *(name, case.batch, case.size, len(case.masses), mode, key),
            int(steps.max()),
            float(residual.max()),
            1e3 * value_time,
            value_time / time_of["default", "value"],
            1e3 * gradient_time,
            gradient_time / time_of["default", "gradient"],
            compiling,
        )


def table(options: argparse.Namespace) -> None:
    solvers = {name: SOLVERS[name] for name in ("default", *options.solvers)}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    print(
        f"{'operator':10}{'batch x n x m':>14}  {'mode':8}{'solver':13}{'steps':>5}"
        f"{'residual':>10}{'value':>14}{'ratio':>8}{'gradient':>14}{'ratio':>8}"
        f"{'compiling':>11}"
    )
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        for name in options.cases:
            for mode in options.modes:
                for row in measure(
                    name, mode, solvers, options.softness, options.repeats
                ):
                    writer.writerow(row)
                    size = f"{row.batch} x {row.points} x {row.anchors}"
                    print(
                        f"{name:10}{size:>14}  {mode:8}{row.solver:13}{row.steps:5}"
                        f"{row.residual:10.0e}{row.value_ms:11.2f} ms"
                        f"{row.value_ratio:8.2f}{row.gradient_ms:11.2f} ms"
                        f"{row.gradient_ratio:8.2f}{row.compile_s:9.1f} s",
                        flush=True,
                    )
    print(f"Table: {options.output}")


# The figure: solvers made from the number of steps after which to stop.

LIMITED: dict[str, Callable[[Any], Any]] = {
    "semi_dual": lambda steps: SemiDual(tolerance=0, max_steps=steps),
    "4 alternating, then semi_dual": lambda steps: SemiDual(
        tolerance=0, max_steps=steps, alternations=4
    ),
    "alternating": lambda steps: DualCoordinateAscent(tolerance=0, max_steps=steps),
    "sinkhorn (OTT-JAX)": lambda steps: OTTSinkhorn(tolerance=0, max_steps=steps),
    "optimistix.LBFGS": lambda steps: OptimistixMinimiser(
        optx.LBFGS(rtol=0, atol=0), max_steps=steps
    ),
    "jaxopt.LBFGS": lambda steps: jaxopt.LBFGS(fun=jnp.sum, tol=0, maxiter=steps),
}
STATIC = ("sinkhorn (OTT-JAX)", "optimistix.LBFGS")
"""Solvers whose number of steps must be known when they are compiled."""

LIMITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
FEWER_LIMITS = LIMITS[1::2]
"""Numbers of steps for solvers that are compiled anew for each of them."""

ROUNDING = 1e-12
"""Residual below which only rounding is left."""

PANELS = {
    "top_5": "top 5 of 256",
    "sort": "sort 64",
}
SOFTNESS = {"smooth": 0.1, "c0": 1.0}
"""Softness by mode; c0 needs more for plans that spread over many entries."""

# Okabe and Ito's colours, which colour-blind people can tell apart, and markers.
STYLES = dict(
    zip(
        LIMITED,
        [
            ("#0072b2", "o"),
            ("#56b4e9", "*"),
            ("#009e73", "s"),
            ("#e69f00", "^"),
            ("#d55e00", "D"),
            ("#cc79a7", "v"),
        ],
        strict=True,
    )
)


def curves(case: Case, mode: str, repeats: int) -> dict[str, list]:
    """Points (time in ms, residual) of each solver, after more and more steps."""
    problem = case.problem(case.points(), SOFTNESS[mode])
    runs: dict[tuple[str, int], Callable] = {}
    residuals: dict[tuple[str, int], float] = {}
    for name, make in tqdm(LIMITED.items(), desc=mode, leave=False):
        if not accepts(make(1), problem, mode):
            continue

        def run(problem, steps, make=make):
            solution = solve(problem, mode, make(steps))
            return solution.steps.max(), solution.residual.max()

        static = name in STATIC
        compiled = jax.jit(run, static_argnames="steps" if static else ())
        done = -1
        for limit in FEWER_LIMITS if static else LIMITS:
            limited = functools.partial(compiled, steps=limit)
            steps, residual = limited(problem)
            if steps > done:  # some take several steps at once
                runs[name, limit] = limited
                residuals[name, limit] = float(residual)
            done = steps
            if residual < ROUNDING:
                break
    time_of = medians(runs, problem, repeats=repeats, budget=1.0)
    found: dict[str, list] = {}
    for key, taken in time_of.items():
        found.setdefault(key[0], []).append((1e3 * taken, residuals[key]))
    return found


def draw(options: argparse.Namespace) -> None:
    plt.switch_backend("Agg")  # needs no screen
    figure, grid = plt.subplots(
        2, 2, figsize=(9, 7.5), sharex=True, sharey=True, layout="constrained"
    )
    for row, (name, title) in zip(grid, PANELS.items(), strict=True):
        for axes, (mode, softness) in zip(row, SOFTNESS.items(), strict=True):
            for key, points in curves(CASES[name], mode, options.repeats).items():
                color, marker = STYLES[key]
                milliseconds, residuals = zip(*points, strict=True)
                axes.loglog(
                    milliseconds,
                    residuals,
                    color=color,
                    marker=marker,
                    markersize=8 if marker == "*" else 4,
                    label=key,
                )
            axes.set_title(f'{title}, mode="{mode}", softness={softness}', fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(which="major", color="0.92")
    for axes in grid[-1]:
        axes.set_xlabel("time for a batch of 4 (ms)")
    for axes in grid[:, 0]:
        axes.set_ylabel("largest relative error of a column")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        "Solvers of optimal transport: error against time, for more and more steps"
        " (float64)"
    )
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=150)
    print(f"Figure: {options.figure}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--modes", nargs="+", default=list(MODES))
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=SOLVERS)
    parser.add_argument("--softness", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=20, help="calls of each")
    parser.add_argument("--output", type=Path, default=ROOT / "build/solvers.csv")
    parser.add_argument("--figure", type=Path, help="draw it, and leave out the table")
    options = parser.parse_args()
    if options.figure is None:
        table(options)
    else:
        with jax.enable_x64(True):  # shows how errors fall further than float32
            draw(options)


if __name__ == "__main__":
    main()
