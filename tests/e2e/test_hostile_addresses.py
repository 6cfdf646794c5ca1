# SPDX-License-Identifier: ISC
"""Addresses that were made to be relayed, expanded, opened or run: nothing of it happens."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compat"))
from dialogues import HOSTILE  # noqa: E402
from instance import Instance, local_user, wait_until  # noqa: E402
from test_mail_flow import Sink  # noqa: E402
from test_smtpd_dialogue import Session  # noqa: E402

USER = local_user()


def canaries(folder):
    """Each would make a file in the folder, were it understood in some way."""
    ways = ["|touch %s", "/%s", ":include:%s", "`touch %s`", "$(touch %s)", ";touch %s;", "a|touch %s", "-oQ%s", "-C%s", "../../../../%s"]
    paths = [(way % f"{folder}/{number}").replace("//", "/") for number, way in enumerate(ways)]
    return [f'"{p}"@example.test' for p in paths] + [f"{p.replace(' ', '_')}@example.test" for p in paths] + \
        [f"{USER}+{p.replace(' ', '_')}@example.test" for p in paths]


class Hostile(unittest.TestCase):
    def test_from_strangers(self):
        with Sink() as sink, Instance({
                "mynetworks": "192.0.2.0/24", "default_transport": f"smtp:[127.0.0.1]:{sink.port}", "smtpd_error_sleep_time": "0",
                "relay_transport": f"smtp:[127.0.0.1]:{sink.port}", "local_recipient_maps": "", "recipient_delimiter": "+",
                "relay_domains": "relay.test", "relay_recipient_maps": "inline:{known@relay.test=x}", "smtpd_hard_error_limit": "1000",
                "smtpd_junk_command_limit": "1000", "mailbox_command": "", "allow_mail_to_commands": "alias, forward, include",
                "allow_mail_to_files": "alias, forward, include"}) as mta:
            folder = mta.dir + "/canary"
            os.mkdir(folder)
            os.chmod(folder, 0o1777)
            accepted = []
            with Session(("127.0.0.1", mta.port)) as s:
                s.ask("EHLO stranger.test")
                for address in HOSTILE + canaries(folder):
                    s.ask("MAIL FROM:<a@far.test>")
                    reply = s.ask(f"RCPT TO:<{address}>")
                    self.assertIn(reply[:3], ("250", "454", "501", "550"), address)
                    if reply[:3] == "250":
                        accepted.append(address)
                        self.assertEqual(s.ask("DATA")[:3], "354")
                        self.assertEqual(s.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
                    s.ask("RSET")
            self.assertGreater(len(accepted), 10)
            self.from_the_command_line(mta, folder)
            wait_until(lambda: mta.command("postqueue", "-p").stdout == b"Mail queue is empty\n", 60, "end of all deliveries")
            self.assertEqual(os.listdir(folder), [])
            # To strangers' senders go notices; nothing else leaves.
            self.assertEqual({m[1][0] for m in sink.messages} - {"a@far.test"}, set())
            for line in mta.log().splitlines():
                if "status=sent" in line and "relay=local" in line:
                    self.assertNotIn("command", line)
                    self.assertNotIn("delivered to file", line)

    def from_the_command_line(self, mta, folder):
        """As arguments and in a header: what looks like an option behind "--" is an address."""
        for address in canaries(folder):
            mta.command("sendmail", "-f", "a@far.test", "--", address, stdin=b"Subject: x\n\nx\n", check=False)
            mta.command("sendmail", "-t", "-f", "a@far.test", stdin=f"To: {address}\nSubject: x\n\nx\n".encode(), check=False)


if __name__ == "__main__":
    unittest.main()
