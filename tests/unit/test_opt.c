/* SPDX-License-Identifier: BSD-2-Clause */
/* opt: MHA's ways to write an option, and what is refused. */
#include "opt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct values {
	const char *conf, *workdir;
	int64_t delay;
	bool skip, json;
	char *password;
};

static struct values v;
static struct err err;
static int words;
static char line[512];
static char *argv_[32];

static const struct opt opts[] = {
	{ "conf", OPT_STR, .to = &v.conf, .arg = "FILE", .help = "the cluster" },
	{ "config_unused", OPT_STR, .to = NULL },
	{ "workdir|manager_workdir", OPT_STR, .to = &v.workdir },
	{ "seconds_behind_master", OPT_INT, .to = &v.delay, .min = 1, .max = 1000 },
	{ "skip_check_ssh|skip_ssh_check", OPT_FLAG, .to = &v.skip, .help = "no SSH" },
	{ "json", OPT_FLAG, .to = &v.json },
	{ "password", OPT_SECRET, .to = &v.password },
	{ 0 },
};

/* Parse a line of words separated by single blanks. */
static bool parse_words(const char *text, bool allow_words)
{
	int argc = 1;

	mem_free_secret(v.password);
	memset(&v, 0, sizeof(v));
	memset(&err, 0, sizeof(err));
	words = -1;
	argv_[0] = line;
	snprintf(line, sizeof(line), "prog %s", text);
	for (char *p = strchr(line, ' '); p && p[1]; p = strchr(p, ' ')) {
		*p++ = '\0';
		argv_[argc++] = p;
	}
	return opt_parse(opts, argc, argv_, allow_words ? &words : NULL, &err);
}

static bool parse(const char *text)
{
	return parse_words(text, false);
}

static void mha_spellings(void **state)
{
	(void)state;
	static const char *const same[] = { "--conf=a.cnf", "--conf a.cnf", "-conf=a.cnf",
		"-conf a.cnf", "--CONF=a.cnf", "--Conf a.cnf", "--conf=b.cnf --conf=a.cnf" };

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		assert_true(parse(same[i]));
		assert_string_equal(v.conf, "a.cnf");
	}
}

static void aliases_hyphens_and_shortened_names(void **state)
{
	(void)state;
	static const char *const flag[] = { "--skip_check_ssh", "--skip_ssh_check",
		"--skip-check-ssh", "--skip" };

	for (size_t i = 0; i < ARRAY_LEN(flag); i++) {
		assert_true(parse(flag[i]));
		assert_true(v.skip);
	}
	assert_true(parse("--manager_workdir=/w"));
	assert_string_equal(v.workdir, "/w");
	assert_true(parse("--seconds=5"));
	assert_int_equal(v.delay, 5);
}

static void a_whole_name_is_never_ambiguous(void **state)
{
	(void)state;
	assert_true(parse("--conf=x"));
	assert_false(parse("--con=x"));
	assert_non_null(strstr(err.text, "ambiguous: --conf, --config_unused"));
}

static void values_may_look_like_options_and_hold_equal_signs(void **state)
{
	(void)state;
	assert_true(parse("--conf --json"));
	assert_string_equal(v.conf, "--json");
	assert_false(v.json);
	assert_true(parse("--conf=a=b"));
	assert_string_equal(v.conf, "a=b");
	assert_true(parse("--conf="));
	assert_string_equal(v.conf, "");
}

static void unknown_options_name_the_nearest(void **state)
{
	(void)state;
	assert_false(parse("--seconds_behind_mster=3"));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_string_equal(err.text, "unknown option --seconds_behind_mster");
	assert_string_equal(err.hint, "did you mean --seconds_behind_master?");
	assert_false(parse("--skip-chek-ssh"));
	assert_string_equal(err.hint, "did you mean --skip_check_ssh?");
	assert_false(parse("--zzzzzzzzzzzz"));
	assert_null(strstr(err.hint, "did you mean"));
}

static void flags_take_no_value(void **state)
{
	(void)state;
	assert_false(parse("--json=1"));
	assert_string_equal(err.text, "option --json takes no value");
}

static void numbers_are_checked(void **state)
{
	(void)state;
	assert_false(parse("--seconds_behind_master=abc"));
	assert_false(parse("--seconds_behind_master="));
	assert_false(parse("--seconds_behind_master=0"));
	assert_string_equal(err.hint, "a whole number from 1 to 1000 is needed");
	assert_false(parse("--seconds_behind_master"));
	assert_string_equal(err.text, "option --seconds_behind_master needs a value");
	assert_true(parse("--seconds_behind_master 1000"));
	assert_int_equal(v.delay, 1000);
}

static void words_are_collected_in_order(void **state)
{
	(void)state;
	assert_true(parse_words("one --json two -- --three", true));
	assert_int_equal(words, 3);
	assert_string_equal(argv_[1], "one");
	assert_string_equal(argv_[2], "two");
	assert_string_equal(argv_[3], "--three");
	assert_false(parse("one"));
	assert_string_equal(err.text, "word 1 of the command line is no option");
}

static void secrets_leave_argv(void **state)
{
	(void)state;
	assert_true(parse("--password=geheim"));
	assert_string_equal(v.password, "geheim");
	assert_string_equal(argv_[1], "--password=xxxxxx");
	assert_true(parse("--password geheim"));
	assert_string_equal(v.password, "geheim");
	assert_string_equal(argv_[2], "xxxxxx");
	mem_free_secret(v.password);
	v.password = NULL;
}

static void help_lists_what_has_a_text(void **state)
{
	(void)state;
	AUTO_STR struct str out = STR_INIT;

	opt_help(&out, opts);
	assert_string_equal(out.p, "  --conf=FILE       the cluster\n  --skip_check_ssh  no SSH\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mha_spellings),
		cmocka_unit_test(aliases_hyphens_and_shortened_names),
		cmocka_unit_test(a_whole_name_is_never_ambiguous),
		cmocka_unit_test(values_may_look_like_options_and_hold_equal_signs),
		cmocka_unit_test(unknown_options_name_the_nearest),
		cmocka_unit_test(flags_take_no_value),
		cmocka_unit_test(numbers_are_checked),
		cmocka_unit_test(words_are_collected_in_order),
		cmocka_unit_test(secrets_leave_argv),
		cmocka_unit_test(help_lists_what_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
