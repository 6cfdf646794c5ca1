# SPDX-License-Identifier: ISC
"""SPF: the test suite of RFC 7208 that comes with Debian's python3-spf, each case by postdoctor."""

import gzip
import json
import os
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.dirname(__file__))
from zones import FAIL, ZoneServer  # noqa: E402

BUILD = os.environ.get("POSTRIDER_BUILD", os.path.join(os.path.dirname(__file__), "../../build"))
SUITE = "/usr/share/doc/python3-spf/rfc7208-tests.yml.gz"
CASES = 203


def check_spf(server, address, helo, sender):
    done = subprocess.run([f"{BUILD}/sbin/postdoctor", "spf", "--ip", address, "--helo", helo, "--sender", sender,
                           "--json", "--dns", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if not done.stdout:
        raise AssertionError(f"postdoctor: status {done.returncode}, {done.stderr.decode()}")
    return json.loads(done.stdout)


def zone_of(data):
    """The suite's form: a record SPF stands for TXT too where no TXT is given."""
    zone = {}
    for name, records in data.items():
        out, spf, has_txt = [], [], False
        for record in records:
            if record == "TIMEOUT":
                out.append(FAIL)
                continue
            for kind, value in record.items():
                value = FAIL if value == "TIMEOUT" else value
                if kind == "SPF":
                    spf.append(("TXT", value))
                    continue
                has_txt = has_txt or kind == "TXT"
                if value != "NONE" and value != ["NONE"]:
                    out.append((kind, tuple(value) if kind == "MX" else value))
        zone[name.lower().rstrip(".")] = out + ([] if has_txt else spf)
    return zone


class Suite(unittest.TestCase):
    def test_all_cases(self):
        with gzip.open(SUITE) as f:
            scenarios = list(yaml.safe_load_all(f))
        seen = 0
        for scenario in scenarios:
            server = ZoneServer(zone_of(scenario["zonedata"]))
            self.addCleanup(server.close)
            for name, case in scenario["tests"].items():
                seen += 1
                with self.subTest(case=name):
                    answer = check_spf(server, case["host"], case["helo"], case.get("mailfrom") or "")
                    wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
                    self.assertIn(answer["result"], wanted, answer["reason"])
                    if case.get("explanation") == "DEFAULT":
                        self.assertEqual(answer["explanation_from"], "default")
                    elif case.get("explanation"):
                        self.assertEqual(answer["explanation"], case["explanation"])
                        self.assertEqual(answer["explanation_from"], "domain")
        self.assertEqual(seen, CASES)


if __name__ == "__main__":
    unittest.main()
