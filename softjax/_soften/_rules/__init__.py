"""Rules: primitive -> what it does to soft values.

A rule is called with the context, the equation and its operands, at least one of which
is not known, and returns a soft value or several.
"""

from .arithmetic import ARITHMETIC
from .comparisons import COMPARISONS
from .control import CONTROL
from .extrema import EXTREMA
from .indexing import INDEXING
from .logic import LOGIC
from .ordering import ORDERING
from .steps import STEPS
from .structure import MOVES, STRUCTURE, as_numbers as as_numbers

RULES = {
    **ARITHMETIC,
    **COMPARISONS,
    **CONTROL,
    **EXTREMA,
    **INDEXING,
    **LOGIC,
    **ORDERING,
    **STEPS,
    **STRUCTURE,
}
"""Name of a primitive -> its rule."""

TAKE_STACKS = frozenset({*CONTROL, *INDEXING})
"""Primitives that read the components of indices, or hand them on to others."""

TAKE_POINTS = frozenset(
    {*COMPARISONS, *MOVES, "abs", "clamp", "convert_element_type", "max", "min", "sign"}
)
"""Primitives that have a use for the points of signs, rather than for their mean."""
