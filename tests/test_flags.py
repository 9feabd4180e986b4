"""Arguments that are True or False, of every public function that has one."""

import inspect

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each

import softjax as sj

X = jnp.asarray(inputs.rng("flags").normal(size=4), jnp.float32)
P = jnp.full(4, 0.25)
IDS = jnp.array([0, 1, 0, 1])
KEY = jax.random.key(0)

# Positional arguments, where they are not an array alone.
ARGUMENTS = {
    "clip": (X, 0.0, 1.0),
    "digitize": (X, jnp.arange(3.0)),
    "dynamic_index_in_dim": (X, P),
    "isclose": (X, X),
    "searchsorted": (jnp.arange(3.0), X),
    "random.multinomial": (KEY, 2, P),
    "random.perturb": (jnp.sum, KEY),
    "random.top_k": (KEY, X, 2),
    "losses.rank_loss": (X, X),
    "structured.ProjectiveTree": (),
    "structured.SpanningTree": (3,),
}
ARGUMENTS |= dict.fromkeys(("all", "any"), (P,))
ARGUMENTS |= dict.fromkeys(("logical_and", "logical_or", "logical_xor"), (P, P))
ARGUMENTS |= dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), (X, X))
ARGUMENTS |= dict.fromkeys(("argpartition", "partition", "top_k", "top_k_mask"), (X, 2))
ARGUMENTS |= {
    name: (X, 0.5)
    for name in dir(sj)
    if name.removesuffix("_st").endswith(("quantile", "percentile"))
}
SEGMENTS = dict(quantile=(X, IDS, 0.5), top_k=(X, IDS, 2), top_k_mask=(X, IDS, 2))
PLACES = {
    "": (sj, (X,)),
    "segment.": (sj.segment, (X, IDS)),
    "random.": (sj.random, (KEY, X)),
    "losses.": (sj.losses, (X, X)),
    "structured.": (sj.structured, ()),
}
# Not a flag alone.
OTHERS = {"soften"}


def _flags(fn):
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if isinstance(p.default, bool)]


def _functions():
    for prefix, (module, usual) in PLACES.items():
        for name in getattr(module, "__all__", dir(module)):
            fn, full = getattr(module, name), prefix + name
            if full not in OTHERS and callable(fn) and not name.endswith("_st"):
                own = SEGMENTS.get(name) if prefix == "segment." else None
                yield full, fn, own or ARGUMENTS.get(full, usual), _flags(fn)


FLAGS = {
    f"{name}: {flag}": (fn, arguments, flag)
    for name, fn, arguments, flags in _functions()
    for flag in flags
}


def test_there_are_flags():
    assert len(FLAGS) > 100


@each("name", list(FLAGS))
def test_flags_are_true_or_false(name):
    """A flag that is neither is refused by name, and not taken for true."""
    fn, arguments, flag = FLAGS[name]
    # JAX has None for a `keepdims` that is not given.
    for value in ("no", *[None] * (flag != "keepdims"), np.ones(2, bool), 0.5):
        with pytest.raises(TypeError, match=f"{flag} must be True or False"):
            fn(*arguments, **{flag: value})


def test_flags_of_numpy():
    for true in (np.True_, 1, jnp.array(True)):
        out = sj.sort(X, descending=true)
        np.testing.assert_array_equal(out, sj.sort(X, descending=True))
