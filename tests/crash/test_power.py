# SPDX-License-Identifier: ISC
"""
Power cuts: queue and mailboxes lie on file systems of their own, in images; while mail flows all processes are stopped,
the images are copied as a disk would have them at that moment, and a new system starts on the copies.  What got its 250
by then arrives, whole.  Before the copy the kernel may have written nothing of one file system, or all of it.

POSTRIDER_POWER_IMAGES: how many (make torture: 200).
"""

import os
import random
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, local_user, wait_until  # noqa: E402
from test_sweep import Sweep, Way, descendants, glob_drop  # noqa: E402

IMAGES = int(os.environ.get("POSTRIDER_POWER_IMAGES", "6"))
USER = local_user()
FILLING = b"x" * 900
SIZE = 48 << 20
WAYS = {"maildir": Way("maildir", ()), "mbox": Way("mbox", (), main_cf={"home_mailbox": "mbox", "stale_lock_time": "1s"}),
        "sendmail": Way("sendmail", (), submit="sendmail")}


def can_mount():
    if os.getuid() != 0 or not shutil.which("mkfs.ext4"):
        return False
    with tempfile.TemporaryDirectory() as d:
        image, point = d + "/image", d + "/point"
        os.mkdir(point)
        make_image(image)
        done = subprocess.run(["mount", "-o", "loop", image, point], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", point], check=True)
        return done.returncode == 0


def make_image(path):
    with open(path, "wb") as f:
        f.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", path], check=True,
                   capture_output=True)


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


class Disk:
    """A file system in an image, at a folder."""

    def __init__(self, folder, point):
        self.image, self.copy, self.point = folder + "/image", folder + "/copy", point
        self.mounted = False
        make_image(self.image)

    def mount(self, image):
        # The journal is not written for its age while we look.
        run("mount", "-o", "loop,commit=300", image, self.point)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            wait_until(lambda: subprocess.run(["umount", self.point], capture_output=True).returncode == 0, 30,
                       f"{self.point} not busy")
            self.mounted = False

    def snapshot(self):
        run("cp", "--sparse=always", self.image, self.copy)


@unittest.skipUnless(can_mount(), "needs loop mounts and ext4")
class Power(unittest.TestCase):
    texts = Sweep.texts
    arrived = Sweep.arrived
    submit = Sweep.submit
    is_empty = Sweep.is_empty

    def build(self, way):
        self.way = way
        self.sink = type("Nobody", (), {"messages": []})()
        settings = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "mydestination": "example.test",
                    "queue_minfree": "0", "message_size_limit": "1000000", "smtpd_recipient_restrictions": "",
                    "smtpd_client_connection_count_limit": "0"}
        settings.update(way.main_cf)
        self.mta = Instance(settings)
        self.disks = []
        for name in ("spool", "mail"):
            folder = f"{self.mta.dir}/disk-{name}"
            os.mkdir(folder)
            disk = Disk(folder, f"{self.mta.dir}/{name}")
            self.disks.append(disk)
            disk.mount(disk.image)
        os.chmod(self.mta.mail, 0o1777)
        self.lock, self.number, self.taken, self.stopping = threading.Lock(), 0, set(), False

    def client(self):
        while not self.stopping:
            with self.lock:
                self.number += 1
                number = self.number
            try:
                if self.submit(number):
                    with self.lock:
                        self.taken.add(number)
            except (AssertionError, OSError, smtplib.SMTPException, subprocess.SubprocessError):
                pass  # cut

    def cut(self, flushed):
        """Everything stands still; the images as they are, after what the kernel is said to have written."""
        master = self.mta.process.pid
        os.kill(master, signal.SIGSTOP)
        all_pids = [master] + [pid for pid, _ in descendants(master)]
        for pid in all_pids:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        with self.lock:
            taken = set(self.taken)
        if flushed:
            run("sync", "-f", self.mta.dir + "/" + flushed)
        for disk in self.disks:
            disk.snapshot()
        self.stopping = True
        for pid in all_pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.mta.process.wait()
        self.mta.process = None
        return taken

    def one(self, way, flushed, chance):
        self.build(way)
        try:
            self.mta.start()
            threads = [threading.Thread(target=self.client) for _ in range(3)]
            for t in threads:
                t.start()
            goal = chance.randint(1, 25)
            wait_until(lambda: len(self.taken) >= goal, 60, "mail taken; log:\n" + self.mta.log()[-3000:])
            # With the mailboxes' disk behind the queue's, what was delivered last matters: nothing else writes it.
            if flushed == "spool":
                self.stopping = True
                for t in threads:
                    t.join()
                wait_until(self.is_empty, 300, "an empty queue before the cut")
            taken = self.cut(flushed)
            for t in threads:
                t.join()
            for disk in self.disks:
                disk.unmount()
                disk.mount(disk.copy)
            self.mta.start()
            # Deliveries to one mbox wait for each other's locks.
            try:
                wait_until(self.is_empty, 300, "an empty queue")
            except AssertionError as e:
                raise AssertionError(f"{e}; log:\n" + self.mta.log()[-6000:]) from None
            what = f"{way.name}, {flushed or 'nothing'} written"
            lost = taken - set(self.arrived())
            self.assertEqual(lost, set(), f"{what}: lost; log:\n{self.mta.log()[-3000:]}")
            return len(taken)
        finally:
            self.stopping = True
            try:
                self.mta.stop()
            finally:
                for disk in self.disks:
                    disk.unmount()
                self.mta.close()

    def test_nothing_that_was_taken_is_lost(self):
        seed = int(os.environ.get("POSTRIDER_POWER_SEED", "1"))
        chance = random.Random(seed)
        names = os.environ.get("POSTRIDER_POWER_WAYS", " ".join(WAYS)).split()
        total = 0
        for i in range(IMAGES):
            way = WAYS[names[i % len(names)]]
            flushed = ("spool", None, "mail")[i // len(names) % 3]
            total += self.one(way, flushed, chance)
        print(f"{IMAGES} power cuts, {total} messages taken before them, none lost", file=sys.stderr)


# Sweep's own tests are not run again from here.
del Sweep

if __name__ == "__main__":
    unittest.main()
