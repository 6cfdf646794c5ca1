# SPDX-License-Identifier: ISC
"""DANE (RFC 7672) from end to end: zones signed by knot, validated by unbound, our client against our server."""

import hashlib
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, local_user  # noqa: E402
from signed_dns import SignedDns  # noqa: E402
from test_tls import Authority, openssl  # noqa: E402

USER = local_user()

# NAME has MX mx-NAME, except where it says otherwise.
HOSTS = ("key", "cert", "full", "authority", "wrong", "other-name", "both", "none", "unusable", "lame")


def zone(port, plain, own, key, certificate, authority, full):
    """`own` stands for the digest of nothing that there is."""
    text = ""
    records = {
        "key": [f"3 1 1 {key}"], "cert": [f"3 0 1 {certificate}"], "full": [f"3 0 0 {full}"], "authority": [f"2 0 1 {authority}"],
        "wrong": [f"3 1 1 {own}"], "other-name": [f"2 0 1 {authority}"], "both": [f"3 1 1 {own}", f"3 1 1 {key}"], "none": [],
        "unusable": [f"1 1 1 {own}"], "lame": [],
    }
    for name in HOSTS:
        text += f"{name} IN MX 10 mx-{name}\nmx-{name} IN A 127.0.0.1\n{name} IN TXT \"x\"\n"
        for record in records[name]:
            for p in (port, plain):
                text += f"_{p}._tcp.mx-{name} IN TLSA {record}\n"
    # The server's names of a lookup that fails: nobody answers there.
    text += "_tcp.mx-lame IN NS ns.dead\nns.dead IN A 127.0.0.9\n"
    # RFC 7672, section 2.2.2: the records of the name behind the alias.
    text += "alias IN MX 10 mx-alias\nmx-alias IN CNAME mx-key\n"
    text += "via-forged IN MX 10 mx.forged.\nvia-plain IN MX 10 mx.plain.\n"
    # A zone that nobody has signed.
    text += "unsigned IN MX 10 mx-key\n"
    return text


class Dane(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ca = Authority()
        cls.addClassCleanup(cls.ca.close)
        chain = cls.ca.dir + "/server.pem"
        cls.ca.issue(chain, "mx-authority.test")
        with open(chain, "ab") as out, open(cls.ca.certificate, "rb") as f:
            shutil.copyfileobj(f, out)
        cls.server = Instance({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": chain, "mydestination": "",
                               "default_transport": "discard", "relay_domains": "test plain"})
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.plain = Instance({"mydestination": "", "default_transport": "discard"}, name="plain")
        cls.addClassCleanup(cls.plain.close)
        cls.plain.start()
        pub = openssl("x509", "-in", chain, "-noout", "-pubkey")
        der = openssl("x509", "-in", chain, "-outform", "DER")
        digest = lambda data: hashlib.sha256(data).hexdigest()  # noqa: E731
        text = zone(cls.server.port, cls.plain.port, digest(b"another"), digest(openssl("pkey", "-pubin", "-outform", "DER", stdin=pub)),
                    digest(der), digest(openssl("x509", "-in", cls.ca.certificate, "-outform", "DER")), der.hex())
        mx = f"mx IN A 127.0.0.1\n_{cls.server.port}._tcp.mx IN TLSA 3 1 1 {digest(b'another')}\n"
        cls.dns = SignedDns({"test": (text, True), "forged": (mx, True), "plain": ("@ IN MX 10 mx\n" + mx, False)},
                            anchors={"forged": f"forged. DS 12345 13 2 {digest(b'no key of theirs')}"})
        cls.addClassCleanup(cls.dns.close)

    def send(self, *domains, level="dane", port=None, **settings):
        """To these domains; the log when all have been reported."""
        mta = Instance(dict({"mydestination": "", "smtp_tls_security_level": level, "smtp_tls_loglevel": "1",
                             "resolver_nameservers": f"127.0.0.1:{self.dns.port}", "smtp_tcp_port": str(port or self.server.port),
                             "inet_protocols": "ipv4"}, **settings), name="out")
        self.addCleanup(mta.close)
        mta.start()
        for domain in domains:
            with mta.smtp() as s:
                s.sendmail("a@example.test", [f"x@{domain}"], "Subject: x\r\n\r\nx\r\n")
        for domain in domains:
            mta.wait_log(f"to=<x@{domain}>, ", 60)
        log = mta.log()
        return {d: next(line.split("status=", 1)[1] for line in log.splitlines() if f"to=<x@{d}>, " in line) for d in domains}, log

    def test_servers_that_prove_it(self):
        names = ["key.test", "cert.test", "full.test", "authority.test", "both.test", "alias.test"]
        status, log = self.send(*names, level="dane-only")
        for name in names:
            self.assertTrue(status[name].startswith("sent"), (name, status[name], self.dns.text()[-3000:]))
        self.assertEqual(log.count("Verified TLS connection established to mx-"), len(names), log)

    def test_servers_that_do_not(self):
        status, log = self.send("wrong.test", "other-name.test")
        for name in status:
            self.assertTrue(status[name].startswith("deferred (Server certificate not "), status)
        self.assertNotIn("Verified", log)

    def test_without_records(self):
        status, log = self.send("none.test", "unusable.test", "plain")
        for name in status:
            self.assertTrue(status[name].startswith("sent"), (status, log))
        self.assertNotIn("Verified", log)
        status, _ = self.send("none.test", "unusable.test", "plain", level="dane-only")
        for name in status:
            self.assertTrue(status[name].startswith("deferred (no TLSA records found"), status)

    def test_forged_answers_and_lookups_that_fail(self):
        status, _ = self.send("via-forged.test", "lame.test", "forged")
        self.assertIn("deferred (TLSA lookup error for mx-lame.test", status["lame.test"])
        for name in ("via-forged.test", "forged"):
            self.assertIn("deferred (Host or domain name not found. Name service error", status[name])

    def test_starttls_that_was_taken_out(self):
        """Records promise TLS, also those that nobody can use."""
        status, _ = self.send("key.test", "unusable.test", port=self.plain.port)
        for name in status:
            self.assertTrue(status[name].startswith("deferred (TLS is required, but was not offered by host mx-"), status)
        status, _ = self.send("none.test", port=self.plain.port)
        self.assertTrue(status["none.test"].startswith("sent"), status)


if __name__ == "__main__":
    unittest.main()
