# SPDX-License-Identifier: ISC
"""
What the SMTP server answers, word by word.  The replies of DIALOGUES are those of Postfix 3.7.11:
POSTRIDER_PEER=host:port sends the table to another server instead (a Postfix with the main.cf
that Instance writes, smtpd_forbid_bare_newline = normalize, smtpd_forbid_unauth_pipelining = yes).
"""

import email
import itertools
import os
import re
import smtplib
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_mail_flow import body_of  # noqa: E402

USER = local_user()
HERE = f"{USER}@example.test"
MAIL = "MAIL FROM:<a@example.test>"
RCPT = f"RCPT TO:<{HERE}>"
OK, MAIL_OK, RCPT_OK = "250 2.0.0 Ok", "250 2.1.0 Ok", "250 2.1.5 Ok"
GO_ON = "354 End data with <CR><LF>.<CR><LF>"
QUEUED = "250 2.0.0 Ok: queued as ID"
BAD_SENDER, BAD_RECIPIENT = "501 5.1.7 Bad sender address syntax", "501 5.1.3 Bad recipient address syntax"
MAIL_SYNTAX, RCPT_SYNTAX = "501 5.5.4 Syntax: MAIL FROM:<address>", "501 5.5.4 Syntax: RCPT TO:<address>"
UNKNOWN, BAD_SYNTAX = "500 5.5.2 Error: command not recognized", "500 5.5.2 Error: bad syntax"
OUT_OF_TURN = "554 5.5.0 Error: SMTP protocol synchronization"
RULES = "221 2.7.0 Error: I can break rules, too. Goodbye."
UNKNOWN_USER = "550 5.1.1 <{}>: Recipient address rejected: User unknown in local recipient table"
HELLO = ("EHLO x", "250 CHUNKING")  # its last line
CLOSED = None                       # instead of a reply: the server has closed

DIALOGUES = {
    "commands without mail": [
        ("NOOP", OK), ("NOOP x y", OK), ("noop", OK), ("RSET", OK), ("QUIT", "221 2.0.0 Bye"), ("", CLOSED)],
    "RSET takes no argument": [
        ("RSET x", "501 5.5.4 Syntax: RSET"), ("NOOP", OK), ("QUIT x", "221 2.0.0 Bye")],
    "HELO and EHLO": [
        ("HELO", "501 Syntax: HELO hostname"), ("EHLO", "501 Syntax: EHLO hostname"),
        ("HELO  ", "501 Syntax: HELO hostname"), ("HELO a b", "250 mail.example.test"),
        ("helo [127.0.0.1]", "250 mail.example.test"), ("HELO x_y", "250 mail.example.test"),
        ("EHLO ä", "250 CHUNKING"), ("EHLO a\tb", "250 CHUNKING")],
    "VRFY": [
        ("VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"), ("VRFY x", UNKNOWN_USER.format("x")),
        (f"VRFY <{HERE}>", f"252 2.0.0 <{HERE}>"), (f"VRFY {USER}", f"252 2.0.0 {USER}"),
        ("VRFY a b", BAD_RECIPIENT), ("VRFY @", BAD_RECIPIENT), ("VRFY <>", BAD_RECIPIENT),
        ("VRFY x@elsewhere.test", "252 2.0.0 x@elsewhere.test"), ("EXPN x", UNKNOWN)],
    "out of order": [
        ("RCPT", "503 5.5.1 Error: need MAIL command"), ("RCPT TO:<x>", "503 5.5.1 Error: need MAIL command"),
        ("DATA", "503 5.5.1 Error: need RCPT command"), HELLO, (MAIL, MAIL_OK),
        (MAIL, "503 5.5.1 Error: nested MAIL command"), ("DATA", "554 5.5.1 Error: no valid recipients"),
        HELLO, ("RCPT TO:<x>", "503 5.5.1 Error: need MAIL command")],
    "MAIL": [
        ("MAIL", MAIL_SYNTAX), ("MAIL FROM", MAIL_SYNTAX), ("MAIL FROM:", MAIL_SYNTAX),
        ("MAIL FROM <a@x.test>", MAIL_SYNTAX), ("MAIL FROM: <>", MAIL_OK), ("RSET", OK),
        ("mail from:<a@x.test>", MAIL_OK), ("RSET", OK), ("MAIL  FROM:<a@x.test>", MAIL_OK), ("RSET", OK),
        ("MAIL FROM:a@b.test", MAIL_OK), ("RSET", OK), ("MAIL FROM:<@a,@b:c@d.test>", MAIL_OK), ("RSET", OK),
        ('MAIL FROM:<"a b"@c.test>', MAIL_OK), ("RSET", OK), ("MAIL FROM:<a@[127.0.0.1]>", MAIL_OK)],
    "MAIL with a bad address": [
        ("MAIL FROM:<a b>", BAD_SENDER), ("MAIL FROM:<a@b", BAD_SENDER), ("MAIL FROM:<a@[999]>", BAD_SENDER),
        ("MAIL FROM:<a@-x.test>", BAD_SENDER), ("MAIL FROM:<a@x..test>", BAD_SENDER),
        ("MAIL FROM:<a@.test>", BAD_SENDER), ("MAIL FROM:<a@x.test>x", BAD_SENDER),
        ("MAIL FROM:<a@x.test>SIZE=1", BAD_SENDER), ("MAIL FROM:<a>b<c>", BAD_SENDER),
        (f"MAIL FROM:<a@{'a' * 300}.test>", BAD_SENDER)],
    "MAIL parameters": [
        HELLO, ("MAIL FROM:<a@b> SIZE=", "501 5.5.4 Bad message size syntax"),
        ("MAIL FROM:<a@b> SIZE=abc", "501 5.5.4 Bad message size syntax"),
        ("MAIL FROM:<a@b> SIZE=99999999999", "552 5.3.4 Message size exceeds fixed limit"),
        ("MAIL FROM:<a@b> BODY=9BIT", "555 5.5.4 Unsupported option: BODY=9BIT"),
        ("MAIL FROM:<a@b> FOO=BAR", "555 5.5.4 Unsupported option: FOO=BAR"),
        ("MAIL FROM:<a@b> RET=X", "501 5.5.4 Bad RET parameter syntax"),
        ("MAIL FROM:<a@b> ENVID=+zz", "501 5.5.4 Bad ENVID parameter syntax"),
        ("MAIL FROM:<a@b> ENVID=", "501 5.5.4 Bad ENVID parameter syntax"),
        ("MAIL FROM:<a@b> SMTPUTF8=1", "555 5.5.4 Unsupported option: SMTPUTF8=1"),
        ("MAIL FROM:<a@b> BODY=8BITMIME SIZE=1 SMTPUTF8 RET=HDRS ENVID=x+2B", MAIL_OK)],
    "parameters are taken after HELO, too": [
        ("HELO x", "250 mail.example.test"), ("MAIL FROM:<a@x.test> BODY=8BITMIME SIZE=10", MAIL_OK),
        (f"RCPT TO:<{HERE}> NOTIFY=NEVER", RCPT_OK)],
    "RCPT": [
        HELLO, (MAIL, MAIL_OK), ("RCPT", RCPT_SYNTAX), ("RCPT TO", RCPT_SYNTAX), ("RCPT TO:", RCPT_SYNTAX),
        ("RCPT TO:<>", BAD_RECIPIENT), ("RCPT TO:<x", BAD_RECIPIENT), ("RCPT TO:<a b@c>", BAD_RECIPIENT),
        ("RCPT TO:<@>", BAD_RECIPIENT), ("RCPT TO:<a@>", BAD_RECIPIENT), ("RCPT TO:<x@[x]>", BAD_RECIPIENT),
        ("RCPT TO:<nobody-here@example.test>", UNKNOWN_USER.format("nobody-here@example.test")),
        ("RCPT TO:<x@[127.0.0.1]>", UNKNOWN_USER.format("x@[127.0.0.1]")),
        ("RCPT TO:x@elsewhere.test", RCPT_OK), (f"RCPT TO:<{USER}>", RCPT_OK), ("RCPT TO:<postmaster>", RCPT_OK),
        ("RCPT TO:<POSTMASTER@example.test>", RCPT_OK), ("RCPT TO:<postmaster@[127.0.0.1]>", RCPT_OK)],
    "RCPT parameters": [
        HELLO, (MAIL, MAIL_OK), (RCPT + " NOTIFY=X", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
        (RCPT + " NOTIFY=", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
        (RCPT + " NOTIFY=NEVER,SUCCESS", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
        (RCPT + " ORCPT=x", "501 5.5.4 Error: Bad ORCPT parameter syntax"),
        (RCPT + " FOO", "555 5.5.4 Unsupported option: FOO"),
        (RCPT + " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x", RCPT_OK)],
    "DATA": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), ("DATA x", "501 5.5.4 Syntax: DATA"), ("DATA", GO_ON),
        ("Subject: x\r\n\r\nbody\r\n.", QUEUED), (MAIL, MAIL_OK), (RCPT, RCPT_OK), ("DATA", GO_ON), (".", QUEUED),
        ("DATA", "503 5.5.1 Error: need RCPT command")],
    "BDAT": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), (b"BDAT 5\r\nabc\r\n", "250 2.0.0 Ok: 5 bytes"),
        (RCPT, "503 5.5.1 Error: RCPT after BDAT"), ("DATA", "503 5.5.1 Error: DATA after BDAT"),
        ("BDAT 0 LAST", "250 2.0.0 Ok: 5 bytes queued as ID")],
    "BDAT without recipients": [
        HELLO, (MAIL, MAIL_OK), (b"BDAT 5\r\nQUIT\n", "554 5.5.1 Error: no valid recipients"),
        (b"BDAT 5\r\nQUIT\n", "551 5.0.0 Discarded 5 bytes after earlier error"),
        ("DATA", "503 5.5.1 Error: DATA after BDAT"),
        (b"BDAT 5 LAST\r\nQUIT\n", "551 5.0.0 Discarded 5 bytes after earlier error"),
        (MAIL, MAIL_OK), (RCPT, RCPT_OK), (b"BDAT 5 LAST\r\nabc\r\n", "250 2.0.0 Ok: 5 bytes queued as ID")],
    "BDAT without MAIL": [
        HELLO, (b"BDAT 5\r\nQUIT\n", "503 5.5.1 Error: need RCPT command"), (MAIL, "503 5.5.1 Error: MAIL after BDAT"),
        ("RSET", OK), (MAIL, MAIL_OK), (RCPT, RCPT_OK),
        ("BDAT 0", "551 5.7.1 Null BDAT request"), ("RSET", OK), ("BDAT 0 LAST", "503 5.5.1 Error: need RCPT command"),
        (MAIL, MAIL_OK)],
    "BDAT beyond the size limit": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), (b"BDAT 3\r\nabc", "250 2.0.0 Ok: 3 bytes"), ("RSET", OK),
        (b"BDAT 3 LAST\r\nabc", "503 5.5.1 Error: need RCPT command"), ("NOOP", OK)],
    "no chunk size: nothing can be read on": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), ("BDAT x", "521 5.5.4 Syntax: BDAT count [LAST]"), ("", CLOSED)],
    "BDAT with a wrong word": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), ("BDAT 3 FOO\r\n", "521 5.5.4 Syntax: BDAT count [LAST]"), ("", CLOSED)],
    "BDAT with a word too many": [HELLO, ("BDAT 3 LAST x", "521 5.5.4 Syntax: BDAT count [LAST]"), ("", CLOSED)],
    "BDAT with a negative size": [HELLO, ("BDAT -1", "521 5.5.4 Syntax: BDAT count [LAST]"), ("", CLOSED)],
    "BDAT with an endless size": [HELLO, ("BDAT 99999999999999999999", "521 5.5.4 Syntax: BDAT count [LAST]"), ("", CLOSED)],
    "no command": [
        ("FOO", UNKNOWN), ("", BAD_SYNTAX), ("  ", BAD_SYNTAX), ("TURN", UNKNOWN), ("SEND", UNKNOWN), ("USER x", UNKNOWN),
        ("MAILFROM:<x>", RULES), ("", CLOSED)],
    "HTTP: GET": [("GET / HTTP/1.0", RULES), ("", CLOSED)],
    "HTTP: POST": [("POST / HTTP/1.1", RULES), ("", CLOSED)],
    "HTTP: CONNECT": [("CONNECT x", RULES), ("", CLOSED)],
    "a mail header": [("Received: x", RULES), ("", CLOSED)],
    "a TLS record": [(b"\x16\x03\x01\n", RULES), ("", CLOSED)],
    "8-bit garbage": [(b"NOOP \xff\n", "500 5.5.2 Error: bad UTF-8 syntax"), ("NOOP", OK)],
    "SMTPUTF8": [
        HELLO, ("MAIL FROM:<ä@b.test> SMTPUTF8", MAIL_OK),
        ("RCPT TO:<ü@example.test>", UNKNOWN_USER.format("ü@example.test")), ("RCPT TO:<x@bücher.test>", RCPT_OK)],
    "ways through us": [
        HELLO, (MAIL, MAIL_OK), ("RCPT TO:<x%elsewhere.test@example.test>", RCPT_OK),
        ("RCPT TO:<elsewhere.test!x@example.test>", RCPT_OK), ("RCPT TO:<@example.test:x@elsewhere.test>", RCPT_OK)],
    "pipelining behind EHLO": [("EHLO x\r\nNOOP", OUT_OF_TURN), ("", CLOSED)],
    "pipelining behind NOOP": [HELLO, ("NOOP\r\nNOOP", OUT_OF_TURN), ("", CLOSED)],
    "pipelining behind VRFY": [HELLO, ("VRFY x\r\nNOOP", OUT_OF_TURN), ("", CLOSED)],
    "pipelining after HELO": [("HELO x", "250 mail.example.test"), (MAIL + "\r\nRSET", OUT_OF_TURN), ("", CLOSED)],
    "content before 354": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), ("DATA\r\nSubject: x\r\n\r\n.", OUT_OF_TURN), ("", CLOSED)],
    "too many errors": [("FOO", UNKNOWN)] * 20 + [("", "421 4.7.0 mail.example.test Error: too many errors"), ("", CLOSED)],
    "too many commands without mail": [("NOOP", OK)] * 121 + [
        ("", "421 4.7.0 mail.example.test Error: too many errors"), ("", CLOSED)],
}
# Where Postrider means to answer otherwise than Postfix 3.7.
OWN_DIALOGUES = {
    "RFC 6531: no UTF-8 without SMTPUTF8": [
        HELLO, ("MAIL FROM:<ä@b.test>", BAD_SENDER), (MAIL, MAIL_OK), ("RCPT TO:<ü@example.test>", BAD_RECIPIENT)],
    "Postfix repairs this": [("MAIL FROM:<a@@b>", BAD_SENDER)],
    "HELP": [("HELP", "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY: see RFC 5321")],
    "Postfix acts on the beginning of the line": [
        ("X" * 3000, "500 5.5.2 Error: line too long"), (f"{MAIL}{' ' * 3000}", "500 5.5.2 Error: line too long"),
        (b"NOOP\0\r\n", BAD_SYNTAX), (b"QU\0IT\r\n", BAD_SYNTAX), ("NOOP", OK)],
    "Postfix answers a chunk that is too big at once": [
        HELLO, (MAIL, MAIL_OK), (RCPT, RCPT_OK), (b"BDAT 10240001\r\n" + b"x" * 10240001, "552 5.3.4 Chunk exceeds message size limit"),
        (b"BDAT 3 LAST\r\nabc", "551 5.0.0 Discarded 3 bytes after earlier error"), (MAIL, MAIL_OK)],
}


class Session:
    """A raw connection: sends what it is told, reads whole replies."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, 60)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        """Lines of one reply without their ends; empty when the server has closed."""
        lines = []
        while not lines or lines[-1][3:4] == "-":
            try:
                line = self.file.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                return lines
            lines.append(line.decode().rstrip("\r\n"))
        return lines

    def last(self):
        """The last line of a reply, queue ID aside; None when the server has closed."""
        lines = self.reply()
        return re.sub(r"queued as [0-9A-Za-z]{10,}$", "queued as ID", lines[-1]) if lines else None

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, command):
        data = command if isinstance(command, bytes) else command.encode() + b"\r\n"
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.last()

    def transaction(self, *recipients):
        """EHLO, MAIL, RCPT: ready for DATA or BDAT."""
        for command in ["EHLO x", MAIL] + [f"RCPT TO:<{r}>" for r in recipients or [HERE]]:
            if (self.ask(command) or "")[:1] != "2":
                raise AssertionError(command)
        return self

    def nothing_comes(self):
        """True when no reply is under way: NOOP gets the next one."""
        return self.ask("NOOP") == OK

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class ServerTest(unittest.TestCase):
    settings = {}
    extra = ""

    @classmethod
    def setUpClass(cls):
        cls.port2 = free_port()
        cls.mta = Instance(dict({"smtpd_error_sleep_time": "0", "default_transport": "discard",
                                 "mailbox_size_limit": "0"}, **cls.settings),
                           master_cf_extra=cls.extra.format(port=cls.port2))
        try:
            cls.mta.start()
        except BaseException:
            cls.mta.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()

    def connect(self, port=None):
        session = Session(("127.0.0.1", port or self.mta.port))
        self.addCleanup(session.close)
        return session

    def await_message(self, marker):
        """The delivered message that contains the marker, lines ending in LF."""
        def find():
            return [m for m in self.mta.mailbox(USER) if marker in m]
        try:
            return wait_until(find, 30, f"message with {marker}")[0]
        except AssertionError as e:
            raise AssertionError(str(e) + "\n" + self.mta.log()[-4000:])


class Dialogues(ServerTest):
    def run_table(self, address, table):
        for name, dialogue in table.items():
            with self.subTest(dialogue=name), Session(address) as s:
                for number, (command, expected) in enumerate(dialogue, 1):
                    at_end = command == "" and expected != BAD_SYNTAX  # nothing to say: listen
                    got = s.last() if at_end else s.ask(command)
                    self.assertEqual(got, expected, f"line {number}: {command[:100]!r}")

    def test_replies_are_those_of_postfix(self):
        self.assertGreater(sum(len(d) for d in DIALOGUES.values()), 150)
        peer = os.environ.get("POSTRIDER_PEER")
        address = (peer.split(":")[0], int(peer.split(":")[1])) if peer else ("127.0.0.1", self.mta.port)
        self.run_table(address, DIALOGUES)

    def test_replies_of_our_own(self):
        self.run_table(("127.0.0.1", self.mta.port), OWN_DIALOGUES)

    def test_ehlo_announces_what_there_is(self):
        with self.connect() as s:
            self.assertEqual(s.greeting, ["220 mail.example.test ESMTP Postrider"])
            s.send(b"EHLO x\r\n")
            self.assertEqual(s.reply(), ["250-mail.example.test", "250-PIPELINING", "250-SIZE 10240000", "250-VRFY", "250-ETRN",
                                         "250-DELIVERBY", "250-XVERP",
                                         "250-ENHANCEDSTATUSCODES", "250-8BITMIME", "250-DSN", "250-SMTPUTF8",
                                         "250 CHUNKING"])

    def test_refusals_are_logged(self):
        with self.connect() as s:
            for command in ("EHLO here", "VRFY nobody-here", MAIL, "RCPT TO:<nobody-here@example.test>", "RCPT TO:<a b>",
                            "RSET", "MAIL FROM:<a@example.test> SIZE=99999999", "BDAT 9 7"):
                s.ask(command)
        where = "localhost[127.0.0.1]"
        unknown = "550 5.1.1 <{0}>: Recipient address rejected: User unknown in local recipient table;"
        for line in (f"NOQUEUE: reject: VRFY from {where}: {unknown.format('nobody-here')} to=<nobody-here> proto=ESMTP helo=<here>",
                     f"NOQUEUE: reject: RCPT from {where}: {unknown.format('nobody-here@example.test')} "
                     "from=<a@example.test> to=<nobody-here@example.test> proto=ESMTP helo=<here>",
                     f"warning: Illegal address syntax from {where} in RCPT command: <a b>",
                     f"NOQUEUE: reject: MAIL from {where}: 552 5.3.4 Message size exceeds fixed limit; "
                     "from=<a@example.test> proto=ESMTP helo=<here>",
                     f"warning: NOQUEUE: malformed BDAT command syntax from {where}: BDAT 9 7"):
            self.mta.wait_log(line)

    def test_a_long_session_with_mail_is_no_nuisance(self):
        """RSET before each message, as clients that keep connections send it."""
        with self.connect() as s:
            for _ in range(150):
                self.assertEqual(s.ask("RSET"), OK)
                s.transaction("x@elsewhere.test")
                self.assertEqual(s.ask("DATA"), GO_ON)
                self.assertEqual(s.ask("."), QUEUED)

    def test_recipients_beyond_the_limit(self):
        with self.connect() as s:
            s.transaction()
            for i in range(999):
                self.assertEqual(s.ask(f"RCPT TO:<x{i}@elsewhere.test>"), RCPT_OK)
            for i in range(30):
                self.assertEqual(s.ask(f"RCPT TO:<y{i}@elsewhere.test>"), "452 4.5.3 Error: too many recipients")
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask("."), QUEUED)

    def test_speaking_first_is_refused(self):
        """What a client sends before the greeting is not for us."""
        def early():
            with socket.create_connection(("127.0.0.1", self.mta.port), 20) as s:
                s.sendall(b"EHLO x\r\n" * 100)
                return s.recv(100)
        wait_until(lambda: early().startswith(OUT_OF_TURN.encode()), 20, "refusal")  # a race that the server may win
        self.mta.wait_log("improper command pipelining after CONNECT from localhost[127.0.0.1]: EHLO x")

    def test_a_half_closed_connection_gets_its_answers(self):
        with self.connect() as s:
            s.send(b"EHLO x\r\n")
            s.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(s.last(), "250 CHUNKING")


class Chunks(ServerTest):
    def test_a_message_in_chunks(self):
        """Whatever the cuts; a dot on a line of its own is content; lines end as they should."""
        content = b"Subject: chunks\r\nX-Mark: m1\r\n\r\none\r\n.\r\n..two\r\n\r\n.\r\nQUIT\r\nlast"
        for size in (1, 2, 3, 7, 20, len(content)):
            marked = content.replace(b"m1", b"chunk%03d" % size)
            with self.connect() as s:
                s.transaction()
                parts = [marked[i:i + size] for i in range(0, len(marked), size)]
                for i, part in enumerate(parts):
                    last = b" LAST" if i == len(parts) - 1 else b""
                    expected = f"250 2.0.0 Ok: {len(part)} bytes" if not last else None
                    got = s.ask(b"BDAT %d%s\r\n%s" % (len(part), last, part))
                    if expected:
                        self.assertEqual(got, expected)
                    else:
                        self.assertRegex(got, r"^250 2\.0\.0 Ok: \d+ bytes queued as ID$")
            self.assertEqual(body_of(self.await_message(b"X-Mark: chunk%03d\n" % size)),
                             b"one\n.\n..two\n\n.\nQUIT\nlast\n")

    def test_pipelined_chunks(self):
        with self.connect() as s:
            s.send(b"EHLO x\r\n")
            s.reply()
            s.send(f"{MAIL}\r\n{RCPT}\r\nBDAT 22\r\n".encode() + b"Subject: pipelined\r\n\r\n" +
                   b"BDAT 3\r\nxyzBDAT 2 LAST\r\n\r\nQUIT\r\n")
            self.assertEqual([s.last() for _ in range(7)],
                             [MAIL_OK, RCPT_OK, "250 2.0.0 Ok: 22 bytes", "250 2.0.0 Ok: 3 bytes",
                              "250 2.0.0 Ok: 27 bytes queued as ID", "221 2.0.0 Bye", None])
        self.assertEqual(body_of(self.await_message(b"Subject: pipelined\n")), b"xyz\n")

    def test_pipelined_chunks_of_a_refused_recipient(self):
        """All chunks are thrown away, none is read as commands, and the next message is not touched."""
        with self.connect() as s:
            s.send(b"EHLO x\r\n")
            s.reply()
            s.send(f"{MAIL}\r\nRCPT TO:<nobody-here@example.test>\r\n".encode() + b"BDAT 6\r\nRSET\r\n" +
                   b"BDAT 6\r\nQUIT\r\n" + b"BDAT 6 LAST\r\nNOOP\r\n" +
                   f"{MAIL}\r\n{RCPT}\r\nBDAT 24 LAST\r\n".encode() + b"Subject: next one\r\n\r\nx\r\nQUIT\r\n")
            self.assertEqual([s.last() for _ in range(9)],
                             [MAIL_OK, UNKNOWN_USER.format("nobody-here@example.test"), "554 5.5.1 Error: no valid recipients",
                              "551 5.0.0 Discarded 6 bytes after earlier error",
                              "551 5.0.0 Discarded 6 bytes after earlier error",
                              MAIL_OK, RCPT_OK, "250 2.0.0 Ok: 24 bytes queued as ID", "221 2.0.0 Bye"])
        self.assertEqual(body_of(self.await_message(b"Subject: next one\n")), b"x\n")

    def test_half_a_chunk_is_no_message(self):
        before = len(self.mta.queue_files())
        with self.connect() as s:
            s.transaction()
            self.assertEqual(s.ask(b"BDAT 16\r\nSubject: half\r\n\r"), "250 2.0.0 Ok: 16 bytes")
            s.send(b"BDAT 1000 LAST\r\nnot all")
        self.mta.wait_log("lost connection after BDAT from localhost[127.0.0.1]")
        with self.connect() as s:
            s.transaction()
            self.assertEqual(s.ask(b"BDAT 22 LAST\r\nSubject: whole\r\n\r\nok\r\n"), "250 2.0.0 Ok: 22 bytes queued as ID")
        self.await_message(b"Subject: whole\n")
        self.assertEqual([m for m in self.mta.mailbox(USER) if b"Subject: half" in m], [])
        self.assertLessEqual(len(self.mta.queue_files()), before + 64)  # the stock of spare files


class Swaks(ServerTest):
    """The command of that name; its exit status tells where it ended."""

    def swaks(self, *arguments, status=0, port=None):
        done = subprocess.run(["swaks", "--server", f"127.0.0.1:{port or self.mta.port}", "--helo", "client.test",
                               "--from", "a@example.test", "--to", HERE, *arguments],
                              capture_output=True, timeout=60)
        output = done.stdout.decode() + done.stderr.decode()
        self.assertEqual(done.returncode, status, output)
        return output

    def test_quit_after_each_step(self):
        # swaks: " -> " what it sends, "<-  " and "<** " what it gets.
        for step, last in (("CONNECT", "220 mail.example.test ESMTP Postrider"), ("HELO", "250 CHUNKING"),
                           ("MAIL", MAIL_OK), ("RCPT", RCPT_OK)):
            with self.subTest(step=step):
                output = self.swaks("--quit-after", step)
                self.assertIn(f"<-  {last}\n", output)
                self.assertIn("<-  221 2.0.0 Bye", output)
                self.assertNotIn("<** ", output)

    def test_sends_a_message(self):
        for number, options in enumerate((["--protocol", "SMTP"], ["--protocol", "ESMTP"], ["--pipeline"])):
            with self.subTest(options=options):
                output = self.swaks("--header", f"Subject: swaks {number}", "--body", "line\n.\n..\nend", *options)
                self.assertRegex(output, r"<-  250 2\.0\.0 Ok: queued as \w{12,}")
                message = self.await_message(b"Subject: swaks %d\n" % number)
                self.assertEqual(body_of(message).strip(), b"line\n.\n..\nend")
                self.assertIn(b"with %s id " % (b"SMTP" if "SMTP" in options else b"ESMTP"), message)

    def test_attachment(self):
        data = bytes(range(256)) * 300
        path = self.mta.dir + "/bytes.bin"
        with open(path, "wb") as f:
            f.write(data)
        self.swaks("--header", "Subject: attached", "--attach", f"@{path}")
        parts = list(email.message_from_bytes(self.await_message(b"Subject: attached\n")).walk())
        self.assertIn(data, [p.get_payload(decode=True) for p in parts])

    def test_error_paths(self):
        """Exit statuses of swaks: 23 MAIL, 24 no RCPT, 25 DATA, 26 end of data, 22 HELO."""
        self.assertIn("<** " + UNKNOWN_USER.format("no@example.test"), self.swaks("--to", "no@example.test", status=24))
        self.assertIn("<** " + BAD_SENDER, self.swaks("--from", "a b@x.test", status=23))
        self.assertIn("<** " + BAD_RECIPIENT, self.swaks("--to", "a b@x.test", status=24))
        self.assertIn("<** 555 5.5.4 Unsupported option: X=<>", self.swaks("--from", "a@example.test> X=<", status=23))
        big = self.mta.dir + "/big"
        with open(big, "w") as f:
            f.write(("x" * 70 + "\n") * 150000)
        self.assertIn("<** 552 5.3.4 Error: message file too big", self.swaks("--body", f"@{big}", status=26))
        self.assertIn("<** 501 Syntax: EHLO hostname", self.swaks("--helo", " ", status=22))
        # One recipient of two: the message goes.
        output = self.swaks("--to", f"no@example.test,{HERE}", "--header", "Subject: one of two")
        self.assertIn("<** " + UNKNOWN_USER.format("no@example.test"), output)
        self.await_message(b"Subject: one of two\n")

    def test_data_is_refused_without_recipients_in_a_pipeline(self):
        output = self.swaks("--pipeline", "--to", "no@example.test", status=24)
        self.assertIn("<** " + UNKNOWN_USER.format("no@example.test"), output)
        self.assertIn("<** 554 5.5.1 Error: no valid recipients", output)


class Utf8(ServerTest):
    def test_smtputf8(self):
        body = "Subject: Grüße\r\nX-Mark: utf8\r\nTo: jürgen@example.test\r\n\r\näöü €\r\n".encode()
        with self.mta.smtp() as s:
            s.ehlo()
            s.sendmail("jürgen@bücher.test", [HERE, "empfänger@bücher.test"], body, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        message = self.await_message(b"X-Mark: utf8\n")
        self.assertEqual(body_of(message), "äöü €\n".encode())
        self.assertIn("Return-Path: <jürgen@bücher.test>\n".encode(), message)
        self.assertRegex(message, rb"with UTF8SMTP id ")
        self.mta.wait_log("from=<jürgen@bücher.test>, size=")
        self.mta.wait_log("to=<empfänger@bücher.test>, relay=none")

    def test_eight_bit(self):
        for number, options in enumerate((["BODY=8BITMIME"], [])):
            body = bytes(b for b in range(1, 256) if b not in b"\r\n.") * 3
            with self.mta.smtp() as s:
                s.sendmail("a@example.test", [HERE], b"X-Mark: eight%d\r\n\r\n" % number + body + b"\r\n", mail_options=options)
            self.assertEqual(body_of(self.await_message(b"X-Mark: eight%d\n" % number)), body + b"\n")

    def test_refused_when_switched_off(self):
        with self.assertRaises(smtplib.SMTPNotSupportedError), self.mta.smtp() as s:
            s.ehlo()
            del s.esmtp_features["smtputf8"]
            s.mail("ä@example.test", ["SMTPUTF8"])


class Smuggling(ServerTest):
    """CRLF.CRLF ends a message; no other string does, in whatever mode."""

    extra = ("127.0.0.1:{port} inet n - n - 1 smtpd -o smtpd_forbid_bare_newline=no\n")
    strings = [bytes(s) for length in range(1, 6) for s in itertools.product(b"\r\n. \0", repeat=length)]
    # What stands before and behind the string; the first line of the content stands before all that.
    contexts = [(before, behind) for before in (b"x", b"x\r\n") for behind in (b"x\r\n", b"\r\nx\r\n")]
    smuggled = b"MAIL FROM:<smuggled@example.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\n" % HERE.encode()

    def ends(self, context, string):
        """Where the message ends in it by RFC 5321, -1: it does not."""
        whole = context[0] + string + context[1]
        at = whole.find(b"\r\n.\r\n")
        return at + 5 if at >= 0 else -1

    def send_batch(self, port, mark, batch):
        """One message with all strings that must not end it; the only reply is for its true end."""
        with self.connect(port) as s:
            s.transaction()
            self.assertEqual(s.ask("DATA"), GO_ON)
            content = b"X-Mark: %s\r\n\r\n" % mark
            for number, (context, string) in enumerate(batch):
                content += b"<%d>" % number + context[0] + string + context[1]
                if number % 500 == 0:
                    content += self.smuggled
            s.send(content + b"\r\n.\r\n")
            self.assertEqual(s.last(), QUEUED)
            self.assertTrue(s.nothing_comes(), "a second reply")
        message = self.await_message(b"X-Mark: %s\n" % mark)
        self.assertEqual([int(n) for n in re.findall(rb"<(\d+)>", message.split(b"\n\n", 1)[1])], list(range(len(batch))))
        self.assertEqual([m for m in self.mta.mailbox(USER) if b"Return-Path: <smuggled" in m], [])

    def run_mode(self, port, mode):
        all_of_them = list(itertools.product(self.contexts, self.strings))
        harmless = [(c, s) for c, s in all_of_them if self.ends(c, s) < 0]
        enders = [(c, s) for c, s in all_of_them if self.ends(c, s) >= 0]
        self.assertEqual((len(all_of_them), len(harmless) > 15000, len(enders) > 100), (4 * 3905, True, True))
        self.send_batch(port, b"harmless-%s" % mode, harmless)
        # Cut at every byte: the state between reads counts, too.
        with self.connect(port) as s:
            s.transaction()
            s.ask("DATA")
            s.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            content = b"X-Mark: bytewise-%s\r\n\r\n" % mode + b"".join(b"x" + string for string in self.strings[:780])
            for byte in content:
                s.send(bytes([byte]))
            s.send(b"\r\n.\r\n")
            self.assertEqual(s.last(), QUEUED)
            self.assertTrue(s.nothing_comes())
        # And those that do end it, do so at that byte.
        with self.connect(port) as s:
            for context, string in enders:
                whole, end = context[0] + string + context[1], self.ends(context, string)
                s.transaction("x@elsewhere.test")
                self.assertEqual(s.ask("DATA"), GO_ON)
                s.send(whole[:end - 1])
                s.send(whole[end - 1:end])
                self.assertEqual(s.last(), QUEUED, repr(whole))
                self.assertTrue(s.nothing_comes())

    def test_all_strings_when_bare_lf_is_made_crlf(self):
        self.run_mode(self.mta.port, b"normalize")

    def test_all_strings_when_bare_lf_is_allowed(self):
        self.run_mode(self.port2, b"no")


class BareLf(ServerTest):
    settings = {"smtpd_forbid_bare_newline": "reject", "smtpd_forbid_bare_newline_exclusions": ""}
    extra = ("127.0.0.1:{port} inet n - n - 1 smtpd -o smtpd_forbid_bare_newline_exclusions=127.0.0.0/8\n")

    def test_reject(self):
        for text, expected in ((b"one\r\ntwo\r\n.\r\n", QUEUED), (b"one\ntwo\r\n.\r\n", "550 5.5.2 Error: bare <LF> received"),
                               (b"one\n.\ntwo\r\n.\r\n", "550 5.5.2 Error: bare <LF> received"),
                               (b"one\r\n.\ntwo\r\n.\r\n", "550 5.5.2 Error: bare <LF> received"),
                               (b"one\n.\r\n\r\n.\r\n", "550 5.5.2 Error: bare <LF> received")):
            with self.subTest(text=text), self.connect() as s:
                s.transaction("x@elsewhere.test")
                self.assertEqual(s.ask("DATA"), GO_ON)
                self.assertEqual(s.ask(text), expected)
                self.assertTrue(s.nothing_comes())

    def test_in_a_chunk(self):
        with self.connect() as s:
            s.transaction("x@elsewhere.test")
            self.assertEqual(s.ask(b"BDAT 3 LAST\r\na\nb"), "550 5.5.2 Error: bare <LF> received")

    def test_exclusions(self):
        with self.connect(self.port2) as s:
            s.transaction("x@elsewhere.test")
            s.ask("DATA")
            self.assertEqual(s.ask(b"one\ntwo\r\n.\r\n"), QUEUED)


if __name__ == "__main__":
    unittest.main()
