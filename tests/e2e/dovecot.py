# SPDX-License-Identifier: ISC
"""A private Dovecot: log-ins over a Unix socket, and LMTP."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile

from instance import wait_until

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = {protocols}
ssl = no
listen = 127.0.0.1
mail_location = maildir:{dir}/mail/%u
first_valid_uid = 1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = nobody
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_username_chars =
auth_failure_delay = 0
service anvil {{
  chroot =
}}
service auth {{
  unix_listener {dir}/auth {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener {dir}/lmtp {{
    mode = 0666
  }}
}}
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
"""


class Dovecot:
    """users: {name: password}; `extra` goes behind the configuration."""

    def __init__(self, users, protocols="lmtp", extra=""):
        self.dir = tempfile.mkdtemp(prefix="postrider-dovecot-")
        os.chmod(self.dir, 0o755)
        owner = pwd.getpwnam("nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        os.mkdir(self.dir + "/mail")
        shutil.chown(self.dir + "/mail", owner.pw_uid, owner.pw_gid)
        with open(self.dir + "/users", "w") as f:
            for name, password in users.items():
                f.write(f"{name}:{{PLAIN}}{password}:{owner.pw_uid}:{owner.pw_gid}::{self.dir}/mail/{name}\n")
        group = subprocess.run(["id", "-gn", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
        with open(self.dir + "/conf", "w") as f:
            f.write(CONFIG.format(dir=self.dir, protocols=protocols, user="nobody", group=group) + extra)
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", self.dir + "/conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_until(self.ready, 30, "Dovecot's sockets")
        except AssertionError:
            self.close()
            raise

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError("Dovecot ended: " + self.process.stderr.read().decode() + self.log())
        return os.path.exists(self.dir + "/auth")

    def log(self):
        try:
            with open(self.dir + "/log", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)
