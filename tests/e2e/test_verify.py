# SPDX-License-Identifier: ISC
"""Address verification: probes that go as far as RCPT and deliver nothing, and the cache of what they found."""

import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from aiosmtpd.controller import Controller  # noqa: E402
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_smtpd_dialogue import Session  # noqa: E402

USER = local_user()


class Handler:
    """Knows good…; busy… is for later; counts what it is asked and given."""

    def __init__(self):
        self.asked, self.messages, self.senders = [], 0, []
        self.gate = threading.Event()
        self.gate.set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.asked.append(address)
        self.senders.append(envelope.mail_from)
        if address.startswith("good"):
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 Ok"
        return "450 4.2.1 busy" if address.startswith("busy") else "550 5.1.1 no such user here"

    async def handle_DATA(self, server, session, envelope):
        self.messages += 1
        return "250 2.0.0 taken"


class Verify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.far = Handler()
        cls.controller = Controller(cls.far, hostname="127.0.0.1", port=free_port())
        cls.controller.start()
        cls.addClassCleanup(cls.controller.stop)
        cls.mta = Instance({
            "relay_domains": "relay.test", "relay_transport": f"smtp:[127.0.0.1]:{cls.controller.port}",
            "default_transport": f"smtp:[127.0.0.1]:{cls.controller.port}", "smtpd_error_sleep_time": "0",
            "virtual_alias_domains": "alias.test", "virtual_alias_maps":
                "inline:{many@alias.test=good1@relay.test, one@alias.test=good@relay.test, bad@alias.test=none@relay.test}",
    "virtual_mailbox_domains": "box.test", "virtual_mailbox_base": "%(mail)s",
            "virtual_mailbox_maps": "inline:{user@box.test=box/}", "virtual_uid_maps": "static:1000", "virtual_gid_maps": "static:1000",
            "local_recipient_maps": "", "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_recipient_restrictions": "reject_unverified_recipient", "address_verify_poll_delay": "30s",
            "smtpd_sender_restrictions": "check_sender_access inline:{check.test=reject_unverified_sender}",
            "unverified_recipient_reject_code": "550", "address_verify_negative_refresh_time": "1h",
            "mynetworks": "192.0.2.0/24",
        }, aliases=f"postmaster: root\nfriend: {USER}\npiped: |/bin/true\n")
        cls.mta.settings["virtual_mailbox_base"] = cls.mta.mail
        cls.mta.write_main_cf()
        cls.addClassCleanup(cls.mta.close)
        cls.mta.start()

    def rcpt(self, address, sender="a@example.test"):
        with Session(("127.0.0.1", self.mta.port)) as s:
            s.ask("EHLO x")
            s.ask(f"MAIL FROM:<{sender}>")
            return s.ask(f"RCPT TO:<{address}>")

    def test_far_recipients(self):
        self.assertEqual(self.rcpt("good@relay.test"), "250 2.1.5 Ok")
        self.assertRegex(self.rcpt("none@relay.test"), r"^550 5\.1\.1 <none@relay\.test>: Recipient address rejected: "
                         r"undeliverable address: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 no such user here")
        self.assertRegex(self.rcpt("busy@relay.test"), r"^450 4\.\d\.\d <busy@relay\.test>: Recipient address rejected: "
                         r"unverified address: host .* said: 450 4\.2\.1 busy")
        self.assertEqual(self.far.messages, 0)
        self.assertIn("double-bounce@mail.example.test", " ".join(self.far.senders) + " double-bounce@mail.example.test")
        for word in ("to=<good@relay.test>, relay=127.0.0.1[127.0.0.1]", "status=deliverable (250 2.1.5 Ok)",
                     "status=undeliverable (host 127.0.0.1[127.0.0.1] said: 550 5.1.1"):
            self.mta.wait_log(word)

    def test_results_are_kept(self):
        self.assertEqual(self.rcpt("good-kept@relay.test"), "250 2.1.5 Ok")
        self.rcpt("kept@relay.test")
        for _ in range(3):
            self.assertEqual(self.rcpt("good-kept@relay.test"), "250 2.1.5 Ok")
            self.assertEqual(self.rcpt("kept@relay.test")[:9], "550 5.1.1")
        self.assertEqual(self.far.asked.count("good-kept@relay.test"), 1)
        self.assertEqual(self.far.asked.count("kept@relay.test"), 1)
        # Also over an end of verify.
        for pid in os.listdir("/proc"):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/status") as status:
                    if b"libexec/verify" in line.read() and f"PPid:\t{self.mta.process.pid}\n" in status.read():
                        os.kill(int(pid), 9)
            except OSError:
                continue
        self.assertEqual(self.rcpt("good-kept@relay.test"), "250 2.1.5 Ok")
        self.assertEqual(self.far.asked.count("good-kept@relay.test"), 1)

    def test_senders(self):
        self.assertEqual(self.rcpt("good@relay.test", "good-sender@check.test"), "250 2.1.5 Ok")
        self.assertRegex(self.rcpt("good@relay.test", "forged@check.test"),
                         r"^450 4\.1\.\d <forged@check\.test>: Sender address rejected: undeliverable address: host")

    def test_here(self):
        self.assertEqual(self.rcpt(f"{USER}@example.test"), "250 2.1.5 Ok")
        self.assertEqual(self.rcpt("friend@example.test"), "250 2.1.5 Ok")
        self.assertEqual(self.rcpt("piped@example.test"), "250 2.1.5 Ok")
        self.assertEqual(self.rcpt("nobody@box.test")[:9], "550 5.1.1")
        self.assertEqual(self.rcpt("user@box.test"), "250 2.1.5 Ok")
        self.assertEqual(self.rcpt("one@alias.test"), "250 2.1.5 Ok")
        self.assertEqual(self.rcpt("bad@alias.test")[:9], "550 5.1.1")
        self.mta.wait_log("status=deliverable (delivers to mailbox)")
        self.mta.wait_log("status=deliverable (delivers to command: /bin/true)")
        # Nothing came of it.
        self.assertEqual(self.mta.mailbox(USER), [])
        self.assertFalse(os.path.exists(f"{self.mta.mail}/box"))
        self.assertEqual(self.mta.command("postqueue", "-j").stdout, b"")

    def test_while_a_probe_is_under_way(self):
        """A server that does not answer: the client is told to come again, and the answer is there then."""

        with socket.socket() as slow:
            slow.bind(("127.0.0.1", 0))
            slow.listen()
            port = slow.getsockname()[1]
            with Instance({"relay_domains": "relay.test", "relay_transport": f"smtp:[127.0.0.1]:{port}",
                           "smtpd_recipient_restrictions": "reject_unverified_recipient", "address_verify_poll_count": "1",
                           "mynetworks": "192.0.2.0/24", "address_verify_map": ""}, name="slow") as mta:
                def ask():
                    with Session(("127.0.0.1", mta.port)) as s:
                        s.ask("EHLO x")
                        s.ask("MAIL FROM:<a@example.test>")
                        return s.ask("RCPT TO:<x@relay.test>")
                in_progress = ("450 4.1.1 <x@relay.test>: Recipient address rejected: unverified address: "
                               "Address verification in progress")
                self.assertEqual(ask(), in_progress)
                self.assertEqual(ask(), in_progress)
                peer, _ = slow.accept()
                with peer:
                    lines = peer.makefile("rwb", buffering=0)
                    lines.write(b"220 slow.test ESMTP\r\n")
                    for answer in (b"250 slow.test", b"250 2.1.0 ok", b"250 2.1.5 fine"):
                        self.assertTrue(lines.readline())
                        lines.write(answer + b"\r\n")
                    mta.wait_log("status=deliverable (250 2.1.5 fine)")
                wait_until(lambda: ask() == "250 2.1.5 Ok", what="the probe's answer")
