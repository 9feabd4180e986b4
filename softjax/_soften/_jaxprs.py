"""Reading jaxprs: where an equation is from, what it calls, what JAX calls it.

JAX 0.12 made closed and open jaxprs one class, and counts the operands of a scan by
trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jax.extend.source_info_util import summarize

import softjax_solvers

from ._hard import HARD_SCOPE

_SMOOTH_FILES = re.compile(
    r"jax/_src/(numpy/linalg|scipy/special|scipy/linalg|ops/special|lax/linalg"
    r"|random|prng)"
)
"""Sources of functions of JAX that are smooth, whatever they are made of."""

_CELL = re.compile(r"\S*ipykernel_\d+/\d+\.py")
"""File that a cell of a notebook is kept in: a name that tells a reader nothing."""

_HERE = PurePath(__file__).parent
_SOFT_FOLDERS = (_HERE.parent, PurePath(softjax_solvers.__file__).parent)
"""Sources of what is soft already."""

_SMOOTH_NAMES = {"logaddexp", "logaddexp2", "sinc", "hypot", "softmax", "_softmax"}
_SMOOTH_NAMES |= {"log_softmax", "softplus", "log_sigmoid", "diagonal"}
_KINKED_NAMES = {"cond", "norm"}
"""Functions in those files that have kinks for some of their arguments."""


SOFT_SCOPE = "softjax_soften"
"""Name of the scope around what softened programs are made of."""


def open_jaxpr(jaxpr: Any) -> tuple[Jaxpr, Sequence[Any]]:
    """A jaxpr and its constants, of a closed one or of one without constants.

    Constants of NumPy's have its types: of 64 bits, where JAX has none.
    """
    opened, consts = getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())
    variables = getattr(opened, "constvars", ())
    return opened, [_of_type(*pair) for pair in zip(consts, variables, strict=False)]


def _of_type(const: Any, variable: Any) -> Any:
    if isinstance(const, np.ndarray | np.generic):
        return np.asarray(const, variable.aval.dtype)
    return const


def source(jaxpr: Any) -> tuple[str, str]:
    """Name and file of the function that a jaxpr was traced from."""
    info = getattr(open_jaxpr(jaxpr)[0].debug_info, "func_src_info", None) or ""
    name, _, file = info.partition(" at ")
    return name, PurePath(file).as_posix()


def is_smooth_function(jaxpr: Any) -> bool:
    """Whether this is known to be smooth, although what it is made of is not.

    One that returns no floats, as a sampler of Booleans, is not.
    """
    outputs: list[Any] = [v.aval for v in open_jaxpr(jaxpr)[0].outvars]
    if not any(jnp.issubdtype(out.dtype, jnp.inexact) for out in outputs):
        return False
    name, file = source(jaxpr)
    if name in _KINKED_NAMES:
        return False
    folders = PurePath(file.rpartition(":")[0]).parents
    if any(folder in folders for folder in _SOFT_FOLDERS):
        return _HERE not in folders
    from_jax = "jax/_src/" in file and name in _SMOOTH_NAMES
    return from_jax or bool(_SMOOTH_FILES.search(file))


def is_from_jax(jaxpr: Any) -> bool:
    return "jax/_src/" in source(jaxpr)[1]


def place(eqn: JaxprEqn) -> str:
    """The place in the source that an equation is from, by its last folders."""
    path, space, rest = summarize(eqn.source_info).partition(" (")
    path = _CELL.sub("cell", path)
    return "/".join(path.split("/")[-2:]) + space + rest


def is_kept_hard(eqn: JaxprEqn) -> bool:
    return HARD_SCOPE in str(eqn.source_info.name_stack)


def is_softened(eqn: JaxprEqn) -> bool:
    """Whether an equation is part of another softened program."""
    return SOFT_SCOPE in str(eqn.source_info.name_stack)


def aval(eqn: JaxprEqn, index: int = 0) -> Any:
    """Shape and type of a result."""
    return eqn.outvars[index].aval


def bind(eqn: JaxprEqn, *arrays: Any) -> list[Any]:
    """The results of an equation for other operands."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    subfuns, params = bound if isinstance(bound, tuple) else ([], bound)
    out = eqn.primitive.bind(*subfuns, *arrays, **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def run(jaxpr: Any, arrays: Sequence[Any]) -> list[Any]:
    """Results of a jaxpr for arrays."""
    opened, consts = open_jaxpr(jaxpr)
    env = dict(zip(opened.constvars, consts, strict=True))
    env |= zip(opened.invars, arrays, strict=True)

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else env[atom]

    for eqn in opened.eqns:
        env |= zip(eqn.outvars, bind(eqn, *map(read, eqn.invars)), strict=True)
    return [read(atom) for atom in opened.outvars]


def scan_counts(eqn: JaxprEqn) -> tuple[int, int]:
    """The numbers of constants and of carried values of a scan."""
    if "num_carry" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = (len(list(part)) for part in eqn.params["ft_in"].unpack())
    return consts, carry


def subjaxprs(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    for value in eqn.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            jaxpr = open_jaxpr(item)[0]
            if isinstance(jaxpr, Jaxpr):
                yield jaxpr


TO_INTEGERS = "to integers"
"""Name under which `primitives` lists conversions of floats to integers."""


def _makes_integers(eqn: JaxprEqn) -> bool:
    if eqn.primitive.name != "convert_element_type":
        return False
    types: list[Any] = [atom.aval for atom in (*eqn.invars, *eqn.outvars)]
    before, after = (jnp.issubdtype(t.dtype, jnp.inexact) for t in types)
    return before and not after


def primitives(jaxpr: Any) -> Iterator[str]:
    """Names of all primitives, but not in functions that are known to be smooth."""
    jaxpr, _ = open_jaxpr(jaxpr)
    for eqn in jaxpr.eqns:
        inner = list(subjaxprs(eqn))
        if any(is_smooth_function(sub) for sub in inner):
            continue
        yield TO_INTEGERS if _makes_integers(eqn) else eqn.primitive.name
        for sub in inner:
            yield from primitives(sub)


def live(jaxpr: Jaxpr) -> set[int]:
    """Positions of equations that reach an output other than by `stop_gradient`."""
    wanted = {v for v in jaxpr.outvars if isinstance(v, Var)}
    found = set()
    for i in range(len(jaxpr.eqns) - 1, -1, -1):
        eqn = jaxpr.eqns[i]
        if not wanted.isdisjoint(eqn.outvars):
            found.add(i)
            if eqn.primitive.name != "stop_gradient":
                wanted |= {v for v in eqn.invars if not isinstance(v, Literal)}
    return found


def producers(jaxpr: Jaxpr) -> dict[Var, JaxprEqn]:
    """Each variable -> the equation that it is from."""
    return {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
