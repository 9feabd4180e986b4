"""Structures: one a file."""

from .alignment import Alignment as Alignment
from .chain import Chain as Chain
from .graph_path import GraphPath as GraphPath
from .grid_path import GridPath as GridPath
from .projective_tree import ProjectiveTree as ProjectiveTree
from .segments import Segments as Segments
