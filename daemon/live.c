/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live - words and cells for what mhad says.  Runs on: any thread.
 */
#include "live.h"
#include <inttypes.h>
#include <string.h>

enum { FAILOVER_MOST = 44 };

const char *const live_titles[LIVE_COLS] = { "CLUSTER", "STATE", "VERDICT", "MASTER", "PROBE",
	"REPLICAS", "LAG", "SINCE", "FAILOVER" };
const char *const live_replica_titles[LIVE_R_COLS] = { "REPLICA", "STATE", "BEHIND", "IO", "SQL",
	"HEARD" };

/* ---- texts ------------------------------------------------------------------------------------ */

/* C0, DEL, and C1 as UTF-8 has it: what terminals obey. */
void live_add_clean(struct str *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			str_addc(out, '?');
			p++;
		} else {
			str_addc(out, *p < ' ' || *p == 0x7f ? '?' : (char)*p);
		}
	}
}

static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t live_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += begins_character(*text);
	return n;
}

size_t live_cut(const char *text, size_t width)
{
	size_t i, n = 0;

	for (i = 0; text[i]; i++) {
		if (begins_character(text[i]) && n++ == width)
			break;
	}
	return i;
}

void live_add_span(struct str *out, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 0)
		str_addc(out, '-');
	else if (ms < 1000)
		str_addf(out, "%" PRId64 " ms", ms);
	else if (s < 10)
		str_addf(out, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
	else if (s < 60)
		str_addf(out, "%" PRId64 " s", s);
	else if (s < 3600)
		str_addf(out, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		str_addf(out, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	else
		str_addf(out, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

static void add_value(struct str *out, const json_t *j)
{
	if (json_is_string(j) && json_string_length(j))
		live_add_clean(out, json_string_value(j));
	else if (json_is_integer(j))
		str_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
	else if (json_is_real(j))
		str_addf(out, "%.1f", json_real_value(j));
	else if (json_is_boolean(j))
		str_add(out, json_is_true(j) ? "yes" : "no");
	else
		str_addc(out, '-');
}

void live_add(struct str *out, const json_t *object, const char *name)
{
	add_value(out, json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static void add_span_of(struct str *out, const json_t *object, const char *name, const char *behind)
{
	const json_t *j = json_object_get(object, name);

	if (!json_is_number(j) || json_number_value(j) < 0) {
		str_addc(out, '-');
		return;
	}
	live_add_span(out, (int64_t)json_number_value(j));
	str_add(out, behind);
}

/* ---- replicas --------------------------------------------------------------------------------- */

static bool is_no(const json_t *j)
{
	const char *s = json_string_value(j);

	return json_is_false(j) || (s && !strcasecmp(s, "no"));
}

static bool is_up(const json_t *replica)
{
	static const char *const words[] = { "", "up", "ok", "alive", "running" };
	const char *state = text_of(replica, "state");

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_is(state, words[i]))
			return true;
	}
	return false;
}

static const char *trouble_of(const json_t *replica)
{
	if (!is_up(replica))
		return text_of(replica, "state");
	if (str_is(text_of(replica, "io"), "Connecting"))
		return "its receiver (IO) cannot connect";
	if (is_no(json_object_get(replica, "io")))
		return "its receiver (IO) is stopped";
	if (is_no(json_object_get(replica, "sql")))
		return "its applier (SQL) is stopped";
	return NULL;
}

static void add_behind(struct str *out, const json_t *j)
{
	double s = json_number_value(j);

	if (!json_is_number(j))
		str_addc(out, '-');
	else if (s < 60)
		str_addf(out, "%.0f s", s);
	else
		live_add_span(out, (int64_t)(s * 1000));
}

void live_replica_cell(struct str *out, const json_t *replica, enum live_replica_col col)
{
	static const char *const names[] = { [LIVE_R_SERVER] = "server",
		[LIVE_R_STATE] = "state",
		[LIVE_R_IO] = "io",
		[LIVE_R_SQL] = "sql" };

	if (col == LIVE_R_BEHIND)
		add_behind(out, json_object_get(replica, "behind_s"));
	else if (col == LIVE_R_HEARD)
		add_span_of(out, replica, "heard_ms", " ago");
	else
		live_add(out, replica, names[col]);
}

static void add_replicas(struct str *out, const json_t *cluster)
{
	const json_t *all = json_object_get(cluster, "replicas"), *one;
	size_t i, good = 0;

	if (!json_is_array(all)) {
		str_addc(out, '-');
		return;
	}
	json_array_foreach(all, i, one)
	{
		good += !trouble_of(one);
	}
	str_addf(out, "%zu/%zu", good, json_array_size(all));
}

static void add_lag(struct str *out, const json_t *cluster)
{
	const json_t *one, *worst = NULL;
	size_t i;

	json_array_foreach(json_object_get(cluster, "replicas"), i, one)
	{
		const json_t *behind = json_object_get(one, "behind_s");

		if (json_is_number(behind) &&
		        (!worst || json_number_value(behind) > json_number_value(worst)))
			worst = behind;
	}
	add_behind(out, worst);
}

/* ---- clusters --------------------------------------------------------------------------------- */

static void add_probe(struct str *out, const json_t *cluster)
{
	const json_t *j = json_object_get(cluster, "probe_ms");

	if (json_is_real(j))
		str_addf(out, "%.1f ms", json_real_value(j));
	else if (json_is_integer(j) && json_integer_value(j) > 0)
		live_add_span(out, json_integer_value(j));
	else
		str_add(out, json_is_integer(j) ? "<1 ms" : "-");
}

/* A gate's whole text is for the pages of one cluster. */
static void add_failover(struct str *out, const json_t *cluster)
{
	AUTO_STR struct str gate = STR_INIT;

	if (json_is_true(json_object_get(cluster, "would_fail_over"))) {
		str_add(out, "would fail over");
		return;
	}
	if (str_is(text_of(cluster, "verdict"), "healthy")) {
		str_add(out, "not needed");
		return;
	}
	live_add(&gate, cluster, "gate");
	if (live_width(gate.p) > FAILOVER_MOST) {
		str_cut(&gate, live_cut(gate.p, FAILOVER_MOST - 2));
		str_add(&gate, "..");
	}
	str_add(out, gate.p);
}

void live_cell(struct str *out, const json_t *cluster, enum live_col col)
{
	switch (col) {
	case LIVE_CLUSTER: live_add(out, cluster, "name"); break;
	case LIVE_STATE: live_add(out, cluster, "state"); break;
	case LIVE_VERDICT: live_add(out, cluster, "verdict"); break;
	case LIVE_MASTER: live_add(out, cluster, "master"); break;
	case LIVE_PROBE: add_probe(out, cluster); break;
	case LIVE_REPLICAS: add_replicas(out, cluster); break;
	case LIVE_LAG: add_lag(out, cluster); break;
	case LIVE_SINCE: add_span_of(out, cluster, "since_ms", ""); break;
	case LIVE_FAILOVER: add_failover(out, cluster); break;
	case LIVE_COLS: break;
	}
}

void live_add_sentence(struct str *out, const json_t *cluster)
{
	live_add(out, cluster, "sentence");
	if (*text_of(cluster, "why")) {
		str_add(out, ": ");
		live_add(out, cluster, "why");
	}
}

void live_add_would(struct str *out, const json_t *cluster)
{
	const json_t *would = json_object_get(cluster, "would_fail_over");

	if (json_is_true(would)) {
		str_add(out, "yes");
	} else if (str_is(text_of(cluster, "verdict"), "healthy")) {
		str_add(out, "no: the master is healthy");
	} else {
		str_add(out, "no: ");
		live_add(out, cluster, "gate");
	}
}

void live_add_pause(struct str *out, const json_t *cluster)
{
	const json_t *pause = json_object_get(cluster, "paused");
	const json_t *left = json_object_get(pause, "until_ms");

	if (json_is_number(left)) {
		str_add(out, "for ");
		live_add_span(out, (int64_t)json_number_value(left));
		str_add(out, " more");
	} else {
		str_add(out, "until resumed");
	}
	if (*text_of(pause, "by")) {
		str_add(out, ", by ");
		live_add(out, pause, "by");
	}
	if (*text_of(pause, "reason")) {
		str_add(out, ": ");
		live_add(out, pause, "reason");
	}
}

void live_add_semisync(struct str *out, const json_t *cluster)
{
	const json_t *s = json_object_get(cluster, "semisync");

	str_add(out, "semi-sync: ");
	if (*text_of(s, "text"))
		live_add(out, s, "text");
	else if (json_is_object(s))
		str_addf(out, "%lld slaves acknowledge, %lld must",
		        (long long)json_integer_value(json_object_get(s, "ackers")),
		        (long long)json_integer_value(json_object_get(s, "needed")));
	else
		str_add(out, "off");
}

static bool replicas_are_well(const json_t *cluster, struct str *why)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(cluster, "replicas"), i, one)
	{
		const char *trouble = trouble_of(one);

		if (!trouble)
			continue;
		live_add(why, one, "server");
		str_add(why, ": ");
		live_add_clean(why, trouble);
		if (*text_of(one, "error")) {
			str_add(why, ": ");
			live_add(why, one, "error");
		}
		return false;
	}
	return true;
}

bool live_is_well(const json_t *cluster, struct str *why)
{
	AUTO_STR struct str unused = STR_INIT;

	why = why ? why : &unused;
	if (!str_is(text_of(cluster, "verdict"), "healthy")) {
		live_add_sentence(why, cluster);
		return false;
	}
	if (json_is_object(json_object_get(cluster, "paused"))) {
		str_add(why, "paused ");
		live_add_pause(why, cluster);
		return false;
	}
	if (!str_is(text_of(cluster, "state"), "monitoring")) {
		str_add(why, "it is not watched as it should be, but ");
		live_add(why, cluster, "state");
		return false;
	}
	if (*text_of(cluster, "config_error")) {
		str_add(why, "its file cannot be used and what was read before goes on: ");
		live_add(why, cluster, "config_error");
		return false;
	}
	if (*text_of(json_object_get(cluster, "semisync"), "text")) {
		live_add_semisync(why, cluster);
		return false;
	}
	return replicas_are_well(cluster, why);
}

bool live_all_well(const json_t *status)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, one)
	{
		if (!live_is_well(one, NULL))
			return false;
	}
	return !json_is_string(json_object_get(status, "tilt"));
}

const json_t *live_find(const json_t *status, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, one)
	{
		if (str_is(text_of(one, "name"), name))
			return one;
	}
	return NULL;
}

void live_add_daemon(struct str *out, const json_t *status)
{
	str_add(out, "mhad ");
	live_add(out, status, "version");
	str_add(out, ", pid ");
	live_add(out, status, "pid");
	str_add(out, ", up ");
	add_span_of(out, status, "uptime_ms", "");
}
