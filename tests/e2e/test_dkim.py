# SPDX-License-Identifier: ISC
"""DKIM and ARC beside others: python3-dkim and opendkim read what we write, and the reverse."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import dkim

sys.path.insert(0, os.path.dirname(__file__))
from zones import ZoneServer  # noqa: E402

BUILD = os.environ.get("POSTRIDER_BUILD", os.path.join(os.path.dirname(__file__), "../../build"))
DOMAIN = "sign.test"
MESSAGE = b"""From: Ann <ann@sign.test>
To: bob@x.test
Date: Fri, 11 Jul 2025 21:00:37 -0700
Subject:  a  folded
\tsubject\x20
Message-ID: <1@sign.test>
List-Unsubscribe: <mailto:leave@sign.test>

Hello  Bob,\x20\x20

.a line with a dot
\t
the end


""".replace(b"\n", b"\r\n")


class World(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="postrider-dkim-")
        with open(f"{cls.dir}/main.cf", "w") as f:
            f.write(f"config_directory = {cls.dir}\nmyhostname = mx.sign.test\n")
        open(f"{cls.dir}/master.cf", "w").close()
        zone = {"_dmarc.sign.test": [("TXT", "v=DMARC1; p=reject")]}
        cls.server = ZoneServer(zone)
        cls.records = {}
        for selector, kind in (("rsa", "rsa"), ("ed", "ed25519")):
            text = cls.postrider("dkim", "genkey", "-t", kind, DOMAIN, selector).decode()
            record = "".join(part for part in text.split('"')[1::2])
            cls.records[selector] = record
            zone[f"{selector}._domainkey.{DOMAIN}"] = [("TXT", record)]

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.dir)

    @classmethod
    def postrider(cls, *args, stdin=b"", status=0):
        done = subprocess.run([f"{BUILD}/sbin/postrider", "-c", cls.dir, *args], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def doctor(self, message, *args):
        done = subprocess.run([f"{BUILD}/sbin/postdoctor", "message", "-c", self.dir, "--json", "--dns", self.server.address,
                               *args], input=message, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(done.stdout, done.stderr)
        return json.loads(done.stdout)

    def txt(self, name, timeout=5):
        name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
        found = [r[1] for r in self.server.zone.get(name, []) if r[0] == "TXT"]
        return found[0].encode() if found else None

    def key(self, selector):
        with open(f"{self.dir}/dkim/{DOMAIN}/{selector}.pem", "rb") as f:
            return f.read()

    def sign(self, selector, message=MESSAGE):
        return self.postrider("dkim", "sign", DOMAIN, selector, stdin=message)


class Dkim(World):
    def test_keys_and_dns_belong_together(self):
        self.assertIn(b"belongs to the private key", self.postrider("dkim", "check", "-n", self.server.address, DOMAIN, "rsa"))
        self.assertEqual(os.stat(f"{self.dir}/dkim/{DOMAIN}/rsa.pem").st_mode & 0o777, 0o600)
        self.server.zone["other._domainkey.sign.test"] = [("TXT", self.records["rsa"])]
        self.postrider("dkim", "genkey", DOMAIN, "other")
        out = self.postrider("dkim", "check", "-n", self.server.address, DOMAIN, "other", status=1)
        self.assertIn(b"another key", out)

    def test_ours_for_python(self):
        for selector in ("rsa", "ed"):
            signed = self.sign(selector)
            self.assertTrue(dkim.verify(signed, dnsfunc=self.txt), selector)
            self.assertFalse(dkim.verify(signed.replace(b"the end", b"the END"), dnsfunc=self.txt), selector)

    def test_python_for_us(self):
        seed = self.postrider_seed()
        for canon in ((a, b) for a in (b"simple", b"relaxed") for b in (b"simple", b"relaxed")):
            for selector, key, name in (("rsa", self.key("rsa"), b"rsa-sha256"), ("ed", seed, b"ed25519-sha256")):
                field = dkim.sign(MESSAGE, selector.encode(), DOMAIN.encode(), key, canonicalize=canon, signature_algorithm=name)
                answer = self.doctor(field + MESSAGE)
                self.assertEqual([d["result"] for d in answer["dkim"]], ["pass"], (canon, selector, answer["dkim"]))
                self.assertEqual(answer["dmarc"]["result"], "pass")
                changed = self.doctor(field + MESSAGE.replace(b"the end", b"the END"))
                self.assertEqual((changed["dkim"][0]["result"], changed["dkim"][0]["differs"]), ("fail", "body"))
                changed = self.doctor(field + MESSAGE.replace(b"folded", b"FOLDED"))
                self.assertEqual((changed["dkim"][0]["result"], changed["dkim"][0]["differs"]), ("fail", "header"))
                self.assertEqual(changed["dmarc"]["disposition"], "reject")

    def postrider_seed(self):
        """python3-dkim wants the bare 32 bytes in base64."""
        der = subprocess.run(["openssl", "pkey", "-in", f"{self.dir}/dkim/{DOMAIN}/ed.pem", "-outform", "DER"],
                             stdout=subprocess.PIPE, check=True).stdout
        import base64
        return base64.b64encode(der[-32:])

    def test_ours_for_opendkim(self):
        path, keys = f"{self.dir}/message", f"{self.dir}/keys"
        with open(path, "wb") as f:
            f.write(self.sign("rsa"))
        with open(keys, "w") as f:
            f.write(f"rsa._domainkey.{DOMAIN} {self.records['rsa']}\n")
        with open(f"{self.dir}/opendkim.conf", "w") as f:
            f.write(f"Mode v\nTestPublicKeys {keys}\nSyslog no\nSocket inet:1@127.0.0.1\n")
        done = subprocess.run(["/usr/sbin/opendkim", "-x", f"{self.dir}/opendkim.conf", "-v", "-t", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertIn(b"2048-bit key) succeeded", done.stdout)

    def test_rsa_sha1_is_refused(self):
        signed = subprocess.run(["opendkim-testmsg", "-C", "-d", DOMAIN, "-s", "rsa", "-k", f"{self.dir}/dkim/{DOMAIN}/rsa.pem"],
                                input=MESSAGE, stdout=subprocess.PIPE, check=True).stdout
        self.assertIn(b"a=rsa-sha1", signed)
        answer = self.doctor(signed)
        self.assertEqual(answer["dkim"][0]["result"], "permerror")
        self.assertIn("rsa-sha1", answer["dkim"][0]["reason"])

    @unittest.skipUnless(os.geteuid() == 0, "needs a network namespace of its own")
    def test_ours_for_opendkim_testmsg(self):
        """It asks the system's name server: ours, in a network of its own."""
        path = f"{self.dir}/testmsg"
        with open(path, "wb") as f:
            f.write(self.sign("rsa"))
        with open(f"{self.dir}/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.1\n")
        script = f"""
import fcntl, socket, struct, subprocess, sys
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41))
subprocess.run(["mount", "--bind", {self.dir!r} + "/resolv.conf", "/etc/resolv.conf"], check=True)
from zones import ZoneServer
server = ZoneServer({self.server.zone!r}, port=53)
text = open({path!r}, "rb").read()
good = subprocess.run(["opendkim-testmsg"], input=text)
bad = subprocess.run(["opendkim-testmsg"], input=text.replace(b"the end", b"the END"), stderr=subprocess.DEVNULL)
print("asked", any(kind == "TXT" for name, kind in server.questions))
sys.exit(0 if good.returncode == 0 and bad.returncode != 0 else 1)
"""
        done = subprocess.run(["unshare", "-mn", sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if b"Operation not permitted" in done.stdout:
            self.skipTest("no namespaces here")
        self.assertEqual((done.returncode, b"asked True" in done.stdout), (0, True), done.stdout)


class Arc(World):
    RESULTS = b"Authentication-Results: lists%d.example.org; spf=pass smtp.mfrom=ann@sign.test; dmarc=pass header.from=sign.test; arc=%s\r\n"

    def seal_ours(self, message):
        return self.postrider("dkim", "seal", "-n", self.server.address, DOMAIN, "rsa", stdin=message)

    def seal_theirs(self, message):
        """It takes from Authentication-Results what became of the chain."""
        sets = message.count(b"ARC-Seal:")
        message = self.RESULTS % (sets, b"pass" if sets else b"none") + message
        fields = dkim.arc_sign(message, b"rsa", DOMAIN.encode(), self.key("rsa"), b"lists%d.example.org" % sets)
        return b"".join(fields) + message

    def verify_theirs(self, message):
        return dkim.arc_verify(message, dnsfunc=self.txt)

    def test_chains(self):
        message = self.sign("rsa")
        for seals in ("o", "t", "oo", "ot", "to", "tt", "otot", "ooo"):
            sealed = message
            for seal in seals:
                sealed = self.seal_ours(sealed) if seal == "o" else self.seal_theirs(sealed)
            cv, _, reason = self.verify_theirs(sealed)
            self.assertEqual((cv, seals), (b"pass", seals), reason)
            answer = self.doctor(sealed)["arc"]
            self.assertEqual((answer["result"], answer["sets"], seals), ("pass", len(seals), seals), answer)
            changed = self.doctor(sealed.replace(b"the end", b"the END"))["arc"]
            self.assertEqual(changed["result"], "fail")

    def test_what_breaks_a_chain(self):
        sealed = self.seal_ours(self.seal_theirs(self.sign("rsa")))
        broken = {
            "a set is gone": sealed.replace(b"ARC-Seal: i=1;", b"X-Seal: i=1;"),
            "another result": sealed.replace(b"spf=pass", b"spf=fail"),
            "cv=": sealed.replace(b"cv=pass", b"cv=none"),
            "number": sealed.replace(b"ARC-Seal: i=2;", b"ARC-Seal: i=3;"),
            "twice": b"ARC-Authentication-Results: i=1; x; none\r\n" + sealed,
        }
        for what, message in broken.items():
            self.assertNotEqual(message, sealed, what)
            self.assertEqual(self.doctor(message)["arc"]["result"], "fail", what)
        self.assertEqual(self.doctor(self.sign("rsa"))["arc"]["result"], "none")


if __name__ == "__main__":
    unittest.main()
