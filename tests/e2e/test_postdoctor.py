# SPDX-License-Identifier: ISC
"""postdoctor DOMAIN: a domain in order, and one with every fault there is."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_dkim import BUILD  # noqa: E402
from zones import FAIL, ZoneServer  # noqa: E402


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="postrider-doctor-")
        with open(f"{cls.dir}/main.cf", "w") as f:
            f.write(f"config_directory = {cls.dir}\nmyhostname = mx.good.test\n")
        open(f"{cls.dir}/master.cf", "w").close()
        out = subprocess.run([f"{BUILD}/sbin/postrider", "-c", cls.dir, "dkim", "genkey", "good.test", "s1"],
                             stdout=subprocess.PIPE, check=True).stdout.decode()
        key = "".join(out.split('"')[1::2])
        lots = {f"i{n}.bad.test": [("TXT", "v=spf1 a mx -all"), ("A", "192.0.2.1"), ("MX", (1, f"i{n}.bad.test"))] for n in range(6)}
        cls.server = ZoneServer({
            "good.test": [("MX", (10, "mx.good.test")), ("TXT", "v=spf1 ip4:192.0.2.7 -all")],
            "mx.good.test": [("A", "192.0.2.7")],
            "_dmarc.good.test": [("TXT", "v=DMARC1; p=reject; rua=mailto:d@good.test")],
            "s1._domainkey.good.test": [("TXT", key)],
            "7.2.0.192.in-addr.arpa": [("PTR", "mx.good.test")],
            "_mta-sts.good.test": [("TXT", "v=STSv1; id=1")],
            "_smtp._tls.good.test": [("TXT", "v=TLSRPTv1; rua=mailto:t@good.test")],
            "bad.test": [("MX", (10, "gone.bad.test")),
                         ("TXT", "v=spf1 " + " ".join(f"include:i{n}.bad.test" for n in range(6)) + " +all")],
            **lots,
            "_dmarc.bad.test": [("TXT", "v=DMARC1; p=none; pct=50")],
            "s1._domainkey.bad.test": [("TXT", key)],
            "9.2.0.192.in-addr.arpa": [("PTR", "other.test")],
            "9.2.0.192.zen.spamhaus.org": [("A", "127.0.0.2")],
            "wide.test": [("MX", (0, ".")), ("TXT", "v=spf1 ip4:10.0.0.0/8 ptr ?all")],
            "_dmarc.wide.test": [("TXT", "v=DMARC1; p=reject; rua=mailto:x@other.test")],
            "away.test": [FAIL],
        })
        os.makedirs(f"{cls.dir}/dkim/bad.test")
        subprocess.run([f"{BUILD}/sbin/postrider", "-c", cls.dir, "dkim", "genkey", "bad.test", "s1"], stdout=subprocess.PIPE,
                       check=True)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.dir)

    def run_doctor(self, *args):
        return subprocess.run([f"{BUILD}/sbin/postdoctor", "-c", self.dir, "--dns", self.server.address, *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def checks(self, *args):
        done = self.run_doctor("--json", *args)
        self.assertTrue(done.stdout, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, ["ok", "warning", "fault"].index(answer["verdict"]))
        return answer["checks"]

    def find(self, checks, text):
        found = [c for c in checks if text in c["found"]]
        self.assertTrue(found, f"{text} in {[c['found'] for c in checks]}")
        return found[0]

    def test_a_domain_in_order(self):
        checks = self.checks("good.test", "--selector", "s1", "--ip", "192.0.2.7", "--helo", "mx.good.test",
                             "--send-from", "bounce@mail.good.test")
        self.assertEqual([c for c in checks if c["verdict"] != "ok"], [])
        for text in ("192.0.2.7 may send", "2048 bits", "belongs to it", "the name has the address", "aligns with", "not on 3 lists"):
            self.find(checks, text)

    def test_a_domain_with_faults(self):
        checks = self.checks("bad.test", "--selector", "s1", "--ip", "192.0.2.9", "--helo", "mx.bad.test",
                             "--send-from", "relay.test")
        faults = {"gone.bad.test has no address": "IN A", "more than 10 terms": "10 lookups", "+all lets everybody send": "-all",
                  "is another one": "postrider dkim check", "but that name has not this address": "IN PTR",
                  "192.0.2.9 is on zen.spamhaus.org": "take the address off",
                  "MAIL FROM of relay.test does not align with From of bad.test": "envelope.from"}
        for text, mend in faults.items():
            one = self.find(checks, text)
            self.assertEqual(one["verdict"], "fault", one)
            self.assertIn(mend, one["mend"])
            self.assertTrue(one["why"])
        for text in ("pct=50", "no rua=", "mx.bad.test does not have the address", "_mta-sts.bad.test has no record"):
            self.assertEqual(self.find(checks, text)["verdict"], "warning")

    def test_wide_records_and_reports_to_strangers(self):
        checks = self.checks("wide.test")
        for text in ("null MX", "ip4:10.0.0.0/8 covers more", "ptr is slow", "?all lets everybody", "other.test does not say"):
            self.assertEqual(self.find(checks, text)["verdict"], "warning")
        self.assertIn("wide.test._report._dmarc.other.test. IN TXT", self.find(checks, "other.test does not say")["mend"])

    def test_no_domain_and_no_answer(self):
        checks = self.checks("nothing.test")
        self.assertIn("v=spf1 mx -all", self.find(checks, "nothing.test has no SPF record")["mend"])
        self.assertIn("v=DMARC1; p=none", self.find(checks, "no DMARC record")["mend"])
        self.find(self.checks("away.test"), "no answer for away.test")
        self.assertEqual(self.run_doctor("no..domain").returncode, 64)

    def test_text_and_markdown(self):
        text = self.run_doctor("bad.test", "--ip", "192.0.2.9").stdout.decode()
        self.assertIn("mend: ", text)
        self.assertIn("include:i0.bad.test", text)
        self.assertNotIn("\033", text)
        rows = self.run_doctor("bad.test", "--markdown").stdout.decode().splitlines()
        self.assertTrue(all(row.startswith("|") and row.count("|") - row.count("\\|") == 6 for row in rows), rows)


if __name__ == "__main__":
    unittest.main()
