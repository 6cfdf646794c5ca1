# SPDX-License-Identifier: ISC
"""A message of 25 MB through a relay, against moving as many bytes once."""

import subprocess

from servers import Postfix, Postrider, Sink, cpu_seconds, source, wait_until

BYTES = 25_000_000
ROUNDS = 10


def copy(build, folder):
    """CPU seconds of the reader, and of reader and writer."""
    total = [0.0, 0.0]
    for _ in range(ROUNDS):
        out = subprocess.run([f"{build}/bench/copy_load", folder + "/copy", str(BYTES)], check=True,
                             capture_output=True, text=True).stdout.split()
        total = [t + float(o) for t, o in zip(total, out)]
    return [t / ROUNDS for t in total]


def run(kind):
    sink = Sink()
    server = kind(relayhost=f"[127.0.0.1]:{sink.port}", message_size_limit="60000000", mailbox_size_limit="0")
    try:
        source(server.port, 1, 1, BYTES)
        wait_until(lambda: server.drained(1), 60, "warm-up")
        cpu = cpu_seconds(server.pid)
        source(server.port, ROUNDS, 1, BYTES)
        wait_until(lambda: server.drained(1 + ROUNDS), 120, "delivery")
        return {"cpu_ms": (cpu_seconds(server.pid) - cpu) / ROUNDS * 1e3}
    finally:
        server.close()
        sink.close()


if __name__ == "__main__":
    import os
    import tempfile
    print([round(x * 1e3, 1) for x in copy(os.environ["POSTRIDER_BUILD"], tempfile.gettempdir())])
    print(run(Postrider), run(Postfix))
