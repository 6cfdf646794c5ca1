# SPDX-License-Identifier: ISC
"""A policy service (SMTPD_POLICY_README) that answers by the sender's local part and remembers what it was asked."""

import socketserver
import threading

ACTIONS = {
    "dunno": "DUNNO", "okay": "OK", "reject": "REJECT by policy", "defer": "DEFER later", "code": "551 5.7.9 a code",
    "prepend": "PREPEND X-Policy: seen", "doubt": "DEFER_IF_PERMIT a doubt", "garbage": "no such action", "class": "strict",
}
# Of each session: nothing that two servers could have in common.
PRIVATE = ("instance", "queue_id", "client_port", "server_port", "mail_version", "compatibility_level", "server_address", "size")


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        asked = {}
        for line in self.rfile:
            name, _, value = line.decode().rstrip("\n").partition("=")
            if name:
                asked[name] = value
                continue
            sender = asked["sender"].partition("@")[0]
            self.server.asked.append({k: "*" if k in PRIVATE and v else v for k, v in asked.items()})
            asked = {}
            if sender == "hangup":
                return
            answer = "" if sender == "nothing" else f"action={ACTIONS.get(sender, 'DUNNO')}\n"
            self.wfile.write(answer.encode() + b"\n")


class PolicyServer(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.port = [], self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
