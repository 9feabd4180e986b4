"""Time of calls outside `jax.jit`, against those of `jax.numpy`, in one process.

Operators along an axis are measured by `jnp.sort`, elementwise and logical ones by
`jnp.where`, beside which `jax.nn.relu` stands, and operators over segments by
`jax.ops.segment_max`. All take turns, so that whatever else the machine does falls on
all alike. Objects are modes and methods of which fields are arrays; the last part has
straight-through variants. Random draws and structures are no part of it.
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
EDGES = jnp.linspace(-2, 2, 9)
IDS = jnp.arange(SIZE) // 4

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
    **{name: getattr(sj, name) for name in ("cummax", "cummin", "nanmax", "nanargmin")},
    "nanquantile": lambda x: sj.nanquantile(x, 0.3),
    "nanmedian": sj.nanmedian,
    "partition": lambda x: sj.partition(x, 3),
    "argpartition": lambda x: sj.argpartition(x, 3),
    "sort, hard": lambda x: sj.sort(x, mode="hard"),
    "max, four keywords": lambda x: sj.max(
        x, softness=0.2, mode="c0", method="softsort", standardize=True
    ),
}

ELEMENTWISE: dict[str, Callable] = {
    **{name: getattr(sj, name) for name in ("abs", "sign", "round", "heaviside")},
    **{name: getattr(sj, name) for name in ("relu", "softrelu", "sigmoidal")},
    **{name: getattr(sj, name) for name in ("rint", "floor", "ceil", "trunc")},
    **{name: getattr(sj, name) for name in ("relu6", "leaky_relu", "hard_tanh")},
    **{name: getattr(sj, name) for name in ("hard_sigmoid", "hard_silu", "hard_swish")},
    "maximum": lambda x: sj.maximum(x, 0.3),
    "minimum": lambda x: sj.minimum(x, 0.3),
    "fmax": lambda x: sj.fmax(x, 0.3),
    "fmin": lambda x: sj.fmin(x, 0.3),
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
    "select": lambda x: sj.select([P], [x], 0.5),
    "searchsorted": lambda x: sj.searchsorted(EDGES, x),
    "digitize": lambda x: sj.digitize(x, EDGES),
    "histogram": lambda x: sj.histogram(x, EDGES)[0],
    "bincount": lambda x: sj.bincount(x, length=4),
    "one_hot": lambda x: sj.one_hot(ROW, SIZE),
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

SEGMENTS: dict[str, Callable] = {
    "max": lambda x: sj.segment.max(x, IDS, 16),
    "argmax": lambda x: sj.segment.argmax(x, IDS, 16),
    "sort": lambda x: sj.segment.sort(x, IDS, 16),
    "rank": lambda x: sj.segment.rank(x, IDS, 16),
    "top_k": lambda x: sj.segment.top_k(x, IDS, 2, 16),
    "top_k_mask": lambda x: sj.segment.top_k_mask(x, IDS, 2, 16),
    "median": lambda x: sj.segment.median(x, IDS, 16),
    "quantile": lambda x: sj.segment.quantile(x, IDS, 0.3, 16),
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

SORT = {"jnp.sort": jnp.sort}
WHERE = {"jnp.where": lambda x: jnp.where(TRUE, x, 0.0), "jax.nn.relu": jax.nn.relu}
SEGMENT_MAX = {"jax.ops.segment_max": lambda x: jax.ops.segment_max(x, IDS, 16)}

GROUPS: list[tuple[str, dict[str, Callable], dict[str, Callable]]] = [
    ("along an axis", SORT, AXISWISE),
    ("all others", WHERE, ELEMENTWISE),
    ("over segments", SEGMENT_MAX, SEGMENTS),
    ("objects", SORT, OBJECTS),
    ("straight-through", SORT, VARIANTS),
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of calls outside jax.jit.")
    parser.add_argument("--repeats", type=int, default=301, help="calls of each")
    repeats = parser.parse_args().repeats
    device = jax.devices()[0]
    print(f"{device.platform}, float32, n = {SIZE}, medians of {repeats} calls")
    for title, references, functions in GROUPS:
        by, *_ = references
        time_of = medians(references | functions, X, repeats=repeats)
        print(f"\n{title:<22} {'us':>7} {'ratio':>6}")
        for name, seconds in time_of.items():
            print(f"{name:<22} {1e6 * seconds:7.1f} {seconds / time_of[by]:6.1f}")


if __name__ == "__main__":
    main()
