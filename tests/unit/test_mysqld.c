/* SPDX-License-Identifier: BSD-2-Clause */
/* mysqld: which process is the server of a port, on hosts made of files. */
#include "mysqld.h"
#include <ftw.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "str.h"

static char *top, *proc, *etc;

static void put(const char *dir, const char *name, const void *bytes, size_t n)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);

	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void put_text(const char *dir, const char *name, const char *text)
{
	put(dir, name, text, strlen(text));
}

static void put_link(int pid, const char *name, const char *target)
{
	AUTO(free) char *path = xasprintf("%s/%d/%s", proc, pid, name);

	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
	char template[] = "/tmp/test_mysqld.XXXXXX";

	(void)state;
	top = xstrdup(mkdtemp(template));
	proc = xasprintf("%s/proc", top);
	etc = xasprintf("%s/root", top);
	put_text(proc, "net/tcp", "titles\n");
	put_text(proc, "1/stat", "1 (init) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0\n");
	put_text(proc, "1/cmdline", "");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(top);
	free(proc);
	free(etc);
	return 0;
}

/* `line`: words with blanks between. */
static void process(int pid, const char *exe, const char *line, const char *cwd, int inode)
{
	AUTO(free) char *words = xasprintf("%s ", line), *name = xasprintf("%d/cmdline", pid);
	AUTO(free) char *stat_name = xasprintf("%d/stat", pid);
	AUTO(free)
	char *stat_text =
	        xasprintf("%d (x) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 9 0 %d 0\n", pid, pid * 10);
	size_t n = strlen(words);

	for (char *p = words; *p; p++)
		if (*p == ' ')
			*p = '\0';
	put(proc, name, words, n);
	put_text(proc, stat_name, stat_text);
	if (exe)
		put_link(pid, "exe", exe);
	if (cwd)
		put_link(pid, "cwd", cwd);
	put_link(pid, "root", etc);
	put_link(pid, "fd/0", "/dev/null");
	if (inode) {
		AUTO(free) char *target = xasprintf("socket:[%d]", inode);

		put_link(pid, "fd/21", target);
	}
}

static void listening(const char *lines)
{
	AUTO(free) char *text = xasprintf("titles\n%s", lines);

	put_text(proc, "net/tcp", text);
}

#define LISTEN(port, inode)                                                                        \
	" 0: 00000000:" port " 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 " inode \
	" 1 0\n"

static struct mysqld_found find_in(int port, const char *datadir)
{
	struct mysqld_query q = { proc, etc, port, datadir };
	struct mysqld_found f;

	mysqld_find(&q, &f);
	return f;
}

static void by_socket(void **state)
{
	struct mysqld_found f;

	(void)state;
	listening(LISTEN("0CEA", "500") LISTEN("0CEB", "501"));
	process(100, "/usr/sbin/mysqld", "/usr/sbin/mysqld --port=3306", "/data/a", 500);
	process(200, "/usr/sbin/mysqld", "/usr/sbin/mysqld --port=3306", "/data/b", 501);
	f = find_in(3307, NULL);
	assert_int_equal(f.seen, MYSQLD_HERE);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.servers[0].pid, 200);
	assert_int_equal(f.servers[0].known_by, MYSQLD_BY_SOCKET);
	assert_int_equal(f.servers[0].start_ticks, 2000);
	assert_string_equal(f.datadir, "/data/b");
	/* The other one says this port too, but listens on 3306: it is another server. */
	f = find_in(3306, NULL);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.servers[0].pid, 100);
}

static void by_command_line(void **state)
{
	struct mysqld_found f;

	(void)state;
	process(100, "/usr/sbin/mariadbd", "mariadbd --port 3310 --datadir=/data/x", NULL, 0);
	f = find_in(3310, NULL);
	assert_int_equal(f.servers[0].known_by, MYSQLD_BY_COMMAND_LINE);
	assert_string_equal(f.datadir, "/data/x");
	assert_int_equal(find_in(3306, NULL).seen, MYSQLD_ABSENT);
}

static void by_option_file(void **state)
{
	struct mysqld_found f;

	(void)state;
	put_text(etc, "srv/my.cnf",
	        "[client]\nport=1\n[mysqld]\nport = 3311 # here\nloose_datadir=\"/data/y\"\n"
	        "!includedir /srv/more\n[mysql]\nport=2\n");
	put_text(etc, "srv/more/a.cnf", "[mariadb-10.11]\nport=3312\n");
	put_text(etc, "srv/more/b.cnf.old", "[mysqld]\nport=9\n");
	process(100, "/usr/sbin/mysqld (deleted)", "mysqld --defaults-file=/srv/my.cnf", NULL, 0);
	f = find_in(3312, NULL);
	assert_int_equal(f.servers[0].known_by, MYSQLD_BY_OPTION_FILE);
	assert_string_equal(f.servers[0].datadir, "/data/y");
	assert_int_equal(find_in(3311, NULL).seen, MYSQLD_ABSENT);
}

static void unreadable_options_are_no_knowledge(void **state)
{
	struct mysqld_found f;

	(void)state;
	process(100, "/usr/sbin/mysqld", "mysqld --defaults-file=/srv/gone.cnf", "/data/z", 0);
	f = find_in(3306, NULL);
	assert_int_equal(f.seen, MYSQLD_UNKNOWN);
	assert_int_equal(f.count, 0);
	assert_true(f.unseen_count > 0);
	f = find_in(3306, "/data/z/");
	assert_int_equal(f.servers[0].known_by, MYSQLD_BY_DATADIR);
}

static void through_the_loader(void **state)
{
	(void)state;
	process(100, "/opt/x/ld-linux-x86-64.so.2",
	        "/opt/x/ld-linux-x86-64.so.2 --library-path /opt/mysqld /opt/x/mysqld --port=3306",
	        NULL, 0);
	process(101, "/opt/x/ld-linux-x86-64.so.2",
	        "/opt/x/ld-linux-x86-64.so.2 --library-path /opt/mysqld /opt/x/cat /opt/mysqld "
	        "--port=3306",
	        NULL, 0);
	assert_int_equal(find_in(3306, NULL).count, 1);
	assert_int_equal(find_in(3306, NULL).servers[0].pid, 100);
}

static void the_name_is_not_enough(void **state)
{
	static const char *const exes[] = { "/bin/sleep", "/usr/bin/mysqld_exporter",
		"/usr/bin/mysqldump", "/usr/bin/vi", "/usr/bin/mysqld_multi" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exes); i++)
		process(100 + (int)i, exes[i], "/usr/sbin/mysqld --port=3306", NULL, 0);
	process(150, "/usr/sbin/mysqld", "mysqld --initialize --datadir=/tmp/new", NULL, 0);
	process(151, "/usr/sbin/mysqld", "mysqld --skip-networking", NULL, 0);
	assert_int_equal(find_in(3306, NULL).seen, MYSQLD_ABSENT);
}

static void strangers_and_the_unseen(void **state)
{
	struct mysqld_found f;

	(void)state;
	listening(LISTEN("0CEA", "500"));
	f = find_in(3306, NULL);
	assert_int_equal(
	        f.seen, MYSQLD_UNKNOWN); /* it listens, in a process that is not to be seen */
	process(100, "/usr/sbin/haproxy", "haproxy -f x", NULL, 500);
	put_text(proc, "100/comm", "haproxy\n");
	f = find_in(3306, NULL);
	assert_int_equal(f.seen, MYSQLD_ABSENT);
	assert_int_equal(f.stranger, 100);
	assert_string_equal(f.stranger_name, "haproxy");
}

static void another_network(void **state)
{
	struct mysqld_found f;

	(void)state;
	put_text(proc, "self/stat", "");
	put_link(100, "ns/net", "net:[2]");
	AUTO(free) char *mine = xasprintf("%s/self/ns", proc), *net = xasprintf("%s/net", mine);

	mkdir(mine, 0755);
	assert_int_equal(symlink("net:[1]", net), 0);
	process(100, "/usr/sbin/mysqld", "mysqld --port=3306", NULL, 0);
	f = find_in(3306, NULL);
	assert_int_equal(f.count, 0);
	assert_true(f.foreign);
}

static void hidden_processes(void **state)
{
	AUTO(free) char *path = xasprintf("%s/1/stat", proc);

	(void)state;
	unlink(path);
	assert_int_equal(find_in(3306, NULL).seen, MYSQLD_UNKNOWN);
}

static void mysqld_safe(void **state)
{
	struct mysqld_found f;

	(void)state;
	process(90, "/bin/dash", "/bin/sh /usr/bin/mysqld_safe --port=3306", NULL, 0);
	process(91, "/bin/dash", "/bin/sh /usr/bin/mysqld_safe --port=3307", NULL, 0);
	f = find_in(3306, NULL);
	assert_int_equal(f.count, 0);
	assert_int_equal(f.safe_count, 1);
	assert_int_equal(f.safes[0].pid, 90);
}

static void the_weak_yield_to_the_listener(void **state)
{
	struct mysqld_found f;

	(void)state;
	listening(LISTEN("0CEA", "500"));
	process(100, "/usr/sbin/mysqld", "mysqld --datadir=/data/other", NULL, 0);
	process(101, "/usr/sbin/mysqld", "mysqld --datadir=/data/a", NULL, 0);
	process(200, "/usr/sbin/mysqld", "mysqld", "/data/a", 500);
	f = find_in(3306, NULL);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.servers[0].pid, 200);
	assert_int_equal(f.servers[1].pid, 101); /* same data directory: it is still going down */
}

static void groups_of_instances(void **state)
{
	struct mysqld_opts o;

	(void)state;
	put_text(etc, "etc/my.cnf",
	        "[mysqld]\ndatadir=/d/one\n[mysqld2]\nport=3307\ndatadir=/d/two\n"
	        "[mysqld@b]\nport=3308\ndatadir=/d/b\n");
	assert_true(mysqld_opts_of_port(etc, 3306, &o));
	assert_string_equal(o.datadir, "/d/one");
	assert_true(mysqld_opts_of_port(etc, 3307, &o));
	assert_string_equal(o.datadir, "/d/two");
	assert_true(mysqld_opts_of_port(etc, 3308, &o));
	assert_string_equal(o.datadir, "/d/b");
	assert_false(mysqld_opts_of_port(etc, 3309, &o));
}

static void group_suffix_and_order(void **state)
{
	char *words[] = { (char[]){ "mysqld" }, (char[]){ "--defaults-group-suffix=@b" }, NULL };
	char *extra[] = { (char[]){ "mysqld" }, (char[]){ "--defaults-extra-file=/e.cnf" },
		(char[]){ "-P3399" }, NULL };
	struct mysqld_opts o;

	(void)state;
	put_text(etc, "etc/my.cnf",
	        "[mysqld]\nport=3306\n[mysqld@b]\nport=3308\n!include /etc/my.cnf\n");
	put_text(etc, "e.cnf", "[mysqld]\nport=3309\ndatadir=/e\n");
	mysqld_opts_read(
	        etc, words, &o); /* a file that includes itself ends, and says that it is odd */
	assert_int_equal(o.port, 3308);
	assert_true(o.incomplete);
	mysqld_opts_read(etc, extra, &o);
	assert_int_equal(o.port, 3399);
	assert_int_equal(o.port_by, MYSQLD_OPT_COMMAND_LINE);
	assert_string_equal(o.datadir, "/e");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_socket),
		TEST(by_command_line),
		TEST(by_option_file),
		TEST(unreadable_options_are_no_knowledge),
		TEST(through_the_loader),
		TEST(the_name_is_not_enough),
		TEST(strangers_and_the_unseen),
		TEST(another_network),
		TEST(hidden_processes),
		TEST(mysqld_safe),
		TEST(the_weak_yield_to_the_listener),
		TEST(groups_of_instances),
		TEST(group_suffix_and_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
