# SPDX-License-Identifier: ISC
"""
kill -9 of every kind of process, master with them, while mail flows to another server, into a mailbox and
back as notices: what got its 250 arrives.  POSTRIDER_CRASH_MESSAGES and _KILLS make it longer (make torture).
The same with Debian's Postfix, of which nothing is lost either: the harness finds no loss where there is none.
"""

import collections
import glob
import os
import pwd
import random
import re
import signal
import smtplib
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
sys.path.insert(0, os.path.join(HERE, "..", "compat"))
from instance import Instance, local_user, wait_until  # noqa: E402
from peers import Postfix, installed  # noqa: E402
from test_mail_flow import Sink  # noqa: E402

MESSAGES = int(os.environ.get("POSTRIDER_CRASH_MESSAGES", "400"))
KILLS = int(os.environ.get("POSTRIDER_CRASH_KILLS", "2"))  # of each kind
CLIENTS = 6
KINDS = ("smtpd", "cleanup", "qmgr", "smtp", "local", "bounce", "resolver", "pickup", "showq", "master")
USER = local_user()
FILLING = b"x" * 900


def children(pid):
    """Processes that this master started: (pid, name)."""
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            listed = f.read().split()
    except OSError:
        return found
    for child in listed:
        try:
            with open(f"/proc/{child}/comm") as comm:
                found.append((int(child), comm.read().strip()))
        except OSError:
            pass
    return found


class Picky(Sink):
    """Refuses those whose name begins with "gone"."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 nobody here"
        return await super().handle_RCPT(server, session, envelope, address, options)


class Ours(Instance):
    def __init__(self, relay):
        super().__init__({"relayhost": relay, "minimal_backoff_time": "1s", "maximal_backoff_time": "2s"})

    def master(self):
        return self.process.pid

    def restart_after_kill(self):
        self.process.wait()
        self.start()

    def list(self):
        return self.command("postqueue", "-p", check=False).stdout


class Theirs(Postfix):
    KINDS = ("smtpd", "cleanup", "qmgr", "smtp", "virtual", "bounce", "trivial-rewrite")

    def __init__(self, relay):
        uid = pwd.getpwnam(USER).pw_uid
        super().__init__({
            "relayhost": relay, "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s",
            "service_throttle_time": "1s", "transport_retry_time": "1s", "virtual_mailbox_domains": "example.test", "virtual_mailbox_base": "%(dir)s/mail",
            "virtual_mailbox_maps": "static:Maildir/", "virtual_uid_maps": f"static:{uid}", "virtual_gid_maps": "static:65534", "virtual_minimum_uid": "1",
            "mydestination": "", "smtpd_client_connection_count_limit": "0", "notify_classes": ""})
        os.mkdir(self.etc + "/mail")
        os.chmod(self.etc + "/mail", 0o1777)

    def master(self):
        with open(self.spool + "/pid/master.pid") as f:
            return int(f.read())

    def mailbox(self, unused):
        found = []
        for path in glob.glob(self.etc + "/mail/Maildir/new/*"):
            with open(path, "rb") as f:
                found.append(f.read().replace(b"\n", b"\r\n"))
        return found

    def list(self):
        # What was left to a dead process waits for minutes unless it is asked for.
        self.lookup_command("postqueue", "-f")
        return self.lookup_command("postqueue", "-p")[1]

    def log(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()


class Kill(unittest.TestCase):
    kinds = KINDS

    def setUp(self):
        self.lock = threading.Lock()
        self.waiting, self.made = [], 0
        self.acknowledged = set()
        self.killed = collections.Counter()

    @staticmethod
    def recipient(number):
        return (f"{USER}@example.test", "gone@elsewhere.test", "x@elsewhere.test")[number % 3]

    def next_number(self):
        """Mail flows for as long as somebody is left to be killed; None: enough."""
        with self.lock:
            if self.waiting:
                return self.waiting.pop()
            if self.made >= MESSAGES and all(self.killed[kind] >= KILLS for kind in self.kinds):
                return None
            self.made += 1
            return self.made - 1

    def client(self):
        while True:
            number = self.next_number()
            if number is None:
                return
            body = f"Subject: {number}\r\nX-Number: {number}\r\n\r\n".encode() + FILLING + b"\r\n"
            try:
                with smtplib.SMTP("127.0.0.1", self.mta.port, timeout=60) as s:
                    s.sendmail(f"{USER}@example.test", [self.recipient(number)], body)
                with self.lock:
                    self.acknowledged.add(number)
            except (OSError, smtplib.SMTPException):
                with self.lock:
                    self.waiting.append(number)  # as a real client: again, a moment later
                time.sleep(0.05)

    def kill_one(self, kind):
        if self.killed[kind] >= KILLS:
            return
        if kind == "master":
            os.kill(self.mta.master(), signal.SIGKILL)
            self.killed[kind] += 1
            self.mta.restart_after_kill()
            return
        for pid, name in children(self.mta.master()):
            if name == kind:
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.killed[kind] += 1
                except ProcessLookupError:
                    pass  # ended by itself
                return

    def kill_while_mail_flows(self):
        threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for t in threads:
            t.start()
        chance = random.Random(1)
        while any(t.is_alive() for t in threads):
            for kind in chance.sample(self.kinds, len(self.kinds)):
                if kind == "showq":  # runs when it is asked only
                    self.mta.list()
                self.kill_one(kind)
                threads[0].join(chance.random() * 0.2)
        for t in threads:
            t.join()

    def arrived(self, sink):
        """How often each number came: at the other server, in the mailbox, in a notice."""
        found = collections.Counter()
        for text in [m[2] for m in list(sink.messages)] + self.mta.mailbox(USER):
            self.assertEqual(text.count(FILLING), 1, "a message is cut, or two are one")
            found[int(re.search(rb"X-Number: (\d+)", text).group(1))] += 1
        return found

    def test_every_acknowledged_message_arrives(self):
        self.kill_and_count(lambda relay: Ours(relay).start())

    @unittest.skipUnless(installed(), "needs Debian's Postfix, as root")
    def test_nor_does_postfix_lose_any(self):
        self.kinds = Theirs.KINDS
        self.kill_and_count(Theirs)

    def kill_and_count(self, start):
        with Picky() as sink:
            self.mta = start(f"[127.0.0.1]:{sink.port}")
            try:
                self.kill_while_mail_flows()
                self.assertEqual(len(self.acknowledged), self.made)
                wait_until(lambda: self.mta.list().startswith(b"Mail queue is empty"), 240, "empty queue; log:\n" + self.mta.log()[-4000:])
                copies = self.arrived(sink)
                self.assertEqual(self.acknowledged - set(copies), set(), "lost; log:\n" + self.mta.log()[-4000:])
                print(f"killed {dict(self.killed)}; {len(copies)} messages, {sum(copies.values()) - len(copies)} duplicates",
                      file=sys.stderr)
            finally:
                self.mta.close()


if __name__ == "__main__":
    unittest.main()
