"""What a run can see: namespaces of its own, and a file system of the interpreter, its libraries and a scratch folder.

The warm process enters these once, before it runs anything; each run then only forks. Started by root it becomes
`nobody` first, so that not even a mistake here leaves a run with root's files. There is no `/proc`, no home, no
temporary folder of others, no network device that is up. Paths are plain strings: a fork copies whatever is
loaded.
"""

from __future__ import annotations

import contextlib
import os
import stat

from tandem.sandbox import kernel

SCRATCH = "/scratch"
"""The run's own writable folder, where the view is in force."""
_NOBODY = 65534


def enter(places: list[str]) -> tuple[dict[str, str], int]:
    """Enter namespaces (user, mount, network, process, IPC, host name) and the view; go on as their first process.

    Returns the layers that are in force with a note for each that is not ("" means active), and an open handle on
    the process namespace (-1 without one). The calling process stays behind as the parent that waits, and ends with
    the same status; a child of it returns.
    """
    layers = dict.fromkeys(("users", "files", "network", "processes", "ipc"), "this system has no namespaces")
    if not kernel.LINUX:
        return layers, -1
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    root = os.geteuid() == 0
    shared = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    try:
        if root:
            try:
                kernel.unshare(shared)
                _build(places)
            except OSError as error:  # root of a container without the right to do so: go on as an ordinary user
                layers["files"] = str(error)
            else:
                layers.update(files="", network="", ipc="")
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            kernel.dumpable()
        missing = 0 if not layers["files"] else shared
        user, group = os.geteuid(), os.getegid()
        try:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | (missing or kernel.CLONE_NEWNS))
        except OSError as error:
            return {k: v and str(error) for k, v in layers.items()}, -1
        _write(proc, "setgroups", "deny")
        _write(proc, "uid_map", f"{user} {user} 1")
        _write(proc, "gid_map", f"{group} {group} 1")
        layers.update(users="", network="", ipc="")
        if missing:
            try:
                _build(places)
                layers["files"] = ""
            except OSError as error:
                layers["files"] = str(error)
        child = os.fork()
        if child:
            os.close(proc)
            _, status = os.waitpid(child, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        handle = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        layers["processes"] = ""
        return layers, handle
    finally:
        with contextlib.suppress(OSError):
            os.close(proc)


def _write(proc: int, name: str, text: str) -> None:
    handle = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _build(places: list[str]) -> None:
    """A root of its own on a memory file system: `places` read-only, an empty folder for scratch, nothing else."""
    opened = {place: os.open(place, os.O_PATH | os.O_NOFOLLOW) for place in places}
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    root = (
        "/tmp" if os.path.isdir("/tmp") else "/mnt"
    )  # any folder: what is mounted there is seen by this process alone
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4m,mode=755")
    for place, source in opened.items():
        target = root + place
        os.makedirs(os.path.dirname(target), exist_ok=True)
        mode = os.fstat(source).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink("", dir_fd=source), target)
            continue
        if stat.S_ISDIR(mode):
            os.makedirs(target, exist_ok=True)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        kernel.mount(f"/proc/self/fd/{source}", target, None, kernel.MS_BIND | kernel.MS_REC)
        if not place.startswith("/dev/"):
            kernel.read_only(target)
    for source in opened.values():
        os.close(source)
    os.mkdir(root + SCRATCH)
    kernel.read_only_here(root)
    kernel.change_root(root)


def _new_folder() -> str:
    import tempfile

    return tempfile.mkdtemp(prefix="tandem-scratch-")


class Scratch:
    """The one folder a run may write: empty at every start, of limited size where a memory file system can be had."""

    def __init__(self, size: int, mounted: bool) -> None:
        self.size = size
        self.mounted = mounted
        self.folder = SCRATCH if mounted else _new_folder()
        if mounted:
            self._mount()

    def renew(self) -> None:
        """Empty it, if the run before left anything; that run's processes have ended.

        Folders are emptied into the top one instead of walked down: what an untrusted program built may be deeper than
        any path. No link is followed.
        """
        number, mark = 0, os.urandom(8).hex()  # a name that nothing in the folder has
        os.chmod(self.folder, 0o700)  # a run may have closed it to itself
        while True:
            with os.scandir(self.folder) as entries:
                found = [(e.path, e.is_dir(follow_symlinks=False)) for e in entries]
            if not found:
                return
            for path, is_folder in found:
                if not is_folder:
                    os.unlink(path)
                    continue
                os.chmod(path, 0o700)
                with os.scandir(path) as inner:
                    below = [e.path for e in inner]
                for one in below:
                    number += 1
                    os.rename(one, os.path.join(self.folder, f"{mark}.{number}"))
                os.rmdir(path)

    def bytes(self) -> int:
        """Bytes in it, where nothing else limits them."""
        total = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        return total

    def remove(self) -> None:
        """Empty the folder, at the end; the parent takes it away."""
        if not self.mounted:
            self.renew()

    def _mount(self) -> None:
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", SCRATCH, "tmpfs", flags, f"size={self.size},nr_inodes=4096,mode=700")
