"""Softening whole programs: `softjax.soften`, an interpreter of jaxprs.

One idea a file. `_values.py`: what stands for an array; `_rules/`: what primitives do
to it; `_interpreter.py`: equations one after the other; `_forms.py`: what branches and
loops need; `_jaxprs.py`: what is asked of JAX's own representation.
"""

from ._check import Check as Check
from ._hard import keep_hard as keep_hard
from ._public import soften as soften
from ._record import Report as Report
