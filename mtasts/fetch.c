/* SPDX-License-Identifier: ISC */
#include "mtasts/fetch.h"

#include <curl/curl.h>
#include <stdio.h>

#include "common/mail/sts_policy.h"

#define CONNECT_SECONDS 20L
#define TOTAL_SECONDS   60L    /* RFC 8461, section 3.3 */

bool fetch_prepare(struct err *err)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK || err_set(err, ERR_PERMANENT, "libcurl cannot be used");
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
	struct str *text = context;
	size_t len = size * count;

	if (text->len + len > STS_POLICY_MAX)
		return 0;
	str_append(text, slice_make(data, len));
	return len;
}

static bool set_options(CURL *curl, struct fetch *f, const char *url, struct curl_slist *where)
{
	bool ok = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_RESOLVE, where) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
		  /* Section 3.3: no redirect is followed. */
		  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_TIMEOUT, TOTAL_SECONDS) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_USERAGENT, "Postrider") == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
		  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &f->text) == CURLE_OK;

	return ok && (!*f->authorities || curl_easy_setopt(curl, CURLOPT_CAINFO, f->authorities) == CURLE_OK);
}

/* 200 and text/plain, and nothing else. */
static bool judge(CURL *curl, struct fetch *f)
{
	const char *type = NULL;
	struct slice kind = SLICE_NONE, rest;
	long code = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	if (code != 200)
		return err_set(&f->err, ERR_TEMPORARY, "the server answered %ld", code);
	(void)curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
	rest = slice_of(type ? type : "");
	(void)slice_cut(&rest, ';', &kind);
	return slice_eq_nocase(slice_trim(kind), SLICE("text/plain")) ||
	       err_set(&f->err, ERR_TEMPORARY, "the server sent something else than text/plain");
}

void fetch_run(void *context)
{
	struct fetch *f = context;
	struct str url = { 0 }, where = { 0 };
	struct curl_slist *list;
	CURL *curl = curl_easy_init();
	CURLcode code;

	str_printf(&url, "https://mta-sts.%s:%u/.well-known/mta-sts.txt", f->domain, f->port);
	str_printf(&where, "mta-sts.%s:%u:%s", f->domain, f->port, f->addresses);
	list = curl_slist_append(NULL, str_cstr(&where));
	if (!curl || !list || !set_options(curl, f, str_cstr(&url), list)) {
		err_set(&f->err, ERR_TEMPORARY, "libcurl cannot be used");
	} else {
		code = curl_easy_perform(curl);
		if (code == CURLE_OK)
			f->done = judge(curl, f);
		else
			err_set(&f->err, ERR_TEMPORARY, "%s",
				code == CURLE_WRITE_ERROR ? "the policy is too long" : curl_easy_strerror(code));
	}
	curl_slist_free_all(list);
	curl_easy_cleanup(curl);
	str_free(&url);
	str_free(&where);
}
