from .closed_form import ClosedForm as ClosedForm
from .newton import Newton as Newton
from .optimistix import OptimistixRootFinder as OptimistixRootFinder
from .rowwise import Rowwise as Rowwise
