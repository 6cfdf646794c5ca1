# SPDX-License-Identifier: ISC
"""
What is said to both servers.  Each listener is an smtpd with parameters of its own; each dialogue with it begins
with XCLIENT, so that the client is who the dialogue needs.  The DNS of `ZONE` is served to both.
"""

ZONE = """$ORIGIN test.
$TTL 60
@ IN SOA ns.test. admin.test. 1 60 60 60 60
@ IN NS ns.test.
ns IN A 127.0.0.1
good IN MX 10 mx.good
mx.good IN A 192.0.2.10
onlya IN A 192.0.2.11
six IN AAAA 2001:db8::11
nomail IN MX 0 .
noaddress IN MX 10 nothing.test.
nothing IN TXT "x"
evil IN MX 10 mx.evil
mx.evil IN A 192.0.2.66
evil IN NS ns.evil
ns.evil IN A 192.0.2.66
client IN A 192.0.2.1
sub.client IN A 192.0.2.2
alias IN CNAME good
lame IN CNAME lame.elsewhere.invalid.
2.2.0.192.bl IN A 127.0.0.2
2.2.0.192.bl IN TXT "listed, see below"
3.2.0.192.bl IN A 127.0.0.3
3.2.0.192.bl IN A 127.0.0.10
4.2.0.192.bl IN A 127.0.1.4
9.2.0.192.bl IN A 127.0.0.9
1.2.0.192.wl IN A 127.0.0.2
spam.test.dbl IN A 127.0.0.2
spam.test.dbl IN TXT "a domain of spammers"
spam.test IN A 192.0.2.12
spam IN MX 10 mx.good
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl IN A 127.0.0.2
mail.example IN A 127.0.0.1
example IN MX 10 mail.example
"""

# Hash tables, %(dir)s/NAME; those whose name begins with "_" are read as text.
TABLES = {
    "client": "client.test REJECT\n192.0.2.5 REJECT by address\n192.0.2.6 DUNNO\n192.0.2 OK\n198.51 DEFER\n"
              ".sub.test 450 4.7.1 not now\nunknown REJECT no name\n2001:db8:1 REJECT six\n",
    "helo": "bad.test REJECT\n.dot.test REJECT dotted\nlater.test DEFER_IF_PERMIT later\nfine.test OK\n"
            "prefer.test DEFER_IF_REJECT prefer\n",
    "sender": "bad@good.test REJECT\nevil.test REJECT evil domain\nuser@ 550 5.7.1 local part\n<> REJECT null\n"
              "code@good.test 421 4.3.2 go away\ntext@good.test just a word\nempty@good.test REJECT\n"
              "odd@good.test 299 odd\nclass@good.test strict\nplus@good.test REJECT plus\ninfo@good.test INFO note\n"
              "warn@good.test WARN careful\ndiscard@good.test DISCARD quiet\nhold@good.test HOLD\n"
              "five@good.test 5.1.1 status only\ndsn@good.test REJECT 4.2.2 wrong class\n"
              "dsn5@good.test DEFER 5.2.2 wrong class\nnumber@good.test 12345\nlong@good.test 550 5.1.8\n"
              "multi@good.test reject_unknown_sender_domain, reject\nspace@good.test   REJECT   spaced   out\n"
              "defer@good.test DEFER\ndefif@good.test DEFER_IF_PERMIT\nokay@good.test OK\nsubmission@good.test 535 5.7.8 x\n",
    "recipient": "refuse@example.test REJECT\nnobody@example.test DUNNO\n.relay.test REJECT sub of relay\nrelay.test OK\n"
                 "root@ REJECT no root\nstatus@example.test REJECT 5.1.8 of a sender\nbusy@example.test 450 busy\n"
                 "gone@example.test 551 5.1.6 gone\nstop@example.test 521 5.7.1 hang up\nclose@example.test 421 close\n"
                 "restricted@example.test permit_mynetworks, reject\n",
    "servers": "192.0.2.66 REJECT bad server\nmx.evil.test REJECT bad exchanger\nns.evil.test REJECT bad name server\n"
               "192.0.2.10 DUNNO\nns.test DUNNO\n",
    "logins": "owner@good.test alice\n@mine.test bob\nshared@good.test alice, carol\n",
    "etrn": "mine.test OK\ntheirs.test REJECT\n",
    "valias": "va@valias.test a@example.test\n@whole.valias.test b@example.test\n",
    "mailboxes": "box@vmail.test x\n@any.vmail.test x\n",
    "relayusers": "known@relay.test x\n",
    "relocated": "moved@example.test new@example.test\n",
    "footers": "550 footer_of_550\n",
    "rbl": "$unused x\nbl.test=127.0.0.2 $rbl_code mapped ${rbl_class} $rbl_what by $rbl_domain${rbl_reason?: }$rbl_reason\n",
}

MAIN = {
    "mydestination": "example.test, mail.example.test, localhost",
    "local_recipient_maps": "inline:{a=x b=x c=x refuse=x nobody=x root=x status=x busy=x gone=x stop=x close=x restricted=x "
                            "user=x moved=x}",
    "relay_domains": "relay.test", "relay_recipient_maps": "hash:%(dir)s/relayusers",
    "virtual_alias_domains": "valias.test, whole.valias.test", "virtual_alias_maps": "hash:%(dir)s/valias",
    "virtual_mailbox_domains": "vmail.test, any.vmail.test", "virtual_mailbox_maps": "hash:%(dir)s/mailboxes",
    "relocated_maps": "hash:%(dir)s/relocated",
    "smtpd_authorized_xclient_hosts": "127.0.0.1", "mynetworks": "127.0.0.0/8, 192.0.2.200, [2001:db8:ff::]/48",
    "smtpd_delay_reject": "yes", "recipient_delimiter": "+", "smtpd_restriction_classes": "strict, loose",
    "strict": "reject_unknown_sender_domain, check_recipient_access inline:{a@example.test=REJECT}, permit",
    "loose": "permit", "default_transport": "discard", "local_transport": "discard", "relay_transport": "discard",
    "virtual_transport": "discard", "smtpd_tls_security_level": "none", "disable_vrfy_command": "no",
    "smtpd_hard_error_limit": "100", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_forbid_bare_newline": "normalize", "smtpd_forbid_unauth_pipelining": "yes",
}

CLIENT = "NAME=client.test ADDR=192.0.2.1"
SUB = "NAME=sub.client.test ADDR=192.0.2.2"
NAMELESS = "NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] ADDR=203.0.113.7"
DOUBTFUL = "NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL] ADDR=203.0.113.7"
REVERSE = "NAME=[UNAVAILABLE] REVERSE_NAME=client.test ADDR=203.0.113.8"
FRIEND = "NAME=friend.test ADDR=192.0.2.200"
SIX = "NAME=six.test ADDR=IPV6:2001:db8::1"
HERE = "a@example.test"


def talk(client, *steps, helo="h.good.test"):
    return (f"XCLIENT {client}", f"EHLO {helo}", *steps)


def mail(sender, *recipients, client=CLIENT, helo="h.good.test", data=False):
    steps = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients or [HERE])]
    return talk(client, *steps, *(["DATA", "Subject: x\r\n\r\nx\r\n."] if data else []), helo=helo)


def listener(dialogues, **settings):
    return settings, dialogues


CLIENTS = [CLIENT, SUB, NAMELESS, DOUBTFUL, REVERSE, FRIEND, SIX,
           *(f"NAME=x{n}.test ADDR=192.0.2.{n}" for n in (3, 4, 5, 6, 9)), "NAME=w.sub.test ADDR=198.51.100.1",
           "NAME=sub.test ADDR=203.0.113.1", "NAME=x.client.test ADDR=203.0.113.2", "NAME=s.test ADDR=IPV6:2001:db8:1::1"]
HELOS = ["good.test", "bad.test", "x.bad.test", "dot.test", "x.dot.test", "later.test", "fine.test", "short", "[192.0.2.1]",
         "[192.0.2.9]", "[300.1.1.1]", "192.0.2.1", "under_score.test", "-dash.test", "x..test", "none.test", "nomail.test",
         "onlya.test", "six.test", "noaddress.test", "prefer.test", "[IPv6:2001:db8::1]", "[IPv6:zz]", "x y", "a.elsewhere.invalid"]
SENDERS = ["bad@good.test", "good@good.test", "x@evil.test", "x@sub.evil.test", "user@any.test", "", "code@good.test",
           "text@good.test", "odd@good.test", "class@good.test", "plus+ext@good.test", "info@good.test", "warn@good.test",
           "five@good.test", "dsn@good.test", "dsn5@good.test", "number@good.test", "long@good.test", "multi@good.test",
           "space@good.test", "defer@good.test", "defif@good.test", "okay@good.test", "submission@good.test",
           "BAD@GOOD.TEST", "user+x@any.test", "x@[192.0.2.1]", "x@onlya.test", "x@six.test", "x@nomail.test",
           "x@noaddress.test", "x@none.test", "x@alias.test", "x@lame.test", "x@refused.invalid", "short", "x@short",
           '"q q"@good.test', "x@spam.test"]
RECIPIENTS = [HERE, "nobody@example.test", "refuse@example.test", "root@example.test", "status@example.test",
              "busy@example.test", "gone@example.test", "unknown@example.test", "a+ext@example.test", "known@relay.test",
              "unknown@relay.test", "x@sub.relay.test", "va@valias.test", "no@valias.test", "x@whole.valias.test",
              "box@vmail.test", "no@vmail.test", "x@any.vmail.test", "moved@example.test", "x@elsewhere.test",
              "x@good.test", "x@none.test", "x@nomail.test", "a", "a@localhost", "x%elsewhere.test@example.test",
              "elsewhere.test!x@example.test", "@example.test:x@elsewhere.test", "postmaster", "x@[203.0.113.1]",
              "a@[127.0.0.1]", "restricted@example.test", "stop@example.test"]

LISTENERS = {
    "plain": listener([mail("x@good.test", *RECIPIENTS), mail("x@good.test", *RECIPIENTS, client=FRIEND),
                       mail("x@good.test", HERE, data=True)]),
    "client access": listener([mail("x@good.test", client=c) for c in CLIENTS],
                              smtpd_client_restrictions="check_client_access hash:%(dir)s/client"),
    "client access, at once": listener([mail("x@good.test", client=c) for c in CLIENTS], smtpd_delay_reject="no",
                                       smtpd_client_restrictions="hash:%(dir)s/client"),
    "client names": listener([mail("x@good.test", client=c) for c in CLIENTS[:7]],
                             smtpd_client_restrictions="reject_unknown_client_hostname"),
    "reverse names": listener([mail("x@good.test", client=c) for c in CLIENTS[:7]],
                              smtpd_client_restrictions="reject_unknown_reverse_client_hostname"),
    "reverse access": listener([mail("x@good.test", client=c) for c in CLIENTS[:7]], smtpd_client_restrictions=
                               "check_reverse_client_hostname_access hash:%(dir)s/client, permit_mynetworks, reject"),
    "client servers": listener([mail("x@good.test", client=c) for c in (CLIENT, "NAME=evil.test ADDR=192.0.2.66", NAMELESS)],
                               smtpd_client_restrictions="check_client_ns_access hash:%(dir)s/servers, "
                               "check_client_mx_access hash:%(dir)s/servers, check_client_a_access hash:%(dir)s/servers"),
    "block list": listener([mail("x@good.test", client=c) for c in CLIENTS], smtpd_client_restrictions="reject_rbl_client bl.test"),
    "block list, filtered": listener([mail("x@good.test", client=c) for c in CLIENTS], smtpd_client_restrictions=
                                     "reject_rbl_client bl.test=127.0.0.[3..5;9], reject_rbl_client bl.test=127.0.1.4"),
    "block list, own text": listener([mail("x@good.test", client=c) for c in CLIENTS[:3]], rbl_reply_maps="hash:%(dir)s/rbl",
                                     smtpd_client_restrictions="reject_rbl_client bl.test=127.0.0.2"),
    "allow list": listener([mail("x@good.test", client=c) for c in CLIENTS[:4]],
                           smtpd_client_restrictions="permit_dnswl_client wl.test, reject"),
    "block list of domains": listener(
        [mail(s, client=c) for s in ("x@spam.test", "x@good.test", "") for c in (CLIENT, "NAME=spam.test ADDR=203.0.113.3")],
        smtpd_sender_restrictions="reject_rhsbl_client dbl.test, reject_rhsbl_helo dbl.test, reject_rhsbl_sender dbl.test"),
    "HELO access": listener([mail("x@good.test", helo=h) for h in HELOS], smtpd_helo_required="yes",
                            smtpd_helo_restrictions="check_helo_access hash:%(dir)s/helo"),
    "HELO access, at once": listener([mail("x@good.test", helo=h) for h in HELOS], smtpd_delay_reject="no",
                                     smtpd_helo_restrictions="check_helo_access hash:%(dir)s/helo"),
    "HELO form": listener([mail("x@good.test", helo=h) for h in HELOS], smtpd_helo_restrictions=
                          "reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname"),
    "HELO in DNS": listener([mail("x@good.test", helo=h) for h in HELOS], smtpd_helo_restrictions="reject_unknown_helo_hostname"),
    "HELO servers": listener([mail("x@good.test", helo=h) for h in ("evil.test", "good.test", "[192.0.2.66]", "none.test")],
                             smtpd_helo_restrictions="check_helo_mx_access hash:%(dir)s/servers, "
                             "check_helo_ns_access hash:%(dir)s/servers, check_helo_a_access hash:%(dir)s/servers"),
    "sender access": listener([mail(s) for s in SENDERS], smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "sender access, at once": listener([mail(s) for s in SENDERS], smtpd_delay_reject="no",
                                       smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "sender access, parents by a dot": listener(
        [mail(s) for s in ("x@evil.test", "x@sub.evil.test", "plus+ext@good.test")], parent_domain_matches_subdomains="",
        smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "sender form": listener([mail(s) for s in SENDERS], smtpd_sender_restrictions="reject_non_fqdn_sender"),
    "sender in DNS": listener([mail(s) for s in SENDERS], smtpd_sender_restrictions="reject_unknown_sender_domain"),
    "sender in DNS, later": listener([mail(s) for s in SENDERS], unknown_address_tempfail_action="defer",
                                     smtpd_sender_restrictions="reject_unknown_sender_domain"),
    "sender servers": listener([mail(s) for s in SENDERS], smtpd_sender_restrictions=
                               "check_sender_mx_access hash:%(dir)s/servers, check_sender_ns_access hash:%(dir)s/servers"),
    "sender addresses": listener([mail(s) for s in SENDERS[:4]],
                                 smtpd_sender_restrictions="check_sender_a_access hash:%(dir)s/servers"),
    "unlisted senders": listener([mail(s) for s in ("a@example.test", "no@example.test", "no@relay.test", "no@valias.test",
                                                    "no@vmail.test", "x@good.test")], smtpd_reject_unlisted_sender="yes"),
    "owners": listener([mail(s) for s in ("owner@good.test", "x@mine.test", "free@good.test", "")]
                       + [mail(s, client=f"{CLIENT} LOGIN={u}") for s in ("owner@good.test", "x@mine.test", "shared@good.test",
                                                                          "free@good.test") for u in ("alice", "bob")],
                       smtpd_sender_restrictions="reject_sender_login_mismatch", smtpd_sender_login_maps="hash:%(dir)s/logins",
                       smtpd_sasl_auth_enable="yes"),
    "known owners": listener([mail(s, client=f"{CLIENT} LOGIN={u}") for s in ("owner@good.test", "free@good.test", "x@mine.test")
                              for u in ("alice", "bob")], smtpd_sender_login_maps="hash:%(dir)s/logins",
                             smtpd_sender_restrictions="reject_known_sender_login_mismatch", smtpd_sasl_auth_enable="yes"),
    "recipient access": listener([mail("x@good.test", *RECIPIENTS)], smtpd_recipient_restrictions=
                                 "check_recipient_access hash:%(dir)s/recipient, permit_mynetworks"),
    "recipient form and DNS": listener([mail("x@good.test", *RECIPIENTS, client=FRIEND)], smtpd_recipient_restrictions=
                                       "reject_non_fqdn_recipient, reject_unknown_recipient_domain"),
    "recipients of ours alone": listener([mail("x@good.test", *RECIPIENTS, client=FRIEND)], smtpd_recipient_restrictions=
                                         "permit_auth_destination, reject", smtpd_relay_restrictions=""),
    "relaying, later": listener([mail("x@good.test", "x@elsewhere.test", HERE)],
                                smtpd_relay_restrictions="permit_mynetworks, defer_unauth_destination"),
    "unlisted recipients wait": listener([mail("x@good.test", *RECIPIENTS[:20])], smtpd_reject_unlisted_recipient="no",
                                         unknown_local_recipient_reject_code="450"),
    "unlisted recipients by name": listener([mail("x@good.test", *RECIPIENTS[:20])], smtpd_recipient_restrictions=
                                            "reject_unlisted_recipient, permit", unknown_local_recipient_reject_code="450"),
    "warnings": listener([mail("x@evil.test"), mail("x@evil.test", client=FRIEND)], smtpd_sender_restrictions=
                         "warn_if_reject check_sender_access hash:%(dir)s/sender, warn_if_reject reject_unknown_sender_domain"),
    "doubts": listener([mail("x@none.test", h, client=c) for h in (HERE, "x@elsewhere.test") for c in (CLIENT, FRIEND)],
                       smtpd_client_restrictions="defer_if_permit", smtpd_sender_restrictions="defer_if_reject, reject"),
    "doubts that pass": listener([mail("defif@good.test", HERE, "x@elsewhere.test"), mail("x@good.test", helo="later.test"),
                                  mail("bad@good.test", helo="prefer.test")],
                                 smtpd_helo_restrictions="check_helo_access hash:%(dir)s/helo",
                                 smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "data": listener([mail("", HERE, "b@example.test", data=True), mail("x@good.test", HERE, data=True), mail("", HERE, data=True),
                      mail("x@evil.test", HERE, data=True)], smtpd_data_restrictions="reject_multi_recipient_bounce, "
                     "check_sender_access hash:%(dir)s/sender"),
    "end of data": listener([mail("x@good.test", HERE, data=True), mail("x@evil.test", HERE, data=True),
                             mail("code@good.test", HERE, data=True)],
                            smtpd_end_of_data_restrictions="check_sender_access hash:%(dir)s/sender"),
    "classes": listener([mail("x@none.test"), mail("x@good.test"), mail("x@good.test", "b@example.test")],
                        smtpd_recipient_restrictions="strict"),
    "numbers of replies": listener([mail("bad@good.test", "x@elsewhere.test"), mail("x@none.test"), mail("short")],
                                   access_map_reject_code="559", relay_domains_reject_code="451", unknown_address_reject_code="555",
                                   non_fqdn_reject_code="501", smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender, "
                                   "reject_non_fqdn_sender, reject_unknown_sender_domain"),
    "footer": listener([mail("bad@good.test"), mail("x@good.test", "x@elsewhere.test")], smtpd_reject_footer=
                       r"\c. Call $client_name/$client_address at $server_name; $helo_name $sender $recipient $protocol_state",
                       smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "footer of lines": listener([mail("bad@good.test")], smtpd_reject_footer=r"first\nsecond $client_address",
                                smtpd_sender_restrictions="check_sender_access hash:%(dir)s/sender"),
    "a recipient limit": listener([mail("x@good.test", HERE, "b@example.test", "c@example.test", "user@example.test", data=True)],
                                  smtpd_recipient_limit="2"),
    "nobody without HELO": listener([(f"XCLIENT {CLIENT}", "MAIL FROM:<x@good.test>"),
                                     (f"XCLIENT {CLIENT} HELO=h.test PROTO=ESMTP", "MAIL FROM:<x@good.test>")],
                                    smtpd_helo_required="yes"),
    "XCLIENT": listener([
        ("XCLIENT",), ("XCLIENT x",), ("XCLIENT NAME",), ("XCLIENT ADDR=300.1.1.1",), ("XCLIENT ADDR=::1",),
        ("XCLIENT ADDR=IPV6:zz",), ("XCLIENT PORT=99999999",), ("XCLIENT PROTO=LMTP",), ("XCLIENT FOO=x",),
        ("XCLIENT NAME=a_b",), ("XCLIENT HELO=x+20y", "MAIL FROM:<a@b.test>"), ("XCLIENT DESTADDR=1.2.3.4 DESTPORT=25",),
        ("EHLO x", "MAIL FROM:<x@good.test>", f"XCLIENT {CLIENT}"), (f"XCLIENT {CLIENT}", "XCLIENT NAME=again.test", "RSET")]),
    "XFORWARD": listener([
        ("XFORWARD",), ("XFORWARD NAME=x",), ("XFORWARD FOO=x",), ("XFORWARD NAME=client.test ADDR=192.0.2.1 SOURCE=REMOTE",),
        ("XFORWARD SOURCE=MARS",), ("XFORWARD IDENT=ABC HELO=x PROTO=SMTP PORT=25",), ("XFORWARD ADDR=x",)],
        smtpd_authorized_xforward_hosts="127.0.0.1"),
    "nobody may say XCLIENT": listener([("XCLIENT NAME=x",), ("XFORWARD NAME=x",)], smtpd_authorized_xclient_hosts=""),
    "forbidden commands": listener([("CONNECT x",), ("FOO",), ("EHLO x", "STARTTLS")], smtpd_forbidden_commands="FOO"),
    # The server says what the sender's local part asks for: policy.py.
    "policy service": listener(
        [mail(f"{s}@good.test", client=c, data=True) for s in ("dunno", "okay", "reject", "defer", "code", "prepend", "doubt", "garbage",
                                                               "nothing", "class") for c in (CLIENT, NAMELESS)]
        + [mail("", client=f"{CLIENT} LOGIN=alice"), mail("dunno@good.test", "x@elsewhere.test", client=SIX),
           mail("hangup@good.test")],
        smtpd_recipient_restrictions="check_policy_service inet:127.0.0.1:%(policy)s", smtpd_sasl_auth_enable="yes",
        smtpd_policy_service_retry_delay="1s",
        smtpd_data_restrictions="check_policy_service { inet:127.0.0.1:%(policy)s, { policy_context = at data } }",
        smtpd_end_of_data_restrictions="check_policy_service inet:127.0.0.1:%(policy)s"),
    "no policy service": listener([mail("x@good.test")], smtpd_policy_service_try_limit="1", smtpd_recipient_restrictions=
                                  "check_policy_service { inet:127.0.0.1:1, {default_action=defer_if_permit nobody there} }"),
    "out of turn": listener([("EHLO x\r\nMAIL FROM:<x@good.test>", "NOOP"), mail("x@good.test", data=True),
                             ("EHLO x", "MAIL FROM:<x@good.test>", "RCPT TO:<a@example.test>", "DATA\r\nSubject: x\r\n\r\nx\r\n.")],
                            smtpd_forbid_unauth_pipelining="no", smtpd_data_restrictions="reject_unauth_pipelining"),
    "VRFY": listener([talk(FRIEND, "VRFY a", "VRFY unknown", "VRFY x@elsewhere.test"), talk(CLIENT, "VRFY x@elsewhere.test")]),
}
HOSTILE = ['"a b"@example.test', '"a@elsewhere.test"@example.test', '"x%elsewhere.test"@example.test', "x%y%z@example.test",
           "elsewhere.test!example.test!x", "@elsewhere.test,@example.test:x@elsewhere.test", "x@[127.0.0.1].elsewhere.test",
           "x@[IPv6:2001:db8::1]", "x@[::1]", "x@elsewhere.test.", "x@.elsewhere.test", "|id@example.test", "/tmp/x@example.test",
           '"|id"@example.test', '":include:/etc/passwd"@example.test', "$(id)@example.test", "`id`@example.test",
           "-oQ/tmp@example.test", "-a@example.test", "a;id@example.test", "a" * 65 + "@example.test", "a" * 1000 + "@example.test",
           "x@" + "a" * 64 + ".test", "x@xn--bcher-kva.test", "x@elsewhere.test%example.test", "x@elsewhere.test@example.test",
           "x%[127.0.0.1]@example.test", "a@example.test,b@elsewhere.test", "a@example.test>b", '"a\\"b"@example.test',
           "a/../../b@example.test", "a\\@example.test", "x@EXAMPLE.TEST", "x!y@relay.test", "x%elsewhere.test@relay.test",
           "known%elsewhere.test@relay.test", "x@127.0.0.1", "x@2130706433", "x@[2130706433]", "x@localhost%elsewhere.test"]
LISTENERS["hostile addresses"] = listener([mail("x@good.test", h) for h in HOSTILE]
                                          + [mail(h) for h in HOSTILE])
