# SPDX-License-Identifier: ISC
"""Mail finds its way by MX records that a real name server (nsd) serves."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance, free_port, local_user, wait_until  # noqa: E402
from test_mail_flow import BODY, Sink  # noqa: E402

ZONE = """$ORIGIN test.
$TTL 60
@ IN SOA ns.test. admin.test. 1 60 60 60 30
@ IN NS ns.test.
ns IN A 127.0.0.1
far IN MX 10 dead.test.
far IN MX 20 alive.test.
dead IN A 127.0.0.2
alive IN A 127.0.0.1
implicit IN A 127.0.0.1
null IN MX 0 .
chain IN CNAME far
"""


class NameServer:
    """At a free port of loopback, unless it is told where."""

    def __init__(self, zone=ZONE, address="127.0.0.1", port=None):
        self.address, self.fixed_port = address, port
        self.dir = tempfile.mkdtemp(prefix="postrider-nsd-")
        with open(f"{self.dir}/test.zone", "w") as f:
            f.write(zone)
        self.log = open(f"{self.dir}/log", "wb")
        self.start()
        # Its port was free for one protocol and may be in use for the other: nsd ends then.
        while not wait_until(lambda: self.answers() or self.process.poll() is not None, 20, "answer of nsd") or \
                self.process.poll() is not None:
            self.start()

    def start(self):
        self.port = self.fixed_port or free_port(socket.SOCK_DGRAM)
        with open(f"{self.dir}/nsd.conf", "w") as f:
            f.write(f"""server:
  ip-address: {self.address}@{self.port}
  username: ""
  chroot: ""
  zonesdir: "{self.dir}"
  database: ""
  pidfile: "{self.dir}/nsd.pid"
  xfrdfile: "{self.dir}/xfrd.state"
  zonelistfile: "{self.dir}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "test"
  zonefile: "test.zone"
""")
        self.process = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", f"{self.dir}/nsd.conf"],
                                        stdout=self.log, stderr=self.log)

    def answers(self):
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02ns\x04test\x00\x00\x01\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            try:
                s.sendto(query, (self.address, self.port))
                return s.recv(512)[:2] == b"\x12\x34"
            except OSError:
                return False

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class ByMx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = NameServer()
        cls.sink = Sink()
        cls.sink.controller.start()
        cls.mta = Instance({"resolver_nameservers": f"127.0.0.1:{cls.dns.port}",
                            "smtp_tcp_port": str(cls.sink.port)})
        cls.mta.start()

    @classmethod
    def tearDownClass(cls):
        cls.mta.close()
        cls.sink.controller.stop()
        cls.dns.close()

    def send(self, recipient, sender="a@example.test"):
        with self.mta.smtp() as s:
            s.sendmail(sender, [recipient], BODY)

    def arrived(self, recipient):
        wait_until(lambda: any(recipient in m[1] for m in self.sink.messages), 30,
                   f"mail for {recipient}\n" + self.mta.log()[-5000:])

    def test_second_exchanger_when_the_first_is_dead(self):
        self.send("x@far.test")
        self.arrived("x@far.test")
        self.mta.wait_log("relay=alive.test[127.0.0.1]")

    def test_domain_without_mx_is_its_own_exchanger(self):
        self.send("x@implicit.test")
        self.arrived("x@implicit.test")

    def test_cname(self):
        self.send("x@chain.test")
        self.arrived("x@chain.test")

    def test_null_mx_bounces(self):
        self.send("x@null.test", f"{local_user()}@example.test")
        self.mta.wait_log("does not accept mail (nullMX)")
        self.assertIn("dsn=5.1.10, status=bounced", self.mta.log())

    def test_no_such_domain_bounces(self):
        self.send("x@missing.test", f"{local_user()}@example.test")
        self.mta.wait_log("name=missing.test type=MX: Host not found)")
        self.assertIn("dsn=5.4.4, status=bounced", self.mta.log())

    def test_servfail_or_refused_defers(self):
        self.send("x@outside.example")
        self.mta.wait_log("name=outside.example type=MX: Host not found, try again")
        self.assertIn("dsn=4.4.3, status=deferred", self.mta.log())


if __name__ == "__main__":
    unittest.main()
