from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.recipes import check, reference
from tandem.recipes.recipe import Recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("recipe", ["xgen-7b", "gpu-1h", "quickstart"])
def test_a_piped_plan_fits_80_columns_and_is_plain(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", recipe, "--price", "2.5", "--devices", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 60
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line or "│" in line or line != line.rstrip() for line in lines)


def test_the_printed_plan_holds_the_published_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "xgen-7b", "--price", "2.5"])
    printed = capsys.readouterr().out
    for figure in ("1,374.52", "63.98", "957.50", "110.00", "6,895,702,016", "6,685,720,576", "43.3", "46.6", "53.0",
                   "6.837e+22", "$150,000 per 1T tokens", "1,484.52"):  # fmt: skip
        assert figure in printed, figure
    assert "full square" in printed.replace("\n", " ") and "default: LLaMA" in printed


def test_flags_change_the_plan_and_json_holds_it(capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--device", "TPU-v4", "--devices", "256", "--price", "1.45", "--mfu", "0.45"]
    how = ["--parallel", "zero1", "--tensor", "4", "--rows", "2"]
    assert main(["plan", "xgen-7b", *where, *how, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["cost"]["device"]["name"], plan["data"], plan["tensor"], plan["parallel"]) == (
        "TPU-v4",
        64,
        4,
        "zero1",
    )
    assert plan["cost"]["money"] == pytest.approx(plan["flops"] / (275e12 * 0.45) / 3600 * 1.45)


@pytest.mark.parametrize(
    "arguments",
    [["none.toml"], ["xgen-7b", "--device", "H20"], ["xgen-7b", "--set", "model.layres=4"], ["xgen-7b", "--mfu", "2"]],
)
def test_what_cannot_be_planned_ends_with_status_2_and_a_remedy(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 2
    said = capsys.readouterr()
    assert "→" in said.err and not said.out


def test_planning_imports_no_torch() -> None:
    code = "import sys; from tandem.cli.main import main; main(['plan', 'xgen-7b']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=60).returncode == 0


def test_the_reference_page_is_the_schemas() -> None:
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    assert page == reference.page(), "run: python -m tandem.recipes.reference > docs/recipes.md"


def test_the_reference_explains_every_key_of_every_section() -> None:
    page = reference.page()
    for header, model in [("Top level", Recipe), *check.sections(Recipe)]:
        section = page.split(f"{header}`\n" if header != "Top level" else "## Top level\n")[1].split("\n## ")[0]
        for name, field in model.model_fields.items():
            assert field.description, f"{header}.{name} has no description"
            assert f"| `{name}` |" in section or any(name in h for h, _ in check.sections(Recipe)), f"{header}.{name}"


def test_the_devices_on_the_plans_page_are_those_of_the_table() -> None:
    from tandem.recipes.devices import KNOWN

    page = (ROOT / "docs/plan.md").read_text(encoding="utf-8")
    for device in KNOWN:
        assert f"| {device.name} | {device.tflops:g} | {device.memory_gib:g} |" in page
