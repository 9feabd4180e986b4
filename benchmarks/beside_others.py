"""Table of README.md beside other libraries, and what each of its cells is known from.

`python -m benchmarks.beside_others` prints the table and checks its cells: those of
this library, OTT-JAX and JAXopt as they are installed, and those of softjax 0.1.1 in an
environment of the peers, which is made if need be (Python 3.12). What a library has is
run or looked up; what it does not have is looked for among its public names.
fast-soft-sort is in no package index, and its column is from its source.
"""

import argparse
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

HERE, BEFORE, OTT, JAXOPT, FAST = LIBRARIES = (
    "SoftJAX",
    "[softjax 0.1.1](https://pypi.org/project/softjax/0.1.1/)",
    "[OTT-JAX](https://github.com/ott-jax/ott)",
    "[JAXopt](https://github.com/google/jaxopt)",
    "[fast-soft-sort](https://github.com/google-research/fast-soft-sort)",
)
METHODS = ("softsort", "neuralsort", "ot")
METHODS += ("fast_soft_sort", "smooth_sort", "sorting_network")
X = [0.3, -1.0, 2.0, 0.5]


class Cell(NamedTuple):
    """Words of a cell, and a check of them; None where there is no package."""

    words: str
    holds: Callable[[], bool] | None = None


def module(name: str) -> Any:
    return importlib.import_module(name)


def has(where: str, *names: str) -> Callable[[], bool]:
    return lambda: all(hasattr(module(where), name) for name in names)


def lacks(where: str, pattern: str) -> Callable[[], bool]:
    """No module of that list has a public name with this in it."""

    def check() -> bool:
        return not any(
            re.search(pattern, name)
            for each in where.split()
            for name in dir(module(each))
            if not name.startswith("_")
        )

    return check


def lacks_keyword(function: str, where: str, pattern: str) -> Callable[[], bool]:
    def check() -> bool:
        import inspect

        shown = inspect.signature(getattr(module(where), function)).parameters
        return not any(re.search(pattern, name) for name in shown)

    return check


def runs(fn: Callable[[Any, Any], Any]) -> Callable[[], bool]:
    """`fn(softjax, x)` is finite."""

    def check() -> bool:
        import jax
        import jax.numpy as jnp

        out = fn(module("softjax"), jnp.array(X))
        return all(bool(jnp.all(jnp.isfinite(y))) for y in jax.tree.leaves(out))

    return check


def fails(fn: Callable[[Any, Any], Any]) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return not runs(fn)()
        except TypeError as error:
            return "forward-mode" in str(error)

    return check


def every(*checks: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: all(check() for check in checks)


def with_all_methods(sj: Any, x: Any) -> list[Any]:
    return [sj.sort(x, method=method) for method in METHODS]


def in_forward_mode(fn: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def push(_, x):
        import jax

        return jax.jvp(fn, (x,), (x,))

    return push


def derivatives(sj: Any, x: Any) -> list[Any]:
    import jax

    found = []
    for method in METHODS:

        def first(x, method=method):
            return sj.sort(x, method=method)[0]

        found += [jax.jvp(first, (x,), (x,)), jax.hessian(first)(x)]
    return found


def with_own_regularizer(sj: Any, x: Any) -> list[Any]:
    import jax.numpy as jnp

    class Mine(sj.solvers.Regularizer):
        def link(self, t):
            return jnp.maximum(t, 0) ** 1.5

    return [sj.sort(x, mode=Mine()), sj.relu(x, mode=Mine())]


def with_other_solvers(sj: Any, x: Any) -> list[Any]:
    import jaxopt
    import optimistix as optx

    return [
        sj.sort(x, solver=optx.Bisection(rtol=1e-5, atol=1e-5)),
        sj.sort(x, method="ot", solver="sinkhorn"),
        sj.sort(x, method="ot", solver=jaxopt.BFGS),
    ]


def measured(sj: Any, x: Any) -> list[Any]:
    import jax.numpy as jnp

    return [
        sj.max(x, where=x > 0),
        sj.sort(x, weights=jnp.ones(4)),
        sj.segment.max(x, jnp.array([0, 0, 1, 1])),
    ]


def structured(sj: Any, x: Any) -> list[Any]:
    import jax.numpy as jnp

    st = sj.structured
    program = sj.solvers.LinearProgram(x, jnp.ones((1, 4)), jnp.ones(1))
    return [
        st.argmax(st.Chain(), (x.reshape(2, 2), x.reshape(1, 2, 2))),
        st.argmax(st.Alignment(), x.reshape(2, 2)),
        st.argmax(st.GridPath(), x.reshape(2, 2)),
        st.argmax(st.SpanningTree(3), x[:3]),
        sj.solvers.solve(program, "smooth").value,
    ]


def randomly(sj: Any, x: Any) -> list[Any]:
    import jax

    key = jax.random.key(0)
    return [
        sj.random.categorical(key, x),
        sj.random.permutation(key, x),
        sj.argmax(x, return_log_probs=True),
    ]


def projected(x: Any) -> Any:
    import jax.numpy as jnp
    from jaxopt import projection

    return projection.projection_box_section(x, (0.0, 1.0, jnp.ones(4), 2.0))


_SORT = "ott.tools.soft_sort"
_PROJECTION = "jaxopt.projection"
_JAXOPT = f"jaxopt {_PROJECTION} jaxopt.loss jaxopt.perturbations"
_NO = Cell("no")
TABLE: dict[str, tuple[Cell, ...]] = {
    "elementwise, logic, selection": (
        Cell("yes", has("softjax", "relu", "round", "logical_and", "where", "take")),
        Cell("yes", has("softjax", "relu", "round", "logical_and", "where", "take")),
        Cell("no", lacks(_SORT, "relu|round|logical|where")),
        Cell("no", lacks(_JAXOPT, "relu|round|logical|where")),
        _NO,
    ),
    "sort, rank": (
        Cell("6 methods", runs(with_all_methods)),
        Cell("6 methods", runs(with_all_methods)),
        Cell("optimal transport", has(_SORT, "sort", "ranks", "transport_for_sort")),
        Cell("no", lacks(_JAXOPT, "sort|rank")),
        Cell("permutahedron"),
    ),
    "quantiles, top-k": (
        Cell("yes", has("softjax", "quantile", "median", "top_k")),
        Cell("yes", has("softjax", "quantile", "median", "top_k")),
        Cell("yes", has(_SORT, "quantile", "topk_mask")),
        Cell("no", lacks(_JAXOPT, "quantile|top_?k")),
        _NO,
    ),
    "masks of the k largest": (
        Cell("yes", has("softjax", "top_k_mask")),
        Cell("no", lacks("softjax", "mask")),
        Cell("yes", has(_SORT, "topk_mask")),
        Cell("`projection_box_section`", has(_PROJECTION, "projection_box_section")),
        _NO,
    ),
    "soft indices": (
        Cell("yes", runs(lambda sj, x: [sj.argmax(x), sj.argsort(x)])),
        Cell("yes", runs(lambda sj, x: [sj.argmax(x), sj.argsort(x)])),
        Cell("a transport plan", has(_SORT, "transport_for_sort")),
        Cell("simplex", has(_PROJECTION, "projection_simplex")),
        _NO,
    ),
    "regularizers": (
        Cell("any", runs(with_own_regularizer)),
        Cell(
            "4 modes",
            runs(lambda sj, x: [sj.sort(x, mode=f"c{k}") for k in range(3)]),
        ),
        Cell("entropy", lacks_keyword("sort", _SORT, "mode|regulariz")),
        Cell("squares, some entropy", has(_PROJECTION, "kl_projection_transport")),
        Cell("squares, entropy"),
    ),
    "other algorithms": (
        Cell("Optimistix, OTT-JAX, JAXopt, your own", runs(with_other_solvers)),
        Cell("settings of transport", lacks_keyword("sort", "softjax", "solver")),
        Cell("settings of Sinkhorn's", lacks_keyword("sort", _SORT, "solver")),
        Cell(
            "of transport",
            lambda: not lacks_keyword("projection_transport", _PROJECTION, "solver")(),
        ),
        _NO,
    ),
    "forward mode, second derivatives": (
        Cell("all methods", runs(derivatives)),
        Cell("not all methods", fails(derivatives)),
        Cell(
            "no forward mode",
            fails(in_forward_mode(lambda x: module(_SORT).sort(x))),
        ),
        Cell("not all", fails(in_forward_mode(projected))),
        Cell("first derivatives"),
    ),
    "straight-through variants": (
        Cell("yes", has("softjax", "sort_st", "relu_st", "st", "grad_replace")),
        Cell("yes", has("softjax", "sort_st", "relu_st", "st", "grad_replace")),
        Cell("no", lacks(_SORT, "_st$|straight")),
        Cell("no", lacks(_JAXOPT, "_st$|straight")),
        _NO,
    ),
    "Fenchel-Young losses": (
        Cell("yes", has("softjax.losses", "simplex_loss", "rank_loss")),
        Cell("no", lacks("softjax", "loss|fenchel")),
        Cell("no", lacks(_SORT, "loss|fenchel")),
        Cell("of any maximum", has("jaxopt.loss", "make_fenchel_young_loss")),
        _NO,
    ),
    "`where=`, `weights=`, ragged segments": (
        Cell("yes", runs(measured)),
        Cell("no", lacks_keyword("sort", "softjax", "where|weights")),
        Cell("no", lacks_keyword("sort", _SORT, "where|weights")),
        Cell("no", lacks_keyword("projection_simplex", _PROJECTION, "where|weights")),
        _NO,
    ),
    "chains, alignments, paths, trees, any polytope": (
        Cell("yes", runs(structured)),
        Cell("no", lacks("softjax", "chain|align|path|tree|structured|solve")),
        Cell("soft-DTW", has("ott.geometry.costs", "SoftDTW")),
        Cell("`projection_polyhedron`", has(_PROJECTION, "projection_polyhedron")),
        _NO,
    ),
    "random choices, log-probabilities": (
        Cell("yes", runs(randomly)),
        Cell("no", lacks("softjax", "random|perturb|log_prob")),
        Cell("no", lacks(_SORT, "random|perturb|log_prob")),
        Cell("perturbed maxima", has("jaxopt.perturbations", "make_perturbed_argmax")),
        _NO,
    ),
    "`import softjax.numpy as jnp`, whole programs": (
        Cell("yes", runs(lambda sj, x: sj.soften(lambda x: 1.0 * (x > 0))(x))),
        Cell("no", lacks("softjax", "numpy|soften")),
        Cell("no", lacks(_SORT, "numpy|soften")),
        Cell("no", lacks(_JAXOPT, "numpy|soften")),
        _NO,
    ),
}


def table() -> str:
    lines = [("", *LIBRARIES), ("---",) * (1 + len(LIBRARIES))]
    lines += [(name, *(cell.words for cell in row)) for name, row in TABLE.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def wrong(libraries: list[str]) -> Iterator[str]:
    """Cells of these libraries whose check fails."""
    for name, row in TABLE.items():
        for library, cell in zip(LIBRARIES, row, strict=True):
            if library in libraries and cell.holds is not None and not cell.holds():
                yield f"{name}: {library} has {cell.words!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=LIBRARIES, help="check this one, here")
    only = parser.parse_args().only
    if only is None:
        print(table())
    found = list(wrong([only] if only else [HERE, OTT, JAXOPT]))
    if only is None:
        from ._environment import default_folder, prepare

        python = prepare(default_folder())
        command = [python, "-I", __file__, "--only", BEFORE]
        done = subprocess.run(command, capture_output=True, text=True)
        found += [done.stdout.strip() or done.stderr] if done.returncode else []
    print("\n".join(found) or "All cells that can be checked hold.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
