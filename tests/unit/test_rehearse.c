/* SPDX-License-Identifier: BSD-2-Clause */
/* test_rehearse - what is worse than before, and what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "conf.h"
#include "rehearse.h"

static json_t *result(const char *problems, int apply_ms)
{
	json_t *list = json_loads(problems, 0, NULL);

	assert_non_null(list);
	return json_pack("{s:i, s:s, s:n, s:o, s:{s:i, s:i}}", "format", 1, "cluster", "shop",
	        "refusal", "problems", list, "expected", "detect_ms", 1000, "apply_ms", apply_ms);
}

static char *texts(const json_t *r, const char *name)
{
	struct str s = STR_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(r, name), i, one)
		str_addf(&s, "%s%s", i ? "; " : "", json_string_value(one));
	return str_take(&s);
}

/* Judge `now` after `before` (both taken) and compare. */
static void expect(
        json_t *before, json_t *now, const char *word, const char *worse, const char *better)
{
	AUTO(free) char *w = NULL, *b = NULL;

	if (before)
		rehearse_judge(before, NULL);
	rehearse_judge(now, before);
	w = texts(now, "worse");
	b = texts(now, "better");
	assert_string_equal(json_string_value(json_object_get(now, "result")), word);
	assert_string_equal(w, worse);
	assert_string_equal(b, better);
	json_decref(before);
	json_decref(now);
}

#define LATE(server, seconds)                                                                      \
	"{\"code\":\"lag\",\"severity\":\"warning\",\"server\":\"" server "\",\"text\":\"" server  \
	" is " seconds " s behind\"}"
#define DEAD "{\"code\":\"refusal\",\"severity\":\"error\",\"text\":\"no slave\"}"

static void the_first_tells_errors(void **state)
{
	(void)state;
	expect(NULL, result("[]", 0), "ready", "", "");
	expect(NULL, result("[" LATE("db2", "40") "]", 0), "warnings", "", "");
	expect(NULL, result("[" LATE("db2", "40") "," DEAD "]", 0), "warnings", "no slave", "");
}

static void the_same_is_told_once(void **state)
{
	(void)state;
	expect(result("[]", 0), result("[" LATE("db2", "40") "]", 0), "warnings",
	        "db2 is 40 s behind", "");
	expect(result("[" LATE("db2", "40") "]", 0), result("[" LATE("db2", "9.5") "]", 0),
	        "warnings", "", "");
	expect(result("[" LATE("db2", "40") "]", 0), result("[" LATE("db3", "40") "]", 0),
	        "warnings", "db3 is 40 s behind", "db2 is 40 s behind");
	expect(result("[" DEAD "]", 0), result("[]", 0), "ready", "", "no slave");
}

static void a_refusal_is_named(void **state)
{
	json_t *r = result("[" DEAD "]", 0);

	(void)state;
	json_object_set_new(r, "refusal", json_pack("{s:s}", "text", "no slave"));
	expect(result("[]", 0), r, "refused", "no slave", "");
}

static void twice_as_long(void **state)
{
	(void)state;
	expect(result("[]", 0), result("[]", 3000), "ready", "", "");
	expect(result("[]", 9000), result("[]", 15000), "ready", "", "");
	expect(result("[]", 9000), result("[]", 19000), "ready",
	        "a failover would take longer: 20.0 s, it was 10.0 s", "");
	expect(result("[]", 19000), result("[]", 9000), "ready", "",
	        "a failover would take less: 10.0 s, it was 20.0 s");
}

static void two_are_kept(void **state)
{
	char dir[] = "/tmp/rehearse-XXXXXX";
	AUTO(free) char *older = NULL, *command = NULL;
	json_t *a = result("[]", 1), *b = result("[]", 2), *got;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_null(rehearse_load(dir, "shop"));
	assert_true(rehearse_keep(dir, "shop", a, NULL));
	assert_true(rehearse_keep(dir, "shop", b, NULL));
	got = rehearse_load(dir, "shop");
	assert_true(json_equal(got, b));
	json_decref(got);
	older = xasprintf("%s/shop/rehearsal.1.json", dir);
	got = json_load_file(older, 0, NULL);
	assert_true(json_equal(got, a));
	json_decref(got);
	json_decref(a);
	json_decref(b);
	command = xasprintf("rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void times_of_day(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int minutes;
	} all[] = { { "03:30", true, 210 }, { "3:30", true, 210 }, { "23:59", true, 1439 },
		{ "00:00", true, 0 }, { "off", true, -1 }, { "", true, -1 }, { NULL, true, -1 },
		{ "24:00", false, -1 }, { "12:60", false, -1 }, { "12", false, -1 },
		{ "12:", false, -1 }, { "12:3x", false, -1 }, { "-1:30", false, -1 },
		{ "012:30", false, -1 }, { "on", false, -1 } };
	int minutes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(conf_time_of_day(all[i].text, &minutes), all[i].ok);
		assert_int_equal(minutes, all[i].minutes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_tells_errors),
		cmocka_unit_test(the_same_is_told_once),
		cmocka_unit_test(a_refusal_is_named),
		cmocka_unit_test(twice_as_long),
		cmocka_unit_test(two_are_kept),
		cmocka_unit_test(times_of_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
