# SPDX-License-Identifier: ISC
"""Limits a client, counted by anvil over all smtpd processes: sessions, connections, messages, recipients, log-ins."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import wait_until  # noqa: E402
from test_smtpd_dialogue import HERE, OK, ServerTest  # noqa: E402

HOST = "mail.example.test"


class Limits(ServerTest):
    """XCLIENT says who a client is; each test has addresses of its own."""
    settings = {"smtpd_authorized_xclient_hosts": "127.0.0.0/8", "mynetworks": "127.0.0.0/8, 192.0.2.200",
                "smtpd_client_connection_count_limit": "3", "smtpd_client_connection_rate_limit": "6",
                "smtpd_client_message_rate_limit": "4", "smtpd_client_recipient_rate_limit": "5",
                "smtpd_recipient_restrictions": "permit_auth_destination, reject"}

    def client(self, address, expected="220"):
        session = self.connect()
        prefix = "IPV6:" if ":" in address else ""
        self.assertEqual(session.ask(f"XCLIENT NAME=client.test ADDR={prefix}{address}")[:3], expected)
        return session

    def test_sessions_at_a_time(self):
        sessions = [self.client("192.0.2.1") for _ in range(3)]
        with self.connect() as s:
            self.assertEqual(s.ask("XCLIENT NAME=client.test ADDR=192.0.2.1"),
                             f"421 4.7.0 {HOST} Error: too many connections from 192.0.2.1")
            self.assertIsNone(s.last())
        self.mta.wait_log("warning: Connection concurrency limit exceeded: 4 from client.test[192.0.2.1] for service ")
        sessions[0].ask("QUIT")
        sessions[0].close()
        wait_until(self.mta.log, what="log")
        self.mta.wait_log("disconnect from client.test[192.0.2.1] xclient=1 quit=1 commands=2")

        def again():
            with self.connect() as s:
                return s.ask("XCLIENT NAME=client.test ADDR=192.0.2.1")[:3] == "220"
        wait_until(again, what="room for another session")

    def test_connections_in_a_unit_of_time(self):
        for _ in range(6):
            self.client("192.0.2.2").close()
        self.client("192.0.2.2", "421")
        self.mta.wait_log("Connection rate limit exceeded: 7 from client.test[192.0.2.2] for service ")
        self.client("192.0.2.3")

    def test_messages(self):
        s = self.client("192.0.2.4")
        s.ask("EHLO x")
        for _ in range(4):
            self.assertEqual(s.ask("MAIL FROM:<a@good.test>")[:3], "250")
            self.assertEqual(s.ask("RSET"), OK)
        self.assertEqual(s.ask("MAIL FROM:<a@good.test>"), "450 4.7.1 Error: too much mail from 192.0.2.4")
        # The same client in another session.
        s = self.client("192.0.2.4")
        s.ask("EHLO x")
        self.assertEqual(s.ask("MAIL FROM:<a@good.test>")[:3], "450")
        self.mta.wait_log("Message delivery request rate limit exceeded: 6 from client.test[192.0.2.4]")

    def test_recipients(self):
        s = self.client("192.0.2.5")
        s.ask("EHLO x")
        s.ask("MAIL FROM:<a@good.test>")
        for _ in range(5):
            self.assertEqual(s.ask(f"RCPT TO:<{HERE}>")[:3], "250")
        self.assertEqual(s.ask(f"RCPT TO:<{HERE}>"), "450 4.7.1 Error: too many recipients from 192.0.2.5")

    def test_ipv6_clients_are_counted_by_network(self):
        for i in range(3):
            self.client(f"2001:db8:1:2::{i}")
        self.client("2001:db8:1:2:ffff::1", "421")
        self.client("2001:db8:1:3::1")

    def test_friends_have_no_limits(self):
        for _ in range(8):
            self.client("192.0.2.200")

    def test_a_session_ends_with_its_process(self):
        """smtpd is killed: its sessions are over, and count no more."""
        for _ in range(3):
            self.client("192.0.2.6")
        self.client("192.0.2.6", "421")
        os.kill(self.smtpd_pid(), 9)

        def again():
            try:
                with self.connect() as s:
                    return s.ask("XCLIENT NAME=client.test ADDR=192.0.2.6")[:3] == "220"
            except (OSError, TypeError):
                return False
        wait_until(again, what="room after the end of smtpd")

    def smtpd_pid(self):
        for pid in os.listdir("/proc"):
            try:
                with open(f"/proc/{pid}/status") as status, open(f"/proc/{pid}/cmdline") as line:
                    if f"PPid:\t{self.mta.process.pid}\n" in status.read() and "smtpd" in line.read():
                        found = int(pid)
            except OSError:
                continue
        return found
