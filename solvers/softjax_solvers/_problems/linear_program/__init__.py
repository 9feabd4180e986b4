from .incidence import Incidence as Incidence
from .problem import LinearProgram as LinearProgram, Program as Program
