# SPDX-License-Identifier: ISC
"""What restrictions do to mail, to the log and to a running system; what they answer is in tests/compat."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from instance import Instance, local_user, wait_until  # noqa: E402
from policy import PolicyServer  # noqa: E402
from test_mail_flow import Sink  # noqa: E402
from test_smtpd_dialogue import GO_ON, OK, Session  # noqa: E402

USER = local_user()
HERE = f"{USER}@example.test"


class Effects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.sink.controller.start()
        cls.addClassCleanup(cls.sink.controller.stop)
        cls.mta = Instance({"smtpd_error_sleep_time": "0", "smtpd_sender_restrictions": "check_sender_access hash:%/access",
                            "smtpd_end_of_data_restrictions": "check_sender_access inline:{ {late@x.test = HOLD} }",
                            "smtpd_log_access_permit_actions": "static:all"},
                           aliases=f"postmaster: {USER}\nother: {USER}\n")
        for key, value in cls.mta.settings.items():
            cls.mta.settings[key] = value.replace("%/", cls.mta.etc + "/")
        cls.mta.write_main_cf()
        cls.write_table(f"filter@x.test FILTER smtp:[127.0.0.1]:{cls.sink.port}\nredirect@x.test REDIRECT far@elsewhere.test\n"
                        f"hold@x.test HOLD\ndiscard@x.test DISCARD silently\nprepend@x.test PREPEND X-First: seen here\n"
                        f"bcc@x.test BCC other@example.test\nwarn@x.test WARN look at this\ninfo@x.test INFO noted\n")
        cls.addClassCleanup(cls.mta.close)
        cls.mta.start()

    @classmethod
    def write_table(cls, text):
        with open(cls.mta.etc + "/access", "w") as f:
            f.write(text)
        cls.mta.command("postmap", f"hash:{cls.mta.etc}/access")

    def setUp(self):
        self.mta.command("postsuper", "-d", "ALL")

    def send(self, sender, recipient=HERE):
        """The queue ID."""
        with Session(("127.0.0.1", self.mta.port)) as s:
            for command in ("EHLO x", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"):
                self.assertEqual(s.ask(command)[:3], "250", command)
            self.assertEqual(s.ask("DATA"), GO_ON)
            s.send(f"Subject: {sender}\r\n\r\nx\r\n.\r\n".encode())
            reply = s.reply()[0]
            self.assertRegex(reply, "^250 2.0.0 Ok: queued as ")
            return reply.split()[-1]

    def queue(self):
        return [json.loads(line) for line in self.mta.command("postqueue", "-j").stdout.splitlines()]

    def got(self, sender):
        return [m for m in self.mta.mailbox(USER) if f"Subject: {sender}".encode() in m]

    def test_hold(self):
        for sender in ("hold@x.test", "late@x.test"):
            queue_id = self.send(sender)
            self.assertEqual([m["queue_name"] for m in self.queue() if m["queue_id"] == queue_id], ["hold"])
        self.mta.wait_log("hold: RCPT from localhost[127.0.0.1]: <hold@x.test>: Sender address triggers HOLD action")
        self.mta.wait_log(f"{queue_id}: hold: END-OF-MESSAGE from localhost[127.0.0.1]: <late@x.test>: Sender address triggers HOLD")

    def test_discard(self):
        self.send("discard@x.test")
        self.mta.wait_log("discard: RCPT from localhost[127.0.0.1]: <discard@x.test>: Sender address silently;")
        self.send("after@x.test")
        wait_until(lambda: self.got("after@x.test"), what="the next message")
        self.assertEqual(self.got("discard@x.test"), [])

    def test_filter_and_redirect(self):
        self.send("filter@x.test")
        wait_until(lambda: [m for m in self.sink.messages if b"Subject: filter@x.test" in m[2]], what="message at the filter")
        queue_id = self.send("redirect@x.test")
        self.mta.wait_log(f"{queue_id}: to=<far@elsewhere.test>")
        self.assertEqual(self.got("redirect@x.test") + self.got("filter@x.test"), [])

    def test_prepend(self):
        self.send("prepend@x.test")
        message = wait_until(lambda: self.got("prepend@x.test"), what="message")[0]
        self.assertLess(message.index(b"X-First: seen here\n"), message.index(b"Subject: "))

    def test_bcc(self):
        self.send("bcc@x.test")
        wait_until(lambda: len(self.got("bcc@x.test")) == 2, what="both copies")

    def test_warn_and_info(self):
        self.send("warn@x.test")
        self.send("info@x.test")
        self.mta.wait_log("warn: RCPT from localhost[127.0.0.1]: <warn@x.test>: Sender address look at this; from=<warn@x.test>")
        self.mta.wait_log("info: RCPT from localhost[127.0.0.1]: <info@x.test>: Sender address noted; from=<info@x.test>")

    def test_table_that_is_rewritten(self):
        """The next session has it; one that is open goes on."""
        with Session(("127.0.0.1", self.mta.port)) as before:
            self.assertEqual(before.ask("EHLO x")[:3], "250")
            with open(self.mta.etc + "/access") as f:
                text = f.read()
            self.addCleanup(self.write_table, text)
            self.write_table(text + "new@x.test REJECT since now\n")

            def refused():
                with Session(("127.0.0.1", self.mta.port)) as s:
                    s.ask("EHLO x")
                    s.ask("MAIL FROM:<new@x.test>")
                    return s.ask(f"RCPT TO:<{HERE}>") == "554 5.7.1 <new@x.test>: Sender address rejected: since now"
            wait_until(refused, what="refusal by the new table")
            self.assertEqual(before.ask("NOOP"), OK)


class Mistakes(unittest.TestCase):
    def start(self, **settings):
        mta = Instance(settings)
        self.addCleanup(mta.close)
        done = mta.command("postrider", "check", check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    def test_unknown_word(self):
        status, text = self.start(smtpd_recipient_restrictions="permit_mynetwork, reject")
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r'main\.cf.*: smtpd_recipient_restrictions: unknown restriction "permit_mynetwork"')

    def test_open_relay(self):
        status, text = self.start(smtpd_relay_restrictions="permit", smtpd_recipient_restrictions="")
        self.assertEqual(status, 1, text)
        self.assertIn("anybody could send anywhere through this host", text)


class Policy(unittest.TestCase):
    def test_service_by_a_socket_that_goes_and_comes(self):
        server = PolicyServer()
        port = server.port
        with Instance({"smtpd_error_sleep_time": "0", "smtpd_policy_service_retry_delay": "1s", "smtpd_policy_service_timeout": "5s",
                       "smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:{port}"}) as mta:
            def ask(sender):
                with Session(("127.0.0.1", mta.port)) as s:
                    s.ask("EHLO x")
                    s.ask(f"MAIL FROM:<{sender}@good.test>")
                    return s.ask(f"RCPT TO:<{HERE}>")
            self.assertEqual(ask("reject"), f"554 5.7.1 <{HERE}>: Recipient address rejected: by policy")
            self.assertEqual(ask("dunno")[:3], "250")
            server.close()
            wait_until(lambda: ask("hangup")[:9] == "451 4.3.5", what="deferral without the service")
            mta.wait_log("warning: problem talking to server inet:127.0.0.1")


if __name__ == "__main__":
    unittest.main()
