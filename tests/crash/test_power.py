# SPDX-License-Identifier: ISC
"""
Power cuts: queue and mailboxes lie on file systems of their own, all of whose writes and flushes are written down while mail
flows.  Of that, disks are made as a power cut at a moment could have left them (disks.py), and a new system starts on them.
What had got its 250 by then arrives, whole.

POSTRIDER_POWER_IMAGES: how many cuts (make torture: 200); _WAYS, _DISKS (ext4, xfs), _SEED: which.
"""

import os
import random
import smtplib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disks import Disks, can_mount, moments  # noqa: E402
from instance import Instance, wait_until  # noqa: E402
from test_sweep import Sweep, Way  # noqa: E402

IMAGES = int(os.environ.get("POSTRIDER_POWER_IMAGES", "12"))
MESSAGES = 40
WAYS = {"maildir": Way("maildir", ()), "mbox": Way("mbox", (), main_cf={"home_mailbox": "mbox", "stale_lock_time": "1s"}),
        "sendmail": Way("sendmail", (), submit="sendmail")}


@unittest.skipUnless(can_mount("ext4"), "needs root, FUSE, loop mounts and ext4")
class Power(unittest.TestCase):
    texts = Sweep.texts
    arrived = Sweep.arrived
    submit = Sweep.submit
    is_empty = Sweep.is_empty

    def build(self, way, kind):
        self.way = way
        self.sink = type("Nobody", (), {"messages": []})()
        settings = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "mydestination": "example.test",
                    "queue_minfree": "0", "message_size_limit": "1000000", "smtpd_recipient_restrictions": "",
                    "smtpd_client_connection_count_limit": "0"}
        settings.update(way.main_cf)
        self.mta = Instance(settings)
        self.disks = Disks(self.mta.dir, kind, [self.mta.dir + "/spool", self.mta.mail], lambda: os.chmod(self.mta.mail, 0o1777))
        self.lock, self.number, self.taken = threading.Lock(), 0, {}

    def client(self):
        while True:
            with self.lock:
                self.number += 1
                number = self.number
            if number > MESSAGES:
                return
            try:
                if self.submit(number):
                    self.taken[number] = self.disks.moment()
            except (AssertionError, OSError, smtplib.SMTPException, subprocess.SubprocessError):
                pass

    def live(self):
        """Mail flows; what is taken is noted with the place of the disks' log at which it was."""
        self.disks.mount_logged()
        self.mta.start()
        first = self.disks.moment()
        threads = [threading.Thread(target=self.client) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.settle("before any cut")
        last = self.disks.moment()
        self.mta.stop()
        self.disks.unmount()
        self.assertEqual(len(self.taken), MESSAGES, "not all was taken; log:\n" + self.mta.log()[-3000:])
        return first, last

    def settle(self, what):
        # Deliveries to one mbox wait for each other's locks.
        try:
            wait_until(self.is_empty, 300, "an empty queue")
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}; log:\n" + self.mta.log()[-6000:]) from None

    def after_cut(self, records, moment, chance):
        fate = self.disks.make_cut(records, moment, chance)
        what = f"{self.way.name}: cut at {moment}; of what was not flushed, queue and mail: {fate}"
        self.disks.mount_cut()
        try:
            self.mta.start()
            self.settle(what)
            taken = {number for number, at in self.taken.items() if at <= moment}
            lost = taken - set(self.arrived())
            self.assertEqual(lost, set(), f"{what}: lost; log:\n{self.mta.log()[-3000:]}")
            self.assertEqual(os.listdir(self.mta.dir + "/spool/corrupt"), [], what)
            return len(taken)
        finally:
            self.mta.stop()
            self.disks.unmount()

    def cut(self, way, kind, count, chance):
        self.build(way, kind)
        try:
            first, last = self.live()
            records = self.disks.records()
            return sum(self.after_cut(records, moment, chance) for moment in moments(records, first, last, count, chance))
        finally:
            try:
                self.mta.stop()
            finally:
                self.disks.close()
                self.mta.close()

    def test_nothing_that_was_taken_is_lost(self):
        chance = random.Random(int(os.environ.get("POSTRIDER_POWER_SEED", "1")))
        ways = os.environ.get("POSTRIDER_POWER_WAYS", " ".join(WAYS)).split()
        kinds = [k for k in os.environ.get("POSTRIDER_POWER_DISKS", "ext4 xfs").split() if can_mount(k)]
        runs = [(WAYS[way], kind) for kind in kinds for way in ways]
        for n, (way, kind) in enumerate(runs):
            count = IMAGES // len(runs) + (n < IMAGES % len(runs))
            with self.subTest(f"{way.name} on {kind}"):
                taken = self.cut(way, kind, count, chance) if count else 0
                print(f"{way.name} on {kind}: {count} power cuts, {taken} messages taken before them, none lost", file=sys.stderr)


# Sweep's own tests are not run again from here.
del Sweep

if __name__ == "__main__":
    unittest.main()
