# SPDX-License-Identifier: ISC
"""make compat: the same questions to Postfix and to Postrider; README.md explains the differences that remain."""

import contextlib
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dialogues  # noqa: E402
from differences import EXPLAINED  # noqa: E402
from peers import Postfix, Postrider, installed  # noqa: E402
from test_dns import NameServer  # noqa: E402
from test_smtpd_dialogue import Session  # noqa: E402


def converse(port, dialogue):
    """The replies, each as its lines; of EHLO its first line alone, what is offered differs by design."""
    replies = []
    with contextlib.closing(Session(("127.0.0.1", port))) as s:
        for command in dialogue:
            s.send(command.encode() + b"\r\n")
            lines = s.reply()
            if not lines:
                replies.append("closed")
                break
            lines = lines[-1:] if command.startswith("EHLO") and lines[0].startswith("250") else lines
            if command.startswith("EHLO") and lines[0].startswith("250"):
                lines = ["250 of EHLO"]
            text = re.sub(r"queued as \w+", "queued as ID", "\n".join(lines)).replace("ESMTP Postfix", "ESMTP Postrider")
            replies.append(text)
    return replies


class Report:
    def __init__(self):
        self.compared = self.explained = 0
        self.unexplained = []
        self.used = set()

    def add(self, where, question, theirs, ours):
        self.compared += 1
        if theirs == ours:
            return
        for pattern, reason in EXPLAINED:
            if re.fullmatch(pattern, f"{where}: {question}", re.S):
                self.explained += 1
                self.used.add(pattern)
                return
        self.unexplained.append((where, question, theirs, ours))

    def show(self):
        for where, question, theirs, ours in self.unexplained:
            print(f"{where}: {question[-200:]}\n  Postfix:   {theirs}\n  Postrider: {ours}")
        for pattern, _ in EXPLAINED:
            if pattern not in self.used:
                print(f"explained, but there is no difference: {pattern}")
        print(f"{self.compared} compared, {self.explained} differences explained, {len(self.unexplained)} not")


def compare_dialogues(postfix, postrider, report):
    for name, (_, said) in dialogues.LISTENERS.items():
        for dialogue in said:
            theirs, ours = (converse(peer.ports[name], dialogue) for peer in (postfix, postrider))
            count = max(len(theirs), len(ours))
            for i in range(count):
                report.add(name, " / ".join(dialogue[:i + 1]), theirs[i] if i < len(theirs) else "closed",
                           ours[i] if i < len(ours) else "closed")


def compare():
    report = Report()
    settings = {name: s for name, (s, _) in dialogues.LISTENERS.items()}
    with contextlib.ExitStack() as stack:
        dns = NameServer(dialogues.ZONE, "127.11.53.1", 53)
        stack.callback(dns.close)
        peers = []
        for kind in (Postfix, Postrider):
            peer = kind(dialogues.MAIN, dialogues.TABLES, settings, "127.11.53.1")
            stack.callback(peer.close)
            peers.append(peer)
        compare_dialogues(*peers, report)
    return report


def main():
    if not installed():
        sys.exit("make compat needs root and Debian's packages: tools/install-packages.sh test")
    report = compare()
    report.show()
    sys.exit(1 if report.unexplained else 0)


if __name__ == "__main__":
    main()
