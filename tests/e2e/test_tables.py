# SPDX-License-Identifier: ISC
"""Local tables in sandboxed processes: each type answers a RCPT, changes are noticed, failures defer and name the table."""
import os
import smtplib
import socketserver
import sqlite3
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import Instance, wait_until  # noqa: E402

KEYS = ("hash", "btree", "lmdb", "cdb", "texthash", "regexp", "pcre", "union", "pipe", "sqlite", "socket")


class SocketMap(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            length = b""
            while (c := self.rfile.read(1)) != b":":
                if not c:
                    return
                length += c
            key = self.rfile.read(int(length) + 1)[:-1].split(b" ", 1)[1]
            answer = b"OK root" if key == b"socket@x.test" else b"NOTFOUND "
            self.wfile.write(b"%d:%s," % (len(answer), answer))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class Tables(unittest.TestCase):
    def instance(self, settings):
        mta = Instance(settings)
        self.addCleanup(mta.close)
        return mta

    @staticmethod
    def write(mta, name, text):
        path = f"{mta.etc}/{name}"
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)
        return path

    @staticmethod
    def rcpt(mta, address):
        with smtplib.SMTP("127.0.0.1", mta.port, timeout=60) as smtp:
            smtp.ehlo("client.test")
            smtp.mail("sender@elsewhere.test")
            return smtp.rcpt(address)

    def start(self, maps, **settings):
        """`maps` are of virtual_alias_maps, {etc} in them is the folder of the configuration."""
        mta = self.instance({"mydestination": "localhost", "virtual_alias_domains": "x.test", "smtpd_client_connection_rate_limit": "0", **settings})
        mta.settings["virtual_alias_maps"] = maps.format(etc=mta.etc)
        mta.write_main_cf()
        return mta

    def test_each_type_in_the_sandbox(self):
        server = Server(("127.0.0.1", 0), SocketMap)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        mta = self.start("hash:{etc}/hash btree:{etc}/btree lmdb:{etc}/lmdb cdb:{etc}/cdb texthash:{etc}/texthash "
                         "regexp:{etc}/regexp pcre:{etc}/pcre unionmap:{{inline:{{union@x.test=root}},inline:{{a=b}}}} "
                         "pipemap:{{inline:{{pipe@x.test=two}},inline:{{two=root}}}} "
                         f"sqlite:{{etc}}/sqlite socketmap:inet:127.0.0.1:{server.server_address[1]}:name")
        for kind in ("hash", "btree", "lmdb", "cdb", "texthash"):
            self.write(mta, kind, f"{kind}@x.test root\n")
            if kind != "texthash":
                mta.command("postmap", f"{kind}:{mta.etc}/{kind}")
        for kind in ("regexp", "pcre"):
            self.write(mta, kind, f"if /@x\\.test$/\n/^({kind})@/ root\nendif\n")
        with sqlite3.connect(f"{mta.etc}/db") as db:
            db.execute("CREATE TABLE a (k, v)")
            db.execute("INSERT INTO a VALUES ('sqlite@x.test', 'root')")
        db.close()
        os.chmod(f"{mta.etc}/db", 0o644)
        self.write(mta, "sqlite", f"dbpath = {mta.etc}/db\nquery = SELECT v FROM a WHERE k = '%s'\n")
        mta.start()
        for key in KEYS:
            self.assertEqual(self.rcpt(mta, f"{key}@x.test")[0], 250, (key, mta.log()))
        self.assertEqual(self.rcpt(mta, "none@x.test")[0], 550, mta.log())
        self.assertNotIn("killed by signal", mta.log())

    def test_long_keys_and_the_jit_compiler_after_the_sandbox_closed(self):
        mta = self.start("pcre:{etc}/pcre")
        self.write(mta, "pcre", "/^(a+)+b@x\\.test$/ root\n/^c(.*)d@x\\.test$/ $1@x.test\n/^nobody@x.test$/ root\n")
        mta.start()
        self.assertEqual(self.rcpt(mta, "aab@x.test")[0], 250, mta.log())
        self.assertEqual(self.rcpt(mta, "cnobodyd@x.test")[0], 250)
        # As hostile as a local part can be.
        self.assertIn(self.rcpt(mta, "a" * 60 + "c@x.test")[0], (550, 451))
        self.assertEqual(self.rcpt(mta, "aab@x.test")[0], 250)

    def test_a_table_that_is_replaced_is_noticed(self):
        mta = self.start("lmdb:{etc}/map regexp:{etc}/patterns")
        self.write(mta, "map", "bob@x.test root\n")
        self.write(mta, "patterns", "/^joe@/ root\n")
        mta.command("postmap", f"lmdb:{mta.etc}/map")
        mta.start()
        self.assertEqual(self.rcpt(mta, "ann@x.test")[0], 550)
        self.write(mta, "map", "ann@x.test root\n")
        mta.command("postmap", f"lmdb:{mta.etc}/map")
        wait_until(lambda: self.rcpt(mta, "ann@x.test")[0] == 250, 20, "the new lmdb table")
        self.write(mta, "patterns", "/^jim@/ root\n")
        wait_until(lambda: self.rcpt(mta, "jim@x.test")[0] == 250, 20, "the new patterns")
        self.assertEqual(self.rcpt(mta, "joe@x.test")[0], 550)

    def test_failures_defer_and_name_the_table(self):
        for maps in ("lmdb:{etc}/none", "cdb:{etc}/none", "regexp:{etc}/none", "lmdb:{etc}/junk", "cdb:{etc}/junk",
                     "hash:{etc}/junk", "fail:always", "unionmap:{{static:x,fail:always}}"):
            mta = self.start(maps)
            for suffix in (".lmdb", ".cdb", ".db"):
                self.write(mta, "junk" + suffix, "junk\n" * 1000)
            mta.start()
            self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 451, maps)
            name = "fail:always" if "fail" in maps else mta.settings["virtual_alias_maps"]
            self.assertIn(f"table {name}:", mta.log())
            mta.stop()

    def test_proxy_in_front_heeds_proxy_read_maps(self):
        mta = self.start("proxy:hash:{etc}/map")
        self.write(mta, "map", "bob@x.test root\n")
        mta.command("postmap", f"hash:{mta.etc}/map")
        mta.start()
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 250)
        mta.stop()
        mta = self.start("proxy:hash:{etc}/map", proxy_read_maps="proxy:unix:passwd.byname")
        self.write(mta, "map", "bob@x.test root\n")
        mta.command("postmap", f"hash:{mta.etc}/map")
        mta.start()
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 451)
        mta.wait_log("proxy_read_maps does not have it")


if __name__ == "__main__":
    unittest.main()
