"""A regularizer of one's own, from nothing to a picture of all operators in its mode.

All that has to be written is the link `phi = (r*)'`, which says how much y a score t
buys. This one, of `r'(y) = log(1 + y)`, is the exponential of the entropy, less 1, cut
off where it gets negative: sparse, and steeper than a p-norm where scores are large.
The program prints what `check_regularizer` measures of it, and draws every operator in
this mode, beside `"smooth"` and the hard one.

Run with `python examples/own_regularizer.py`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import softjax as sj


class Shifted(sj.solvers.Regularizer):
    """`r'(y) = log(1 + y)`, by its link."""

    def link(self, t):
        return jnp.expm1(jnp.maximum(t, 0))


OTHERS = jnp.asarray([-0.6, 0.1, 0.5])


def row(x):
    """x among three others that stay where they are."""
    return jnp.concatenate([x[None], OTHERS])


# As functions of one number and the mode.
OPERATORS = {
    "heaviside(x)": lambda x, **kw: sj.heaviside(x, **kw),
    "sign(x)": lambda x, **kw: sj.sign(x, **kw),
    "abs(x)": lambda x, **kw: sj.abs(x, **kw),
    "relu(x)": lambda x, **kw: sj.relu(x, **kw),
    "clip(x, -0.5, 0.5)": lambda x, **kw: sj.clip(x, -0.5, 0.5, **kw),
    "round(2 x)": lambda x, **kw: sj.round(2 * x, **kw),
    "isclose(x, 0)": lambda x, **kw: sj.isclose(x, 0.0, atol=0.3, **kw),
    "max": lambda x, **kw: sj.max(row(x), axis=-1, **kw),
    "median": lambda x, **kw: sj.median(row(x), axis=-1, **kw),
    "quantile(0.3)": lambda x, **kw: sj.quantile(row(x), 0.3, axis=-1, **kw),
    "sort, second": lambda x, **kw: sj.sort(row(x), **kw)[1],
    "rank of x": lambda x, **kw: sj.rank(row(x), **kw)[0],
    "argmax, share of x": lambda x, **kw: sj.argmax(row(x), axis=-1, **kw)[0],
    "top_k(2), its mean": lambda x, **kw: jnp.mean(sj.top_k(row(x), 2, **kw)[0]),
    "top_k_mask(2) of x": lambda x, **kw: sj.top_k_mask(row(x), 2, **kw)[0],
    "rank, by transport": lambda x, **kw: sj.rank(row(x), method="ot", **kw)[0],
}
MODES = {
    "hard": ("hard", dict(color="0.75", lw=2.5)),
    '"smooth"': ("smooth", dict(color="C0", lw=1.2)),
    "Shifted()": (Shifted(), dict(color="C1", lw=1.8)),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("own_regularizer.png"))
    args = parser.parse_args()
    print(sj.solvers.check_regularizer(Shifted()))
    x = jnp.linspace(-1, 1, 401)
    figure, axes = plt.subplots(
        4, 4, figsize=(11, 9), sharex=True, layout="constrained"
    )
    for axis, (name, fn) in zip(tqdm(axes.flat), OPERATORS.items(), strict=True):
        for label, (mode, style) in MODES.items():

            def curve(x, fn=fn, mode=mode):
                return fn(x, mode=mode, softness=0.1)

            y = np.asarray(jax.jit(jax.vmap(curve))(x))
            axis.plot(x, y, label=label, **style)
        axis.set_title(name, fontsize=10)
    axes[0, 0].legend(fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("x")
    figure.savefig(args.output, dpi=110)
    print(f"Saved {args.output}")


if __name__ == "__main__":
    main()
