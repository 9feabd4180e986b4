"""Pictures of projections: onto the simplex, and how solvers converge to them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import softjax as sj
from softjax.solvers import (
    BinaryEntropy,
    DampedNewton,
    DualCoordinateAscent,
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

from .drawing import Pictures

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
        "alternating, smooth": (
            DualCoordinateAscent,
            "smooth",
            "#2f7ed8",
            "--",
        ),
        "SemiDual, c1": (SemiDual, "c1", "#c9a200", "-"),
        "alternating, c1": (DualCoordinateAscent, "c1", "#c9a200", "--"),
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
