"""The other boundaries: the relay at the end of a pipe, a container's command line, only limits; and the doctor."""

import asyncio
import os
import stat
import subprocess
import sys

import pytest

from tandem.errors import UserError
from tandem.sandbox import Limits, Sandbox, Tests, doctor
from tandem.sandbox.choose import choose
from tandem.sandbox.layers import GUARDS
from tandem.sandbox.relay import Relayed

RELAY = [sys.executable, "-m", "tandem.sandbox.relay"]
TESTS = Tests(("assert f(1) == 2",), entry=("f",))


def test_a_relayed_verdict_is_the_sandboxs_own():
    async def main():
        programs = [
            "def f(x): return x + 1",
            "def f(x): return 7",
            "def f(x): 1 / 0",
            "def f(:",
            "import os; os._exit(0)",
        ]
        async with Relayed(RELAY) as far, Sandbox(workers=1) as near:
            for program in programs:
                one, other = await far.examine(program, TESTS), await near.examine(program, TESTS)
                assert (one.outcome, one.text, one.results) == (other.outcome, other.text, other.results)
            ran = await far.run("print(input())", stdin="héllo")
            assert (ran.out, ran.outcome) == ("héllo\n", "passed")

    asyncio.run(main())


def test_many_relayed_requests_at_once_each_get_their_own_answer():
    async def main():
        async with Relayed(RELAY) as far:
            answers = await asyncio.gather(*(far.run(f"print({n})") for n in range(20)))
            assert [int(a.out) for a in answers] == list(range(20))

    asyncio.run(main())


def test_a_relay_that_ends_is_no_wrong_answer():
    async def main():
        async with Relayed([sys.executable, "-c", "import sys; sys.exit('no image')"]) as far:
            verdict = await far.examine("def f(x): return x + 1", TESTS)
            assert verdict.outcome == "infrastructure"
            assert "no image" in verdict.text

    asyncio.run(main())


def test_a_container_is_started_without_network_rights_or_a_writable_disk(tmp_path, monkeypatch):
    """A stand-in for the command notes its arguments and starts what comes after the image's name."""
    noted = tmp_path / "arguments"
    command = tmp_path / "docker"
    command.write_text(
        f'#!{sys.executable}\nimport os, sys\nopen({str(noted)!r}, "w").write("\\n".join(sys.argv[1:]))\n'
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'tandem.sandbox.relay'])\n"
    )
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async def main():
        async with choose("docker", limits=Limits(), image="python:3.12") as boundary:
            return await boundary.examine("def f(x): return x + 1", TESTS)

    assert asyncio.run(main()).passed
    arguments = noted.read_text().splitlines()
    for wanted in (["--network", "none"], ["--cap-drop", "ALL"], ["--security-opt", "no-new-privileges"]):
        at = arguments.index(wanted[0])
        assert arguments[at + 1] == wanted[1]
    assert "--read-only" in arguments
    assert "python:3.12" in arguments


def test_docker_that_is_not_installed_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not installed"):
        choose("docker")


def test_a_kind_that_is_none_is_named_with_those_there_are():
    with pytest.raises(UserError, match="layers, docker, unsafe"):
        choose("jail")


def test_without_layers_a_program_runs_under_limits_alone():
    async def main():
        async with choose("unsafe", limits=Limits(cpu=1, wall=3)) as boundary:
            ran = await boundary.run("import socket; socket.socket().close(); print('open')")
            assert ran.out == "open\n"
            assert (await boundary.examine("while True: pass", TESTS)).outcome == "timeout"

    asyncio.run(main())


def test_the_doctor_tries_every_property():
    found = asyncio.run(doctor.examine())
    if found.layers.missing:
        pytest.skip(f"this machine lacks {found.layers.missing}")
    assert set(found.held) == set(GUARDS)
    assert all(found.held.values()), found.held


def test_the_command_runs_a_file_and_ends_with_its_status(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.stdin.read())\nsys.exit(4)\n")
    given = tmp_path / "given"
    given.write_text("given text")
    command = [sys.executable, "-m", "tandem.cli.main", "sandbox", "run", str(program), "--stdin", str(given)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (4, "given text\n")
    assert "exit status 4" in done.stderr


def test_the_command_names_a_file_it_cannot_read(tmp_path):
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    for path, said in ((tmp_path / "nothing.py", "No such file"), (tmp_path / "binary.py", "not UTF-8")):
        command = [sys.executable, "-m", "tandem.cli.main", "sandbox", "run", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert said in done.stderr
        assert path.name in done.stderr
