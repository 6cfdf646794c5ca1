# SPDX-License-Identifier: ISC
"""Two of us: one signs what its users send, the other receives and verifies it."""

import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import unittest

import dkim

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import BUILD, Instance, local_user, wait_until  # noqa: E402
from zones import ZoneServer  # noqa: E402

NODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
USER = local_user()


def text_of(mail):
    return mail.decode("utf-8", "replace") if isinstance(mail, bytes) else mail


class World(unittest.TestCase):
    receiver_cf = {"dmarc_policy": "enforce"}

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-sign-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.zone = {
            "good.test": [("TXT", "v=spf1 ip4:127.0.0.1 -all"), ("MX", (10, "out.good.test"))],
            "_dmarc.good.test": [("TXT", "v=DMARC1; p=reject; adkim=s")],
            "relay.test": [("TXT", "v=spf1 ip4:127.0.0.1 -all")],
        }
        self.server = ZoneServer(self.zone)
        self.addCleanup(self.server.close)
        self.receiver = Instance({"resolver_nameservers": self.server.address, "mynetworks": "192.0.2.0/24",
                                  **self.receiver_cf}).start()
        self.addCleanup(self.receiver.close)
        self.sender = Instance({"resolver_nameservers": self.server.address, "myorigin": "good.test",
                                "relayhost": f"[127.0.0.1]:{self.receiver.port}", "dkim_key_directory": self.dir,
                                "dkim_signing_table": f"texthash:{self.dir}/signing", "mydestination": ""}, name="out")
        self.addCleanup(self.sender.close)
        for selector, kind in (("r1", "rsa"), ("e1", "ed25519"), ("r2", "rsa")):
            out = self.sender.command("postrider", "dkim", "genkey", "-t", kind, "good.test", selector).stdout.decode()
            self.zone[f"{selector}._domainkey.good.test"] = [("TXT", "".join(out.split('"')[1::2]))]
        self.table("good.test good.test:r1 good.test:e1\n")
        self.rcpt = f"{USER}@mail.example.test"

    def table(self, text):
        with open(f"{self.dir}/signing.new", "w") as f:
            f.write(text)
        os.rename(f"{self.dir}/signing.new", f"{self.dir}/signing")

    def send(self, text, envelope="ann@good.test"):
        with smtplib.SMTP("127.0.0.1", self.sender.port, local_hostname="client.good.test") as s:
            s.sendmail(envelope, [self.rcpt], text.encode() if isinstance(text, str) else text)

    def txt(self, name, timeout=5):
        name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
        found = [r[1] for r in self.zone.get(name, []) if r[0] == "TXT"]
        return found[0].encode() if found else None

    def stored(self, mail):
        """As it came over the wire: without what the receiver put in front."""
        raw = mail if isinstance(mail, bytes) else mail.encode()
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return raw[raw.index(b"DKIM-Signature:"):]


TEXT = """From: Ann <ann@good.test>
To: bob@mail.example.test
Subject: signed
List-Unsubscribe: <mailto:leave@good.test>

Hello,
.dots
..
trailing \x20
"""


class Sign(World):
    def test_what_leaves_is_what_was_signed(self):
        self.sender.start()
        self.send(TEXT)
        mail = self.receiver.wait_mail(USER, 1)[0]
        text = text_of(mail)
        self.assertEqual(text.count("dkim=pass"), 2, text)
        self.assertIn("dmarc=pass", text)
        self.assertIn("ed25519-sha256", text)
        self.assertTrue(dkim.verify(self.stored(mail), dnsfunc=self.txt))
        signature = text[text.index("DKIM-Signature:"):]
        self.assertIn("from:from", signature.replace("\r", "").replace("\n\t", ""))
        self.assertIn("list-unsubscribe", signature)

    def test_local_submission(self):
        self.sender.start()
        self.sender.command("sendmail", "-f", "ann@good.test", self.rcpt, stdin=b"From: ann@good.test\nSubject: local\n\nhello\n")
        text = text_of(self.receiver.wait_mail(USER, 1)[0])
        self.assertEqual(text.count("dkim=pass"), 2, text)

    def test_keys_change_without_a_restart(self):
        self.sender.start()
        self.send(TEXT)
        self.receiver.wait_mail(USER, 1)
        self.table("good.test good.test:r2\n")
        seen = 1

        def with_new_key():
            nonlocal seen
            self.send(TEXT)
            seen += 1
            mails = self.receiver.wait_mail(USER, seen)
            return any("header.s=r2" in text_of(m) for m in mails)
        wait_until(with_new_key, 60, "a signature by the new key")
        for mail in self.receiver.mailbox(USER):
            self.assertNotIn("dkim=fail", text_of(mail))

    def test_loose_modes_are_refused(self):
        os.chmod(f"{self.dir}/good.test/r2.pem", 0o644)
        self.sender.start()
        with self.assertRaises(smtplib.SMTPDataError) as caught:
            self.send(TEXT)
        self.assertEqual(caught.exception.smtp_code, 451)
        self.sender.wait_log("chmod 600")

    def test_a_key_that_is_missing_defers(self):
        self.table("good.test good.test:gone\n")
        self.sender.start()
        with self.assertRaises(smtplib.SMTPDataError) as caught:
            self.send(TEXT)
        self.assertEqual(caught.exception.smtp_code, 451)
        self.sender.wait_log("there is no key good.test/gone.pem")

    def test_strangers_are_not_signed(self):
        self.sender.settings["mynetworks"] = "192.0.2.0/24"
        self.sender.settings["relay_domains"] = "mail.example.test"
        self.sender.settings["relay_transport"] = f"smtp:[127.0.0.1]:{self.receiver.port}"
        self.sender.write_main_cf()
        self.sender.start()
        self.send(TEXT, "x@relay.test")
        # The receiver refuses what is neither aligned nor signed.
        self.sender.wait_log("DMARC policy of good.test rejects this message")
        self.assertEqual(self.receiver.mailbox(USER), [])


class Nodemailer(World):
    """It signs nothing and relays through us; the other side sees SPF, DKIM and DMARC pass."""

    def nodemailer(self, port, sender):
        if not os.path.isdir(f"{NODE}/node_modules/nodemailer"):
            subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True)
        blob, out = f"{self.dir}/blob", f"{self.dir}/out"
        with open(blob, "wb") as f:
            f.write(bytes(range(256)) * 20)
        return subprocess.run(["node", f"{NODE}/send.js", str(port), sender, self.rcpt, blob, out], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    def test_through_us_and_past_us(self):
        self.sender.start()
        done = self.nodemailer(self.sender.port, "ann@good.test")
        self.assertEqual(done.returncode, 0, done.stdout)
        text = text_of(self.receiver.wait_mail(USER, 1)[0])
        for result in ("spf=pass", "dkim=pass", "dmarc=pass"):
            self.assertIn(result, text)
        # A spoofer that is not in the domain's SPF record.
        self.zone["good.test"][0] = ("TXT", "v=spf1 ip4:192.0.2.1 -all")
        self.zone["forged.test"] = [("TXT", "v=spf1 ip4:127.0.0.1 -all")]
        self.zone["_dmarc.forged.test"] = [("TXT", "v=DMARC1; p=reject; aspf=s")]
        self.zone["forged.test"][0] = ("TXT", "v=spf1 ip4:192.0.2.1 -all")
        done = self.nodemailer(self.receiver.port, "ann@forged.test")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"DMARC policy of forged.test rejects this message", done.stdout)


class NodemailerMarked(Nodemailer):
    receiver_cf = {}

    def test_through_us_and_past_us(self):
        self.zone["forged.test"] = [("TXT", "v=spf1 ip4:192.0.2.1 -all")]
        self.zone["_dmarc.forged.test"] = [("TXT", "v=DMARC1; p=reject")]
        done = self.nodemailer(self.receiver.port, "ann@forged.test")
        self.assertEqual(done.returncode, 0, done.stdout)
        text = text_of(self.receiver.wait_mail(USER, 1)[0])
        self.assertIn("spf=fail", text)
        self.assertIn("dmarc=fail", text)


if __name__ == "__main__":
    unittest.main()
