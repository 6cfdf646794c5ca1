# SPDX-License-Identifier: ISC
"""A private Postrider for a test: made in a temporary folder, stopped by the test."""

import glob
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

BUILD = os.environ.get("POSTRIDER_BUILD") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", "..", "build"))
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def free_port(kind=socket.SOCK_STREAM):
    """A datagram port is free for TCP as well: name servers want both."""
    while True:
        with socket.socket(socket.AF_INET, kind) as s, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            try:
                if kind == socket.SOCK_DGRAM:
                    other.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_until(condition, seconds=30, what="condition"):
    """Polls for what no event tells from outside; fails after a generous time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"no {what} within {seconds} s")


class Instance:
    """main_cf: dict of parameters; users: local recipients (names of /etc/passwd or aliases)."""

    def __init__(self, main_cf=None, aliases="postmaster: root\n", master_cf_extra="", name="mail", port=None):
        self.dir = tempfile.mkdtemp(prefix="postrider-")
        os.chmod(self.dir, 0o755)
        self.port = port or free_port()
        self.log_path = os.path.join(self.dir, "log")
        self.etc = os.path.join(self.dir, "etc")
        self.mail = os.path.join(self.dir, "mail")
        self.process = None
        for sub in ("etc", "spool", "lib", "mail"):
            os.mkdir(os.path.join(self.dir, sub))
        os.chmod(self.mail, 0o1777)
        if os.getuid() == 0:
            subprocess.run(["sh", os.path.join(TOP, "tools/create-users.sh")], check=True)
            shutil.chown(os.path.join(self.dir, "lib"), "postrider")
        with open(os.path.join(self.etc, "aliases"), "w") as f:
            f.write(aliases)
        settings = {
            "queue_directory": self.dir + "/spool",
            "data_directory": self.dir + "/lib",
            "command_directory": BUILD + "/sbin",
            "daemon_directory": BUILD + "/libexec",
            "maillog_file": self.log_path,
            "myhostname": f"{name}.example.test",
            "mydestination": "$myhostname, $mydomain, localhost",
            "inet_interfaces": "127.0.0.1",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": f"hash:{self.etc}/aliases",
            "alias_database": "$alias_maps",
            "home_mailbox": "Maildir/",
            "local_mailbox_root": self.mail,
        }
        settings.update(main_cf or {})
        self.settings = settings
        self.write_main_cf()
        with open(os.path.join(TOP, "etc/master.cf")) as f:
            lines = f.read().splitlines()
        with open(os.path.join(self.etc, "master.cf"), "w") as f:
            for line in lines:
                if line.split()[:2] == ["smtp", "inet"]:
                    line = f"127.0.0.1:{self.port} " + line.split(None, 1)[1]
                f.write(line + "\n")
            f.write(master_cf_extra)
        self.command("postalias", f"hash:{self.etc}/aliases")

    def write_main_cf(self):
        with open(os.path.join(self.etc, "main.cf"), "w") as f:
            for key, value in self.settings.items():
                f.write(f"{key} = {value}\n")

    def command(self, name, *args, stdin=None, check=True):
        env = dict(os.environ, MAIL_CONFIG=self.etc)
        done = subprocess.run([f"{BUILD}/sbin/{name}", *args], input=stdin, env=env,
                              capture_output=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"{name} {args}: exit {done.returncode}: {done.stderr.decode()}")
        return done

    def start(self):
        env = dict(os.environ, MAIL_CONFIG=self.etc)
        self.process = subprocess.Popen([f"{BUILD}/sbin/postrider", "-c", self.etc, "start-fg"], env=env,
                                        stdin=subprocess.DEVNULL,
                                        stdout=open(self.dir + "/stdout", "ab"),
                                        stderr=subprocess.STDOUT)
        wait_until(self.answers, 60, "greeting; log:\n" + self.log())
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("master ended:\n" + self.log())
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("master did not stop:\n" + self.log())
        self.process = None

    def close(self):
        try:
            self.stop()
        finally:
            if not os.environ.get("POSTRIDER_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()

    def log(self):
        text = ""
        for path in (self.dir + "/stdout", self.log_path):
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    text += f.read()
        return text

    def wait_log(self, text, seconds=30):
        try:
            wait_until(lambda: text in self.log(), seconds, f"log line with {text!r}")
        except AssertionError as e:
            raise AssertionError(str(e) + "\n" + self.log()[-6000:]) from None

    def smtp(self):
        return smtplib.SMTP("127.0.0.1", self.port, timeout=60)

    def mailbox(self, user):
        """Messages in a user's Maildir, as bytes."""
        found = []
        for path in sorted(glob.glob(f"{self.mail}/{user}/Maildir/new/*")):
            with open(path, "rb") as f:
                found.append(f.read())
        return found

    def wait_mail(self, user, count=1, seconds=30):
        try:
            wait_until(lambda: len(self.mailbox(user)) >= count, seconds, f"{count} messages for {user}")
        except AssertionError as e:
            raise AssertionError(str(e) + "\n" + self.log()[-6000:])
        return self.mailbox(user)

    def queue_files(self):
        return sorted(os.listdir(self.dir + "/spool/queue"))


def local_user():
    """A name of /etc/passwd that is not root: for deliveries."""
    return next(u.pw_name for u in pwd.getpwall() if u.pw_uid > 0)
