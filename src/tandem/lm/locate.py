"""Find the model a person means: a Hugging Face folder, a run's folder, the output of `tandem tune`, `embedded`."""

from __future__ import annotations

from pathlib import Path

from tandem.errors import UserError


def locate(name: str | Path) -> Path:
    """The folder with config.json that `name` stands for; `hf:` and `local:` in front are allowed.

    A run's folder stands for its tuned model, or else for the last stage of its pre-training; `embedded` for the small
    model that comes with Tandem. Raises UserError where there is no model, saying what was looked for.
    """
    if str(name) == "embedded":
        from tandem.lm import embedded

        return embedded.folder()
    path = Path(str(name).removeprefix("hf:").removeprefix("local:"))
    if (path / "config.json").is_file():
        return path
    if not path.exists():
        raise UserError(
            "no such folder",
            where=str(path),
            remedy="name a run's folder, or a folder with a model (config.json, *.safetensors); hubs are not asked",
        )
    for pattern in ("[0-9][0-9]-tune", "[0-9][0-9]-train-*"):
        for stage in sorted(path.glob(pattern), reverse=True):
            if (stage / "stage.json").exists() and (stage / "model" / "config.json").is_file():
                return stage / "model"
    begun = any(path.glob("[0-9][0-9]-*")) or (path / "recipe.toml").exists()
    raise UserError(
        "no model here yet" if begun else "no model here (no config.json)",
        where=str(path),
        remedy="let the run go on until a training stage is finished"
        if begun
        else "name the folder of a model or a run",
    )
