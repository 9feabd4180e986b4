"""Context that an interpreter hands to its rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.extend.core import JaxprEqn, Var

from . import _jaxprs
from ._record import HARD, KEPT, SOFT, Record
from ._settings import Settings
from ._values import Value


class Unsupported(Exception):
    """Raised by a rule that does not apply: the operation stays hard, and is named."""


class Keep(Exception):
    """Raised by a rule for what is hard as it should be."""


def _unread(atom: Any) -> Value:
    raise RuntimeError("nothing has been evaluated yet")


class Context(NamedTuple):
    """Settings, the record, and where in the program the interpreter is.

    `place` is where a function of JAX was called from, inside of which places mean
    nothing to the user; None outside. `made_by` has the equation of each variable, and
    `read` its value; `scope` names this evaluation of the jaxpr. `derivatives`: whether
    this evaluation is differentiated, rather than its value looked at.
    """

    settings: Settings
    record: Record
    evaluate: Callable[..., list[Value]]
    place: str | None = None
    made_by: Mapping[Var, JaxprEqn] | None = None
    read: Callable[[Any], Value] = _unread
    scope: Any = None
    derivatives: bool = True

    def maker(self, atom: Any) -> JaxprEqn | None:
        """The equation that a variable is from, if it is from one of this jaxpr."""
        return (self.made_by or {}).get(atom) if isinstance(atom, Var) else None

    def place_of(self, eqn: JaxprEqn) -> str:
        return self.place or _jaxprs.place(eqn)

    def softened(self, eqn: JaxprEqn, kind: str, how: str) -> None:
        """Note what a rule does, or that the user wants this kind to stay hard."""
        if self.settings.is_hard(kind):
            raise Keep(f"{kind}: mode='hard'")
        softness = self.settings.keywords[kind]["softness"]
        shown = softness if isinstance(softness, int | float) else "given"
        how = f"{kind}: {how}, softness {shown}"
        self.record.touched = True
        self.record.add(eqn.primitive.name, self.place_of(eqn), SOFT, how)

    def noted(self, eqn: JaxprEqn, how: str) -> None:
        """Note what is soft since its operands are."""
        self.record.add(eqn.primitive.name, self.place_of(eqn), SOFT, how)

    def kept(self, eqn: JaxprEqn, why: str) -> None:
        self.record.add(eqn.primitive.name, self.place_of(eqn), KEPT, why)

    def hard(self, eqn: JaxprEqn, why: str) -> None:
        self.record.add(eqn.primitive.name, self.place_of(eqn), HARD, why)

    def keywords(self, kind: str, *names: str) -> dict[str, Any]:
        """Keywords of a soft operator; only those of `names` where there are some."""
        return self.settings.of(kind, names)

    def inside(self, eqn: JaxprEqn, jaxpr: Any) -> Context:
        """The context of a function that an equation calls."""
        hidden = self.place is not None or _jaxprs.is_from_jax(jaxpr)
        return self._replace(place=self.place_of(eqn) if hidden else None)
