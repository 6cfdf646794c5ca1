# SPDX-License-Identifier: ISC
"""The pipe agent: mail goes to a program of master.cf."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, wait_until  # noqa: E402

BODY = b"Subject: test\r\nFrom: a@example.test\r\n\r\nFrom here on\r\n.dot\r\nlast\r\n"
ROOT = os.getuid() == 0
PROGRAM = """#!/usr/bin/python3
import json, os, sys
out = {
    "argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "ids": [os.getresuid(), os.getresgid()],
    "groups": os.getgroups(), "stdin": sys.stdin.buffer.read().decode("latin-1"),
    "fds": sorted(os.listdir("/proc/self/fd")),
    "seccomp": [l.split()[1] for l in open("/proc/self/status") if l.startswith(("Seccomp:", "NoNewPrivs:"))],
}
with open(os.environ["OUT"] + ".tmp", "w") as f:
    json.dump(out, f)
os.rename(os.environ["OUT"] + ".tmp", os.environ["OUT"])
"""


class Pipe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        user = "nobody" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name
        services = {
            "dump": "flags=hqu null_sender= argv={p} -f ${{sender}} -h $nexthop -s ${{size}} -- ${{recipient}} {{<$user|$extension|$domain>}}",
            "fields": "flags=DFORXB>. eol=\\r\\n directory=/tmp argv={p}",
            "noroom": "size=100 argv={p}",
            "fail": "argv=/bin/sh -c {{echo it went wrong; exit ${{user}}}}",
            "status": "argv=/bin/sh -c {{echo 4.7.9 not today; exit 1}}",
            "killed": "argv=/bin/sh -c {{kill -9 $$$$}}",
            "slow": "argv=/bin/sh -c {{exec sleep 600}}",
            "deaf": "argv=/bin/true",
            "gone": "argv=/nonexistent/program",
            "noflag": "flags=D argv=/bin/true",
        }
        settings = {
            "transport_maps": "inline:{" + " ".join(f"{{{s}.test={s}:host.EXAMPLE}}" for s in services) + "}",
            "relay_domains": " ".join(f"{s}.test" for s in services),
            "recipient_delimiter": "+",
            "slow_time_limit": "1s",
            "fields_destination_recipient_limit": "1",
        }
        cls.mta = Instance(settings)
        cls.out = cls.mta.mail + "/out"
        program = cls.mta.dir + "/program"
        with open(program, "w") as f:
            f.write(PROGRAM)
        os.chmod(program, 0o755)
        cls.mta.settings["export_environment"] = f"LANG, OUT={cls.out}"
        cls.mta.write_main_cf()
        with open(cls.mta.etc + "/master.cf", "a") as f:
            for name, text in services.items():
                f.write(f"{name} unix - n n - 10 pipe\n  user={user} {text.format(p=program)}\n")
        try:
            cls.mta.start()
        except BaseException:
            cls.mta.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()

    def send(self, *to, sender="Some One@example.test", body=BODY):
        with self.mta.smtp() as s:
            s.ehlo()
            sender = '"Some One"@example.test' if sender == "Some One@example.test" else sender
            self.assertEqual(s.docmd(f"MAIL FROM:<{sender}>")[0], 250)
            for address in to:
                self.assertEqual(s.docmd(f"RCPT TO:<{address}>")[0], 250)
            self.assertEqual(s.data(body)[0], 250)

    def dumped(self):
        wait_until(lambda: os.path.exists(self.out), 30, "output\n" + self.mta.log())
        with open(self.out) as f:
            got = json.load(f)
        os.unlink(self.out)
        return got

    def test_arguments_and_environment(self):
        self.send("A+Ext@DUMP.test", '"b; touch x `id` $(id)"@dump.test')
        got = self.dumped()
        argv = got["argv"]
        size = argv.pop(5)
        self.assertGreater(int(size), len(BODY))
        # Both recipients; quoted (q), in lower case (h, u); no shell ever sees them.
        self.assertEqual(argv[:6], ["-f", '"Some One"@example.test', "-h", "host.example", "-s", "--"])
        self.assertEqual(sorted(argv[6:]), sorted([
            "a+ext@dump.test", '"b; touch x `id` $(id)"@dump.test', "<a|ext|dump.test>",
            "<b; touch x `id` $(id)||dump.test>"]))
        self.assertEqual(set(got["env"]) - {"LC_CTYPE", "LANG"}, {"PATH", "OUT"})
        self.assertEqual(got["fds"], ["0", "1", "2", "3"])  # 3: the folder that is being listed
        self.assertTrue(got["stdin"].endswith("\n\nFrom here on\n.dot\nlast\n"), got["stdin"])
        self.assertNotIn("Return-Path", got["stdin"])
        self.assertEqual(got["cwd"], os.path.realpath(self.mta.settings["queue_directory"]))
        if ROOT:
            self.assertNotIn(0, got["ids"][0] + got["ids"][1] + got["groups"])
            self.assertEqual(got["seccomp"], ["0", "0"])
        self.mta.wait_log("relay=dump, delay=")
        self.mta.wait_log("dsn=2.0.0, status=sent (delivered via dump service)")

    def test_null_sender(self):
        self.send("n@dump.test", sender="")
        self.assertEqual(self.dumped()["argv"][:3], ["-f", "", "-h"])

    def test_fields_and_quoting(self):
        self.send("User@fields.test")
        got = self.dumped()
        lines = got["stdin"].split("\r\n")
        self.assertTrue(lines[0].startswith('From "Some One"@example.test  '), lines[0])
        self.assertEqual(lines[1:4], ['Return-Path: <"Some One"@example.test>', "X-Original-To: User@fields.test",
                                      "Delivered-To: User@fields.test"])
        self.assertEqual(lines[-5:], [">From here on", "..dot", "last", "", ""])
        self.assertEqual(got["cwd"], "/tmp")
        self.send("user@fields.test", body=b"Delivered-To: User@fields.test\r\n" + BODY)
        self.mta.wait_log("status=bounced (mail forwarding loop for user@fields.test)")

    def outcome(self, to):
        self.send(to)
        self.mta.wait_log(f"to=<{to}>, relay=")
        line = [l for l in self.mta.log().splitlines() if f"to=<{to}>, relay=" in l][-1]
        return line[line.index("dsn="):]

    def test_how_programs_end(self):
        for to, expected in (
                ("67@fail.test", "dsn=5.1.1, status=bounced (user unknown. Command output: it went wrong)"),
                ("75@fail.test", "dsn=4.3.0, status=deferred (temporary failure. Command output: it went wrong)"),
                ("9@fail.test", 'dsn=5.3.0, status=bounced (Command died with status 9: "/bin/sh". Command output: it went wrong)'),
                ("0@fail.test", "dsn=2.0.0, status=sent (delivered via fail service (it went wrong))"),
                ("x@status.test", "dsn=4.7.9, status=deferred (not today)"),
                ("x@killed.test", 'dsn=4.3.0, status=deferred (Command died with signal 9: "/bin/sh")'),
                ("x@slow.test", 'dsn=5.3.0, status=bounced (Command time limit exceeded: "/bin/sh")'),
                ("x@deaf.test", "dsn=2.0.0, status=sent (delivered via deaf service)"),
                ("x@gone.test", "dsn=4.3.0, status=deferred (cannot execute /nonexistent/program: No such file or directory)"),
                ("x@noflag.test", "dsn=4.3.5, status=deferred (mail system configuration error)")):
            self.assertEqual(self.outcome(to), expected)
        self.assertRegex(self.outcome("x@noroom.test"), "dsn=5.2.3, status=bounced .message size .* exceeds size limit 100")

    def test_a_program_that_does_not_read_all(self):
        self.send("big@deaf.test", body=BODY + (b"x" * 70 + b"\r\n") * 20000)
        self.mta.wait_log("to=<big@deaf.test>, relay=deaf")
        self.assertIn("status=sent", [l for l in self.mta.log().splitlines() if "to=<big@deaf.test>, relay=" in l][-1])


if __name__ == "__main__":
    unittest.main()
