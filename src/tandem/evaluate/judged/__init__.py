"""Chat evaluations with a judge: AlpacaEval 1 and 2, MT-bench; any model as a judge of two answers."""

from tandem.evaluate.judged.alpaca import BASELINES, Judged, Lengths, Task, from_judgments, given, load, measure
from tandem.evaluate.judged.judge import PairJudge
from tandem.evaluate.judged.win_rate import WinRate, win_rate

__all__ = [
    "BASELINES",
    "Judged",
    "Lengths",
    "PairJudge",
    "Task",
    "WinRate",
    "from_judgments",
    "given",
    "load",
    "measure",
    "win_rate",
]
