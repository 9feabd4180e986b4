"""Pictures of operators: by mode, by method, and what gradients they have."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

from .curves import Operator, differentiate, in_all_modes, row
from .drawing import COLORS, DASHED, Pictures


def without_jumps(y: np.ndarray) -> np.ndarray:
    """y, with a gap in the place of a line where it jumps."""
    y = np.array(y, np.float64)
    y[:-1][np.abs(np.diff(y)) > 0.2] = np.nan
    return y


def draw_operators(
    pictures: Pictures, operators: Iterable[Operator], comparable: bool
) -> None:
    margins = dict(left=0.07, right=0.985, top=0.9, bottom=0.27, wspace=0.17)
    for operator in operators:
        x, found = in_all_modes(operator, comparable)
        for i, (name, label) in enumerate(operator.curves.items()):
            # Fixed margins take half the time of those that are found.
            with pictures.figure(name, 1, 2, layout=None, height=2.5) as (
                figure,
                (left, right),
            ):
                figure.subplots_adjust(**margins)
                for mode, (values, slopes) in found.items():
                    style: dict[str, Any] = dict(color=COLORS[mode], label=mode)
                    style["ls"] = "--" if mode in DASHED else "-"
                    value, slope = values[i], slopes[i]
                    if mode == "hard":
                        style |= dict(lw=3.5, alpha=0.6)
                        value, slope = without_jumps(value), without_jumps(slope)
                    left.plot(x, value, **style)
                    right.plot(x, slope, **style)
                left.set(title=label, xlabel="x")
                right.set(title="derivative", xlabel="x")
                # Spikes would leave nothing to be seen of the rest.
                soft = np.concatenate(
                    [np.asarray(s[i]) for m, (_, s) in found.items() if m != "hard"]
                )
                low, high = np.quantile(soft, [0.004, 0.996])
                margin = 0.12 * (high - low)
                right.set_ylim(low - margin, high + margin)
                figure.legend(
                    *left.get_legend_handles_labels(),
                    loc="lower center",
                    ncols=8,
                    columnspacing=0.9,
                    handlelength=1.3,
                    handletextpad=0.4,
                )


def draw_logic(pictures: Pictures) -> None:
    p = np.linspace(0, 1, 65)
    x, y = jnp.meshgrid(p, p)
    operators = {
        "and": sj.logical_and,
        "or": sj.logical_or,
        "xor": sj.logical_xor,
    }
    with pictures.figure("logic", 2, 3, height=4.6, sharex=True, sharey=True) as (
        figure,
        grid,
    ):
        image = None
        for axes_row, geometric in zip(grid, (False, True), strict=True):
            for axes, (name, fn) in zip(axes_row, operators.items(), strict=True):
                z = fn(x, y, use_geometric_mean=geometric)
                image = axes.pcolormesh(
                    p, p, z, vmin=0, vmax=1, cmap="viridis", rasterized=True
                )
                lines = axes.contour(p, p, z, [0.25, 0.5, 0.75], colors="w")
                lines.set_linewidth(0.7)
                words = ",\ngeometric mean" if geometric else ""
                axes.set(title=f"logical_{name}{words}", aspect="equal")
                axes.grid(False)
        figure.supxlabel("probability of a")
        figure.supylabel("probability of b")
        figure.colorbar(image, ax=grid, shrink=0.6)


METHOD_COLORS = {
    "softsort": "#2f7ed8",
    "neuralsort": "#e8710a",
    "ot": "#1a9e5c",
    "sorting_network": "#e0508c",
    "fast_soft_sort": "#b05ad8",
    "smooth_sort": "#0ea5b7",
}


def draw_methods(pictures: Pictures) -> None:
    x = jnp.linspace(-1.0, 1.0, 322)
    values = {
        "rank of x": lambda x, **k: sj.rank(row(x), descending=False, **k)[..., 0],
        "sort, element 1": lambda x, **k: sj.sort(row(x), **k)[..., 1],
    }

    def both(x, **keywords):
        return [fn(x, **keywords) for fn in values.values()]

    hard = differentiate(lambda x: both(x, mode="hard"), x)
    with pictures.figure("methods", 2, 2, height=4.6, sharex=True) as (figure, grid):
        found = {
            name: differentiate(lambda x, n=name: both(x, method=n), x)
            for name in METHOD_COLORS
        }
        for axes_row, i in zip(grid, range(2), strict=True):
            axes_row[0].plot(x, hard[0][i], color=COLORS["hard"], lw=3.5, alpha=0.6)
            for name, color in METHOD_COLORS.items():
                line = "--" if name in ("neuralsort", "smooth_sort") else "-"
                for axes, y in zip(axes_row, found[name], strict=True):
                    axes.plot(x, y[i], line, color=color, label=name)
            axes_row[0].set_title(list(values)[i])
            axes_row[1].set_title("derivative")
        grid[0, 1].set_ylim(-0.5, 5)
        for axes in grid[1]:
            axes.set_xlabel("x")
        figure.legend(
            *grid[1, 1].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=6,
            columnspacing=0.9,
            handlelength=1.1,
        )


def draw_permutations(pictures: Pictures) -> None:
    x = jnp.asarray([0.15, 0.9, -0.3, 0.5, -0.9, 0.2, -0.45, 0.75])
    softness = jnp.asarray([0.03, 0.1, 0.3])
    methods = ("softsort", "neuralsort", "ot", "sorting_network")
    for mode in ("smooth", "c0"):
        with pictures.figure(f"permutations_{mode}", 3, 4, height=5.4) as (_, grid):

            def many(method, mode=mode):
                return jax.vmap(
                    lambda scale: sj.argsort(
                        x, softness=scale, method=method, mode=mode
                    )
                )(softness)

            for column, method in zip(grid.T, methods, strict=True):
                plans = jax.jit(many, static_argnums=0)(method)
                for axes, p in zip(column, plans, strict=True):
                    axes.imshow(p, vmin=0, vmax=1, cmap="magma")
                    axes.grid(False)
                    axes.set_xticks([])
                    axes.set_yticks([])
                column[0].set_title(method)
            for axes, s in zip(grid[:, 0], softness, strict=True):
                axes.set_ylabel(f"softness {s:.2g}")


def draw_straight_through(pictures: Pictures) -> None:
    """A product of relus, its parts straight-through or the whole of it."""

    def product(relu):
        return lambda x, y, mode="smooth": relu(x, mode) * relu(y, mode)

    def soft(x, mode):
        return sj.relu(x, mode=mode, softness=0.3)

    def hard(x, mode):
        return jax.nn.relu(x)

    def each(x, mode):
        return sj.relu_st(x, mode=mode, softness=0.3)

    functions = {
        "hard": product(hard),
        "relu_st of each": product(each),
        "st of the product": sj.st(product(soft)),
    }
    t = np.linspace(-1, 1, 13)
    x, y = (jnp.asarray(a, jnp.float32).ravel() for a in np.meshgrid(t, t))
    with pictures.figure("straight_through", 1, 3, height=2.6, sharey=True) as (
        _,
        grid,
    ):
        for axes, (name, fn) in zip(grid, functions.items(), strict=True):
            gradient = jax.jit(jax.vmap(jax.grad(fn, argnums=(0, 1))))(x, y)
            dx, dy = (np.asarray(g) for g in gradient)
            length = np.hypot(dx, dy)
            moves = length > 1e-6
            unit = np.where(moves, length, 1)
            axes.quiver(
                x[moves],
                y[moves],
                (dx / unit)[moves],
                (dy / unit)[moves],
                color="#2f7ed8",
                width=0.008,
                scale=15,
                pivot="mid",
            )
            axes.plot(x[~moves], y[~moves], ".", ms=2.5, color=COLORS["hard"])
            axes.set(title=name, aspect="equal", xlabel="x")
        grid[0].set_ylabel("y")


def draw_front(pictures: Pictures) -> None:
    x = jnp.linspace(-1.0, 1.0, 401)
    with pictures.figure("front", 1, 3, height=2.4) as (figure, grid):
        functions = {
            "x > 0": lambda x, **k: sj.greater(x, 0.0, **k),
            "rank of x among four": lambda x, **k: sj.rank(
                row(x), descending=False, **k
            )[..., 0],
            "top_k_mask(2), of x": lambda x, **k: sj.top_k_mask(row(x), 2, **k)[..., 0],
        }
        for axes, (name, fn) in zip(grid, functions.items(), strict=True):
            for mode in ("hard", "smooth", "c0"):
                style = dict(lw=3.5, alpha=0.6) if mode == "hard" else {}
                y = jax.jit(lambda x, fn=fn, m=mode: fn(x, mode=m))(x)
                axes.plot(x, y, color=COLORS[mode], label=f'mode="{mode}"', **style)
            axes.set(title=name, xlabel="x")
        figure.legend(
            *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
