# SPDX-License-Identifier: ISC
"""Memory of idle sessions: what each costs once it has said EHLO."""

import resource
import socket

from servers import Postfix, Postrider, memory_kib, named


def run(kind, sessions, **settings):
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    server = kind(**settings)
    held = []
    try:
        before = memory_kib(named(server.pid, "smtpd"))
        for _ in range(sessions):
            s = socket.create_connection(("127.0.0.1", server.port), 60)
            s.recv(512)
            held.append(s)
        for s in held:
            s.sendall(b"EHLO client.example.test\r\n")
        for s in held:
            while b"250 " not in s.recv(4096):
                pass
        return {"kib_per_session": (memory_kib(named(server.pid, "smtpd")) - before) / sessions}
    finally:
        for s in held:
            s.close()
        server.close()


if __name__ == "__main__":
    print("Postrider", run(Postrider, 5000, smtpd_client_connection_count_limit="0"))
    print("Postfix", run(Postfix, 200, default_process_limit="300", smtpd_client_connection_count_limit="0"))
