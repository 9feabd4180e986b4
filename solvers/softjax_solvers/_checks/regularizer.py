"""Checks of a regularizer against its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.regularizer import Regularizer
from .._kernels.roots import find_root
from .._problems import SimplexProjection
from .smoothness import differentiate, measure_smoothness
from .words import report

_Y = np.array([0.003, 0.03, 0.2, 0.5, 0.8, 0.97, 0.997])
"""Entries at which methods of y are compared."""

_GAPS = np.array([-3.0, -0.6, -0.1, 0.0, 0.04, 0.3, 1.2])
"""Differences of two scores, in widths of the link."""


class RegularizerReport(NamedTuple):
    """Findings of [`softjax.solvers.check_regularizer`][].

    **Attributes:**

    - `problems`: what is wrong, one sentence each; empty if nothing is.
    - `smoothness`: how many times the link, and with it a projection, is continuously
        differentiable; infinity if no derivative that was looked at jumps, NaN if it
        could not be measured.
    - `sparse`: whether small scores are mapped to 0 exactly.
    - `bounded`: whether the link is: then no entry of a solution gets above a bound.

    **Example:**

        >>> report = sj.solvers.RegularizerReport((), 0.0, sparse=True, bounded=False)
        >>> print(report.consistent)
        True
        >>> print(report)
        consistent
        smoothness of projections: C^0
        sparse solutions: yes
        bounded link: no
    """

    problems: tuple[str, ...]
    smoothness: float
    sparse: bool
    bounded: bool

    @property
    def consistent(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        smooth = "not measured"
        if not np.isnan(self.smoothness):
            finite = np.isfinite(self.smoothness)
            smooth = f"C^{self.smoothness:.0f}" if finite else "no kink found"
        lines = [
            f"smoothness of projections: {smooth}",
            f"sparse solutions: {'yes' if self.sparse else 'no'}",
            f"bounded link: {'yes' if self.bounded else 'no'}",
        ]
        return report(self.problems, lines)


def check_regularizer(
    regularizer: Regularizer, *, orders: int = 3, tolerance: float = 1e-4
) -> RegularizerReport:
    """Check that the methods of a regularizer agree with its link, and describe it.

    All is computed in 64 bits, with finite differences for derivatives. Takes some
    seconds, as everything is compiled.

    **Arguments:**

    - `regularizer`: the one to check; its parameters must not be traced.
    - `orders`: up to which derivative of the link to look for jumps.
    - `tolerance`: by how much, relative to values of order 1, methods may disagree.

    **Returns:** a [`softjax.solvers.RegularizerReport`][], to print or to look into.

    **Raises:** `TypeError` if it is no instance of [`softjax.solvers.Regularizer`][].

    **Example:**

        >>> print(sj.solvers.check_regularizer(sj.solvers.PNorm(1.5), orders=1))
        consistent
        smoothness of projections: no kink found
        sparse solutions: yes
        bounded link: no
    """
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"check_regularizer takes an instance of Regularizer, got {regularizer!r}."
        )
    failed = RegularizerReport((), np.nan, False, False)
    with jax.enable_x64(True):
        try:
            # The rest makes no sense without a link.
            if problems := tuple(_check_link(regularizer)):
                return failed._replace(problems=problems)
            edges = _edges(regularizer)
            return RegularizerReport(
                tuple(_check_methods(regularizer, edges, tolerance)),
                _smoothness(regularizer, edges, orders),
                bool(np.isfinite(edges[0])),
                bool(regularizer.link(jnp.asarray(2.0**30)) < 2.0**10),
            )
        except Exception as error:
            # Whatever a user's methods raise is the finding.
            words = f"It raises {type(error).__name__}: {error}"
            return failed._replace(problems=(words,))


def _check_link(regularizer: Regularizer) -> Iterator[str]:
    """Findings about the link alone: its shape, signs, monotonicity and range."""
    t = np.concatenate([-np.geomspace(1e4, 1e-4, 400), np.geomspace(1e-4, 1e4, 400)])
    # A method of what has arrays cannot be hashed, as functions that are compiled are.
    y = np.asarray(jax.jit(lambda t: regularizer.link(t))(t))
    if y.shape != t.shape:
        yield f"link returns the shape {y.shape} for an argument of shape {t.shape}."
        return
    if np.any(bad := np.isnan(y)):
        yield f"link({t[np.argmax(bad)]:.3g}) is NaN."
    if np.any(bad := y < 0):
        i = np.argmax(bad)
        yield f"link({t[i]:.3g}) is {y[i]:.3g}; it must be at least 0."
    before = np.where(np.isinf(y[:-1]), 1e300, y[:-1])
    if np.any(bad := y[1:] < before - 1e-9 * (1 + before)):
        i = np.argmax(bad)
        yield (
            f"link decreases, from {y[i]:.6g} at {t[i]:.3g} to {y[i + 1]:.6g} at "
            f"{t[i + 1]:.3g}; it must be the derivative of a convex function."
        )
    if not (np.nanmin(y) < _Y[0] and np.nanmax(y) > _Y[-1]):
        yield (
            f"link is between {np.nanmin(y):.3g} and {np.nanmax(y):.3g} for t between "
            "-1e4 and 1e4; it must reach all of (0, 1)."
        )


def _edges(regularizer: Regularizer) -> tuple[float, float]:
    """Ends of the t of which the link is in (0, 1): r'(0), and r'(1) or next to it."""
    zero, one = np.asarray(regularizer.gradient(jnp.asarray([0.0, 1.0])))
    if not np.isfinite(one):
        one = float(regularizer.gradient(jnp.asarray(1 - 1e-4)))
    return float(zero), float(one)


def _compare(
    name: str, at: np.ndarray, got: np.ndarray, expected: np.ndarray, tolerance: float
) -> Iterator[str]:
    """Finding about the largest relative error, if that is above the tolerance."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.size == 0:
        return
    error = np.abs(got - expected) / (1 + np.abs(expected))
    error = np.where(got == expected, 0, error)
    i = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    if not error[i] <= tolerance:
        yield (
            f"{name} at {at[i]:.3g} is {got[i]:.6g}, and should be {expected[i]:.6g}."
        )


def _difference_quotient(fn: Callable, x: np.ndarray, size: float = 1e-6) -> np.ndarray:
    """Central difference quotients."""
    h = size * (1 + np.abs(x))
    return np.asarray((fn(x + h) - fn(x - h)) / (2 * h))


def _check_methods(
    regularizer: Regularizer, edges: tuple[float, float], tolerance: float
) -> Iterator[str]:
    """Findings about all methods, compared with the link and with each other."""

    def call(name: str) -> Callable:
        return jax.jit(lambda x: getattr(regularizer, name)(x))

    link, gradient, conjugate = call("link"), call("gradient"), call("conjugate")
    lower = edges[0] if np.isfinite(edges[0]) else float(gradient(1e-3))
    width = edges[1] - lower
    # Shifted off any symmetry, so that no point is at a kink.
    t = np.linspace(lower - 0.1 * width, edges[1] - 1e-3 * width, 61) + 1e-4 * width
    inner = np.asarray(gradient(_Y))
    yield from _compare("link(gradient(y))", _Y, link(inner), _Y, tolerance)
    if np.any(np.diff(inner) <= 0):
        yield "gradient does not increase, so r is not strictly convex on (0, 1)."
    off = t[np.abs(t - edges[0]) > 1e-3 * width]
    expected = _difference_quotient(link, off)
    # Next to a kink a finite difference is an average.
    smooth = np.abs(_difference_quotient(link, off, 2e-6) - expected) < 1e-3 * (
        1 + expected
    )
    got = np.asarray(call("slope")(off))
    yield from _compare("slope", off[smooth], got[smooth], expected[smooth], tolerance)
    got = np.asarray(jax.jit(differentiate(regularizer.link))(off))
    yield from _compare(
        "The derivative of link", off[smooth], got[smooth], expected[smooth], tolerance
    )
    gaps = _GAPS * width
    log_link, log_sigmoid = jax.jit(
        lambda t, gaps: (regularizer.log_link(t), regularizer.log_sigmoid(gaps))
    )(off, gaps)
    yield from _compare(
        "exp(log_link), which should be link,",
        off,
        np.exp(log_link),
        link(off),
        tolerance,
    )
    yield from _compare(
        "The derivative of conjugate, which should be link",
        inner,
        _difference_quotient(conjugate, inner),
        link(inner),
        tolerance,
    )
    yield from _compare(
        "value(y) + conjugate(gradient(y)), which should be y gradient(y) (Fenchel "
        "and Young),",
        _Y,
        call("value")(_Y) + conjugate(inner),
        _Y * inner,
        tolerance,
    )
    yield from _compare(
        "The derivative of value, which should be gradient",
        _Y,
        _difference_quotient(call("value"), _Y),
        inner,
        tolerance,
    )
    sigmoid = call("sigmoid")(gaps)
    scores = np.stack([gaps, 0 * gaps], axis=-1)
    yield from _compare(
        "sigmoid, which should be the projection of [t, 0],",
        gaps,
        sigmoid,
        _project(regularizer, scores)[:, 0],
        tolerance,
    )
    yield from _compare(
        "exp(log_sigmoid), which should be sigmoid,",
        gaps,
        np.exp(log_sigmoid),
        sigmoid,
        tolerance,
    )
    try:
        softplus = call("softplus")
        slope = _difference_quotient(softplus, gaps)
    except ValueError:
        pass  # Not every sigmoid has a finite integral.
    else:
        yield from _compare(
            "The derivative of softplus, which should be sigmoid",
            gaps,
            slope,
            sigmoid,
            tolerance,
        )
    dual = regularizer.simplex_dual()
    if dual is not None:
        rows = width * np.array([[0.0, -0.1, -0.3, -2.0], [0.0, 0.0, 0.0, -0.5]])
        theta = dual(jnp.asarray(rows), jnp.ones(rows.shape, bool))
        total = np.sum(link(rows - np.asarray(theta)[:, None]), axis=-1)
        yield from _compare(
            "The sum of a projection by simplex_dual, of row",
            np.arange(2),
            total,
            np.ones(2),
            tolerance,
        )
    rate = regularizer.structure().rate
    if rate is not None:
        words = "link, which should be phi(0) exp(c t) by the rate c of its structure,"
        expected = link(np.zeros(())) * np.exp(float(rate) * t)
        yield from _compare(words, t, link(t), expected, tolerance)


def _project(regularizer: Regularizer, scores: np.ndarray) -> np.ndarray:
    """Projections onto the simplex by a root find, from the link alone."""
    problem = SimplexProjection(jnp.asarray(scores), 1.0)
    lower, upper = problem.bracket(regularizer)
    dual = find_root(
        lambda dual, _: problem.optimality(dual, regularizer), None, lower, upper, lower
    )
    return np.asarray(problem.primal(dual, regularizer))


def _smoothness(
    regularizer: Regularizer, edges: tuple[float, float], orders: int
) -> float:
    """Smoothness of the link, from where it leaves 0 to where it reaches 1."""
    lower = edges[0]
    if not np.isfinite(lower):
        lower = float(regularizer.gradient(jnp.asarray(1e-3)))
    width = edges[1] - lower
    upper = edges[1] + 0.5 * width
    if regularizer.link(jnp.asarray(upper)) == jnp.inf:
        upper = edges[1]
    return measure_smoothness(regularizer.link, lower - 0.5 * width, upper, orders)
