# SPDX-License-Identifier: ISC
"""The commands as users and administrators type them: sendmail and its family, the queue's, postconf."""

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import BUILD, Instance, free_port, local_user, wait_until  # noqa: E402
from test_mail_flow import Sink, body_of  # noqa: E402

USER = local_user()
HERE = f"{USER}@example.test"
ID = r"[0-9A-Za-z]{6,}"


class Sendmail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mta = Instance(aliases=f"postmaster: {USER}\nboss: {USER}\n")
        cls.addClassCleanup(cls.mta.close)
        cls.mta.start()

    def setUp(self):
        shutil.rmtree(f"{self.mta.mail}/{USER}", ignore_errors=True)

    def send(self, *arguments, stdin=b"Subject: x\n\nbody\n", **more):
        return self.mta.command("sendmail", *arguments, stdin=stdin, **more)

    def got(self):
        return self.mta.wait_mail(USER)[0]

    def test_header_is_completed(self):
        self.send(USER)
        message = self.got()
        for field in (rb"^From: .*@mail\.example\.test", rb"^Date: \w{3}, ", rb"^Message-I[dD]: <.*@mail\.example\.test>",
                      rb"^Received: by mail\.example\.test \(.*, from userid \d+\)"):
            self.assertRegex(message, re.compile(field, re.M))

    def test_f_and_F_name_the_sender(self):
        self.send("-f", "from@example.test", "-F", "Full Name", USER)
        message = self.got()
        self.assertIn(b"Return-Path: <from@example.test>", message)
        self.assertRegex(message, re.compile(rb'^From: "?Full Name"? <from@example\.test>$', re.M))

    def test_i_keeps_the_dot(self):
        self.send("-i", USER, stdin=b"Subject: x\n\na\n.\nb\n")
        self.assertEqual(body_of(self.got()), b"a\n.\nb\n")

    def test_without_i_the_dot_ends_the_message(self):
        self.send(USER, stdin=b"Subject: x\n\na\n.\nb\n")
        self.assertEqual(body_of(self.got()), b"a\n")

    def test_t_takes_recipients_from_the_header_and_hides_bcc(self):
        self.send("-t", stdin=f"To: {HERE}\nBcc: boss@example.test\nSubject: x\n\nbody\n".encode())
        for message in self.mta.wait_mail(USER, 2):
            self.assertNotIn(b"Bcc", message)

    def test_N_R_V_and_B_travel(self):
        self.send("-N", "never", "-R", "hdrs", "-V", "envelope-id", "-B", "8BITMIME", USER)
        self.got()

    def test_options_without_meaning_are_taken(self):
        self.send("-om", "-oi", "-oem", "-h", "3", "-U", "-G", "-n", "-x", USER)
        self.got()

    def test_bs_speaks_smtp(self):
        done = self.send("-bs", stdin=f"HELO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<{HERE}>\r\nDATA\r\n"
                         "Subject: x\r\n\r\nby bs\r\n.\r\nQUIT\r\n".encode())
        codes = [line[:3] for line in done.stdout.decode().splitlines()]
        self.assertEqual(codes, ["220", "250", "250", "250", "354", "250", "221"])
        self.assertEqual(body_of(self.got()), b"by bs\n")

    def test_no_recipients(self):
        done = self.send(check=False)
        self.assertEqual(done.returncode, 64)  # EX_USAGE
        self.assertIn(b"fatal: ", done.stderr)

    def test_bi_and_newaliases_rebuild(self):
        with open(f"{self.mta.etc}/aliases", "a") as f:
            f.write(f"later: {USER}\n")
        self.mta.command("newaliases")
        self.assertEqual(self.mta.command("postalias", "-q", "later", f"hash:{self.mta.etc}/aliases").stdout, f"{USER}\n".encode())
        self.send("-bi", stdin=b"")
        # The change is noticed within a second: until then it is a name like any other.
        wait_until(lambda: self.send("later@example.test") and time.sleep(0.3) is None and self.mta.mailbox(USER))

    def test_as_an_ordinary_user(self):
        if os.getuid() != 0:
            self.skipTest("changing the user needs root")
        if not shutil.which("setpriv"):
            self.skipTest("no setpriv")
        postdrop = self.mta.command("postconf", "-h", "setgid_group").stdout.decode().strip()
        # As installed, postdrop is set-gid; a build tree is not, so the group is given here.
        done = subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={postdrop}", "--clear-groups", f"{BUILD}/sbin/sendmail", HERE],
                              input=b"Subject: mine\n\nx\n", env=dict(os.environ, MAIL_CONFIG=self.mta.etc), capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"Return-Path: <{USER}@".encode(), self.got())
        self.assertIn(f"from userid {pwd.getpwnam(USER).pw_uid}".encode(), self.got())


class Down(unittest.TestCase):
    def test_mail_waits_for_the_daemons(self):
        with Instance() as mta:
            mta.stop()
            mta.command("sendmail", HERE, stdin=b"Subject: early\n\nx\n")
            self.assertEqual(len(os.listdir(mta.dir + "/spool/maildrop")), 1)
            listing = mta.command("mailq")
            self.assertIn(b"Mail system is down", listing.stderr)
            self.assertEqual(listing.stdout, b"Mail queue is empty\n")
            mta.start()
            self.assertIn(b"Subject: early", mta.wait_mail(USER)[0])


class Queue(unittest.TestCase):
    """Two messages that wait for a server that is busy."""

    def setUp(self):
        self.sink = Sink(refuse="451 4.2.0 later")
        self.sink.controller.start()
        self.addCleanup(self.sink.controller.stop)
        self.mta = Instance({"relayhost": f"[127.0.0.1]:{self.sink.port}", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h",
                             "fast_flush_domains": "elsewhere.test"})
        self.addCleanup(self.mta.close)
        self.mta.start()
        for number in (1, 2):
            self.mta.command("sendmail", "-f", HERE, f"x{number}@elsewhere.test", stdin=f"Subject: {number}\n\nbody {number}\n".encode())
        wait_until(lambda: self.mta.log().count("status=deferred") == 2, what="deferrals; log:\n" + self.mta.log()[-2000:])
        self.ids = {e["recipients"][0]["address"]: e["queue_id"] for e in self.listed()}

    def listed(self):
        return [json.loads(line) for line in self.mta.command("postqueue", "-j").stdout.splitlines()]

    def empty(self):
        return self.mta.command("postqueue", "-p").stdout == b"Mail queue is empty\n"

    def test_listings(self):
        text = self.mta.command("postqueue", "-p").stdout.decode()
        self.assertEqual(self.mta.command("mailq").stdout.decode(), text)
        self.assertEqual(self.mta.command("sendmail", "-bp").stdout.decode(), text)
        self.assertRegex(text, r"^-+Queue ID-+ +-+Size-+ -+Arrival Time-+ -+Sender/Recipient-+\n")
        for address, queue_id in self.ids.items():
            self.assertRegex(text, rf"\n{queue_id}\s+\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d\s+{re.escape(HERE)}\n"
                             rf" *\(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 451 4\.2\.0 later[^\n]*\)\n +{re.escape(address)}\n")
        self.assertRegex(text, r"\n-- \d+ Kbytes in 2 Requests\.\n$")
        entry = next(e for e in self.listed() if e["recipients"][0]["address"] == "x1@elsewhere.test")
        self.assertEqual((entry["queue_name"], entry["sender"]), ("deferred", HERE))
        self.assertIn("451 4.2.0 later", entry["recipients"][0]["delay_reason"])

    def test_flush(self):
        self.sink.refuse = None
        self.mta.command("postqueue", "-f")
        wait_until(self.empty, what="empty queue")
        self.assertEqual(len(self.sink.messages), 2)

    def test_one_message(self):
        self.sink.refuse = None
        self.mta.command("postqueue", "-i", self.ids["x2@elsewhere.test"])
        wait_until(lambda: len(self.sink.messages) == 1, what="the message")
        wait_until(lambda: len(self.listed()) == 1, what="one message left")
        self.assertEqual(self.sink.messages[0][1], ["x2@elsewhere.test"])

    def test_one_site(self):
        self.sink.refuse = None
        self.mta.command("postqueue", "-s", "elsewhere.test")
        wait_until(self.empty, what="empty queue")

    def test_postcat(self):
        text = self.mta.command("postcat", "-q", self.ids["x1@elsewhere.test"]).stdout
        self.assertIn(b"Subject: 1", text)
        self.assertIn(b"body 1", text)
        self.assertIn(HERE.encode(), text)
        self.assertNotIn(b"Subject", self.mta.command("postcat", "-bq", self.ids["x1@elsewhere.test"]).stdout)
        self.assertNotIn(b"body 1", self.mta.command("postcat", "-hq", self.ids["x1@elsewhere.test"]).stdout)
        self.assertNotEqual(self.mta.command("postcat", "-q", "4nonesuchz1", check=False).returncode, 0)

    def test_delete_one_and_all(self):
        done = self.mta.command("postsuper", "-d", self.ids["x1@elsewhere.test"])
        self.assertIn(b"1 message", done.stderr)
        self.assertEqual([e["queue_id"] for e in self.listed()], [self.ids["x2@elsewhere.test"]])
        self.mta.command("postsuper", "-d", "ALL")
        self.assertTrue(self.empty())
        self.assertEqual(self.mta.log().count(": removed"), 2)

    def queues(self):
        return {e["queue_id"]: e["queue_name"] for e in self.listed()}

    def test_hold_and_release(self):
        one, two = self.ids["x1@elsewhere.test"], self.ids["x2@elsewhere.test"]
        done = self.mta.command("postsuper", "-h", one)
        self.assertEqual(done.stderr, b"postsuper: Placed on hold: 1 message\n")
        self.assertEqual(self.queues(), {one: "hold", two: "deferred"})
        self.mta.wait_log(f"{one}: placed on hold")
        # Neither a flush nor a restart delivers it.
        self.mta.command("postqueue", "-f")
        self.mta.stop()
        self.assertEqual(self.queues()[one], "hold")
        self.mta.start()
        wait_until(lambda: self.queues().get(one) == "hold", what="message on hold after a restart")
        self.assertEqual(self.mta.command("postsuper", "-H", "ALL", "-h", "no-such-id").stderr,
                         b"postsuper: Placed on hold: 0 messages\npostsuper: Released from hold: 1 message\n")
        wait_until(lambda: self.queues().get(one) in ("active", "deferred"), what="released message")
        self.mta.command("postsuper", "-h", "ALL")
        wait_until(lambda: set(self.queues().values()) == {"hold"}, what="all on hold")
        # Without the mail system, too.
        self.mta.stop()
        self.mta.command("postsuper", "-H", two)
        self.assertEqual(self.queues(), {one: "hold", two: "deferred"})
        self.mta.start()
        self.mta.command("postsuper", "-d", "ALL")
        self.assertTrue(self.empty())

    def test_where(self):
        one, two = self.ids["x1@elsewhere.test"], self.ids["x2@elsewhere.test"]

        def chosen(*arguments):
            return {json.loads(line)["queue_id"] for line in self.mta.command("postqueue", "-j", *arguments).stdout.splitlines()}
        self.assertEqual(chosen("--where", "to=x1@elsewhere.test"), {one})
        self.assertEqual(chosen("--where", 'reason~"451 4\\.2\\.0" and age<1h and queue=deferred and attempts=1'), {one, two})
        self.assertEqual(chosen("--where", "to~x1 and size>1M"), set())
        self.assertEqual(len(chosen("--limit", "1")), 1)
        self.assertEqual(self.mta.command("postqueue", "--where", "domain=elsewhere.test", "--count").stdout, b"2\n")
        self.assertEqual(self.mta.command("postqueue", "--by", "destination").stdout, b"       2 elsewhere.test\n")
        self.assertIn(b"said: 451 4.2.0 later", self.mta.command("postqueue", "--by", "reason", "-j").stdout)
        text = self.mta.command("postqueue", "-p", "--where", "to~x2", "--sort", "age").stdout.decode()
        self.assertIn("x2@elsewhere.test", text)
        self.assertNotIn("x1@elsewhere.test", text)
        self.assertRegex(text, r"\n-- \d+ Kbytes in 1 Request\.\n$")
        wrong = self.mta.command("postqueue", "--where", "age>soon", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn(b"--where: column 9: expected a time", wrong.stderr)
        self.assertEqual(self.mta.command("postsuper", "-h", "WHERE", "--where", "to~x1", check=False).returncode, 1)
        self.mta.command("postsuper", "-h", "WHERE", "--where", "to~x1", "--yes")
        self.assertEqual(chosen("--where", "queue=hold"), {one})
        self.assertEqual(self.mta.command("postsuper", "-d", "WHERE", "--where", "not queue=hold", "--yes").stderr,
                         b"postsuper: Deleted: 1 message\n")
        self.assertEqual(chosen(), {one})

    def test_shape(self):
        lines = [line.split() for line in self.mta.command("qshape", "deferred").stdout.decode().splitlines()]
        self.assertEqual(lines[0], "T 5 10 20 40 80 160 320 640 1280 1280+".split())
        self.assertEqual(lines[1:], [["TOTAL", "2", "2"] + ["0"] * 9, ["elsewhere.test", "2", "2"] + ["0"] * 9])
        lines = [line.split() for line in self.mta.command("qshape", "-s", "-b", "2", "-t", "1", "deferred").stdout.decode().splitlines()]
        self.assertEqual(lines, [["T", "1", "1+"], ["TOTAL", "2", "2", "0"], ["example.test", "2", "2", "0"]])
        self.assertEqual(self.mta.command("qshape", "hold").stdout.split()[11:14], [b"TOTAL", b"0", b"0"])
        self.assertEqual(self.mta.command("qshape", "-b", "0", check=False).returncode, 1)

    def test_trace(self):
        one = self.ids["x1@elsewhere.test"]
        text = self.mta.command("posttrace", one).stdout.decode()
        self.assertRegex(text, rf"^{one}\n(  \w{{3}} [ \d]\d [\d:]+  \w+ +[^\n]*\n)+$")
        for words in (f"from=<{HERE}>", "pickup    uid=", "smtp      to=<x1@elsewhere.test>", "said: 451 4.2.0 later"):
            self.assertIn(words, text)
        self.assertEqual(self.mta.command("posttrace", "x1@elsewhere.test").stdout.decode(), text)
        with open(self.mta.log_path, "rb") as log:
            piped = self.mta.command("posttrace", "--log", "-", "--json", one, stdin=log.read()).stdout
        events = [json.loads(line) for line in piped.splitlines()]
        self.assertEqual({e["queue_id"] for e in events}, {one})
        self.assertEqual(len(events), len(text.splitlines()) - 1)
        # What comes of it belongs to it: the notice to the sender.
        self.sink.refuse = "550 5.1.1 nobody"
        self.mta.command("postqueue", "-f")
        self.mta.wait_log("sender non-delivery notification")
        wait_until(lambda: "Undelivered" in "".join(m.decode() for m in self.mta.mailbox(USER)), what="notice")
        text = self.mta.command("posttrace", one).stdout.decode()
        self.assertIn("status=bounced", text)
        self.assertRegex(text, r"from=<>[^\n]*\n(.*\n)*.*relay=local[^\n]*status=sent")
        missing = self.mta.command("posttrace", "nobody@nowhere.test", check=False)
        self.assertEqual((missing.returncode, missing.stdout), (1, b""))

    def test_delete_from_a_list(self):
        self.mta.command("postsuper", "-d", "-", stdin="\n".join(self.ids.values()).encode() + b"\n")
        self.assertTrue(self.empty())


class Other(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mta = Instance({"mail_x": "${mydomain}", "relay_domains": "a.test, ${mail_x}"},
                           master_cf_extra="submission inet n - n - - smtpd -o smtpd_helo_required=yes\n".replace("submission", f"127.0.0.1:{free_port()}"))
        cls.addClassCleanup(cls.mta.close)

    def conf(self, *arguments, **more):
        return self.mta.command("postconf", *arguments, **more).stdout.decode()

    def test_postconf(self):
        self.assertEqual(self.conf("myhostname"), "myhostname = mail.example.test\n")
        self.assertEqual(self.conf("-h", "myhostname"), "mail.example.test\n")
        self.assertEqual(self.conf("-d", "smtpd_timeout", "queue_run_delay"), "smtpd_timeout = ${stress?{10}:{300}}s\nqueue_run_delay = 300s\n")
        self.assertEqual(self.conf("relay_domains"), "relay_domains = a.test, ${mail_x}\n")
        self.assertEqual(self.conf("-x", "relay_domains"), "relay_domains = a.test, example.test\n")
        named = [line.split(" = ")[0] for line in self.conf("-n").splitlines()]
        self.assertEqual(sorted(set(named)), named)
        self.assertIn("maillog_file", named)
        self.assertNotIn("smtpd_timeout", named)
        self.assertRegex(self.conf("-M"), r"(?m)^smtp +unix +")
        self.assertRegex(self.conf("-P"), r"/inet/smtpd_helo_required = yes\n")

    def test_postconf_edits(self):
        self.conf("-e", "smtpd_timeout = 77s")
        self.assertEqual(self.conf("smtpd_timeout"), "smtpd_timeout = 77s\n")
        self.conf("-X", "smtpd_timeout")
        self.assertEqual(self.conf("-n", "smtpd_timeout"), "")

    def test_postlog(self):
        self.mta.command("postlog", "-p", "warn", "-t", "mine", "a word")
        self.mta.command("postlog", stdin=b"line one\nline two\n")
        self.assertRegex(self.mta.log(), r"mine(\[\d+\])?: warning: a word")
        self.assertIn("line two", self.mta.log())

    def test_postmap(self):
        path = f"{self.mta.etc}/map"
        with open(path, "w") as f:
            f.write("# comment\nkey value one\nother\n  continued\n")
        for kind in ("hash", "btree"):
            self.mta.command("postmap", f"{kind}:{path}")
            self.assertEqual(self.mta.command("postmap", "-q", "key", f"{kind}:{path}").stdout, b"value one\n")
            self.assertEqual(self.mta.command("postmap", "-q", "-", f"{kind}:{path}", stdin=b"other\nkey\nnone\n").stdout,
                             b"other\tcontinued\nkey\tvalue one\n")
            self.assertEqual(self.mta.command("postmap", "-q", "none", f"{kind}:{path}", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
