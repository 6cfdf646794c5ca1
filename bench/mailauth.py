# SPDX-License-Identifier: ISC
"""CPU of checking and signing a message of 4 KiB, all processes together, against the bare cryptography."""

import os
import re
import subprocess
import sys
import tempfile
import shutil
import smtplib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
from instance import BUILD, Instance  # noqa: E402
from zones import ZoneServer  # noqa: E402

MESSAGES = 1000
TEXT = ("From: Ann <ann@good.test>\nTo: bob@sink.test\nSubject: figures\nDate: Fri, 11 Jul 2025 21:00:37 -0700\n"
        "Message-ID: <1@good.test>\n\n" + ("x" * 71 + "\n") * 56)


def cpu(master):
    """Seconds of all processes of the server that live now."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(pid) == master or int(fields[1]) == master:
            total += sum(map(int, fields[11:15 if int(pid) == master else 13]))
    return total / os.sysconf("SC_CLK_TCK")


def openssl(kind):
    """Seconds of one operation with RSA 2048: "sign" or "verify"."""
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "rsa2048"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         check=True).stdout.decode()
    found = re.search(r"rsa 2048 bits\s+([0-9.]+)s\s+([0-9.]+)s", out)
    return float(found.group(1 if kind == "sign" else 2))


def sha256():
    """Seconds of two passes over 4 KiB."""
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "-bytes", "4096", "-evp", "sha256"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout.decode()
    return 2 * 4.096 / float(re.findall(r"([0-9.]+)k", out)[-1])


def send(port, text):
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.good.test") as s:
        for _ in range(MESSAGES):
            s.sendmail("ann@good.test", ["bob@sink.test"], text)


def measure(settings, text):
    """CPU a message in microseconds; mail is thrown away by the transport discard."""
    with Instance({"relay_domains": "sink.test", "relay_transport": "discard:", "mydestination": "", **settings}) as mail:
        send(mail.port, text)          # caches are filled, processes have started
        before = cpu(mail.process.pid)
        send(mail.port, text)
        return (cpu(mail.process.pid) - before) / MESSAGES * 1e6


def run():
    keys = tempfile.mkdtemp(prefix="postrider-bench-")
    try:
        with open(f"{keys}/main.cf", "w") as f:
            f.write(f"config_directory = {keys}\nmyhostname = out.good.test\n")
        open(f"{keys}/master.cf", "w").close()
        command = [f"{BUILD}/sbin/postrider", "-c", keys, "dkim"]
        record = subprocess.run([*command, "genkey", "good.test", "s1"], stdout=subprocess.PIPE, check=True).stdout.decode()
        signed = subprocess.run([*command, "sign", "good.test", "s1"], input=TEXT.encode(), stdout=subprocess.PIPE,
                                check=True).stdout
        server = ZoneServer({"good.test": [("TXT", "v=spf1 ip4:127.0.0.1 -all")],
                             "_dmarc.good.test": [("TXT", "v=DMARC1; p=reject")],
                             "s1._domainkey.good.test": [("TXT", "".join(record.split('"')[1::2]))]})
        outside = {"resolver_nameservers": server.address, "mailauth_trusted_clients": "192.0.2.0/24"}
        off = {"spf_policy": "off", "dkim_policy": "off", "dmarc_policy": "off"}
        inside = {"resolver_nameservers": server.address, "dkim_key_directory": f"{keys}/dkim"}
        plain = measure({**outside, **off}, signed.decode())
        checked = measure(outside, signed.decode())
        bare = measure(inside, TEXT)
        signing = measure({**inside, "dkim_signing_table": "inline:{ good.test=good.test:s1 }"}, TEXT)
        server.close()
    finally:
        shutil.rmtree(keys)
    return {"verify_us": checked - plain, "verify_bound_us": 2 * (openssl("verify") + sha256()) * 1e6 + 150,
            "sign_us": signing - bare, "sign_bound_us": 1.3 * openssl("sign") * 1e6 + 100}


if __name__ == "__main__":
    print(run())
