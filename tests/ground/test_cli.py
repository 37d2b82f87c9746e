import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import COMMANDS, main


def tandem(*arguments, **options):
    command = [sys.executable, "-m", "tandem.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_help_lists_every_command_and_loads_nothing_heavy():
    code = (
        "import sys; from tandem.cli.main import main; main([]); "
        "heavy = {'torch', 'numpy', 'pyarrow', 'tokenizers', 'pydantic', 'rich'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_without_torch(command):
    code = (
        f"import sys\nfrom tandem.cli.main import main\ntry:\n    main([{command!r}, '--help'])\n"
        "except SystemExit:\n    pass\nsys.exit('imported torch' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: tandem" in done.stdout


def test_an_unknown_command_is_a_usage_error():
    done = tandem("frobnicate")
    assert done.returncode == 2
    assert "frobnicate" in done.stderr


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tandem 0.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("plan", "xgen-7b"), ("world", "--seed", "1", "--facts", "100", "--out", "w")])
def test_output_that_cannot_be_written_is_said_without_a_traceback(arguments, tmp_path):
    command = [sys.executable, "-m", "tandem.cli.main", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
