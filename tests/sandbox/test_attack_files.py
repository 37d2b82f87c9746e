"""A run reaches no file but the interpreter's own, and changes none but those in its scratch folder."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import os
from pathlib import Path

import pytest
from attacks import REFUSED, Attack, facts, holds

GONE = r"FileNotFoundError|PermissionError"
READ_ONLY = r"PermissionError|OSError: \[Errno 30\]"

ATTACKS = {
    "it reads a file in the temporary folder": Attack("open($PLANTED).read()", GONE),
    "it writes to a file in the temporary folder": Attack(
        "open($PLANTED, 'a').write('x')", GONE + "|Read-only file system"
    ),
    "it lists the temporary folder": Attack("assert os.listdir('/tmp')", GONE),
    "it reads the home folder": Attack("os.listdir($HOME)", GONE),
    "it reads passwords and users": Attack("any_of(lambda: open('/etc/shadow'), lambda: open('/etc/passwd'))", GONE),
    "it reads the tests": Attack("open($THIS).read()", GONE),
    "it lists the root": Attack("os.listdir('/')", GONE),
    "it lists processes": Attack("os.listdir('/proc')", GONE),
    "it reads its own memory file": Attack("open('/proc/self/mem', 'rb')", GONE),
    "it reads the environment of the first process": Attack("open('/proc/1/environ', 'rb')", GONE),
    "it reads the parent's environment": Attack("open(f'/proc/{$PARENT}/environ', 'rb')", GONE),
    "it reads what the kernel tells of itself": Attack(
        "any_of(lambda: os.listdir('/sys'), lambda: open('/proc/version'), lambda: open('/proc/kallsyms'))", GONE
    ),
    "it opens a device": Attack(
        "any_of(*(lambda n=n: os.open('/dev/' + n, os.O_RDONLY) for n in 'mem kmsg tty sda vda loop0 fuse kvm'.split()))",
        GONE,
    ),
    "it makes a device": Attack("import stat\nos.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))"),
    "it writes outside its folder": Attack(
        "folders = ['/', '/usr', '/usr/lib', '/lib', '/etc', '/dev', '/var/tmp', '/run', sys.prefix, '/home']\n"
        "any_of(*(lambda f=f: open(f + '/x', 'w') for f in folders))",
        rf"{READ_ONLY}|{GONE}",
    ),
    "it changes a file of the interpreter": Attack("open(os.__file__, 'a').write('x = 1')", READ_ONLY),
    "it replaces a file of the interpreter": Attack(
        "open('os.py', 'w').write('x = 1')\n"
        "any_of(lambda: os.rename('os.py', os.__file__), lambda: os.unlink(os.__file__),\n"
        "    lambda: os.truncate(os.__file__, 0), lambda: os.chmod(os.__file__, 0o777), lambda: os.utime(os.__file__))",
        rf"{READ_ONLY}|Errno 18",
    ),
    "it writes byte code beside a module": Attack(
        "open(os.path.dirname(os.__file__) + '/__pycache__/os.cpython-399.pyc', 'wb')", READ_ONLY
    ),
    "it maps a file of the interpreter for writing": Attack(
        "import mmap\nmmap.mmap(os.open(os.__file__, os.O_RDWR), 4096, mmap.MAP_SHARED)", READ_ONLY
    ),
    "it links to a file of the interpreter": Attack("os.link(os.__file__, 'os.py')", r"PermissionError|Errno 18"),
    "it follows a symbolic link out": Attack("os.symlink($PLANTED, 'link')\nopen('link').read()", GONE),
    "it follows a symbolic link to a folder outside": Attack("os.symlink('/', 'up')\nos.listdir('up/tmp')", GONE),
    "it climbs out of its folder": Attack("open('../../../../../' + $PLANTED).read()", GONE),
    "it opens outside from a folder's handle": Attack(
        "root = os.open('/', os.O_PATH)\nos.open($PLANTED.lstrip('/'), os.O_RDONLY, dir_fd=root)", GONE
    ),
    "it finds an open file that is not its own": Attack(
        "any_of(*(lambda n=n: os.fstat(n) for n in range(3, 4096)))", r"Errno 9"
    ),
    "it reads a text of another run through its own handles": Attack(
        "import stat\nfor n in (0, 1, 2):\n    if stat.S_ISREG(os.fstat(n).st_mode) and os.fstat(n).st_size:\n"
        "        raise SystemExit(0)\nraise OSError(9, 'nothing in them')",
        r"Errno 9",
    ),
    "it lets the file of its standard input grow": Attack("os.ftruncate(0, 1 << 40)", r"Errno 27"),
    "it starts a program it wrote": Attack(
        "open('go', 'w').write('#!/bin/sh\\n')\nos.chmod('go', 0o755)\nos.execv('go', ['go'])"
    ),
    "it marks a file with attributes": Attack("open('x', 'w')\nos.setxattr('x', 'user.a', b'1')"),
    "it changes the root": Attack("os.chroot('.')"),
    "it opens a file by its number": Attack("call(304, -100, b'\\0' * 128, 0)", REFUSED),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_files_are_out_of_reach_when(attack, confined):
    planted = Path("/tmp") / f"tandem-planted-{os.getpid()}"
    planted.write_text("planted")
    try:
        holds(confined, attack, planted=str(planted), **facts())
        assert planted.read_text() == "planted"
    finally:
        planted.unlink()


def test_a_run_may_use_its_own_folder(confined):
    """What refuses everything would pass every test above."""
    import asyncio

    program = (
        "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('kept')\nprint(open('a/b/c').read(), os.getcwd())"
    )
    assert asyncio.run(confined.run(program)).out == "kept /scratch\n"
