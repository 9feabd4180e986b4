"""Settings of `soften`: the softness of each kind of operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._defaults import defaults_of
from .._keywords import check_softness, parse_mode

ELEMENTWISE = ("softness", "mode")
ALONG_AXIS = (*ELEMENTWISE, "method", "solver", "standardize", "gated_grad")

KINDS = {
    "abs": ELEMENTWISE,
    "argmax": ALONG_AXIS,
    "comparison": ELEMENTWISE,
    "count": ELEMENTWISE,
    "max": ALONG_AXIS,
    "round": (*ELEMENTWISE, "neighbor_radius"),
    "sign": ELEMENTWISE,
    "sort": ALONG_AXIS,
}
"""Kind of operation -> keywords of its soft operators."""

_KINDS_OF_DEFAULTS = {
    "abs": "elementwise",
    "argmax": "max",
    "comparison": "comparison",
    "count": "comparison",
    "max": "max",
    "round": "elementwise",
    "sign": "elementwise",
    "sort": "sort",
}
"""Kind of operation -> the kind that [`softjax.defaults`][] has for its operators."""

_NONE: Mapping[str, Any] = {}
_STRAIGHT_THROUGH = (False, True, "output", "per_op")
_UNSUPPORTED = ("warn", "raise", "ignore")


class Settings(NamedTuple):
    """The keywords of `soften`, checked; of operators, those that are given."""

    keywords: Mapping[str, Mapping[str, Any]]
    straight_through: str | None
    on_unsupported: str

    def completed(self) -> Settings:
        """The settings with softness and mode of all kinds, by the context if need be.

        What else a context says, operators read themselves.
        """
        keywords = {}
        for kind, given in self.keywords.items():
            found = defaults_of(_KINDS_OF_DEFAULTS[kind])
            own = {name: found[name] for name in ELEMENTWISE if name in found}
            keywords[kind] = {"softness": 0.1, "mode": "smooth", **own, **given}
        return self._replace(keywords=keywords)

    def of(self, kind: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """Keywords of the soft operators of a kind; only those of `names`, if any."""
        given = self.keywords[kind]
        return {name: given[name] for name in given if not names or name in names}

    def is_hard(self, kind: str) -> bool:
        mode = self.keywords[kind]["mode"]
        return isinstance(mode, str) and mode == "hard"


def parse_settings(
    softness: Any = None,
    mode: Any = None,
    straight_through: Any = False,
    ops: Any = _NONE,
    on_unsupported: Any = "warn",
) -> Settings:
    """Check the keywords of `soften`.

    **Raises:** `ValueError` and `TypeError`, naming what is allowed.
    """
    common = {}
    if softness is not None:
        check_softness(softness)
        common["softness"] = softness
    if mode is not None:
        parse_mode(mode)
        common["mode"] = mode
    if not any(straight_through is known for known in _STRAIGHT_THROUGH[:2]) and (
        straight_through not in _STRAIGHT_THROUGH[2:]
    ):
        raise ValueError(
            f"soften: straight_through must be one of {_STRAIGHT_THROUGH}, got "
            f"{straight_through!r}."
        )
    if on_unsupported not in _UNSUPPORTED:
        raise ValueError(
            f"soften: on_unsupported must be one of {_UNSUPPORTED}, got "
            f"{on_unsupported!r}."
        )
    if not isinstance(ops, Mapping):
        raise TypeError(f"soften: ops must be a dict of kinds, got {ops!r}.")
    unknown = [kind for kind in ops if kind not in KINDS]
    if unknown:
        raise ValueError(
            f"soften: ops has no kind {unknown[0]!r}. Allowed are {', '.join(KINDS)}."
        )
    keywords = {
        kind: common | _of_kind(kind, ops.get(kind, {}), allowed)
        for kind, allowed in KINDS.items()
    }
    through = straight_through
    if straight_through is True or straight_through is False:
        through = "output" if straight_through else None
    return Settings(keywords, through, on_unsupported)


def _of_kind(kind: str, given: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        given = {"softness": given}
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise ValueError(
            f"soften: ops[{kind!r}] does not take {unknown[0]!r}. Allowed are "
            f"{', '.join(allowed)}."
        )
    if "softness" in given:
        check_softness(given["softness"])
    if "mode" in given:
        parse_mode(given["mode"])
    return dict(given)
