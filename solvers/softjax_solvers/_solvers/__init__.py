from ._adapters.minimisers import (
    JaxoptMinimiser as JaxoptMinimiser,
    OptimistixMinimiser as OptimistixMinimiser,
)
from ._adapters.optimistix import OptimistixRootFinder as OptimistixRootFinder
from ._adapters.ott import OTTSinkhorn as OTTSinkhorn
from .active_set import ActiveSet as ActiveSet
from .closed_form import ClosedForm as ClosedForm
from .conjugate_gradients import ConjugateGradients as ConjugateGradients
from .damped_newton import DampedNewton as DampedNewton
from .divide_and_conquer import DivideAndConquerIsotonic as DivideAndConquerIsotonic
from .dual_coordinate_ascent import DualCoordinateAscent as DualCoordinateAscent
from .frank_wolfe import FrankWolfe as FrankWolfe
from .metric_newton import MetricNewton as MetricNewton
from .newton import Newton as Newton
from .pool_adjacent_violators import PoolAdjacentViolators as PoolAdjacentViolators
from .projected_newton import ProjectedNewton as ProjectedNewton
from .semi_dual import SemiDual as SemiDual
