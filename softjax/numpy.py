"""All of `jax.numpy`, soft where there is a surrogate: `import softjax.numpy as jnp`.

Functions with a surrogate take the arguments of `jax.numpy`, with its defaults, and
our keywords besides; everything else is the object of `jax.numpy` itself. Where one of
our keywords has a name that the function of `jax.numpy` uses for something else, such
as `method` of `quantile`, its meaning is theirs and ours is `soft_method`. The names
`soft_mode` and `soft_method` are understood everywhere.

- Calls with integers, Booleans and complex numbers are those of `jax.numpy`, for there
  is no derivative: comparisons of counters stay Boolean, and sorted integers integers.
- What returns an index returns a soft one, with a last axis over the n positions, and
  one-hot for `mode="hard"`; `searchsorted` and `digitize` do so too, and soft counts
  with `as_index=False`. `take`, `take_along_axis` and `choose` accept it like an
  integer, and integers as ever. `table[index]` does not, and nothing can be done about
  it: write `take(table, index)`.
- `where`, `select`, `piecewise` and logic accept soft Booleans; for logic, `all` and
  `any`, floats are probabilities. Operators such as `x > 0` and `x % y`, and methods
  such as `x.max()`, are those of JAX's arrays, and hard: write `greater(x, 0)`.

**Example:**

    >>> import softjax.numpy as snp
    >>> x = snp.array([0.2, 1.0, 0.7])
    >>> print(snp.median(x), snp.max(x, mode="hard"), snp.cumsum(x))
    0.7109483 1.0 [0.2 1.2 1.9]
    >>> print(snp.where(snp.greater(x, 0.5), x, 0.0))
    [0.009 0.993 0.617]
"""

from typing import TYPE_CHECKING, Any

import jax.numpy

from ._namespace import namespace
from ._surrogates import NUMPY

if TYPE_CHECKING:
    from jax.numpy import *  # noqa: F403 # pyright: ignore

    # Each takes what that of jax.numpy does, and our keywords.
    abs: Any
    absolute: Any
    all: Any
    allclose: Any
    amax: Any
    amin: Any
    any: Any
    argmax: Any
    argmin: Any
    argpartition: Any
    argsort: Any
    around: Any
    array_equal: Any
    array_equiv: Any
    bincount: Any
    ceil: Any
    choose: Any
    clip: Any
    digitize: Any
    equal: Any
    fabs: Any
    floor: Any
    floor_divide: Any
    fmax: Any
    fmin: Any
    greater: Any
    greater_equal: Any
    heaviside: Any
    histogram: Any
    isclose: Any
    less: Any
    less_equal: Any
    logical_and: Any
    logical_not: Any
    logical_or: Any
    logical_xor: Any
    max: Any
    maximum: Any
    median: Any
    min: Any
    minimum: Any
    nanargmax: Any
    nanargmin: Any
    nanmax: Any
    nanmedian: Any
    nanmin: Any
    nanpercentile: Any
    nanquantile: Any
    not_equal: Any
    partition: Any
    percentile: Any
    piecewise: Any
    ptp: Any
    quantile: Any
    rint: Any
    round: Any
    searchsorted: Any
    select: Any
    sign: Any
    signbit: Any
    sort: Any
    take: Any
    take_along_axis: Any
    trunc: Any
    where: Any
else:
    __getattr__, __dir__ = namespace(__name__, jax.numpy, NUMPY)
