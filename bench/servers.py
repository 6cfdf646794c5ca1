# SPDX-License-Identifier: ISC
"""The servers that are measured, each a private instance on loopback, and what they cost."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
os.environ.setdefault("POSTRIDER_BUILD", os.path.join(TOP, "build"))
sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))
from instance import Instance, free_port, wait_until  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def family(pid):
    """The process and all below it that live."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            for child in f.read().split():
                try:
                    found += family(int(child))
                except OSError:
                    pass
    return found


def cpu_seconds(pid):
    """User and system time of a process, of what it has reaped, and of all below it."""
    total = 0
    for member in family(pid):
        try:
            fields = stat_fields(member)
        except OSError:
            continue
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def memory_kib(pids, what="Pss"):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith(what + ":"))
    return total


def named(pid, name):
    found = []
    for member in family(pid):
        with open(f"/proc/{member}/comm") as f:
            if f.read().strip() == name:
                found.append(member)
    return found


class Postrider:
    name = "Postrider"

    def __init__(self, **settings):
        self.mta = Instance(settings)
        self.port = self.mta.port
        self.mta.start()
        self.pid = self.mta.process.pid

    def drained(self, sent):
        """Have `sent` messages left?  By the log: one line each."""
        with open(self.mta.log_path, "rb") as f:
            return f.read().count(b": removed\n") >= sent

    def close(self):
        self.mta.close()


class Postfix:
    """Debian's Postfix from a configuration of its own; without a log, which is cheapest for it."""

    name = "Postfix"
    QUEUES = ("maildrop", "incoming", "active", "deferred")

    def __init__(self, **settings):
        self.dir = tempfile.mkdtemp(prefix="postfix-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.etc, self.spool = self.dir + "/etc", self.dir + "/spool"
        os.mkdir(self.etc)
        os.mkdir(self.spool)
        os.mkdir(self.dir + "/lib")
        shutil.chown(self.dir + "/lib", "postfix")
        main = {
            "compatibility_level": "3.6", "queue_directory": self.spool, "data_directory": self.dir + "/lib",
            "myhostname": "mail.example.test", "mydestination": "$myhostname, localhost", "biff": "no",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "alias_maps": "", "alias_database": "", "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
            "default_process_limit": "100", "import_environment": "MAIL_CONFIG TZ LANG=C",
        }
        main.update(settings)
        with open(self.etc + "/main.cf", "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in main.items())
        with open("/usr/share/postfix/master.cf.dist") as f, open(self.etc + "/master.cf", "w") as out:
            for line in f:
                words = line.split()
                if len(words) > 7 and not line.startswith("#") and not line[0].isspace():
                    if words[1] == "inet":
                        words[0] = f"127.0.0.1:{self.port}"
                    words[4] = "n"
                    line = " ".join(words) + "\n"
                out.write(line)
        self.run("start")
        with open(self.spool + "/pid/master.pid") as f:
            self.pid = int(f.read())

    def run(self, verb):
        subprocess.run(["/usr/sbin/postfix", "-c", self.etc, verb], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def drained(self, sent):
        for queue in self.QUEUES:
            for _, _, files in os.walk(f"{self.spool}/{queue}"):
                if files:
                    return False
        return True

    def close(self):
        self.run("stop")
        wait_until(lambda: not os.path.exists(f"/proc/{self.pid}"), what="end of Postfix")
        shutil.rmtree(self.dir, ignore_errors=True)


class Sink:
    """Postfix's smtp-sink: takes mail and forgets it."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "postfix", f"127.0.0.1:{self.port}", "1000"],
                                        stdout=subprocess.DEVNULL)
        wait_until(self.answers, what="greeting of smtp-sink")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait()


def source(port, messages, sessions=20, length=4096):
    """Sends with Postfix's smtp-source, all messages of a session on one connection."""
    subprocess.run(["/usr/sbin/smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(length), "-d",
                    "-f", "sender@example.test", "-t", "someone@elsewhere.test", f"127.0.0.1:{port}"],
                   check=True)
