# SPDX-License-Identifier: ISC
"""Addresses that both servers are asked to route, and messages that both rewrite, with the tables of WORLDS."""

ADDRESSES = [
    "a@example.test", "a+ext@example.test", "a@sub.example.test", "a@mail.example.test", "a@localhost", "root", "a@[127.0.0.1]",
    "a@[203.0.113.5]", "a@relay.test", "a@sub.relay.test", "a@valias.test", "a@vmail.test", "a@elsewhere.test", "a@www.elsewhere.test",
    "special@elsewhere.test", "special+x@elsewhere.test", "a@nexthop.test", "a@port.test", "a@bracket.test", "a@smtps.test",
    "a@failing.test", "a@dropped.test", "a@empty.test", "a@x.dotted.test", "a@dotted.test", "moved@example.test", "moved@elsewhere.test",
    "x%y.test@example.test", "y.test!x@example.test", "x%y.test@relay.test", "A@EXAMPLE.TEST", "a@UPPER.Elsewhere.Test",
]
RECIPIENTS = [
    "a@example.test", "alias@example.test", "chain1@example.test", "list@example.test", "canon@example.test", "canonical@example.test",
    "rcanon@example.test", "a+ext@example.test", "alias+ext@example.test", "list+ext@example.test", "any@all.test", "one@all.test",
    "user@host.masq.test", "root@host.masq.test", "bare", "bare+ext", "dot@host", "x%y.test@example.test", "y.test!x", "loop@example.test",
    "quoted@example.test", "bcc@example.test", "other@bcc.test", "postmaster", "away@example.test", "dup@example.test", "self@example.test",
]
SENDERS = ["a@example.test", "scanon@example.test", "canon@example.test", "user@host.masq.test", "root@host.masq.test", "bare", "",
           "sbcc@example.test", "dot@host"]

TABLES = {
    "transport": "relay.test relay:[gateway.test]\nspecial@elsewhere.test smtp:[special.test]\nnexthop.test smtp:other.test\n"
                 "port.test smtp:other.test:2525\nbracket.test smtp:[192.0.2.9]:26\nfailing.test error:5.7.1 closed here\n"
                 "dropped.test discard:\nempty.test :\n.dotted.test smtp:[dots.test]\nsmtps.test relay\n",
    "canonical": "canon@example.test canonical@example.test\ncanonical@example.test further@example.test\n@old.test @new.test\n",
    "scanonical": "scanon@example.test sender@example.test\n",
    "rcanonical": "rcanon@example.test recipient@example.test\n",
    "virtual": "alias@example.test target@example.test\nchain1@example.test chain2@example.test\nchain2@example.test end@example.test\n"
               "list@example.test m1@example.test, m2@elsewhere.test, m1@example.test\n@all.test catchall@example.test\n"
               "one@all.test first@example.test\nloop@example.test loop@example.test, other@example.test\n"
               "quoted@example.test \"a b\"@example.test\naway@example.test away@elsewhere.test\n"
               "dup@example.test a@example.test, A@example.test, a@EXAMPLE.TEST\nself@example.test self@example.test\n"
               "a@valias.test a@example.test\n",
    "bcc": "bcc@example.test copy@example.test\n@bcc.test copies@example.test\n",
    "sbcc": "sbcc@example.test scopy@example.test\n",
    "relocated": "moved@example.test new@example.test\nmoved@elsewhere.test new@elsewhere.test\n",
}
COMMON = {"mydestination": "example.test, mail.example.test, localhost", "relay_domains": "relay.test", "mydomain": "example.test",
          "virtual_alias_domains": "valias.test, all.test", "virtual_mailbox_domains": "vmail.test", "myorigin": "$mydomain",
          "virtual_mailbox_maps": "static:x", "local_recipient_maps": "", "relay_recipient_maps": "", "recipient_delimiter": "+",
          "disable_dns_lookups": "yes", "virtual_alias_maps": "hash:%(dir)s/virtual", "local_header_rewrite_clients": "static:all",
          "smtpd_reject_unlisted_recipient": "no"}
# Different settings for the same questions.
WORLDS = {
    "plain": {},
    "tables": {"transport_maps": "hash:%(dir)s/transport", "canonical_maps": "hash:%(dir)s/canonical",
               "sender_canonical_maps": "hash:%(dir)s/scanonical", "recipient_canonical_maps": "hash:%(dir)s/rcanonical",
               "masquerade_domains": "masq.test", "masquerade_exceptions": "root", "recipient_bcc_maps": "hash:%(dir)s/bcc",
               "sender_bcc_maps": "hash:%(dir)s/sbcc", "relocated_maps": "hash:%(dir)s/relocated"},
    "otherwise": {"relayhost": "[smart.test]:587", "recipient_delimiter": "-+", "append_dot_mydomain": "yes", "always_bcc": "all@example.test",
                  "parent_domain_matches_subdomains": "", "transport_maps": "hash:%(dir)s/transport", "swap_bangpath": "no",
                  "allow_percent_hack": "no", "canonical_classes": "envelope_recipient", "canonical_maps": "hash:%(dir)s/canonical",
                  "propagate_unmatched_extensions": "", "default_transport": "smtp", "relay_transport": "relay:[inside.test]",
                  "masquerade_domains": "masq.test !host.masq.test", "masquerade_classes": "envelope_sender, envelope_recipient",
                  "local_transport": "local:$myhostname", "virtual_transport": "lmtp:unix:private/lmtp"},
}
HEADER = (b"From: canon@example.test, Full Name <user@host.masq.test>\r\nTo: bare, \"Quoted, Name\" <scanon@example.test>,\r\n"
          b" rcanon@example.test (comment)\r\nCc: group: a@old.test, b@host;, <x%y.test@example.test>\r\n"
          b"Reply-To: y.test!x\r\nErrors-To: root@host.masq.test\r\nSubject: canon@example.test\r\n\r\nx\r\n")
