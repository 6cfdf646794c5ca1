# SPDX-License-Identifier: ISC
"""
A long queue: messages to 1,000 destinations, ten of them dead, lie deferred; the server starts.  How long until the first is
delivered, until all that can be are, and what memory the queue manager takes.  And one message to very many recipients.

BENCH_QUEUE: messages (100,000 is the figure that counts; a run of it takes a while), BENCH_RECIPIENTS.
"""

import os
import socket
import subprocess
import threading
import time

from servers import Postfix, Postrider, free_port, memory_kib, named, wait_until

MESSAGES = int(os.environ.get("BENCH_QUEUE", "20000"))
RECIPIENTS = int(os.environ.get("BENCH_RECIPIENTS", "20000"))
DESTINATIONS, DEAD = 1000, 10
CLIENTS = 8
BODY = b"Subject: x\r\nFrom: a@example.test\r\n\r\n" + b"x" * 70 + b"\r\n"


class CountingSink:
    """smtp-sink on all loopback addresses, which says how many messages it has got, and when the first."""

    def __init__(self):
        self.port = free_port()
        self.first, self.count = None, 0
        self.process = subprocess.Popen(["/usr/sbin/smtp-sink", "-c", "-m", "20000", "-u", "postfix", f"0.0.0.0:{self.port}", "1000"],
                                        stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        rest = b""
        while data := self.process.stdout.read1(65536):
            rest += data
            *lines, rest = rest.split(b"\r")
            for line in lines:
                words = dict(w.split(b"=") for w in line.split() if b"=" in w)
                self.count = int(words.get(b"mesg", self.count))
            if self.count and self.first is None:
                self.first = time.monotonic()

    def close(self):
        self.process.terminate()
        self.process.wait()


def address(i, user="u"):
    i %= DESTINATIONS
    return f"{user}@d{1 + i // 250}-{1 + i % 250}.test"


def transport(folder, port, dead):
    """The first destinations are dead: nobody listens there."""
    path = folder + "/transport"
    with open(path, "w") as f:
        for i in range(DESTINATIONS):
            domain = address(i).split("@")[1]
            hop = f"127.0.{1 + i // 250}.{1 + i % 250}"
            f.write(f"{domain} smtp:[{hop}]:{dead if i < DEAD else port}\n")
    os.chmod(path, 0o644)
    return "texthash:" + path


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 120)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.command(b"EHLO bench\r\n")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line

    def command(self, text, replies=1):
        self.socket.sendall(text)
        return [self.reply() for _ in range(replies)]

    def send(self, recipients):
        piece = 500
        self.command(b"MAIL FROM:<a@example.test>\r\n")
        for at in range(0, len(recipients), piece):
            part = recipients[at:at + piece]
            got = self.command(b"".join(f"RCPT TO:<{r}>\r\n".encode() for r in part), len(part))
            assert all(g.startswith(b"250") for g in got), got
        self.command(b"DATA\r\n")
        got = self.command(BODY + b".\r\n")
        assert got[0].startswith(b"250"), got

    def close(self):
        self.socket.close()


def fill(port, count):
    def work(first):
        client = Client(port)
        for i in range(first, count, CLIENTS):
            client.send([address(i)])
        client.close()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


SETTINGS = {"smtpd_recipient_limit": "1000000", "in_flow_delay": "0", "smtp_connect_timeout": "5s", "notify_classes": "",
            "maximal_backoff_time": "4000s"}


def make(kind, sink, dead, **more):
    settings = dict(SETTINGS, **more)
    server = kind(**settings)
    folder = server.mta.etc if kind is Postrider else server.etc
    settings["transport_maps"] = transport(folder, sink.port, dead)
    change(server, settings)
    return server, settings


def stop(server):
    if isinstance(server, Postrider):
        server.mta.stop()
    else:
        server.run("stop")
        wait_until(lambda: not os.path.exists(f"/proc/{server.pid}"), what="end of Postfix")


def start(server):
    if isinstance(server, Postrider):
        server.mta.start()
        server.pid = server.mta.process.pid
    else:
        server.run("start")
        with open(server.spool + "/pid/master.pid") as f:
            server.pid = int(f.read())


def change(server, settings):
    """Starts anew with these; a value None goes away."""
    stop(server)
    path = (server.mta.etc if isinstance(server, Postrider) else server.etc) + "/main.cf"
    with open(path) as f:
        lines = [x for x in f if x.split("=")[0].strip() not in settings]
    with open(path, "w") as f:
        f.writelines(lines)
        f.writelines(f"{k} = {v}\n" for k, v in settings.items() if v is not None)
    start(server)


def qmgr_memory(server):
    try:
        return memory_kib(named(server.pid, "qmgr"), "Rss")
    except OSError:
        return 0  # a process ended while we looked


def waiting_files(server):
    spool = server.mta.dir + "/spool/queue" if isinstance(server, Postrider) else server.spool + "/deferred"
    for folder, _, files in os.walk(spool):
        for name in files:
            yield folder + "/" + name


def is_deferred(server, count):
    if isinstance(server, Postrider):
        with open(server.mta.log_path, "rb") as f:
            return f.read().count(b"deferred transport") >= count
    return sum(1 for _ in waiting_files(server)) >= count


def run(kind, messages=None):
    messages = messages or MESSAGES
    sink, dead = CountingSink(), free_port()
    server, settings = make(kind, sink, dead, defer_transports="smtp")
    try:
        fill(server.port, messages)
        wait_until(lambda: is_deferred(server, messages), 600, "all deferred")
        stop(server)
        # It is time for all of them.
        for path in waiting_files(server):
            os.utime(path, (time.time() - 60,) * 2)
        start_server = time.monotonic()
        settings["defer_transports"] = None
        path = (server.mta.etc if kind is Postrider else server.etc) + "/main.cf"
        with open(path) as f:
            lines = [x for x in f if not x.startswith("defer_transports")]
        with open(path, "w") as f:
            f.writelines(lines)
        start(server)
        alive = messages - sum(1 for i in range(messages) if i % DESTINATIONS < DEAD)
        memory = 0
        while sink.count < alive and time.monotonic() - start_server < 1800:
            memory = max(memory, qmgr_memory(server))
            time.sleep(0.05)
        end = time.monotonic()
        return {"first_s": sink.first - start_server, "drain_s": end - start_server, "delivered": sink.count,
                "per_second": sink.count / (end - start_server), "qmgr_mib": memory / 1024}
    finally:
        server.close()
        sink.close()


def run_list(kind, recipients=None):
    recipients = recipients or RECIPIENTS
    sink = CountingSink()
    server, _ = make(kind, sink, sink.port)
    try:
        client = Client(server.port)
        begin = time.monotonic()
        client.send([address(i, f"u{i}") for i in range(recipients)])
        taken = time.monotonic()
        # 50 recipients a delivery, and one delivery at least a destination.
        wanted = DESTINATIONS * -(-(recipients // DESTINATIONS) // 50)
        memory = 0
        while sink.count < wanted and time.monotonic() - begin < 1800:
            memory = max(memory, qmgr_memory(server))
            time.sleep(0.05)
        end = time.monotonic()
        client.close()
        return {"taken_s": taken - begin, "delivered_s": end - taken, "deliveries": sink.count, "qmgr_mib": memory / 1024}
    finally:
        server.close()
        sink.close()


if __name__ == "__main__":
    for which in (Postrider, Postfix):
        print(which.name, {k: round(v, 2) for k, v in run(which).items()}, flush=True)
        print(which.name, {k: round(v, 2) for k, v in run_list(which).items()}, flush=True)
