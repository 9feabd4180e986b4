from .._core.solver import Solver


def search(*_): ...


class FrankWolfe(Solver):
    def accepts(self, problem, regularizer):
        return False

    def solve(self, problem, regularizer):
        raise NotImplementedError
