"""Axiswise operators: a question to a method each, and the meaning of its answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from softjax_solvers.internal import safe_log

from ..methods import Intervals, Method, Relaxation, Sample

VALUE, INDEX, POSITION, MASK = "value", "index", "position", "mask"
LOGS = "logarithms of an index"


def ask(function: str) -> Callable[..., Any]:
    """A question to a method, by one of its functions."""

    def apply(
        method: Method, sample: Sample, relaxation: Relaxation, *options: Any
    ) -> Any:
        return getattr(method, function)(sample, relaxation, *options)

    return apply


def all_places(sample: Sample, *options: Any) -> tuple[Intervals, bool]:
    return sample.cells(sample.size), False


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """An axiswise operator, as what it asks of a method.

    **Attributes:**

    - `name`: of the operator, for messages.
    - `apply`: `(method, sample, relaxation, *options) -> an array of shape *batch ...`,
        or a tuple of them where there are several outputs.
    - `outputs`: the kind of each of them: `VALUE` (in the unit of the input), `INDEX`
        (a soft index), `LOGS` (its logarithm), `POSITION` (a rank, counted from 1) or
        `MASK` (soft booleans).
    - `places`: `(sample, *options) -> which intervals of mass the outputs stand for,
        and whether these are a single one, without an axis of its own`. Default: all
        cells.
    - `ascending`: whether positions count from the smallest, so that the method sees
        minus the input.
    - `absent`: whether infinitely bad candidates (-inf for a maximum) are left out.
    - `first_only`: whether nothing is asked but the largest, by a single output.
    - `method`: the default.
    - `first`: the position of the largest element.
    - `of_nothing`: the value of a row without any element, of the largest kind.
    - `hard`: the hard operator, called as `apply` is; None where that is a question to
        a method too.
    - `by_units`: whether units of mass are read, so that a row needs more than one.
    - `skips_nan`: whether elements that are NaN are left out, as by a mask.
    """

    name: str
    apply: Callable[..., Any]
    outputs: tuple[str, ...]
    places: Callable[..., tuple[Intervals, bool]] = all_places
    ascending: bool = False
    absent: bool = False
    first_only: bool = False
    method: str = "softsort"
    first: int = 1
    of_nothing: float = -math.inf
    hard: Callable[..., Any] | None = None
    by_units: bool = False
    skips_nan: bool = False

    @property
    def keeps_elements(self) -> bool:
        """Whether outputs have as many places as there are elements, perhaps none."""
        return self.places is all_places

    def answers(
        self,
        method: Any,
        sample: Any,
        relaxation: Relaxation,
        options: tuple[Any, ...],
    ) -> tuple[Array | None, ...]:
        """One array for each output, positions counted from `first`.

        **Arguments:**

        - `method`: what answers: a [`softjax.methods.Method`][] of rows, or a
            formulation over segments, of a sample of those.
        """

        def asked(relaxation: Relaxation) -> tuple[Array | None, ...]:
            answer = self.apply(method, sample, relaxation, *options)
            return answer if len(self.outputs) > 1 else (answer,)

        if LOGS in self.outputs and method.in_logs:
            logs = asked(relaxation.in_logs())
            if set(self.outputs) == {LOGS}:
                return logs
            pairs = zip(self.outputs, asked(relaxation), logs, strict=True)
            return tuple(log if kind == LOGS else out for kind, out, log in pairs)
        pairs = zip(asked(relaxation), self.outputs, strict=True)
        return tuple(self._finished(out, kind, method) for out, kind in pairs)

    def _finished(self, out: Array | None, kind: str, method: Any) -> Array | None:
        if out is None and kind == LOGS:
            raise ValueError(
                f"{self.name}: return_log_probs=True is for soft indices, and "
                f"method={type(method).__name__}() has none."
            )
        if out is None:
            return None
        if kind == LOGS:
            return safe_log(out)
        return out + (self.first - 1) if kind == POSITION else out

    def each(
        self, finish: Callable[[Array, str], Array], outputs: tuple[Array | None, ...]
    ) -> tuple[Array | None, ...]:
        """`finish(out, kind)` of all outputs that there are."""
        pairs = zip(outputs, self.outputs, strict=True)
        return tuple(None if out is None else finish(out, kind) for out, kind in pairs)

    def in_logs(self) -> "Operation":
        """This operator with logarithms of soft indices."""
        kinds = (LOGS if kind == INDEX else kind for kind in self.outputs)
        return dataclasses.replace(self, outputs=tuple(kinds))

    def ascend(self, name: str | None = None) -> "Operation":
        """This operator, counting from the smallest."""
        return dataclasses.replace(self, name=name or self.name, ascending=True)

    def hardened(self) -> "Operation":
        """This operator in its hard mode."""
        return dataclasses.replace(self, apply=self.hard or self.apply)

    def without_nan(self, name: str) -> "Operation":
        """This operator on the elements that are numbers: NaN where there are none."""
        return dataclasses.replace(self, name=name, skips_nan=True, of_nothing=math.nan)

    def keywords(self) -> dict[str, Any]:
        """The common keywords and their defaults."""
        common = dict(
            softness=0.1,
            mode="smooth",
            method=self.method,
            solver=None,
            standardize=False,
            where=None,
            weights=None,
        )
        if VALUE in self.outputs:
            common |= dict(gated_grad=True)
        if INDEX in self.outputs:
            common |= dict(return_log_probs=False, log_prob_eps=0.0)
        return common
