"""Calls of every function of JAX that has a surrogate: samples for the walks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.lax
import jax.numpy as jnp
import numpy as np

X = np.asarray([[0.25, -1.25, 2.5, 0.0], [1.5, -0.75, -2.5, 1.5]], np.float32)
Y = np.asarray([[0.25, 0.5, -2.0, 1.0], [1.75, -0.75, 2.5, 0.0]], np.float32)
NAN = np.where(X == 0, np.float32(np.nan), X)
WHERE = X != 2.5
EDGES = np.asarray([-1.0, 0.0, 0.25, 1.5], np.float32)
INDEX = np.asarray([2, 0])
AT = np.eye(4, dtype=np.float32)[INDEX]
ALONG = np.asarray([[1], [3]])
ALONG_AT = np.eye(4, dtype=np.float32)[ALONG]


class Sample(NamedTuple):
    """A call of JAX's function.

    - `given`: our arguments in place of those, where soft ones stand for Booleans or
        integers; without a mode.
    - `moved`: the place of the argument to differentiate with respect to.
    """

    label: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any] = MappingProxyType({})
    given: tuple[Any, ...] = ()
    moved: int = 0
    name: str = ""


def _each(labels: str, *args: Any, **keywords: Any) -> list[Sample]:
    return [Sample(label, args, keywords) for label in labels.split()]


def _soft(label: str, args: tuple, given: tuple, moved: int = 0, **keywords) -> Sample:
    return Sample(label, args, keywords, given, moved)


_TRUE = X > 0
_CHANCE = _TRUE.astype(np.float32)
_BRANCHES = [jnp.sum, jnp.max]
_FUNCTIONS = [np.float32(2.0), lambda x: x * x, lambda x: -x]

_ALL = [
    *_each("numpy.abs numpy.absolute numpy.fabs numpy.sign numpy.rint", X),
    *_each("numpy.floor numpy.ceil numpy.trunc numpy.round numpy.around", X + 0.125),
    *_each("numpy.round", X, decimals=1),
    *_each("numpy.heaviside", X, 0.25),
    *_each("numpy.clip", X, -1.0, Y),
    *_each("numpy.clip", X, max=1.0),
    *_each("numpy.maximum numpy.minimum numpy.fmax numpy.fmin", X, Y),
    *_each("numpy.fmax numpy.fmin", np.asarray([np.nan, 1.0], np.float32), Y[:, :2]),
    *_each("numpy.greater numpy.greater_equal numpy.less numpy.less_equal", X, Y),
    *_each("numpy.equal numpy.not_equal", X, Y),
    *_each("numpy.isclose numpy.allclose", X, Y, atol=0.75, rtol=0.5),
    *_each("numpy.array_equal", X, X + np.float32(0.125)),
    *_each("numpy.array_equiv", X, X[0] + np.float32(0.125)),
    *_each("numpy.signbit", X + np.float32(0.125)),
    *_each("numpy.floor_divide", X, Y + np.float32(0.125)),
    *(
        _soft(f"numpy.logical_{name}", (_TRUE, Y > 0), (_CHANCE, 1.0 * (Y > 0)))
        for name in ("and", "or", "xor")
    ),
    _soft("numpy.logical_not", (_TRUE,), (_CHANCE,)),
    *(
        _soft(f"numpy.{name}", (_TRUE, 1), (_CHANCE, 1), where=WHERE, keepdims=True)
        for name in ("all", "any")
    ),
    # Along an axis
    *_each("numpy.argmax numpy.argmin", X),
    *_each("numpy.argmax numpy.argmin", X, 0, keepdims=True),
    *_each("numpy.max numpy.min numpy.amax numpy.amin", X, (0, 1), keepdims=True),
    *_each("numpy.ptp", X, 1, keepdims=True),
    *_each("numpy.max numpy.min", X, 1, initial=1.0, where=WHERE),
    *_each("numpy.argsort numpy.sort", X),
    *_each("numpy.argsort numpy.sort", X, None, descending=True),
    *_each("numpy.median", X, axis=0, keepdims=True),
    *_each("numpy.nanargmax numpy.nanargmin", NAN, 1, keepdims=True),
    *_each("numpy.nanmax numpy.nanmin numpy.nanmedian", NAN),
    *_each("numpy.nanmax numpy.nanmin", NAN, 1, initial=1.0, where=WHERE),
    *_each("numpy.quantile numpy.nanquantile", X, np.asarray([0.25, 0.6]), 1),
    *_each("numpy.quantile", X, 0.4, 1, weights=X**2, method="inverted_cdf"),
    *_each("numpy.nanpercentile", NAN, 30.0, method="higher"),
    *_each("numpy.percentile", X, 30.0, 0, None, False, "nearest", True),
    *_each("numpy.partition", X, 3),
    *_each("numpy.argpartition", X[0], 3),
    # Counts
    *_each("numpy.searchsorted", EDGES, X, side="right"),
    *_each("numpy.digitize", X, EDGES[::-1], True),
    *_each("numpy.histogram", X, 3, (-2.0, 2.0), weights=Y, density=False),
    Sample("numpy.bincount", (INDEX,), {"length": 4}, (AT,)),
    # Selection
    _soft("numpy.where", (_TRUE, X, Y), (_CHANCE, X, Y)),
    _soft("numpy.select", ([_TRUE], [X], 7.0), ([_CHANCE], [X], 7.0)),
    _soft(
        "numpy.piecewise",
        (X, [_TRUE, Y > 0], _FUNCTIONS),
        (X, [_CHANCE, 1.0 * (Y > 0)], _FUNCTIONS),
        1,
    ),
    _soft("numpy.take", (X, INDEX, 1), (X, AT, 1), 1),
    _soft("numpy.take_along_axis", (X, ALONG), (X, ALONG_AT), 1),
    _soft("numpy.choose", (INDEX, X.T), (AT, X.T)),
    # jax.lax
    *_each("lax.abs lax.sign lax.floor lax.ceil lax.round", X + 0.125),
    *_each("lax.round", X, jax.lax.RoundingMethod.TO_NEAREST_EVEN),
    *_each("lax.round", X),
    *_each("lax.max lax.min lax.gt lax.ge lax.lt lax.le lax.eq lax.ne", X, Y),
    Sample("lax.clamp", (np.float32(-1.0), X, np.float32(1.0)), moved=1),
    *_each("lax.argmax lax.argmin", X, 1, np.int32),
    *_each("lax.sort", X, 0),
    *_each("lax.sort", (X[0], Y[0])),
    *_each("lax.sort_key_val", X[0], Y[0]),
    *_each("lax.reduce_max lax.reduce_min", X, (0, 1)),
    *_each("lax.top_k", X, 2),
    *_each("lax.approx_max_k lax.approx_min_k", X, 2),
    *_each("lax.cummax lax.cummin", X, 1, reverse=True),
    _soft("lax.select", (_TRUE, X, Y), (_CHANCE, X, Y)),
    _soft("lax.select_n", (_TRUE, X, Y), (_CHANCE, X, Y)),
    _soft("lax.cond", (True, jnp.sum, jnp.max, X), (1.0, jnp.sum, jnp.max, X)),
    _soft("lax.switch", (1, _BRANCHES, X), (AT[0, 1:3], _BRANCHES, X)),
    _soft("lax.dynamic_index_in_dim", (X, 2, 1), (X, AT[0], 1), 1),
    _soft("lax.dynamic_slice_in_dim", (X, 2, 2, 1), (X, AT[0], 2, 1), 1),
    _soft("lax.dynamic_slice", (X[0], (2,), (2,)), (X[0], (AT[0],), (2,)), 1),
    # jax.nn
    *_each("nn.relu nn.relu6 nn.hard_tanh nn.hard_sigmoid nn.leaky_relu", 3 * X),
    *_each("nn.hard_silu nn.hard_swish", 3 * X),
    _soft("nn.one_hot", (INDEX, 4), (AT, 4), axis=0),
]

SAMPLES = [s._replace(name=f"{s.label}-{i}") for i, s in enumerate(_ALL)]
"""All of them, by names of their own."""

# One of each way in which a call is passed on. The other ones are of the long tail.
FEW = {"numpy.clip", "numpy.maximum", "numpy.allclose", "numpy.all", "numpy.argmax"}
FEW |= {"numpy.quantile", "numpy.bincount", "numpy.take", "numpy.where"}
FEW |= {"lax.reduce_max", "lax.select_n", "nn.one_hot"}
FEW = tuple({s.label: s.name for s in SAMPLES if s.label in FEW}.values())

HALF = tuple(s.name for s in SAMPLES)[::2]
