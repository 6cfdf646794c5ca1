# SPDX-License-Identifier: ISC
"""The delivery agents smtp and lmtp against other people's servers."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, wait_until  # noqa: E402

from dovecot import Dovecot  # noqa: E402

from aiosmtpd.controller import Controller  # noqa: E402
from aiosmtpd.lmtp import LMTP  # noqa: E402

BODY = b"Subject: x\r\nFrom: a@example.test\r\nTo: b@foreign.test\r\n\r\n"


class Handler:
    """refuse: {address: reply}; answer: reply to the end of data."""

    def __init__(self, refuse=None, answer="250 2.0.0 taken"):
        self.messages = []
        self.refuse = refuse or {}
        self.answer = answer
        self.lock = threading.Lock()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        with self.lock:
            self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return self.answer


def content_of(message):
    return message.split(b"\r\n\r\n", 1)[1]


class ClientCase(unittest.TestCase):
    def relay(self, handler, main_cf=None, **options):
        """An instance that sends all foreign mail to an aiosmtpd with that handler."""
        port = free_port()
        server = Controller(handler, hostname="127.0.0.1", port=port, decode_data=False, **options)
        server.start()
        self.addCleanup(server.stop)
        return self.instance(f"[127.0.0.1]:{port}", main_cf), port

    def instance(self, relayhost, main_cf=None):
        settings = {"relayhost": relayhost, "mydestination": "localhost"}
        settings.update(main_cf or {})
        mta = Instance(settings)
        self.addCleanup(mta.close)
        return mta.start()


class Client(ClientCase):
    def test_content_arrives_unchanged(self):
        handler = Handler()
        mta, port = self.relay(handler, enable_SMTPUTF8=True)
        bodies = [
            b"one\r\n..dotted\r\n.\x20\r\nlast\r\n",
            b".\r\n" * 50000,                                   # stuffed, longer than one buffer
            b"".join(b"line %d\r\n" % i for i in range(200000)),  # sent from the file as it is
            "übergröße\r\n".encode() * 10,
        ]
        with mta.smtp() as s:
            for body in bodies:
                s.sendmail("a@example.test", ["b@foreign.test"], BODY + body, ["BODY=8BITMIME"])
        wait_until(lambda: len(handler.messages) == len(bodies), 60, "messages; log:\n" + mta.log()[-3000:])
        self.assertEqual(sorted(content_of(m[2]) for m in handler.messages), sorted(bodies))
        mta.wait_log(f"relay=127.0.0.1[127.0.0.1]:{port}")
        mta.wait_log("status=sent (250 2.0.0 taken)")
        wait_until(lambda: mta.log().count(": removed") == len(bodies), 20, "removed")

    def test_long_lines_are_folded(self):
        handler = Handler()
        mta, _ = self.relay(handler, enable_SMTPUTF8=True)
        line = "é".encode() * 1000
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["b@foreign.test"], BODY + line + b"\r\n")
        wait_until(lambda: handler.messages, 30, "message; log:\n" + mta.log()[-3000:])
        lines = content_of(handler.messages[0][2]).split(b"\r\n")
        self.assertTrue(all(len(x) <= 998 for x in lines))
        for x in lines:
            x.decode()  # no character was cut
        self.assertEqual(b"".join([lines[0]] + [x[1:] for x in lines[1:-1]]), line)

    def test_replies_a_recipient(self):
        handler = Handler(refuse={"no@foreign.test": "550 5.1.1 no such user", "later@foreign.test": "451 4.2.0 later"})
        mta, _ = self.relay(handler)
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["no@foreign.test", "yes@foreign.test", "later@foreign.test"], BODY)
        mta.wait_log("to=<yes@foreign.test>, ")
        mta.wait_log("status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command))")
        mta.wait_log("status=deferred (host 127.0.0.1[127.0.0.1] said: 451 4.2.0 later (in reply to RCPT TO command))")
        self.assertIn(["yes@foreign.test"], [m[1] for m in handler.messages])

    def test_refused_at_the_end_of_data(self):
        mta, _ = self.relay(Handler(answer="554 5.7.1 spam"))
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["b@foreign.test"], BODY)
        mta.wait_log("dsn=5.7.1, status=bounced (host 127.0.0.1[127.0.0.1] said: 554 5.7.1 spam (in reply to end of DATA command))")

    def test_too_big_for_the_server(self):
        mta, _ = self.relay(Handler(), data_size_limit=2000)
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["b@foreign.test"], BODY + b"x\r\n" * 2000)
        mta.wait_log("dsn=5.3.4, status=bounced (message size ")

    def test_nobody_listens(self):
        port = free_port()
        mta = self.instance(f"[127.0.0.1]:{port}")
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["b@foreign.test"], BODY)
        mta.wait_log(f"status=deferred (connect to 127.0.0.1[127.0.0.1]:{port}: Connection refused)")
        self.assertEqual(len(mta.queue_files()) >= 1, True)

    def test_silent_and_endless_servers(self):
        """A server that says nothing, one that hangs up, one that never stops a reply."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            stop = threading.Event()
            turns = iter(["endless", "hangup", "silent"])
            seen = []

            def serve():
                kept = []
                while not stop.is_set():
                    try:
                        listener.settimeout(0.2)
                        conn, _ = listener.accept()
                    except OSError:
                        continue
                    turn = next(turns, "silent")
                    seen.append(turn)
                    kept.append(conn)
                    try:
                        if turn == "hangup":
                            conn.close()
                        elif turn == "endless":
                            for _ in range(100000):
                                conn.sendall(b"220-and on and on\r\n")
                    except OSError:
                        pass

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                mta = self.instance(f"[127.0.0.1]:{port}", {"smtp_helo_timeout": "1s"})
                for want in ("sent a malformed reply while receiving the initial server greeting",
                             "lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server greeting",
                             "conversation with 127.0.0.1[127.0.0.1] timed out while receiving the initial server greeting"):
                    with mta.smtp() as s:
                        s.sendmail("a@example.test", [f"x{len(want)}@foreign{len(want)}.test"], BODY)
                    mta.wait_log(want)
                    time.sleep(0.1)
            finally:
                stop.set()
                thread.join()

    def test_lmtp_on_a_unix_socket(self):
        """A reply a recipient."""
        handler = Handler()
        where = tempfile.mkdtemp(prefix="postrider-")
        self.addCleanup(shutil.rmtree, where)
        os.chmod(where, 0o755)
        path = where + "/sink"
        mta = self.instance("", {"relay_domains": "foreign.test", "relay_transport": f"lmtp:unix:{path}"})
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(loop.create_unix_server(lambda: LMTP(handler, loop=loop, decode_data=False), path))
        os.chmod(path, 0o666)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            with mta.smtp() as s:
                s.sendmail("a@example.test", ["b@foreign.test"], BODY + b"hello\r\n")
            mta.wait_log(f"relay=mail.example.test[{path}], ")
            mta.wait_log("status=sent (250 2.0.0 taken)")
            self.assertEqual(content_of(handler.messages[0][2]), b"hello\r\n")
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


class Addresses(ClientCase):
    def test_generic_maps(self):
        handler = Handler()
        mta, _ = self.relay(handler, {"myorigin": "inside.test", "mydestination": "inside.test", "recipient_delimiter": "+",
                                      "smtp_generic_maps": "inline:{joe@inside.test=joe.public@outside.test, "
                                                           "ann=ann@outside.test, @lan.test=@outside.test, b@foreign.test=c@foreign.test}"})
        header = (b"From: Joe <joe+x@inside.test>\r\nTo: b@foreign.test, \"q\" <x@lan.test>\r\nSubject: joe@inside.test\r\n"
                  b"Reply-To: ann@inside.test,\r\n\tother@foreign.test\r\n\r\n")
        big = b"line joe@inside.test\r\n" * 20000
        for body in (b"to joe@inside.test\r\n", big):
            with mta.smtp() as s:
                s.sendmail("joe@inside.test", ["b@foreign.test"], header + body)
        wait_until(lambda: len(handler.messages) == 2, 30, "messages")
        for sender, recipients, content in handler.messages:
            self.assertEqual((sender, recipients), ("joe.public@outside.test", ["c@foreign.test"]))
            for line in (b"From: Joe <joe.public@outside.test>\r\n", b'To: c@foreign.test, "q" <x@outside.test>\r\n',
                         b"Subject: joe@inside.test\r\n", b"Reply-To: ann@outside.test"):
                self.assertIn(line, content)
            self.assertIn(content_of(content), (b"to joe@inside.test\r\n", big))
            self.assertEqual(content.count(b"Received: "), 1)
        mta.wait_log("to=<b@foreign.test>, ")

    def test_generic_maps_that_cannot_be_asked(self):
        handler = Handler()
        mta, _ = self.relay(handler, {"smtp_generic_maps": "hash:/nonexistent/generic"})
        with mta.smtp() as s:
            s.sendmail("joe@inside.test", ["b@foreign.test"], BODY)
        mta.wait_log("dsn=4.3.0, status=deferred (mail system configuration or queue file error)")
        self.assertEqual(handler.messages, [])

    def test_fallback_relay(self):
        handler = Handler()
        _, port = self.relay(handler)
        mta = self.instance(f"[127.0.0.1]:{free_port()}", {"smtp_fallback_relay": f"[127.0.0.1]:{free_port()}, [127.0.0.1]:{port}"})
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["b@foreign.test"], BODY)
        mta.wait_log(f"relay=127.0.0.1[127.0.0.1]:{port}, ")
        wait_until(lambda: handler.messages, 10, "message")

    def test_xforward(self):
        """A second instance hears from whom the first one has the mail."""
        second = self.instance("", {"smtpd_authorized_xforward_hosts": "127.0.0.1", "default_transport": "discard"})
        mta = self.instance(f"[127.0.0.1]:{second.port}", {"smtp_send_xforward_command": "yes", "smtpd_authorized_xclient_hosts": "127.0.0.1",
                                                                "mynetworks": "127.0.0.0/8 [2001:db8::]/32"})
        with mta.smtp() as s:
            s.ehlo("first.test")
            self.assertEqual(s.docmd("XCLIENT", "NAME=far.test ADDR=IPv6:2001:db8::7")[0], 220)
            s.ehlo("far.helo.test")
            s.sendmail("a@example.test", ["b@foreign.test"], BODY)
        second.wait_log("client=localhost[127.0.0.1], orig_queue_id=")
        second.wait_log("orig_client=far.test[2001:db8::7]")
        mta.wait_log("status=sent")

    def test_lmtp_to_dovecot(self):
        """A reply a recipient: one is taken, one is not known."""
        dovecot = Dovecot({"joe@foreign.test": "x", "ann@foreign.test": "x"})
        self.addCleanup(dovecot.close)
        wait_until(lambda: os.path.exists(dovecot.dir + "/lmtp"), 10, "socket")
        mta = self.instance("", {"relay_domains": "foreign.test", "relay_transport": f"lmtp:unix:{dovecot.dir}/lmtp",
                                 "lmtp_lhlo_name": "lhlo.example.test"})
        with mta.smtp() as s:
            s.sendmail("a@example.test", ["joe@foreign.test", "no@foreign.test", "ann@foreign.test"], BODY + b"hello\r\n")
        mta.wait_log("to=<no@foreign.test>, ")
        wait_until(lambda: mta.log().count("status=sent (250 2.0.0 <") == 2, 30, "two sent\n" + mta.log())
        self.assertRegex(mta.log(), r"to=<no@foreign\.test>, .*dsn=5\.1\.1, status=bounced \(host \S+ said: 550 5\.1\.1 <no@foreign\.test> User doesn't exist")
        for user in ("joe@foreign.test", "ann@foreign.test"):
            new = f"{dovecot.dir}/mail/{user}/new"
            with open(os.path.join(new, os.listdir(new)[0])) as f:
                self.assertIn("\n\nhello\n", f.read())


class Reuse(unittest.TestCase):
    def test_connections_are_kept(self):
        """Many messages to one place take few connections."""
        handler = Handler()
        connections = []
        port = free_port()

        class Counting(Controller):
            def factory(self):
                connections.append(1)
                return super().factory()

        server = Counting(handler, hostname="127.0.0.1", port=port, decode_data=False)
        server.start()
        self.addCleanup(server.stop)
        mta = Instance({"relayhost": f"[127.0.0.1]:{port}", "mydestination": "localhost"})
        self.addCleanup(mta.close)
        mta.start()
        count = 300
        with mta.smtp() as s:
            for i in range(count):
                s.sendmail("a@example.test", [f"u{i}@foreign.test"], BODY)
        wait_until(lambda: len(handler.messages) >= count, 60, "messages; log:\n" + mta.log()[-3000:])
        time.sleep(0.5)
        self.assertEqual(sorted(m[1][0] for m in handler.messages), sorted(f"u{i}@foreign.test" for i in range(count)))
        self.assertLess(len(connections), 60)


if __name__ == "__main__":
    unittest.main()
