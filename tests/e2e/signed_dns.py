# SPDX-License-Identifier: ISC
"""Zones that knot signs with keys made here, and unbound, which validates them."""

import os
import shutil
import socket
import subprocess
import tempfile

from instance import free_port, wait_until

KNOT = """
server:
  rundir: {dir}
  listen: 127.0.0.1@{port}
  automatic-acl: off
log:
- target: {dir}/knot.log
  any: info
database:
  storage: {dir}
policy:
- id: made-here
  algorithm: ecdsap256sha256
  single-type-signing: on
template:
- id: default
  storage: {dir}
  journal-content: none
  zonefile-sync: -1
  zonefile-load: whole
zone:
"""

UNBOUND = """
server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  use-syslog: no
  logfile: "{dir}/unbound.log"
  log-time-ascii: yes
  val-log-level: 2
  pidfile: ""
  directory: "{dir}"
  chroot: ""
  username: ""
  module-config: "validator iterator"
  do-not-query-localhost: no
  do-ip6: no
  root-hints: ""
  local-zone: "test." nodefault
  edns-buffer-size: 1232
  ede: yes
remote-control:
  control-enable: no
"""


class SignedDns:
    """zones: {name: (text, signed)}; `anchors` replaces the trust anchor of a zone."""

    def __init__(self, zones, anchors=None):
        self.dir = tempfile.mkdtemp(prefix="postrider-dnssec-")
        self.processes = []
        self.authority = free_port(socket.SOCK_DGRAM)
        self.port = free_port(socket.SOCK_DGRAM)
        try:
            self.start_knot(zones)
            lines = []
            for name, (_, signed) in zones.items():
                lines.append(f'stub-zone:\n  name: "{name}."\n  stub-addr: 127.0.0.1@{self.authority}\n')
                if signed:
                    anchor = (anchors or {}).get(name) or self.anchor(name)
                    lines.append(f'server:\n  trust-anchor: "{anchor}"\n')
            with open(self.dir + "/unbound.conf", "w") as f:
                f.write(UNBOUND.format(dir=self.dir, port=self.port) + "".join(lines))
            self.run(["/usr/sbin/unbound", "-d", "-c", self.dir + "/unbound.conf"])
            wait_until(lambda: self.answers(self.port), 30, "answer of unbound")
        except BaseException:
            self.close()
            raise

    def start_knot(self, zones):
        with open(self.dir + "/knot.conf", "w") as f:
            f.write(KNOT.format(dir=self.dir, port=self.authority))
            for name, (text, signed) in zones.items():
                f.write(f"- domain: {name}.\n  file: {name}.zone\n")
                if signed:
                    f.write("  dnssec-signing: on\n  dnssec-policy: made-here\n")
                with open(f"{self.dir}/{name}.zone", "w") as zone:
                    zone.write(f"$ORIGIN {name}.\n$TTL 60\n@ IN SOA ns admin 1 60 60 60 30\n@ IN NS ns\nns IN A 127.0.0.1\n" + text)
        self.run(["/usr/sbin/knotd", "-c", self.dir + "/knot.conf"])
        wait_until(lambda: self.answers(self.authority), 30, "answer of knot")
        for name, (_, signed) in zones.items():
            if signed:
                wait_until(lambda n=name: self.anchor(n), 30, "key of " + name)

    def run(self, command):
        with open(self.dir + "/out", "ab") as out:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out))

    def anchor(self, zone):
        """The DS record of its key."""
        done = subprocess.run(["keymgr", "-c", self.dir + "/knot.conf", zone + ".", "ds"], capture_output=True, text=True, timeout=60)
        return next((line.strip() for line in done.stdout.splitlines() if " 13 2 " in line), None)

    def answers(self, port):
        if any(p.poll() is not None for p in self.processes):
            raise AssertionError("a name server ended: " + self.text())
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02ns\x04test\x00\x00\x01\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            try:
                s.sendto(query, ("127.0.0.1", port))
                got = s.recv(512)
                return got[:2] == b"\x12\x34" and got[3] & 15 == 0
            except OSError:
                return False

    def text(self):
        parts = []
        for name in ("out", "knot.log", "unbound.log"):
            if os.path.exists(f"{self.dir}/{name}"):
                with open(f"{self.dir}/{name}", errors="replace") as f:
                    parts.append(f.read())
        return "\n".join(parts)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
