/* SPDX-License-Identifier: BSD-2-Clause */
/* screen, live: pictures of any size and content; keys. */
#include "screen.h"
#include "live.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		print_error("%s\n", e.text);
	assert_non_null(j);
	return j;
}

#define WELL(name)                                                                                 \
	"{\"name\":\"" name "\",\"state\":\"monitoring\",\"since_ms\":61000,"                      \
	"\"verdict\":\"healthy\",\"sentence\":\"the master answers\",\"would_fail_over\":false,"   \
	"\"gate\":\"the master answers\",\"master\":\"db1(10.0.0.1:3306)\",\"probe_ms\":0.5,"      \
	"\"last_good_ms\":300,\"replicas\":[{\"server\":\"db2\",\"state\":\"up\",\"behind_s\":2,"  \
	"\"io\":\"Yes\",\"sql\":\"Yes\",\"heard_ms\":10}],\"detection\":\"mha\",\"paused\":null}"
#define ILL(name)                                                                                  \
	"{\"name\":\"" name "\",\"state\":\"blocked\",\"since_ms\":61000,"                         \
	"\"verdict\":\"process_dead\",\"sentence\":\"the process is gone\","                       \
	"\"would_fail_over\":true,\"gate\":null,\"master\":\"db1(10.0.0.1:3306)\","                \
	"\"probe_ms\":null,\"replicas\":[]}"
#define STATUS(clusters)                                                                           \
	"{\"clusters\":[" clusters "],\"tilt\":null,\"pid\":7,\"version\":\"1\",\"uptime_ms\":"    \
	"5000}"

/* Without escapes; lines end in "\n". */
static char *plain(const char *frame)
{
	AUTO_STR struct str out = STR_INIT;

	for (const char *p = frame; *p;) {
		if (*p == '\033') {
			p += 2 +
			     strcspn(p + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
			p++;
		} else if (*p == '\r') {
			p++;
		} else {
			str_addc(&out, *p++);
		}
	}
	return str_take(&out);
}

static char *frame_of(const json_t *status, const json_t *why, struct screen_view *v)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = NULL;
	int lines = 1;

	screen_draw(&out, status, why, v);
	assert_true(str_starts(out.p, "\033[H"));
	text = plain(out.p);
	for (char *p = text, *line = text;; p++) {
		if (*p && *p != '\n')
			continue;
		AUTO(free) char *one = xstrndup(line, (size_t)(p - line));

		assert_true(live_width(one) <= (size_t)v->cols);
		if (!*p)
			break;
		lines++;
		line = p + 1;
	}
	assert_int_equal(lines, v->rows);
	return TAKE(text);
}

static void frames_keep_their_size(void **state)
{
	static const char *const pictures[] = { "{}", STATUS(""), STATUS(WELL("shop")),
		STATUS(WELL("a") "," ILL("b") "," WELL("c") ",{}"),
		STATUS(WELL("a\xc3\xa9\xc3\xa9\xc3\xa9")), "{\"clusters\":[1,null,[]]}",
		"{\"clusters\":[" WELL("a") "],\"tilt\":\"the clock stepped\"}" };
	json_t *why = parse("{\"name\":\"shop\",\"gates\":[{\"name\":\"verdict\",\"blocks\":true,"
	                    "\"text\":\"x\",\"hint\":\"y\"}],\"evidence\":[{\"at\":\"now\"}]}");

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(pictures); i++) {
		json_t *status = i < ARRAY_LEN(pictures) ? parse(pictures[i]) : NULL;

		for (int size = 1; size < 260; size += size < 30 ? 1 : 23) {
			for (int detail = 0; detail < 2; detail++) {
				struct screen_view v = { .rows = 1 + size % 60,
					.cols = 1 + size,
					.colour = size % 2,
					.detail = detail,
					.selected = "shop",
					.top = (size_t)size,
					.problem = size % 3 ? NULL : "a\nb",
					.age_ms = size % 4 - 1 };

				free(frame_of(status, why, &v));
			}
		}
		json_decref(status);
	}
	json_decref(why);
}

static void trouble_comes_first(void **state)
{
	json_t *status = parse(STATUS(WELL("a") "," WELL("b") "," ILL("c")));
	struct screen_view v = { .rows = 24, .cols = 100 };
	AUTO(free) char *text = frame_of(status, NULL, &v);
	const char *a = strstr(text, "\n a "), *b = strstr(text, "\n b "),
	           *c = strstr(text, "\n>c ");

	(void)state;
	assert_true(a && b && c && c < a && a < b);
	assert_non_null(strstr(text, "3 clusters, 1 NOT WELL"));
	assert_non_null(strstr(text, " c: the process is gone"));
	json_decref(status);
}

static void a_narrow_screen_has_fewer_columns(void **state)
{
	static const struct {
		int cols;
		const char *there, *gone;
	} cases[] = { { 200, "FAILOVER", "nothing" }, { 80, "REPLICAS", "FAILOVER" },
		{ 60, "MASTER", "REPLICAS" }, { 40, "VERDICT", "MASTER" } };
	json_t *status = parse(STATUS(WELL("a")));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct screen_view v = { .rows = 24, .cols = cases[i].cols };
		AUTO(free) char *text = frame_of(status, NULL, &v);

		assert_non_null(strstr(text, cases[i].there));
		assert_null(strstr(text, cases[i].gone));
	}
	json_decref(status);
}

static void long_lines_are_wrapped(void **state)
{
	json_t *status = parse("{\"clusters\":[{\"name\":\"a\",\"verdict\":\"hung\","
	                       "\"sentence\":\"connections are accepted but nothing answers\","
	                       "\"why\":\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz "
	                       "last word\"}]}");
	struct screen_view v = { .rows = 24, .cols = 40, .detail = true };
	AUTO(free) char *text = frame_of(status, NULL, &v);

	(void)state;
	assert_non_null(strstr(text, "\n   connections are accepted but nothing\n     answers:\n"));
	assert_non_null(strstr(text, "\n     abcdefghijklmnopqrstuvwxyzabcdefghi\n     jklm"));
	assert_non_null(strstr(text, "xyz last word\n"));
	json_decref(status);
}

static void colours_only_where_wanted(void **state)
{
	json_t *status = parse(STATUS(ILL("a")));
	struct screen_view v = { .rows = 24, .cols = 80 };
	AUTO_STR struct str with = STR_INIT, without = STR_INIT;

	(void)state;
	screen_draw(&without, status, NULL, &v);
	v.colour = true;
	v.selected[0] = 'x';
	screen_draw(&with, status, NULL, &v);
	assert_null(strstr(without.p, "\033[3"));
	assert_null(strstr(without.p, "\033[1;3"));
	assert_non_null(strstr(with.p, "\033[33m"));
	json_decref(status);
}

static enum screen_key key_of(const char *bytes, size_t n, size_t *ret_used)
{
	enum screen_key key = SCREEN_QUIT;

	*ret_used = screen_key_parse(bytes, n, &key);
	return key;
}

static void keys_are_parsed(void **state)
{
	static const struct {
		const char *bytes;
		size_t used;
		enum screen_key key;
	} cases[] = {
		{ "q", 1, SCREEN_QUIT },
		{ "qq", 1, SCREEN_QUIT },
		{ "\033[A\033[B", 3, SCREEN_UP },
		{ "\033OB", 3, SCREEN_DOWN },
		{ "\033[5~", 4, SCREEN_PAGE_UP },
		{ "\033", 1, SCREEN_BACK },
		{ "\033x", 1, SCREEN_BACK },
		{ "\033[1;5Ax", 6, SCREEN_NONE },
		{ "\033[", 2, SCREEN_NONE },
		{ "x", 1, SCREEN_NONE },
		{ "\r", 1, SCREEN_ENTER },
		{ "\xff", 1, SCREEN_NONE },
		{ "\033[200~", 6, SCREEN_NONE },
	};
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
		        key_of(cases[i].bytes, strlen(cases[i].bytes), &used), cases[i].key);
		assert_int_equal(used, cases[i].used);
	}
	screen_key_parse("", 0, &(enum screen_key){ 0 });
}

static void keys_move(void **state)
{
	json_t *status = parse(STATUS(WELL("a") "," WELL("b") "," ILL("c")));
	struct screen_view v = { .rows = 24, .cols = 80 };
	static const struct {
		enum screen_key key;
		const char *selected;
		bool detail;
	} steps[] = {
		{ SCREEN_DOWN, "a", false },
		{ SCREEN_DOWN, "b", false },
		{ SCREEN_DOWN, "b", false },
		{ SCREEN_HOME, "c", false },
		{ SCREEN_UP, "c", false },
		{ SCREEN_END, "b", false },
		{ SCREEN_NONE, "b", false },
		{ SCREEN_BACK, "b", false },
		{ SCREEN_ENTER, "b", true },
		{ SCREEN_DOWN, "b", true },
		{ SCREEN_END, "b", true },
		{ SCREEN_BACK, "b", false },
		{ SCREEN_PAGE_UP, "c", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		screen_key(&v, steps[i].key, status);
		assert_string_equal(v.selected, steps[i].selected);
		assert_int_equal(v.detail, steps[i].detail);
		free(frame_of(status, NULL, &v));
	}
	json_decref(status);
	screen_key(&v, SCREEN_DOWN, NULL);
	screen_key(&v, SCREEN_ENTER, NULL);
	assert_false(v.detail);
}

static void spans(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = { { -1, "-" }, { 0, "0 ms" }, { 999, "999 ms" }, { 1000, "1.0 s" },
		{ 9999, "9.9 s" }, { 10000, "10 s" }, { 59999, "59 s" }, { 60000, "1 min 0 s" },
		{ 3599999, "59 min 59 s" }, { 3600000, "1 h 0 min" }, { 86399999, "23 h 59 min" },
		{ 86400000, "1 d 0 h" }, { 864000000, "10 d 0 h" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR struct str out = STR_INIT;

		live_add_span(&out, cases[i].ms);
		assert_string_equal(out.p, cases[i].text);
	}
}

static void characters_are_counted(void **state)
{
	AUTO_STR struct str out = STR_INIT;

	(void)state;
	assert_int_equal(live_width("a\xc3\xa9z"), 3);
	assert_int_equal(live_cut("a\xc3\xa9z", 2), 3);
	assert_int_equal(live_cut("a\xc3\xa9z", 1), 1);
	assert_int_equal(live_cut("a\xc3\xa9z", 9), 4);
	assert_int_equal(live_cut("a", 0), 0);
	live_add_clean(&out, "a\033[1m\xc2\x9b\xc2\xa9\x7f\xc2");
	assert_string_equal(out.p, "a?[1m?\xc2\xa9?\xc2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_keep_their_size),
		cmocka_unit_test(trouble_comes_first),
		cmocka_unit_test(a_narrow_screen_has_fewer_columns),
		cmocka_unit_test(long_lines_are_wrapped),
		cmocka_unit_test(colours_only_where_wanted),
		cmocka_unit_test(keys_are_parsed),
		cmocka_unit_test(keys_move),
		cmocka_unit_test(spans),
		cmocka_unit_test(characters_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
