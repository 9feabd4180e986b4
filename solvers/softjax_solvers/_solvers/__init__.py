from ._adapters.minimisers import (
    JaxoptMinimiser as JaxoptMinimiser,
    OptimistixMinimiser as OptimistixMinimiser,
)
from ._adapters.optimistix import OptimistixRootFinder as OptimistixRootFinder
from ._adapters.sinkhorn import Sinkhorn as Sinkhorn
from .alternating import Alternating as Alternating
from .closed_form import ClosedForm as ClosedForm
from .conjugate_gradients import ConjugateGradients as ConjugateGradients
from .damped_newton import DampedNewton as DampedNewton
from .merging import Merging as Merging
from .newton import Newton as Newton
from .pool_adjacent_violators import PoolAdjacentViolators as PoolAdjacentViolators
from .semi_dual import SemiDual as SemiDual
