# SPDX-License-Identifier: ISC
"""CPU of a recipient that passes a restriction list of ten entries, all processes of the server together."""

import os
import sys

from servers import Postfix, Postrider, cpu_seconds

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "compat"))
from policy import PolicyServer  # noqa: E402
from test_smtpd_dialogue import Session  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

RECIPIENTS, BATCH = 20000, 100
LIST = ("permit_mynetworks, permit_sasl_authenticated, reject_non_fqdn_sender, reject_non_fqdn_recipient, "
        "reject_invalid_helo_hostname, reject_unauth_destination, check_client_access hash:{0}/client, "
        "check_recipient_access hash:{0}/recipient, reject_unlisted_recipient{1}, permit")


def tables(folder):
    def write(name, lines):
        with open(f"{folder}/{name}", "w") as f:
            f.writelines(lines)
        subprocess.run(["/usr/sbin/postmap", "-c", "/etc/postfix" if os.path.exists("/etc/postfix/main.cf") else folder,
                        f"hash:{folder}/{name}"], check=True)
    open(folder + "/main.cf", "w").close()
    write("client", (f"192.0.2.{i} DUNNO\n" for i in range(1, 250)))
    write("recipient", (f"none{i}@example.test REJECT\n" for i in range(1000)))
    write("users", (f"user{i}@example.test x\n" for i in range(RECIPIENTS)))


def transaction(session, first):
    commands = ["MAIL FROM:<sender@far.test>"] + [f"RCPT TO:<user{first + i}@example.test>" for i in range(BATCH)] + ["RSET"]
    session.send("".join(c + "\r\n" for c in commands).encode())
    for command in commands:
        reply = session.reply()
        if reply[0][:3] != "250":
            raise AssertionError(f"{command}: {reply}")


def run(kind, with_policy):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        tables(folder)
        policy = PolicyServer()
        service = f", check_policy_service inet:127.0.0.1:{policy.port}" if with_policy else ""
        settings = {"mynetworks": "192.0.2.0/24", "mydestination": "example.test", "smtpd_junk_command_limit": "100000",
                    "smtpd_client_connection_count_limit": "0", "local_recipient_maps": f"hash:{folder}/users",
                    "smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": LIST.format(folder, service)}
        server = kind(**settings)
        try:
            with Session(("127.0.0.1", server.port)) as session:
                session.ask("EHLO client.far.test")
                transaction(session, 0)
                cpu = cpu_seconds(server.pid)
                for first in range(0, RECIPIENTS, BATCH):
                    transaction(session, first)
                return (cpu_seconds(server.pid) - cpu) / RECIPIENTS * 1e6
        finally:
            server.close()
            policy.close()


if __name__ == "__main__":
    for with_policy in (False, True):
        print("with" if with_policy else "without", "a policy service:",
              {kind.name: round(run(kind, with_policy), 1) for kind in (Postrider, Postfix)}, "us a recipient")
