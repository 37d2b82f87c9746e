from __future__ import annotations

import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from report_sample import write_run

from tandem.cli.main import main


def test_the_command_writes_the_page_and_prints_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_a_wrong_folder_ends_with_status_2_and_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "check the path" in capsys.readouterr().err


def test_open_shows_the_file_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: seen.append(url) or True)
    run = write_run(tmp_path / "run")
    main(["report", str(run), "--open"])
    assert seen == [(run / "report.html").resolve().as_uri()]


def test_drawing_a_page_loads_no_torch(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    code = (
        f"import sys; from tandem.cli.main import main; main(['report', {str(run)!r}]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
