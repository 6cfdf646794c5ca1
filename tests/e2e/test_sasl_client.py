# SPDX-License-Identifier: ISC
"""The SMTP client logs in: at a server of ours that asks Dovecot, and with OAuth tokens at another's."""

import os
import stat
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dovecot import Dovecot  # noqa: E402
from instance import Instance, free_port, wait_until  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402
from aiosmtpd.smtp import SMTP, AuthResult  # noqa: E402

MESSAGE = "Subject: x\r\n\r\nbody\r\n"


def sender(test, passwords, main_cf=None, prepare=None):
    """An instance that logs in with these lines of a password table."""
    settings = {"mydestination": "", "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
                "minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}
    settings.update(main_cf or {})
    mta = Instance(settings, name="out")
    test.addCleanup(mta.close)
    mta.settings["smtp_sasl_password_maps"] = f"hash:{mta.etc}/passwords"
    mta.write_main_cf()
    put_passwords(mta, passwords)
    if prepare:
        prepare(mta)
    return mta.start()


def put_passwords(mta, lines):
    with open(mta.etc + "/passwords", "w") as f:
        f.write("".join(line + "\n" for line in lines))
    os.chmod(mta.etc + "/passwords", 0o600)
    mta.command("postmap", f"hash:{mta.etc}/passwords")


def send(mta, address="a@example.test"):
    with mta.smtp() as s:
        s.sendmail(address, ["x@elsewhere.test"], MESSAGE)


class Passwords(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dovecot = Dovecot({"joe": "secret", "ann": "other"})
        cls.addClassCleanup(cls.dovecot.close)
        cls.server = Instance({"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": cls.dovecot.dir + "/auth",
                               "mynetworks": "192.0.2.0/24", "default_transport": "discard", "smtpd_sasl_security_options": "noanonymous"})
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.relay = f"[127.0.0.1]:{cls.server.port}"

    def test_each_mechanism(self):
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"):
            with self.subTest(mechanism):
                before = self.server.log().count(f"sasl_method={mechanism}, sasl_username=joe")
                mta = sender(self, [f"{self.relay} joe:secret"], {"relayhost": self.relay, "smtp_sasl_mechanism_filter": mechanism.lower()})
                send(mta)
                mta.wait_log("status=sent")
                wait_until(lambda: self.server.log().count(f"sasl_method={mechanism}, sasl_username=joe") == before + 1, 10, "log-in")
                mta.close()

    def test_the_best_is_chosen_and_the_host_is_a_key_too(self):
        mta = sender(self, ["127.0.0.1 joe:secret"], {"relayhost": self.relay, "smtp_sasl_security_options": "noanonymous, noplaintext"})
        send(mta)
        mta.wait_log("status=sent")
        self.assertIn("sasl_method=SCRAM-SHA-256, sasl_username=joe", self.server.log())

    def test_wrong_password(self):
        mta = sender(self, [f"{self.relay} joe:wrong"], {"relayhost": self.relay})
        send(mta)
        mta.wait_log("status=deferred (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 ")
        # A new password is taken up without a restart.
        put_passwords(mta, [f"{self.relay} joe:secret"])
        mta.wait_log("status=sent", 60)

    def test_wrong_password_for_good(self):
        mta = sender(self, [f"{self.relay} joe:wrong"], {"relayhost": self.relay, "smtp_sasl_auth_soft_bounce": "no"})
        send(mta)
        mta.wait_log("dsn=5.7.8, status=bounced (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 ")

    def test_nothing_that_both_want(self):
        mta = sender(self, [f"{self.relay} joe:secret"], {"relayhost": self.relay, "smtp_sasl_mechanism_filter": "!scram-sha-256, gssapi"})
        send(mta)
        mta.wait_log("status=deferred (SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: no mechanism available)")

    def test_password_of_the_sender(self):
        mta = sender(self, ["ann+x@example.test ann:other", "@example.org ann:other", f"{self.relay} joe:secret"],
                     {"relayhost": self.relay, "smtp_sender_dependent_authentication": "yes", "recipient_delimiter": "-"})
        before = self.server.log().count("sasl_username=ann"), self.server.log().count("sasl_username=joe")
        for address in ("ann+x@example.test", "bob@example.org", "bob@example.test"):
            send(mta, address)
        wait_until(lambda: mta.log().count("status=sent") == 3, 30, "three sent; log:\n" + mta.log()[-3000:])
        after = self.server.log().count("sasl_username=ann"), self.server.log().count("sasl_username=joe")
        self.assertEqual((after[0] - before[0], after[1] - before[1]), (2, 1))

    def test_no_password_no_login(self):
        mta = sender(self, ["elsewhere.test joe:secret"], {"relayhost": self.relay})
        send(mta)
        mta.wait_log("status=deferred (host 127.0.0.1[127.0.0.1] said: 454 4.7.1 ")


class Server(SMTP):
    """Heeds RFC 4954, section 5, which aiosmtpd does not."""

    async def smtp_MAIL(self, arg):
        await super().smtp_MAIL(arg.replace(" AUTH=<>", ""))


class TokenController(Controller):
    def factory(self):
        return Server(self.handler, **self.SMTP_kwargs)


class TokenServer:
    """Takes XOAUTH2 and OAUTHBEARER with one token."""

    def __init__(self, token):
        self.token = token
        self.seen = []
        self.messages = []
        self.lock = threading.Lock()

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(envelope.content)
        return "250 2.0.0 taken"

    def judge(self, response):
        with self.lock:
            self.seen.append(response)
            return f"auth=Bearer {self.token}\001".encode() in (response or b"")

    async def auth_XOAUTH2(self, server, args):
        from base64 import b64decode
        if self.judge(b64decode(args[1]) if len(args) > 1 else None):
            return AuthResult(success=True)
        await server.challenge_auth('{"status":"400","schemes":"Bearer"}')
        return AuthResult(success=False, handled=False)

    auth_OAUTHBEARER = auth_XOAUTH2


class Tokens(unittest.TestCase):
    def setUp(self):
        self.handler = TokenServer("good.token-1")
        port = free_port()
        server = TokenController(self.handler, hostname="127.0.0.1", port=port, auth_require_tls=False, auth_required=True,
                            auth_exclude_mechanism=["PLAIN", "LOGIN"])
        server.start()
        self.addCleanup(server.stop)
        self.relay = f"[127.0.0.1]:{port}"

    def start(self, secret, files, **settings):
        def prepare(mta):
            os.mkdir(mta.etc + "/tokens")
            for name, text in files.items():
                with open(f"{mta.etc}/tokens/{name}", "w") as f:
                    f.write(text)
                    os.fchmod(f.fileno(), 0o755)
                self.assertTrue(os.stat(f.name).st_mode & stat.S_IXOTH)
        folder = "/etc-of-the-instance"
        mta = sender(self, [], dict({"relayhost": self.relay}, **settings), prepare)
        put_passwords(mta, [f"{self.relay} joe@example.test:" + secret.replace(folder, mta.etc)])
        return mta

    def wait_sent(self, mta):
        mta.wait_log("status=sent (250 2.0.0 taken)", 20)

    def test_file(self):
        mta = self.start("{token-file}/etc-of-the-instance/tokens/joe", {"joe": "good.token-1\n"})
        send(mta)
        self.wait_sent(mta)
        self.assertEqual(self.handler.seen[-1].split(b"\001")[-3], b"auth=Bearer good.token-1")

    def test_a_file_that_is_renewed(self):
        mta = self.start("{token-file}/etc-of-the-instance/tokens/joe", {"joe": "old\n"}, smtp_sasl_mechanism_filter="xoauth2")
        send(mta)
        mta.wait_log("said: 535 5.7.8 ")
        self.assertEqual(self.handler.seen[0], b"user=joe@example.test\001auth=Bearer old\001\001")
        self.assertIn('on the refused token: {"status":"400","schemes":"Bearer"}', mta.log())
        with open(mta.etc + "/tokens/joe", "w") as f:
            f.write('{"access_token": "good.token-1", "expires_in": 3600}')
        self.wait_sent(mta)

    def test_program(self):
        """Asked once for many messages; asked again when the server refused what it said."""
        program = "#!/bin/sh\necho x >>$(dirname $0)/count\n[ \"$1\" = joe ] || exit 1\ncat $(dirname $0)/now\n"
        mta = self.start("{token-command}/etc-of-the-instance/tokens/get joe", {"get": program, "now": "stale\n", "count": ""})
        os.chmod(mta.etc + "/tokens/count", 0o666)
        send(mta)
        mta.wait_log("said: 535 5.7.8 ")
        with open(mta.etc + "/tokens/now", "w") as f:
            f.write("good.token-1\n")
        self.wait_sent(mta)
        with open(mta.etc + "/tokens/count") as f:
            asked = len(f.read())
        send(mta)
        wait_until(lambda: mta.log().count("status=sent") == 2, 30, "second message")
        with open(mta.etc + "/tokens/count") as f:
            self.assertEqual(len(f.read()), asked)

    def test_a_path_that_leads_out(self):
        mta = self.start("{token-file}/etc-of-the-instance/tokens/../main.cf", {})
        send(mta)
        mta.wait_log("does not lie below smtp_sasl_token_directory")
        mta.wait_log("status=deferred (SASL authentication failed; the token for server ")
        self.assertEqual(self.handler.messages, [])


if __name__ == "__main__":
    unittest.main()
