# SPDX-License-Identifier: ISC
"""
Clients that send what no client should, or go at the wrong moment, and a disk that is full: a clear
answer, a log line, nothing lost, no descriptor and no memory kept, and the server goes on.
"""

import os
import re
import select
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# Before any process starts: what is freed goes back at once, so that memory can be compared.
os.environ["ASAN_OPTIONS"] = (os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64").lstrip(":")
from instance import Instance, local_user, wait_until  # noqa: E402
from test_mail_flow import Sink, body_of  # noqa: E402
from test_master import children, status_of  # noqa: E402
from test_smtpd_dialogue import GO_ON, HERE, MAIL, MAIL_OK, OK, QUEUED, RCPT, RCPT_OK, ServerTest, Session, USER  # noqa: E402

MIB = 1 << 20
LIMIT = "452 4.5.3 Error: too many recipients"
FULL = "452 4.3.1 Insufficient system storage"


def processes(mta, *names):
    """{pid: name}"""
    return {pid: os.path.basename(program) for pid, program in children(mta.process.pid).items()
            if os.path.basename(program) in names}


def descriptors(watched):
    """{pid: (queue files, others)} that are open."""
    found = {}
    for pid in watched:
        links = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except OSError:
                pass
        files = sum("/spool/queue/" in link for link in links)
        found[pid] = files, len(links) - files
    return found


def memory(pids, which="VmRSS"):
    """In bytes; VmHWM: the most that there ever was."""
    return sum(int(status_of(pid)[which].split()[0]) * 1024 for pid in pids)


class BadInput(ServerTest):
    def connections(self):
        return self.mta.log().count(": connect from ")

    def all_gone(self):
        """Waits till the server has done with every client."""
        wait_until(lambda: self.connections() == self.mta.log().count(": disconnect from "), 60, "end of all sessions")

    def assert_works(self, mark):
        with self.connect() as s:
            s.transaction()
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask(f"X-Mark: {mark}\r\n\r\nstill here\r\n."), QUEUED)
        self.assertEqual(body_of(self.await_message(f"X-Mark: {mark}\n".encode())), b"still here\n")

    # --- the cases; each leaves the server as it was ---

    def long_command(self):
        with self.connect() as s:
            s.send(b"NOOP " + b"x" * (10 * MIB))
            self.assertEqual(s.ask("x"), "500 5.5.2 Error: line too long")
            self.assertTrue(s.nothing_comes())

    def endless_command(self):
        with self.connect() as s:
            try:
                for _ in range(70):
                    s.send(b"x" * MIB)
            except OSError:
                pass  # cut off
            self.assertEqual(s.last(), "500 5.5.2 Error: line too long")
            self.assertIsNone(s.last())

    def long_line(self, mark="", recipient="x@elsewhere.test"):
        with self.connect() as s:
            s.transaction(recipient)
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask(f"X-Mark: {mark}\r\n\r\n".encode() + b"y" * 10000000 + b"\r\n.\r\n"), QUEUED)

    def message_too_big(self):
        with self.connect() as s:
            s.transaction()
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask(b"\r\n" + b"y" * (30 * MIB) + b"\r\n.\r\n"), "552 5.3.4 Error: message file too big")
            self.assertTrue(s.nothing_comes())

    def nul_commands(self):
        with self.connect() as s:
            for command in (b"\0\r\n", b"NOOP\0\r\n", b"MAIL FROM:<a\0b@example.test>\r\n", b"\0" * 100 + b"\r\n"):
                self.assertEqual(s.ask(command), "500 5.5.2 Error: bad syntax")
            self.assertTrue(s.nothing_comes())

    def nul_content(self, mark="", recipient="x@elsewhere.test"):
        with self.connect() as s:
            s.transaction(recipient)
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask(f"X-Mark: {mark}\r\n\r\n".encode() + b"a\0b\r\n\0\r\n\0.\r\n.\0\r\n\r\n.\r\n"), QUEUED)

    def many_recipients(self):
        """100,000 RCPTs in one go; reads while it writes, as a client must."""
        with self.connect() as s:
            s.ask("EHLO x")
            s.ask(MAIL)
            data = memoryview(b"".join(b"RCPT TO:<x%d@elsewhere.test>\r\n" % i for i in range(100000)))
            answers = b""
            s.socket.setblocking(False)
            while True:
                readable, writable, _ = select.select([s.socket], [s.socket] if data else [], [], 60)
                try:
                    if readable:
                        got = s.socket.recv(65536)
                        answers += got
                        if not got:
                            break
                    if writable:
                        data = data[s.socket.send(data):]
                except OSError:
                    data = data[:0] if not readable else data
                    break
            answers = answers.decode().splitlines()
        self.assertEqual(answers[:1000], [RCPT_OK] * 1000)
        # 1000 more are only beyond the limit, 20 more are errors.
        self.assertEqual(answers[1000:2020], [LIMIT] * 1020)
        self.assertEqual(answers[2020:], ["421 4.7.0 mail.example.test Error: too many errors"])

    def half_a_chunk(self):
        for sent in (b"BDAT 1000000\r\n", b"BDAT 1000000 LAST\r\n" + b"x" * 500000, b"BDAT 10\r\n" + b"x" * 9):
            with self.connect() as s:
                s.transaction()
                s.send(sent)

    def byte_by_byte(self, mark="", recipient="x@elsewhere.test"):
        with self.connect() as s:
            s.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for command, expected in (("EHLO slow", "250 CHUNKING"), (MAIL, MAIL_OK), (f"RCPT TO:<{recipient}>", RCPT_OK),
                                      ("DATA", GO_ON), (f"X-Mark: {mark}\r\n\r\n..\r\nslow\r\n.", QUEUED),
                                      (MAIL, MAIL_OK), (f"RCPT TO:<{recipient}>", RCPT_OK),
                                      ("BDAT 5 LAST\r\na\r\n", "250 2.0.0 Ok: 5 bytes queued as ID"), ("QUIT", "221 2.0.0 Bye")):
                for byte in command.encode() + b"\r\n":
                    s.send(bytes([byte]))
                self.assertEqual(s.last(), expected)

    def disconnects(self):
        """After each step of a dialogue, in the middle of each, politely and not."""
        steps = [b"EHLO x\r\n", MAIL.encode() + b"\r\n", RCPT.encode() + b"\r\n", b"DATA\r\n", b"Subject: cut off\r\n\r\nbody\r\n", b"."]
        chunks = steps[:3] + [b"BDAT 20\r\nSubject: cut off\r\n\r\n", b"BDAT 5\r\nab", b"cde"]
        for sequence in (steps, chunks):
            for count in range(len(sequence) + 1):
                for half in (False, True):
                    for reset in (False, True):
                        with self.connect() as s:
                            for step in sequence[:count]:
                                s.send(step)
                                if step in steps[:4] or step.startswith(b"BDAT 20"):
                                    s.reply()
                            if half and count < len(sequence):
                                s.send(sequence[count][:len(sequence[count]) // 2])
                            if reset:
                                s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def garbage(self):
        with self.connect() as s:
            s.send(bytes(range(256)) * 40 + b"\r\n")
            while s.last():
                pass

    def round(self):
        for case in (self.long_command, self.long_line, self.message_too_big, self.nul_commands, self.nul_content,
                     self.many_recipients, self.half_a_chunk, self.byte_by_byte, self.disconnects, self.garbage):
            case()
        self.all_gone()

    # --- the tests ---

    def test_long_lines(self):
        smtpd = processes(self.mta, "smtpd")
        self.all_gone()
        before = memory(smtpd)
        self.long_command()
        self.endless_command()
        # Not one of these lines lay in memory as a whole.
        self.assertLess(memory(smtpd, "VmHWM"), before + 8 * MIB)
        self.mta.wait_log("warning: localhost[127.0.0.1]: request longer than 2048: NOOP xxxxxxxxxxxxxxxxxxxxxxxxx...")
        self.long_line("long-line", HERE)
        self.assertEqual(body_of(self.await_message(b"X-Mark: long-line\n")), b"y" * 10000000 + b"\n")
        self.message_too_big()
        self.mta.wait_log("reject: END-OF-MESSAGE from localhost[127.0.0.1]: 552 5.3.4 Error: message file too big; from=<a@example.test>")
        self.assertLess(memory(smtpd, "VmHWM"), before + 8 * MIB)
        self.assert_works("after-long-lines")

    def test_nul_bytes(self):
        self.nul_commands()
        self.nul_content("nul", HERE)
        self.assertEqual(body_of(self.await_message(b"X-Mark: nul\n")), b"a\0b\n\0\n\0.\n\0\n\n")
        self.assert_works("after-nul")

    def test_many_recipients(self):
        self.many_recipients()
        self.mta.wait_log("too many errors after RCPT from localhost[127.0.0.1]")
        self.mta.wait_log("disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=2000/2020 commands=2002/2022")
        self.assert_works("after-many")

    def test_byte_by_byte(self):
        self.byte_by_byte("slow", HERE)
        self.assertEqual(body_of(self.await_message(b"X-Mark: slow\n")), b".\nslow\n")

    def test_disconnects(self):
        self.all_gone()
        queued = self.mta.log().count(": message-id=")
        self.disconnects()
        self.half_a_chunk()
        self.all_gone()
        log = self.mta.log()
        # No message came out of an unfinished transaction.
        self.assertEqual(log.count(": message-id="), queued)
        for where in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BDAT"):
            self.assertIn(f"lost connection after {where} from localhost[127.0.0.1]", log)
        self.assertEqual([m for m in self.mta.mailbox(USER) if b"cut off" in m], [])
        self.assert_works("after-disconnects")

    def test_nothing_is_kept(self):
        """Many rounds of all of it: descriptors and memory of smtpd and cleanup do not grow."""
        for _ in range(3):  # stocks fill, buffers find their size
            self.round()
        watched = processes(self.mta, "smtpd", "cleanup")
        self.assertEqual({"smtpd", "cleanup"}, set(watched.values()))
        before = descriptors(watched), memory(watched)
        rounds = 80
        for _ in range(rounds):
            self.round()
        self.assertEqual(processes(self.mta, "smtpd", "cleanup"), watched, "a process has died")
        after = descriptors(watched), memory(watched)
        print(f"descriptors {before[0]} to {after[0]}, memory {before[1] // 1024} to {after[1] // 1024} KiB", file=sys.stderr)
        # Stocks of empty queue files (32 an smtpd, 256 and those that are handed out in cleanup) are as large as sessions ask
        # for them: a file a session, of which there are some 50 a round, would be far beyond.
        for pid, name in watched.items():
            self.assertLessEqual(after[0][pid][0], 32 if name == "smtpd" else 256 + 32 * len(watched), name)
            self.assertLessEqual(after[0][pid][1], before[0][pid][1] + 2, name)
        self.assertLess(after[1], before[1] + 4 * MIB, f"memory of {watched}")
        self.assert_works("after-all")


class ManyRecipients(ServerTest):
    settings = {"smtpd_recipient_limit": "200000"}

    def test_all_are_served_when_they_are_allowed(self):
        count = 100000
        with self.connect() as s:
            s.ask("EHLO x")
            s.ask(MAIL)
            for first in range(0, count, 1000):
                s.send(b"".join(b"RCPT TO:<x%d@elsewhere.test>\r\n" % i for i in range(first, first + 1000)))
                self.assertEqual({s.last() for _ in range(1000)}, {RCPT_OK})
            self.assertEqual(s.ask("DATA"), GO_ON)
            self.assertEqual(s.ask("Subject: many\r\n\r\n."), QUEUED)
        wait_until(lambda: re.search(r"\w+: removed", self.mta.log()), 60, "end of the message")
        sent = re.findall(r"to=<x(\d+)@elsewhere\.test>, .*status=sent", self.mta.log())
        self.assertEqual(sorted(map(int, sent)), list(range(count)))


class FullSpool(unittest.TestCase):
    """The queue on a small file system of its own."""

    settings = {"message_size_limit": str(MIB), "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("mounting needs root")
        self.sink = Sink(refuse="451 4.2.0 later")
        self.sink.controller.start()
        self.addCleanup(self.sink.controller.stop)
        self.mta = Instance(dict(self.settings, relayhost=f"[127.0.0.1]:{self.sink.port}"))
        self.addCleanup(self.mta.close)
        self.spool = self.mta.dir + "/spool"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "postrider-test", self.spool], capture_output=True)
        if done.returncode != 0:
            self.skipTest("cannot mount: " + done.stderr.decode())
        self.addCleanup(subprocess.run, ["umount", self.spool], check=True)
        self.addCleanup(self.mta.stop)
        self.mta.start()

    def fill(self):
        """Until not a page is left."""
        with open(self.spool + "/ballast", "ab", buffering=0) as f:
            for size in (MIB, 4096):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass
        self.assertEqual(os.statvfs(self.spool).f_bavail, 0)

    def free(self):
        os.unlink(self.spool + "/ballast")

    def connect(self):
        session = Session(("127.0.0.1", self.mta.port))
        self.addCleanup(session.close)
        return session

    def send(self, session, mark, recipient="x@elsewhere.test"):
        session.transaction(recipient)
        self.assertEqual(session.ask("DATA"), GO_ON)
        return session.ask(f"X-Mark: {mark}\r\n\r\n".encode() + b"x" * 1000 + b"\r\n.\r\n")

    def refused(self, session):
        """The answer to RCPT, or to the end of data, of a full disk."""
        self.assertEqual(session.ask("RSET"), OK)
        self.assertEqual(session.ask(MAIL), MAIL_OK)
        return session.ask("RCPT TO:<x@elsewhere.test>") == FULL

    def marks(self):
        return sorted(re.search(rb"X-Mark: (\S+)", m[2]).group(1).decode() for m in list(self.sink.messages))

    def test_full(self):
        with self.connect() as s:
            for i in range(5):
                self.assertEqual(self.send(s, f"before{i}"), QUEUED)
        # Half of a message is there when the disk fills up.
        data, chunks = self.connect(), self.connect()
        data.transaction("x@elsewhere.test")
        self.assertEqual(data.ask("DATA"), GO_ON)
        data.send(b"X-Mark: half\r\n\r\n" + b"y" * 100000)
        chunks.transaction("x@elsewhere.test")
        self.assertEqual(chunks.ask(b"BDAT 20\r\nX-Mark: chunks\r\n\r\nxx"), "250 2.0.0 Ok: 20 bytes")
        self.fill()
        self.assertEqual(data.ask(b"y" * 800000 + b"\r\n.\r\n"), FULL)
        self.assertTrue(data.nothing_comes())
        self.assertEqual(chunks.ask(b"BDAT 800000\r\n" + b"y" * 800000), FULL)
        self.assertEqual(chunks.ask(b"BDAT 3 LAST\r\nabc"), "551 5.0.0 Discarded 3 bytes after earlier error")
        # New mail is refused before its content, by this session and by others.
        wait_until(lambda: self.refused(data), 20, "refusal at RCPT; log:\n" + self.mta.log()[-3000:])
        for _ in range(4):  # of other processes, too; each may have a file at hand still
            s = self.connect()
            s.ask("EHLO x")
            wait_until(lambda: self.refused(s), 20, "refusal at RCPT")
        self.mta.wait_log("not enough free space in mail queue")
        self.mta.wait_log(f"NOQUEUE: reject: RCPT from localhost[127.0.0.1]: {FULL}; from=<a@example.test>")
        # What was taken before is still delivered: the disk being full is no reason to hold it.
        self.sink.refuse = None
        self.mta.command("postqueue", "-f")
        wait_until(lambda: len(self.marks()) >= 5, 30, "old mail; log:\n" + self.mta.log()[-3000:])
        # And with room again there is new mail, without a restart.
        pids = processes(self.mta, "smtpd", "cleanup", "qmgr")
        self.free()
        wait_until(lambda: not self.refused(data), 20, "room; log:\n" + self.mta.log()[-3000:])
        self.assertEqual(data.ask("DATA"), GO_ON)
        self.assertEqual(data.ask("X-Mark: after\r\n\r\n."), QUEUED)
        wait_until(lambda: len(self.marks()) >= 6, 30, "new mail; log:\n" + self.mta.log()[-3000:])
        self.assertEqual(self.marks(), ["after"] + [f"before{i}" for i in range(5)])
        self.assertEqual(processes(self.mta, "smtpd", "cleanup", "qmgr"), pids)

    def test_notices_and_local_mail_wait_for_room(self):
        """A bounce that finds no room, and mail that a user hands in: later, not never."""
        self.sink.refuse = "451 4.2.0 later"
        with self.connect() as s:
            s.ask("EHLO x")
            s.ask(f"MAIL FROM:<{HERE}>")
            s.ask("RCPT TO:<gone@elsewhere.test>")
            s.ask("DATA")
            self.assertEqual(s.ask("X-Mark: returned\r\n\r\n."), QUEUED)
        self.mta.wait_log("status=deferred")
        self.fill()
        done = self.mta.command("sendmail", HERE, stdin=b"X-Mark: too early\n\nx\n", check=False)
        self.assertEqual(done.returncode, 75, done.stderr)  # EX_TEMPFAIL: the caller keeps it
        self.assertIn(b"No space left on device", done.stderr)
        self.sink.refuse = "550 5.1.1 gone"
        self.mta.command("postqueue", "-f")
        self.mta.wait_log("status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 gone")
        self.free()
        notice = self.mta.wait_mail(USER, 1, 60)[0]
        self.assertIn(b"550 5.1.1 gone", notice)
        self.assertIn(b"X-Mark: returned", notice)
        wait_until(lambda: self.mta.command("postqueue", "-p").stdout.startswith(b"Mail queue is empty"), 30, "empty queue")
        self.assertEqual(len(self.mta.mailbox(USER)), 1)
        self.assertEqual(os.listdir(self.spool + "/maildrop"), [])


if __name__ == "__main__":
    unittest.main()
