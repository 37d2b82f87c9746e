"""The seccomp filters, run instruction by instruction as the kernel does: what passes, and that nothing else does."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attack_kernel import CALLS

from tandem.sandbox import filter, kernel

X86, I386, ARM = 0xC000003E, 0x40000003, 0xC00000B7
ALLOWED, REFUSED, ABSENT, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
OWN = 17
CONDITIONAL = {
    "clone": 56, "clone3": 435, "ioctl": 16, "prctl": 157, "arch_prctl": 158, "prlimit64": 302, "fcntl": 72,
    "socketpair": 53, "sendto": 44, "kill": 62, "tgkill": 234,
}  # fmt: skip
WARM = {272, 308, 434, 424, 126, 317, 46}

pytestmark = pytest.mark.skipif(kernel.MACHINE != "x86_64", reason="NOT TESTED: numbers of x86-64")


def decide(program, number, arguments=(), architecture=X86):
    """What a filter returns for a call: loads of 32 bits, comparisons that jump, a return."""
    arguments = [a & (1 << 64) - 1 for a in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *arguments)
    accumulator, at = 0, 0
    while True:
        code, true, false, value = struct.unpack_from("HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            assert value % 4 == 0
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code in (0x15, 0x35, 0x45):
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += true if holds else false
        else:
            assert code == 0x06
            return value


def both(number, arguments=(), architecture=X86):
    """The decision of both filters together: the kernel takes the stricter."""
    order = [KILLED, ABSENT, REFUSED, ALLOWED]
    decisions = [decide(p, number, arguments, architecture) for p in (filter.warm(), filter.run(OWN))]
    return min(decisions, key=order.index)


def test_every_number_on_the_list_passes_whatever_its_arguments():
    for number in filter.numbers():
        for arguments in ((), (1, 2, 3, 4, 5, 6), [(1 << 64) - 1] * 6):
            assert both(number, arguments) == ALLOWED, number


def test_every_other_number_is_refused():
    expected = {*filter.numbers(), *CONDITIONAL.values()}
    for number in {*range(2048)} - expected:
        assert both(number) == REFUSED, number


@given(st.integers(0, (1 << 32) - 1))
@settings(max_examples=300, deadline=None)
def test_a_number_passes_only_if_it_is_named(number):
    if number not in {*filter.numbers(), *CONDITIONAL.values()}:
        assert both(number) == REFUSED


@pytest.mark.parametrize("name", CALLS)
def test_no_dangerous_call_is_on_the_list(name):
    assert CALLS[name] not in filter.numbers()
    assert both(CALLS[name]) in (REFUSED, ABSENT)


def test_what_only_the_warm_process_needs_passes_the_first_filter_alone():
    for number in WARM:
        assert decide(filter.warm(), number) == ALLOWED
        assert both(number) == REFUSED


def test_every_jump_ends_inside_the_program_and_every_path_at_a_return():
    for program in (filter.warm(), filter.run(OWN)):
        count = len(program) // 8
        assert count < 4096
        for at in range(count):
            code, true, false, _ = struct.unpack_from("HBBI", program, 8 * at)
            assert code in (0x20, 0x15, 0x35, 0x45, 0x06)
            if code == 0x20:
                assert at + 1 < count
            elif code != 0x06:
                assert at + 1 + max(true, false) < count


def test_another_machines_calls_end_the_process():
    for number in (0, 1, 20, 39, 231):
        assert both(number, architecture=I386) == KILLED
        assert both(number, architecture=ARM) == KILLED


def test_numbers_of_the_other_table_are_refused():
    for number in filter.numbers():
        assert both(0x40000000 | number) == REFUSED


def test_a_thread_is_made_and_a_process_is_not():
    thread = 0x3D0F00  # as the C library starts one
    assert both(56, (thread,)) == ALLOWED
    for flags in (17, 0, 0x4111, thread & ~0x10000, 0x10000 << 32, 0x100):
        assert both(56, (flags,)) == REFUSED, hex(flags)


@pytest.mark.parametrize("flag", [1 << 17, *(1 << n for n in range(25, 31))])
def test_a_thread_in_a_namespace_of_its_own_is_refused(flag):
    assert both(56, (0x3D0F00 | flag,)) == REFUSED


def test_the_call_whose_flags_lie_in_memory_is_absent():
    assert both(435, (1 << 40, 64)) == ABSENT


@pytest.mark.parametrize("call", [62, 234])
def test_a_signal_goes_to_the_run_itself_alone(call):
    assert both(call, (OWN, 6)) == ALLOWED
    for other in (0, 1, -1, 2, OWN + 1, -OWN):
        assert both(call, (other, 9)) == REFUSED
    assert decide(filter.run(1), call, (1, 6)) == ALLOWED


def test_a_message_goes_to_the_other_end_alone():
    assert both(44, (3, 1 << 40, 5, 0, 0, 0)) == ALLOWED
    for address in (1, 0x7F0000000000, 1 << 32, (1 << 64) - 1):
        assert both(44, (3, 1 << 40, 5, 0, address, 16)) == REFUSED, hex(address)


def test_a_pair_of_sockets_is_local():
    assert both(53, (1, 1)) == ALLOWED
    for family in (0, 2, 10, 16, 17, 38):
        assert both(53, (family, 1)) == REFUSED


def test_a_descriptor_signals_nobody():
    assert both(72, (3, 1)) == both(72, (3, 4, 2048)) == ALLOWED
    for command in (8, 10, 15):
        assert both(72, (3, command, 1)) == REFUSED


def test_limits_are_looked_up_of_the_run_itself_alone():
    assert both(302, (0, 7)) == ALLOWED
    assert both(302, (1234, 7)) == REFUSED


@pytest.mark.parametrize(
    ("call", "argument", "allowed"),
    [
        (16, 1, {0x5401, 0x5413, 0x5421, 0x541B, 0x5450, 0x5451}),
        (157, 0, {15, 16, 0x53564D41}),
        (158, 0, {0x1002, 0x1003}),
    ],
    ids=["ioctl", "prctl", "arch_prctl"],
)
def test_a_call_of_many_uses_has_only_the_harmless_ones(call, argument, allowed):
    for value in {*range(70), *range(0x5400, 0x5460), *range(0x1000, 0x1020), 0x53564D41, 0x59616D61, *allowed}:
        arguments = [0] * 6
        arguments[argument] = value
        assert both(call, arguments) == (ALLOWED if value in allowed else REFUSED), hex(value)
