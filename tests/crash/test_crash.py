# SPDX-License-Identifier: ISC
"""kill -9 of every kind of process while mail flows: what got its 250 arrives."""

import collections
import os
import random
import re
import signal
import smtplib
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from instance import Instance, wait_until  # noqa: E402
from test_mail_flow import Sink  # noqa: E402

MESSAGES = 2500
CLIENTS = 6
KILLS = 3  # of each kind
KINDS = ("smtpd", "cleanup", "qmgr", "smtp", "resolver", "pickup")


def children(pid):
    """Processes that this master started: (pid, name)."""
    found = []
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        for child in f.read().split():
            try:
                with open(f"/proc/{child}/comm") as comm:
                    found.append((int(child), comm.read().strip()))
            except OSError:
                pass
    return found


class Kill(unittest.TestCase):
    def client(self, numbers):
        while True:
            with self.lock:
                if not numbers:
                    return
                number = numbers.pop()
            body = f"Subject: {number}\r\nX-Number: {number}\r\n\r\n".encode() + b"x" * 900 + b"\r\n"
            try:
                with smtplib.SMTP("127.0.0.1", self.mta.port, timeout=60) as s:
                    s.sendmail("a@example.test", ["x@elsewhere.test"], body)
                with self.lock:
                    self.acknowledged.add(number)
            except (OSError, smtplib.SMTPException):
                with self.lock:
                    numbers.append(number)  # as a real client: again

    def test_every_acknowledged_message_arrives(self):
        self.lock = threading.Lock()
        self.acknowledged = set()
        with Sink() as sink:
            self.mta = Instance({"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "1s",
                                 "maximal_backoff_time": "2s"})
            try:
                self.mta.start()
                numbers = list(range(MESSAGES))
                threads = [threading.Thread(target=self.client, args=(numbers,)) for _ in range(CLIENTS)]
                for t in threads:
                    t.start()
                killed = collections.Counter()
                chance = random.Random(1)
                while any(t.is_alive() for t in threads):
                    kind = chance.choice(KINDS)
                    for pid, name in children(self.mta.process.pid):
                        if name == kind and killed[kind] < KILLS:
                            try:
                                os.kill(pid, signal.SIGKILL)
                                killed[kind] += 1
                            except ProcessLookupError:
                                pass  # ended by itself
                            break
                    for t in threads:
                        t.join(0.1)
                        break
                for t in threads:
                    t.join()
                self.assertEqual(len(self.acknowledged), MESSAGES)

                def arrived():
                    return collections.Counter(
                        int(re.search(rb"X-Number: (\d+)", m[2]).group(1)) for m in list(sink.messages))
                wait_until(lambda: set(arrived()) >= self.acknowledged, 120,
                           f"arrival of all; missing {len(self.acknowledged - set(arrived()))}\n"
                           + self.mta.log()[-4000:])
                wait_until(lambda: self.mta.command("postqueue", "-p", check=False).stdout.startswith(b"Mail queue is empty"),
                           60, "empty queue")
                copies = arrived()
                print(f"killed {dict(killed)}; {sum(copies.values()) - len(copies)} duplicates", file=sys.stderr)
                self.assertGreater(sum(killed.values()), 5)
                for m in sink.messages:
                    self.assertEqual(m[2].count(b"x" * 900), 1)
            finally:
                self.mta.close()


if __name__ == "__main__":
    unittest.main()
