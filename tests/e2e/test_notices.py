# SPDX-License-Identifier: ISC
"""Notices to senders: read by other people's readers of bounces."""

import email
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_smtp_client import Handler  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402
from aiosmtpd.smtp import SMTP as Server  # noqa: E402
try:
    from flufl.bounce import all_failures
except ImportError:
    all_failures = None

USER = local_user()
MESSAGE = (b"Subject: the subject\r\nFrom: a@example.test\r\nTo: b@foreign.test\r\nMessage-ID: <1@example.test>\r\n\r\n"
           b"the text of the body\r\n")
SISIMAI = shutil.which("perl") and subprocess.run(["perl", "-MSisimai", "-e", "1"], capture_output=True).returncode == 0


class DsnServer(Server):
    """Says what it offers, and takes the parameters."""
    offers = ()
    seen = None

    async def ehlo_hook(self, server, session, envelope):
        pass

    async def smtp_EHLO(self, hostname):
        self._set_rset_state()
        self.session.extended_smtp = True
        self.session.host_name = hostname
        await self.push("250-mx.foreign.test")
        for word in self.offers:
            await self.push(f"250-{word}")
        await self.push("250 HELP")

    async def smtp_MAIL(self, arg):
        self.seen.append("MAIL " + arg)
        self.envelope.mail_from = arg
        await self.push("250 2.1.0 ok")

    async def smtp_RCPT(self, arg):
        self.seen.append("RCPT " + arg)
        self.envelope.rcpt_tos.append(arg)
        await self.push("250 2.1.5 ok")


def fields(part):
    """The groups of fields of a delivery-status part, with lower-case names."""
    return [{k.lower(): v for k, v in group.items()} for group in part.get_payload()]


class Notices(unittest.TestCase):
    def setUp(self):
        self.read = []

    def relay(self, handler=None, main_cf=None, factory=None, aliases="postmaster: root\n", **options):
        port = free_port()
        handler = handler or Handler()
        server = Controller(handler, hostname="127.0.0.1", port=port, decode_data=False, **options)
        if factory:
            server.factory = factory
        server.start()
        self.addCleanup(server.stop)
        settings = {"relayhost": f"[127.0.0.1]:{port}"}
        settings.update(main_cf or {})
        mta = Instance(settings, aliases)
        self.addCleanup(mta.close)
        return mta.start()

    def dsn_server(self, *offers):
        seen = []
        kind = type("Offering", (DsnServer,), {"offers": offers, "seen": seen})
        handler = Handler()
        return handler, seen, lambda: kind(handler, enable_SMTPUTF8=False)

    def send(self, mta, recipients, sender=None, options=(), rcpt_options=()):
        with mta.smtp() as s:
            s.ehlo()
            code, text = s.mail(sender if sender is not None else f"{USER}@mail.example.test", list(options))
            self.assertEqual(code, 250, text)
            for address in recipients:
                code, text = s.rcpt(address, list(rcpt_options))
                self.assertEqual(code, 250, text)
            code, text = s.data(MESSAGE)
            self.assertEqual(code, 250, text)

    def notice(self, mta, count=1, user=USER):
        new = [m for m in mta.wait_mail(user, count) if m not in self.read]
        self.read.extend(new)
        return email.message_from_bytes(new[0])

    def parts(self, message, kind="delivery-status"):
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), kind)
        self.assertEqual(message.get("Return-Path"), "<>")
        return message.get_payload()

    def sisimai(self, raw):
        with tempfile.NamedTemporaryFile(suffix=".eml") as f:
            f.write(raw.replace(b"\r\n", b"\n"))
            f.flush()
            done = subprocess.run(["perl", "-MSisimai", "-e",
                                   "print Sisimai->dump($ARGV[0], delivered => 1) || '[]'", f.name],
                                  capture_output=True, check=True)
        return json.loads(done.stdout)

    def test_failure(self):
        mta = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no such user here"}))
        self.send(mta, ["no@foreign.test", "yes@foreign.test"], options=["ENVID=env+2Bid"],
                  rcpt_options=["ORCPT=rfc822;orig+40foreign.test"])
        notice = self.notice(mta)
        human, machine, original = self.parts(notice)
        whole, one = fields(machine)
        self.assertIn("no such user here", human.get_payload())
        self.assertEqual(whole["original-envelope-id"], "env+id")
        self.assertEqual(whole["reporting-mta"], "dns; mail.example.test")
        self.assertEqual((one["action"], one["status"]), ("failed", "5.1.1"))
        self.assertEqual(one["final-recipient"], "rfc822; no@foreign.test")
        self.assertEqual(one["original-recipient"], "rfc822;orig@foreign.test")
        self.assertIn("550 5.1.1", one["diagnostic-code"])
        self.assertEqual(original.get_content_type(), "message/rfc822")
        self.assertIn("the text of the body", original.get_payload(0).get_payload())
        raw = mta.mailbox(USER)[0]
        if all_failures:
            temporary, permanent = all_failures(email.message_from_bytes(raw))
            self.assertEqual((temporary, permanent), (set(), {b"orig@foreign.test"}))
        if SISIMAI:
            found = self.sisimai(raw)
            self.assertEqual([(x["recipient"], x["deliverystatus"], x["reason"]) for x in found],
                             [("no@foreign.test", "5.1.1", "userunknown")])

    def test_what_the_sender_wants(self):
        mta = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no"}))
        self.send(mta, ["no@foreign.test"], rcpt_options=["NOTIFY=NEVER"])
        self.send(mta, ["no@foreign.test"], rcpt_options=["NOTIFY=SUCCESS"])
        self.send(mta, ["no@foreign.test"], sender="")
        mta.wait_log("no notice: the message has no sender")
        wait_until(lambda: mta.log().count(": removed") == 3, 30, "removed")
        self.send(mta, ["no@foreign.test"], options=["RET=HDRS"], rcpt_options=["NOTIFY=FAILURE"])
        notice = self.notice(mta)
        original = self.parts(notice)[2]
        self.assertEqual(original.get_content_type(), "text/rfc822-headers")
        self.assertIn("the subject", original.get_payload())
        self.assertNotIn("the text of the body", mta.mailbox(USER)[0].decode())
        self.assertEqual(len(mta.mailbox(USER)), 1)

    def test_large_message_comes_back_as_header(self):
        mta = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no"}), {"bounce_size_limit": "10"})
        self.send(mta, ["no@foreign.test"], options=["RET=FULL"])
        self.assertEqual(self.parts(self.notice(mta))[2].get_content_type(), "text/rfc822-headers")

    def test_success(self):
        mta = self.relay()
        self.send(mta, [f"{USER}@mail.example.test"], sender="root@mail.example.test", rcpt_options=["NOTIFY=SUCCESS"])
        notice = self.notice(mta, user="root")
        machine = self.parts(notice)[1]
        self.assertEqual((fields(machine)[1]["action"], fields(machine)[1]["status"]), ("delivered", "2.0.0"))
        if all_failures:
            self.assertEqual(all_failures(notice), (set(), set()))
        if SISIMAI:
            self.assertEqual([x["reason"] for x in self.sisimai(mta.mailbox("root")[0])], ["delivered"])

    def test_relayed_and_passed_on(self):
        mta = self.relay()
        self.send(mta, ["yes@foreign.test"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
        one = fields(self.parts(self.notice(mta))[1])[1]
        self.assertEqual((one["action"], one["remote-mta"]), ("relayed", "dns; 127.0.0.1"))
        handler, seen, factory = self.dsn_server("DSN", "ENHANCEDSTATUSCODES")
        mta = self.relay(handler, factory=factory)
        self.send(mta, ["yes@foreign.test"], options=["RET=HDRS", "ENVID=a+2Bb"],
                  rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;x+2By@foreign.test"])
        mta.wait_log("status=sent")
        wait_until(lambda: ": removed" in mta.log(), 30, "removed")
        self.assertIn("RET=HDRS ENVID=a+2Bb", seen[0])
        self.assertIn("NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@foreign.test", seen[1])
        self.assertEqual(mta.mailbox(USER), [])

    def test_expanded(self):
        mta = self.relay(aliases=f"list: {USER}, yes@foreign.test\none: yes@foreign.test\n")
        self.send(mta, ["one@mail.example.test"], sender="bin@mail.example.test", rcpt_options=["NOTIFY=SUCCESS"])
        notice = self.notice(mta, user="bin")
        self.assertEqual(fields(self.parts(notice)[1])[1]["action"], "relayed")
        self.send(mta, ["list@mail.example.test"], sender="bin@mail.example.test", rcpt_options=["NOTIFY=SUCCESS"])
        notice = self.notice(mta, 2, "bin")
        self.assertEqual(fields(self.parts(notice)[1])[1]["action"], "expanded")
        wait_until(lambda: not mta.command("postqueue", "-j").stdout, 30, "an empty queue")
        self.assertEqual(len(mta.mailbox("bin")), 2)

    def test_delay(self):
        mta = self.relay(Handler(refuse={"later@foreign.test": "451 4.7.1 greylisted"}),
                         {"delay_warning_time": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
                          "notify_classes": "delay"})
        self.send(mta, ["later@foreign.test"])
        human, machine, original = self.parts(self.notice(mta))
        one = fields(machine)[1]
        self.assertEqual((one["action"], one["status"]), ("delayed", "4.7.1"))
        self.assertIn("will-retry-until", one)
        self.assertEqual(original.get_content_type(), "text/rfc822-headers")
        copy = self.notice(mta, user="root")
        self.assertEqual(copy["Subject"], "Postmaster Warning: Delayed Mail")
        attempts = mta.log().count("status=deferred")
        wait_until(lambda: mta.log().count("status=deferred") > attempts + 1, 30, "another attempt")
        self.assertEqual(len(mta.mailbox(USER)), 1)

    def test_double_bounces(self):
        mta = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no", "gone@foreign.test": "550 5.1.1 gone"}),
                         {"notify_classes": "bounce, 2bounce"})
        self.send(mta, ["no@foreign.test"], sender="gone@foreign.test")
        subjects = [email.message_from_bytes(m)["Subject"] for m in mta.wait_mail("root", 2)]
        self.assertEqual(subjects, ["Postmaster Copy: Undelivered Mail"] * 2)
        # and a notice to the postmaster that cannot be delivered ends there
        mta2 = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no", "boss@foreign.test": "550 5.1.1 no"}),
                          {"notify_classes": "2bounce", "2bounce_notice_recipient": "boss@foreign.test"})
        self.send(mta2, ["no@foreign.test"], sender="")
        mta2.wait_log("undeliverable postmaster notification discarded")
        wait_until(lambda: not mta2.command("postqueue", "-j").stdout, 30, "an empty queue")

    def test_templates(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "bounce.cf")
        with open(path, "w") as f:
            f.write("# ours\nfailure_template = <<EOF\nCharset: utf-8\nFrom: Robot <robot@mail.example.test>\n"
                    "Subject: Leider nein\n\nHier ist $myhostname, für ${maximal_queue_lifetime_days} Tage.\n\nEOF\n")
        os.chmod(folder, 0o755)
        mta = self.relay(Handler(refuse={"no@foreign.test": "550 5.1.1 no"}),
                         {"bounce_template_file": path, "maximal_queue_lifetime": "3d"})
        self.send(mta, ["no@foreign.test"])
        notice = self.notice(mta)
        self.assertEqual((notice["Subject"], notice["From"]), ("Leider nein", "Robot <robot@mail.example.test>"))
        self.assertIn("Hier ist mail.example.test, für 3 Tage.",
                      self.parts(notice)[0].get_payload(decode=True).decode())

    def test_utf8(self):
        mta = self.relay(enable_SMTPUTF8=False)
        with mta.smtp() as s:
            s.ehlo()
            s.sock.sendall(f"MAIL FROM:<{USER}@mail.example.test> SMTPUTF8\r\n".encode())
            self.assertEqual(s.getreply()[0], 250)
            s.sock.sendall("RCPT TO:<jürgen@foreign.test>\r\n".encode())
            self.assertEqual(s.getreply()[0], 250)
            self.assertEqual(s.data(MESSAGE)[0], 250)
        raw = mta.wait_mail(USER)[0]
        notice = email.message_from_bytes(raw)
        self.assertEqual(notice.get_param("report-type"), "global-delivery-status")
        self.assertIn(b"Content-Type: message/global-delivery-status", raw)
        self.assertIn("Final-Recipient: utf-8; jürgen@foreign.test".encode(), raw)

    def test_deliver_by(self):
        handler, seen, factory = self.dsn_server("DSN", "DELIVERBY")
        mta = self.relay(handler, factory=factory)
        self.send(mta, ["yes@foreign.test"], options=["BY=1000;R"])
        wait_until(lambda: handler.messages, 30, "message")
        self.assertRegex(seen[0], r" BY=(1000|99\d);R$")
        # what must come back does not go where nobody would send it back
        mta = self.relay()
        self.send(mta, ["yes@foreign.test"], options=["BY=1000;R"])
        self.assertEqual(fields(self.parts(self.notice(mta))[1])[1]["status"], "5.3.3")
        self.send(mta, ["yes@foreign.test"], options=["BY=1000;N"])
        self.assertEqual(fields(self.parts(self.notice(mta, 2))[1])[1]["action"], "relayed")
        # the deadline: returned, or told of
        mta = self.relay(Handler(refuse={"later@foreign.test": "451 4.7.1 greylisted"}))
        self.send(mta, ["later@foreign.test"], options=["BY=1;N"])
        mta.wait_log("sender delay notification", 30)
        dead = Instance({"relayhost": f"[127.0.0.1]:{free_port()}"})
        self.addCleanup(dead.close)
        dead.start()
        self.send(dead, ["later@foreign.test"], options=["BY=1;R"])
        one = fields(self.parts(self.notice(dead))[1])[1]
        self.assertEqual((one["action"], one["status"]), ("failed", "5.4.7"))

    def test_verp(self):
        handler = Handler(refuse={"no@foreign.test": "550 5.1.1 no", "bad@foreign.test": "550 5.1.1 bad"})
        mta = self.relay(handler, {"recipient_delimiter": "+"})
        self.send(mta, ["no@foreign.test", "yes@foreign.test", "bad@foreign.test"], options=["XVERP"])
        wait_until(lambda: handler.messages, 30, "message")
        self.assertEqual(handler.messages[0][:2],
                         (f"{USER}+yes=foreign.test@mail.example.test", ["yes@foreign.test"]))
        found = sorted(email.message_from_bytes(m)["To"] for m in mta.wait_mail(USER, 2))
        self.assertEqual(found, [f"{USER}+bad=foreign.test@mail.example.test", f"{USER}+no=foreign.test@mail.example.test"])
        mta.command("sendmail", "-XV=-", "-f", "owner@mail.example.test", "one@foreign.test", "two@foreign.test",
                    stdin=b"Subject: x\n\nx\n")
        wait_until(lambda: len(handler.messages) == 3, 30, "messages")
        self.assertEqual(sorted(m[0] for m in handler.messages[1:]),
                         ["owner=one-foreign.test@mail.example.test", "owner=two-foreign.test@mail.example.test"])

    def test_soft_bounce_and_deferred_transports(self):
        handler = Handler(refuse={"no@foreign.test": "550 5.1.1 no"})
        mta = self.relay(handler, {"soft_bounce": "yes"})
        self.send(mta, ["no@foreign.test"])
        mta.wait_log("status=deferred (host 127.0.0.1[127.0.0.1] said: 550")
        handler = Handler()
        mta = self.relay(handler, {"defer_transports": "smtp"})
        self.send(mta, ["yes@foreign.test"])
        mta.wait_log("deferred transport")
        self.assertEqual(handler.messages, [])
        mta.command("sendmail", "-q")
        wait_until(lambda: handler.messages, 30, "message")


if __name__ == "__main__":
    unittest.main()
