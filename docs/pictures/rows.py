"""Pictures of rows: running extrema, counts, groups, logarithms, losses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import softjax as sj

from .drawing import COLORS, Pictures, legend_below, plot_mode

MODES = {"hard": 0.1, "smooth": 0.1, "c0": 0.3}
"""Modes that are compared, each with a softness."""


def _draw(axes: Axes, x, fn: Callable, title: str, modes=MODES) -> None:
    """`fn` of x in several modes."""
    for mode, softness in modes.items():
        keywords = dict(mode=mode, softness=softness)
        plot_mode(axes, x, jax.jit(lambda x, k=keywords: fn(x, **k))(x), mode)
    axes.set_title(title)


PIECEWISE = {
    "leaky_relu(x, 0.2)": lambda x, **k: sj.leaky_relu(x, 0.2, **k),
    "relu6": sj.relu6,
    "hard_tanh": sj.hard_tanh,
    "hard_sigmoid": sj.hard_sigmoid,
    "hard_silu": sj.hard_silu,
    "maximum(x, 0.3)": lambda x, **k: sj.maximum(x, 0.3, **k),
    "floor": sj.floor,
    "ceil": sj.ceil,
    "trunc": sj.trunc,
}
REACHES = {"relu6": 8.0, "hard_tanh": 2.0, "hard_sigmoid": 5.0, "hard_silu": 5.0}
SCALES = {"relu6": 5.0, "hard_sigmoid": 5.0, "hard_silu": 5.0}
"""By which the softness is multiplied, where one is small beside what is drawn."""


def draw_piecewise(pictures: Pictures) -> None:
    """Activations and roundings that have no picture of their own."""
    with pictures.figure("piecewise", 3, 3, height=5.2) as (figure, grid):
        for axes, (name, fn) in zip(grid.flat, PIECEWISE.items(), strict=True):
            reach = REACHES.get(name, 1.7)
            softness = 0.1 * SCALES.get(name, 1.0)
            modes = dict.fromkeys(MODES, softness)
            _draw(axes, jnp.linspace(-reach, reach, 322), fn, name, modes)
        legend_below(figure, grid[0, 0])


def draw_running(pictures: Pictures) -> None:
    """Running extrema of a signal, and a part of its order."""
    t = jnp.linspace(0, 1, 60)
    x = jnp.sin(9 * t) * (0.3 + 0.7 * t) + 0.1 * jnp.sin(40 * t)
    fns = {
        "cummax": sj.cummax,
        "cummin": sj.cummin,
        "partition at 15": lambda x, **k: sj.partition(x, 15, **k),
    }
    with pictures.figure("running", 1, 3, height=2.6, sharey=True) as (figure, grid):
        for axes, (name, fn) in zip(grid, fns.items(), strict=True):
            axes.plot(x, ":", color=COLORS["c1"], label="signal")
            for mode, softness in dict(MODES, smooth=0.2, c0=0.6).items():
                y = fn(x, mode=mode, softness=softness)
                plot_mode(axes, np.arange(len(x)), y, mode)
            axes.set(title=name, xlabel="position")
        legend_below(figure, grid[0])


EDGES = jnp.array([-0.5, 0.0, 0.5])


def draw_counts(pictures: Pictures) -> None:
    """Counts as functions of one number."""
    others = jnp.array([-0.3, 0.2, 0.25])

    def count(x, **keywords):
        return jax.vmap(
            lambda x: sj.histogram(jnp.append(others, x), EDGES, **keywords)[0][1]
        )(x)

    def occurs(x, **keywords):
        return jax.vmap(lambda x: sj.bincount(x[None], length=3, **keywords)[1])(2 * x)

    fns = {
        "searchsorted": lambda x, **k: sj.searchsorted(EDGES, x, **k),
        "histogram, bin from 0 to 0.5": count,
        "bincount, of 1 in [2 x]": occurs,
    }
    x = jnp.linspace(-1, 1, 322)
    with pictures.figure("counts", 1, 3, height=2.6) as (figure, grid):
        for axes, (name, fn) in zip(grid, fns.items(), strict=True):
            _draw(axes, x, fn, name, dict.fromkeys(MODES, 0.05))
            axes.set_xlabel("x")
        legend_below(figure, grid[0])


def draw_log_probs(pictures: Pictures) -> None:
    """Logarithms of the share of an element that falls behind."""
    x = jnp.linspace(-20.0, 0.5, 322)
    row = jnp.stack([x, jnp.zeros_like(x)], axis=-1)
    modes = {"smooth": 0.1, "c0": 10.0, "pseudohuber": 0.1}
    drawn = {
        "log(argmax(x))": lambda **k: jnp.log(sj.argmax(row, -1, **k)[..., 0]),
        "argmax(x, return_log_probs=True)": lambda **k: sj.argmax(
            row, -1, return_log_probs=True, **k
        )[..., 0],
    }
    with pictures.figure("log_probs", 1, 2, height=2.6, sharey=True) as (figure, grid):
        for axes, (name, fn) in zip(grid, drawn.items(), strict=True):
            for mode, softness in modes.items():
                y = np.array(fn(mode=mode, softness=softness))
                y[np.isinf(y)] = np.nan
                label = f"{mode}, {softness}"
                axes.plot(x, y, color=COLORS[mode], label=label)
            axes.set(title=name, xlabel="x, beside 0")
        legend_below(figure, grid[0])


GROUPS = np.repeat([0, 1, 2], [3, 6, 4])
GROUP_COLORS = np.array([COLORS["smooth"], COLORS["c0"], COLORS["c2"]])


def draw_segments(pictures: Pictures) -> None:
    """Operators over three groups of a flat array."""
    x = jnp.asarray(np.random.default_rng(4).normal(size=len(GROUPS)), jnp.float32)
    keywords = dict(mode="smooth", softness=0.2)
    fns = {
        "elements": lambda: x,
        "segment.argmax": lambda: sj.segment.argmax(x, GROUPS, **keywords),
        "segment.top_k_mask(2)": lambda: sj.segment.top_k_mask(
            x, GROUPS, 2, **keywords
        ),
        "segment.rank": lambda: sj.segment.rank(x, GROUPS, **keywords),
    }
    with pictures.figure("segments", 1, 4, height=2.0) as (_, grid):
        for axes, (name, fn) in zip(grid, fns.items(), strict=True):
            y = np.asarray(fn())
            axes.bar(np.arange(len(x)), y, color=GROUP_COLORS[GROUPS])
            axes.set(title=name, xticks=[])
            axes.grid(axis="x", visible=False)
            axes.set_axisbelow(True)


def draw_losses(pictures: Pictures) -> None:
    """Losses of three scores, as that of the most relevant moves."""
    x = jnp.linspace(-1.5, 2.5, 322)
    scores = jnp.stack([x, jnp.zeros_like(x), jnp.full_like(x, 0.8)], axis=-1)
    target, mask, relevance = (
        jnp.broadcast_to(jnp.array(row), scores.shape)
        for row in ([1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [2.0, 0.0, 1.0])
    )
    fns = {
        "simplex_loss": lambda **k: sj.losses.simplex_loss(scores, target, **k),
        "top_k_loss, two of three": lambda **k: sj.losses.top_k_loss(
            scores, mask, 2, **k
        ),
        "pairwise_loss": lambda **k: sj.losses.pairwise_loss(scores, relevance, **k),
    }
    with pictures.figure("losses", 1, 3, height=2.6) as (figure, grid):
        for axes, (name, fn) in zip(grid, fns.items(), strict=True):
            for mode in ("smooth", "c0", "c1"):
                y = jax.jit(lambda m=mode, fn=fn: fn(mode=m, softness=0.3))()
                axes.plot(x, np.asarray(y), color=COLORS[mode], label=mode)
            axes.set(title=name, xlabel="score of the first")
        legend_below(figure, grid[0])


def draw_metrics(pictures: Pictures) -> None:
    """Metrics of five scores, as that of the most relevant moves."""
    x = jnp.linspace(-1.0, 1.5, 322)
    others = jnp.array([0.9, 0.4, 0.1, -0.3])
    scores = jnp.concatenate(
        [x[:, None], jnp.broadcast_to(others, (len(x), len(others)))], axis=1
    )
    grades, labels = (
        jnp.broadcast_to(jnp.array(row), scores.shape)
        for row in ([3.0, 1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0])
    )
    losses = sj.losses
    fns = {
        "ndcg": lambda **k: losses.ndcg(scores, grades, **k),
        "mrr": lambda **k: losses.mrr(scores, labels, **k),
        "average_precision": lambda **k: losses.average_precision(scores, labels, **k),
        "auc": lambda **k: losses.auc(scores, labels, **k),
        "spearman": lambda **k: losses.spearman(scores, grades, **k),
        "trimmed_mean, 0.2": lambda **k: losses.trimmed_mean(scores, 0.2, **k),
    }
    with pictures.figure("metrics", 2, 3, height=4.2, sharex=True) as (figure, grid):
        for axes, (name, fn) in zip(grid.flat, fns.items(), strict=True):
            _draw(axes, x, lambda x, fn=fn, **k: fn(**k), name)
        for axes in grid[1]:
            axes.set_xlabel("score of the first")
        legend_below(figure, grid[0, 0])
