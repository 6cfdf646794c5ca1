# SPDX-License-Identifier: ISC
"""What other people's programs find at our TLS: testssl.sh, and Postfix's posttls-finger."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_tls import TlsTest  # noqa: E402

# Not ours to mend in a test: its authority is made up, and nobody revokes what it signs.
OF_THE_TEST = {"cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL", "cert_trust", "cert_notAfter",
               "cert_expirationStatus", "DNS_CAArecord"}
BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")


class Tools(TlsTest):
    def testssl(self, *options):
        out = self.ca.dir + "/findings.json"
        if os.path.exists(out):
            os.unlink(out)
        subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", "--nodns", "none", "--phone-out=false",
                        "--jsonfile", out, "-p", "-S", "-P", "-U", "-f", "--add-ca", self.ca.certificate, *options],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=560)
        with open(out) as f:
            findings = json.load(f)
        self.assertTrue(any(f["id"] == "TLS1_3" and "offered" in f["finding"] for f in findings), findings[:20])
        return [f for f in findings if f["severity"] in BAD and f["id"] not in OF_THE_TEST and not f["id"].startswith("scanProblem")]

    def test_starttls(self):
        self.assertEqual(self.testssl("--starttls", "smtp", f"localhost:{self.mta.port}"), [])

    def test_wrapped(self):
        self.assertEqual(self.testssl(f"localhost:{self.wrapped}"), [])

    def finger(self, *options):
        return subprocess.run(["posttls-finger", "-c", "-o", "inet_protocols=ipv4", "-F", self.ca.certificate, *options], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)

    def test_posttls_finger(self):
        for options in (("-w", f"[127.0.0.1]:{self.wrapped}"), (f"[127.0.0.1]:{self.mta.port}",)):
            done = self.finger("-l", "secure", *options, "mail.example.test")
            self.assertIn("Verified TLS connection established to 127.0.0.1", done.stdout + done.stderr)
            self.assertEqual(done.returncode, 0)
            done = self.finger("-l", "secure", *options, "mail.elsewhere.test")
            self.assertNotIn("Verified", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
