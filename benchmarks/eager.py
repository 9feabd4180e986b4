"""Time of calls outside `jax.jit`, against those of `jax.numpy`, in one process.

Operators along an axis are measured by `jnp.sort`, all others by `jnp.where`. All take
turns, so that whatever else the machine does falls on all alike. Objects are modes and
methods of which fields are arrays; the last part has straight-through variants.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
from timing import medians

import softjax as sj

SIZE = 64

X = jax.random.normal(jax.random.key(0), (SIZE,))
TRUE = X > 0
P = jax.nn.softmax(X)
ROW = P[None]
LEVELS = jnp.array([0.2, 0.7])

AXISWISE: dict[str, Callable] = {
    **{name: getattr(sj, name) for name in ("argmax", "max", "argmin", "min")},
    **{name: getattr(sj, name) for name in ("argsort", "sort", "rank", "ranking")},
    "top_k": lambda x: sj.top_k(x, 3),
    "top_k_mask": lambda x: sj.top_k_mask(x, 3),
    "argquantile": lambda x: sj.argquantile(x, 0.3),
    "quantile": lambda x: sj.quantile(x, LEVELS),
    "argpercentile": lambda x: sj.argpercentile(x, 30.0),
    "percentile": lambda x: sj.percentile(x, 30.0),
    **{name: getattr(sj, name) for name in ("argmedian", "median", "median_newton")},
    "sort, hard": lambda x: sj.sort(x, mode="hard"),
    "max, four keywords": lambda x: sj.max(
        x, softness=0.2, mode="c0", method="softsort", standardize=True
    ),
}

ELEMENTWISE: dict[str, Callable] = {
    **{name: getattr(sj, name) for name in ("abs", "sign", "round", "heaviside")},
    **{name: getattr(sj, name) for name in ("relu", "softrelu", "sigmoidal")},
    "clip": lambda x: sj.clip(x, -0.5, 0.5),
    "relu, hard": lambda x: sj.relu(x, mode="hard"),
    "greater": lambda x: sj.greater(x, 0.3),
    "greater_equal": lambda x: sj.greater_equal(x, 0.3),
    "less": lambda x: sj.less(x, 0.3),
    "less_equal": lambda x: sj.less_equal(x, 0.3),
    "equal": lambda x: sj.equal(x, 0.3),
    "not_equal": lambda x: sj.not_equal(x, 0.3),
    "isclose": lambda x: sj.isclose(x, 0.3, atol=0.1),
    "logical_not": lambda x: sj.logical_not(P),
    "logical_and": lambda x: sj.logical_and(P, P),
    "logical_or": lambda x: sj.logical_or(P, P),
    "logical_xor": lambda x: sj.logical_xor(P, P),
    "all": lambda x: sj.all(P),
    "any": lambda x: sj.any(P),
    "where": lambda x: sj.where(P, x, 0.0),
    "take": lambda x: sj.take(x, P),
    "take_along_axis": lambda x: sj.take_along_axis(x, ROW),
    "choose": lambda x: sj.choose(P, x),
    "dynamic_index_in_dim": lambda x: sj.dynamic_index_in_dim(x, P),
    "dynamic_slice_in_dim": lambda x: sj.dynamic_slice_in_dim(x, P, 3),
    "dynamic_slice": lambda x: sj.dynamic_slice(x, [P], [3]),
    **{name: getattr(sj, name) for name in ("sqrt", "log", "arcsin", "arccos")},
    "div": lambda x: sj.div(x, x),
    "norm": lambda x: sj.norm(x),
}

SOFTNESS = jnp.float32(0.1)
MODE = sj.solvers.Scaled(sj.solvers.Entropy(), jnp.float32(0.5))

OBJECTS: dict[str, Callable] = {
    "argmax": lambda x: sj.argmax(x, mode=MODE),
    "sort": lambda x: sj.sort(x, mode=MODE),
    "relu": lambda x: sj.relu(x, mode=MODE),
    "argmax, softness": lambda x: sj.argmax(x, softness=SOFTNESS),
}

VARIANTS: dict[str, Callable] = {
    **{name: getattr(sj, name) for name in ("argmax_st", "sort_st", "rank_st")},
    **{name: getattr(sj, name) for name in ("relu_st", "round_st")},
    "greater_st": lambda x: sj.greater_st(x, 0.3),
}

GROUPS: list[tuple[str, str, Callable, dict[str, Callable]]] = [
    ("along an axis", "jnp.sort", jnp.sort, AXISWISE),
    ("all others", "jnp.where", lambda x: jnp.where(TRUE, x, 0.0), ELEMENTWISE),
    ("objects", "jnp.sort", jnp.sort, OBJECTS),
    ("straight-through", "jnp.sort", jnp.sort, VARIANTS),
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of calls outside jax.jit.")
    parser.add_argument("--repeats", type=int, default=301, help="calls of each")
    repeats = parser.parse_args().repeats
    device = jax.devices()[0]
    print(f"{device.platform}, float32, n = {SIZE}, medians of {repeats} calls")
    for title, by, reference, functions in GROUPS:
        time_of = medians({by: reference} | functions, X, repeats=repeats)
        print(f"\n{title:<22} {'us':>7} {'ratio':>6}")
        for name, seconds in time_of.items():
            print(f"{name:<22} {1e6 * seconds:7.1f} {seconds / time_of[by]:6.1f}")


if __name__ == "__main__":
    main()
