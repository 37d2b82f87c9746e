"""One sandbox with every layer in force for all attacks; skips, loudly, on a machine that lacks one."""

import pytest
from attacks import LIMITS

from tandem.errors import UserError
from tandem.sandbox import Sandbox
from tandem.sandbox.layers import ALL


def all_layers_or_skip(sandbox: Sandbox) -> None:
    layers = sandbox.layers()
    if layers.active != frozenset(ALL):
        pytest.skip(f"NOT TESTED: this machine lacks layers of the sandbox: {dict(layers.missing)}")


@pytest.fixture(scope="session")
def confined():
    with Sandbox(workers=1, limits=LIMITS) as sandbox:
        try:
            all_layers_or_skip(sandbox)
        except UserError as error:
            pytest.skip(f"NOT TESTED: {error}")
        yield sandbox
