/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_evidence - the ring and its bounds, JSON and back, and all saved rings of tests/cases/verdict: each picture,
 * judged anew, has to give the verdict that stands beside it.
 *
 * Rings are saved by `mhactl why --json`, or written by hand as evidence.h says.
 */
#include <dirent.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "clock.h"
#include "evidence.h"
#include "str.h"

#define CASES "tests/cases/verdict"

static struct facts *quiet(int64_t now)
{
	static struct facts f;

	memset(&f, 0, sizeof(f));
	f.now = now;
	f.interval = 1000;
	f.detection = DETECT_CORROBORATED;
	f.probe.how = HOW_FINE;
	f.probe.layer = LAYER_READ;
	f.probe.last_good = now - 200;
	f.probe.acks_waiting = f.probe.ackers = -1;
	f.n_replicas = 2;
	for (int i = 0; i < 2; i++) {
		struct fact_replica *r = &f.replicas[i];

		snprintf(r->name, sizeof(r->name), "db%d", i + 2);
		r->up = r->follows = true;
		r->looked = r->heard = now - now % 10000;
		r->between = r->heard - 10000;
	}
	return &f;
}

static void add(struct evidence *v, const struct facts *f, const char *gate)
{
	struct verdict d = verdict_of(f);

	evidence_add(v, f, &d, "monitoring", gate);
}

static void test_same_is_joined(void **state)
{
	(void)state;
	AUTO(evidence) struct evidence *v = evidence_new();

	for (int i = 0; i < 3600; i++)
		add(v, quiet(100000 + i * 1000), "it is healthy");
	assert_int_equal(evidence_pictures(v), 1);
	const struct evidence_picture *p = evidence_picture(v, 0);
	assert_int_equal(p->looks, 3600);
	assert_int_equal(p->from, 100000);
	assert_int_equal(p->until, 3699000);
	assert_int_equal(p->facts.now, 3699000);
	assert_string_equal(p->gate, "it is healthy");
	assert_string_equal(p->state, "monitoring");
	assert_string_equal(p->facts.replicas[1].name, "db3");
	assert_int_equal(p->verdict.kind, VERDICT_GOOD);
}

/* Each of these says something else than the quiet picture. */
static void test_what_matters_is_not_joined(void **state)
{
	(void)state;
	AUTO(evidence) struct evidence *v = evidence_new();
	struct facts *f = quiet(100000);
	size_t n = 0;

#define CHANGED(gate)                                                                              \
	do {                                                                                       \
		add(v, f, gate);                                                                   \
		assert_int_equal(evidence_pictures(v), ++n);                                       \
	} while (0)
	CHANGED("");
	CHANGED("paused");
	f->replicas[1].io_errno = 2003;
	CHANGED("paused");
	f->replicas[0].sight = SIGHT_ILL;
	CHANGED("paused");
	f->n_replicas = 1;
	CHANGED("paused");
	f->n_witnesses = 1;
	CHANGED("paused");
	f->host.state = 'T';
	CHANGED("paused");
	f->probe.failures = 1;
	CHANGED("paused");
	f->probe.failures = 4;
	CHANGED("paused");
	f->self.tilt = true;
	CHANGED("paused");
	f->script = SCRIPT_IDLE;
	CHANGED("paused");
#undef CHANGED
	f->host.state = 'D'; /* from here on the same is said */
	f->probe.failures = 400;
	f->host.asked = 7;
	add(v, f, "paused");
	assert_int_equal(evidence_pictures(v), n);
}

static void test_bounds(void **state)
{
	(void)state;
	AUTO(evidence) struct evidence *v = evidence_new();
	char gate[20];

	for (int i = 0; i < 200; i++) {
		snprintf(gate, sizeof(gate), "gate %d", i);
		add(v, quiet(100000 + i), gate);
		evidence_say(v, "probe", "line %d", i);
	}
	assert_int_equal(evidence_pictures(v), 64);
	assert_string_equal(evidence_picture(v, 0)->gate, "gate 199");
	assert_string_equal(evidence_picture(v, 63)->gate, "gate 136");
	assert_int_equal(evidence_lines(v), 100);
	assert_string_equal(evidence_line(v, 0)->text, "line 199");
	assert_string_equal(evidence_line(v, 99)->text, "line 100");
	assert_string_equal(evidence_line(v, 99)->who, "probe");
	assert_in_range(evidence_line(v, 0)->at, 1, clock_ms());
}

static void test_lines_are_clean(void **state)
{
	(void)state;
	AUTO(evidence) struct evidence *v = evidence_new();
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[1000] = '\0';
	evidence_say(v, text, "a\nb%s", text);
	assert_int_equal(strlen(evidence_line(v, 0)->who), 79);
	assert_int_equal(strlen(evidence_line(v, 0)->text), 239);
	assert_memory_equal(evidence_line(v, 0)->text, "a bx", 4);
}

/* One process keeps a thousand of them. */
static void test_quiet_cluster_is_small(void **state)
{
	(void)state;
	enum { RINGS = 100 };
	struct evidence *v[RINGS];
	size_t before = mallinfo2().uordblks, per_ring;

	for (int i = 0; i < RINGS; i++) {
		v[i] = evidence_new();
		for (int k = 0; k < 100; k++)
			add(v[i], quiet(100000 + k * 1000), "verdict: the master answers");
		evidence_say(v[i], "manager", "watching db1:3306 with two slaves");
		evidence_say(v[i], "probe", "the master answers");
	}
	per_ring = (mallinfo2().uordblks - before) / RINGS;
	if (before) /* sanitizers have their own allocator */
		print_message("%zu bytes for a quiet cluster\n", per_ring);
	assert_true(per_ring < 4096);
	for (int i = 0; i < RINGS; i++)
		evidence_free(v[i]);
}

/* ---- JSON ---- */

static char *text_of(json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(1));

	json_decref(j);
	return text;
}

static json_t *ring_of(const char *text)
{
	json_error_t where;
	json_t *j = json_loads(text, 0, &where);

	if (!j)
		fail_msg("%d: %s", where.line, where.text);
	return j;
}

static void fill_everything(struct facts *f)
{
	f->script = SCRIPT_DOWN;
	f->script_asked = f->now - 1;
	f->restart_grace = 5000;
	snprintf(f->master, sizeof(f->master), "db1:3306");
	f->probe = (struct fact_probe){ .how = HOW_LATE,
		.layer = LAYER_TCP,
		.code = 1040,
		.text = "\xc3\xa4\"x",
		.last_good = f->now - 9,
		.silent_since = f->now - 8,
		.first_failed = f->now - 7,
		.failures = 5,
		.failed_connects = 4,
		.was_good = true,
		.restarted = true,
		.rewound = true,
		.open = true,
		.acks_waiting = 0,
		.ackers = 2 };
	f->host = (struct fact_host){ .reach = REACH_TROUBLE,
		.heard = 1,
		.silent_since = 2,
		.asked = 3,
		.process = PROCESS_THERE,
		.state = 'D',
		.young = true,
		.accept_queue = 4,
		.disk_full = true,
		.disk_stuck = true };
	f->self.tilt = true;
	snprintf(f->self.tilt_why, sizeof(f->self.tilt_why), "the clock stepped");
	f->replicas[0] = (struct fact_replica){ .name = "db2",
		.ignore_fail = true,
		.on_master_host = true,
		.up = true,
		.looked = 4,
		.silent_since = 5,
		.missed = 6,
		.between = 7,
		.heard = f->now + 8,
		.heartbeat = 9,
		.follows = true,
		.io_running = true,
		.io_errno = -10,
		.io_error_seen = 11,
		.sight = SIGHT_OPEN,
		.sight_asked = 12 };
	f->n_witnesses = 1;
	f->witnesses[0] = (struct fact_witness){ .name = "w1",
		.on_master_host = true,
		.sight = SIGHT_REFUSED,
		.asked = 1,
		.silent_since = 2,
		.missed = 3 };
}

/* No byte is lost: structures are compared as they lie there (both begin as zeros). */
static void test_facts_round_trip(void **state)
{
	(void)state;
	struct facts *f = quiet(123456789), *back = calloc(1, sizeof(*back));
	struct err e = { 0 };

	for (int i = 0; i < 2; i++) {
		json_t *j = facts_json(f);

		assert_true(facts_read(j, back, &e));
		assert_memory_equal(f, back, sizeof(*f));
		json_decref(j);
		fill_everything(f);
	}
	free(back);
}

static void test_bytes_that_are_no_text(void **state)
{
	(void)state;
	struct facts *f = quiet(1000000), *back = calloc(1, sizeof(*back));
	struct err e = { 0 };
	json_t *j;

	f->probe.how = HOW_UNREACHABLE;
	snprintf(f->probe.text, sizeof(f->probe.text), "\xff\xfe\n\xc3");
	j = facts_json(f);
	assert_true(facts_read(j, back, &e));
	assert_string_equal(back->probe.text, "?? ?");
	assert_string_equal(verdict_of(f).why, verdict_of(back).why);
	json_decref(j);
	free(back);
}

static struct evidence *some_ring(void)
{
	struct evidence *v = evidence_new();
	struct facts *f = quiet(5000000);

	add(v, f, "the master answers");
	add(v, quiet(5001000), "the master answers");
	fill_everything(f);
	f->now += 1000;
	add(v, f, "");
	f->probe.how = HOW_REFUSED;
	add(v, f, "no failover \xc3\xa4");
	evidence_say(v, "probe", "refused");
	evidence_say(v, "person", "paused: \"tea\"");
	return v;
}

static void test_ring_round_trip(void **state)
{
	(void)state;
	AUTO(evidence) struct evidence *v = some_ring(), *back = NULL;
	json_t *j = evidence_json(v, "shop", 5004000);
	struct err e = { 0 };

	back = evidence_read(j, &e);
	assert_non_null(back);
	json_object_del(j, "saved");
	AUTO(free) char *before = text_of(j);
	j = evidence_json(back, "shop", 5004000);
	json_object_del(j, "saved");
	AUTO(free) char *after = text_of(j);
	assert_string_equal(before, after);
	assert_int_equal(evidence_pictures(back), 3);
	assert_int_equal(evidence_picture(back, 2)->looks, 2);
	for (size_t i = 0; i < 3; i++) {
		const struct evidence_picture *p = evidence_picture(back, i);

		assert_int_equal(verdict_of(&p->facts).code, p->verdict.code);
		assert_string_equal(verdict_of(&p->facts).why, p->verdict.why);
		assert_int_equal(verdict_of(&p->facts).again, p->verdict.again);
	}
}

static void test_bad_rings(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "[]", "saved evidence: an object is expected" },
		{ "{}", "\"format\"" },
		{ "{\"format\":2}", "\"format\"" },
		{ "{\"format\":1,\"more\":1}", "unknown member \"more\"" },
		{ "{\"format\":1,\"now\":0}", "\"now\"" },
		{ "{\"format\":1,\"pictures\":{}}", "pictures" },
		{ "{\"format\":1,\"pictures\":[{}]}", "picture 0: facts: an object" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{}}]}", "picture 0: verdict: an object" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{},\"verdict\":{\"code\":\"dead\"}}]}",
		        "no verdict \"dead\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{},\"verdict\":{\"code\":\"hung\","
		  "\"kind\":"
		  "\"good\"}}]}",
		        "kind" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{},\"verdict\":{\"code\":\"hung\"},"
		  "\"looks\":"
		  "-1}]}",
		        "\"looks\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"how\":\"fine\"}}]}",
		        "unknown member \"how\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"now\":\"1\"}}]}", "\"now\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"probe\":{\"how\":\"so\"}}}]}",
		        "probe: \"how\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"probe\":{\"code\":2147483648}}}]}",
		        "\"code\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"probe\":{\"code\":1.5}}}]}",
		        "\"code\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"probe\":{\"open\":1}}}]}",
		        "\"open\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"probe\":{\"last_good_ago\":1000000000}"
		  "}}]}",
		        "\"last_good_ago\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"host\":{\"state\":\"\"}}}]}",
		        "\"state\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"interval\":-1}}]}", "\"interval\"" },
		{ "{\"format\":1,\"pictures\":[{\"facts\":{\"replicas\":[{\"name\":5}]}}]}",
		        "replicas 0: \"name\"" },
		{ "{\"format\":1,\"lines\":[{\"who\":[]}]}", "line 0: \"who\"" },
		{ "{\"format\":1,\"lines\":[{\"at_ago\":null}]}", "line 0: \"at_ago\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { 0 };
		json_t *j = ring_of(cases[i].text);

		assert_null(evidence_read(j, &e));
		assert_int_equal(e.kind, ERR_PARSE);
		if (!strstr(e.text, cases[i].want))
			fail_msg("%s gives \"%s\"", cases[i].text, e.text);
		json_decref(j);
	}
}

static void test_too_much(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t most;
	} lists[] = { { "replicas", FACT_REPLICAS }, { "witnesses", FACT_WITNESSES } };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct facts *f = calloc(1, sizeof(*f));
		json_t *list = json_array(), *o = json_object();
		struct err e = { 0 };

		json_object_set_new(o, lists[i].name, list);
		for (size_t k = 0; k < lists[i].most; k++)
			json_array_append_new(list, json_object());
		assert_true(facts_read(o, f, &e));
		json_array_append_new(list, json_object());
		assert_false(facts_read(o, f, &e));
		assert_int_equal(e.kind, ERR_PARSE);
		json_decref(o);
		free(f);
	}
}

/* ---- saved rings ---- */

static void replay(const char *path, bool *reached)
{
	json_error_t where;
	struct err e = { 0 };
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
	AUTO(evidence) struct evidence *v = NULL;

	if (!j)
		fail_msg("%s:%d: %s", path, where.line, where.text);
	v = evidence_read(j, &e);
	json_decref(j);
	if (!v)
		fail_msg("%s: %s", path, e.text);
	if (!evidence_pictures(v))
		fail_msg("%s shows nothing", path);
	for (size_t n = evidence_pictures(v), i = n; i-- > 0;) {
		const struct evidence_picture *p = evidence_picture(v, i);
		struct verdict d = verdict_of(&p->facts);

		reached[d.code] = true;
		if (d.code != p->verdict.code)
			fail_msg("%s, picture %zu: %s instead of %s (%s)", path, n - 1 - i,
			        verdict_name(d.code), verdict_name(p->verdict.code), d.why);
	}
}

static void test_saved_rings(void **state)
{
	(void)state;
	bool reached[VERDICT_COUNT] = { 0 };
	DIR *dir = opendir(CASES);

	assert_non_null(dir);
	for (const struct dirent *d; (d = readdir(dir));) {
		AUTO(free) char *path = xasprintf("%s/%s", CASES, d->d_name);

		if (str_ends(d->d_name, ".json"))
			replay(path, reached);
	}
	closedir(dir);
	for (int i = 0; i < VERDICT_COUNT; i++)
		if (!reached[i])
			fail_msg("no case in " CASES " ends in %s",
			        verdict_name((enum verdict_code)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_is_joined),
		cmocka_unit_test(test_what_matters_is_not_joined),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_lines_are_clean),
		cmocka_unit_test(test_quiet_cluster_is_small),
		cmocka_unit_test(test_facts_round_trip),
		cmocka_unit_test(test_bytes_that_are_no_text),
		cmocka_unit_test(test_ring_round_trip),
		cmocka_unit_test(test_bad_rings),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_saved_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
