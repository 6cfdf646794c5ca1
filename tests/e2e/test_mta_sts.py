# SPDX-License-Identifier: ISC
"""MTA-STS (RFC 8461) from end to end: records of a name server, policies of an HTTPS server, our client against our server."""

import http.server
import os
import ssl
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, wait_until  # noqa: E402
from test_dns import NameServer  # noqa: E402
from test_tls import Authority  # noqa: E402

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n"
NAMES = ("good", "wild", "testing", "unnamed", "other-cert", "missing", "moved", "html", "impostor", "short", "malformed", "huge")
PLAIN = "text/plain; charset=utf-8"


def zone():
    text = "$ORIGIN test.\n$TTL 60\n@ IN SOA ns admin 1 60 60 60 30\n@ IN NS ns\nns IN A 127.0.0.1\nmx IN A 127.0.0.1\nmx2 IN A 127.0.0.1\n"
    for name in NAMES + ("none", "two"):
        text += f"{name} IN MX 10 {'mx2' if name == 'other-cert' else 'mx'}\nmta-sts.{name} IN A 127.0.0.1\n"
        if name != "none":
            text += f'_mta-sts.{name} IN TXT "v=STSv1; id=1;"\n'
    return text + '_mta-sts.two IN TXT "v=STSv1; id=2;"\n_mta-sts.good IN TXT "something else"\n'


class Policies:
    """What the HTTPS server says, by the name that it is asked for."""

    def __init__(self, ca):
        def policy(mode="enforce", mx="mx.test", age=86400):
            return 200, PLAIN, POLICY.format(mode=mode, mx=mx, age=age)
        self.answers = {
            "good": policy(), "wild": policy(mx="*.test"), "testing": policy("testing", "elsewhere.test"), "unnamed": policy(mx="elsewhere.test"),
            "other-cert": policy(mx="mx2.test"), "missing": (404, PLAIN, ""), "moved": (301, PLAIN, ""),
            "html": (200, "text/html", POLICY.format(mode="enforce", mx="elsewhere.test", age=60)),
            "impostor": policy(mx="elsewhere.test"), "short": policy(age=2), "malformed": (200, PLAIN, "version: STSv1\nmode: enforce\n"),
            "huge": (200, PLAIN, POLICY.format(mode="enforce", mx="elsewhere.test", age=60) + "x: y\n" * 20000), "two": policy(mx="elsewhere.test"),
        }
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.headers["Host"].split(".")[1]
                outer.asked.append((name, self.path))
                code, kind, text = outer.answers[name]
                self.send_response(code)
                self.send_header("Content-Type", kind)
                if code == 301:
                    self.send_header("Location", self.path.replace("mta-sts.txt", "again.txt"))
                self.end_headers()
                try:
                    self.wfile.write(text.encode())
                except OSError:
                    pass

            def log_message(self, *unused):
                pass

        contexts = {}
        for name in self.answers:
            path = f"{ca.dir}/{name}.pem"
            ca.issue(path, f"mta-sts.{'other' if name == 'impostor' else name}.test")
            contexts[f"mta-sts.{name}.test"] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
        first = contexts["mta-sts.good.test"]

        def choose(sock, name, _):
            sock.context = contexts.get(name, first)
        first.sni_callback = choose
        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.socket = first.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *unused: None
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        if self.thread:
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
            self.thread = None


class MtaSts(unittest.TestCase):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        chain = self.ca.dir + "/server.pem"
        self.ca.issue(chain, "mx.test")
        receiver = {"mydestination": "", "default_transport": "discard"}
        self.server = Instance(dict(receiver, smtpd_tls_security_level="may", smtpd_tls_chain_files=chain))
        self.addCleanup(self.server.close)
        self.server.start()
        self.policies = Policies(self.ca)
        self.addCleanup(self.policies.close)
        self.dns = NameServer(zone())
        self.addCleanup(self.dns.close)

    def sender(self, port=None, **settings):
        mta = Instance(dict({"mydestination": "", "smtp_tls_security_level": "may", "smtp_mta_sts": "yes", "smtp_tls_loglevel": "1",
                             "smtp_tls_CAfile": self.ca.certificate, "mta_sts_CAfile": self.ca.certificate,
                             "mta_sts_port": str(self.policies.port), "resolver_nameservers": f"127.0.0.1:{self.dns.port}",
                             "smtp_tcp_port": str(port or self.server.port), "inet_protocols": "ipv4"}, **settings), name="out")
        self.addCleanup(mta.close)
        return mta.start()

    @staticmethod
    def send(mta, *domains):
        before = mta.log().count("status=")
        for domain in domains:
            with mta.smtp() as s:
                s.sendmail("a@example.test", [f"x@{domain}"], "Subject: x\r\n\r\nx\r\n")
        try:
            wait_until(lambda: mta.log().count("status=") >= before + len(domains), 60, "results")
        except AssertionError as e:
            raise AssertionError(str(e) + mta.log()[-6000:]) from None
        return {d: [line for line in mta.log().splitlines() if f"to=<x@{d}>, " in line][-1].split("status=", 1)[1] for d in domains}

    def test_modes(self):
        mta = self.sender()
        status = self.send(mta, "good.test", "wild.test", "testing.test", "none.test", "two.test")
        for name in status:
            self.assertTrue(status[name].startswith("sent"), (status, mta.log()))
        self.assertEqual(mta.log().count("Verified TLS connection established to mx.test"), 2)
        self.assertIn("MTA-STS policy of testing.test (testing) does not name mx.test", mta.log())
        self.assertNotIn(("two", "/.well-known/mta-sts.txt"), self.policies.asked)
        status = self.send(mta, "unnamed.test", "other-cert.test")
        self.assertEqual(status["unnamed.test"], "deferred (the domain's MTA-STS policy does not name mx.test)")
        self.assertEqual(status["other-cert.test"], "deferred (Server certificate not verified)")

    def test_policies_that_are_none(self):
        mta = self.sender()
        names = [f"{n}.test" for n in ("missing", "moved", "html", "impostor", "malformed", "huge")]
        status = self.send(mta, *names)
        for name in names:
            self.assertTrue(status[name].startswith("sent"), (status, mta.log()))
            self.assertIn(f"MTA-STS policy of {name} cannot be fetched: ", mta.log())
        self.assertEqual({path for _, path in self.policies.asked}, {"/.well-known/mta-sts.txt"})
        # Not again for each message.
        asked = len(self.policies.asked)
        self.send(mta, *names)
        self.assertEqual(len(self.policies.asked), asked)

    def test_starttls_that_was_taken_out(self):
        plain = Instance({"mydestination": "", "default_transport": "discard"}, name="plain")
        self.addCleanup(plain.close)
        plain.start()
        mta = self.sender(plain.port)
        status = self.send(mta, "good.test", "testing.test")
        self.assertTrue(status["good.test"].startswith("deferred (TLS is required, but was not offered by host mx.test"), status)
        self.assertTrue(status["testing.test"].startswith("sent"), status)

    def test_the_cache_outlives_the_process(self):
        mta = self.sender()
        self.send(mta, "good.test")
        path = mta.dir + "/lib/mta_sts_cache"
        wait_until(lambda: os.path.getsize(path) > 20, 30, "the cache on disk")
        self.policies.close()
        mta.stop()
        mta.start()
        self.assertTrue(self.send(mta, "good.test")["good.test"].startswith("sent"))
        self.assertEqual(mta.log().count("Verified TLS connection established to mx.test"), 2)
        # What is damaged is none.
        mta.stop()
        with open(path, "r+b") as f:
            text = f.read()
            f.seek(text.index(b"mode: enforce"))
            f.write(b"mode: testing")
        mta.start()
        self.send(mta, "good.test")
        mta.wait_log("MTA-STS policy of good.test cannot be fetched: ")

    def test_policies_are_fetched_again_before_they_end(self):
        mta = self.sender()
        self.send(mta, "short.test")
        wait_until(lambda: len([1 for name, _ in self.policies.asked if name == "short"]) >= 3, 30, "three fetches")

    def test_a_table_comes_first(self):
        mta = self.sender(smtp_tls_policy_maps="inline:{unnamed.test=may}")
        self.assertTrue(self.send(mta, "unnamed.test")["unnamed.test"].startswith("sent"))


if __name__ == "__main__":
    unittest.main()
