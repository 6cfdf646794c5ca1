# SPDX-License-Identifier: ISC
"""Mail that waits for a site: ETRN, postqueue -s and -i, sendmail -qR and -qI."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, wait_until  # noqa: E402
from test_smtp_client import BODY, Handler  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402


class Flush(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.handler = Handler()
        self.mta = Instance({"relayhost": f"[127.0.0.1]:{self.port}", "relay_domains": "one.test, two.test, three.test",
                             "fast_flush_domains": "one.test, two.test"})
        self.addCleanup(self.mta.close)
        self.mta.start()

    def send(self, *recipients):
        with self.mta.smtp() as s:
            s.sendmail("a@example.test", recipients, BODY)

    def deferred(self):
        lines = self.mta.command("postqueue", "-j").stdout.splitlines()
        return [json.loads(x) for x in lines if json.loads(x)["queue_name"] == "deferred"]

    def wait_deferred(self, count):
        wait_until(lambda: len(self.deferred()) == count, 30, f"{count} deferred; log:\n" + self.mta.log()[-3000:])

    def site_is_back(self):
        server = Controller(self.handler, hostname="127.0.0.1", port=self.port, decode_data=False)
        server.start()
        self.addCleanup(server.stop)

    def wait_arrived(self, *addresses):
        wait_until(lambda: sorted(r for m in self.handler.messages for r in m[1]) == sorted(addresses), 30,
                   "mail; log:\n" + self.mta.log()[-3000:])

    def test_site(self):
        self.send("x@one.test")
        self.send("y@two.test", "z@two.test")
        self.send("w@three.test")
        self.wait_deferred(3)
        self.site_is_back()
        self.mta.command("postqueue", "-s", "ONE.test")
        self.wait_arrived("x@one.test")
        done = self.mta.command("postqueue", "-s", "three.test", check=False)
        self.assertEqual((done.returncode, b"not configured for destination" in done.stderr), (69, True))
        self.assertEqual(self.mta.command("postqueue", "-s", "-x-", check=False).returncode, 64)
        self.mta.command("sendmail", "-qRtwo.test")
        self.wait_arrived("x@one.test", "y@two.test", "z@two.test")
        self.mta.command("sendmail", "-qI" + self.deferred()[0]["queue_id"])
        self.wait_arrived("x@one.test", "y@two.test", "z@two.test", "w@three.test")

    def test_etrn_after_a_restart(self):
        for i in range(120):
            self.send(f"u{i}@one.test" if i % 2 else f"u{i}@two.test")
        self.wait_deferred(120)
        self.mta.stop()
        self.mta.start()
        self.wait_deferred(120)
        self.site_is_back()
        with self.mta.smtp() as s:
            s.ehlo()
            self.assertTrue(s.has_extn("etrn"))
            self.assertEqual(s.docmd("ETRN", "three.test")[0], 459)
            self.assertEqual(s.docmd("ETRN", "one.test")[0], 250)
        self.wait_arrived(*(f"u{i}@one.test" for i in range(1, 120, 2)))
        self.assertEqual(len(self.deferred()), 60)

    def test_restrictions(self):
        self.mta.stop()
        self.mta.settings["smtpd_etrn_restrictions"] = "check_etrn_access inline:{two.test=reject}, permit_mynetworks, reject"
        self.mta.write_main_cf()
        self.mta.start()
        with self.mta.smtp() as s:
            s.ehlo()
            self.assertEqual(s.docmd("ETRN", "two.test")[0], 554)
            self.assertEqual(s.docmd("ETRN", "one.test")[0], 250)
        self.mta.wait_log("reject: ETRN from localhost[127.0.0.1]")


if __name__ == "__main__":
    unittest.main()
