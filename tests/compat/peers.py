# SPDX-License-Identifier: ISC
"""Two mail servers with the same configuration, to be asked the same: Debian's Postfix, and Postrider."""

import contextlib
import json
import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from instance import Instance, wait_until  # noqa: E402

POSTFIX = "/usr/sbin/postfix"
HOSTNAME = "mail.example.test"


def installed():
    return os.path.exists(POSTFIX) and os.path.exists("/usr/share/postfix/master.cf.dist") and os.getuid() == 0


def free_ports(names):
    """A port for each: all open at the same time, so that none is given twice."""
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in names}
        for s in sockets.values():
            s.bind(("127.0.0.1", 0))
        return {name: s.getsockname()[1] for name, s in sockets.items()}


def overrides(settings):
    return " ".join("-o {%s = %s}" % item for item in settings.items())


class Postfix:
    """
    main_cf, and `listeners`: name -> parameters of a further smtpd.  `tables`: name -> text; "%(dir)s/NAME" in
    values is the file, with an index beside it when the name ends in ".db".  nameserver: an address, port 53.
    """
    name = "Postfix"

    def __init__(self, main_cf, tables=None, listeners=None, nameserver=None):
        self.dir = tempfile.mkdtemp(prefix="postfix-")
        os.chmod(self.dir, 0o755)
        self.nameserver = nameserver
        self.etc, self.spool = self.dir + "/etc", self.dir + "/spool"
        for sub in ("etc", "spool", "lib"):
            os.mkdir(f"{self.dir}/{sub}")
        shutil.chown(self.dir + "/lib", "postfix")
        self.ports = free_ports([None, *(listeners or {})])
        self.port = self.ports[None]
        self.write_tables(tables or {})
        self.write_main_cf(main_cf)
        self.write_master_cf(listeners or {})
        for name in tables or {}:
            if not name.startswith("_"):
                self.lookup_command("postmap", f"hash:{self.etc}/{name}")
        self.run("start")
        wait_until(lambda: os.path.exists(self.spool + "/private/rewrite"), what="Postfix")

    def write_tables(self, tables):
        for name, text in tables.items():
            with open(f"{self.etc}/{name}", "w") as f:
                f.write(text.replace("%(dir)s", self.etc))

    def write_main_cf(self, main_cf):
        main = {
            "compatibility_level": "3.6", "queue_directory": self.spool, "data_directory": self.dir + "/lib",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "all", "mynetworks": "127.0.0.0/8", "biff": "no",
            "maillog_file": self.dir + "/log", "maillog_file_prefixes": "/", "alias_maps": "",
            "import_environment": "MAIL_CONFIG TZ LANG=C", "myhostname": HOSTNAME, "smtpd_error_sleep_time": "0",
        }
        main.update({k: v.replace("%(dir)s", self.etc) for k, v in main_cf.items()})
        with open(self.etc + "/main.cf", "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in main.items())

    def write_master_cf(self, listeners):
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
            for name, settings in listeners.items():
                out.write(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {overrides(settings)}\n"
                          .replace("%(dir)s", self.etc))

    def lookup_command(self, *arguments, stdin=None):
        done = subprocess.run(["/usr/sbin/" + arguments[0], "-c", self.etc, *arguments[1:]], capture_output=True,
                              input=stdin, timeout=60)
        return done.returncode, done.stdout

    def run(self, verb):
        command = [POSTFIX, "-c", self.etc, verb]
        if self.nameserver:
            with open(self.dir + "/resolv.conf", "w") as f:
                f.write(f"nameserver {self.nameserver}\n")
            # Postfix asks whom /etc/resolv.conf names: another one, for it alone.
            command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
                       self.dir + "/resolv.conf"] + command
        done = subprocess.run(command, capture_output=True, timeout=60)
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

    def resolve(self, address):
        a = self.ask(request="resolve", sender="", address=address)
        return a.get("transport"), a.get("nexthop"), a.get("recipient")

    def rewrite(self, address, context="local"):
        return self.ask(request="rewrite", rule=context, address=address).get("address")

    def log(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def close(self):
        try:
            self.run("stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


class Postrider(Instance):
    name = "Postrider"

    def __init__(self, main_cf, tables=None, listeners=None, nameserver=None):
        self.ports = free_ports([None, *(listeners or {})])
        main = {"smtpd_error_sleep_time": "0", "alias_maps": "", "myhostname": HOSTNAME}
        if nameserver:
            main["resolver_nameservers"] = nameserver
        super().__init__(main, port=self.ports[None])
        self.settings.update({k: v.replace("%(dir)s", self.etc) for k, v in main_cf.items()})
        self.write_main_cf()
        Postfix.write_tables(self, tables or {})
        with open(self.etc + "/master.cf", "a") as out:
            for name, settings in (listeners or {}).items():
                out.write(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {overrides(settings)}\n"
                          .replace("%(dir)s", self.etc))
        for name in tables or {}:
            if not name.startswith("_"):
                self.command("postmap", f"hash:{self.etc}/{name}")
        self.start()

    def lookup_command(self, *arguments, stdin=None):
        done = self.command(arguments[0], "-c", self.etc, *arguments[1:], stdin=stdin, check=False)
        return done.returncode, done.stdout

    def resolve(self, address):
        got = json.loads(self.command("postrider", "route", "--json", address).stdout)["arrival"]
        return got.get("transport"), got.get("nexthop"), got.get("address")


def submit(peer, listener, sender, recipients, content=b"Subject: x\r\n\r\nx\r\n"):
    """To a listener that holds mail: (sender, recipients, fields that are no trace, sorted), or the reply that refuses."""
    with smtplib.SMTP("127.0.0.1", peer.ports[listener], timeout=30) as s:
        s.ehlo("client.example.test")
        for command in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients)]:
            code, text = s.docmd(command)
            if code != 250:
                return code, text.decode()
        code, text = s.docmd("DATA")
        if code != 354:
            return code, text.decode()
        s.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        code, text = s.getreply()
        if code != 250:
            return code, text.decode()
    queue_id = text.split()[-1].decode()
    envelope = peer.lookup_command("postcat", "-eq", queue_id)[1].decode()
    header = peer.lookup_command("postcat", "-hq", queue_id)[1]
    found = sorted(re.findall(r"^recipient: (.*)", envelope, re.M))
    fields = re.split(r"\n(?![ \t])", re.sub(r"\n[ \t]+", "\n ", header.decode()).strip())
    fields = sorted(f for f in fields if not re.match(r"(received|message-id|date):", f, re.I))
    return re.findall(r"^sender: (.*)", envelope, re.M), found, fields
