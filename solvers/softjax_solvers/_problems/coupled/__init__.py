from .clustered import ClusteredSimplexProjection as ClusteredSimplexProjection
from .fused import FusedSimplexProjection as FusedSimplexProjection
from .group_lasso import GroupLassoProjection as GroupLassoProjection
from .grouped import GroupedSimplexProjection as GroupedSimplexProjection
from .metric import (
    MetricSimplexProjection as MetricSimplexProjection,
    Pulled as Pulled,
    project as project,
)
from .normmax import NormSimplexProjection as NormSimplexProjection
from .reduced import ReducedProjection as ReducedProjection
from .sparse import SparseSimplexProjection as SparseSimplexProjection
