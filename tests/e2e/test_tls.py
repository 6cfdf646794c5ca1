# SPDX-License-Identifier: ISC
"""
TLS in and out, and users who log in: STARTTLS, wrapped ports, private keys that are elsewhere, certificates
that are renewed, sessions taken up again by another process, levels of the client.
"""

import base64
import glob
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_mail_flow import body_of  # noqa: E402
from test_master import children  # noqa: E402

USER = local_user()
HERE = f"{USER}@example.test"
MESSAGE = "Subject: x\r\n\r\nbody\r\n"


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True, timeout=60).stdout


class Authority:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-ca-")
        os.chmod(self.dir, 0o755)
        self.certificate = self.dir + "/ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.dir + "/ca.key",
                "-out", self.certificate, "-subj", "/CN=Test authority", "-days", "2")

    def issue(self, path, name, kind="ec"):
        """Key and chain in one file, put in place at once."""
        option = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-newkey", "rsa:2048"]
        with tempfile.TemporaryDirectory(dir=self.dir) as work:
            openssl("req", *option, "-nodes", "-keyout", work + "/key", "-out", work + "/csr", "-subj", f"/CN={name}")
            with open(work + "/ext", "w") as f:
                f.write(f"subjectAltName=DNS:{name}\n")
            openssl("x509", "-req", "-in", work + "/csr", "-CA", self.certificate, "-CAkey", self.dir + "/ca.key", "-CAcreateserial",
                    "-out", work + "/crt", "-days", "1", "-extfile", work + "/ext")
            with open(path + ".new", "wb") as out:
                for part in ("key", "crt"):
                    with open(f"{work}/{part}", "rb") as f:
                        out.write(f.read())
            with open(work + "/key", "rb") as f:
                key = f.read()
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)
        return key

    def close(self):
        shutil.rmtree(self.dir)


class TlsTest(unittest.TestCase):
    settings = {}
    services = ""

    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        self.chain = self.ca.dir + "/server.pem"
        self.key = self.ca.issue(self.chain, "mail.example.test")
        self.wrapped = free_port()
        self.mta = Instance(dict({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": self.chain, "smtpd_tls_loglevel": "1",
                                  "smtpd_tls_received_header": "yes"}, **self.settings),
                            master_cf_extra=f"127.0.0.1:{self.wrapped} inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n" + self.services)
        self.addCleanup(self.mta.close)
        self.prepare()
        self.mta.start()
        self.context = ssl.create_default_context(cafile=self.ca.certificate)

    def prepare(self):
        pass

    def plain(self, port=None):
        s = smtplib.SMTP("127.0.0.1", port or self.mta.port, timeout=30)
        s._host = "mail.example.test"  # whom the certificate must name
        self.addCleanup(s.close)
        return s

    def secure(self):
        s = self.plain()
        s.starttls(context=self.context)
        return s

    def pids(self, name):
        return {pid for pid, program in children(self.mta.process.pid).items() if os.path.basename(program) == name}


class Inbound(TlsTest):
    def test_starttls(self):
        with self.secure() as s:
            s.sendmail("a@example.test", [HERE], MESSAGE)
        got = self.mta.wait_mail(USER)[0].decode()
        self.assertRegex(got, r"\n\t\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)\n\t key-exchange .*server-digest SHA256\)\n"
                         r"\t\(No client certificate requested\)\n\tby mail\.example\.test \(.*\) with ESMTPS id ")
        self.mta.wait_log("Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3 with cipher ")

    def test_wrapped(self):
        with smtplib.SMTP_SSL("127.0.0.1", self.wrapped, timeout=30, context=self.unchecked()) as s:
            s.ehlo()
            self.assertNotIn("starttls", s.esmtp_features)
            s.sendmail("a@example.test", [HERE], MESSAGE)
        self.mta.wait_mail(USER)

    @staticmethod
    def unchecked():
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def test_what_was_said_in_plain_text_is_forgotten(self):
        s = self.plain()
        s.ehlo()
        s.mail("a@example.test")
        self.assertEqual(s.docmd("STARTTLS")[0], 220)
        s.sock = self.context.wrap_socket(s.sock, server_hostname="mail.example.test")
        s.file = None
        self.assertEqual(s.docmd("RCPT", f"TO:<{HERE}>")[0], 503)
        self.assertEqual(s.docmd("STARTTLS")[0], 554)
        s.ehlo()
        self.assertNotIn("starttls", s.esmtp_features)

    def test_injected_commands_do_nothing(self):
        """Behind STARTTLS in the same segment, split at each byte."""
        text = b"STARTTLS\r\nMAIL FROM:<evil@example.test>\r\n"
        for cut in range(1, len(text)):
            with socket.create_connection(("127.0.0.1", self.mta.port), 30) as raw:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                raw.recv(1000)
                raw.sendall(b"EHLO x\r\n")
                while not raw.recv(1000).endswith(b" CHUNKING\r\n"):
                    pass
                raw.sendall(text[:cut])
                raw.sendall(text[cut:])
                answer = raw.recv(1000)
                if answer.startswith(b"554"):
                    continue  # seen at once: out of turn
                self.assertTrue(answer.startswith(b"220"), answer)
                try:
                    with self.context.wrap_socket(raw, server_hostname="mail.example.test") as tls:
                        tls.sendall(b"EHLO x\r\nRSET\r\n")
                        tls.sendall(b"RCPT TO:<root>\r\n")
                        got = b""
                        while got.count(b"\r\n") < 3 and b"503" not in got:
                            piece = tls.recv(1000)
                            if not piece:
                                break
                            got += piece
                        self.assertNotIn(b"2.1.0", got)
                except (ssl.SSLError, OSError):
                    pass  # the plain text is no handshake: cut off
        self.assertNotIn("evil@example.test", "".join(m.decode() for m in self.mta.mailbox(USER)))

    def test_an_abort_in_the_middle_delivers_nothing(self):
        for begin in (b"DATA\r\n", b"BDAT 100 LAST\r\nSubject: half\r\n"):
            s = self.secure()
            s.ehlo()
            s.mail("a@example.test")
            s.rcpt(HERE)
            s.sock.sendall(begin)
            if begin.startswith(b"DATA"):
                self.assertEqual(s.getreply()[0], 354)
                s.sock.sendall(b"Subject: half\r\n\r\nhalf\r\n.\r")
            try:
                s.sock.unwrap().close()
            except OSError:
                s.sock.close()
            s.sock = None
        self.mta.wait_log("lost connection after DATA from localhost[127.0.0.1]")
        self.mta.wait_log("lost connection after BDAT from localhost[127.0.0.1]")
        self.assertEqual(self.mta.mailbox(USER), [])

    def test_no_private_key_in_smtpd(self):
        if os.getuid() != 0:
            self.skipTest("reading other processes' memory needs root")
        with self.secure() as s:
            s.noop()
            # The number itself, as it stands in memory in either order of bytes.
            numbers = openssl("ec", "-text", "-noout", stdin=self.key).decode()
            secret = bytes.fromhex(re.search(r"priv:\s*([0-9a-f:\s]+)pub:", numbers).group(1).replace(":", "").replace(" ", "").replace("\n", ""))
            secret = secret[-31:]
            self.assertTrue(self.pids("tlsmgr"))
            for pid in self.pids("smtpd"):
                self.assertFalse(self.holds(pid, secret), "smtpd")
            # The search can find it: tlsmgr has it.
            self.assertTrue(any(self.holds(pid, secret) for pid in self.pids("tlsmgr")))

    @staticmethod
    def holds(pid, secret):
        wanted = (secret, secret[::-1])
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                start, end = (int(x, 16) for x in span.split("-"))
                # ASan's shadow is terabytes of nothing.
                if "r" not in mode or end - start > 1 << 30 or "[v" in line:
                    continue
                memory.seek(start)
                try:
                    text = memory.read(end - start)
                except OSError:
                    continue
                if any(w in text for w in wanted):
                    return True
        return False

    def test_renewed_certificate(self):
        old = self.secure()
        before = self.pids("smtpd")
        serial = old.sock.getpeercert()["serialNumber"]
        self.ca.issue(self.chain, "mail.example.test")

        def renewed():
            with self.secure() as s:
                return s.sock.getpeercert()["serialNumber"] != serial
        wait_until(renewed, 30, "the new certificate; log:\n" + self.mta.log()[-3000:])
        # The session of before goes on.
        old.sendmail("a@example.test", [HERE], MESSAGE)
        self.mta.wait_mail(USER)
        self.assertNotEqual(self.pids("smtpd") - before, set())

    def test_a_broken_certificate_changes_nothing(self):
        with self.secure() as s:
            s.noop()
        with open(self.chain + ".new", "w") as f:
            f.write("nonsense\n")
        os.rename(self.chain + ".new", self.chain)
        self.mta.wait_log("the changed files cannot be used: the processes that there are go on")
        with self.secure() as s:
            self.assertEqual(s.noop()[0], 250)

    def test_sessions_are_taken_up_by_another_process(self):
        self.assertEqual(self.mta.command("postconf", "-h", "smtpd_tls_key_isolation").stdout, b"yes\n")
        session, seen = None, set()

        def resumed():
            nonlocal session
            s = self.plain()
            s.ehlo()
            s.docmd("STARTTLS")
            s.sock = self.context.wrap_socket(s.sock, server_hostname="mail.example.test", session=session)
            s.file = None
            s.ehlo()
            reused, session = s.sock.session_reused, s.sock.session
            s.quit()
            return reused
        resumed()
        for _ in range(20):
            self.assertTrue(resumed())
        for pid in re.findall(r"smtpd\[(\d+)\]: Anonymous TLS connection reused", self.mta.log()):
            seen.add(pid)
        self.assertTrue(seen)


class Required(TlsTest):
    settings = {"smtpd_tls_security_level": "encrypt"}

    def test_plain_text_is_refused(self):
        with self.plain() as s:
            s.ehlo()
            self.assertEqual(s.docmd("MAIL", "FROM:<a@example.test>"), (530, b"5.7.0 Must issue a STARTTLS command first"))
            s.starttls(context=self.context)
            s.sendmail("a@example.test", [HERE], MESSAGE)
        self.mta.wait_mail(USER)


class LogIn(TlsTest):
    settings = {"smtpd_tls_auth_only": "yes", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "table", "mynetworks": "192.0.2.0/24",
                "smtpd_sasl_authenticated_header": "yes", "relayhost": "[127.0.0.1]:1"}

    def prepare(self):
        self.mta.settings["smtpd_sasl_password_maps"] = f"hash:{self.mta.etc}/users"
        self.mta.write_main_cf()
        open(self.mta.etc + "/users", "w").close()
        self.mta.command("postrider", "passwd", "add", "joe", stdin=b"secret\n")

    def test_a_user_may_relay_and_a_stranger_may_not(self):
        with self.secure() as s:
            s.ehlo()
            s.mail("a@example.test")
            self.assertEqual(s.rcpt("x@elsewhere.test")[0], 454)
        with self.secure() as s:
            s.login("joe", "secret")
            s.sendmail("a@example.test", ["x@elsewhere.test", HERE], MESSAGE)
        self.mta.wait_log("sasl_method=PLAIN, sasl_username=joe")
        got = self.mta.wait_mail(USER)[0].decode()
        self.assertIn("\t(Authenticated sender: joe)\n", got)
        self.assertIn(" with ESMTPSA id ", got)

    def test_wrong_passwords_are_logged_for_fail2ban(self):
        with self.secure() as s:
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                s.login("joe", "wrong")
            with self.assertRaises(smtplib.SMTPAuthenticationError):
                s.login("nobody", "secret")
        self.mta.wait_log("warning: localhost[127.0.0.1]: SASL PLAIN authentication failed: ")

    def test_not_in_plain_text(self):
        with self.plain() as s:
            s.ehlo()
            self.assertNotIn("auth", s.esmtp_features)
            self.assertEqual(s.docmd("AUTH PLAIN", base64.b64encode(b"\0joe\0secret").decode())[0], 504)

    def test_swaks_with_each_mechanism(self):
        for mechanism in ("PLAIN", "LOGIN"):
            done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(self.mta.port), "--tls", "--auth", mechanism, "--auth-user", "joe",
                                   "--auth-password", "secret", "--from", "a@example.test", "--to", "x@elsewhere.test", "--quit-after", "RCPT"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Outbound(unittest.TestCase):
    """Two of ours: one sends, the other receives and has a certificate for mail.example.test."""

    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.close)
        chain = self.ca.dir + "/server.pem"
        self.ca.issue(chain, "localhost")
        self.receiver = Instance({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": chain, "smtpd_tls_received_header": "yes"})
        self.addCleanup(self.receiver.close)
        self.receiver.start()

    def send(self, expected, **settings):
        """Sends a message; waits for `expected` in the sender's log."""
        mta = Instance(dict({"relayhost": f"[localhost]:{self.receiver.port}", "mydestination": "", "smtp_tls_loglevel": "1",
                             "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "smtp_host_lookup": "native"}, **settings), name="out")
        try:
            mta.start()
            with mta.smtp() as s:
                s.sendmail("a@example.test", [HERE], MESSAGE)
            mta.wait_log(expected)
            return mta.log()
        finally:
            mta.close()

    def test_may(self):
        log = self.send("status=sent", smtp_tls_security_level="may")
        self.assertIn("Untrusted TLS connection established to localhost[127.0.0.1]:", log)
        self.assertIn(b" with ESMTPS id ", self.receiver.wait_mail(USER)[0])

    def test_secure(self):
        log = self.send("status=sent", smtp_tls_security_level="secure", smtp_tls_CAfile=self.ca.certificate)
        self.assertIn("Verified TLS connection established to localhost[127.0.0.1]:", log)

    def test_another_name_is_not_good_enough(self):
        self.send("status=deferred (Server certificate not verified)", smtp_tls_security_level="verify",
                  smtp_tls_CAfile=self.ca.certificate, smtp_tls_verify_cert_match="mail.elsewhere.test")
        self.assertEqual(self.receiver.mailbox(USER), [])

    def test_nobody_vouches_for_it(self):
        self.send("status=deferred (Server certificate not trusted)", smtp_tls_security_level="secure")

    def test_policy_table(self):
        folder = tempfile.mkdtemp(prefix="postrider-policy-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        with open(folder + "/policy", "w") as f:
            f.write(f"[localhost]:{self.receiver.port} secure match=localhost\n")
        self.receiver.command("postmap", f"hash:{folder}/policy")
        log = self.send("status=sent", smtp_tls_policy_maps=f"hash:{folder}/policy", smtp_tls_CAfile=self.ca.certificate)
        self.assertIn("Verified TLS connection established", log)

    def test_tls_is_not_offered(self):
        plain = Instance()
        self.addCleanup(plain.close)
        plain.start()
        self.receiver.port, keep = plain.port, self.receiver.port
        try:
            self.send("status=deferred (TLS is required, but was not offered by host localhost[127.0.0.1])", smtp_tls_security_level="encrypt")
        finally:
            self.receiver.port = keep


if __name__ == "__main__":
    unittest.main()
