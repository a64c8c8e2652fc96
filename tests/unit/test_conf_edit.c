/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of conf_edit: what a changed file looks like, byte for byte, and that it is there whole
 * whatever happens.
 */
#include "test_conf.h"
#include "conf_edit.h"
#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static const char file_text[] = "# our shop\n"
                                "[server default]\n"
                                "user=mha ; inline\n"
                                "\n"
                                "; the old one\n"
                                "[server2]\n"
                                "hostname=db2\n"
                                "# candidate_master=1\n"
                                "\n"
                                "# in Paris\n"
                                "[ server1 ]\n"
                                "\n"
                                "\thostname = db1\n"
                                "# a note inside\n"
                                "port=3307\n"
                                "\n"
                                "\n"
                                "[server10]\n"
                                "hostname=db10\n";

static const struct conf_edit_param db9[] = { { "hostname", "db9" }, { "port", "3310" } };

static const char *read_text(const char *name)
{
	static char buf[8192];
	AUTO_FD int fd = open(path_of(name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	buf[n] = '\0';
	return buf;
}

static void assert_removed(const char *before, const char *block, const char *after)
{
	AUTO_STR struct str out = STR_INIT;

	assert_true(conf_edit_has(before, strlen(before), block));
	conf_edit_remove(&out, before, strlen(before), block);
	assert_string_equal(out.p, after);
	assert_false(conf_edit_has(out.p, out.len, block));
}

static void assert_added(const char *before, const char *after)
{
	AUTO_STR struct str out = STR_INIT;

	conf_edit_add(&out, before, strlen(before), "server9", db9, 2);
	assert_string_equal(out.p, after);
	assert_true(conf_edit_has(out.p, out.len, "server9"));
}

static void test_text_with_a_block_less(void **state)
{
	static const char all[] = "[a]\nx=1\n\n[b]\ny=1\n\n[c]\nz=1\n";

	(void)state;
	assert_removed(all, "a", "[b]\ny=1\n\n[c]\nz=1\n");
	assert_removed(all, "b", "[a]\nx=1\n\n[c]\nz=1\n");
	assert_removed(all, "c", "[a]\nx=1\n\n[b]\ny=1\n");
	assert_removed("[a]\nx=1\n[b]\ny=1\n[c]\nz=1", "b", "[a]\nx=1\n[c]\nz=1");
	assert_removed("[a]\nx=1\n[b]\ny=1\n\n[c]\nz=1", "b", "[a]\nx=1\n\n[c]\nz=1");
	assert_removed("[a]\n[b]", "b", "[a]\n");
	assert_removed("[b]\ny=1\n[a]\n[ b ] ; again\nz=1\n", "b", "[a]\n");
	assert_removed("  [b]  \r\ny=1\r\n\r\n[a]\r\n", "b", "[a]\r\n");
	assert_removed("[a]\rx=1\r\r[b]\ry=1\r", "b", "[a]\rx=1\r");
	assert_removed("[b]\n", "b", "");
	assert_false(conf_edit_has(all, strlen(all), "d"));
	assert_false(conf_edit_has("#[b]\n;[b]\nx=[b]\n[b", 18, "b"));
}

static void test_comments_stay_with_what_they_are_about(void **state)
{
	(void)state;
	assert_removed(file_text, "server2",
	        "# our shop\n[server default]\nuser=mha ; inline\n\n; the old one\n\n# in Paris\n"
	        "[ server1 ]\n\n\thostname = db1\n# a note inside\nport=3307\n\n\n[server10]\n"
	        "hostname=db10\n");
	assert_removed(file_text, "server1",
	        "# our shop\n[server default]\nuser=mha ; inline\n\n; the old one\n[server2]\n"
	        "hostname=db2\n# candidate_master=1\n\n# in Paris\n\n\n[server10]\n"
	        "hostname=db10\n");
	assert_removed("[a]\n\n[b]\ny=1\n# of c\n[c]\nz=1\n", "b", "[a]\n\n# of c\n[c]\nz=1\n");
	assert_removed("[a]\n\n[b]\n# empty\n\n# of c\n[c]\n", "b", "[a]\n\n# of c\n[c]\n");
	assert_removed("[a]\n\n[b]\ny=1\n\n# the end\n", "b", "[a]\n\n# the end\n");
}

static void test_text_with_a_block_more(void **state)
{
	(void)state;
	assert_added("", "[server9]\nhostname=db9\nport=3310\n");
	assert_added("[a]\nx=1\n", "[a]\nx=1\n\n[server9]\nhostname=db9\nport=3310\n");
	assert_added("[a]\nx=1", "[a]\nx=1\n\n[server9]\nhostname=db9\nport=3310\n");
	assert_added("[a]\nx=1\n\n", "[a]\nx=1\n\n[server9]\nhostname=db9\nport=3310\n");
	assert_added(
	        "[a]\r\nx=1\r\n", "[a]\r\nx=1\r\n\r\n[server9]\r\nhostname=db9\r\nport=3310\r\n");
	assert_added("[a]\rx=1", "[a]\rx=1\r\r[server9]\rhostname=db9\rport=3310\r");
	assert_removed("[a]\nx=1\n\n[server9]\nhostname=db9\nport=3310\n", "server9", "[a]\nx=1\n");
}

static bool add(const char *name, const char *block, const char *params)
{
	AUTO(free) char *text = xstrdup(params);
	AUTO(free) struct conf_edit_param *p = NULL;
	bool added;
	size_t n;

	memset(&err, 0, sizeof(err));
	p = conf_edit_params(text, &n, &err);
	return p && conf_edit_add_block(path_of(name), block, p, n, &added, &err) && added;
}

static bool drop(const char *name, const char *block)
{
	bool removed;

	memset(&err, 0, sizeof(err));
	return conf_edit_remove_block(path_of(name), block, &removed, &err) && removed;
}

static void test_the_file_keeps_its_looks(void **state)
{
	AUTO(free)
	char *want = xasprintf("%s\n[server9]\nhostname=db9\npassword=a=b'c\n", file_text);
	struct stat before, after;

	(void)state;
	write_bytes("app.cnf", file_text, strlen(file_text), 0640);
	if (!geteuid())
		assert_int_equal(chown(path_of("app.cnf"), 123, 456), 0);
	assert_int_equal(stat(path_of("app.cnf"), &before), 0);
	assert_true(add("app.cnf", "server9", "hostname=db9;password=a=b'c"));
	assert_string_equal(read_text("app.cnf"), want);
	assert_int_equal(stat(path_of("app.cnf"), &after), 0);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_int_equal(after.st_gid, before.st_gid);
	assert_true(load("app.cnf"));
	assert_string_equal(server("server9")->hostname, "db9");
	assert_string_equal(server("server9")->password, "a=b'c");
	assert_true(drop("app.cnf", "server9"));
	assert_string_equal(read_text("app.cnf"), file_text);
	assert_int_equal(access(path_of(".app.cnf.mhad-edit"), F_OK), -1);
}

static void test_what_is_there_already_and_what_is_not(void **state)
{
	struct stat before, after;

	(void)state;
	write_text("app.cnf", file_text);
	assert_int_equal(stat(path_of("app.cnf"), &before), 0);
	assert_false(add("app.cnf", "server1", "hostname=db9"));
	assert_int_equal(err.kind, ERR_NONE);
	assert_false(drop("app.cnf", "server3"));
	assert_int_equal(err.kind, ERR_NONE);
	assert_int_equal(stat(path_of("app.cnf"), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void test_what_would_not_load_is_refused(void **state)
{
	static const struct {
		const char *block, *params, *text, *hint;
	} rows[] = {
		{ "server9", "port=1", "does not have hostname", "" },
		{ "server9", "hostname=db9;port=99999", "99999", "1 to 65535" },
		{ "server9", "hostname=db2", "duplicate", "" },
		{ "server9", "hostname='db9'", "quotes", "" },
		{ "server9", "hostname=db9;candidate_mastr=1",
		        "Parameter name candidate_mastr is invalid!", "candidate_master?" },
		{ "server9", "hostname=db9;port=1;port=2", "port is given twice", "" },
		{ "server9", "hostname=db9;port", "\"port\" is not name=value", "" },
		{ "server9", "hostname=db9;user=a\nb", "control character", "" },
		{ "server9", "hostname=db9\n[server8]", "control character", "" },
		{ "server", "hostname=db9", "no name for a block", "" },
		{ "server default", "hostname=db9", "no name for a block", "" },
		{ "server9]\nuser=x", "hostname=db9", "no name for a block", "" },
		{ "binlog1", "hostname=db9", "no name for a block", "" },
	};

	(void)state;
	write_text("app.cnf", file_text);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_false(add("app.cnf", rows[i].block, rows[i].params));
		if (err.kind != ERR_CONFIG || !strstr(err.text, rows[i].text) ||
		        !strstr(err.hint, rows[i].hint))
			fail_msg("row %zu: %d %s (%s)", i, (int)err.kind, err.text, err.hint);
		assert_string_equal(read_text("app.cnf"), file_text);
	}
	assert_false(drop("app.cnf", "server default"));
	assert_int_equal(err.kind, ERR_CONFIG);
	write_text("app.cnf", "[server1]\nhostname=db1\n");
	assert_false(drop("app.cnf", "server1"));
	assert_non_null(strstr(err.text, "no server in the configuration"));
	assert_string_equal(read_text("app.cnf"), "[server1]\nhostname=db1\n");
	assert_int_equal(access(path_of(".app.cnf.mhad-edit"), F_OK), -1);
}

static void test_files_that_are_none(void **state)
{
	(void)state;
	assert_false(add("app.cnf", "server9", "hostname=db9"));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_int_equal(err.code, ENOENT);
	write_text("app.conf", "servers = ( { hostname = \"db1\"; } );\n");
	assert_false(add("app.conf", "server9", "hostname=db9"));
	assert_int_equal(err.kind, ERR_PRECOND);
	assert_non_null(strstr(err.hint, "by hand"));
	assert_int_equal(mkdir(path_of("dir.cnf"), 0755), 0);
	assert_false(drop("dir.cnf", "server9"));
	assert_int_equal(mkfifo(path_of("pipe.cnf"), 0644), 0);
	assert_false(drop("pipe.cnf", "server9"));
	assert_non_null(strstr(err.text, "not a regular file"));
}

static void test_a_link_leads_to_the_file(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(path_of("sub"), 0755), 0);
	write_text("sub/real", file_text);
	assert_int_equal(symlink("sub/real", path_of("app.cnf")), 0);
	assert_true(add("app.cnf", "server9", "hostname=db9"));
	assert_int_equal(lstat(path_of("app.cnf"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_non_null(strstr(read_text("sub/real"), "[server9]\n"));
}

/* What an interrupted edit left behind is in nobody's way, nor is a link there a way out. */
static void test_leftovers(void **state)
{
	(void)state;
	write_text("app.cnf", file_text);
	write_text("precious", "precious");
	assert_int_equal(symlink(path_of("precious"), path_of(".app.cnf.mhad-edit")), 0);
	assert_true(add("app.cnf", "server9", "hostname=db9"));
	assert_string_equal(read_text("precious"), "precious");
	write_text(".app.cnf.mhad-edit", "half a fi");
	assert_true(add("app.cnf", "server8", "hostname=db8"));
}

static void test_editors_wait_for_each_other(void **state)
{
	enum { MANY = 12 };
	pid_t pids[MANY];
	int status;

	(void)state;
	write_text("app.cnf", file_text);
	for (int i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			AUTO(free)
			char *block = xasprintf("server_new%d", i),
			     *params = xasprintf("hostname=new%d", i);

			_exit(!add("app.cnf", block, params) || (i % 2 && !drop("app.cnf", block)));
		}
	}
	for (int i = 0; i < MANY; i++) {
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_true(load("app.cnf"));
	assert_int_equal(c->n_servers, 3 + MANY / 2);
	for (int i = 0; i < MANY; i += 2) {
		AUTO(free) char *block = xasprintf("server_new%d", i);
		server(block);
	}
}

static void test_a_change_by_others_is_kept(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	write_text("app.cnf", file_text);
	AUTO_FD int fd = open(path_of("app.cnf"), O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	pid = fork();
	if (!pid)
		_exit(!add("app.cnf", "server9", "hostname=db9"));
	usleep(100000); /* so that it waits, most likely */
	write_text("new.cnf", "[server1]\nhostname=other\n");
	assert_int_equal(rename(path_of("new.cnf"), path_of("app.cnf")), 0);
	flock(fd, LOCK_UN);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_string_equal(
	        read_text("app.cnf"), "[server1]\nhostname=other\n\n[server9]\nhostname=db9\n");
}

/* Killed at any moment: the old file or the new one, never a part, never a third. */
static void test_killed_in_the_middle(void **state)
{
	AUTO(free) char *with = xasprintf("%s\n[server9]\nhostname=db9\n", file_text);
	int changed = 0;

	(void)state;
	write_text("app.cnf", file_text);
	for (int i = 0; i < 150; i++) {
		pid_t pid = fork();

		if (!pid) {
			for (;;) {
				(void)!add("app.cnf", "server9", "hostname=db9");
				(void)!drop("app.cnf", "server9");
			}
		}
		usleep((useconds_t)(500 + i * 37));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (str_is(read_text("app.cnf"), with))
			changed++;
		else
			assert_string_equal(read_text("app.cnf"), file_text);
	}
	assert_true(changed > 0);
	(void)!drop("app.cnf", "server9");
	assert_true(add("app.cnf", "server9", "hostname=db9"));
	assert_string_equal(read_text("app.cnf"), with);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
		T(test_text_with_a_block_less),
		T(test_comments_stay_with_what_they_are_about),
		T(test_text_with_a_block_more),
		T(test_the_file_keeps_its_looks),
		T(test_what_is_there_already_and_what_is_not),
		T(test_what_would_not_load_is_refused),
		T(test_files_that_are_none),
		T(test_a_link_leads_to_the_file),
		T(test_leftovers),
		T(test_editors_wait_for_each_other),
		T(test_a_change_by_others_is_kept),
		T(test_killed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
