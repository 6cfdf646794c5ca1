/* SPDX-License-Identifier: ISC */
#include "qmgr/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/config/params.h"
#include "tables/table.h"

/* ..._destination_message_rate of a transport: a rate for all, or tables by destination. */
struct rate {
	struct rate *next;
	char *transport;               /* "default": of all others */
	struct table_list *tables;
	long messages;
	double period;
};

static struct {
	const struct config *config;
	struct rate *rates;
	struct err err;
	bool failed;
} me;

static const char rate_suffix[] = "_destination_message_rate";

bool limits_parse_rate(struct slice text, long *messages, double *period)
{
	struct slice rest = text, number;
	uint64_t n;

	slice_cut(&rest, '/', &number);
	rest = slice_trim(rest);
	/* "100/h" is "100/1h". */
	if (rest.len == 1 && strchr("smhdw", rest.ptr[0])) {
		char one[3] = { '1', rest.ptr[0] };

		if (!param_parse_time(slice_of(one), 's', period))
			return false;
	} else if (!param_parse_time(rest, 's', period)) {
		return false;
	}
	if (!slice_to_u64(slice_trim(number), &n) || n > 1000000000 || *period <= 0)
		return false;
	*messages = (long)n;
	return true;
}

static void take_rate(const char *name, const char *value, void *context)
{
	struct slice n = slice_of(name), suffix = slice_of(rate_suffix);
	struct rate *rate;

	if (me.failed || !value[0] || n.len <= suffix.len ||
	    !slice_eq(slice_sub(n, n.len - suffix.len, suffix.len), suffix))
		return;
	rate = mem_alloc(sizeof(*rate));
	rate->transport = mem_slicedup(slice_sub(n, 0, n.len - suffix.len));
	rate->next = me.rates;
	me.rates = rate;
	if (limits_parse_rate(slice_of(value), &rate->messages, &rate->period))
		return;
	rate->tables = table_list_open(value, &me.err);
	if (rate->tables)
		return;
	(void)err_prefix(&me.err, "%s: neither a rate like \"100/1h\" nor tables", name);
	me.failed = true;
}

bool limits_open(const struct config *config, struct err *err)
{
	me.config = config;
	config_each(config, take_rate, NULL);
	if (me.failed)
		*err = me.err;
	return !me.failed;
}

bool limits_changed(void)
{
	for (struct rate *r = me.rates; r; r = r->next)
		if (r->tables && table_list_changed(r->tables))
			return true;
	return false;
}

/* "[mx.example.com]:25" is mx.example.com. */
static struct slice host_of(struct slice nexthop)
{
	struct slice rest = nexthop, host;

	if (nexthop.len > 0 && nexthop.ptr[0] == '[') {
		rest = slice_sub(nexthop, 1, nexthop.len);
		slice_cut(&rest, ']', &host);
		return host;
	}
	slice_cut(&rest, ':', &host);
	return host;
}

/* The destination, its parents with a dot in front, "*". */
static bool look_up(const struct rate *r, struct slice nexthop, struct arena *arena, struct slice *value)
{
	struct slice host = host_of(nexthop);
	enum table_result result = TABLE_NOT_FOUND;
	struct err err;

	for (size_t at = 0; result == TABLE_NOT_FOUND && at < host.len; at++)
		if (at == 0 || host.ptr[at] == '.')
			result = table_list_lookup(r->tables, slice_sub(host, at, host.len), arena, value, &err);
	if (result == TABLE_NOT_FOUND)
		result = table_list_lookup(r->tables, SLICE("*"), arena, value, &err);
	if (result == TABLE_ERROR)
		log_warning("%s%s: %s", r->transport, rate_suffix, err.text);
	return result == TABLE_FOUND;
}

static long rate_of(const char *transport, struct slice nexthop, double *period)
{
	struct rate *r = me.rates, *any = NULL;
	struct arena *arena;
	struct slice value;
	long messages = 0;

	for (; r && strcmp(r->transport, transport) != 0; r = r->next)
		if (strcmp(r->transport, "default") == 0)
			any = r;
	if (!r)
		r = any;
	if (!r)
		return 0;
	*period = r->period;
	if (!r->tables)
		return r->messages;
	arena = arena_create(256);
	if (look_up(r, nexthop, arena, &value) && !limits_parse_rate(value, &messages, period))
		log_warning("%s%s: \"%.*s\" for %.*s is not a rate like \"100/1h\"", transport, rate_suffix, SLICE_FMT(value),
			    SLICE_FMT(nexthop));
	arena_free(&arena);
	return messages;
}

static const char *text_of(const char *transport, const char *suffix)
{
	struct str name = { 0 };
	const char *value;

	str_printf(&name, "%s%s", transport, suffix);
	value = config_lookup(me.config, str_cstr(&name));
	str_clear(&name);
	str_printf(&name, "default%s", suffix);
	if (!value || !value[0])
		value = config_lookup(me.config, str_cstr(&name));
	str_free(&name);
	return value ? value : "";
}

static struct feedback feedback_of(const char *transport, const char *suffix)
{
	const char *text = text_of(transport, suffix);
	struct feedback f;

	if (feedback_parse(text, &f))
		return f;
	log_warning("%s%s: \"%s\" is no feedback like \"1\" or \"1/concurrency\": using 1", transport, suffix, text);
	return (struct feedback){ FEEDBACK_FIXED, 1 };
}

static long initial_of(const char *transport)
{
	const char *own;
	struct str name = { 0 };
	int64_t n;

	str_printf(&name, "%s_initial_destination_concurrency", transport);
	own = config_lookup(me.config, str_cstr(&name));
	str_free(&name);
	if (own && slice_to_i64(slice_of(own), &n))
		return (long)n;
	return config_int(me.config, "initial_destination_concurrency");
}

static struct window_limits window_of(const char *transport)
{
	struct window_limits w = {
		.initial = initial_of(transport),
		.limit = config_transport_int(me.config, transport, "_destination_concurrency_limit"),
		.positive = feedback_of(transport, "_destination_concurrency_positive_feedback"),
		.negative = feedback_of(transport, "_destination_concurrency_negative_feedback"),
		.failed_cohorts = (double)config_transport_int(me.config, transport,
							       "_destination_concurrency_failed_cohort_limit"),
	};

	if (w.initial < 1)
		w.initial = 1;
	if (w.limit > 0 && w.initial > w.limit)
		w.initial = w.limit;
	return w;
}

struct destination_limits limits_of(const char *transport)
{
	const struct config *c = me.config;

	return (struct destination_limits){
		.window = window_of(transport),
		.rest = config_time(c, "minimal_backoff_time"),
		.slot_cost = config_transport_int(c, transport, "_delivery_slot_cost"),
		.slot_loan = config_transport_int(c, transport, "_delivery_slot_loan"),
		.slot_discount = config_transport_int(c, transport, "_delivery_slot_discount"),
		.minimum_slots = config_transport_int(c, transport, "_minimum_delivery_slots"),
		.rate_delay = config_transport_time(c, transport, "_destination_rate_delay"),
		.transport_rate_delay = config_transport_time(c, transport, "_transport_rate_delay"),
		.sender_share = config_transport_int(c, transport, "_sender_concurrency_share"),
		.rate = me.rates ? rate_of : NULL,
	};
}
