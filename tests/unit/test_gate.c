/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate: how command lines are split, what the host's list admits, and that no option has been
 * forgotten.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "gate.h"
#include "str.h"

static const struct {
	const char *line;
	const char *words; /* joined by '|'; "" for `exit 0` */
} admitted[] = {
	{ "exit 0", "" },
	{ "mha-node session", "mha-node|session" },
	{ "  mha-node   probe --port=3306 ", "mha-node|probe|--port=3306" },
	{ "'/opt/my tools'/mha-node version", "mha-node|version" },
	{ "/usr/bin/save_binary_logs --version", "save_binary_logs|--version" },
	{ "save_binary_logs --x='a b;c$d`e\"f'", "save_binary_logs|--x=a b;c$d`e\"f" },
	{ "mha-node 'it'\\''s' a\\ b ''", "mha-node|it's|a b|" },
	{ "sh -c 'mha-node version 2>/dev/null || apply_diff_relay_logs --version'",
	        "mha-node|version" },
	{ "sh -c ''\\''/opt/x'\\''/mha-node version 2>/dev/null || "
	  "'\\''/opt/x'\\''/apply_diff_relay_logs --version'",
	        "mha-node|version" },
};

static const struct {
	const char *line, *why;
} refused[] = {
	{ "", "empty" },
	{ "   ", "empty" },
	{ "ls", "ls is not a program of mhad" },
	{ "exit 1", "exit is not" },
	{ "mha-node version; rm -rf /", "';'" },
	{ "mha-node version && id", "'&'" },
	{ "mha-node version | id", "'|'" },
	{ "mha-node $(id)", "'$'" },
	{ "mha-node `id`", "'`'" },
	{ "mha-node \"x\"", "'\"'" },
	{ "mha-node x>y", "'>'" },
	{ "mha-node *", "'*'" },
	{ "mha-node ~root", "'~'" },
	{ "mha-node 'x", "inside quotes" },
	{ "mha-node x\\", "inside quotes" },
	{ "mha-node\nid", "control character" },
	{ "mha-node\tversion", "control character" },
	{ "sh", "sh is not" },
	{ "sh -c id", "sh is not" },
	{ "sh -c 'mha-node version 2>/dev/null || id'", "sh is not" },
	{ "sh -c 'mha-node version; id 2>/dev/null || apply_diff_relay_logs --version'",
	        "sh is not" },
	{ "sh -c 'mha-node version 2>/dev/null || apply_diff_relay_logs --version' x",
	        "sh is not" },
	{ "PATH=/tmp mha-node version", "tmp is not" },
};

static void test_lines_admitted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(admitted); i++) {
		AUTO_STR struct str s = STR_INIT;
		struct err e = { 0 };
		struct gate_line l;

		if (!gate_line_read(admitted[i].line, &l, &e))
			fail_msg("%s: %s", admitted[i].line, e.text);
		for (int w = 0; w < l.argc; w++)
			str_addf(&s, "%s%s", w ? "|" : "", l.argv[w]);
		assert_string_equal(s.p, admitted[i].words);
		gate_line_done(&l);
	}
}

static void test_lines_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct err e = { 0 };
		struct gate_line l;

		if (gate_line_read(refused[i].line, &l, &e))
			fail_msg("admitted: %s", refused[i].line);
		assert_int_equal(e.kind, ERR_REFUSED);
		if (!strstr(e.text, refused[i].why))
			fail_msg("%s: %s", refused[i].line, e.text);
	}
}

/* Whatever str_add_shell() quotes arrives unchanged. */
static void test_quoting_round_trip(void **state)
{
	(void)state;
	for (int c = ' '; c < 256; c++) {
		AUTO_STR struct str line = STR_INIT;
		char word[4] = { 'a', (char)c, '\'', 0 };
		struct gate_line l;

		if (c == 127)
			continue;
		str_add(&line, "mha-node ");
		str_add_shell(&line, word);
		assert_true(gate_line_read(line.p, &l, NULL));
		assert_int_equal(l.argc, 2);
		assert_string_equal(l.argv[1], word);
		gate_line_done(&l);
	}
}

static void test_line_bounds(void **state)
{
	AUTO_STR struct str line = STR_INIT;
	struct gate_line l;

	(void)state;
	str_add(&line, "mha-node");
	for (int i = 0; i < 300; i++)
		str_add(&line, " x");
	assert_false(gate_line_read(line.p, &l, NULL));
	str_clear(&line);
	for (int i = 0; i < 70000; i++)
		str_addc(&line, 'x');
	assert_false(gate_line_read(line.p, &l, NULL));
}

static bool is_known(
        void *arg, const char *names, enum opt_type type, const void *value, struct err *e)
{
	struct str *missing = arg;

	(void)value, (void)e;
	if (type != OPT_FLAG && !gate_knows(names))
		str_addf(missing, " --%s", names);
	return true;
}

static void test_no_option_is_forgotten(void **state)
{
	AUTO_STR struct str missing = STR_INIT;

	(void)state;
	assert_true(args_each(~0u, NULL, is_known, &missing, NULL));
	if (missing.len)
		fail_msg("options without a rule in gate.c:%s", missing.p);
}

static const char list[] = "# a comment\n"
                           "\n"
                           "directory = /usr/lib/\n"
                           "  directory=/gone/away\n"
                           "port = 3306\nport = 3307\n"
                           "address = 192.0.2.7\n";

/* Whether the list admits the command line (of words). */
static bool admits(const char *text, const char *verb, ...)
{
	AUTO(gate) struct gate *g = gate_parse(text, NULL);
	const struct verb *v = verb_by_name(verb);
	char words[8][200] = { { 0 } }, *argv[9] = { words[0] };
	const char *word;
	struct err e = { 0 };
	struct args a;
	va_list ap;
	int argc = 1;
	bool ok;

	assert_non_null(g);
	assert_non_null(v);
	va_start(ap, verb);
	while ((word = va_arg(ap, const char *))) {
		snprintf(words[argc], sizeof(words[0]), "%s", word);
		argv[argc] = words[argc];
		argc++;
	}
	va_end(ap);
	if (!args_parse(v->program, argc, argv, &a, &e))
		fail_msg("%s", e.text);
	ok = gate_admits(g, v, &a, &e);
	args_done(&a);
	if (!ok) {
		assert_int_equal(e.kind, ERR_REFUSED);
		assert_non_null(strstr(e.text, verb));
	}
	return ok;
}

static void test_paths(void **state)
{
	static const char *const good[] = { "/usr/lib", "/usr/lib/", "/usr/lib/x/y",
		"/usr/lib/../lib", "/gone/away/x", "/usr/lib/./x", "/lib/x" };
	static const char *const bad[] = { "/usr/libx", "/usr", "/", "usr/lib", "",
		"/usr/lib/../../etc", "/usr/lib/..", "/gone", "/gone/awayx", "/gone/away/../x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO(free) char *word = xasprintf("--datadir=%s", good[i]);

		if (strstr(good[i], "..") || str_is(good[i], "/lib/x"))
			continue; /* depends on the machine; see test_links() */
		if (!admits(list, "probe", "--port=3306", word, NULL))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(free) char *word = xasprintf("--datadir=%s", bad[i]);

		if (admits(list, "probe", "--port=3306", word, NULL))
			fail_msg("admitted: %s", bad[i]);
	}
}

/* Links are followed, on both sides; one that leads nowhere is refused. */
static void test_links(void **state)
{
	char dir[] = "/tmp/mha-node-gate-XXXXXX";
	AUTO_STR struct str text = STR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("real", 0700), 0);
	assert_int_equal(symlink("real", "link"), 0);
	assert_int_equal(symlink("/etc", "real/out"), 0);
	assert_int_equal(symlink("/nowhere/at/all", "real/dangling"), 0);
	str_addf(&text, "port = 3306\ndirectory = %s/link\n", dir);
	static const struct {
		const char *path;
		bool ok;
	} cases[] = {
		{ "real", true },
		{ "link", true },
		{ "link/new/file", true },
		{ "real/out", false },
		{ "real/out/passwd", false },
		{ "real/out/new", false },
		{ "real/dangling", false },
		{ "real/dangling/x", false },
		{ "other", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *word = xasprintf("--datadir=%s/%s", dir, cases[i].path);

		if (admits(text.p, "probe", "--port=3306", word, NULL) != cases[i].ok)
			fail_msg("%s", cases[i].path);
	}
	assert_int_equal(
	        unlink("real/out") | unlink("real/dangling") | unlink("link") | rmdir("real"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_ports_addresses_names(void **state)
{
	(void)state;
	assert_true(admits(list, "probe", "--port=3307", NULL));
	assert_false(admits(list, "probe", "--port=3308", NULL));
	assert_false(admits("directory = /", "probe", "--port=3306", NULL));
	assert_true(admits(list, "vip", "--show", "--address=192.0.2.7/24", "--device=eth0", NULL));
	assert_false(admits(list, "vip", "--show", "--address=192.0.2.70", "--device=eth0", NULL));
	assert_false(admits(list, "vip", "--show", "--address=192.0.2.7", "--device=../x", NULL));
	assert_true(admits("directory=/", "check-binlogs", "--start_file=bin.000001", NULL));
	assert_false(admits("directory=/", "check-binlogs", "--start_file=../bin.000001", NULL));
	assert_true(admits("directory=/usr\ndirectory=/opt", "check-binlogs",
	        "--binlog_dir=/usr/a, /opt", NULL));
	assert_false(admits(
	        "directory=/usr\ndirectory=/opt", "check-binlogs", "--binlog_dir=/usr,/etc", NULL));
	/* What a verb takes by itself counts as if it had been asked for. */
	assert_false(admits("directory=/usr", "check-binlogs", NULL));
	assert_true(admits("directory=/var/lib/mysql", "check-binlogs", NULL));
	assert_false(admits("port=3307", "purge", NULL));
	assert_true(admits("port=3306", "purge", NULL));
}

static void test_verbs(void **state)
{
	(void)state;
	assert_true(admits("verb = probe\nport=1\n", "probe", "--port=1", NULL));
	assert_false(admits("verb = probe\nport=1\n", "fence", "--port=1", NULL));
	assert_true(admits("", "session", NULL));
	assert_false(admits("", "gate", NULL));
	assert_false(admits("", "purge-guard", NULL));
	assert_false(admits("directory=/\nport=1", "check-relay-logs",
	        "--ssh_options=-oProxyCommand=id", NULL));
	assert_false(admits("directory=/", "events", "/etc/../x", NULL));
	assert_true(admits("directory=/usr", "events", "/usr/x", "/usr/y", NULL));
	assert_false(admits("directory=/usr", "events", "/usr/x", "/etc/y", NULL));
}

static void test_list_refused(void **state)
{
	static const char *const bad[] = { "directory", "directory = var", "port = 0", "port = x",
		"port = 65536", "address = a", "verb = frobnicate", "directories = /x", "= /x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(free) char *text = xasprintf("# first\n%s\n", bad[i]);
		struct err e = { 0 };

		if (gate_parse(text, &e))
			fail_msg("admitted: %s", bad[i]);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_non_null(strstr(e.text, "line 2: "));
	}
}

static void test_sample_is_right(void **state)
{
	AUTO(gate) struct gate *g = NULL;
	struct err e = { 0 };
	char text[16384];
	FILE *f = fopen("etc/node.conf", "re");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	assert_in_range(n, 100, sizeof(text) - 2);
	text[n] = '\0';
	g = gate_parse(text, &e);
	if (!g)
		fail_msg("%s", e.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_admitted),
		cmocka_unit_test(test_lines_refused),
		cmocka_unit_test(test_quoting_round_trip),
		cmocka_unit_test(test_line_bounds),
		cmocka_unit_test(test_no_option_is_forgotten),
		cmocka_unit_test(test_sample_is_right),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_ports_addresses_names),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_list_refused),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
