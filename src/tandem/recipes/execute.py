"""Execute a recipe: its stages in order, each a folder; what stands is not done again.

    world → tokenizer → corpus → train-NAME … → tune → evaluate → answers → results.json → report.html

Kill it anywhere and run it again. The order of stages follows from the recipe; what a stage does is in `materials`,
`learning`, `measuring` and `answering`, what is told about it in `story`.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from tandem.decoder.memory import keep_freed_memory
from tandem.errors import UserError
from tandem.recipes import answering, learning, materials, measuring, schema, story
from tandem.recipes.place import Place, StageOf, Watch
from tandem.recipes.recipe import Recipe
from tandem.report import write as write_report
from tandem.results import Results
from tandem.runs import Run, read_results


def run(recipe: Recipe, out: Path, *, watch: Watch, device: str | None = None, threads: int | None = None) -> Results:
    """Execute `recipe` in the folder `out`, or continue what was begun there; returns the results.

    Raises UserError when the folder holds another recipe or the device is not there, Failure when the work fails.
    """
    where = choose_device(device)
    use_threads(threads)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    facts = {"seed": recipe.seed, "device": device_name(where), "torch": torch.__version__}
    with Run(out, schema.resolved(recipe), facts) as folder:
        place = Place(recipe, folder, watch, where)
        folder.event("run begins", device=device_name(where), threads=torch.get_num_threads(), torch=torch.__version__)
        for number, stage in enumerate(stages(recipe), 1):
            name = f"{number:02d}-{stage.key}"
            if folder.finished(name):
                watch.standing(stage.title)
                continue
            if stage.key == "tokenizer" and recipe.tuning:
                learning.tuning_splits(place)  # what cannot be split is said now, not after hours of pre-training
            if stage.key == "tokenizer" and recipe.answers:
                answering.must_be_askable(place)
            if stage.key == "corpus" and recipe.tuning:
                learning.tuning_must_fit(place)  # with the tokenizer there, so is what does not fit
            watch.stage(stage.title)
            began = time.monotonic()
            with folder.stage(name, title=stage.title) as path:
                stage.make(place, path)
            watch.done(time.monotonic() - began)
        folder.write_results(story.tell(place))
        folder.event("run ends")
        write_report(out)
    return read_results(out)


def stages(recipe: Recipe) -> list[StageOf]:
    """The stages of a recipe in order."""
    found = []
    if recipe.world:
        found.append(StageOf("world", "A made-up world", materials.make_world))
    found.append(StageOf("tokenizer", "The tokenizer", materials.make_tokenizer))
    found.append(StageOf("corpus", "Text to tokens", materials.make_corpus))
    for i, stage in enumerate(recipe.stage):
        title = f"Pre-training, stage {stage.name!r}: {stage.context:,} tokens of context"
        found.append(StageOf(f"train-{stage.name}", title, learning.pretrain(i)))
    if recipe.tuning:
        found.append(StageOf("tune", "Instruction tuning", learning.tune))
    found.append(StageOf("evaluate", "Evaluation", measuring.evaluate))
    if recipe.answers:
        found.append(StageOf("answers", "Answers, looked up where chains disagree", answering.answer))
    return found


def use_threads(threads: int | None) -> None:
    """Compute with this many CPU threads; None leaves torch's own choice."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"is {threads}", where="--threads", remedy="give at least 1, or leave it out for all cores")
    torch.set_num_threads(threads)


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or the best there is: CUDA, then MPS, then the CPU."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        float(torch.zeros(1, device=device))
    except (RuntimeError, AssertionError, ImportError) as e:
        reason = str(e).splitlines()[0]
        raise UserError(f"no such device here ({reason})", where=f"--device {name}", remedy="try --device cpu") from e
    return device


def device_name(device: torch.device) -> str:
    """What a reader should know it as."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
