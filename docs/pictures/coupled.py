"""Pictures of regularizers that are not separable: entries know each other."""

import jax.numpy as jnp
import numpy as np

import softjax as sj

from .drawing import COLORS, Pictures

SCORES = jnp.array([0.1, 0.55, 0.6, 0.35, 1.0, 0.9, 0.92, 0.2, 0.5, 0.75, 0.45, 0.3])
GROUPS = np.repeat(np.arange(4), 3)
GROUP_COLORS = np.array([COLORS[mode] for mode in ("smooth", "c0", "c2", "cubic")])


def _metric() -> np.ndarray:
    """Neighbours are alike."""
    i = np.arange(len(SCORES))
    return np.exp(-np.abs(i[:, None] - i) / 1.5)


METHODS = {
    "separable": "softsort",
    "Fused": sj.methods.Fused(strength=0.15),
    "Clustered": sj.methods.Clustered(strength=0.03),
    "Grouped": sj.methods.Grouped(GROUPS, strength=0.4),
    "GroupLasso": sj.methods.GroupLasso(GROUPS, strength=0.4),
    "Metric": sj.methods.Metric(jnp.asarray(_metric(), jnp.float32)),
    "Sparse, 3": sj.methods.Sparse(3),
    "Normmax": sj.methods.Normmax(),
}


def draw_coupled(pictures: Pictures) -> None:
    """The soft index of the largest of twelve, by each method in the mode c0."""
    options = dict(height=3.8, sharex=True, sharey=True)
    with pictures.figure("coupled", 2, 4, **options) as (_, grid):
        for axes, (name, method) in zip(grid.flat, METHODS.items(), strict=True):
            y = sj.argmax(SCORES, mode="c0", softness=1.0, method=method)
            axes.bar(np.arange(len(SCORES)), y, color=GROUP_COLORS[GROUPS])
            axes.plot(0.3 * SCORES, "_", color=COLORS["hard"], ms=6)
            axes.set(title=name, xticks=[])
            axes.grid(axis="x", visible=False)
            axes.set_axisbelow(True)
