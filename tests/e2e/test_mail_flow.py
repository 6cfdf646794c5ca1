# SPDX-License-Identifier: ISC
"""Mail goes in by SMTP and sendmail, and comes out in a Maildir or at another server."""

import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402

USER = local_user()
BODY = b"Subject: test\r\nFrom: a@example.test\r\nTo: b@example.test\r\n\r\nline one\r\n..dotted\r\n.\x20\r\nlast\r\n"


class Sink:
    """Another mail server: keeps what it gets."""

    def __init__(self, refuse=None):
        self.messages = []
        self.refuse = refuse
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port,
                                     enable_SMTPUTF8=True, decode_data=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 taken"

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *unused):
        self.controller.stop()


def body_of(message):
    return message.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


class LocalDelivery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mta = Instance(aliases=f"postmaster: {USER}\nboss: {USER}, postmaster\n")
        try:
            cls.mta.start()
        except BaseException:
            cls.mta.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()

    def setUp(self):
        # What an earlier test sent is delivered before its mailbox goes.
        wait_until(lambda: self.mta.command("postqueue", "-p").stdout.startswith(b"Mail queue is empty"),
                   what="empty queue")
        shutil.rmtree(f"{self.mta.mail}/{USER}", ignore_errors=True)

    def test_smtp_to_maildir_byte_for_byte(self):
        with self.mta.smtp() as s:
            s.sendmail("a@example.test", [f"{USER}@example.test"], BODY)
        got = self.mta.wait_mail(USER)[0]
        self.assertEqual(body_of(got), body_of(BODY))
        self.assertIn(b"Return-Path: <a@example.test>", got)
        self.assertIn(b"Received: from ", got)
        self.mta.wait_log(": removed")

    def test_sendmail_command(self):
        self.mta.command("sendmail", "-f", "x@example.test", USER, stdin=b"Subject: hi\n\nbody\n")
        got = self.mta.wait_mail(USER)[0]
        self.assertEqual(body_of(got), b"body\n")
        for header in (b"\nDate: ", b"\nMessage-I", b"\nFrom: "):
            self.assertIn(header.lower(), got.lower())

    def test_sendmail_t_takes_recipients_from_the_header(self):
        self.mta.command("sendmail", "-t", stdin=f"To: {USER}@example.test\nBcc: {USER}\nSubject: t\n\nx\n".encode())
        got = self.mta.wait_mail(USER)[0]
        self.assertNotIn(b"Bcc:", got)

    def test_alias(self):
        with self.mta.smtp() as s:
            s.sendmail("a@example.test", ["postmaster@example.test"], BODY)
        self.mta.wait_mail(USER)

    def test_unknown_user_is_refused(self):
        with self.mta.smtp() as s:
            s.ehlo()
            s.mail("a@example.test")
            code, text = s.rcpt("nobody-here@example.test")
            self.assertEqual(code, 550)
            self.assertTrue(text.startswith(b"5.1.1"), text)

    def test_not_an_open_relay(self):
        self.assertIn("mynetworks", self.mta.settings)
        relay = Instance({"mynetworks": "192.0.2.0/24"}, name="norelay")
        try:
            relay.start()
            with relay.smtp() as s:
                s.ehlo()
                for address in ("x@elsewhere.test", "x%elsewhere.test@example.test",
                                "elsewhere.test!x@example.test", '"x@elsewhere.test"@example.test',
                                "@example.test:x@elsewhere.test"):
                    s.rset()
                    s.mail("a@example.test")
                    code, text = s.docmd(f"RCPT TO:<{address}>")
                    self.assertGreaterEqual(code, 400, (address, text))
        finally:
            relay.close()

    def test_eight_bit_and_smtputf8(self):
        with self.mta.smtp() as s:
            s.ehlo()
            self.assertTrue(s.has_extn("smtputf8"))
            body = "Subject: ü\r\n\r\ngrüße\r\n".encode()
            s.sendmail("ä@example.test", [f"{USER}@example.test"], body,
                       mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        self.assertEqual(body_of(self.mta.wait_mail(USER)[0]), "grüße\n".encode())


class Relay(unittest.TestCase):
    def relay(self, sink, count=1, **settings):
        settings["relayhost"] = f"[127.0.0.1]:{sink.port}"
        return Instance(settings)

    def test_relay_to_another_server(self):
        with Sink() as sink:
            mta = self.relay(sink)
            try:
                mta.start()
                with mta.smtp() as s:
                    s.sendmail("a@example.test", ["x@elsewhere.test", "y@elsewhere.test"], BODY)
                wait_until(lambda: sum(len(m[1]) for m in sink.messages) == 2, 30, "delivery\n" + mta.log())
                sender, _, content = sink.messages[0]
                self.assertEqual(sender, "a@example.test")
                self.assertEqual(body_of(content), body_of(BODY))
                wait_until(lambda: "status=sent" in mta.log() and ": removed" in mta.log(), 10, "removed")
            finally:
                mta.close()

    def test_refusal_returns_a_notice(self):
        with Sink(refuse="550 5.1.1 no such user") as sink:
            mta = self.relay(sink)
            try:
                mta.start()
                with mta.smtp() as s:
                    s.sendmail(f"{USER}@example.test", ["x@elsewhere.test"], BODY)
                notice = mta.wait_mail(USER)[0]
                self.assertIn(b"multipart/report", notice)
                self.assertIn(b"x@elsewhere.test", notice)
                self.assertIn(b"550 5.1.1 no such user", notice)
            finally:
                mta.close()

    def test_temporary_refusal_stays_queued_and_goes_on_flush(self):
        with Sink(refuse="451 4.2.0 later") as sink:
            mta = self.relay(sink)
            try:
                mta.start()
                with mta.smtp() as s:
                    s.sendmail("a@example.test", ["x@elsewhere.test"], BODY)
                mta.wait_log("status=deferred")
                listing = wait_until(lambda: (lambda o: o if b"x@elsewhere.test" in o else None)(
                    mta.command("postqueue", "-p").stdout), 10, "listing")
                self.assertIn(b"later", listing)
                sink.refuse = None
                mta.command("postqueue", "-f")
                wait_until(lambda: sink.messages, 30, "delivery\n" + mta.log())
            finally:
                mta.close()


if __name__ == "__main__":
    unittest.main()
