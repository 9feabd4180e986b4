"""Structures: one a file."""

from .alignment import Alignment as Alignment
from .chain import Chain as Chain
from .graph_path import GraphPath as GraphPath
from .grid_path import GridPath as GridPath
from .k_subset import KSubset as KSubset
from .knapsack import Knapsack as Knapsack
from .matching import Matching as Matching
from .mean_of_k import MeanOfK as MeanOfK
from .oracle import Oracle as Oracle
from .projective_tree import ProjectiveTree as ProjectiveTree
from .segments import Segments as Segments
from .spanning_tree import SpanningTree as SpanningTree
