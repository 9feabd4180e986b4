"""Parts of this package that `softjax` uses, without any promise that they stay."""

from ._checks.words import (
    differ as differ,
    distance_to_hull as distance_to_hull,
    report as report,
)
from ._core.groups import Segments as Segments
from ._core.hints import did_you_mean as did_you_mean
from ._core.solution import KEPT as KEPT
from ._core.solve import (
    evaluate_all as evaluate_all,
    evaluate_and_judge as evaluate_and_judge,
)
from ._kernels.arrays import (
    broadcasts as broadcasts,
    exact_einsum as exact_einsum,
    is_traced as is_traced,
    largest_and_sums as largest_and_sums,
    pad_last as pad_last,
    rough_sums as rough_sums,
    safe_divide as safe_divide,
)
from ._kernels.assignment import assign as assign
from ._kernels.chunks import map_chunks as map_chunks, sum_chunks as sum_chunks
from ._kernels.cumulative import (
    prefix_counts as prefix_counts,
    prefix_maxima as prefix_maxima,
)
from ._kernels.derivatives import (
    derivative as derivative,
    distance as distance,
    replace_value as replace_value,
    stop_gradient as stop_gradient,
    tangent_of as tangent_of,
)
from ._kernels.logarithms import (
    log_over_sum as log_over_sum,
    log_sum as log_sum,
    safe_log as safe_log,
)
from ._kernels.reproducible import total as total
from ._kernels.scans import (
    linear_recurrence as linear_recurrence,
    tie_groups as tie_groups,
)
from ._kernels.segments import (
    segment_cumsum as segment_cumsum,
    segment_ends as segment_ends,
    segment_max as segment_max,
    segment_min as segment_min,
    segment_sum as segment_sum,
    sort_segments as sort_segments,
    ties_of_segments as ties_of_segments,
)
from ._kernels.sorting import (
    invert as invert,
    kth_largest_of_few as kth_largest_of_few,
    largest as largest,
    permute as permute,
    reorder as reorder,
    sort_with_permutation as sort_with_permutation,
)
from ._kernels.spanning_trees import (
    add_parallel as add_parallel,
    log_arborescences as log_arborescences,
    maximum_arborescence as maximum_arborescence,
    maximum_spanning_tree as maximum_spanning_tree,
    sample_arborescence as sample_arborescence,
)
from ._kernels.subsets import (
    centered_inclusion_probabilities_of_sizes as centered_inclusion_probabilities_of_sizes,  # noqa: E501
    log_subset_sums as log_subset_sums,
)
from ._platform.batches import anywhere as anywhere
from ._platform.devices import (
    known_mesh as known_mesh,
    on_each_device as on_each_device,
)
from ._platform.packed_sort import sort_pairs as sort_pairs
from ._platform.varying import varying_as as varying_as
from ._problems.sorted_rows.segments import deviation_scores as deviation_scores
from ._problems.transport.banded import BandedTransport as BandedTransport
from ._problems.transport.boxed import BoxedTransport as BoxedTransport
from ._problems.transport.compressed import (
    CompressedTransport as CompressedTransport,
    MeanPlaces as MeanPlaces,
)
