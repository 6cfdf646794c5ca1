# SPDX-License-Identifier: ISC
"""The virtual agent: mailboxes whose owners are numbers in tables."""

import glob
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, wait_until  # noqa: E402

BODY = b"Subject: test\r\nFrom: a@example.test\r\n\r\nFrom here on\r\n.dot\r\nlast\r\n"
ROOT = os.getuid() == 0
UID = 65000 if ROOT else os.getuid()
GID = 65001 if ROOT else os.getgid()


class Virtual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mta = Instance({
            "virtual_mailbox_domains": "v.test",
            "virtual_mailbox_maps": "inline:{ {dir@v.test=v.test/dir/} {box@v.test=v.test/box} {nouid@v.test=v.test/nouid}"
                                    " {low@v.test=v.test/low} {out@v.test=../out} {@v.test=v.test/all/} }",
            "virtual_uid_maps": f"inline:{{ {{nouid@v.test=none}} {{low@v.test=5}} {{@v.test={UID}}} }}",
            "virtual_gid_maps": f"static:{GID}",
            "virtual_minimum_uid": "100",
            "virtual_mailbox_limit": "40000",
            "message_size_limit": "30000",
            "recipient_delimiter": "+",
        })
        cls.base = cls.mta.settings["virtual_mailbox_base"] = cls.mta.dir + "/vmail"
        cls.mta.write_main_cf()
        os.mkdir(cls.base)
        if ROOT:
            os.chown(cls.base, UID, GID)
        try:
            cls.mta.start()
        except BaseException:
            cls.mta.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()

    def send(self, to, body=BODY, sender="a@example.test"):
        with self.mta.smtp() as s:
            s.sendmail(sender, [to], body)

    def test_maildir(self):
        self.send("Dir+x@v.test")
        found = wait_until(lambda: glob.glob(self.base + "/v.test/dir/new/*"), 30, "maildir\n" + self.mta.log())
        with open(found[0], "rb") as f:
            text = f.read()
        head, body = text.split(b"\n\n", 1)
        self.assertEqual(body, b"From here on\n.dot\nlast\n")
        self.assertEqual(head.split(b"\n")[:3], [b"Return-Path: <a@example.test>", b"X-Original-To: Dir+x@v.test",
                                                 b"Delivered-To: Dir+x@v.test"])
        st = os.stat(found[0])
        self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o777), (UID, GID, 0o600))
        self.assertEqual(os.listdir(self.base + "/v.test/dir/tmp"), [])
        self.mta.wait_log("to=<Dir+x@v.test>, relay=virtual, delay=")
        self.mta.wait_log("dsn=2.0.0, status=sent (delivered to maildir)")

    def test_catch_all(self):
        self.send("whoever@v.test")
        wait_until(lambda: glob.glob(self.base + "/v.test/all/new/*"), 30, "maildir\n" + self.mta.log())

    def test_mbox_till_it_is_full(self):
        self.send("box@v.test", sender="")
        self.mta.wait_log("status=sent (delivered to mailbox)")
        with open(self.base + "/v.test/box", "rb") as f:
            text = f.read()
        self.assertTrue(text.startswith(b"From MAILER-DAEMON  "), text)
        self.assertIn(b"\n\n>From here on\n.dot\nlast\n\n", text)
        self.assertEqual(os.stat(self.base + "/v.test/box").st_uid, UID)
        self.assertFalse(os.path.exists(self.base + "/v.test/box.lock"))
        big = BODY + b"x" * 70 + b"\r\n"
        big += (b"y" * 70 + b"\r\n") * 350
        self.send("box@v.test", big)
        wait_until(lambda: os.path.getsize(self.base + "/v.test/box") > 25000, 30, "second message")
        size = os.path.getsize(self.base + "/v.test/box")
        self.send("box@v.test", big)
        self.mta.wait_log("dsn=5.2.2, status=bounced")
        self.assertEqual(os.path.getsize(self.base + "/v.test/box"), size)

    def test_without_a_good_owner_mail_waits(self):
        for user in ("nouid", "low"):
            self.send(f"{user}@v.test")
            self.mta.wait_log(f"to=<{user}@v.test>, relay=virtual")
            self.assertIn("status=deferred (mail system configuration error)",
                          next(line for line in self.mta.log().splitlines() if f"to=<{user}@v.test>, relay" in line))
            self.assertFalse(os.path.exists(f"{self.base}/v.test/{user}"))

    def test_no_way_out_of_the_base(self):
        self.send("out@v.test")
        self.mta.wait_log("the mailbox is not below its base folder")
        self.assertFalse(os.path.exists(self.mta.dir + "/out"))

    def test_loop_ends(self):
        self.send("dir@v.test", b"Delivered-To: Dir@v.test\r\n" + BODY)
        self.mta.wait_log("status=bounced (mail forwarding loop for dir@v.test)")


if __name__ == "__main__":
    unittest.main()
