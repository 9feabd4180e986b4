"""Axiswise operators: a question to a method each, and the meaning of its answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from ..methods import Intervals, Method, Relaxation, Sample

VALUE, INDEX, POSITION, MASK = "value", "index", "position", "mask"


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
        (a soft index), `POSITION` (a rank, counted from 1) or `MASK` (soft booleans).
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
    - `of_method`: whether a method answers, or what there is but one formulation of.
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
    of_method: bool = True
    by_units: bool = False
    skips_nan: bool = False

    def answers(
        self,
        method: Method,
        sample: Sample,
        relaxation: Relaxation,
        options: tuple[Any, ...],
    ) -> tuple[Array | None, ...]:
        """One array for each output, positions counted from `first`."""
        answer = self.apply(method, sample, relaxation, *options)
        answers = answer if len(self.outputs) > 1 else (answer,)
        return tuple(
            out + (self.first - 1) if kind == POSITION else out
            for out, kind in zip(answers, self.outputs, strict=True)
        )

    def ascend(self, name: str | None = None) -> "Operation":
        """This operator, counting from the smallest."""
        return dataclasses.replace(self, name=name or self.name, ascending=True)

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
        return common | (dict(gated_grad=True) if VALUE in self.outputs else {})
