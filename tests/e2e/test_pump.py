# SPDX-License-Identifier: ISC
"""
Postfix's smtp-source and smtp-sink pump mail through a relay: each message arrives once.  The log
of the run is then counted by Debian's pflogsumm, and it counts what was sent.
"""

import collections
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_mail_flow import Sink  # noqa: E402

MESSAGES = int(os.environ.get("POSTRIDER_PUMP", "10000"))
SOURCE = shutil.which("smtp-source", path=os.environ["PATH"] + ":/usr/sbin")
SINK = shutil.which("smtp-sink", path=os.environ["PATH"] + ":/usr/sbin")
USER = local_user()


class Pump(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-sink-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.port = free_port()
        # One file a message: "-D" writes what came, its envelope in front.
        self.sink = subprocess.Popen([SINK, "-u", "root", "-D", self.dir + "/%M.", f"127.0.0.1:{self.port}", "1000"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.sink.wait)
        self.addCleanup(self.sink.terminate)
        self.mta = Instance({"relayhost": f"[127.0.0.1]:{self.port}"})
        self.addCleanup(self.mta.close)
        self.mta.start()

    def test_each_message_arrives_once(self):
        done = subprocess.run([SOURCE, "-s", "20", "-m", str(MESSAGES), "-l", "2048", "-N", "-f", "from@example.test",
                               "-t", "to@elsewhere.test", f"127.0.0.1:{self.mta.port}"], capture_output=True, timeout=500)
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_until(lambda: self.mta.log().count(": removed\n") >= MESSAGES, 300, "end of all messages")
        # -N makes each recipient another one: 1to@, 2to@ …
        copies = collections.Counter()
        for path in glob.glob(self.dir + "/*"):
            with open(path, "rb") as f:
                copies.update(re.findall(rb"^X-Rcpt-Args: <(\d*to@elsewhere\.test)>", f.read(), re.M))
        self.assertEqual(len(copies), MESSAGES)
        self.assertEqual(set(copies.values()), {1})
        self.assertTrue(self.mta.command("postqueue", "-p").stdout.startswith(b"Mail queue is empty"))


class Summary(unittest.TestCase):
    """What pflogsumm makes of the log; it does not take a notice of ours for received mail, nor does it of Postfix's."""

    def test_counts_what_was_sent(self):
        with Sink() as good, Sink(refuse="550 5.1.1 nobody here") as bad, Sink(refuse="451 4.2.0 later") as slow:
            for sink, want, sent in ((good, {"received": 3, "delivered": 5, "deferred": 0, "bounced": 0, "rejected": 2}, 3),
                                     (bad, {"received": 1, "delivered": 1, "deferred": 0, "bounced": 1, "rejected": 0}, 1),
                                     (slow, {"received": 2, "delivered": 0, "deferred": 2, "bounced": 0, "rejected": 0}, 2)):
                self.assertEqual(self.summary(sink, sent), want)

    def summary(self, sink, sent):
        mta = Instance({"relayhost": f"[127.0.0.1]:{sink.port}", "mynetworks": "127.0.0.0/8"})
        try:
            mta.start()
            for i in range(sent):
                recipients = ["x@elsewhere.test"] + ([f"{USER}@example.test"] if i and not sink.refuse else [])
                with mta.smtp() as s:
                    s.sendmail(f"{USER}@example.test", recipients, f"Subject: {i}\r\n\r\nx\r\n")
            if not sink.refuse:
                for name in ("nobody.here", "nor.here"):
                    with mta.smtp() as s:
                        s.ehlo()
                        s.mail("a@elsewhere.test")
                        self.assertEqual(s.rcpt(f"{name}@example.test")[0], 550)
                wait_until(lambda: mta.log().count(": removed\n") >= sent, 60, "end of all; log:\n" + mta.log()[-3000:])
            elif sink.refuse.startswith("550"):
                mta.wait_mail(USER)
                wait_until(lambda: mta.log().count(": removed\n") >= 2, 60, "end of all; log:\n" + mta.log()[-3000:])
            else:
                wait_until(lambda: mta.log().count("status=deferred") >= sent, 60, "deferrals")
            mta.stop()
            done = subprocess.run(["pflogsumm", "--problems_first", mta.log_path], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
        finally:
            mta.close()
        counts = {}
        for word in ("received", "delivered", "deferred", "bounced", "rejected"):
            counts[word] = int(re.search(rf"^\s*(\d+)\s+{word}", done.stdout, re.M).group(1))
        return counts


if __name__ == "__main__":
    unittest.main()
