"""Draws the pictures of the documentation, all of them, into a folder.

Run as `python docs/gallery.py FOLDER`, or with the names of some of `PARTS` after it;
building the site does it too. Each picture is
drawn once, without a background, and saved twice: NAME.svg for a light page and
NAME-dark.svg, in which ink and grid have other colours.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

# Most of the time is compilation, of programs that run once. Before JAX is imported,
# which reads this once, and dies of a flag it does not know.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + " --xla_cpu_use_fusion_emitters=false"
    * version("jaxlib").startswith("0.10."),
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import softjax as sj
from softjax.solvers import (
    Alternating,
    BinaryEntropy,
    DampedNewton,
    Entropy,
    LogBarrier,
    MajorizationProjection,
    Newton,
    PNorm,
    SemiDual,
    SimplexProjection,
    TransportProjection,
    solve,
)

# What is drawn in these two colours is redrawn in others for dark pages.
INK, GRID = "#1f2329", "#dcdfe4"
DARK = {INK: "#d5d8df", GRID: "#464b58"}
WIDTH = 6.8

# Modes of one group are one compiled program. The exponents of the p-norms are a traced
# array: so the general algorithm is at work, and not the closed forms of c0 and c1.
COLORS = {
    "hard": "#8d939e",
    "smooth": "#2f7ed8",
    "c0": "#e8710a",
    "c1": "#c9a200",
    "c2": "#1a9e5c",
    "cubic": "#b05ad8",
    "quintic": "#e0508c",
    "pseudohuber": "#0ea5b7",
}
P_NORMS = {"c0": 2.0, "c1": 3 / 2, "c2": 4 / 3}
DASHED = ("cubic", "quintic")


class Pictures:
    """Saves figures, as SVG for light and for dark pages."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @contextmanager
    def figure(self, name: str, rows: int = 1, columns: int = 1, **options: Any):
        options = dict(layout="constrained", height=2.3) | options
        size = (WIDTH, options.pop("height"))
        figure, axes = plt.subplots(rows, columns, figsize=size, **options)
        yield figure, axes
        path = self.folder / f"{name}.svg"
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)
        drawing = path.read_text()
        for light, dark in DARK.items():
            drawing = drawing.replace(light, dark)
        path.with_name(f"{name}-dark.svg").write_text(drawing)


STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "softjax",  # the same file for the same picture
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


# ---- Every operator in every mode, as a function of one number. ----


SOFTNESS = 0.1


class Operator(NamedTuple):
    """Curves of x, of the shape of x each, of which two may share a program."""

    curves: dict[str, str]  # name of the picture -> what is drawn
    fn: Callable[..., tuple[jax.Array, ...]]
    reach: float = 1.0


def _one(name: str, label: str, fn: Callable, **options: Any) -> Operator:
    return Operator({name: label}, lambda x, **kw: (fn(x, **kw),), **options)


ELEMENTWISE = [
    _one("heaviside", "heaviside(x)", sj.heaviside),
    _one("sign", "sign(x)", sj.sign),
    _one("abs", "abs(x)", sj.abs),
    _one("round", "round(x)", sj.round, reach=2.2),
    _one("relu", "relu(x)", sj.relu),
    _one(
        "gated_relu", "relu(x, gated=True)", lambda x, **k: sj.relu(x, gated=True, **k)
    ),
    _one("clip", "clip(x, -1, 1)", lambda x, **k: sj.clip(x, -1, 1, **k), reach=2.0),
    _one("greater", "greater(x, 0.5)", lambda x, **k: sj.greater(x, 0.5, **k)),
    _one("less", "less(x, 0.5)", lambda x, **k: sj.less(x, 0.5, **k)),
    _one("equal", "equal(x, 0.2)", lambda x, **k: sj.equal(x, 0.2, **k)),
    _one("not_equal", "not_equal(x, 0.2)", lambda x, **k: sj.not_equal(x, 0.2, **k)),
    _one(
        "isclose",
        "isclose(x, 0, atol=0.5)",
        lambda x, **k: sj.isclose(x, 0, atol=0.5, **k),
    ),
]

OTHERS = (-0.6, -0.1, 0.5)
"""The elements beside x, which stay where they are."""


def row(x: jax.Array) -> jax.Array:
    others = jnp.broadcast_to(jnp.asarray(OTHERS), (*x.shape, len(OTHERS)))
    return jnp.concatenate([x[..., None], others], axis=-1)


def _pair(fn: Callable) -> Callable:
    """The share of x in a soft index, and the value that goes with it."""
    return lambda x, **kw: fn(row(x), **kw)


AXISWISE = [
    Operator(
        {"argmax": "argmax, share of x", "max": "max"},
        _pair(lambda x, **k: (sj.argmax(x, -1, **k)[..., 0], sj.max(x, -1, **k))),
    ),
    Operator(
        {"argmin": "argmin, share of x", "min": "min"},
        _pair(lambda x, **k: (sj.argmin(x, -1, **k)[..., 0], sj.min(x, -1, **k))),
    ),
    Operator(
        {"argsort": "argsort, share of x in row 1", "sort": "sort, element 1"},
        _pair(lambda x, **k: (sj.argsort(x, **k)[..., 1, 0], sj.sort(x, **k)[..., 1])),
    ),
    Operator(
        {"rank": "rank of x"},
        lambda x, **k: (sj.rank(row(x), **k)[..., 0],),
    ),
    Operator(
        {"top_k": "top_k(2), their mean"},
        lambda x, **k: (jnp.mean(sj.top_k(row(x), 2, **k)[0], axis=-1),),
    ),
    Operator(
        {"top_k_mask": "top_k_mask(2), of x"},
        lambda x, **k: (sj.top_k_mask(row(x), 2, **k)[..., 0],),
    ),
    Operator(
        {
            "argquantile": "argquantile(0.3), share of x",
            "quantile": "quantile(0.3)",
        },
        _pair(
            lambda x, **k: (
                sj.argquantile(x, 0.3, -1, **k)[..., 0],
                sj.quantile(x, 0.3, -1, **k),
            )
        ),
    ),
    Operator(
        {"argmedian": "argmedian, share of x", "median": "median"},
        _pair(lambda x, **k: (sj.argmedian(x, -1, **k)[..., 0], sj.median(x, -1, **k))),
    ),
]
# Made of steps, of which it has the widths.
MEDIAN_NEWTON = _one(
    "median_newton", "median_newton", lambda x, **k: sj.median_newton(row(x), -1, **k)
)


def differentiate(fn: Callable, x: jax.Array) -> tuple[Any, Any]:
    """`fn(x)` and its derivative, for `fn` that treats all entries of x alike."""
    return jax.jit(lambda x: jax.jvp(fn, (x,), (jnp.ones_like(x),)))(x)


def in_all_modes(operator: Operator, comparable: bool) -> tuple[np.ndarray, dict]:
    """x, and mode -> (values, derivatives) of each curve.

    With `comparable`, softness is multiplied by the factor by which elementwise
    operators multiply it themselves.
    """
    # No point is where something is hard, whose derivative is a convention.
    x = jnp.linspace(-operator.reach, operator.reach, 322)

    def soft(x, regularizer):
        scale = regularizer.transition_scale() if comparable else 1.0
        return operator.fn(x, mode=regularizer, softness=SOFTNESS * scale)

    found = {"hard": differentiate(lambda x: operator.fn(x, mode="hard"), x)}
    for mode in ("smooth", "cubic", "quintic", "pseudohuber"):
        r = sj.solvers.get_regularizer(mode)
        found[mode] = differentiate(lambda x, r=r: soft(x, r), x)
    exponents = jnp.asarray(list(P_NORMS.values()))
    values, slopes = differentiate(
        lambda x: jax.vmap(lambda p: soft(x, PNorm(p)))(exponents), x
    )
    for i, name in enumerate(P_NORMS):
        found[name] = ([v[i] for v in values], [s[i] for s in slopes])
    return np.asarray(x), {mode: found[mode] for mode in COLORS}


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


# ---- Logic ----


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
                words = ", geometric mean" if geometric else ""
                axes.set(title=f"logical_{name}{words}", aspect="equal")
                axes.grid(False)
        figure.supxlabel("probability of a")
        figure.supylabel("probability of b")
        figure.colorbar(image, ax=grid, shrink=0.6)


# ---- Methods ----

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


# ---- Projections onto the simplex ----

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
_SHARES = np.array([[0.16, 0.49, 0.85], [0.91, 0.44, 0.04], [0.10, 0.62, 0.36]])
"""The colours of the three corners."""


def draw_simplex(pictures: Pictures) -> None:
    size = 140
    u, v = np.meshgrid(
        np.linspace(-0.45, 1.45, size), np.linspace(-0.5, 1.25, int(size * 1.75 / 1.9))
    )
    # Barycentric coordinates: y itself inside of the triangle, scores outside.
    points = np.stack([u, v, np.ones_like(u)], axis=-1)
    scores = points @ np.linalg.inv(np.column_stack([_CORNERS, np.ones(3)]))
    regularizers = {
        "Entropy(), smooth": (Entropy(), 0.25),
        "PNorm(2), c0": (PNorm(2), 1.0),
        "PNorm(1.5), c1": (PNorm(1.5), 0.6),
        "PNorm(4/3), c2": (PNorm(4 / 3), 0.5),
        "BinaryEntropy()": (BinaryEntropy(), 0.25),
        "LogBarrier()": (LogBarrier(), 0.05),
    }
    with pictures.figure("simplex", 2, 3, height=4.9) as (_, grid):
        for axes, (name, (r, softness)) in zip(
            grid.flat, regularizers.items(), strict=True
        ):
            project = jax.jit(lambda z, r=r, s=softness: project_simplex(z, s, r))
            y = np.asarray(project(scores))
            extent = (u.min(), u.max(), v.min(), v.max())
            axes.imshow(
                np.clip(y @ _SHARES, 0, 1), origin="lower", extent=extent, aspect="auto"
            )
            support = np.sum(y > 0, axis=-1)
            for count in (1.5, 2.5):
                if support.min() < count < support.max():
                    axes.contour(u, v, support, [count], colors="w", linewidths=0.8)
            # Level lines of the first share.
            axes.contour(
                u, v, y[..., 2], [0.05, 0.25, 0.5, 0.75, 0.95], colors="w", alpha=0.35
            )
            triangle = np.vstack([_CORNERS, _CORNERS[:1]])
            axes.plot(*triangle.T, color="w", lw=1.6)
            axes.set_title(name)
            axes.set_axis_off()
            axes.set_aspect("equal")


def project_simplex(z, softness, regularizer):
    return solve(SimplexProjection(z, softness), regularizer).value


# ---- Solvers ----


def draw_convergence(pictures: Pictures) -> None:
    rng = np.random.default_rng(0)
    with (
        jax.enable_x64(True),
        pictures.figure("convergence", 1, 3, height=2.6, sharey=True) as (_, grid),
    ):
        _draw_simplex_convergence(grid[0], rng)
        _draw_transport_convergence(grid[1], rng)
        _draw_majorization_convergence(grid[2], rng)
        grid[0].set_ylabel("residual")
        for axes in grid:
            axes.set_xlabel("steps")
            axes.set_yscale("log")
            axes.set_ylim(1e-17, 1e5)  # room for legends
            axes.legend(fontsize=7, handlelength=1.2, loc="upper right")


def _residuals(make: Callable[[Any], Any], problem: Any, mode: str, steps: int):
    """The residual after 0, 1, ... steps of the solver that `make(limit)` returns."""
    regularizer = sj.solvers.get_regularizer(mode)

    def after(limit):
        return make(limit).solve(problem, regularizer).residual.max()

    return jax.jit(jax.vmap(after))(jnp.arange(steps))


def _draw_simplex_convergence(axes: Axes, rng: np.random.Generator) -> None:
    problem = SimplexProjection(jnp.asarray(rng.normal(size=1000)), 5.0)
    regularizer = sj.solvers.get_regularizer("c2")
    axes.set_title("simplex, n = 1000, c2")
    residual = _residuals(lambda s: Newton(max_steps=s), problem, "c2", 12)
    axes.plot(residual, "o-", ms=2.5, color="#2f7ed8", label="Newton")

    def halve(bracket, _):
        lower, upper = bracket
        middle = (lower + upper) / 2
        excess = problem.optimality(middle, regularizer)
        bracket = (
            jnp.where(excess > 0, middle, lower),
            jnp.where(excess > 0, upper, middle),
        )
        return bracket, jnp.abs(excess)

    bracket = problem.bracket(regularizer)
    _, residual = jax.lax.scan(halve, bracket, length=12)
    axes.plot(residual, "o--", ms=2.5, color="#8d939e", label="bisection")


def _draw_transport_convergence(axes: Axes, rng: np.random.Generator) -> None:
    x = jnp.asarray(rng.normal(size=32))
    problem = TransportProjection.on_line(
        x, jnp.linspace(0, 1, 8), jnp.full(8, 4.0), jnp.asarray(0.05)
    )
    axes.set_title("transport, 32 x 8")
    choices = {
        "SemiDual, smooth": (SemiDual, "smooth", "#2f7ed8", "-"),
        "Alternating, smooth": (Alternating, "smooth", "#2f7ed8", "--"),
        "SemiDual, c1": (SemiDual, "c1", "#c9a200", "-"),
        "Alternating, c1": (Alternating, "c1", "#c9a200", "--"),
    }
    for label, (kind, mode, color, line) in choices.items():
        residual = _residuals(
            lambda s, kind=kind: kind(tolerance=1e-15, max_steps=s), problem, mode, 40
        )
        axes.plot(residual, line, color=color, label=label)


def _draw_majorization_convergence(axes: Axes, rng: np.random.Generator) -> None:
    w = jnp.sort(jnp.asarray(rng.normal(size=32)))[::-1]
    axes.set_title("majorization, n = 32")

    def after(softness, limit):
        anchors = jnp.linspace(1, 0, 32)
        problem = MajorizationProjection(anchors, w, softness)
        return DampedNewton(max_steps=limit).solve(problem, Entropy()).residual

    choices = {1.0: "#2f7ed8", 0.1: "#e8710a", 0.02: "#1a9e5c"}
    each = jax.vmap(jax.vmap(after, (None, 0)), (0, None))
    found = jax.jit(each)(jnp.asarray(list(choices)), jnp.arange(30))
    for residual, (softness, color) in zip(found, choices.items(), strict=True):
        axes.plot(residual, "o-", ms=2.5, color=color, label=f"softness {softness}")


# ---- Straight-through ----


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


# ---- The picture at the front ----


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


PARTS: dict[str, Callable[[Pictures], None]] = {
    "front": draw_front,
    "elementwise": lambda p: draw_operators(p, [*ELEMENTWISE, MEDIAN_NEWTON], False),
    "logic": draw_logic,
    "methods": draw_methods,
    "permutations": draw_permutations,
    "simplex": draw_simplex,
    "convergence": draw_convergence,
    "straight-through": draw_straight_through,
    "axiswise": lambda p: draw_operators(p, AXISWISE, True),
}


def main(folder: Path, *parts: str) -> None:
    pictures = Pictures(folder)
    with mpl.rc_context(STYLE):
        for name in parts or PARTS:
            start = time.process_time()
            PARTS[name](pictures)
            print(f"{name}: {time.process_time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
