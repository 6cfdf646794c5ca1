# SPDX-License-Identifier: ISC
"""The local agent: aliases, .forward files, mailboxes, commands, and what stands in for unknown users."""

import glob
import json
import os
import pwd
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, wait_until  # noqa: E402

BODY = b"Subject: test\r\nFrom: a@example.test\r\n\r\nFrom here on\r\nlast\r\n"
ROOT = os.getuid() == 0
# Users of every Debian; local_mailbox_root gives them a home folder.
USERS = ("games", "news", "irc", "uucp", "list", "backup")
PROGRAM = """#!/usr/bin/python3
import json, os, sys
path = sys.argv[1]
out = {"argv": sys.argv[2:], "env": dict(os.environ), "uids": os.getresuid(), "gids": os.getresgid(),
       "stdin": sys.stdin.buffer.read().decode("latin-1"), "cwd": os.getcwd(), "fds": len(os.listdir("/proc/self/fd"))}
with open(path + ".tmp", "w") as f:
    json.dump(out, f)
os.rename(path + ".tmp", path)
"""


class Local(unittest.TestCase):
    main_cf = {}
    aliases = "postmaster: root\n"
    master_cf = ""

    @classmethod
    def setUpClass(cls):
        cls.mta = Instance(dict({"recipient_delimiter": "+", "local_recipient_maps": ""}, **cls.main_cf),
                           master_cf_extra=cls.master_cf)
        cls.out = cls.mta.dir + "/out"
        os.mkdir(cls.out)
        os.chmod(cls.out, 0o1777)
        cls.program = cls.mta.dir + "/program"
        with open(cls.program, "w") as f:
            f.write(PROGRAM)
        os.chmod(cls.program, 0o755)
        for user in USERS:
            os.mkdir(f"{cls.mta.mail}/{user}", 0o700)
            if ROOT:
                p = pwd.getpwnam(user)
                os.chown(f"{cls.mta.mail}/{user}", p.pw_uid, p.pw_gid)
        with open(cls.mta.etc + "/aliases", "w") as f:
            f.write(cls.aliases.format(out=cls.out, program=cls.program, etc=cls.mta.etc))
        cls.mta.command("postalias", f"hash:{cls.mta.etc}/aliases")
        cls.prepare()
        try:
            cls.mta.start()
        except BaseException:
            cls.mta.close()
            raise

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()

    @classmethod
    def forward(cls, user, text, name=".forward", mode=0o600, owner=None):
        path = f"{cls.mta.mail}/{user}/{name}"
        with open(path, "w") as f:
            f.write(text.format(out=cls.out, program=cls.program))
        os.chmod(path, mode)
        if ROOT:
            p = pwd.getpwnam(owner or user)
            os.chown(path, p.pw_uid, p.pw_gid)

    def send(self, *to, sender="a@example.test", body=BODY):
        with self.mta.smtp() as s:
            s.sendmail(sender, [f"{t}@example.test" for t in to], body)

    def lines(self, orig):
        """What became of each target of mail for this recipient."""
        key = f"to=<{orig}@example.test>"
        return [l[l.index("dsn="):] for l in self.mta.log().splitlines()
                if "relay=local" in l and (f"orig_{key}" in l or f" {key}, relay" in l)]

    def wait_lines(self, orig, count=1):
        try:
            return wait_until(lambda: len(self.lines(orig)) >= count and self.lines(orig), 30,
                              f"{count} results for {orig}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.mta.log()[-4000:]}")

    def dumped(self, name):
        path = f"{self.out}/{name}"
        wait_until(lambda: os.path.exists(path), 30, name + "\n" + self.mta.log())
        with open(path) as f:
            return json.load(f)


class Aliases(Local):
    main_cf = {"command_time_limit": "2s", "allow_mail_to_files": "alias, forward"}
    aliases = """
cmd: "|{program} {out}/cmd one two"
shell: "|echo $LOCAL > {out}/shell; exit 0"
fails: "|echo no; exit 69"
hangs: "|exec sleep 600"
file: {out}/box
dir: {out}/dir/
null: /dev/null
many: games, Games, many2, games@example.test
many2: games, news
self: self, games
ring1: ring2
ring2: ring1
team: :include:{etc}/list
bad: :include:{etc}/bad
team-x: far@elsewhere.test, games
owner-team-x: boss
mixed: games, .nobody, news
away: x@elsewhere.test, y@elsewhere.test
"""

    @classmethod
    def prepare(cls):
        with open(cls.mta.etc + "/list", "w") as f:
            f.write("# who is in it\ngames\n\nnews, irc\n")
        with open(cls.mta.etc + "/bad", "w") as f:
            f.write("|/bin/touch " + cls.out + "/evil\n/" + cls.out + "/evil\n")
        cls.mta.settings["transport_maps"] = "inline:{ {elsewhere.test=retry:not now} }"
        cls.mta.write_main_cf()

    def test_command(self):
        self.send("cmd+$id{x}", sender="s~x@example.test")
        got = self.dumped("cmd")
        self.assertEqual(got["argv"], ["one", "two"])
        env = got["env"]
        self.assertEqual(env["EXTENSION"], "_id_x_")
        self.assertEqual((env["USER"], env["LOCAL"], env["DOMAIN"]), ("cmd", "cmd+_id_x_", "example.test"))
        self.assertEqual(env["SENDER"], "s_x@example.test")
        self.assertEqual(env["CLIENT_ADDRESS"], "127.0.0.1")
        self.assertTrue(set(env) <= {
            "PATH", "TZ", "LANG", "LC_CTYPE", "MAIL_CONFIG", "USER", "LOGNAME", "LOCAL", "DOMAIN", "EXTENSION", "RECIPIENT",
            "SENDER", "ORIGINAL_RECIPIENT", "CLIENT_ADDRESS", "CLIENT_HELO", "CLIENT_HOSTNAME", "CLIENT_PROTOCOL"}, env)
        self.assertTrue(got["stdin"].startswith("From s~x@example.test  "))
        self.assertIn("\nDelivered-To: cmd+$id{x}@example.test\n", got["stdin"])
        self.assertTrue(got["stdin"].endswith("\n\nFrom here on\nlast\n"))
        self.assertEqual(got["fds"], 4)  # 0, 1, 2, and the folder that is being listed
        if ROOT:
            nobody = pwd.getpwnam("nobody")
            self.assertEqual(got["uids"] + got["gids"], [nobody.pw_uid] * 3 + [nobody.pw_gid] * 3)
        self.assertTrue(self.wait_lines("cmd+$id{x}")[0].startswith(
            f"dsn=2.0.0, status=sent (delivered to command: {self.program} {self.out}/cmd one two)"))

    def test_shell_and_failures(self):
        self.send("shell")
        self.wait_lines("shell")
        with open(self.out + "/shell") as f:
            self.assertEqual(f.read(), "shell\n")
        self.send("fails")
        self.assertEqual(self.wait_lines("fails")[0],
                         "dsn=5.3.0, status=bounced (service unavailable. Command output: no)")
        self.send("hangs")
        self.assertEqual(self.wait_lines("hangs")[0],
                         'dsn=5.3.0, status=bounced (Command time limit exceeded: "exec sleep 600")')

    def test_files(self):
        self.send("file")
        self.assertIn(f"delivered to file: {self.out}/box", self.wait_lines("file")[0])
        with open(self.out + "/box", "rb") as f:
            self.assertTrue(f.read().endswith(b"\n\n>From here on\nlast\n\n"))
        if ROOT:
            self.assertEqual(os.stat(self.out + "/box").st_uid, pwd.getpwnam("nobody").pw_uid)
        self.send("dir")
        self.wait_lines("dir")
        self.assertEqual(len(glob.glob(self.out + "/dir/new/*")), 1)
        self.send("null")
        self.assertIn("delivered to file: /dev/null", self.wait_lines("null")[0])

    def test_each_target_once(self):
        self.send("many")
        self.wait_lines("many", 2)
        self.mta.wait_log(": removed")
        self.assertEqual(len(self.lines("many")), 2)

    def test_recursion_ends(self):
        self.send("self")
        got = self.wait_lines("self", 2)  # the mailbox of that name, and games
        self.assertEqual([l for l in got if "delivered to maildir" not in l], [])
        self.send("ring1")
        self.assertIn("status=bounced", self.wait_lines("ring1")[0])

    def test_include(self):
        self.send("team")
        self.assertEqual([l for l in self.wait_lines("team", 3) if "status=sent" not in l], [])
        self.send("bad")
        self.assertEqual(sorted(self.wait_lines("bad", 2)),
                         ["dsn=5.7.1, status=bounced (mail to command is restricted)",
                          "dsn=5.7.1, status=bounced (mail to file is restricted)"])
        self.assertFalse(os.path.exists(self.out + "/evil"))

    def test_owner_is_the_sender(self):
        self.send("team-x")
        line = next(l for l in self.wait_lines("team-x", 2) if "forwarded as" in l)
        queue_id = line[line.index("forwarded as ") + 13:].rstrip(")")
        text = self.mta.command("postcat", "-q", queue_id).stdout
        self.assertIn(b"owner-team-x@", text)
        found = wait_until(lambda: [t for t in map(lambda p: open(p, "rb").read(),
                                                   glob.glob(self.mta.mail + "/games/Maildir/new/*"))
                                    if b"\nDelivered-To: team-x@" in t], 30, "mail")
        self.assertTrue(found[0].startswith(b"Return-Path: <owner-team-x@"), found[0][:100])

    def test_one_new_message_for_all(self):
        self.send("away")
        self.assertEqual(len(self.wait_lines("away")), 1)
        self.mta.wait_log("to=<y@elsewhere.test>, orig_to=<away@example.test>")

    def test_the_worst_counts(self):
        self.send("mixed", sender="games@example.test")
        self.assertEqual(sorted(l[4:9] for l in self.wait_lines("mixed", 3)), ["2.0.0", "2.0.0", "5.1.1"])


class Forwards(Local):
    aliases = "alias: games\n"

    @classmethod
    def prepare(cls):
        cls.forward("games", "# mine\n\\games, \"|{program} {out}/games\"\n{out}/games-box\n")
        cls.forward("news", "news, alias\n")
        cls.forward("irc", "/etc/passwd-of-another\n", mode=0o666)
        cls.forward("uucp", "\n# nothing\n")
        cls.forward("uucp", "|\"{program} {out}/ext $EXTENSION\"\n", name=".forward+ext")
        if ROOT:
            cls.forward("list", "|{program} {out}/stolen\n", owner="games", mode=0o644)

    def mails(self, user):
        return wait_until(lambda: self.mta.mailbox(user), 30, user + "\n" + self.mta.log())

    def test_all_kinds(self):
        self.send("games")
        got = self.dumped("games")
        self.assertEqual(len(self.wait_lines("games", 3)), 3)
        self.mails("games")
        if ROOT:
            p = pwd.getpwnam("games")
            self.assertEqual(got["uids"] + got["gids"], [p.pw_uid] * 3 + [p.pw_gid] * 3)
            self.assertEqual(os.stat(self.out + "/games-box").st_uid, p.pw_uid)
        self.assertEqual(got["env"]["HOME"], self.mta.mail + "/games")

    def test_own_name_is_the_mailbox(self):
        self.send("news")
        self.mails("news")
        self.assertEqual(len(self.wait_lines("news", 4)), 4)

    def test_files_that_others_can_write_to_are_not_used(self):
        self.send("irc")
        self.mails("irc")
        self.mta.wait_log("can be written to by everybody: the file is not used")
        if ROOT:
            self.send("list")
            self.mails("list")
            self.mta.wait_log("belongs to another user: the file is not used")
            self.assertFalse(os.path.exists(self.out + "/stolen"))

    def test_extension(self):
        self.send("uucp")
        self.mails("uucp")
        self.send("uucp+ext")
        self.assertEqual(self.dumped("ext")["argv"], ["ext"])

    def test_loop(self):
        self.send("backup", body=b"Delivered-To: Backup@Example.test\r\n" + BODY)
        self.assertIn("mail forwarding loop for backup@example.test", self.wait_lines("backup")[0])


class MailboxCommand(Local):
    main_cf = {"mailbox_command_maps": "inline:{ {news=/bin/false} }", "luser_relay": "games+$local"}

    @classmethod
    def prepare(cls):
        cls.mta.settings["mailbox_command"] = f'{cls.program} {cls.out}/box-$USER "$EXTENSION"'
        cls.mta.write_main_cf()

    def test_command_for_mailboxes(self):
        self.send("Games+x")
        self.assertEqual(self.dumped("box-games")["argv"], ["x"])
        self.send("news")
        self.assertIn("status=bounced (Command died with status 1", self.wait_lines("news")[0])


class Transports(Local):
    main_cf = {"mailbox_transport_maps": "inline:{ {games=keep:there} {news=error:5.2.1 closed} }",
               "fallback_transport": "keep:fallback", "mailbox_size_limit": "0", "home_mailbox": ""}
    master_cf = "keep unix - n n - - pipe\n  user={user} argv=/usr/bin/env OUT=1 {{/bin/sh}} -c\n  {{cat >/tmp/nothing}}\n"

    @classmethod
    def setUpClass(cls):
        user = "nobody" if ROOT else pwd.getpwuid(os.getuid()).pw_name
        cls.master_cf = (f"keep unix - n n - - pipe\n  user={user} argv=/bin/sh -c\n"
                         "  {cat >/dev/null; echo ${nexthop} ${recipient}}\n")
        super().setUpClass()

    def test_mailbox_transport(self):
        self.send("games")
        self.mta.wait_log("to=<games@example.test>, relay=keep")
        self.mta.wait_log("status=sent (delivered via keep service (there games@example.test))")
        self.send("news")
        self.assertEqual(self.wait_lines("news")[0], "dsn=5.2.1, status=bounced (closed)")

    def test_fallback_transport(self):
        self.send("nobody-at-all+x")
        # local_mailbox_root makes a mailbox for any name that may be a file's.
        self.wait_lines("nobody-at-all+x")
        self.send(".dot")
        self.mta.wait_log("status=sent (delivered via keep service (fallback .dot@example.test))")

    def test_mbox(self):
        self.send("irc")
        self.assertEqual(self.wait_lines("irc")[0], "dsn=2.0.0, status=sent (delivered to mailbox)")


@unittest.skipUnless(ROOT, "mailboxes of several users: needs root")
class Spool(unittest.TestCase):
    """Mailboxes in one folder that is root's, or a group's."""

    def deliver(self, mode, group):
        mta = Instance({"local_mailbox_root": "", "home_mailbox": "", "forward_path": "", "local_recipient_maps": ""})
        spool = mta.settings["mail_spool_directory"] = mta.dir + "/mailboxes"
        mta.write_main_cf()
        os.mkdir(spool)
        os.chown(spool, 0, group)
        os.chmod(spool, mode)
        try:
            mta.start()
            with mta.smtp() as s:
                s.sendmail("a@example.test", ["games@example.test", "root@example.test"], BODY)
            for user in ("games", "root"):
                wait_until(lambda: os.path.exists(f"{spool}/{user}") and os.path.getsize(f"{spool}/{user}") > 0, 30,
                           "mailbox of " + user)
                st = os.stat(f"{spool}/{user}")
                self.assertEqual((st.st_uid, st.st_mode & 0o777), (pwd.getpwnam(user).pw_uid, 0o600))
            mta.wait_log("status=sent (delivered to mailbox)")
            self.assertEqual(sorted(os.listdir(spool)), ["games", "root"])
        finally:
            mta.close()

    def test_folder_of_a_group(self):
        self.deliver(0o2775, 8)

    def test_folder_of_root(self):
        self.deliver(0o755, 0)


if __name__ == "__main__":
    unittest.main()
