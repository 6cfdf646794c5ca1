# SPDX-License-Identifier: ISC
"""File systems whose writes are written down (logged_disk.c), and the disks that a power cut at a moment could leave."""

import collections
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from instance import BUILD, wait_until  # noqa: E402

LOGGED_DISK = f"{BUILD}/crash/logged_disk"
# What mkfs.xfs asks at least; the holes cost nothing.
SIZE = 320 << 20
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"], "xfs": ["mkfs.xfs", "-q"]}
# A disk writes its sectors one by one; file systems are made for that.  They write in pages.
PIECE = 4096
HEADER = struct.Struct("=cB6xQQ")
Record = collections.namedtuple("Record", "kind image offset length data end")


def run(*args):
    done = subprocess.run(args, capture_output=True)
    if done.returncode:
        raise AssertionError(f"{args}: {done.stderr.decode()}")


def can_mount(kind):
    if os.getuid() != 0 or not os.path.exists("/dev/fuse") or not os.path.exists(LOGGED_DISK) or not shutil.which(MAKE[kind][0]):
        return False
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/point")
        disks = Disks(folder, kind, [folder + "/point"])
        try:
            disks.mount_logged()
            return True
        except (AssertionError, OSError):
            return False
        finally:
            disks.close()


def copy(source, target):
    run("cp", "--sparse=always", source, target)


class Disks:
    """A file system at each of the points; two or more, so that one can be ahead of the other."""

    def __init__(self, folder, kind, points, prepare=lambda: None):
        """prepare: makes what is on them from the first."""
        self.folder, self.points, self.process, self.mounted = folder + "/disks", points, None, []
        self.log_path = self.folder + "/log"
        os.makedirs(self.folder + "/files")
        self.images = [f"{self.folder}/image{i}" for i in range(len(points))]
        for i, image in enumerate(self.images):
            with open(image, "wb") as f:
                f.truncate(SIZE)
            run(*MAKE[kind], image)
        # Two file systems of one origin are not mounted side by side.
        self.options = "loop,nouuid" if kind == "xfs" else "loop"
        self.mount(self.images)
        prepare()
        self.unmount()
        for i, image in enumerate(self.images):
            copy(image, self.base(i))

    def base(self, i):
        return f"{self.folder}/base{i}"

    def cut(self, i):
        return f"{self.folder}/cut{i}"

    def mount(self, images):
        for image, point in zip(images, self.points):
            run("mount", "-o", self.options, image, point)
            self.mounted.append(point)

    def mount_logged(self):
        self.process = subprocess.Popen([LOGGED_DISK, self.folder + "/files", self.log_path, *self.images],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = self.folder + "/files/0"
        wait_until(lambda: self.process.poll() is not None or os.path.exists(first), 20, "the disks")
        self.mount([f"{self.folder}/files/{i}" for i in range(len(self.points))])

    def mount_cut(self):
        self.mount([self.cut(i) for i in range(len(self.points))])

    def unmount(self):
        while self.mounted:
            point = self.mounted[-1]
            wait_until(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0, 30, f"{point} not busy")
            self.mounted.pop()
        if self.process:
            subprocess.run(["umount", self.folder + "/files"], capture_output=True)
            self.process.wait(20)
            self.process = None

    def close(self):
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def moment(self):
        """What has been seen to happen was caused by what stands in the log before this place."""
        return os.stat(self.log_path).st_size

    def records(self):
        found, at, size = [], 0, self.moment()
        with open(self.log_path, "rb") as f:
            while at + HEADER.size <= size:
                f.seek(at)
                kind, image, offset, length = HEADER.unpack(f.read(HEADER.size))
                data = at + HEADER.size
                at = data + length
                found.append(Record(kind, image, offset, length, data, at))
        return found

    def make_cut(self, records, moment, chance):
        """The disks after a power cut at that moment; tells what came of the writes that no flush had covered."""
        told = []
        for i in range(len(self.points)):
            before = [r for r in records if r.image == i and r.end <= moment]
            flushed = max((n + 1 for n, r in enumerate(before) if r.kind == b"F"), default=0)
            open_writes = [r for r in before[flushed:] if r.kind == b"W"]
            fate = chance.choice(("none", "all", "some", "first"))
            copy(self.base(i), self.cut(i))
            with open(self.log_path, "rb") as log, open(self.cut(i), "r+b") as disk:
                for r in before[:flushed]:
                    self.apply(log, disk, r, lambda: True)
                # "first": those up to one of them.
                last = chance.randrange(len(open_writes) + 1)
                for n, r in enumerate(open_writes):
                    self.apply(log, disk, r, {"none": lambda: False, "all": lambda: True, "first": lambda: n < last,
                                              "some": lambda: chance.random() < 0.5}[fate])
            told.append(f"{fate} of {len(open_writes)}")
        return ", ".join(told)

    @staticmethod
    def apply(log, disk, record, kept):
        if record.kind != b"W":
            return
        log.seek(record.data)
        data = log.read(record.length)
        for at in range(0, len(data), PIECE):
            if kept():
                disk.seek(record.offset + at)
                disk.write(data[at:at + PIECE])


def moments(records, first, last, count, chance):
    """Places to cut: half of them anywhere, half where a disk has just been flushed, when the other one is behind."""
    every = [r.end for r in records if first <= r.end <= last]
    flushes = [r.end for r in records if first <= r.end <= last and r.kind == b"F"] or every
    return [chance.choice(flushes if n % 2 else every) for n in range(count)]
