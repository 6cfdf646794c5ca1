# SPDX-License-Identifier: ISC
"""
kill -9 of every kind of process, master with them, while mail flows to another server, into a mailbox and
back as notices: what got its 250 arrives.  POSTRIDER_CRASH_MESSAGES and _KILLS make it longer (make torture).
"""

import collections
import os
import random
import re
import signal
import smtplib
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from instance import Instance, local_user, wait_until  # noqa: E402
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


class Kill(unittest.TestCase):
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
            if self.made >= MESSAGES and all(self.killed[kind] >= KILLS for kind in KINDS):
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
            os.kill(self.mta.process.pid, signal.SIGKILL)
            self.mta.process.wait()
            self.killed[kind] += 1
            self.mta.start()
            return
        for pid, name in children(self.mta.process.pid):
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
            for kind in chance.sample(KINDS, len(KINDS)):
                if kind == "showq":  # runs when it is asked only
                    self.mta.command("postqueue", "-p", check=False)
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
        with Picky() as sink:
            self.mta = Instance({"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "1s",
                                 "maximal_backoff_time": "2s"})
            try:
                self.mta.start()
                self.kill_while_mail_flows()
                self.assertEqual(len(self.acknowledged), self.made)
                wait_until(lambda: self.mta.command("postqueue", "-p", check=False).stdout.startswith(b"Mail queue is empty"),
                           240, "empty queue; log:\n" + self.mta.log()[-4000:])
                copies = self.arrived(sink)
                self.assertEqual(self.acknowledged - set(copies), set(), "lost; log:\n" + self.mta.log()[-4000:])
                print(f"killed {dict(self.killed)}; {len(copies)} messages, {sum(copies.values()) - len(copies)} duplicates",
                      file=sys.stderr)
            finally:
                self.mta.close()


if __name__ == "__main__":
    unittest.main()
