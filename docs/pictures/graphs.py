"""Pictures of structures: sequences, trees, matchings, subsets."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import softjax as sj

from .drawing import COLORS, GRID, INK, Pictures, legend_below, plot_mode
from .structures import show

st = sj.structured


def draw_sequences(pictures: Pictures) -> None:
    """States of a chain, and segments of a sequence."""
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 2, 1, 3, 2], [5, 6, 4, 5, 4])
    unary = 0.9 * np.eye(4)[truth] + 0.6 * rng.normal(size=(len(truth), 4))
    transition = np.broadcast_to(0.8 * np.eye(4), (len(truth) - 1, 4, 4))
    chain = jnp.asarray(unary, jnp.float32), jnp.asarray(transition, jnp.float32)
    # A segment is as good as its most frequent state, less the price of a new one.
    sums = np.cumsum(np.vstack([np.zeros(4), unary]), axis=0)
    longest = 8
    lengths = np.full((len(truth), longest), -10.0)
    for start in range(len(truth)):
        for end in range(start + 1, min(start + longest, len(truth)) + 1):
            best = (sums[end] - sums[start]).max()
            lengths[start, end - start - 1] = best - 1.5
    segments = jnp.asarray(lengths, jnp.float32)
    keywords = dict(smooth=dict(softness=0.5), c0=dict(softness=1.0))
    with pictures.figure("sequences", 2, 4, height=3.4) as (_, grid):
        scores = {"Chain: scores": unary, "Segments: scores": lengths.clip(-2)}
        for axes, (title, image) in zip(grid[:, 0], scores.items(), strict=True):
            axes.imshow(image.T, cmap="Greys", aspect="auto", alpha=0.6)
            axes.grid(False)
            axes.set(title=title, xticks=[], yticks=[])
        for axes, mode in zip(grid[0, 1:], ("hard", *keywords), strict=True):
            found = st.argmax(st.Chain(), chain, mode=mode, **keywords.get(mode, {}))
            show(axes, np.asarray(found[0]).T, COLORS[mode])
            axes.set_title(mode)
        for axes, mode in zip(grid[1, 1:], ("hard", *keywords), strict=True):
            given = keywords.get(mode, {})
            found = st.argmax(st.Segments(), segments, mode=mode, **given)
            show(axes, np.asarray(found).T, COLORS[mode])
            axes.set_title(mode)
        grid[0, 1].set_ylabel("state")
        grid[1, 1].set_ylabel("length")
        for axes in grid[1]:
            axes.set_xlabel("time, beginning" if axes is not grid[1, 0] else "time")


def _edges(axes: Axes, first, second, pairs, marginals, color: str) -> None:
    for (i, j), share in zip(pairs, marginals, strict=True):
        ends = np.array([first[i], second[j]]).T
        if share > 1e-3:
            # A share of 1 may be more by rounding.
            alpha = min(float(0.15 + 0.85 * share), 1.0)
            style = dict(lw=0.4 + 3 * share, alpha=alpha)
            axes.plot(*ends, color=color, solid_capstyle="round", **style)


def draw_trees_and_matchings(pictures: Pictures) -> None:
    """Short spanning trees of points, and short matchings of two sets of them."""
    rng = np.random.default_rng(11)
    points = rng.uniform(size=(9, 2))
    pairs = np.array(np.triu_indices(len(points), 1)).T
    near = -np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    left, right = rng.uniform(size=(2, 6, 2))
    apart = -np.linalg.norm(left[:, None] - right, axis=2)
    all_pairs = np.argwhere(np.ones(apart.shape, bool))
    softness = dict(hard=0.1, smooth=0.05, c0=0.3)
    with pictures.figure("trees", 2, 3, height=4.4) as (_, grid):
        for axes, mode in zip(grid[0], softness, strict=True):
            tree = st.SpanningTree(len(points))
            scores = jnp.asarray(near, jnp.float32)
            found = st.argmax(tree, scores, mode=mode, softness=softness[mode])
            _edges(axes, points, points, pairs, np.asarray(found), COLORS[mode])
            axes.plot(*points.T, "o", color=INK, ms=4)
            axes.set_title(f"SpanningTree, {mode}")
        for axes, mode in zip(grid[1], softness, strict=True):
            scores = jnp.asarray(apart, jnp.float32)
            found = st.argmax(st.Matching(), scores, mode=mode, softness=softness[mode])
            shares = np.asarray(found).ravel()
            _edges(axes, left, right, all_pairs, shares, COLORS[mode])
            axes.plot(*left.T, "o", color=INK, ms=4)
            axes.plot(*right.T, "s", color=COLORS["pseudohuber"], ms=4)
            axes.set_title(f"Matching, {mode}")
        for axes in grid.flat:
            axes.grid(False)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=True, color=GRID)


def draw_subsets(pictures: Pictures) -> None:
    """Entries of subsets, and the best structures, as one score moves."""
    x = jnp.linspace(0, 2, 241)
    others = jnp.array([1.0, 0.6, 0.5])

    def each(fn):
        return jax.jit(jax.vmap(lambda x: fn(jnp.append(others, x))))(x)

    bag = st.Knapsack(sizes=(3, 2, 2, 3), capacity=5)
    subset = st.KSubset(2)
    items = {
        "KSubset(2), item x": lambda s, **k: st.argmax(subset, s, **k)[3],
        "Knapsack, item x": lambda s, **k: st.argmax(bag, s, **k)[3],
    }
    modes = {
        "hard": dict(mode="hard"),
        "smooth": dict(mode="smooth", softness=0.1, method="distribution"),
        "c0": dict(mode="c0", softness=0.3),
    }
    with pictures.figure("subsets", 1, 3, height=2.6) as (figure, grid):
        for axes, (title, fn) in zip(grid, items.items(), strict=False):
            for mode, keywords in modes.items():
                if mode == "smooth" and title.startswith("Knapsack"):
                    continue  # it has no such closed form
                y = each(lambda s, k=keywords, fn=fn: fn(s, **k))
                plot_mode(axes, x, y, mode)
            axes.set(title=title, xlabel="x")
        for mode, softness in dict(hard=0.1, smooth=0.1, c0=0.3).items():
            keywords = dict(mode=mode, softness=softness, candidates=6)
            y = each(lambda s, k=keywords: st.top_k(subset, s, 2, **k).values)
            for best in y.T:
                plot_mode(grid[2], x, best, mode)
        grid[2].set(title="top_k(2) of KSubset(2)", xlabel="x")
        legend_below(figure, grid[0])
