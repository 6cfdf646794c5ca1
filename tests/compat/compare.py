# SPDX-License-Identifier: ISC
"""make compat: the same questions to Postfix and to Postrider; README.md explains the differences that remain."""

import contextlib
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dialogues  # noqa: E402
import lookups  # noqa: E402
import routes  # noqa: E402
from differences import EXPLAINED  # noqa: E402
from policy import PolicyServer  # noqa: E402
from peers import Postfix, Postrider, installed, submit  # noqa: E402
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

    def idle_explanations(self):
        return [pattern for pattern, _ in EXPLAINED if pattern not in self.used]

    def show(self):
        for where, question, theirs, ours in self.unexplained:
            print(f"{where}: {question[-200:]}\n  Postfix:   {theirs}\n  Postrider: {ours}")
        for pattern in self.idle_explanations():
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


def compare_lookups(postfix, postrider, report):
    for kind, text, keys in lookups.FILES:
        for peer in (postfix, postrider):
            with open(f"{peer.etc}/lookup_{kind}", "w") as f:
                f.write(text)
            if kind in ("hash", "btree", "lmdb", "cdb"):
                peer.lookup_command("postmap", f"{kind}:{peer.etc}/lookup_{kind}")
        for key in keys:
            report.add("lookup", f"{kind}: {key}",
                       *(p.lookup_command("postmap", "-q", key, f"{kind}:{p.etc}/lookup_{kind}") for p in (postfix, postrider)))
        report.add("lookup", f"{kind}: keys on standard input", *(
            p.lookup_command("postmap", "-q", "-", f"{kind}:{p.etc}/lookup_{kind}", stdin="\n".join(keys).encode())
            for p in (postfix, postrider)))
    for name, keys in lookups.IN_PLACE:
        for key in keys:
            report.add("lookup", f"{name}: {key}", *(p.lookup_command("postmap", "-q", key, name) for p in (postfix, postrider)))


def compare_routes(world, settings, report):
    main = dict(routes.COMMON, **settings)
    hold = {"hold": {"smtpd_data_restrictions": "check_client_access static:hold"}}
    with contextlib.ExitStack() as stack:
        peers = []
        for kind in (Postfix, Postrider):
            peers.append(kind(main, routes.TABLES, hold))
            stack.callback(peers[-1].close)
        for address in routes.ADDRESSES:
            report.add(f"route ({world})", address, *(p.resolve(address) for p in peers))
        for address in routes.RECIPIENTS:
            report.add(f"recipient ({world})", address, *(submit(p, "hold", "a@example.test", [address]) for p in peers))
        for address in routes.SENDERS:
            report.add(f"sender ({world})", address, *(submit(p, "hold", address, ["a@example.test"]) for p in peers))
        report.add(f"many recipients ({world})", "", *(submit(p, "hold", "", routes.RECIPIENTS) for p in peers))
        report.add(f"header ({world})", "", *(submit(p, "hold", "", ["a@example.test"], routes.HEADER) for p in peers))


def with_policy(listeners, port):
    return {name: {k: v.replace("%(policy)s", str(port)) for k, v in s.items()} for name, s in listeners.items()}


def compare_questions(postfix, postrider, report):
    """The attributes that a policy service was sent."""
    asked = [[q for q in peer.asked if not q["sender"].startswith("hangup")] for peer in (postfix, postrider)]
    report.add("policy service", "number of questions", *(len(a) for a in asked))
    for number, (theirs, ours) in enumerate(zip(*asked)):
        report.add("policy service", f"names in question {number}", *(
            sorted(a.keys() - b.keys()) for a, b in ((theirs, ours), (ours, theirs))))
        for name in theirs:
            report.add("policy service", f"{name} in question {number}", theirs[name], ours.get(name))


def compare():
    report = Report()
    settings = {name: s for name, (s, _) in dialogues.LISTENERS.items()}
    with contextlib.ExitStack() as stack:
        dns = NameServer(dialogues.ZONE, "127.11.53.1", 53)
        stack.callback(dns.close)
        peers = []
        services = []
        for kind in (Postfix, Postrider):
            services.append(PolicyServer())
            stack.callback(services[-1].close)
            peers.append(kind(dialogues.MAIN, dialogues.TABLES, with_policy(settings, services[-1].port), "127.11.53.1"))
            stack.callback(peers[-1].close)
        compare_dialogues(*peers, report)
        compare_questions(*services, report)
        compare_lookups(*peers, report)
    for world, more in routes.WORLDS.items():
        compare_routes(world, more, report)
    return report


def main():
    if not installed():
        sys.exit("make compat needs root and Debian's packages: tools/install-packages.sh test")
    report = compare()
    report.show()
    sys.exit(1 if report.unexplained or report.idle_explanations() else 0)


if __name__ == "__main__":
    main()
