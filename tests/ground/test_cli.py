import subprocess
import sys

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
