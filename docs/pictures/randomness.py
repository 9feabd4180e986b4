"""Pictures of soft random choices: where draws lie on the triangle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

from .drawing import COLORS, GRID, Pictures

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
_LOGITS = jnp.log(jnp.array([0.5, 0.3, 0.2]))
_DRAWS = 4000


@functools.partial(jax.jit, static_argnums=0)
def _draw(mode: str, softness: float) -> jax.Array:
    keys = jax.random.key(0)
    draw = functools.partial(sj.random.categorical, shape=(_DRAWS,), mode=mode)
    return draw(keys, _LOGITS, softness=softness)


def draw_randomness(pictures: Pictures) -> None:
    """Draws of one of three, in two modes, at four softnesses."""
    softnesses = 0.1, 0.5, 1.0, 3.0
    options = dict(height=3.6, sharex=True, sharey=True)
    with pictures.figure("randomness", 2, 4, **options) as (_, grid):
        for row, mode in zip(grid, ("smooth", "c0"), strict=True):
            for axes, softness in zip(row, softnesses, strict=True):
                y = np.asarray(_draw(mode, softness))
                triangle = np.vstack([_CORNERS, _CORNERS[:1]])
                axes.plot(*triangle.T, color=GRID, lw=1)
                color = COLORS[mode]
                style = dict(s=5, alpha=0.12, color=color, linewidths=0)
                axes.scatter(*(y @ _CORNERS).T, **style, rasterized=True)
                shares = np.mean(y > 0.99, axis=0)
                for corner, share in zip(_CORNERS, shares, strict=True):
                    if share < 0.005:
                        continue
                    # Areas are as the shares of draws that are one-hot.
                    axes.scatter(*corner, s=400 * share, color=color, linewidths=0)
                axes.set_aspect("equal")
                axes.axis("off")
                axes.set_title(f"{mode}, {softness}")
                axes.set(xlim=(-0.15, 1.15), ylim=(-0.15, 1.02))
