# SPDX-License-Identifier: ISC
"""TLS: what a handshake costs, full and resumed; messages over one session; memory of idle sessions."""

import os
import resource
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

from servers import Postfix, Postrider, cpu_seconds, memory_kib, named

HANDSHAKES = 600
MESSAGES = 1000
MESSAGE = "Subject: x\r\n\r\n" + "x" * 60 + "\r\n"


class Certificate:
    """ECDSA P-256, signed by itself."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-bench-")
        os.chmod(self.dir, 0o755)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        self.dir + "/key", "-out", self.dir + "/crt", "-subj", "/CN=mail.example.test", "-days", "2"],
                       check=True, capture_output=True)
        with open(self.dir + "/chain", "wb") as out:
            for part in ("key", "crt"):
                with open(f"{self.dir}/{part}", "rb") as f:
                    shutil.copyfileobj(f, out)

    def settings(self, settings):
        return dict({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": self.dir + "/chain", "default_transport": "discard",
                     "relay_domains": "elsewhere.test", "relay_transport": "discard", "smtpd_client_connection_count_limit": "0"}, **settings)

    def close(self):
        shutil.rmtree(self.dir)


def context():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    return c


def line(sock, text=None):
    if text:
        sock.sendall(text)
    got = b""
    while not got.endswith(b"\n") or got.rsplit(b"\r\n", 2)[-2][3:4] == b"-":
        got += sock.recv(4096)
    return got


def encrypted(port, tls, session=None):
    """A session that has said EHLO over TLS."""
    raw = socket.create_connection(("127.0.0.1", port), 60)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line(raw)
    line(raw, b"EHLO client.example.test\r\n")
    line(raw, b"STARTTLS\r\n")
    sock = tls.wrap_socket(raw, session=session)
    line(sock, b"EHLO client.example.test\r\n")
    return sock


def handshakes(server, count, resume):
    """A second, and microseconds of the server's CPU each."""
    tls, session = context(), None
    sock = encrypted(server.port, tls)
    session = sock.session
    sock.close()
    start, cpu = time.monotonic(), cpu_seconds(server.pid)
    for _ in range(count):
        sock = encrypted(server.port, tls, session if resume else None)
        if resume:
            assert sock.session_reused
            session = sock.session
        sock.close()
    return count / (time.monotonic() - start), (cpu_seconds(server.pid) - cpu) / count * 1e6


def messages(server, count):
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as s:
        s.starttls(context=context())
        start = time.monotonic()
        for _ in range(count):
            s.sendmail("a@example.test", ["x@elsewhere.test"], MESSAGE)
        return count / (time.monotonic() - start)


def run(kind, **settings):
    certificate = Certificate()
    server = kind(**certificate.settings(settings))
    try:
        full, resumed = handshakes(server, HANDSHAKES, False), handshakes(server, HANDSHAKES, True)
        return {"full_rate": full[0], "full_cpu": full[1], "resumed_rate": resumed[0], "resumed_cpu": resumed[1],
                "messages": messages(server, MESSAGES)}
    finally:
        server.close()
        certificate.close()


def memory(kind, sessions, **settings):
    """KiB for each idle session."""
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    certificate = Certificate()
    server = kind(**certificate.settings(settings))
    held = []
    try:
        tls = context()
        encrypted(server.port, tls).close()
        before = memory_kib(named(server.pid, "smtpd"))
        for _ in range(sessions):
            held.append(encrypted(server.port, tls))
        return (memory_kib(named(server.pid, "smtpd")) - before) / sessions
    finally:
        for s in held:
            s.close()
        server.close()
        certificate.close()


if __name__ == "__main__":
    for kind in (Postrider, Postfix):
        print(kind.name, run(kind))
    print(Postrider.name, "key in smtpd", run(Postrider, smtpd_tls_key_isolation="no"))
    print(Postrider.name, "KiB", memory(Postrider, 2000), Postfix.name, "KiB", memory(Postfix, 100, default_process_limit="200"))
