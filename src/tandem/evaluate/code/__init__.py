"""Code benchmarks: gold first, samples, verdicts of the sandbox, refinement in steps, pass@k."""

from tandem.evaluate.code.benchmarks import NAMES, Benchmark, load
from tandem.evaluate.code.measure import Settings, check_gold, measure, score_samples
from tandem.evaluate.code.verdicts import Examiner, Judged

__all__ = ["NAMES", "Benchmark", "Examiner", "Judged", "Settings", "check_gold", "load", "measure", "score_samples"]
