"""A file system that passes everything through to a folder and fails on command, in the kernel's own FUSE protocol.

A program of its own, since a process that serves a mount must not wait for that mount:

    python -m tests.faults.fuse BACKING MOUNT CONTROL

It mounts (as root), prints `ready` and serves until the mount is taken away. CONTROL is a file that is read before each operation:
empty, `HANG`, or `<error> <operation>[,<operation>...] <part of the path>`, for example `EIO write,fsync writing/`. HANG makes the
whole mount wait until CONTROL says something else. Structures: linux/fuse.h, version 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

OPERATIONS = {
    1: "lookup", 2: "forget", 3: "getattr", 4: "setattr", 9: "mkdir", 10: "unlink", 11: "rmdir", 12: "rename", 14: "open",
    15: "read", 16: "write", 17: "statfs", 18: "release", 20: "fsync", 25: "flush", 26: "init", 27: "opendir", 28: "readdir",
    29: "releasedir", 30: "fsyncdir", 35: "create", 36: "interrupt", 38: "destroy", 42: "batch_forget", 45: "rename2",
}  # fmt: skip
SILENT = ("forget", "batch_forget", "interrupt")
IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
LARGEST_WRITE = 2**17
DETACH = 2
FRESH = 0  # seconds that the kernel may keep names and attributes: none, as a cautious NFS mount


class Served:
    """The folder behind the mount; node numbers stand for relative paths."""

    def __init__(self, backing: Path, control: Path) -> None:
        self._backing = backing
        self._control = control
        self._paths = {1: ""}
        self._nodes = {"": 1}

    def answer(self, name: str, node: int, body: bytes) -> bytes:
        """The body of the answer.

        Raises:
            OSError: the operation's failure, real or commanded.
        """
        function: Callable[[int, bytes], bytes] | None = getattr(self, f"_{name}", None)
        if function is None:
            raise OSError(errno.ENOSYS, name)
        self._fail_if_told(name, node, body)
        return function(node, body)

    def _fail_if_told(self, name: str, node: int, body: bytes) -> None:
        words = self._control.read_text(encoding="ascii").split()
        if len(words) < 3:
            return
        path = self._paths.get(node, "")
        if name in ("create", "mkdir", "lookup", "unlink"):
            path += "/" + body.rstrip(b"\0").rsplit(b"\0", 1)[-1].decode(errors="replace")
        if name in words[1].split(",") and words[2] in path:
            raise OSError(getattr(errno, words[0]), name)

    @property
    def hangs(self) -> bool:
        """Whether the mount is to hang: requests then stay unread, so that whoever waits can be killed, as on NFS."""
        return self._control.read_text(encoding="ascii").split() == ["HANG"]

    def _path(self, node: int, name: str = "") -> Path:
        return self._backing / self._paths[node] / name

    def _child(self, node: int, name: bytes) -> str:
        return os.path.join(self._paths[node], name.rstrip(b"\0").decode())  # noqa: PTH118

    def _entry(self, path: str) -> bytes:
        found = os.lstat(self._backing / path)
        if path not in self._nodes:
            self._nodes[path] = max(self._paths) + 1
            self._paths[self._nodes[path]] = path
        return struct.pack("<4Q2I", self._nodes[path], 0, FRESH, FRESH, 0, 0) + _attributes(found)

    def _init(self, node: int, body: bytes) -> bytes:
        del node
        readahead = struct.unpack_from("<4I", body)[2]
        return struct.pack("<4I2H2I2HI28x", 7, 31, readahead, 0, 12, 9, LARGEST_WRITE, 1, 32, 0, 0)

    def _destroy(self, node: int, body: bytes) -> bytes:
        del node, body
        return b""

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(self._child(node, body))

    def _getattr(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        found = os.fstat(handle) if flags & 1 else os.lstat(self._path(node))
        return struct.pack("<QII", FRESH, 0, 0) + _attributes(found)

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        mode = struct.unpack_from("<I", body, 68)[0]
        if valid & 1:
            self._path(node).chmod(mode & 0o7777)
        if valid & 8:
            os.truncate(self._path(node), size)
        return struct.pack("<QII", FRESH, 0, 0) + _attributes(os.lstat(self._path(node)))

    def _mkdir(self, node: int, body: bytes) -> bytes:
        path = self._child(node, body[8:])
        (self._backing / path).mkdir(mode=struct.unpack_from("<I", body)[0] & 0o777)
        return self._entry(path)

    def _unlink(self, node: int, body: bytes) -> bytes:
        (self._backing / self._child(node, body)).unlink()
        return b""

    def _rmdir(self, node: int, body: bytes) -> bytes:
        (self._backing / self._child(node, body)).rmdir()
        return b""

    def _rename(self, node: int, body: bytes, skip: int = 8) -> bytes:
        target = struct.unpack_from("<Q", body)[0]
        old, new, _ = body[skip:].split(b"\0", 2)
        before, after = self._child(node, old), self._child(target, new)
        (self._backing / before).rename(self._backing / after)
        self._nodes.pop(after, None)
        for path in [path for path in self._nodes if path == before or path.startswith(f"{before}/")]:
            number = self._nodes.pop(path)
            self._paths[number] = after + path.removeprefix(before)
            self._nodes[self._paths[number]] = number
        return b""

    def _rename2(self, node: int, body: bytes) -> bytes:
        return self._rename(node, body, skip=16)

    def _open(self, node: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<I", body)[0] & ~(os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_DIRECT)
        return struct.pack("<QII", os.open(self._path(node), flags), 0, 0)

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", body)
        path = self._child(node, body[16:])
        handle = os.open(self._backing / path, (flags & ~os.O_APPEND) | os.O_CREAT, mode & 0o7777)
        return self._entry(path) + struct.pack("<QII", handle, 0, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        del node
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        del node
        handle, offset, size = struct.unpack_from("<QQI", body)
        return struct.pack("<II", os.pwrite(handle, body[40 : 40 + size], offset), 0)

    def _flush(self, node: int, body: bytes) -> bytes:
        del node, body
        return b""

    def _fsync(self, node: int, body: bytes) -> bytes:
        del node
        os.fsync(struct.unpack_from("<Q", body)[0])
        return b""

    def _release(self, node: int, body: bytes) -> bytes:
        del node
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def _opendir(self, node: int, body: bytes) -> bytes:
        del body
        return struct.pack("<QII", os.open(self._path(node), os.O_RDONLY | os.O_DIRECTORY), 0, 0)

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        answer = b""
        for number, name in enumerate(sorted(os.listdir(self._path(node))), start=1):  # noqa: PTH208
            text = name.encode()
            entry = struct.pack("<QQII", number + 1, number, len(text), 0) + text
            entry += b"\0" * (-len(entry) % 8)
            if number > offset:
                if len(answer) + len(entry) > size:
                    break
                answer += entry
        return answer

    _releasedir = _release
    _fsyncdir = _fsync

    def _statfs(self, node: int, body: bytes) -> bytes:
        del node, body
        found = os.statvfs(self._backing)
        return struct.pack(
            "<5Q4I24x", found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree, found.f_bsize, 255,
            found.f_frsize, 0,
        )  # fmt: skip


def _attributes(found: os.stat_result) -> bytes:
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    seconds, rest = [each // 10**9 for each in times], [each % 10**9 for each in times]
    return ATTRIBUTES.pack(
        found.st_ino, found.st_size, found.st_blocks, *seconds, *rest,
        found.st_mode, found.st_nlink, found.st_uid, found.st_gid, 0, 4096, 0,
    )  # fmt: skip


def mount(place: Path) -> int:
    """Mount on `place` and return the descriptor that speaks with the kernel.

    Raises:
        OSError: this machine has no FUSE, or does not let this process mount.
    """
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"faulty", os.fsencode(place), b"fuse.faulty", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mounting {place}")
    return descriptor


def unmount(place: Path) -> None:
    """Take the mount away, whoever still uses it."""
    ctypes.CDLL(None).umount2(os.fsencode(place), DETACH)


def serve(descriptor: int, served: Served) -> None:
    """Answer the kernel until the mount is gone."""
    while True:
        select.select([descriptor], [], [])
        while served.hangs:
            time.sleep(0.05)
        try:
            request = os.read(descriptor, LARGEST_WRITE + 8192)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue  # an interrupted request
        length, opcode, unique, node, *_ = IN_HEADER.unpack_from(request)
        name = OPERATIONS.get(opcode, "")
        if name in SILENT:
            continue
        code, body = 0, b""
        try:
            body = served.answer(name, node, request[IN_HEADER.size : length])
        except OSError as error:
            code = -(error.errno or errno.EIO)
        try:
            os.write(descriptor, OUT_HEADER.pack(OUT_HEADER.size + len(body), code, unique) + body)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return


def main() -> None:
    """Mount, say so, and serve."""
    backing, place, control = (Path(argument) for argument in sys.argv[1:])
    descriptor = mount(place)
    print("ready", flush=True)
    serve(descriptor, Served(backing, control))


if __name__ == "__main__":
    main()
