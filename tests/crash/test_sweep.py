# SPDX-License-Identifier: ISC
"""
At every system call that changes state, in every process on a message's way: kill -9 there, or have the call fail.
What got its 250 arrives, whole, and at most once more than there were kills; a fault of ours bounces nothing.

POSTRIDER_SWEEP=all sweeps all ways (make torture); by default one each.
"""

import collections
import mailbox
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, local_user, wait_until  # noqa: E402
from test_crash import Picky, children  # noqa: E402

USER = local_user()
ONLY = os.environ.get("POSTRIDER_SWEEP", "")
FILLING = b"x" * 900
# Those that a machine does not have are left out by the "?".
CALLS = ("?creat ?openat ?write ?pwrite64 ?writev ?fsync ?fdatasync ?sync_file_range ?rename ?renameat ?renameat2 ?link ?linkat "
         "?unlink ?unlinkat ?ftruncate ?fallocate ?fchmod ?fchown ?utimensat ?sendmsg ?sendto ?mkdir ?mkdirat ?copy_file_range "
         "?sendfile ?flock").split()
ERRORS = {"pwrite64": ("EIO", "ENOSPC", "EDQUOT", "EINTR"), "write": ("EIO", "ENOSPC", "EINTR"), "fsync": ("EIO", "ENOSPC"),
          "fdatasync": ("EIO", "ENOSPC"), "sync_file_range": ("EIO",), "openat": ("EMFILE", "ENOSPC", "EIO", "ENOMEM"),
          "rename": ("EIO", "ENOSPC"), "renameat": ("EIO",), "link": ("EIO", "ENOSPC"), "linkat": ("EIO",),
          "unlinkat": ("EIO",), "unlink": ("EIO",), "ftruncate": ("EIO",), "utimensat": ("EIO",)}


def descendants(pid):
    found = []
    for child, name in children(pid):
        found.append((child, name))
        found += descendants(child)
    return found


class Tracer:
    """strace on all processes of a name; ends with them, or when told."""

    def __init__(self, pids, *options):
        self.out = tempfile.NamedTemporaryFile(prefix="sweep-")
        args = ["strace", "-f", "-qq", "-o", self.out.name]
        for pid in pids:
            args += ["-p", str(pid)]
        self.process = subprocess.Popen(args + list(options), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: all(self.attached(pid) for pid in pids), 20, "strace attached")
        except AssertionError:
            self.process.kill()
            self.end()
            raise

    def attached(self, pid):
        if self.process.poll() is not None:
            return True
        try:
            with open(f"/proc/{pid}/status") as f:
                return f"TracerPid:\t{self.process.pid}\n" in f.read()
        except OSError:
            return True

    def fired(self):
        with open(self.out.name, errors="replace") as f:
            return re.search(r"killed by SIGKILL|INJECTED", f.read()) is not None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # it waits for a process that has ended under it
            self.process.wait()
        with open(self.out.name, errors="replace") as f:
            text = f.read()
        self.out.close()
        return text


class Way:
    """A way that a message takes: where it goes, and where it is found."""

    def __init__(self, name, processes, to=f"{USER}@example.test", main_cf=None, aliases="", submit="smtp"):
        self.name, self.processes, self.to, self.submit = name, processes, to, submit
        self.main_cf, self.aliases = main_cf or {}, aliases


WAYS = [
    Way("maildir", ("smtpd", "cleanup", "qmgr", "local")),
    Way("smtp", ("qmgr", "smtp"), to="x@elsewhere.test"),
    # A lock that could not be removed is there until it is stale.
    Way("mbox", ("local",), main_cf={"home_mailbox": "mbox", "stale_lock_time": "1s"}),
    Way("alias", ("local", "cleanup"), to="list@example.test", aliases=f"list: {USER}@example.test, x@elsewhere.test\n"),
    Way("bounce", ("bounce", "qmgr", "cleanup"), to="gone@elsewhere.test"),
    Way("sendmail", ("pickup", "cleanup"), submit="sendmail"),
]


class Sweep(unittest.TestCase):
    def start(self, way):
        settings = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "mydestination": "example.test",
                    "queue_run_delay": "1s"}
        settings.update(way.main_cf)
        self.sink = Picky()
        self.sink.__enter__()
        self.addCleanup(self.sink.__exit__, None, None, None)
        settings["relayhost"] = f"[127.0.0.1]:{self.sink.port}"
        self.mta = Instance(settings, aliases="postmaster: root\n" + way.aliases)
        self.addCleanup(self.mta.close)
        self.mta.start()
        self.way, self.number, self.kills = way, 0, 0
        self.sent = set()

    # --- the ledger ---

    def submit(self, number):
        """True: we were told that it is taken."""
        body = f"Subject: {number}\nX-Number: {number}\n\n".encode() + FILLING + b"\n"
        if self.way.submit == "sendmail":
            return self.mta.command("sendmail", "-f", f"{USER}@example.test", self.way.to, stdin=body, check=False).returncode == 0
        try:
            with smtplib.SMTP("127.0.0.1", self.mta.port, timeout=60) as s:
                s.sendmail(f"{USER}@example.test", [self.way.to], body.replace(b"\n", b"\r\n"))
            return True
        except smtplib.SMTPResponseException as e:
            self.assertLess(e.smtp_code, 500, f"refused for good: {e}")
        except smtplib.SMTPRecipientsRefused as e:
            self.assertTrue(all(code < 500 for code, _ in e.recipients.values()), f"refused for good: {e}")
        except (OSError, smtplib.SMTPException):
            pass
        return False

    def send(self, after=lambda taken: None):
        """As a real client: again until it is taken."""
        self.number += 1
        number = self.number

        def attempt():
            taken = self.submit(number)
            after(taken)
            return taken
        wait_until(attempt, 60, "a message taken; log:\n" + self.mta.log()[-3000:])
        self.sent.add(number)
        return number

    def texts(self):
        found = [m[2] for m in list(self.sink.messages)] + self.mta.mailbox(USER)
        path = f"{self.mta.mail}/{USER}/mbox"
        if os.path.exists(path):
            found += [m.as_bytes() for m in mailbox.mbox(path)]
        return found

    def arrived(self):
        count = collections.Counter()
        for text in self.texts():
            # Who dies while he appends to an mbox leaves a beginning there; the whole message comes after it.
            if self.way.name == "mbox" and FILLING not in text:
                continue
            self.assertEqual(text.count(FILLING), 1, "a message is cut, or two are one")
            count[int(re.search(rb"X-Number: (\d+)", text).group(1))] += 1
        return count

    def is_empty(self):
        done = self.mta.command("postqueue", "-j", check=False)
        return done.returncode == 0 and not done.stdout and not glob_drop(self.mta)

    def settle(self, what):
        try:
            wait_until(self.is_empty, 60, "an empty queue")
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}\n{self.mta.log()[-4000:]}")

    def check(self, number, what, kills):
        places = 2 if self.way.name == "alias" else 1
        # A message that came of this one may be known to the queue manager a moment after it has gone.
        wait_until(lambda: self.arrived()[number] >= places and self.is_empty(), 30,
                   f"message {number}, {what}: it is lost; log:\n{self.mta.log()[-4000:]}")
        copies = self.arrived()[number]
        self.assertLessEqual(copies, places * (1 + kills), f"{what}: too many copies")
        if self.way.name != "bounce":
            self.assertNotIn("sender non-delivery notification", self.mta.log(), f"{what}: returned for a fault of ours")

    # --- the points ---

    def pids(self, process):
        return [pid for pid, name in descendants(self.mta.process.pid) if name == process]

    def warm(self, process):
        """The process runs and has its connections."""
        for _ in range(5):
            if self.pids(process):
                return
            self.send()
            self.settle("warming up")

    def calls_of(self, process):
        """How often it makes each call for a message."""
        self.warm(process)
        tracer = Tracer(self.pids(process), "-e", "trace=" + ",".join(CALLS))
        number = self.send()
        self.settle("counting")
        self.check(number, "counting", 0)
        text = tracer.end()
        return collections.Counter(re.findall(r"^\d+ +(\w+)\(", text, re.M))

    def inject(self, process, call, action, when):
        """One message with that at the call; True: it happened."""
        self.warm(process)
        pids = self.pids(process)
        # smtpd and others may run more than once: who takes the message is not ours to say.
        tracer = Tracer(pids, "-e", f"trace={call}", "-e", f"inject={call}:{action}:when={when}")
        what = f"{self.way.name}: {process}: {call} {when}: {action}"
        killed = action == "signal=KILL"
        ended = []

        def end_when_fired(taken=True):
            # Once: what follows, in other threads and processes, is to find a machine that works.
            if killed and not taken:
                wait_until(tracer.fired, 20, f"{what}: a kill where a client was left alone")
            if not ended and tracer.fired():
                tracer.end()
                ended.append(True)
            return bool(ended)
        number = self.send(end_when_fired)
        try:
            wait_until(lambda: end_when_fired() or self.is_empty(), 60, what)
        finally:
            end_when_fired()
            if not ended:
                tracer.end()
        self.settle(what)
        # Who cannot report what it did is asked to do it again.
        self.check(number, what, 1)
        if not killed:
            self.assertNotIn("killed by signal", self.mta.log(), what)
        return bool(ended)

    def sweep(self, way, actions):
        self.start(way)
        self.warm(way.processes[-1])
        points = 0
        for process in way.processes:
            for call, count in sorted(self.calls_of(process).items()):
                for action in actions(call):
                    when = 1
                    while when <= count and self.inject(process, call, action, when):
                        points += 1
                        when += 1
        self.assertGreater(points, 0)
        self.assertEqual(self.sent - set(self.arrived()), set(), "lost")
        print(f"{way.name}: {points} points", file=sys.stderr)

    def ways(self, default):
        """POSTRIDER_SWEEP: "all", or "way:process" of which only that is swept."""
        way, _, process = ONLY.partition(":")
        if process:
            found = next(w for w in WAYS if w.name == way)
            found.processes = (process,)
            return [found]
        return WAYS if ONLY == "all" else [w for w in WAYS if w.name in default]

    @unittest.skipUnless(shutil.which("strace") and os.getuid() == 0, "needs strace, as root")
    def test_kill(self):
        for way in self.ways(("maildir",)):
            with self.subTest(way.name):
                self.sweep(way, lambda call: ["signal=KILL"])
                self.doCleanups()

    @unittest.skipUnless(shutil.which("strace") and os.getuid() == 0, "needs strace, as root")
    def test_errors(self):
        for way in self.ways(("mbox",)):
            with self.subTest(way.name):
                self.sweep(way, lambda call: [f"error={e}" for e in ERRORS.get(call, ())])
                self.doCleanups()


def glob_drop(mta):
    """What was handed in; "tmp." is what nobody was told yes for."""
    return [name for name in os.listdir(mta.dir + "/spool/maildrop") if not name.startswith("tmp.")]


if __name__ == "__main__":
    unittest.main()
