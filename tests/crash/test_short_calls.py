# SPDX-License-Identifier: ISC
"""Mail over every way while reads and writes of files are cut short and interrupted (short_calls.c): all arrives, whole."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import BUILD  # noqa: E402
from test_sweep import WAYS, Sweep  # noqa: E402

SHIM = f"{BUILD}/crash/short_calls.so"
MESSAGES = 20


@unittest.skipUnless(os.path.exists(SHIM), "needs build/crash/short_calls.so (make tests)")
class ShortCalls(unittest.TestCase):
    start = Sweep.start
    submit = Sweep.submit
    send = Sweep.send
    texts = Sweep.texts
    arrived = Sweep.arrived
    is_empty = Sweep.is_empty
    settle = Sweep.settle
    check = Sweep.check

    def test_every_way(self):
        for way in WAYS:
            with self.subTest(way.name):
                way.main_cf["import_environment"] = f"MAIL_CONFIG LD_PRELOAD={SHIM} ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"
                self.start(way)
                for _ in range(MESSAGES):
                    self.send()
                self.settle(way.name)
                for number in self.sent:
                    self.check(number, way.name, 0)
                with open(f"/proc/{self.mta.process.pid}/task/{self.mta.process.pid}/children") as f:
                    maps = [open(f"/proc/{pid}/maps").read() for pid in f.read().split()]
                self.assertTrue(all("short_calls.so" in m for m in maps), "not preloaded")
                log = self.mta.log()
                for word in ("panic", "killed by signal", "corrupt", "damaged", "status=deferred"):
                    self.assertNotIn(word, log, way.name)
                self.doCleanups()


# Sweep's own tests are not run again from here.
del Sweep

if __name__ == "__main__":
    unittest.main()
