"""`python -m benchmarks.side_by_side`: every solver on every problem that it takes.

Each solver is asked for tolerances of 1e-1 to 1e-6, in float64. For each of them the
table has the steps taken, the time, the residual that is left, in the problem's own
measure, and how far the gradient of a weighted sum of the solution is from the exact
one, relative to its norm: a solution that is stopped early is differentiated as if it
were optimal. All runs of a problem are compiled and take turns in one process, and
medians are compared. What a tolerance bounds is up to each solver.

A solver of your own joins by `--add module:name`, of a `Solver` class or any function
that makes one of a tolerance; a problem of your own by `--add-problem module:name`, of
a `Case`. `--figure` draws residual and error of the gradient against time.
"""

import argparse
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from softjax.solvers import choose_solver, get_regularizer, solve

from ._solver_cases import CASES, SOLVERS, Case
from ._user import load
from .timing import medians

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


class Row(NamedTuple):
    """Findings about one solver, at one tolerance, on one problem."""

    problem: str
    mode: str
    solver: str
    tolerance: float
    steps: int
    milliseconds: float
    residual: float
    error: float


def accepts(case: Case, solver: Any) -> bool:
    """Whether a solver says that it takes a problem."""
    regularizer = get_regularizer(case.mode)
    problem = case.pose(jnp.asarray(case.z))
    try:
        choose_solver(solver, problem.specialize(regularizer), regularizer)
    except TypeError:
        return False
    return True


def report(case: Case, solver: Any, z: jax.Array) -> tuple[Any, ...]:
    found = solve(case.pose(z), case.mode, solver)
    return found.dual, found.steps.max(), found.residual.max()


def loss(case: Case, solver: Any, z: jax.Array, dual: Any = None) -> jax.Array:
    """A weighted sum of the solution, that of a `dual` if there is one."""
    found = solve(case.pose(z), case.mode, solver)
    if dual is not None:
        # The search is of no use then, and is not compiled.
        found = found.at(found.problem, found.regularizer, dual)
    return jnp.sum(
        found.value * jnp.cos(jnp.arange(found.value.size)).reshape(found.value.shape)
    )


def exact_gradient(case: Case) -> np.ndarray:
    """The gradient of `loss` by the default solver, which goes down to rounding."""
    gradient = jax.jit(jax.grad(functools.partial(loss, case, None)))
    return np.asarray(gradient(jnp.asarray(case.z)))


def compiled(case: Case, make: Callable, z: jax.Array, tolerances: Iterable[float]):
    """A function of z by tolerance; one program for all where the solver allows it."""
    shared = jax.jit(lambda z, tol: report(case, make(tol), z))
    try:
        shared.lower(z, 1e-3)
    except Exception:  # whatever a solver does with a number that is traced
        fixed = (functools.partial(report, case, make(tol)) for tol in tolerances)
        return [jax.jit(fn) for fn in fixed]
    return [lambda z, tol=tol: shared(z, tol) for tol in tolerances]


def measure(
    case: Case,
    solvers: dict[str, Callable] = SOLVERS,
    tolerances: tuple[float, ...] = TOLERANCES,
    repeats: int = 20,
) -> list[Row]:
    """Rows of all solvers that take a problem. Best under `jax.enable_x64()`."""
    z, exact = jnp.asarray(case.z), exact_gradient(case)
    runs, gradients = {}, {}
    for name, make in solvers.items():
        if accepts(case, make(1e-3)):
            each = compiled(case, make, z, tolerances)
            runs |= {
                (name, tol): run for tol, run in zip(tolerances, each, strict=True)
            }
            gradients[name] = jax.jit(
                jax.grad(functools.partial(loss, case, make(1e-3)))
            )
    time_of = medians(runs, z, repeats=repeats, budget=0.5)
    rows = []
    for (name, tol), run in runs.items():
        dual, steps, residual = run(z)
        off = np.linalg.norm(gradients[name](z, dual) - exact)
        off = off / (np.linalg.norm(exact) or 1.0)  # that of a vertex is 0
        numbers = int(steps), 1e3 * time_of[name, tol], float(residual), float(off)
        rows.append(Row(case.name, case.mode, name, tol, *numbers))
    return rows


def table(rows: list[Row]) -> str:
    """Lines of a table in Markdown, one for each problem and solver."""
    tolerances = sorted({row.tolerance for row in rows}, reverse=True)
    heads = ["problem", "solver", *(f"{tol:.0e}" for tol in tolerances)]
    lines = [" | ".join(heads), " | ".join(["---"] * len(heads))]
    found = {(r.problem, r.mode, r.solver, r.tolerance): r for r in rows}
    for problem, mode, solver in dict.fromkeys(key[:3] for key in found):
        cells = [f'{problem}, `"{mode}"`', solver]
        for tol in tolerances:
            row = found[problem, mode, solver, tol]
            cells.append(
                f"{row.steps}; {row.milliseconds:.2g} ms; {row.residual:.0e}; "
                f"{row.error:.0e}"
            )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def draw(rows: list[Row], path: Path) -> None:
    """Residual and error of the gradient against time, two panels for each problem."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    plt.switch_backend("Agg")  # needs no screen
    cases = list(dict.fromkeys((row.problem, row.mode) for row in rows))
    names = list(dict.fromkeys(row.solver for row in rows))
    colors = {name: plt.get_cmap("tab20")(i % 20) for i, name in enumerate(names)}
    marks = {name: "os^vD*Pp"[i % 8] for i, name in enumerate(names)}
    columns = min(len(cases), 5)
    bands = -(-len(cases) // columns)
    size = 2.9 * columns + 0.6, 4.4 * bands + 1.2
    figure, grid = plt.subplots(
        2 * bands, columns, figsize=size, squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for i, case in enumerate(cases):
        band, column = divmod(i, columns)
        upper, lower = grid[2 * band : 2 * band + 2, column]
        upper.set_title(f'{case[0]}, "{case[1]}"', fontsize=10)
        lower.set_xlabel("time (ms)")
        for axes, field in ((upper, "residual"), (lower, "error")):
            axes.set_axis_on()
            axes.grid(which="major", color="0.92")
            for name in names:
                mine = [
                    r for r in rows if (r.problem, r.mode, r.solver) == (*case, name)
                ]
                axes.loglog(
                    [row.milliseconds for row in mine],
                    [max(getattr(row, field), 1e-17) for row in mine],
                    color=colors[name],
                    marker=marks[name],
                    markersize=4,
                    lw=1,
                )
            low, high = axes.get_xlim()
            axes.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
            axes.minorticks_off()
        if column == 0:
            upper.set_ylabel("residual")
            lower.set_ylabel("error of the gradient")
    handles = [
        Line2D([], [], color=colors[name], marker=marks[name], label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--problems", nargs="+", help="those whose names begin like this")
    add("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    add("--add", nargs="+", default=[], metavar="MODULE:NAME", help="other solvers")
    add("--add-problem", nargs="+", default=[], metavar="MODULE:NAME")
    add("--tolerances", nargs="+", type=float, default=list(TOLERANCES))
    add("--repeats", type=int, default=20, help="calls of each, at most")
    add("--figure", type=Path, help="draw it here too")
    options = parser.parse_args()
    # The user's own first, so that the first lines of a table show them.
    solvers = {name: load(name) for name in options.add}
    solvers |= {name: SOLVERS[name] for name in options.solvers}
    cases = [load(name) for name in options.add_problem]
    if options.problems or not cases:
        prefixes = tuple(options.problems or [""])
        cases += [case for case in CASES if case.name.startswith(prefixes)]
    rows: list[Row] = []
    with jax.enable_x64(True):
        for case in cases:
            new = measure(case, solvers, tuple(options.tolerances), options.repeats)
            rows += new
            skip = 2 if len(rows) > len(new) else 0
            print("\n".join(table(new).splitlines()[skip:]), flush=True)
    if options.figure:
        draw(rows, options.figure)
        print(f"\nSaved {options.figure}")


if __name__ == "__main__":
    main()
