"""Settings of the process: memory that is kept, threads that sleep."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(program: str, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return subprocess.run(
        [sys.executable, "-c", program], env=kept | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


SLEEP = """import os
from tandem.decoder.threads import sleep_while_idle
print(sleep_while_idle(), os.environ.get('OMP_WAIT_POLICY'))"""


@pytest.mark.parametrize(("load", "expected"), [(0.0, "True None 10000"), (1e3, "True passive None")])
def test_threads_sleep_on_a_busy_machine_and_spin_briefly_on_a_quiet_one(load: float, expected: str) -> None:
    program = f"import os\nos.getloadavg = lambda: ({load}, {load}, {load})\n" + SLEEP[:-1]
    assert run(program + ", os.environ.get('GOMP_SPINCOUNT'))") == expected


def test_the_users_own_setting_is_kept() -> None:
    assert run(SLEEP, OMP_WAIT_POLICY="active") == "True active"


def test_after_torch_is_loaded_it_is_too_late_and_said_so() -> None:
    assert run("import torch\n" + SLEEP) == "False None"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_freed_memory_is_not_mapped_anew_once_it_is_kept() -> None:
    program = """
import resource, torch
from tandem.decoder.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**22)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
assert keep_freed_memory()
faults()
print(faults() * 10 < first)
"""
    assert run(program) == "True"
