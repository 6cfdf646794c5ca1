# SPDX-License-Identifier: ISC
"""Cached answers: questions a second from one client with many on their way."""

import subprocess
import sys

from servers import Postrider, TOP, cpu_seconds, named

sys.path.insert(0, TOP + "/tests/e2e")
from test_dns import NameServer  # noqa: E402

QUESTIONS = 500000
WINDOW = 256


def run(build):
    dns = NameServer()
    server = Postrider(resolver_nameservers=f"127.0.0.1:{dns.port}")
    try:
        pid = named(server.pid, "resolver")[0]
        cpu = cpu_seconds(pid)
        out = subprocess.run([f"{build}/bench/resolver_load", server.mta.dir + "/spool/public/resolver",
                              str(QUESTIONS), str(WINDOW), "alive.test", "dead.test", "implicit.test"],
                             check=True, capture_output=True, text=True).stdout.split()
        if int(out[0]) != QUESTIONS or int(out[2]) != QUESTIONS:
            raise AssertionError(f"not every question was answered: {out}")
        return {"questions_per_second": QUESTIONS / float(out[1]),
                "cpu_us": (cpu_seconds(pid) - cpu) / QUESTIONS * 1e6}
    finally:
        server.close()
        dns.close()
