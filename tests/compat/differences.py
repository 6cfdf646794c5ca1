# SPDX-License-Identifier: ISC
"""Where Postrider answers otherwise than Postfix 3.7, and why: (pattern of "listener: question", reason)."""

LONG = "a{1000}@example.test"

EXPLAINED = [
    (r"policy service: names in question \d+", "mail_version and compatibility_level are sent as by Postfix 3.8 and later"),
    (r"lookup: static:always: ", "Postfix's postmap takes an empty key for one; here it is none of any table"),
    (r"lookup: static:: x", "an empty value: Postfix's postmap calls it a mistake of the table and shows nothing"),
    (r"(sender|many recipients) .*: ", "the From that is added to mail of the null sender has the full name and domain here"),
    (r"HELO (form|in DNS): .*EHLO x y / .*", "the name of a client ends at white space; Postfix makes \"x?y\" of it"),
    (r"sender access.*MAIL FROM:<long@good.test>.*",
     "the table's value has a status and no text: Postfix shows what lay behind it in memory"),
    (r"unlisted senders: .*MAIL FROM:<no@valias.test>.*",
     "Postfix says 5.1.7 (bad syntax) of an unknown sender in a virtual alias domain, and 5.1.0 in all others"),
    (r"hostile addresses: .*x@elsewhere\.test\.>", "the dot of the root is taken off on arrival"),
    (r"hostile addresses: .*<\$\(id\)@example\.test>.*", "comments are no part of an SMTP address (RFC 5321 §4.1.2)"),
    (r"hostile addresses: .*(x@elsewhere\.test|x%\[127\.0\.0\.1\]|a\\)@example\.test>.*",
     "no SMTP address (RFC 5321 §4.1.2); Postfix quotes it"),
    (rf"hostile addresses: .*{LONG}>.*", "longer than any mailbox may be (RFC 5321 §4.5.3.1)"),
]
