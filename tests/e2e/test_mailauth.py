# SPDX-License-Identifier: ISC
"""Mail from outside is checked: results in the header, in the log, and what enforcing does."""

import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, local_user, wait_until  # noqa: E402
from test_dkim import BUILD  # noqa: E402
from zones import FAIL, ZoneServer  # noqa: E402

TEXT = """From: {sender}
To: someone@mail.example.test
Subject: hello
Date: Fri, 11 Jul 2025 21:00:37 -0700
Message-ID: <1@good.test>

Hello.
"""


class World(unittest.TestCase):
    main_cf = {}

    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.mkdtemp(prefix="postrider-keys-")
        with open(f"{cls.keys}/main.cf", "w") as f:
            f.write(f"config_directory = {cls.keys}\nmyhostname = out.good.test\n")
        open(f"{cls.keys}/master.cf", "w").close()
        text = subprocess.run([f"{BUILD}/sbin/postrider", "-c", cls.keys, "dkim", "genkey", "good.test", "s1"],
                              stdout=subprocess.PIPE, check=True).stdout.decode()
        cls.zone = {
            "good.test": [("TXT", "v=spf1 ip4:127.0.0.1 -all")],
            "_dmarc.good.test": [("TXT", "v=DMARC1; p=reject")],
            "s1._domainkey.good.test": [("TXT", "".join(text.split('"')[1::2]))],
            "closed.test": [("TXT", "v=spf1 -all exp=why.closed.test")],
            "why.closed.test": [("TXT", "%{i} is a stranger to %{d}")],
            "_dmarc.closed.test": [("TXT", "v=DMARC1; p=reject")],
            "open.test": [("TXT", "v=spf1 ip4:127.0.0.1 -all")],
            "soft.test": [("TXT", "v=spf1 ~all")],
            "_dmarc.soft.test": [("TXT", "v=DMARC1; p=quarantine")],
            "away.test": [FAIL],
        }
        cls.server = ZoneServer(cls.zone)
        cls.user = local_user()
        settings = {"resolver_nameservers": cls.server.address, "mynetworks": "192.0.2.0/24", **cls.main_cf}
        cls.mail = Instance(settings).start()
        cls.rcpt = f"{cls.user}@mail.example.test"
        cls.seen = 0

    @classmethod
    def tearDownClass(cls):
        cls.mail.close()
        cls.server.close()
        shutil.rmtree(cls.keys)

    def signed(self, text):
        return subprocess.run([f"{BUILD}/sbin/postrider", "-c", self.keys, "dkim", "sign", "good.test", "s1"],
                              input=text.encode(), stdout=subprocess.PIPE, check=True).stdout.decode()

    def send(self, text, sender):
        """Code and text of the answer to the end of data."""
        with smtplib.SMTP("127.0.0.1", self.mail.port, local_hostname="client.good.test") as s:
            s.ehlo()
            s.mail(sender)
            code, said = s.rcpt(self.rcpt)
            if code != 250:
                return code, said.decode()
            code, said = s.data(text.replace("\r\n", "\n").encode())
            return code, said.decode()

    def delivered(self, text, sender):
        self.assertEqual(self.send(text, sender)[0], 250)
        type(self).seen += 1
        mails = self.mail.wait_mail(self.user, self.seen)
        marked = [m for m in mails if "X-Mark: " + self.id() in (m.decode() if isinstance(m, bytes) else m)]
        self.assertEqual(len(marked), 1)
        return marked[0].decode() if isinstance(marked[0], bytes) else marked[0]

    def marked(self, sender, more=""):
        return f"X-Mark: {self.id()}\n{more}" + TEXT.format(sender=sender)

    def results(self, mail):
        """Our Authentication-Results, unfolded."""
        head = mail.replace("\r\n", "\n").split("\n\n")[0].replace("\n\t", " ").split("\n")
        found = [line for line in head if line.lower().startswith("authentication-results")]
        self.assertEqual(len(found), 1, head)
        return found[0], head


class Mark(World):
    def test_a_good_message_passes(self):
        mail = self.delivered(self.signed(self.marked("a@good.test")), "a@good.test")
        line, head = self.results(mail)
        for text in ("mail.example.test;", "spf=pass", "dkim=pass", "header.d=good.test", "dmarc=pass", "header.from=good.test"):
            self.assertIn(text, line)
        first = [h for h in head if h and not h.startswith(("Return-Path", "Delivered-To", "X-Original-To"))][0]
        self.assertEqual(first, line)
        self.mail.wait_log("spf=pass (good.test by ip4:127.0.0.1), dkim=pass (good.test), dmarc=pass (good.test: SPF and DKIM)")

    def test_a_forged_from_is_marked(self):
        mail = self.delivered(self.marked("a@good.test"), "a@open.test")
        line, _ = self.results(mail)
        self.assertIn("spf=pass", line)
        self.assertIn("dkim=none", line)
        self.assertIn("dmarc=fail", line)
        self.assertIn("p=reject", line)

    def test_fields_in_our_name_are_removed(self):
        forged = ("Authentication-Results: mail.example.test; dmarc=pass header.from=good.test\n"
                  "Authentication-Results: (c) MAIL.Example.test 1;\n dkim=pass\n"
                  "X-Between: stays\n"
                  "Authentication-Results: \"mail.example.test\"; spf=pass\n")
        mail = self.delivered(self.marked("a@good.test", forged), "a@open.test")
        line, head = self.results(mail)
        self.assertIn("dmarc=fail", line)
        self.assertIn("X-Between: stays", head)

    def test_fields_of_others_stay(self):
        other = "Authentication-Results: other.test; spf=pass\n"
        mail = self.delivered(self.marked("a@nothing.test", other), "a@open.test")
        self.assertIn("Authentication-Results: other.test; spf=pass", mail)

    def test_no_answer_is_a_temporary_result(self):
        mail = self.delivered(self.marked("a@away.test"), "a@away.test")
        line, _ = self.results(mail)
        self.assertIn("spf=temperror", line)

    def test_two_from_fields_are_no_pass(self):
        mail = self.delivered(self.marked("a@good.test", "From: b@evil.test\n"), "a@good.test")
        line, _ = self.results(mail)
        self.assertIn("dmarc=permerror", line)


class Enforce(World):
    main_cf = {"spf_policy": "enforce", "dmarc_policy": "enforce", "dmarc_quarantine_action": "hold",
               "mailauth_temporary_action": "defer", "mailauth_exceptions": "inline:{ list.test=ok }"}

    def test_good_mail_comes_in(self):
        line, _ = self.results(self.delivered(self.signed(self.marked("a@good.test")), "a@good.test"))
        self.assertIn("dmarc=pass", line)

    def test_spf_fail_is_refused_with_the_domains_words(self):
        code, text = self.send(self.marked("a@closed.test"), "a@closed.test")
        self.assertEqual(code, 550)
        self.assertIn("5.7.23", text)
        self.assertIn("127.0.0.1 is a stranger to closed.test", text)

    def test_forged_from_is_refused_with_the_reason(self):
        code, text = self.send(self.marked("a@good.test"), "a@open.test")
        self.assertEqual(code, 550)
        self.assertIn("DMARC policy of good.test rejects this message: SPF passed for open.test, not for good.test", text)
        self.mail.wait_log("reject: END-OF-MESSAGE from localhost[127.0.0.1]: 550 5.7.1 DMARC policy of good.test")

    def test_several_from_fields_are_refused(self):
        code, text = self.send(self.marked("a@good.test", "From: b@good.test\n"), "a@good.test")
        self.assertEqual(code, 550)
        self.assertIn("several From fields", text)

    def test_quarantine_is_held(self):
        code, text = self.send(self.marked("a@soft.test"), "a@open.test")
        self.assertEqual(code, 250)
        queue_id = text.split()[-1]
        wait_until(lambda: queue_id + "!" in self.mail.command("postqueue", "-p").stdout.decode(), 30, "held message")

    def test_no_answer_defers(self):
        code, text = self.send(self.marked("a@away.test"), "a@away.test")
        self.assertEqual(code, 451)

    def test_a_mailauth_that_dies_is_temporary(self):
        """Killed again and again, it costs no message and no session."""
        for _ in range(3):
            for pid in self.processes():
                os.kill(pid, 9)
            code, _ = self.send(self.marked("a@away.test"), "a@away.test")
            self.assertEqual(code, 451)

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    stat = f.read()
                with open(f"/proc/{pid}/cmdline") as f:
                    line = f.read()
            except OSError:
                continue
            if line.startswith(BUILD_PATH + "/libexec/mailauth") and int(stat.rsplit(")", 1)[1].split()[1]) == self.mail.process.pid:
                found.append(int(pid))
        return found


BUILD_PATH = os.path.abspath(BUILD)


class Words(World):
    main_cf = {"smtpd_sender_restrictions": "reject_spf_fail",
               "smtpd_end_of_data_restrictions": "permit_dkim_domain inline:{good.test=ok}, reject_dmarc_fail, "
                                                 "check_sender_access inline:{good.test=reject}"}

    def test_spf_word(self):
        code, text = self.send(self.marked("a@closed.test"), "a@closed.test")
        self.assertEqual(code, 550)
        self.assertIn("Sender address rejected: SPF validation failed: 127.0.0.1 is a stranger", text)

    def test_dmarc_word(self):
        code, text = self.send(self.marked("a@good.test"), "a@open.test")
        self.assertEqual(code, 550)
        self.assertIn("DMARC check failed", text)

    def test_dkim_word(self):
        self.delivered(self.signed(self.marked("a@good.test")), "a@good.test")
        self.assertEqual(self.send(self.marked("a@good.test"), "a@good.test")[0], 554)


if __name__ == "__main__":
    unittest.main()
