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
from .structure import STRUCTURE

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

OPERATORS = frozenset({*COMPARISONS, *EXTREMA, *ORDERING, *STEPS})
"""Primitives that are softened themselves, rather than pass soft values on."""
