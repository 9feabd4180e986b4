"""`python -m benchmarks.landscape`: what smoothness costs in accuracy, by softness.

A soft operator is of use to a gradient as far as its landscape is smooth, and right as
far as it is near the hard operator. Both are measured along straight paths through
inputs, for each softness: the *bias*, the largest distance from the hard answer over
the path, and the *curvature*, the largest second derivative. The first falls with
softness and the second rises, so that each mode and method is a curve; the lower one
has less bias at the same curvature. The p-norms from p = 1.05, next to the entropy, to
p = 2 are a path between `"smooth"` and `"c0"`.

The operators are `max` and, by each method, the sum of sorted elements times 1, 2, ...,
n, divided by n. Softness is in the unit of the input; equal softness is not the same
width in all modes, which is why curves are compared and not points. Second derivatives
are differences over a step of the grid. Where those over an eighth of the step are far
larger, as at a kink, or next to a power t^(4 / 3), which is none, there is no largest
one: such points are dotted in the figure, and left out of the table.

A regularizer of your own joins by `--add module:Class`, the name of a class without
arguments or of an instance. `--figure` draws the curves.
"""

import argparse
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# As in `smoothness.py`: programs run a few times only. Importers measure times.
if __name__ == "__main__":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj
from softjax.solvers import PNorm

from ._user import load

MODES: dict[str, Any] = {
    mode: mode
    for mode in ("smooth", "c0", "c1", "c2", "cubic", "quintic", "pseudohuber")
}
NORMS = {f"p = {p}": PNorm(p) for p in (1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)}
METHODS = tuple(sj.methods.METHODS)
SOFTNESS = tuple(float(x) for x in np.geomspace(0.02, 20.0, 13))
GRID = 801
COARSE = 8
"""Steps of the grid in one of those that second derivatives are compared with."""

_RNG = np.random.default_rng(0)
START = _RNG.uniform(-1, 1, size=(2, 5))
DIRECTION = _RNG.normal(size=(2, 5))
"""Two paths from -1 to 1 of rows of five elements, which meet on the way."""


class Point(NamedTuple):
    """Bias and curvature of an operator at a softness, and whether that is one."""

    operator: str
    mode: str
    softness: float
    bias: float
    curvature: float
    bounded: bool  # or else it grows with finer grids


def largest(x: jax.Array, **keywords: Any) -> jax.Array:
    return sj.max(x, axis=-1, **keywords)


def weighted(x: jax.Array, **keywords: Any) -> jax.Array:
    n = x.shape[-1]
    places = jnp.arange(1.0, n + 1, dtype=x.dtype)
    return sj.sort(x, axis=-1, **keywords) @ places / n


OPERATORS: dict[str, Callable] = {
    "max": largest,
    **{
        f"sort, {method}": lambda x, method=method, **keywords: weighted(
            x, **({} if keywords["mode"] == "hard" else dict(method=method)), **keywords
        )
        for method in METHODS
    },
}


def second_differences(values: np.ndarray, step: float) -> np.ndarray:
    """Absolute second derivatives along the last axis; of kinks, their jumps / step."""
    return np.abs(np.diff(values, 2)) / step**2


def trace(
    operator: Callable, mode: Any, softness: tuple[float, ...]
) -> list[tuple[float, float, float]]:
    """Bias, curvature, and its ratio to that over coarse steps, by softness."""
    t = np.linspace(-1.0, 1.0, GRID)
    step = t[1] - t[0]
    x = START[:, None] + t[:, None] * DIRECTION[:, None]
    soft = jax.jit(lambda x, s: operator(x, mode=mode, softness=s))
    hard = np.asarray(operator(x, mode="hard"))
    found = []
    for s in softness:
        values = np.asarray(soft(x, s))
        bend = second_differences(values, step).max()
        coarse = second_differences(values[..., ::COARSE], COARSE * step).max()
        found.append((np.abs(values - hard).max(), bend, bend / coarse))
    return found


def measure(
    modes: dict[str, Any],
    operators: dict[str, Callable] = OPERATORS,
    softness: tuple[float, ...] = SOFTNESS,
) -> list[Point]:
    """Points of all curves. Best under `jax.enable_x64()`."""
    points = []
    for operator, fn in operators.items():
        for name, mode in modes.items():
            try:
                found = trace(fn, mode, softness)
            except (TypeError, ValueError):  # a method that does not take the mode
                continue
            for s, (bias, bend, ratio) in zip(softness, found, strict=True):
                points.append(Point(operator, name, s, bias, bend, ratio < 1.6))
    return points


def bias_at(points: list[Point], curvature: float) -> float:
    """The least bias of a curve at a curvature, on straight lines between logarithms.

    NaN if it does not get there, or not by steps that could be called a curve.
    """
    found = np.nan
    for pair in itertools.pairwise(points):
        (low, at_low), (high, at_high) = sorted((p.curvature, p.bias) for p in pair)
        firm = all(p.bounded for p in pair) and low > 0 and high < 30 * low
        if firm and low <= curvature <= high and min(at_low, at_high) > 0:
            part = np.log(curvature / low) / np.log(high / low)
            found = np.fmin(found, at_low ** (1 - part) * at_high**part)
    return float(found)


LEVELS = (1.0, 3.0, 10.0, 30.0)
"""Curvatures at which the table compares biases."""


def curves(points: list[Point]) -> dict[tuple[str, str], list[Point]]:
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.operator, point.mode), []).append(point)
    return found


def table(points: list[Point]) -> str:
    """Biases at equal curvature, in Markdown, a line for each curve."""
    heads = ["operator", "mode", *(f"curvature {x:g}" for x in LEVELS)]
    lines = [" | ".join(heads), " | ".join(["---"] * len(heads))]
    for (operator, mode), mine in curves(points).items():
        biases = [bias_at(mine, level) for level in LEVELS]
        cells = ["-" if np.isnan(b) else f"{b:.3f}" for b in biases]
        lines.append(" | ".join([operator, mode, *cells]))
    return "\n".join(f"| {line} |" for line in lines)


def draw(points: list[Point], own: set[str], path: Path) -> None:
    """Bias against curvature: a panel for each operator, and one for p-norms."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")  # needs no screen
    found = curves(points)
    panels = list(dict.fromkeys(operator for operator, _ in found))
    columns = min(4, len(panels) + 1)
    rows = -(-(len(panels) + 1) // columns)
    size = 3.1 * columns, 2.8 * rows + 0.6
    figure, grid = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(panels) + 1 :]:
        axes.set_axis_off()
    names = list(dict.fromkeys(mode for _, mode in found if mode not in NORMS))
    colors = {name: f"C{i % 10}" for i, name in enumerate(names)}
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(NORMS)))
    colors |= dict(zip(NORMS, shades, strict=True))
    for axes, panel in zip(grid.flat, [*panels, "p-norms"], strict=False):
        operator = panel if panel in panels else panels[0]
        modes = names if panel in panels else list(NORMS)
        for mode in modes:
            mine = found.get((operator, mode), [])
            bends = np.array([p.curvature for p in mine])
            biases = np.array([p.bias for p in mine])
            firm = np.where([p.bounded for p in mine], biases, np.nan)
            style = dict(color=colors[mode], marker="o" if mode in own else None)
            axes.loglog(bends, biases, ls=":", lw=1, **style)
            axes.loglog(bends, firm, lw=1.6, label=mode, ms=3, **style)
        axes.set_title(
            panel if panel in panels else f"{operator}, p-norms", fontsize=10
        )
        axes.grid(which="major", color="0.92")
        low, high = axes.get_xlim()
        axes.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
        axes.minorticks_off()
        axes.set_xlabel("largest second derivative")
        if panel not in panels:
            axes.legend(fontsize=7, frameon=False)
    for axes in grid[:, 0]:
        axes.set_ylabel("distance from the hard answer")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.landscape",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--operators", nargs="+", choices=OPERATORS, default=list(OPERATORS))
    add("--modes", nargs="*", choices=MODES, default=list(MODES))
    add("--add", nargs="+", default=[], metavar="MODULE:CLASS", help="regularizers")
    add("--figure", type=Path, help="draw it here")
    options = parser.parse_args()
    loaded = {name.partition(":")[2]: load(name) for name in options.add}
    own = {name: r() if isinstance(r, type) else r for name, r in loaded.items()}
    operators = {name: OPERATORS[name] for name in options.operators}
    modes = own | {name: MODES[name] for name in options.modes}
    with jax.enable_x64(True):
        points = []
        for i, (name, fn) in enumerate(operators.items()):
            family = NORMS if i == 0 else {}
            new = measure(modes | family, {name: fn})
            skip = 2 if points else 0
            points += new
            print("\n".join(table(new).splitlines()[skip:]), flush=True)
    if options.figure:
        draw(points, set(own), options.figure)
        print(f"\nSaved {options.figure}")


if __name__ == "__main__":
    main()
