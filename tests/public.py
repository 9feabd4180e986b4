"""Calls of every public function, with one array: the list of the walks."""

import functools
import sys
from pathlib import Path
from typing import Any

import coupled
import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj
from softjax import losses, random, solvers, structured

sys.path.append(str(Path(__file__).parents[1] / "docs"))

import public_names

_X = jax.nn.softmax
_GEOMETRIC = (dict(use_geometric_mean=False), dict(use_geometric_mean=True))


_REGULARIZERS = [
    *(solvers.get_regularizer(mode) for mode in ("smooth", "c1", "cubic", "quintic")),
    *(solvers.get_regularizer("pseudohuber"), solvers.BinaryEntropy()),
    *(solvers.LogBarrier(), solvers.Tsallis(1.5)),
    solvers.Scaled(solvers.Entropy(), 2.0),
    solvers.Sum(solvers.Entropy(), solvers.PNorm(2)),
    solvers.TwoSided(solvers.PNorm(1.5)),
]


def _on_grids(call: Any) -> Any:
    """A function of grids of two rows and columns, applied to rows of four."""
    return lambda x: jax.vmap(call)(x.reshape(-1, 2, 2))


def _target(x: Any) -> Any:
    """A mask with sum 2, of the shape and type of x."""
    return jnp.broadcast_to(jnp.asarray([0.5, 1, 0, 0.5], x.dtype), x.shape)


def _square(x: Any) -> Any:
    """Matrices `*batch 4 4` of x."""
    return x[..., :, None] * jnp.cos(x)[..., None, :]


def _plan(x: Any) -> solvers.TransportProjection:
    ones = jnp.ones(4, x.dtype)
    return solvers.TransportProjection(_square(x), ones, ones, 0.3)


def _one_hot(x: Any) -> Any:
    return jax.nn.one_hot(jnp.argmax(x), x.size, dtype=int)


def _descending(x: Any) -> Any:
    return -jnp.sort(-x, axis=-1)


def _solved(make: Any, mode: str = "smooth") -> Any:
    """All that comes back from a problem of x."""

    def call(x):
        problem = make(x)
        found = solvers.solve(problem, mode)
        return (
            found.value,
            found.residual,
            found.expectation(x),
            solvers.evaluate(problem, mode, solvers.Primal()),
            solvers.evaluate(problem, mode, solvers.Means(x)),
        )

    return call


def _over(make: Any, mode: str = "smooth") -> Any:
    """Solutions of segments, means of them, and how far they are from optimal."""

    def call(x):
        problem = make(x)
        means = solvers.evaluate(problem, mode, solvers.Means(x))
        found = solvers.solve(problem, mode)
        return found.value, found.residual, means

    return call


def _plainly(f, x, **keywords):
    return f(x, **keywords)


def _along(f, x, **keywords):
    return f(x, axis=-1, **keywords)


def _compare(f, x, **keywords):
    return f(x, 0.25, **keywords)


def _likely(x):
    """Probabilities of things apart."""
    return jax.nn.sigmoid(x)


# Draws: how to call each, and its straight-through variant.
DRAWS = {
    "bernoulli": lambda f, x: f(KEY, _likely(x)),
    "binomial": lambda f, x: f(KEY, 3, _likely(x)),
    "categorical": lambda f, x: f(KEY, x),
    "choice": lambda f, x: f(KEY, x, (2,), axis=x.ndim - 1),
    "geometric": lambda f, x: f(KEY, _likely(x)),
    "multinomial": lambda f, x: f(KEY, 3, _X(x)),
    "orderings": lambda f, x: f(KEY, x),
    "permutation": lambda f, x: f(KEY, x, axis=x.ndim - 1),
    "rademacher": lambda f, x: x * f(KEY, x.shape, x.dtype),
    "top_k": lambda f, x: f(KEY, x, 2),
}
KEY = np.array([0, 1], np.uint32)

_IDS = np.array([0, 2, 0, 0])
_NO_SEGMENTS = {"SegmentKeywords", "SegmentIndexKeywords", "pad"} | {
    *("top_k", "quantile", "top_k_mask")
}


def _over_segments(f, x):
    return f(jnp.moveaxis(x, -1, 0), _IDS, 3)


# Operators with a mode: how to call each, and its straight-through variant. Parameters
# are NumPy's or Python's in all of these lists, and must not decide about the type.
WITH_MODE = {
    **dict.fromkeys(("argmax", "max", "argmin", "min", "argsort", "sort"), _along),
    **dict.fromkeys(("rank", "ranking", "argmedian", "median"), _along),
    "median_newton": _along,
    "argquantile": lambda f, x, **kw: f(x, np.array([0.2, 0.7]), axis=-1, **kw),
    "quantile": lambda f, x, **kw: f(x, np.array([0.2, 0.7]), axis=-1, **kw),
    "argpercentile": lambda f, x, **kw: f(x, 30.0, axis=-1, **kw),
    "percentile": lambda f, x, **kw: f(x, 30.0, axis=-1, **kw),
    "top_k": lambda f, x, **kw: f(x, 2, **kw),
    "top_k_mask": lambda f, x, **kw: f(x, 1.5, **kw),
    **dict.fromkeys(("abs", "sign", "round", "heaviside", "relu"), _plainly),
    "clip": lambda f, x, **kw: f(x, -0.5, 0.5, **kw),
    **dict.fromkeys(("rint", "floor", "ceil", "trunc", "relu6"), _plainly),
    **dict.fromkeys(("hard_tanh", "hard_sigmoid", "hard_silu"), _plainly),
    **dict.fromkeys(("hard_swish", "leaky_relu"), _plainly),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), _compare),
    **dict.fromkeys(("nanargmax", "nanargmin", "nanmax", "nanmin"), _along),
    "nanmedian": _along,
    "nanquantile": lambda f, x, **kw: f(x, np.array([0.2, 0.7]), axis=-1, **kw),
    "nanpercentile": lambda f, x, **kw: f(x, 30.0, axis=-1, **kw),
    **dict.fromkeys(("partition", "argpartition"), lambda f, x, **kw: f(x, 1, **kw)),
    **dict.fromkeys(("cummax", "cummin"), _along),
    "searchsorted": lambda f, x, **kw: f(np.array([0.0, 0.5]), x, **kw),
    "digitize": lambda f, x, **kw: f(x, np.array([0.0, 0.5]), as_index=True, **kw),
    "histogram": lambda f, x, **kw: f(x, np.array([0.0, 0.5]), **kw)[0] + 0 * x[..., 0],
    "bincount": lambda f, x, **kw: f(x.ravel(), length=3, **kw) + 0 * x[..., :3],
    **dict.fromkeys(("greater", "greater_equal", "less", "less_equal"), _compare),
    **dict.fromkeys(("equal", "not_equal", "isclose"), _compare),
}

# Name -> a function of an array `*batch 4`, whose results are of its type.
FUNCTIONS = {
    **{
        name + end: functools.partial(call, getattr(sj, name + end))
        for name, call in WITH_MODE.items()
        for end in ("", "_st")
    },
    "sigmoidal": sj.sigmoidal,
    "softrelu": sj.softrelu,
    # Logic
    "all": lambda x: [_along(sj.all, _X(x), **kw) for kw in _GEOMETRIC],
    "any": lambda x: [_along(sj.any, _X(x), **kw) for kw in _GEOMETRIC],
    "logical_and": lambda x: [sj.logical_and(_X(x), 0.5, **kw) for kw in _GEOMETRIC],
    "logical_or": lambda x: [sj.logical_or(_X(x), 0.5, **kw) for kw in _GEOMETRIC],
    "logical_xor": lambda x: [sj.logical_xor(_X(x), 0.5, **kw) for kw in _GEOMETRIC],
    "logical_not": lambda x: sj.logical_not(_X(x)),
    # Selection
    "where": lambda x: sj.where(_X(x), x, 0.0),
    "select": lambda x: sj.select([_X(x), _X(-x)], [x, 0.0], 1),
    "piecewise": lambda x: sj.piecewise(x, [_X(x)], [jnp.sin, 0]),
    "one_hot": lambda x: sj.one_hot(_X(x), 4, axis=0),
    "choose": lambda x: sj.choose(_X(x), [x[..., 0], 0.0, x[..., 1], 2]),
    "take": lambda x: sj.take(x, np.eye(4)[:3] / 2 + 0.125, axis=-1),
    "take_along_axis": lambda x: sj.take_along_axis(x, sj.argsort(x)),
    "dynamic_index_in_dim": lambda x: sj.dynamic_index_in_dim(
        x, np.array([0.5, 0.5, 0, 0]), axis=-1
    ),
    "dynamic_slice_in_dim": lambda x: sj.dynamic_slice_in_dim(
        x, np.array([0.5, 0.5, 0, 0]), 2, axis=-1
    ),
    "dynamic_slice": lambda x: sj.dynamic_slice(
        x,
        [np.full(n, 1 / max(n, 1)) for n in x.shape],
        [*(min(n, 1) for n in x.shape[:-1]), 2],
    ),
    # Derivatives
    "st": lambda x: sj.st(lambda x, mode="smooth": sj.relu(x, mode=mode))(x),
    "grad_replace": lambda x: sj.grad_replace(
        lambda x, forward: jnp.round(x) if forward else x
    )(x),
    "soften": lambda x: sj.soften(
        lambda x: [
            jnp.where(x > 0.1, x, 0.0),
            jnp.sum(x > 0, -1),
            jnp.argmax(x, axis=-1),
        ]
    )(x),
    "keep_hard": lambda x: sj.keep_hard(jnp.sin)(x),
    "arccos": lambda x: sj.arccos(x),
    "arcsin": lambda x: sj.arcsin(x),
    "div": lambda x: sj.div(1.0, x),
    "log": lambda x: sj.log(x),
    "norm": lambda x: sj.norm(x, axis=-1),
    "sqrt": lambda x: sj.sqrt(x),
    # Segments of columns
    **{
        f"segment.{name}": functools.partial(_over_segments, getattr(sj.segment, name))
        for name in sj.segment.__all__
        if name not in _NO_SEGMENTS
    },
    "segment.top_k": lambda x: sj.segment.top_k(jnp.moveaxis(x, -1, 0), _IDS, 2, 3),
    "segment.quantile": lambda x: sj.segment.quantile(
        jnp.moveaxis(x, -1, 0), _IDS, np.array([0.2, 0.7]), 3
    ),
    "segment.top_k_mask": lambda x: sj.segment.top_k_mask(
        jnp.moveaxis(x, -1, 0), _IDS, 1.5, 3
    ),
    "segment.pad": lambda x: sj.segment.pad(jnp.moveaxis(x, -1, 0), _IDS, 3)[0],
    # Draws
    **{
        f"random.{name}{end}": functools.partial(call, getattr(random, name + end))
        for name, call in DRAWS.items()
        for end in ("", "_st")
    },
    "random.perturb": lambda x: random.perturb(jnp.sort, KEY, samples=4)(x),
    # Losses
    "losses.entropy": lambda x: losses.entropy(_X(x)),
    "losses.kl_divergence": lambda x: losses.kl_divergence(_X(x), _X(-x)),
    "losses.soft_cross_entropy": lambda x: losses.soft_cross_entropy(_X(x), _X(-x)),
    "losses.simplex_loss": lambda x: losses.simplex_loss(x, _X(-x)),
    "losses.top_k_loss": lambda x: losses.top_k_loss(x, _target(x), 2),
    "losses.rank_loss": lambda x: losses.rank_loss(
        x, np.broadcast_to([1, 2, 3, 4], x.shape)
    ),
    "losses.permutation_loss": lambda x: losses.permutation_loss(
        _square(x), jnp.full((*x.shape, 4), 0.25, x.dtype)
    ),
    "losses.top_k_cross_entropy": lambda x: losses.top_k_cross_entropy(x, _X(-x), 2),
    "losses.ndcg": lambda x: losses.ndcg(x, np.broadcast_to([1, 0, 2, 0], x.shape)),
    "losses.mrr": lambda x: losses.mrr(x, np.broadcast_to([1, 0, 1, 0], x.shape)),
    "losses.average_precision": lambda x: losses.average_precision(
        x, np.broadcast_to([1, 0, 1, 0], x.shape)
    ),
    "losses.precision": lambda x: losses.precision(
        x, np.broadcast_to([1, 0, 1, 0], x.shape), 2
    ),
    "losses.recall": lambda x: losses.recall(
        x, np.broadcast_to([1, 0, 1, 0], x.shape), 2
    ),
    "losses.pairwise_loss": lambda x: losses.pairwise_loss(
        x, np.broadcast_to([1, 0, 2, 0], x.shape)
    ),
    "losses.spearman": lambda x: losses.spearman(
        x, np.broadcast_to([1, 0, 2, 0], x.shape)
    ),
    "losses.auc": lambda x: losses.auc(x, np.broadcast_to([1, 0, 1, 0], x.shape)),
    "losses.trimmed_mean": lambda x: losses.trimmed_mean(x, 0.25),
}

FUNCTIONS |= {
    f"structured.{name}": _on_grids(call)
    for name, call in {
        **{
            name: functools.partial(getattr(structured, name), structured.GridPath())
            for name in ("value", "argmax", "argmax_st", "entropy")
        },
        "fenchel_young_loss": lambda z: structured.fenchel_young_loss(
            structured.GridPath(), z, jnp.eye(2)
        ),
        "sample": lambda z: structured.sample(
            jax.random.key(0), structured.GridPath(), z
        ),
        "soft_dtw_divergence": lambda z: structured.soft_dtw_divergence(z, 1 - z),
    }.items()
} | {
    "losses.spo_plus": _on_grids(
        lambda z: losses.spo_plus(z, 1 - z, structured.GridPath())
    )
}

# How to call the optimization layer, which does not compute 16-bit numbers in float32.
SOLVERS = {
    "SimplexProjection": _solved(lambda x: solvers.SimplexProjection(x, 0.3), "c2"),
    "HypersimplexProjection": _solved(
        lambda x: solvers.HypersimplexProjection(x, 2, 0.3), "c1"
    ),
    "SegmentedSimplexProjection": _over(
        lambda x: solvers.SegmentedSimplexProjection(x, 0.3, _IDS, 3), "c2"
    ),
    "SegmentedHypersimplexProjection": _over(
        lambda x: solvers.SegmentedHypersimplexProjection(x, 1.5, 0.3, _IDS, 3), "c1"
    ),
    "SegmentedSoftSortRows": _over(
        lambda x: solvers.SegmentedSoftSortRows(jnp.sort(x), 0.3, np.sort(_IDS))
    ),
    **{name: _solved(make, "c0") for name, make in coupled.PUBLIC.items()},
    "SoftSortRows": _solved(lambda x: solvers.SoftSortRows(None, jnp.sort(x), 0.3)),
    "NeuralSortRows": _solved(
        lambda x: solvers.NeuralSortRows(None, jnp.sort(x), 0.3), "c0"
    ),
    "TransportProjection": _solved(_plan, "c1"),
    "PermutahedronProjection": _solved(
        lambda x: solvers.PermutahedronProjection(x, np.arange(4), 0.3), "c0"
    ),
    "LinearProgram": _solved(
        lambda x: solvers.LinearProgram(
            x, np.ones((1, 4)), 1.0, 0.3, G=np.eye(4)[:1], h=0.5, upper=2.0
        ),
        "c1",
    ),
    "MajorizationProjection": _solved(
        lambda x: solvers.MajorizationProjection(
            jnp.arange(4, 0, -1, x.dtype), _descending(x), 1
        )
    ),
    "OracleProjection": jax.vmap(
        _solved(lambda x: solvers.OracleProjection(x, 0.3, _one_hot), "c0")
    ),
    "solve": lambda x: solvers.solve(solvers.SimplexProjection(x, 0.3), "c0").dual,
    "evaluate": lambda x: (
        solvers.evaluate(_plan(x), "smooth", solvers.Primal()),
        solvers.evaluate(_plan(x), "smooth", solvers.Means(x)),
        solvers.evaluate(
            solvers.NeuralSortRows(None, jnp.sort(x), 0.3),
            "smooth",
            solvers.ColumnMeans(x),
        ),
    ),
    "shortest_path": lambda x: solvers.shortest_path(
        2 + x, [0, 0, 1, 2], [1, 2, 3, 3], 0, 3
    ),
    "min_cost_flow": lambda x: solvers.min_cost_flow(
        x, [0, 0, 1, 2], [1, 2, 3, 3], np.array([2.0, 0.0, 0.0, -2.0]), 1.5, mode="c0"
    ),
    "optimal_value": lambda x: solvers.optimal_value(_plan(x), "smooth"),
    "fenchel_young_loss": lambda x: solvers.fenchel_young_loss(
        solvers.SimplexProjection(x, 0.3), _X(-x), "c0"
    ),
    "link_from_gradient": lambda x: solvers.link_from_gradient(
        lambda y: jnp.log(y) + y, x
    ),
    "find_root": lambda x: solvers.find_root(
        lambda root, args: args - root - root**3, x, x - 1, x + 1, x
    ),
}


# Names that are no functions of arrays, or that other functions pass arrays to.
OTHERS = {
    # Types of keywords and of soft arrays, and makers of variants
    *(
        *("AxisKeywords", "ValueKeywords", "IndexKeywords", "ValueIndexKeywords"),
        *("segment.SegmentKeywords", "segment.SegmentIndexKeywords"),
        *("SoftBool", "SoftIndex"),
    ),
    *("straight_through_variants", "defaults"),
    # Parts of a formulation
    *(name for name in public_names.names() if name.startswith("softjax.methods.")),
    # Structures, semirings and methods
    *(
        name.removeprefix("softjax.")
        for name in public_names.names()
        if name.startswith("softjax.structured.")
        and name.removeprefix("softjax.") not in FUNCTIONS
    ),
    # Distributions of noise
    *(f"random.{n}" for n in ("Noise", "Normal", "Gumbel", "Laplace", "Logistic")),
    # Interfaces, and what holds results
    *("solvers.Problem", "solvers.ConcaveDualProblem", "solvers.MaximizationProblem"),
    *("solvers.ScalarDualProblem", "solvers.SortedRows", "solvers.Solution"),
    *("solvers.Readout", "solvers.Primal", "solvers.Dual", "solvers.Value"),
    *("solvers.LogPrimal", "solvers.Means", "solvers.ColumnMeans"),
    *("solvers.Structure", "solvers.Exponential", "solvers.General"),
    *("solvers.Incidence", "solvers.ReducedProjection", "solvers.Pulled"),
    *("solvers.Atoms", "solvers.Blocks", "solvers.Potentials"),
    *("solvers.Solver", "solvers.Regularizer"),
    # Regularizers, and what tells about them
    *(f"solvers.{type(r).__name__}" for r in _REGULARIZERS),
    *("solvers.MODES", "solvers.get_regularizer", "solvers.RegularizerReport"),
    *("solvers.check_regularizer", "solvers.measure_smoothness"),
    *("solvers.check_problem", "solvers.ProblemReport"),
    # Solvers
    *(f"solvers.{make.__name__}" for make in solvers.SOLVERS.values()),
    *("solvers.SOLVERS", "solvers.choose_solver", "solvers.JaxoptMinimiser"),
    *("solvers.OptimistixRootFinder", "solvers.OptimistixMinimiser"),
}
