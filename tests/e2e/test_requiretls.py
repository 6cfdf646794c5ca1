# SPDX-License-Identifier: ISC
"""REQUIRETLS (RFC 8689): offered over TLS, kept, handed on over verified TLS only, and given up where that cannot be."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance  # noqa: E402
from test_tls import MESSAGE, Authority  # noqa: E402

import smtplib  # noqa: E402
import ssl  # noqa: E402


class RequireTls(unittest.TestCase):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.chain = self.ca.dir + "/server.pem"
        self.ca.issue(self.chain, "localhost")

    def instance(self, name, **settings):
        mta = Instance(dict({"mydestination": "", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": self.chain,
                             "smtp_tls_loglevel": "1", "relay_domains": "elsewhere.test"}, **settings), name=name)
        self.addCleanup(mta.close)
        return mta.start()

    def send(self, mta, options=("REQUIRETLS",), text=MESSAGE):
        context = ssl.create_default_context(cafile=self.ca.certificate)
        with smtplib.SMTP("127.0.0.1", mta.port, timeout=30) as s:
            s._host = "localhost"
            s.ehlo()
            self.assertNotIn("requiretls", s.esmtp_features)
            self.assertEqual(s.docmd("MAIL", "FROM:<a@example.test> REQUIRETLS")[0], 555)
            s.starttls(context=context)
            s.ehlo()
            self.assertIn("requiretls", s.esmtp_features)
            s.sendmail("a@example.test", ["x@elsewhere.test"], text, mail_options=list(options))

    def test_over_two_hops(self):
        last = self.instance("last", default_transport="discard")
        middle = self.instance("middle", relayhost=f"[localhost]:{last.port}", smtp_host_lookup="native", smtp_tls_security_level="may",
                               smtp_tls_CAfile=self.ca.certificate)
        first = self.instance("first", relayhost=f"[localhost]:{middle.port}", smtp_tls_security_level="may", smtp_tls_CAfile=self.ca.certificate)
        self.send(first)
        for mta in (first, middle):
            mta.wait_log("Verified TLS connection established to localhost[127.0.0.1]")
            mta.wait_log("status=sent")

    def test_a_next_hop_without_it(self):
        """The flag has gone over the first hop: the second one gives the message up."""
        plain = self.instance("plain", smtpd_tls_security_level="none", default_transport="discard")
        middle = self.instance("middle", relayhost=f"[127.0.0.1]:{plain.port}")
        first = self.instance("first", relayhost=f"[localhost]:{middle.port}", smtp_tls_security_level="may", smtp_tls_CAfile=self.ca.certificate)
        self.send(first)
        middle.wait_log("dsn=5.7.30, status=bounced (REQUIRETLS, and TLS is not configured here)")
        # Other mail goes on.
        self.send(first, options=())
        middle.wait_log("status=sent")

    def test_a_server_that_nobody_vouches_for(self):
        last = self.instance("last", default_transport="discard")
        first = self.instance("first", relayhost=f"[localhost]:{last.port}", smtp_tls_security_level="may", inet_protocols="ipv4")
        self.send(first)
        first.wait_log("status=deferred (Server certificate not trusted)")


if __name__ == "__main__":
    unittest.main()
