"""What every test run needs: threads that sleep while they wait, and no network but loopback."""

import os
import signal
import socket

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # read when torch is loaded; spinning threads starve their neighbours
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job: children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow to make its first example: that says nothing about the test.
settings.register_profile("tandem", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("tandem")

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test opened a connection to {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def embedded_folder():
    """The embedded model's Hugging Face folder, out of the user's cache; skips where it is not installed."""
    from tandem.lm import embedded

    if not embedded.available():
        pytest.skip(f"the embedded model is not installed: {embedded.INSTALL}")
    return embedded.folder()
