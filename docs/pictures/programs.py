"""Pictures of selections, of a whole program, and of the cheapest flow."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import softjax as sj

from .drawing import COLORS, GRID, INK, Pictures, legend_below, plot_mode

MODES = {"hard": 0.1, "smooth": 0.1, "c0": 0.1}
EDGES = jnp.array([-1.0, 0.0, 1.0])
LEVELS = jnp.array([0.0, 2.0, 1.0, 3.0])


def _pieces(x: jax.Array, **keywords) -> jax.Array:
    pieces = [lambda x: x + 2, lambda x: 1 - x**2]
    inside = [sj.greater(x, -1.0, **keywords), sj.greater(x, 0.5, **keywords)]
    return sj.piecewise(x, inside, [*pieces, -1.0])


def _look_up(x: jax.Array, **keywords) -> jax.Array:
    return sj.take(LEVELS, sj.digitize(x, EDGES, as_index=True, **keywords))


def _triage(x: jax.Array) -> jax.Array:
    """A hard program: branches, a comparison, a rounding."""
    grade = jnp.where(x > 0, jnp.floor(2 * x), 0.0)
    return jax.lax.cond(x > 0.8, lambda g: g + 1.0, lambda g: g, grade)


def _soften(x: jax.Array, mode: str, softness: float) -> jax.Array:
    fn = _triage if mode == "hard" else sj.soften(_triage, mode=mode, softness=softness)
    return jax.vmap(fn)(x)


def draw_programs(pictures: Pictures) -> None:
    """Pieces of a function, a table that is looked up, and a program."""
    fns = {
        "piecewise": _pieces,
        "take, of a soft digitize": _look_up,
        "soften, of a program": _soften,
    }
    x = jnp.linspace(-1.8, 1.8, 322)
    with pictures.figure("programs", 1, 3, height=2.6) as (figure, grid):
        for axes, (name, fn) in zip(grid, fns.items(), strict=True):
            for mode, softness in MODES.items():
                plot_mode(axes, x, fn(x, mode=mode, softness=softness), mode)
            axes.set(title=name, xlabel="x")
        legend_below(figure, grid[0])


def _graph(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of nodes, in five columns, and arcs to the next one."""
    sizes = (1, 3, 3, 3, 1)
    places = [
        (column, row - (size - 1) / 2)
        for column, size in enumerate(sizes)
        for row in range(size)
    ]
    starts = np.cumsum((0, *sizes))
    arcs = [
        (i, j)
        for column in range(len(sizes) - 1)
        for i in range(starts[column], starts[column + 1])
        for j in range(starts[column + 1], starts[column + 2])
    ]
    return np.array(places), np.array(arcs), rng.uniform(size=len(arcs))


def _draw_arcs(axes: Axes, places, arcs, flow, color: str) -> None:
    for (i, j), share in zip(arcs, flow, strict=True):
        ends = places[[i, j]].T
        axes.plot(*ends, color=GRID, lw=0.8, zorder=0)
        if share > 1e-3:
            width = 0.5 + 3.5 * share
            axes.plot(*ends, color=color, lw=width, solid_capstyle="round")
    axes.plot(*places.T, "o", color=INK, ms=4)
    axes.grid(False)
    axes.axis("off")


def draw_flows(pictures: Pictures) -> None:
    """Shortest paths through a graph, as linear programs."""
    places, arcs, cost = _graph(np.random.default_rng(2))
    given = dict(source=0, target=len(places) - 1, nodes=len(places))
    found = {
        mode: sj.solvers.shortest_path(
            jnp.asarray(cost, jnp.float32),
            *arcs.T,
            mode=mode,
            softness=softness,
            **given,
        )
        for mode, softness in {"smooth": 0.1, "c0": 0.3, "c1": 0.2}.items()
    }
    with pictures.figure("flows", 1, 3, height=1.9) as (_, grid):
        for axes, (mode, flow) in zip(grid, found.items(), strict=True):
            _draw_arcs(axes, places, arcs, np.asarray(flow), COLORS[mode])
            axes.set_title(mode)
