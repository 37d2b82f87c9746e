"""A run makes only the system calls a calculation needs: every other is refused, by whatever door it comes."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import platform

import pytest
from attacks import Attack, facts, holds

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="NOT TESTED: these are the numbers of calls on x86-64"
)

# name: number; all arguments are 0 unless said
CALLS = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "fsopen": 430, "fsmount": 432, "move_mount": 429,
    "open_tree": 428, "mount_setattr": 442, "swapon": 167, "quotactl": 179, "acct": 163,
    "setns": 308, "unshare": 272, "sethostname": 170, "setdomainname": 171,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440, "kcmp": 312,
    "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424, "rt_sigqueueinfo": 129, "tkill": 200,
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
    "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "reboot": 169, "syslog": 103, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "vhangup": 153, "uselib": 134,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "fanotify_init": 300, "inotify_init1": 294,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "io_setup": 206, "io_submit": 209,
    "keyctl": 250, "add_key": 248, "request_key": 249,
    "memfd_create": 319, "memfd_secret": 447, "remap_file_pages": 216, "mbind": 237, "migrate_pages": 256,
    "move_pages": 279, "mlock": 149, "mlockall": 151, "mlock2": 325, "pkey_mprotect": 329,
    "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "mq_open": 240,
    "open_by_handle_at": 304, "name_to_handle_at": 303, "mknod": 133, "mknodat": 259, "chown": 92, "setxattr": 188,
    "splice": 275, "tee": 276, "vmsplice": 278, "process_mrelease": 448, "statmount": 457, "listmount": 458,
    "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "accept4": 288, "sendmsg": 46,
    "sendmmsg": 307, "recvmmsg": 299, "setsockopt": 54,
    "setuid": 105, "setgid": 106, "setreuid": 113, "setresuid": 117, "setgroups": 116, "setfsuid": 122, "capset": 126,
    "seccomp": 317, "landlock_create_ruleset": 444, "personality": 135, "setsid": 112, "setpgid": 109,
    "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "setrlimit": 160, "setpriority": 141, "sched_setscheduler": 144, "sched_setaffinity": 203, "ioprio_set": 251,
    "sched_setattr": 314, "lookup_dcookie": 212, "_sysctl": 156, "sysfs": 139, "nfsservctl": 180,
    "the next that is added": 480, "one that is none": 1000, "a huge one": 0x3FFFFFFF, "a negative one": -1,
}  # fmt: skip


@pytest.mark.parametrize("number", CALLS.values(), ids=CALLS)
def test_a_system_call_is_refused(number, confined):
    holds(confined, Attack(f"call({number}, 0, 0, 0, 0, 0, 0)"), **facts())


ATTACKS = {
    "it makes a namespace of its own": Attack("call(272, 0x10000000)"),
    "it makes a thread in a namespace of its own": Attack("call(56, 0x10000 | 0x800 | 0x100 | 0x20000000, 0, 0, 0, 0)"),
    "it makes a thread in a mount namespace": Attack("call(56, 0x10000 | 0x800 | 0x100 | 0x20000, 0, 0, 0, 0)"),
    "it forks by flags of which only the upper half counts": Attack("call(56, (0x10000 << 32) | 17, 0, 0, 0, 0)"),
    "it uses the numbers of another table (x32)": Attack(
        "any_of(*(lambda n=n: call(0x40000000 | n, 0, 0, 0) for n in (0, 1, 39, 57, 59, 520)))"
    ),
    "it uses calls of 32 bits": Attack(
        "import mmap\n"
        "code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "code.write(bytes.fromhex('b814000000cd80c3'))\n"  # mov eax, 20 (getpid there); int 0x80; ret
        "run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))\n"
        "print(run())",
        r"died: ended by signal 31",
    ),
    "it sets what prctl sets": Attack(
        # dumpable, seccomp, who may trace, ambient rights, memory map, parent's death, keep rights, subreaper, speculation
        "any_of(*(lambda o=o: call(157, o, 1, 0, 0, 0) for o in (4, 22, 0x59616D61, 47, 35, 1, 8, 36, 53, 24, 28)))"
    ),
    "it types on the terminal": Attack(
        "any_of(*(lambda c=c: call(16, 0, c, b'x') for c in (0x5412, 0x541C, 0x540E, 0x5422, 0x4B3A)))"
    ),
    "it controls devices and file systems": Attack(
        "n = os.open('x', os.O_CREAT | os.O_RDWR)\n"
        "any_of(*(lambda c=c: call(16, n, c, b'\\0' * 64) for c in (0x40086602, 0x80086601, 0xC0185879, 0x8901, 0x894C)))"
    ),
    "it takes rights": Attack("any_of(lambda: call(126, b'\\0' * 8, b'\\xff' * 24), lambda: os.setresuid(0, 0, 0))"),
    "it sends a message through the upper half of an address": Attack(
        "import socket\na, _ = socket.socketpair(type=socket.SOCK_DGRAM)\n"
        "call(44, a.fileno(), b'x', 1, 0, 0x7F0000000000, 2)"
    ),
    "it reads the kernel's log": Attack("any_of(lambda: open('/dev/kmsg'), lambda: call(103, 3, b'\\0' * 99, 99))"),
    "it changes its own filter": Attack(
        "any_of(lambda: call(317, 1, 0, b'\\0' * 16), lambda: call(157, 22, 2, 0, 0, 0))"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_kernel_is_out_of_reach_when(attack, confined):
    holds(confined, attack, **facts())
