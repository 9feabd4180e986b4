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


def draw_counts_and_perturbed(pictures: Pictures) -> None:
    """Soft draws of a count, and stairs under noise."""
    keys = jax.random.key(1)
    fair = jnp.full(_DRAWS, 0.4)
    with pictures.figure("random_counts", 1, 3, height=2.6) as (_, grid):
        for axes, softness in zip(grid, (0.1, 0.5), strict=False):
            hard = sj.random.binomial(keys, 5, fair, mode="hard")
            soft = sj.random.binomial(keys, 5, fair, softness=softness)
            bins = np.linspace(-0.125, 5.125, 22)
            axes.hist(hard, bins, color=COLORS["hard"], alpha=0.6, label="hard")
            axes.hist(soft, bins, color=COLORS["smooth"], alpha=0.8, label="smooth")
            axes.set(title=f"binomial(5, 0.4), softness {softness}", yticks=[])
            axes.grid(visible=False)
        x = jnp.linspace(-1.7, 1.7, 200)
        grid[2].plot(x, jnp.round(x), color=COLORS["hard"], lw=3.5, alpha=0.6)
        for samples, color in {10: "c1", 1000: "smooth"}.items():
            soft = sj.random.perturb(jnp.round, keys, samples=samples, sigma=0.2)
            label = f"{samples} samples"
            grid[2].plot(x, jax.vmap(soft)(x), color=COLORS[color], label=label)
        grid[2].set(title="perturb(round), sigma 0.2", xlabel="x")
        for axes in grid[[0, 2]]:
            axes.legend()
