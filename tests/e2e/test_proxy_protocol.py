# SPDX-License-Identifier: ISC
"""HAProxy in front: the client is whom it says, in both versions, also before TLS."""

import os
import shutil
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_tls import Authority  # noqa: E402

HERE = f"{local_user()}@example.test"
CONFIG = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 10s
  timeout client 30s
  timeout server 30s
"""
V2 = b"\r\n\r\n\0\r\nQUIT\n"


class HaProxy(unittest.TestCase):
    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        chain = self.ca.dir + "/server.pem"
        self.ca.issue(chain, "mail.example.test")
        self.inner, self.inner_tls = free_port(), free_port()
        options = "smtpd -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=2s"
        self.mta = Instance({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": chain, "mynetworks": "127.0.0.5/32",
                             "smtpd_client_restrictions": "check_client_access inline:{127.0.0.6=REJECT}"},
                            master_cf_extra=f"127.0.0.1:{self.inner} inet n - y - - {options}\n"
                                            f"127.0.0.1:{self.inner_tls} inet n - y - - {options} -o smtpd_tls_wrappermode=yes\n")
        self.addCleanup(self.mta.close)
        self.mta.start()
        wait_until(lambda: self.reaches(self.inner) and self.reaches(self.inner_tls), 30, "the inner ports")

    @staticmethod
    def reaches(port):
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
            return True
        except OSError:
            return False

    def proxy(self):
        """Ports of version 1, version 2 and version 2 before TLS."""
        ports = [free_port() for _ in range(3)]
        folder = tempfile.mkdtemp(prefix="postrider-haproxy-")
        self.addCleanup(shutil.rmtree, folder)
        with open(folder + "/cfg", "w") as f:
            f.write(CONFIG)
            for i, (port, inner, how) in enumerate(zip(ports, (self.inner, self.inner, self.inner_tls),
                                                       ("send-proxy", "send-proxy-v2", "send-proxy-v2"))):
                f.write(f"listen l{i}\n  bind 127.0.0.1:{port}\n  server s{i} 127.0.0.1:{inner} {how}"
                        + (" check check-send-proxy inter 200ms" if i == 1 else "") + "\n")
        process = subprocess.Popen(["haproxy", "-db", "-f", folder + "/cfg"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.terminate)
        wait_until(lambda: self.reaches(ports[2]), 30, "HAProxy")
        return ports

    def test_versions_and_tls(self):
        v1, v2, tls = self.proxy()
        for port in (v1, v2):
            with smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=("127.0.0.5", 0)) as s:
                client = s.sock.getsockname()
                s.sendmail("a@example.test", [HERE], "Subject: x\r\n\r\nx\r\n")
            self.assertEqual(client[0], "127.0.0.5")
            # The address counts in restrictions.
            with smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=("127.0.0.6", 0)) as s:
                s.ehlo()
                s.mail("a@example.test")
                self.assertEqual(s.rcpt(HERE)[0], 554)
        wait_until(lambda: self.mta.log().count("client=localhost[127.0.0.5]") == 2, 30, "two from the client")
        context = ssl.create_default_context(cafile=self.ca.certificate)
        context.check_hostname = False
        with smtplib.SMTP_SSL("127.0.0.1", tls, timeout=30, source_address=("127.0.0.7", 0), context=context) as s:
            s.sendmail("a@example.test", [HERE], "Subject: x\r\n\r\nx\r\n")
        self.mta.wait_log("client=localhost[127.0.0.7]")
        # HAProxy's own health checks.
        self.mta.wait_log("connect from localhost[127.0.0.1]")

    def talk(self, *pieces, port=None):
        """What is said after these pieces, to the end of the greeting's line."""
        with socket.create_connection(("127.0.0.1", port or self.inner), 30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                s.sendall(piece)
            got = b""
            while not got.endswith(b"\n"):
                try:
                    more = s.recv(1000)
                except ConnectionResetError:  # with our bytes unread
                    break
                if not more:
                    break
                got += more
            return got

    def test_byte_by_byte_and_ipv6(self):
        first = V2 + b"\x21\x21" + struct.pack("!H", 36) + socket.inet_pton(socket.AF_INET6, "2001:db8::9") * 2 + struct.pack("!HH", 1, 25)
        self.assertTrue(self.talk(*(first[i:i + 1] for i in range(len(first)))).startswith(b"220 "))
        self.mta.wait_log("connect from unknown[2001:db8::9]")
        line = b"PROXY TCP4 192.0.2.77 192.0.2.1 1 25\r\n"
        self.assertTrue(self.talk(*(line[i:i + 1] for i in range(len(line)))).startswith(b"220 "))
        self.mta.wait_log("connect from unknown[192.0.2.77]")

    def test_no_header_no_greeting(self):
        for text in (b"EHLO client.example.test\r\n", b"PROXY TCP4 192.0.2.77 x 1 25\r\n", V2 + b"\x21\x11\xff\xff" + b"x" * 600):
            self.assertEqual(self.talk(text), b"")
            self.mta.wait_log("warning: haproxy read: malformed protocol header from 127.0.0.1")
        self.assertEqual(self.talk(b"PROXY "), b"")
        self.mta.wait_log("warning: haproxy read: time limit exceeded: 127.0.0.1")


if __name__ == "__main__":
    unittest.main()
