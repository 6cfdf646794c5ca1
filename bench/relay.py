# SPDX-License-Identifier: ISC
"""Mail through a relay: messages a second from the first to the last delivered, CPU a message."""

import time

from servers import Postfix, Postrider, Sink, cpu_seconds, source, wait_until

MESSAGES = 3000


def run(kind, messages=MESSAGES, length=4096, **settings):
    sink = Sink()
    server = kind(relayhost=f"[127.0.0.1]:{sink.port}", **settings)
    try:
        source(server.port, 100)
        wait_until(lambda: server.drained(100), 60, "warm-up")
        cpu, start = cpu_seconds(server.pid), time.monotonic()
        source(server.port, messages, length=length)
        accepted = time.monotonic() - start
        while not server.drained(100 + messages):
            time.sleep(0.01)
        elapsed = time.monotonic() - start
        return {"messages_per_second": messages / elapsed, "accepted_per_second": messages / accepted,
                "cpu_us": (cpu_seconds(server.pid) - cpu) / messages * 1e6}
    finally:
        server.close()
        sink.close()


if __name__ == "__main__":
    import sys
    for which in sys.argv[1:] or ["Postrider", "Postfix"]:
        print(which, {k: round(v) for k, v in run({"Postrider": Postrider, "Postfix": Postfix}[which]).items()})
