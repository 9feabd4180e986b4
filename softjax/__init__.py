"""SoftJAX: differentiable surrogates of hard JAX operations.

Each is the solution of a regularized linear program, with three independent choices:
`mode` (the regularizer), `method` (the formulation) and `solver` (the algorithm).
"""

from . import methods as methods
from . import solvers as solvers
from ._axis import AxisKeywords as AxisKeywords
from ._axis import ValueKeywords as ValueKeywords
from ._types import SoftBool as SoftBool
from ._types import SoftIndex as SoftIndex
from .axiswise import argmax as argmax
from .axiswise import argmedian as argmedian
from .axiswise import argmin as argmin
from .axiswise import argpercentile as argpercentile
from .axiswise import argquantile as argquantile
from .axiswise import argsort as argsort
from .axiswise import max as max
from .axiswise import median as median
from .axiswise import min as min
from .axiswise import percentile as percentile
from .axiswise import quantile as quantile
from .axiswise import rank as rank
from .axiswise import ranking as ranking
from .axiswise import sort as sort
from .axiswise import top_k as top_k
from .median_newton import median_newton as median_newton
