# SPDX-License-Identifier: ISC
"""Debian's Postfix from a private configuration, asked for what it makes of addresses and messages."""

import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from instance import free_port, wait_until  # noqa: E402

POSTFIX = "/usr/sbin/postfix"


def installed():
    return os.path.exists(POSTFIX) and os.path.exists("/usr/share/postfix/master.cf.dist") and os.getuid() == 0


class Oracle:
    """`tables`: name -> text of hash: tables, named in main_cf as %(dir)s/NAME."""

    def __init__(self, main_cf, tables=None):
        self.dir = tempfile.mkdtemp(prefix="postfix-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.etc, self.spool = self.dir + "/etc", self.dir + "/spool"
        for sub in ("etc", "spool", "lib"):
            os.mkdir(f"{self.dir}/{sub}")
        shutil.chown(self.dir + "/lib", "postfix")
        for name, text in (tables or {}).items():
            with open(f"{self.etc}/{name}", "w") as f:
                f.write(text)
        main = {
            "compatibility_level": "3.6", "queue_directory": self.spool, "data_directory": self.dir + "/lib",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8", "biff": "no",
            "maillog_file": self.dir + "/log", "maillog_file_prefixes": "/", "alias_maps": "",
            "import_environment": "MAIL_CONFIG TZ LANG=C",
            "smtpd_data_restrictions": "check_client_access static:hold",
        }
        main.update({k: v.replace("%(dir)s", self.etc) for k, v in main_cf.items()})
        with open(self.etc + "/main.cf", "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in main.items())
        for name in tables or {}:
            subprocess.run(["/usr/sbin/postmap", "-c", self.etc, f"hash:{self.etc}/{name}"], check=True)
        with open("/usr/share/postfix/master.cf.dist") as f, open(self.etc + "/master.cf", "w") as out:
            for line in f:
                words = line.split()
                if len(words) > 7 and not line.startswith("#") and not line[0].isspace():
                    if words[1] == "inet":
                        words[0] = f"127.0.0.1:{self.port}"
                    words[4] = "n"
                    line = " ".join(words) + "\n"
                out.write(line)
            out.write("postlog unix-dgram n - n - 1 postlogd\n")
        self.run("start")
        wait_until(lambda: os.path.exists(self.spool + "/private/rewrite"), what="Postfix")

    def run(self, verb):
        done = subprocess.run([POSTFIX, "-c", self.etc, verb], capture_output=True, timeout=60)
        if done.returncode:
            raise AssertionError(f"postfix {verb}: {done.stderr.decode()}")

    def ask(self, **attributes):
        """One question to trivial-rewrite(8), attribute protocol."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self.spool + "/private/rewrite")
            packet = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in attributes.items()) + b"\0"
            s.sendall(packet)
            got = b""
            while True:
                data = s.recv(65536)
                if not data:
                    break
                got += data
                items = got.split(b"\0")
                if b"flags" in items[::2] or b"address" in items[::2] or b"flags" in items:
                    if got.endswith(b"\0\0"):
                        break
        items = got.split(b"\0")
        answer, at = {}, 0
        while at + 1 < len(items):
            if items[at] == b"":
                at += 1
                continue
            answer[items[at].decode()] = items[at + 1].decode()
            at += 2
        return answer

    def resolve(self, address, sender=""):
        a = self.ask(request="resolve", sender=sender, address=address)
        return a.get("transport"), a.get("nexthop"), a.get("recipient"), int(a.get("flags", 0))

    def rewrite(self, address, context="local"):
        return self.ask(request="rewrite", rule=context, address=address).get("address")

    def submit(self, sender, recipients, content=b"Subject: x\r\n\r\nx\r\n"):
        """Through smtpd and cleanup, held; (sender, [(original, recipient)], header)."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=15) as s:
            s.ehlo("client.example.test")
            code, text = s.docmd(f"MAIL FROM:<{sender}>")
            if code != 250:
                return code, text
            for r in recipients:
                code, text = s.docmd(f"RCPT TO:<{r}>")
                if code != 250:
                    return code, text
            code, text = s.docmd("DATA")
            if code != 354:
                return code, text
            s.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            code, text = s.getreply()
            if code != 250:
                return code, text
        queue_id = text.split()[-1].decode()
        env = subprocess.run(["/usr/sbin/postcat", "-c", self.etc, "-eq", queue_id], capture_output=True).stdout
        header = subprocess.run(["/usr/sbin/postcat", "-c", self.etc, "-hq", queue_id], capture_output=True).stdout
        sender, original, found = None, "", []
        for line in env.decode(errors="replace").splitlines():
            key, _, value = line.partition(": ")
            if key == "sender":
                sender = value
            elif key == "original_recipient":
                original = value
            elif key == "recipient":
                found.append((original, value))
                original = ""
        header = re.sub(rb"^Received:.*(\n[ \t].*)*\n", b"", header, flags=re.M)
        return sender, found, header

    def log(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def close(self):
        try:
            self.run("stop")
        finally:
            time.sleep(0)
            shutil.rmtree(self.dir, ignore_errors=True)
