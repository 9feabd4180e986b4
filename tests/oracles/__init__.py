"""References in float64, independent of the library: NumPy, SciPy and closed forms."""

from .coupled import (
    group_lasso_oracle as group_lasso_oracle,
    pairs as pairs,
    pieces_oracle as pieces_oracle,
    pieces_value as pieces_value,
    smooth_oracle as smooth_oracle,
    sparse_oracle as sparse_oracle,
    steps as steps,
    tops as tops,
)
from .hull import distance_to_hull as distance_to_hull, hull_oracle as hull_oracle
from .linear_program import (
    linear_program_oracle as linear_program_oracle,
    vertex_oracle as vertex_oracle,
)
from .links import (
    Link as Link,
    barrier_link as barrier_link,
    cubic_link as cubic_link,
    exp_link as exp_link,
    expm1_link as expm1_link,
    mixed_link as mixed_link,
    power_link as power_link,
    pseudohuber_link as pseudohuber_link,
    quintic_link as quintic_link,
    tsallis_link as tsallis_link,
)
from .majorization import (
    inclusion_oracle as inclusion_oracle,
    majorization_oracle as majorization_oracle,
    subset_sums_oracle as subset_sums_oracle,
)
from .maxima import (
    LINKS as LINKS,
    gibbs as gibbs,
    hull_projection as hull_projection,
    regularized_maximum as regularized_maximum,
)
from .permutahedron import (
    permutahedron_oracle as permutahedron_oracle,
    weighted_permutahedron_oracle as weighted_permutahedron_oracle,
)
from .primal import PRIMAL as PRIMAL, primal_optimum as primal_optimum
from .regularizers import (
    conjugate_oracle as conjugate_oracle,
    gradient_oracle as gradient_oracle,
    heaviside_oracle as heaviside_oracle,
    relu_oracle as relu_oracle,
    softplus_oracle as softplus_oracle,
    transition_scale as transition_scale,
    value_oracle as value_oracle,
)
from .simplex import (
    entmax_oracle as entmax_oracle,
    hypersimplex_oracle as hypersimplex_oracle,
    simplex_oracle as simplex_oracle,
    two_point_oracle as two_point_oracle,
    two_sided_oracle as two_sided_oracle,
)
from .sorted_rows import (
    neuralsort_oracle as neuralsort_oracle,
    neuralsort_rank_oracle as neuralsort_rank_oracle,
    softsort_oracle as softsort_oracle,
    softsort_rank_oracle as softsort_rank_oracle,
)
from .sorting_network import (
    bitonic as bitonic,
    odd_even as odd_even,
    sorting_network_oracle as sorting_network_oracle,
)
from .transport import line_oracle as line_oracle, transport_oracle as transport_oracle
