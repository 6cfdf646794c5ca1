# SPDX-License-Identifier: ISC
"""A name server for tests: answers from a dictionary, and fails where it is told to."""

import ipaddress
import socket
import socketserver
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
FAIL = "FAIL"


def wire_name(name):
    if isinstance(name, str):
        name = name.encode("latin-1", "replace") if all(ord(c) < 256 for c in name) else name.encode()
    out = b""
    for label in name.rstrip(b".").split(b"."):
        if label:
            out += bytes([len(label)]) + label
    return out + b"\0"


def rdata(kind, value):
    if kind == "A":
        return ipaddress.IPv4Address(value).packed
    if kind == "AAAA":
        return ipaddress.IPv6Address(value).packed
    if kind in ("PTR", "CNAME", "NS"):
        return wire_name(value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + wire_name(value[1])
    if kind == "TXT":
        out = b""
        for text in ([value] if isinstance(value, (str, bytes)) else value):
            text = text.encode("utf-8") if isinstance(text, str) else text
            for i in range(0, max(len(text), 1), 255):
                out += bytes([len(text[i:i + 255])]) + text[i:i + 255]
        return out
    if kind == "TLSA":
        return bytes(value)
    raise ValueError(kind)


class ZoneServer:
    """zone: {"name": [("TXT", "text"), ("A", "192.0.2.1"), FAIL …]}; names in lower case.

    FAIL as a record: SERVFAIL to every type that has no record.  ("TXT", FAIL): to that type."""

    def __init__(self, zone, address="127.0.0.1", port=0):
        self.zone, self.questions = zone, []
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                reply = outer.answer(self.request[0])
                if len(reply) > 1232:
                    reply = reply[:2] + bytes([reply[2] | 2]) + reply[3:6] + b"\0" * 6 + outer.question(self.request[0])
                self.request[1].sendto(reply, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    while True:
                        size = self.request.recv(2, socket.MSG_WAITALL)
                        if len(size) < 2:
                            return
                        reply = outer.answer(self.request.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL))
                        self.request.sendall(struct.pack("!H", len(reply)) + reply)
                except OSError:
                    pass

        class ThreadingTcp(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        while True:
            self.tcp = ThreadingTcp((address, port), Tcp)
            self.port = self.tcp.server_address[1]
            try:
                self.udp = socketserver.UDPServer((address, self.port), Udp)
                break
            except OSError:
                self.tcp.server_close()
        self.address = f"{address}:{self.port}"
        for server in (self.udp, self.tcp):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @staticmethod
    def parse(packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]])
            at += 1 + packet[at]
        kind, = struct.unpack("!H", packet[at + 1:at + 3])
        return b".".join(labels), kind, packet[12:at + 5]

    def question(self, packet):
        return self.parse(packet)[2]

    def records(self, name):
        return self.zone.get(name.decode("utf-8", "surrogateescape").lower())

    def answer(self, packet):
        name, number, question = self.parse(packet)
        kind = {v: k for k, v in TYPES.items()}.get(number)
        self.questions.append((name.decode("utf-8", "replace"), kind))
        out, count, code, owner = b"", 0, 0, name
        for _ in range(9):
            found = self.records(owner)
            if found is None:
                code = 0 if any(n.endswith("." + owner.decode("utf-8", "replace").lower()) for n in self.zone) else 3
                break
            values = [r[1] for r in found if r != FAIL and r[0] == kind]
            aliases = [r[1] for r in found if r != FAIL and r[0] == "CNAME"]
            if FAIL in values or (not values and not aliases and FAIL in found):
                code = 2
            elif not values and aliases:
                data = rdata("CNAME", aliases[0])
                out += wire_name(owner) + struct.pack("!HHIH", 5, 1, 60, len(data)) + data
                count += 1
                owner = aliases[0].encode()
                continue
            else:
                for value in values:
                    data = rdata(kind, value)
                    out += wire_name(owner) + struct.pack("!HHIH", number, 1, 60, len(data)) + data
                    count += 1
            break
        return packet[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, count, 0, 0) + question + out

    def close(self):
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()
