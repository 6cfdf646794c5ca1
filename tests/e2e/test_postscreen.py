# SPDX-License-Identifier: ISC
"""Clients are tested before and after the greeting, as Postfix's postscreen does it: its master.cf lines, its parameters, its log."""

import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_dns import NameServer  # noqa: E402

HERE = f"{local_user()}@example.test"
ZONE = """$ORIGIN test.
$TTL 60
@ IN SOA ns.test. admin.test. 1 60 60 60 30
@ IN NS ns.test.
ns IN A 127.0.0.1
2.0.0.127.bl IN A 127.0.0.2
3.0.0.127.bl IN A 127.0.0.9
4.0.0.127.bl IN A 127.0.0.2
4.0.0.127.wl IN A 127.0.5.1
5.0.0.127.wl IN A 127.0.5.1
"""


class Raw:
    def __init__(self, port, source):
        self.sock = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def say(self, data):
        self.sock.sendall(data)

    def reply(self):
        """One whole reply; b"" at the end."""
        got = b""
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError:
                line = b""
            got += line
            if not line or line[3:4] == b" ":
                return got

    def ask(self, command):
        self.say(command + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


class Postscreen(unittest.TestCase):
    def setUp(self):
        self.dns = NameServer(ZONE)
        self.addCleanup(self.dns.close)

    def start(self, **settings):
        self.port = free_port()
        mta = Instance(dict({"mynetworks": "127.0.0.99/32", "postscreen_greet_wait": "1s", "postscreen_greet_banner": "wait",
                             "resolver_nameservers": f"127.0.0.1:{self.dns.port}"}, **settings),
                       # As Postfix ships them.
                       master_cf_extra=f"127.0.0.1:{self.port} inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
                                       "  -o smtpd_banner=behind\ndnsblog unix - - y - 0 dnsblog\ntlsproxy unix - - y - 0 tlsproxy\n")
        self.addCleanup(mta.close)
        mta.start()

        def listens():
            try:
                socket.create_connection(("127.0.0.1", self.port), 10, source_address=("127.0.0.99", 0)).close()
                return True
            except OSError:
                return False
        wait_until(listens, 30, "the port")
        return mta

    def connect(self, source):
        raw = Raw(self.port, source)
        self.addCleanup(raw.close)
        return raw

    def deliver(self, raw):
        """The answer to RCPT."""
        self.assertTrue(raw.ask(b"EHLO client.test").startswith(b"250"))
        self.assertTrue(raw.ask(b"MAIL FROM:<a@example.test>").startswith(b"250"))
        return raw.ask(f"RCPT TO:<{HERE}>".encode())

    def test_who_waits_passes_and_is_known_afterwards(self):
        mta = self.start(postscreen_greet_action="drop")
        raw = self.connect("127.0.0.10")
        self.assertEqual(raw.reply(), b"220-wait\r\n220 behind\r\n")
        self.assertTrue(self.deliver(raw).startswith(b"250"))
        mta.wait_log("PASS NEW [127.0.0.10]:")
        for again in (False, True):
            if again:
                mta.stop()
                mta.start()
                wait_until(lambda: mta.answers(), 30, "greeting")
            self.assertEqual(self.connect("127.0.0.10").reply(), b"220 behind\r\n")
            wait_until(lambda n=again: mta.log().count("PASS OLD [127.0.0.10]:") == 1 + n, 10, "PASS OLD")
        self.assertEqual(self.connect("127.0.0.99").reply(), b"220 behind\r\n")
        mta.wait_log("ALLOWLISTED [127.0.0.99]:")

    def test_who_speaks_first(self):
        mta = self.start(postscreen_greet_action="drop")
        raw = self.connect("127.0.0.11")
        raw.say(b"EHLO early\r\n")
        self.assertEqual(raw.reply(), b"220-wait\r\n521 5.5.1 Protocol error\r\n")
        self.assertEqual(raw.reply(), b"")
        wait_until(lambda: re.search(r"PREGREET 12 after 0\S* from \[127\.0\.0\.11\]:\d+: EHLO early\\r\\n", mta.log()), 10, "PREGREET")
        mta.wait_log("DISCONNECT [127.0.0.11]:")

    def test_who_speaks_first_and_is_heard_out(self):
        mta = self.start(postscreen_greet_action="enforce")
        raw = self.connect("127.0.0.12")
        raw.say(b"EHLO early\r\n")
        self.assertEqual(raw.reply(), b"220-wait\r\n220 behind\r\n")
        self.assertTrue(raw.reply().startswith(b"250"))
        self.assertEqual(self.deliver(raw), b"550 5.5.1 Protocol error\r\n")
        mta.wait_log("NOQUEUE: reject: RCPT from [127.0.0.12]:")
        mta.wait_log(f": 550 5.5.1 Protocol error; from=<a@example.test>, to=<{HERE}>, proto=ESMTP, helo=<client.test>")
        self.assertNotIn("PASS NEW [127.0.0.12]", mta.log())

    def test_dns_lists(self):
        mta = self.start(postscreen_dnsbl_sites="bl.test=127.0.0.[2;3]*2, wl.test*-3", postscreen_dnsbl_threshold="2",
                         postscreen_dnsbl_action="enforce", postscreen_greet_action="drop", postscreen_dnsbl_allowlist_threshold="-1",
                         postscreen_dnsbl_reply_map="inline:{bl.test=our.list}")
        listed = self.connect("127.0.0.2")
        self.assertEqual(listed.reply(), b"220-wait\r\n220 behind\r\n")
        self.assertEqual(self.deliver(listed), b"550 5.7.1 Service unavailable; client [127.0.0.2] blocked using our.list\r\n")
        mta.wait_log("DNSBL rank 2 for [127.0.0.2]:")
        for address in ("127.0.0.3", "127.0.0.4", "127.0.0.5"):  # another answer; both lists; the good one alone
            raw = self.connect(address)
            self.assertEqual(raw.reply(), b"220-wait\r\n220 behind\r\n")
            self.assertTrue(self.deliver(raw).startswith(b"250"))
            mta.wait_log(f"PASS NEW [{address}]:")

    def test_dns_lists_that_do_not_answer(self):
        mta = self.start(postscreen_dnsbl_sites="bl.test", postscreen_dnsbl_action="drop", postscreen_dnsbl_timeout="1s",
                         resolver_nameservers=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", smtpd_peername_lookup="no")
        self.assertEqual(self.connect("127.0.0.2").reply(), b"220-wait\r\n220 behind\r\n")
        mta.wait_log("PASS NEW [127.0.0.2]:")

    def test_access_list(self):
        mta = self.start(postscreen_access_list="permit_mynetworks, inline:{127.0.0.20=reject, 127.0.0.21=permit, 127.0.0.22=dunno}",
                         postscreen_denylist_action="drop")
        self.assertEqual(self.connect("127.0.0.20").reply(), b"521 5.3.2 Service currently unavailable\r\n")
        mta.wait_log("DENYLISTED [127.0.0.20]:")
        self.assertEqual(self.connect("127.0.0.21").reply(), b"220 behind\r\n")
        self.assertEqual(self.connect("127.0.0.22").reply(), b"220-wait\r\n220 behind\r\n")

    def test_after_the_greeting(self):
        mta = self.start(postscreen_greet_wait="0", postscreen_pipelining_enable="yes", postscreen_non_smtp_command_enable="yes",
                         postscreen_bare_newline_enable="yes", postscreen_bare_newline_action="enforce", postscreen_pipelining_action="drop")
        raw = self.connect("127.0.0.30")
        raw.reply()
        self.assertEqual(raw.ask(b"GET / HTTP/1.1"), b"521 5.5.1 Protocol error\r\n")
        mta.wait_log(" after CONNECT: GET / HTTP/1.1")
        raw = self.connect("127.0.0.31")
        raw.reply()
        raw.say(b"EHLO x\r\nMAIL FROM:<a@example.test>\r\n")
        self.assertEqual(raw.reply(), b"521 5.5.1 Protocol error\r\n")
        mta.wait_log("COMMAND PIPELINING from [127.0.0.31]:")
        raw = self.connect("127.0.0.32")
        raw.reply()
        raw.say(b"NOOP\n")
        self.assertTrue(raw.reply().startswith(b"250"))
        self.assertEqual(self.deliver(raw), b"550 5.5.1 Protocol error\r\n")
        mta.wait_log("BARE NEWLINE from [127.0.0.32]:")
        # Who does nothing of this has passed by its first recipient, without being asked to come again.
        raw = self.connect("127.0.0.33")
        raw.reply()
        self.assertNotIn("PASS NEW", mta.log())
        self.assertTrue(self.deliver(raw).startswith(b"250"))
        mta.wait_log("PASS NEW [127.0.0.33]:")

    def test_who_goes_away(self):
        mta = self.start(postscreen_greet_wait="20s")
        raw = self.connect("127.0.0.40")
        self.assertEqual(raw.file.readline(), b"220-wait\r\n")
        raw.close()
        mta.wait_log("HANGUP after ")


if __name__ == "__main__":
    unittest.main()
