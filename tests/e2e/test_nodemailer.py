# SPDX-License-Identifier: ISC
"""nodemailer (npm) sends a message with an attachment: to a user here, and to the exchangers of another domain."""

import email
import email.policy
import os
import re
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_dns import NameServer  # noqa: E402
from test_mail_flow import Sink  # noqa: E402
from test_tls import Authority  # noqa: E402

NODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
USER = local_user()
ZONE = """$ORIGIN test.
$TTL 60
@ IN SOA ns.test. admin.test. 1 60 60 60 30
@ IN NS ns.test.
ns IN A 127.0.0.1
alive IN A 127.0.0.1
dead IN A 127.0.0.2
busy IN A 127.0.0.3
closed IN A 127.0.0.4
plain IN MX 10 alive.test.
first-dead IN MX 10 dead.test.
first-dead IN MX 20 alive.test.
first-busy IN MX 10 busy.test.
first-busy IN MX 20 alive.test.
first-closed IN MX 10 closed.test.
first-closed IN MX 20 alive.test.
"""


class Greeter:
    """A server that says one line to each client, hears its farewell and hangs up."""

    def __init__(self, address, port, line):
        self.line = line
        self.clients = 0
        self.listener = socket.create_server((address, port))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                self.clients += 1
                client.settimeout(20)
                try:
                    client.sendall(self.line + b"\r\n")
                    client.recv(1000)  # QUIT, or the end
                except OSError:
                    pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def without_trace(message):
    """The message below Return-Path, Received and the like that a server puts on top."""
    trace = rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To|Received):[^\n]*\n(?:[ \t][^\n]*\n)*)+"
    found = re.match(trace, message)
    return message[found.end():] if found else message


class NodemailerCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = NameServer(ZONE)
        cls.addClassCleanup(cls.dns.close)
        cls.sink = Sink()
        cls.sink.controller.start()
        cls.addClassCleanup(cls.sink.controller.stop)
        cls.busy = Greeter("127.0.0.3", cls.sink.port, b"421 4.3.2 busy.test too busy, try later")
        cls.addClassCleanup(cls.busy.close)
        cls.closed = Greeter("127.0.0.4", cls.sink.port, b"554 5.3.2 closed.test no service here")
        cls.addClassCleanup(cls.closed.close)
        cls.mta = Instance({"resolver_nameservers": f"127.0.0.1:{cls.dns.port}", "smtp_tcp_port": str(cls.sink.port)})
        cls.addClassCleanup(cls.mta.close)
        cls.mta.start()
        cls.attachment = cls.mta.dir + "/attachment"
        with open(cls.attachment, "wb") as f:
            f.write(bytes(range(256)) * 400 + b"end")

    def send(self, recipient, port=None, login=()):
        """Sends; returns the bytes that were sent, and the queue ID."""
        out = f"{self.mta.dir}/sent-{recipient}"
        self.assertTrue(os.path.isdir(NODE + "/node_modules/nodemailer"),
                        f"run npm ci in {NODE} (make check does)")
        done = subprocess.run(["node", "send.js", str(port or self.mta.port), "sender@example.test", recipient, self.attachment,
                               out, *login],
                              cwd=NODE, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + self.mta.log()[-3000:])
        queued = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\w+)\n", done.stdout.decode())
        self.assertTrue(queued, done.stdout)
        with open(out, "rb") as f:
            return f.read(), queued.group(1)

    def attached(self, message):
        parts = email.message_from_bytes(message, policy=email.policy.default).walk()
        return [p.get_payload(decode=True) for p in parts if p.get_filename() == "bytes.bin"]


class Nodemailer(NodemailerCase):
    def test_to_a_local_user(self):
        sent, queue_id = self.send(f"{USER}@example.test")
        self.assertGreater(len(sent), 130000)
        stored = self.mta.wait_mail(USER)[0]
        self.assertEqual(without_trace(stored), sent.replace(b"\r\n", b"\n"))
        with open(self.attachment, "rb") as f:
            self.assertEqual(self.attached(stored), [f.read()])
        trace = stored[:len(stored) - len(without_trace(stored))]
        self.assertIn(b"Return-Path: <sender@example.test>\n", trace)
        self.assertRegex(trace, rb"Received: from client\.example\.test \(localhost \[127\.0\.0\.1\]\)\n\tby mail\.example\.test "
                                rb"\(Postrider\) with ESMTP id " + queue_id.encode())
        self.mta.wait_log(f"{queue_id}: removed")

    def arrives(self, domain, relay):
        recipient = f"someone@{domain}"
        sent, queue_id = self.send(recipient)
        wait_until(lambda: any(recipient in m[1] for m in self.sink.messages), 30,
                   f"mail for {recipient}\n" + self.mta.log()[-4000:])
        sender, recipients, content = next(m for m in self.sink.messages if recipient in m[1])
        self.assertEqual((sender, recipients), ("sender@example.test", [recipient]))
        self.assertEqual(without_trace(content.replace(b"\r\n", b"\n")), sent.replace(b"\r\n", b"\n"))
        self.assertEqual(content.count(b"\n"), content.count(b"\r\n"))
        self.mta.wait_log(f"{queue_id}: removed")
        self.assertRegex(self.mta.log(), rf"{queue_id}: to=<{recipient}>, relay={relay}, .*dsn=2\.0\.0, status=sent")
        self.assertEqual(len([m for m in self.sink.messages if recipient in m[1]]), 1)
        return queue_id

    def alive(self):
        return rf"alive\.test\[127\.0\.0\.1\]:{self.sink.port}"

    def test_to_the_only_exchanger(self):
        self.arrives("plain.test", self.alive())

    def test_second_exchanger_when_the_first_refuses_the_connection(self):
        self.arrives("first-dead.test", self.alive())
        self.mta.wait_log(f"connect to dead.test[127.0.0.2]:{self.sink.port}: Connection refused")

    def test_second_exchanger_when_the_first_is_busy(self):
        before = self.busy.clients
        queue_id = self.arrives("first-busy.test", self.alive())
        self.assertEqual(self.busy.clients, before + 1)
        self.mta.wait_log(f"{queue_id}: host busy.test[127.0.0.3] refused to talk to me: 421 4.3.2 busy.test too busy, try later")

    def test_second_exchanger_when_the_first_gives_no_service(self):
        before = self.closed.clients
        queue_id = self.arrives("first-closed.test", self.alive())
        self.assertEqual(self.closed.clients, before + 1)
        self.mta.wait_log(f"{queue_id}: host closed.test[127.0.0.4] refused to talk to me: 554 5.3.2 closed.test no service here")


class Submission(NodemailerCase):
    """Over 465 and 587 (other ports here) with a password."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ca = Authority()
        cls.addClassCleanup(cls.ca.close)
        chain = cls.ca.dir + "/server.pem"
        cls.ca.issue(chain, "mail.example.test")
        cls.ports = {"wrapped": free_port(), "starttls": free_port()}
        mta, options = cls.mta, "  -o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n"
        mta.settings.update({"smtpd_tls_chain_files": chain, "smtpd_sasl_type": "table", "smtpd_sasl_password_maps": f"hash:{mta.etc}/users",
                             "smtpd_tls_auth_only": "yes"})
        mta.stop()
        mta.write_main_cf()
        with open(mta.etc + "/master.cf", "a") as f:
            f.write(f"127.0.0.1:{cls.ports['wrapped']} inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n{options}"
                    f"127.0.0.1:{cls.ports['starttls']} inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n{options}")
        open(mta.etc + "/users", "w").close()
        mta.command("postrider", "passwd", "add", "joe", stdin=b"secret\n")
        mta.start()

    def test_with_a_password(self):
        for mode in ("wrapped", "starttls"):
            recipient = f"{mode}@plain.test"
            sent, queue_id = self.send(recipient, self.ports[mode], (mode, self.ca.certificate, "joe", "secret"))
            wait_until(lambda r=recipient: any(r in m[1] for m in self.sink.messages), 30, "mail")
            content = next(m for m in self.sink.messages if recipient in m[1])[2]
            self.assertEqual(without_trace(content.replace(b"\r\n", b"\n")), sent.replace(b"\r\n", b"\n"))
            self.assertIn(b" with ESMTPSA id " + queue_id.encode(), content)
            self.assertRegex(self.mta.log(), rf"{queue_id}: client=\S+, sasl_method=PLAIN, sasl_username=joe")

    def test_with_a_wrong_password(self):
        for mode in ("wrapped", "starttls"):
            with self.assertRaisesRegex(AssertionError, "Invalid login: 535 5.7.8 "):
                self.send("x@plain.test", self.ports[mode], (mode, self.ca.certificate, "joe", "wrong"))


if __name__ == "__main__":
    unittest.main()
