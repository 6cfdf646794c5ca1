/* SPDX-License-Identifier: ISC */
/* postdoctor DOMAIN: a domain as its correspondents see it. */
#include <arpa/inet.h>
#include <sysexits.h>
#include <unistd.h>

#include "authn/dkim_sign.h"
#include "authn/dmarc.h"
#include "authn/spf_record.h"
#include "authn/tags.h"
#include "common/mail/address.h"
#include "tools/lib/dkim.h"
#include "tools/lib/doctor_findings.h"

#define NOBODY    "192.0.2.255" /* an address that is in nobody's record */
#define WIDE4     16            /* shorter prefixes than this name too many */
#define WIDE6     32
#define HOSTS_MAX 10
#define LISTS     "zen.spamhaus.org bl.spamcop.net psbl.surriel.com"

struct checkup {
	struct doctor *doctor;
	struct findings f;
	struct slice domain;
	struct dns_answer mx;
	bool sends_nothing, takes_nothing;
};

static void ask(struct checkup *c, const char *name, enum dns_type type, struct dns_answer *answer)
{
	authn_query(&c->doctor->dns.dns, slice_of(name), type, c->doctor->arena, answer);
}

static const char *text(struct checkup *c, struct slice s)
{
	return arena_cstr(c->doctor->arena, s);
}

/* True when DNS gave no answer, which is a finding of its own. */
static bool no_answer(struct checkup *c, const char *check, const char *name,
		      const struct dns_answer *answer)
{
	if (!authn_dns_failed(answer))
		return false;
	findings_add(&c->f, check, VERDICT_FAULT, "no answer for %s (%s)", name,
		     dns_status_text(answer->status));
	findings_why(&c->f, "receivers put mail off when DNS does not answer");
	findings_mend(
	    &c->f, "see that the name servers of the zone answer, over IPv4 and TCP too%s",
	    answer->status == DNS_BOGUS ? "; its DNSSEC signatures are wrong or have expired" : "");
	return true;
}

/* --- where mail goes to --- */

static void check_host(struct checkup *c, const char *host)
{
	struct dns_answer a, aaaa, cname;

	ask(c, host, DNS_CNAME, &cname);
	ask(c, host, DNS_A, &a);
	ask(c, host, DNS_AAAA, &aaaa);
	if (no_answer(c, "MX host", host, &a))
		return;
	if (a.count + aaaa.count == 0) {
		findings_add(&c->f, "MX host", VERDICT_FAULT, "%s has no address", host);
		findings_why(
		    &c->f,
		    "mail to %s cannot be delivered there, and replies to what you send bounce",
		    text(c, c->domain));
		findings_mend(&c->f, "%s. IN A <address of the server>", host);
		return;
	}
	findings_add(&c->f, "MX host", cname.count ? VERDICT_WARNING : VERDICT_OK,
		     "%s has %zu address%s%s", host, a.count + aaaa.count,
		     a.count + aaaa.count == 1 ? "" : "es",
		     cname.count ? ", but is an alias (CNAME)" : "");
	if (cname.count) {
		findings_why(
		    &c->f,
		    "RFC 5321 does not allow an alias as mail exchanger; some senders refuse it");
		findings_mend(&c->f, "name %s itself in the MX record",
			      text(c, cname.records[0].name));
	}
}

static void check_mx(struct checkup *c)
{
	const char *domain = text(c, c->domain);
	struct dns_answer a;

	ask(c, domain, DNS_MX, &c->mx);
	if (no_answer(c, "MX", domain, &c->mx))
		return;
	if (c->mx.count == 1 && slice_eq(c->mx.records[0].name, SLICE("."))) {
		findings_add(&c->f, "MX", VERDICT_WARNING,
			     "a null MX: the domain says that it takes no mail");
		findings_why(&c->f,
			     "many receivers refuse mail from a domain that replies cannot go to");
		findings_mend(&c->f,
			      "%s. IN MX 10 <name of the mail server>, if it should get replies",
			      domain);
		c->takes_nothing = true;
		return;
	}
	if (c->mx.count > 0) {
		findings_add(&c->f, "MX", VERDICT_OK, "%zu mail exchanger%s", c->mx.count,
			     c->mx.count == 1 ? "" : "s");
		for (size_t i = 0; i < c->mx.count && i < HOSTS_MAX; i++)
			check_host(c, text(c, c->mx.records[i].name));
		return;
	}
	ask(c, domain, DNS_A, &a);
	findings_add(&c->f, "MX", a.count ? VERDICT_WARNING : VERDICT_FAULT,
		     a.count ? "no MX record; mail goes to the domain's own address"
			     : "neither an MX record nor an address");
	findings_why(&c->f,
		     a.count
			 ? "it works, but receivers take it for a domain that is not meant for mail"
			 : "receivers refuse mail from domains that cannot get replies");
	findings_mend(&c->f, "%s. IN MX 10 <name of the mail server>", domain);
}

/* --- SPF --- */

static void check_spf_terms(struct checkup *c, const struct spf_record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *t = &record->terms[i];

		if (t->mechanism == SPF_ALL &&
		    (t->result == SPF_PASS || t->result == SPF_NEUTRAL)) {
			findings_add(&c->f, "SPF",
				     t->result == SPF_PASS ? VERDICT_FAULT : VERDICT_WARNING,
				     "%s lets everybody send", text(c, t->text));
			findings_why(&c->f, "a record that excludes nobody proves nothing; "
					    "spammers use such domains");
			findings_mend(&c->f, "end the record in -all or ~all");
		}
		if ((t->mechanism == SPF_IP4 && t->prefix4 < WIDE4) ||
		    (t->mechanism == SPF_IP6 && t->prefix6 < WIDE6)) {
			findings_add(&c->f, "SPF", VERDICT_WARNING,
				     "%s covers more than a sender can need", text(c, t->text));
			findings_why(&c->f,
				     "whoever gets an address in there can send in your name");
			findings_mend(&c->f, "name the addresses of your servers only");
		}
		if (t->mechanism == SPF_PTR) {
			findings_add(&c->f, "SPF", VERDICT_WARNING,
				     "%s is slow and out of use (RFC 7208 section 5.5)",
				     text(c, t->text));
			findings_why(&c->f, "some receivers do not evaluate it");
			findings_mend(&c->f, "name the addresses by ip4: and ip6:");
		}
	}
}

static void check_spf_limits(struct checkup *c, const struct spf_answer *a)
{
	if (a->result == SPF_PERMERROR) {
		findings_add(&c->f, "SPF", VERDICT_FAULT, "receivers cannot use the record: %s",
			     text(c, a->reason));
		findings_why(&c->f, "SPF fails for all of your mail (permerror)");
		findings_mend(&c->f, a->lookups > SPF_LOOKUPS_MAX
					 ? "take out include:, a and mx terms until 10 lookups are "
					   "enough; addresses by ip4: cost none"
					 : "correct what is named");
	} else if (a->lookups > 8) {
		findings_add(&c->f, "SPF", VERDICT_WARNING, "%u of %d lookups are used", a->lookups,
			     SPF_LOOKUPS_MAX);
		findings_why(
		    &c->f,
		    "one more include at a provider of yours, and SPF fails for all of your mail");
		findings_mend(&c->f, "take out what you do not send from");
	}
}

static void show_tree(struct checkup *c, const struct spf_answer *a)
{
	if (c->doctor->options->json || c->doctor->options->markdown)
		return;
	doctor_print_spf(a);
	puts("");
}

static void spf_from(struct checkup *c, const char *address, struct spf_answer *a)
{
	const struct doctor_options *o = c->doctor->options;
	struct spf_request r = {
	    .address = slice_of(address),
	    .helo = slice_of(o->helo ? o->helo : text(c, c->domain)),
	    .sender = slice_of(arena_printf(c->doctor->arena, "postmaster@%s", text(c, c->domain))),
	    .dns = &c->doctor->dns.dns};

	spf_check(&r, c->doctor->arena, a);
}

static void check_spf(struct checkup *c)
{
	const struct doctor_options *o = c->doctor->options;
	struct spf_record record;
	struct spf_answer a;
	struct err err;

	spf_from(c, o->ip ? o->ip : NOBODY, &a);
	if (a.result == SPF_TEMPERROR) {
		findings_add(&c->f, "SPF", VERDICT_FAULT, "%s", text(c, a.reason));
		findings_why(&c->f, "receivers put mail off, or do without SPF");
		return;
	}
	if (a.record.len == 0) {
		findings_add(&c->f, "SPF", VERDICT_FAULT, "%s", text(c, a.reason));
		findings_why(&c->f,
			     "the large receivers mark or refuse mail of domains without SPF");
		findings_mend(&c->f, "%s. IN TXT \"v=spf1 mx%s%s -all\"", text(c, c->domain),
			      o->ip ? strchr(o->ip, ':') ? " ip6:" : " ip4:" : "",
			      o->ip ? o->ip : "");
		return;
	}
	show_tree(c, &a);
	findings_add(&c->f, "SPF", VERDICT_OK, "%s (%u lookups)", text(c, a.record), a.lookups);
	c->sends_nothing = slice_eq_nocase(slice_trim(a.record), SLICE("v=spf1 -all"));
	check_spf_limits(c, &a);
	if (spf_record_parse(a.record, c->doctor->arena, &record, &err))
		check_spf_terms(c, &record);
	if (!o->ip || a.result == SPF_PERMERROR)
		return;
	findings_add(&c->f, "SPF", a.result == SPF_PASS ? VERDICT_OK : VERDICT_FAULT,
		     "%s may %ssend: %s (%s)", o->ip, a.result == SPF_PASS ? "" : "not ",
		     spf_result_text(a.result), text(c, a.mechanism));
	if (a.result != SPF_PASS) {
		findings_why(&c->f, "mail from there fails SPF, and DMARC unless DKIM is right");
		findings_mend(&c->f, "add %s%s before the \"all\" of the record",
			      strchr(o->ip, ':') ? "ip6:" : "ip4:", o->ip);
	}
}

/* --- DKIM --- */

static void compare_private(struct checkup *c, const struct dkim_key *published)
{
	const struct doctor_options *o = c->doctor->options;
	struct dkim_private_key key = {0};
	const char *path;
	struct err err;

	if (!c->doctor->config)
		return;
	path = arena_printf(c->doctor->arena, "%s/%s/%s.pem",
			    config_text(c->doctor->config, "dkim_key_directory"),
			    text(c, c->domain), o->selector);
	if (access(path, R_OK) != 0)
		return;
	if (!dkim_key_file(path, &key, &err)) {
		findings_add(&c->f, "DKIM", VERDICT_FAULT, "%s", err.text);
		findings_why(&c->f, "signer cannot start with it");
	} else if (dkim_private_key_matches(&key, published)) {
		findings_add(&c->f, "DKIM", VERDICT_OK, "the private key in %s belongs to it",
			     path);
	} else {
		findings_add(&c->f, "DKIM", VERDICT_FAULT, "the private key in %s is another one",
			     path);
		findings_why(&c->f, "every signature that we make fails");
		findings_mend(&c->f, "run: postrider dkim check %s %s", text(c, c->domain),
			      o->selector);
	}
	dkim_private_key_free(&key);
}

static void check_dkim(struct checkup *c)
{
	const struct doctor_options *o = c->doctor->options;
	struct dkim_key key;

	if (!o->selector) {
		findings_add(&c->f, "DKIM", VERDICT_OK, "not looked at: give --selector NAME");
		return;
	}
	dkim_key_fetch(&c->doctor->dns.dns, c->domain, slice_of(o->selector), c->doctor->arena,
		       &key);
	if (key.status != DKIM_KEY_OK) {
		findings_add(&c->f, "DKIM", VERDICT_FAULT, "%s._domainkey.%s: %s", o->selector,
			     text(c, c->domain), key.reason);
		findings_why(&c->f, "signatures by this selector fail everywhere");
		findings_mend(
		    &c->f, "make a key and publish what this prints: postrider dkim genkey %s %s",
		    text(c, c->domain), o->selector);
		return;
	}
	findings_add(&c->f, "DKIM", !key.ed25519 && key.bits < 2048 ? VERDICT_WARNING : VERDICT_OK,
		     "%s: %s key, %d bits", o->selector, key.ed25519 ? "Ed25519" : "RSA", key.bits);
	if (!key.ed25519 && key.bits < 2048) {
		findings_why(&c->f,
			     "keys of 1024 bits are near to being broken; RFC 8301 wants 2048");
		findings_mend(
		    &c->f, "postrider dkim genkey %s, publish it, then change dkim_signing_table",
		    text(c, c->domain));
	}
	if (key.testing) {
		findings_add(&c->f, "DKIM", VERDICT_WARNING,
			     "t=y: the domain says that it is only trying DKIM");
		findings_why(&c->f, "receivers may treat the mail as not signed");
		findings_mend(&c->f, "take t=y out of the key record");
	}
	compare_private(c, &key);
	EVP_PKEY_free(key.pkey);
}

/* --- DMARC --- */

/* Reports to another organisation need that one's consent (RFC 7489 section 7.1). */
static void check_report_address(struct checkup *c, const struct dmarc_suffixes *suffixes,
				 struct slice uri)
{
	struct arena *arena = c->doctor->arena;
	struct slice local, domain, address;
	struct dns_answer answer;
	const char *name;

	if (!slice_starts_nocase(uri, SLICE("mailto:")))
		return;
	uri = slice_sub(uri, 7, uri.len);
	(void)slice_cut(&uri, '!', &address);
	address_split(address, &local, &domain);
	domain = authn_domain(arena, domain);
	if (slice_eq(dmarc_organisation(suffixes, domain, arena),
		     dmarc_organisation(suffixes, c->domain, arena)))
		return;
	name = arena_printf(arena, "%s._report._dmarc.%s", text(c, c->domain), text(c, domain));
	ask(c, name, DNS_TXT, &answer);
	if (answer.count > 0 && slice_starts(answer.records[0].data, SLICE("v=DMARC1")))
		return;
	findings_add(&c->f, "DMARC", VERDICT_WARNING,
		     "%s does not say that it takes reports about %s", text(c, domain),
		     text(c, c->domain));
	findings_why(&c->f, "reports are not sent there");
	findings_mend(&c->f, "%s. IN TXT \"v=DMARC1\"", name);
}

static void check_dmarc_record(struct checkup *c, const struct dmarc_suffixes *suffixes,
			       const struct dmarc_record *r, const char *where)
{
	struct slice list = r->rua, uri;

	findings_add(&c->f, "DMARC", r->p == DMARC_POLICY_NONE ? VERDICT_WARNING : VERDICT_OK,
		     "%s: %s", where, text(c, r->text));
	if (r->p == DMARC_POLICY_NONE) {
		findings_why(&c->f, "p=none asks nobody to do anything about forged mail; the "
				    "large receivers want a policy in time");
		findings_mend(
		    &c->f,
		    "when the reports show that your own mail passes: p=quarantine, then p=reject");
	}
	if (r->pct < 100) {
		findings_add(&c->f, "DMARC", VERDICT_WARNING,
			     "pct=%u: the policy holds for a part of the mail", r->pct);
		findings_why(&c->f, "the rest of the forged mail gets the next milder treatment");
		findings_mend(&c->f, "take pct= out");
	}
	if (r->rua.len == 0) {
		findings_add(&c->f, "DMARC", VERDICT_WARNING,
			     "no rua=: nobody tells you what fails");
		findings_why(&c->f, "servers of yours that nobody thought of stay unseen");
		findings_mend(&c->f, "rua=mailto:dmarc@%s; read what comes with postdoctor report",
			      text(c, c->domain));
	}
	while (slice_word(&list, ", \t", &uri))
		check_report_address(c, suffixes, uri);
}

static void check_alignment(struct checkup *c, const struct dmarc_suffixes *suffixes,
			    const struct dmarc_record *r)
{
	struct arena *arena = c->doctor->arena;
	struct slice local, domain = slice_of(c->doctor->options->send_from);

	if (domain.len == 0)
		return;
	if (slice_find(domain, '@') >= 0)
		address_split(slice_of(c->doctor->options->send_from), &local, &domain);
	domain = authn_domain(arena, domain);
	bool aligned = slice_eq(domain, c->domain) ||
		       (!r->strict_spf && slice_eq(dmarc_organisation(suffixes, domain, arena),
						   dmarc_organisation(suffixes, c->domain, arena)));

	findings_add(&c->f, "alignment", aligned ? VERDICT_OK : VERDICT_FAULT,
		     "MAIL FROM of %s %s From of %s", text(c, domain),
		     aligned ? "aligns with" : "does not align with", text(c, c->domain));
	if (!aligned) {
		findings_why(&c->f,
			     "SPF passes for the other domain, which counts for nothing in DMARC: "
			     "without a DKIM signature of %s the mail "
			     "fails",
			     text(c, c->domain));
		findings_mend(&c->f,
			      "send with an envelope sender @%s (nodemailer: envelope.from), or "
			      "sign with d=%s",
			      text(c, c->domain), text(c, c->domain));
	}
}

static void check_dmarc(struct checkup *c)
{
	struct dmarc_suffixes *suffixes = dmarc_suffixes_open();
	struct slice names[2] = {c->domain,
				 dmarc_organisation(suffixes, c->domain, c->doctor->arena)};
	struct dmarc_record record = {0};
	bool found = false;

	for (size_t i = 0; i < 2 && !found; i++) {
		const char *name = arena_printf(c->doctor->arena, "_dmarc.%s", text(c, names[i]));
		struct dns_answer answer;
		size_t count = 0;

		ask(c, name, DNS_TXT, &answer);
		if (no_answer(c, "DMARC", name, &answer))
			break;
		for (size_t k = 0; k < answer.count; k++)
			if (dmarc_record_parse(answer.records[k].data, &record))
				count++;
		found = count > 0;
		if (count == 1) {
			check_dmarc_record(c, suffixes, &record, name);
		} else if (count > 1) {
			findings_add(&c->f, "DMARC", VERDICT_FAULT, "%s has %zu DMARC records",
				     name, count);
			findings_why(&c->f, "with more than one receivers use none");
			findings_mend(&c->f, "take all but one out");
		}
	}
	if (!found) {
		findings_add(&c->f, "DMARC", VERDICT_FAULT, "no DMARC record");
		findings_why(&c->f, "anybody can write your address into From; the large receivers "
				    "want a record from those who send much");
		findings_mend(&c->f, "_dmarc.%s. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@%s\"",
			      text(c, names[1]), text(c, names[1]));
	}
	check_alignment(c, suffixes, &record);
	dmarc_suffixes_close(&suffixes);
}

/* --- the server's address --- */

static const char *reverse_name(struct checkup *c, const char *ip, const char *zone)
{
	uint8_t b[16];
	struct str name = {0};
	const char *copy;

	if (inet_pton(AF_INET, ip, b) == 1)
		str_printf(&name, "%u.%u.%u.%u.%s", b[3], b[2], b[1], b[0],
			   zone ? zone : "in-addr.arpa");
	else if (inet_pton(AF_INET6, ip, b) == 1) {
		for (int i = 15; i >= 0; i--)
			str_printf(&name, "%x.%x.", b[i] & 15, b[i] >> 4);
		str_append_text(&name, zone ? zone : "ip6.arpa");
	}
	copy = arena_cstr(c->doctor->arena, str_slice(&name));
	str_free(&name);
	return copy;
}

static bool has_address(struct checkup *c, const char *name, const char *ip)
{
	bool v6 = strchr(ip, ':') != NULL;
	struct dns_answer answer;
	uint8_t wanted[16];

	ask(c, name, v6 ? DNS_AAAA : DNS_A, &answer);
	if (inet_pton(v6 ? AF_INET6 : AF_INET, ip, wanted) != 1)
		return false;
	for (size_t i = 0; i < answer.count; i++)
		if (memcmp(answer.records[i].data.ptr, wanted, v6 ? 16 : 4) == 0)
			return true;
	return false;
}

static void check_ptr(struct checkup *c, const char *ip)
{
	const char *name = reverse_name(c, ip, NULL);
	struct dns_answer ptr;
	bool confirmed = false;

	ask(c, name, DNS_PTR, &ptr);
	if (no_answer(c, "PTR", name, &ptr))
		return;
	for (size_t i = 0; i < ptr.count && i < HOSTS_MAX && !confirmed; i++)
		confirmed = has_address(c, text(c, ptr.records[i].name), ip);
	if (confirmed) {
		findings_add(&c->f, "PTR", VERDICT_OK, "%s is %s, and the name has the address", ip,
			     text(c, ptr.records[0].name));
		return;
	}
	findings_add(&c->f, "PTR", VERDICT_FAULT,
		     ptr.count ? "%s is %s, but that name has not this address"
			       : "%s has no name%s",
		     ip, ptr.count ? text(c, ptr.records[0].name) : "");
	findings_why(
	    &c->f, "most receivers refuse servers whose address has no name that leads back to it");
	findings_mend(
	    &c->f,
	    "%s. IN PTR <name of the server>. (your provider sets this), and the name IN A %s",
	    name, ip);
}

static void check_helo(struct checkup *c, const char *ip, const char *helo)
{
	bool right = has_address(c, helo, ip);

	findings_add(&c->f, "HELO", right ? VERDICT_OK : VERDICT_WARNING, "%s %s %s", helo,
		     right ? "has the address" : "does not have the address", ip);
	if (!right) {
		findings_why(&c->f,
			     "receivers take a server that calls itself what it is not for a bot");
		findings_mend(&c->f,
			      "set myhostname (or smtp_helo_name) to the name of the PTR record");
	}
}

static void check_lists(struct checkup *c, const char *ip)
{
	struct slice lists = SLICE(LISTS), zone;
	size_t clean = 0;

	while (slice_word(&lists, " ", &zone)) {
		struct dns_answer answer;

		ask(c, reverse_name(c, ip, text(c, zone)), DNS_A, &answer);
		/* 127.255.255.x: the list does not answer this resolver. */
		if (answer.count == 0 || (uint8_t)answer.records[0].data.ptr[1] == 255) {
			clean += !authn_dns_failed(&answer) && answer.count == 0;
			continue;
		}
		findings_add(&c->f, "block list", VERDICT_FAULT, "%s is on %s", ip, text(c, zone));
		findings_why(&c->f, "many receivers refuse what comes from a listed address");
		findings_mend(&c->f,
			      "find out what was sent from there, stop it, then ask %s to take the "
			      "address off",
			      text(c, zone));
	}
	if (clean > 0)
		findings_add(&c->f, "block list", VERDICT_OK, "%s is not on %zu list%s", ip, clean,
			     clean == 1 ? "" : "s");
}

static void check_address(struct checkup *c)
{
	const struct doctor_options *o = c->doctor->options;

	if (!o->ip) {
		findings_add(&c->f, "PTR", VERDICT_OK,
			     "not looked at: give --ip ADDRESS of the server that sends");
		return;
	}
	check_ptr(c, o->ip);
	if (o->helo)
		check_helo(c, o->ip, o->helo);
	check_lists(c, o->ip);
}

/* --- TLS --- */

static void check_policies(struct checkup *c)
{
	static const struct {
		const char *check, *prefix, *version, *why, *record;
	} records[] = {
	    {"MTA-STS", "_mta-sts", "v=STSv1",
	     "senders cannot tell that the way to your server must be encrypted", "v=STSv1; id=1"},
	    {"TLSRPT", "_smtp._tls", "v=TLSRPTv1",
	     "nobody tells you when encryption to your server fails",
	     "v=TLSRPTv1; rua=mailto:tls@"},
	};

	for (size_t i = 0; i < 2 && c->mx.count > 0 && !c->takes_nothing; i++) {
		const char *name =
		    arena_printf(c->doctor->arena, "%s.%s", records[i].prefix, text(c, c->domain));
		struct dns_answer answer;
		bool found = false;

		ask(c, name, DNS_TXT, &answer);
		for (size_t k = 0; k < answer.count; k++)
			found = found ||
				slice_starts(answer.records[k].data, slice_of(records[i].version));
		findings_add(&c->f, records[i].check, found ? VERDICT_OK : VERDICT_WARNING,
			     found ? "%s has a record" : "%s has no record", name);
		if (!found) {
			findings_why(&c->f, "%s", records[i].why);
			findings_mend(&c->f, "%s. IN TXT \"%s%s\"%s", name, records[i].record,
				      i ? text(c, c->domain) : "",
				      i ? ""
					: ", and a policy at "
					  "https://mta-sts.<domain>/.well-known/mta-sts.txt");
		}
	}
}

static void check_dane(struct checkup *c)
{
	for (size_t i = 0; i < c->mx.count && i < HOSTS_MAX && !c->takes_nothing; i++) {
		const char *name =
		    arena_printf(c->doctor->arena, "_25._tcp.%s", text(c, c->mx.records[i].name));
		struct dns_answer answer;

		ask(c, name, DNS_TLSA, &answer);
		if (answer.count > 0)
			findings_add(&c->f, "DANE", VERDICT_OK, "%s has %zu TLSA record%s", name,
				     answer.count, answer.count == 1 ? "" : "s");
	}
}

void doctor_domain(struct doctor *d)
{
	struct checkup c = {.doctor = d,
			    .domain = authn_domain(d->arena, slice_of(d->options->subject))};

	if (!authn_domain_full(c.domain)) {
		fprintf(stderr, "postdoctor: %s is no domain\n", d->options->subject);
		d->status = EX_USAGE;
		return;
	}
	findings_start(&c.f, d->arena);
	check_mx(&c);
	check_spf(&c);
	check_dkim(&c);
	check_dmarc(&c);
	check_address(&c);
	check_policies(&c);
	check_dane(&c);
	d->status = findings_show(&c.f, d->options);
}
