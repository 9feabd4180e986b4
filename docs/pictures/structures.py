"""Pictures of structures: an alignment of two signals, and paths on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

import softjax as sj

from .drawing import COLORS, INK, Pictures

st = sj.structured


def _shades(color: str) -> LinearSegmentedColormap:
    """From nothing, which is what is exactly 0, to a colour."""
    shades = LinearSegmentedColormap.from_list("shades", [color + "30", color])
    shades.set_bad(alpha=0)
    return shades


def show(axes: Axes, marginals: np.ndarray, color: str) -> None:
    """Marginals as an image, in which 0 has no colour."""
    marginals = np.where(marginals > 0, marginals, np.nan)
    axes.imshow(marginals, cmap=_shades(color), vmin=0, vmax=1, aspect="auto")
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)


def draw_alignment(pictures: Pictures) -> None:
    """Two signals, of which one is late, and the soft paths that align them."""
    time = np.linspace(0, 1, 40)
    rng = np.random.default_rng(0)
    warped = np.linspace(0, 1, 32) ** 1.7

    def signal(t):
        return np.sin(7 * t) + 0.5 * np.sin(19 * t)

    x = signal(time) + 0.05 * rng.normal(size=time.shape)
    y = signal(warped) + 0.05 * rng.normal(size=warped.shape)
    scores = -jnp.asarray((x[:, None] - y) ** 2, jnp.float32)
    found = {
        "hard": st.argmax(st.Alignment(), scores, mode="hard"),
        "smooth, 0.1": st.argmax(st.Alignment(), scores, mode="smooth", softness=0.1),
        "c0, 0.5": st.argmax(
            st.Alignment(), scores, mode="c0", softness=0.5, method="recursion"
        ),
    }
    with pictures.figure("alignment", 1, 4, height=1.9) as (_, (first, *others)):
        first.plot(time, x, color=COLORS["smooth"])
        first.plot(np.linspace(0, 1, 32), y, color=COLORS["c0"])
        first.set_title("two signals")
        first.set_xticks([])
        for axes, (name, marginals) in zip(others, found.items(), strict=True):
            show(axes, np.asarray(marginals), COLORS[name.split(",")[0]])
            axes.set_title(name)
        others[0].set_ylabel("first", color=INK)
        for axes in others:
            axes.set_xlabel("second", color=INK)


def draw_grid_paths(pictures: Pictures) -> None:
    """A map of costs, and the soft paths from corner to corner."""
    key = jax.random.key(3)
    rough = jax.random.uniform(key, (7, 7))
    costs = jax.image.resize(rough, (14, 14), "cubic")
    path = st.Alignment()
    found = {
        "smooth, recursion": st.argmax(path, -costs, mode="smooth", softness=0.2),
        "c0, recursion": st.argmax(
            path, -costs, mode="c0", softness=0.4, method="recursion"
        ),
        "c0, marginals": st.argmax(
            path, -costs, mode="c0", softness=0.4, method="marginals"
        ),
    }
    with pictures.figure("grid_paths", 1, 4, height=1.9) as (_, (first, *others)):
        first.imshow(costs, cmap="Greys", aspect="auto", alpha=0.6)
        hard = np.argwhere(np.asarray(st.argmax(path, -costs, mode="hard")))
        first.plot(hard[:, 1], hard[:, 0], color=COLORS["pseudohuber"])
        first.set_title("costs, shortest path")
        first.grid(False)
        first.set_xticks([])
        first.set_yticks([])
        for axes, (name, marginals) in zip(others, found.items(), strict=True):
            show(axes, np.asarray(marginals), COLORS[name.split(",")[0]])
            axes.set_title(name)
