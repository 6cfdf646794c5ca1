# SPDX-License-Identifier: ISC
"""make bench: Postrider's figures beside Postfix's, measured in one run on one disk."""

import os
import tempfile

import big
import idle
import long_queues
import mailauth
import rcpt
import relay
import resolver
import tables
import tls
from servers import Postfix, Postrider

BUILD = os.environ["POSTRIDER_BUILD"]


def row(what, ours, theirs, unit, ratio, wanted):
    print(f"{what:<44} {ours:>10} {theirs:>10} {unit:<6} {ratio:>8}   {wanted}", flush=True)


def relaying():
    theirs = relay.run(Postfix)
    ours = relay.run(Postrider, messages=4 * relay.MESSAGES)
    row("relay: messages a second", f"{ours['messages_per_second']:.0f}", f"{theirs['messages_per_second']:.0f}", "/s",
        f"{ours['messages_per_second'] / theirs['messages_per_second']:.1f} x", "at least 6 x; goal 10 x")
    row("relay: CPU a message, all processes", f"{ours['cpu_us']:.0f}", f"{theirs['cpu_us']:.0f}", "us",
        f"{theirs['cpu_us'] / ours['cpu_us']:.1f} x", "at most 350 us; goal 200")


def sessions():
    ours = idle.run(Postrider, 5000, smtpd_client_connection_count_limit="0")
    theirs = idle.run(Postfix, 200, default_process_limit="300", smtpd_client_connection_count_limit="0")
    row("idle session after EHLO (5000; Postfix: 200)", f"{ours['kib_per_session']:.1f}",
        f"{theirs['kib_per_session']:.0f}", "KiB", f"{theirs['kib_per_session'] / ours['kib_per_session']:.0f} x",
        "at most 60 KiB")


def questions():
    ours = resolver.run(BUILD)
    row("resolver: cached answers to one client", f"{ours['questions_per_second']:.0f}", "-", "/s", "",
        "at least 50000")
    row("resolver: CPU a cached answer", f"{ours['cpu_us']:.1f}", "-", "us", "", "")


def message():
    reader, both = big.copy(BUILD, tempfile.gettempdir())
    ours, theirs = big.run(Postrider), big.run(Postfix)
    row("25 MB through a relay: CPU", f"{ours['cpu_ms']:.0f}", f"{theirs['cpu_ms']:.0f}", "ms",
        f"{theirs['cpu_ms'] / ours['cpu_ms']:.1f} x", "")
    row("  against one copy into a synced file", f"{ours['cpu_ms'] / reader / 1e3:.1f} x",
        f"{theirs['cpu_ms'] / reader / 1e3:.1f} x", "",
        "", f"at most 3 x its reader's {reader * 1e3:.0f} ms ({both * 1e3:.0f} with the writer)")


def encrypted():
    figures = {"ours": tls.run(Postrider), "open": tls.run(Postrider, smtpd_tls_key_isolation="no"), "theirs": tls.run(Postfix)}
    for what, text, unit, wanted in (
            ("full_rate", "full TLS 1.3 handshakes (P-256) a second", "/s", ""), ("full_cpu", "  CPU each", "us", ""),
            ("resumed_rate", "resumed handshakes a second", "/s", ""), ("resumed_cpu", "  CPU each", "us", ""),
            ("messages", "messages a second over one TLS session", "/s", "")):
        ours, theirs = figures["ours"][what], figures["theirs"][what]
        row(text, f"{ours:.0f}", f"{theirs:.0f}", unit, f"{(theirs / ours) if unit == 'us' else (ours / theirs):.1f} x", wanted)
        if what in ("full_rate", "full_cpu"):
            row("  with the key in smtpd", f"{figures['open'][what]:.0f}", "-", unit, "", "")
    ours, theirs = tls.memory(Postrider, 2000), tls.memory(Postfix, 100, default_process_limit="200")
    row("idle TLS session (2000; Postfix: 100)", f"{ours:.1f}", f"{theirs:.0f}", "KiB", f"{theirs / ours:.0f} x", "at most 80 KiB")


def long_queue():
    ours, theirs = long_queues.run(Postrider), long_queues.run(Postfix)
    what = f"{long_queues.MESSAGES} queued for 1000 destinations"
    row(what + ": first", f"{ours['first_s']:.2f}", f"{theirs['first_s']:.2f}", "s",
        f"{theirs['first_s'] / ours['first_s']:.1f} x", "goal 5 x")
    row("  all", f"{ours['drain_s']:.1f}", f"{theirs['drain_s']:.1f}", "s", f"{theirs['drain_s'] / ours['drain_s']:.1f} x",
        "goal 5 x")
    row("  memory of qmgr", f"{ours['qmgr_mib']:.1f}", f"{theirs['qmgr_mib']:.1f}", "MiB", "", "goal: a half")
    ours, theirs = long_queues.run_list(Postrider), long_queues.run_list(Postfix)
    total = [x["taken_s"] + x["delivered_s"] for x in (ours, theirs)]
    row(f"a message to {long_queues.RECIPIENTS} recipients", f"{total[0]:.2f}", f"{total[1]:.2f}", "s",
        f"{total[1] / total[0]:.1f} x", "goal 5 x")


def recipients():
    for with_policy in (False, True):
        ours, theirs = rcpt.run(Postrider, with_policy), rcpt.run(Postfix, with_policy)
        row(f"RCPT, ten restrictions{', one a policy service' if with_policy else ''}: CPU", f"{ours:.0f}", f"{theirs:.0f}", "us",
            f"{theirs / ours:.1f} x", "at least 4 x")


def lookup_tables():
    for kind, figures in tables.run(BUILD):
        for what, wanted in (("build", "not slower"), ("lookup", "")):
            ours, theirs = figures[what]
            row(f"{kind}: {what}, 1,000,000 entries", f"{ours:.2f}", f"{theirs:.2f}", "s", f"{theirs / ours:.1f} x", wanted)


def authentication():
    figures = mailauth.run()
    for what, name in (("verify", "SPF, DKIM, DMARC of 4 KiB: CPU, all processes"), ("sign", "signing a message: CPU, all processes")):
        row(name, f"{figures[what + '_us']:.0f}", "-", "us", "", f"at most {figures[what + '_bound_us']:.0f} (bare cryptography and some)")


def main():
    print(f"{'':<44} {'Postrider':>10} {'Postfix':>10}")
    for part in (relaying, sessions, questions, message, encrypted, recipients, lookup_tables, authentication, long_queue):
        part()


if __name__ == "__main__":
    main()
