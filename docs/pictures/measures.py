"""Pictures of what masks and weights do."""

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

from .drawing import COLORS, Pictures

X = np.array([0.9, 0.4, -0.2, -0.7])
MOVED = 1
"""The element whose weight is changed."""
MODES = ("hard", "smooth", "c0")
VALUES = {
    "median": lambda x, **k: sj.median(x, axis=-1, **k),
    "quantile, 0.7": lambda x, **k: sj.quantile(x, 0.7, axis=-1, **k),
    "sort, element 2": lambda x, **k: sj.sort(x, **k)[..., 2],
    "top_k_mask, third": lambda x, **k: sj.top_k_mask(x, 2, **k)[..., -2],
}


def copies(count: int) -> jax.Array:
    """The elements, with so many of the one that is moved."""
    return jnp.repeat(X, np.where(np.arange(len(X)) == MOVED, count, 1))


def draw_weights(pictures: Pictures) -> None:
    """Operators as functions of one weight, and of as many copies."""
    swept = jnp.linspace(0.0, 3.0, 301)
    weights = jnp.ones((len(swept), len(X))).at[:, MOVED].set(swept)
    x = jnp.broadcast_to(X, weights.shape)
    softness = dict(hard=0.1, smooth=0.1, c0=0.3)
    with pictures.figure("weights", 1, 4, height=2.6) as (figure, grid):
        for axes, (name, fn) in zip(grid, VALUES.items(), strict=True):
            for mode in MODES:
                keywords = dict(mode=mode, softness=softness[mode])
                y = jax.jit(lambda w, k=keywords, fn=fn: fn(x, weights=w, **k))(weights)
                color = COLORS[mode]
                if mode == "hard":
                    axes.plot(swept, y, color=color, label=mode, lw=3.5, alpha=0.6)
                    continue
                axes.plot(swept, y, color=color, label=mode)
                copied = [fn(copies(count), **keywords) for count in range(4)]
                axes.plot(range(4), copied, "o", ms=4, color=color)
            axes.set(title=name, xlabel="weight", xticks=range(4))
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


SCORES = np.array([1.0, 0.6, 0.0, 0.0, 0.0, 0.0])
RELEVANCE = np.array([0.0, 1.0, 2.0, 0.0, 0.0, 0.0])
SIZE = 3
"""Number of elements that there are; what follows is padding."""


def draw_padded(pictures: Pictures) -> None:
    """The NDCG of a short query in a long row, as its relevant element moves."""
    moved = jnp.linspace(-1.0, 2.0, 301)
    scores = jnp.tile(SCORES, (len(moved), 1)).at[:, 2].set(moved)
    relevance = jnp.broadcast_to(RELEVANCE, scores.shape)
    where = jnp.arange(len(SCORES)) < SIZE
    seen = {"with where=": where, "without: padding counts": None}
    with pictures.figure("padded", 1, 2, sharey=True, height=2.6) as (figure, grid):
        for axes, (title, where) in zip(grid, seen.items(), strict=True):
            for mode in MODES:
                keywords = dict(mode=mode, where=where)
                y = sj.losses.ndcg(scores, relevance, **keywords)
                style = dict(lw=3.5, alpha=0.6) if mode == "hard" else {}
                axes.plot(moved, y, color=COLORS[mode], label=mode, **style)
            axes.set(title=title, xlabel="score of the most relevant")
        grid[0].set_ylabel("NDCG")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
