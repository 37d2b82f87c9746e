"""Every command and every Python example of README and docs runs as pasted, from the repository's root."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [m.group(2) for m in FENCE.finditer(page.read_text()) if m.group(1) == language]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_commands_of_a_page_work_as_pasted(page, tmp_path):
    scripts = [b for b in blocks(page, "sh") if not re.search(r"^(make|git|pip) ", b, re.MULTILINE)]
    if not scripts:
        pytest.skip("no commands on this page")
    # A copy of what a user has after cloning; the page's outputs land in it.
    for name in ("recipes", "docs", "experiments", "src", "README.md"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for script in scripts:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_python_examples_of_a_page_parse_and_their_imports_exist(page):
    for block in blocks(page, "python"):
        imports = [line for line in block.splitlines() if line.startswith(("import ", "from "))]
        compile(block, str(page), "exec", dont_inherit=True)
        exec("\n".join(imports), {})


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
