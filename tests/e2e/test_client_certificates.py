# SPDX-License-Identifier: ISC
"""Clients that show a certificate: who may relay by it, and what access tables say of it."""

import hashlib
import os
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_tls import Authority, TlsTest, openssl  # noqa: E402

FAR = "x@elsewhere.test"


def colons(digest):
    return ":".join(f"{b:02X}" for b in digest)


class Certificates(TlsTest):
    settings = {"smtpd_tls_ask_ccert": "yes", "smtpd_tls_CAfile": "", "mynetworks": "192.0.2.0/24", "default_transport": "discard",
                "smtpd_tls_fingerprint_digest": "sha256", "relay_clientcerts": "", "smtpd_error_sleep_time": "0",
                "smtpd_relay_restrictions": "permit_tls_clientcerts, reject_unauth_destination",
                "smtpd_client_restrictions": ""}

    def prepare(self):
        self.other = Authority()
        self.addCleanup(self.other.close)
        self.fingerprints, self.key_fingerprints = {}, {}
        for name, ca in (("listed", self.other), ("by-key", self.other), ("trusted", self.ca), ("refused", self.ca)):
            path = f"{self.ca.dir}/{name}.pem"
            ca.issue(path, f"{name}.client.test")
            der = openssl("x509", "-in", path, "-outform", "DER")
            self.fingerprints[name] = colons(hashlib.sha256(der).digest())
            key = openssl("pkey", "-pubin", "-outform", "DER", stdin=openssl("x509", "-in", path, "-noout", "-pubkey"))
            self.key_fingerprints[name] = colons(hashlib.sha256(key).digest())
        table = {self.fingerprints["listed"]: "x", self.key_fingerprints["by-key"]: "x"}
        access = {self.fingerprints["refused"]: "REJECT not with this certificate"}
        for name, rows in (("relay", table), ("access", access)):
            with open(f"{self.mta.etc}/{name}", "w") as f:
                f.writelines(f"{k} {v}\n" for k, v in rows.items())
            self.mta.command("postmap", f"hash:{self.mta.etc}/{name}")
        self.mta.settings.update({"smtpd_tls_CAfile": self.ca.certificate, "relay_clientcerts": f"hash:{self.mta.etc}/relay",
                                  "smtpd_client_restrictions": f"check_ccert_access hash:{self.mta.etc}/access"})
        self.mta.write_main_cf()

    def rcpt(self, name, *settings):
        s = self.plain()
        context = ssl.create_default_context(cafile=self.ca.certificate)
        if name:
            context.load_cert_chain(f"{self.ca.dir}/{name}.pem")
        s.starttls(context=context)
        s.ehlo("client.test")
        s.mail("a@far.test")
        code, text = s.rcpt(FAR)
        s.quit()
        return code, text.decode()

    def test_who_may_relay(self):
        self.assertEqual(self.rcpt("listed")[0], 250)
        self.assertEqual(self.rcpt("by-key")[0], 250)
        for name in ("trusted", None):
            self.assertEqual(self.rcpt(name), (554, f"5.7.1 <{FAR}>: Relay access denied"), name)
        code, text = self.rcpt("refused")
        self.assertEqual(code, 554)
        self.assertIn("Client certificate rejected: not with this certificate", text)

    def test_whoever_is_trusted(self):
        self.mta.settings["smtpd_relay_restrictions"] = "permit_tls_all_clientcerts, reject_unauth_destination"
        self.mta.write_main_cf()
        self.mta.stop()
        self.mta.start()
        self.assertEqual(self.rcpt("trusted")[0], 250)
        self.assertEqual(self.rcpt("listed")[0], 554)
        self.assertEqual(self.rcpt(None)[0], 554)


if __name__ == "__main__":
    unittest.main()
