/* SPDX-License-Identifier: BSD-2-Clause */
/* ssh without a network: option strings, key files, known_hosts.  The rest is in
 * tests/lab/test_ssh.py. */
#include "ssh_impl.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define ED25519 "AAAAC3NzaC1lZDI1NTE5AAAAIB+vmzIo57P/pMmpH5fvEb2Us9Yiup7Y2OJdbXcP9uzA"
#define ECDSA                                                                                      \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOQCXJJLUXQnRhGxFf59D5Q4Ka1H/"        \
	"Y2XCNHXui9a"                                                                              \
	"nMN0KAGj6+1KVQAWplNsclXtAZFVuMGISxts+a3aYfKlwp0="

static void check_split(const char *text, const char *joined)
{
	AUTO_STR struct str s = STR_INIT;
	struct err e = { 0 };
	AUTO(ssh_split) char **w = ssh_split(text, "/home/me", &e);

	if (!joined) {
		assert_null(w);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_non_null(strstr(e.text, "ssh_options"));
		return;
	}
	assert_non_null(w);
	for (char **p = w; *p; p++)
		str_addf(&s, "[%s]", *p);
	assert_string_equal(s.p, joined);
}

static void options_are_split_like_sh(void **state)
{
	(void)state;
	check_split("", "");
	check_split("  \t ", "");
	check_split("-i /k -o A=b", "[-i][/k][-o][A=b]");
	check_split("-o \"ProxyCommand=ssh -W %h:%p jump\"  -v",
	        "[-o][ProxyCommand=ssh -W %h:%p jump][-v]");
	check_split("'a b'c\"d e\" '' \"\"", "[a bcd e][][]");
	check_split("a\\ b \"x\\\"y\\z\" 'p\\q'", "[a b][x\"y\\z][p\\q]");
	check_split("-i ~/.ssh/k a~/b \"~/c\"", "[-i][/home/me/.ssh/k][a~/b][~/c]");
	check_split("\\$x '$y' \\;", "[$x][$y][;]");
	check_split("\"it's\" 'say \"x\"'", "[it's][say \"x\"]");
	check_split("a\\", "[a\\]");
}

static void what_needs_a_shell_is_refused(void **state)
{
	static const char *const bad[] = { "-i $HOME/k", "a;b", "a|b", "a&", "`id`", "\"$(id)\"",
		"a>b", "'open", "\"open", "(x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_split(bad[i], NULL);
}

static void check_key(const char *text, const char *type, bool encrypted)
{
	struct ssh_key_info k;

	assert_int_equal(ssh_key_look(text, &k), type != NULL);
	if (type) {
		assert_string_equal(k.type, type);
		assert_int_equal(k.encrypted, encrypted);
	}
}

/* The beginnings of key files: what makes them secret comes later. */
static void key_files(void **state)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text),
	        "%sb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
	        "QyNTUxOQAAACD5VEbjH++cjI2CT72kFRG8v3K47eMWjKs2MstqSZQJdwAAAJDmxyUe5scl\n",
	        begin);
	check_key(text, "ssh-ed25519", false);
	snprintf(text, sizeof(text),
	        "%sb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAZL/b7/A\r\n"
	        "nYrPPOXuVvfWQaAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAILgRwEMwCiL5Aj+z\r\n",
	        begin);
	check_key(text, "ssh-ed25519", true);
	snprintf(text, sizeof(text),
	        "%sb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS\n"
	        "1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQQCCycz4jY4YJLw9vFPuUlb7POW2+yM\n",
	        begin);
	check_key(text, "ecdsa-sha2-nistp256", false);
	check_key("-----BEGIN RSA PRIVATE KEY-----\nMII", "ssh-rsa", false);
	check_key("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "ssh-rsa", true);
	check_key("-----BEGIN EC PRIVATE KEY-----\n", "ecdsa", false);
	check_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "", true);
	check_key("-----BEGIN PRIVATE KEY-----\n", "", false);
	check_key("ssh-ed25519 " ED25519 " me@here\n", NULL, false);
	snprintf(text, sizeof(text), "%sb3BlbnNzaC1rZXktdjEAAAAABG5v\n", begin);
	check_key(text, NULL, false);
	check_key("", NULL, false);
}

static void base64(void **state)
{
	static const char *const known[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "\377\376\375", "//79" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		AUTO_STR struct str s = STR_INIT;

		ssh_add_base64(&s, known[i][0], strlen(known[i][0]));
		assert_string_equal(s.p, known[i][1]);
	}
}

static const char hosts[] =
        "# comment\n"
        "\n"
        "db1,10.0.0.1 ssh-ed25519 " ED25519 " comment\n"                              /* 3 */
        "*.example.com,!bad.example.com ecdsa-sha2-nistp256 " ECDSA "\r\n"            /* 4 */
        "[db1]:2222 ecdsa-sha2-nistp256 " ECDSA "\n"                                  /* 5 */
        "|1|pdDpw2yGXR+i3S/Diygo/rIpMJE=|/agjeCeyTASPLUhXGLF0qmplRn8= ssh-rsa AAAA\n" /* 6: db1 */
        "|1|6/FiLtFZhTHbQ5+5t55+g8KvewY=|82kl2DZl0+JLDQWE7VZqhSHTycE= ssh-ed25519 " ED25519
        "\n" /* 7: [db1]:2222 */
        "|1|junk|\n"
        "lonely\n"
        "@revoked old ssh-ed25519 " ED25519 "\n"         /* 10 */
        "old ssh-ed25519 " ED25519 "\n"                  /* 11 */
        "@cert-authority *.ca ssh-ed25519 " ED25519 "\n" /* 12 */
        "db? ssh-dss AAAA";                              /* 13 */

static void check_scan(const char *name, const char *type, const char *key, enum ssh_verdict v,
        const char *where, const char *types)
{
	struct ssh_known k = { .types = STR_INIT };

	ssh_known_scan(&k, "F", hosts, name, type, key);
	assert_int_equal(k.verdict, v);
	assert_string_equal(k.where, where);
	assert_string_equal(k.types.p, types);
	assert_int_equal(k.has_ca, !strcmp(name, "x.ca"));
	ssh_known_done(&k);
}

static void known_hosts_are_read_as_ssh_does(void **state)
{
	(void)state;
	check_scan("db1", "ssh-ed25519", ED25519, SSH_KEY_KNOWN, "F line 3",
	        "ssh-ed25519,ssh-rsa,ssh-dss");
	check_scan("10.0.0.1", "ssh-ed25519", ED25519, SSH_KEY_KNOWN, "F line 3", "ssh-ed25519");
	check_scan(
	        "10.0.0.1", "ssh-ed25519", "AAAAother", SSH_KEY_CHANGED, "F line 3", "ssh-ed25519");
	check_scan("10.0.0.1", "ecdsa-sha2-nistp256", ECDSA, SSH_KEY_CHANGED, "F line 3",
	        "ssh-ed25519");
	check_scan("10.0.0.2", "ssh-ed25519", ED25519, SSH_KEY_UNKNOWN, "", "");
	check_scan("a.example.com", "ecdsa-sha2-nistp256", ECDSA, SSH_KEY_KNOWN, "F line 4",
	        "ecdsa-sha2-nistp256");
	check_scan("bad.example.com", "ecdsa-sha2-nistp256", ECDSA, SSH_KEY_UNKNOWN, "", "");
	check_scan("[db1]:2222", "ecdsa-sha2-nistp256", ECDSA, SSH_KEY_KNOWN, "F line 5",
	        "ecdsa-sha2-nistp256,ssh-ed25519");
	check_scan("[db1]:2222", "ssh-ed25519", ED25519, SSH_KEY_KNOWN, "F line 7",
	        "ecdsa-sha2-nistp256,ssh-ed25519");
	check_scan("[db1]:2223", "ssh-ed25519", ED25519, SSH_KEY_UNKNOWN, "", "");
	check_scan(
	        "db1", "ssh-rsa", "AAAA", SSH_KEY_KNOWN, "F line 6", "ssh-ed25519,ssh-rsa,ssh-dss");
	check_scan("old", "ssh-ed25519", ED25519, SSH_KEY_REVOKED, "F line 10", "ssh-ed25519");
	check_scan("x.ca", "ssh-ed25519", ED25519, SSH_KEY_UNKNOWN, "", "");
	check_scan("db7", "ssh-ed25519", ED25519, SSH_KEY_CHANGED, "F line 13", "ssh-dss");
	check_scan("db77", NULL, NULL, SSH_KEY_UNKNOWN, "", "");
	check_scan("db7", NULL, NULL, SSH_KEY_CHANGED, "F line 13", "ssh-dss");
}

/* ---- accepting and pinning ---- */

static char dir[64], file[128];
static struct ssh_target target;
static unsigned char key_a[51] = "\0\0\0\013ssh-ed25519\0\0\0\040first key, 32 bytes of some sort";
static unsigned char key_b[51] = "\0\0\0\013ssh-ed25519\0\0\0\040other key, 32 bytes of some sort";
static const unsigned char print[32] = { 1 };

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_ssh_XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/new/hosts", dir);
	target = (struct ssh_target){ .name = "db1",
		.address = "10.0.0.1",
		.host_key_name = "db1",
		.port = 2222,
		.user = "mha",
		.host_keys = SSH_HOST_KEYS_ACCEPT_NEW,
		.known_hosts = file };
	return 0;
}

static int teardown(void **state)
{
	char other[160];

	(void)state;
	unlink(file);
	snprintf(other, sizeof(other), "%s/new", dir);
	rmdir(other);
	snprintf(other, sizeof(other), "%s/real", dir);
	unlink(other);
	return rmdir(dir);
}

static bool accept_key(const unsigned char *key, struct err *e)
{
	memset(e, 0, sizeof(*e));
	return ssh_known_accept(&target, key, sizeof(key_a), print, e);
}

static void read_file(struct str *ret)
{
	FILE *f = fopen(file, "r");
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		str_addc(ret, (char)c);
	fclose(f);
}

static void strict_wants_an_entry(void **state)
{
	struct err e;

	(void)state;
	target.host_keys = SSH_HOST_KEYS_STRICT;
	assert_false(accept_key(key_a, &e));
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_non_null(strstr(e.text, "[db1]:2222"));
	assert_non_null(strstr(e.text, file));
	assert_non_null(strstr(e.hint, "SHA256:AQAA"));
	assert_non_null(strstr(e.hint,
	        "ssh-keyscan -t ed25519 -p 2222 10.0.0.1 | sed 's/^[^ ]*/[db1]:2222/' >> "));
	assert_int_equal(access(file, F_OK), -1);
}

static void first_key_is_pinned(void **state)
{
	AUTO_STR struct str text = STR_INIT;
	struct stat st;
	struct err e;

	(void)state;
	assert_true(accept_key(key_a, &e));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	*strrchr(file, '/') = '\0';
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	file[strlen(file)] = '/';
	assert_true(accept_key(key_a, &e));
	target.host_keys = SSH_HOST_KEYS_STRICT;
	assert_true(accept_key(key_a, &e));
	read_file(&text);
	assert_true(str_starts(text.p, "[db1]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZpcnN0"));
	assert_ptr_equal(strchr(text.p, '\n'), text.p + text.len - 1);
}

static void changed_key_is_refused(void **state)
{
	AUTO_STR struct str text = STR_INIT;
	struct err e;

	(void)state;
	assert_true(accept_key(key_a, &e));
	assert_false(accept_key(key_b, &e));
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_non_null(strstr(e.text, "CHANGED"));
	assert_non_null(strstr(e.text, "hosts line 1"));
	assert_non_null(strstr(e.hint, "ssh-keygen -R '[db1]:2222' -f "));
	target.port = 22;
	assert_true(accept_key(key_b, &e));
	read_file(&text);
	assert_non_null(strstr(text.p, "\ndb1 ssh-ed25519 "));
}

static void file_without_last_line_end(void **state)
{
	AUTO_STR struct str text = STR_INIT;
	struct err e;
	FILE *f;

	(void)state;
	target.known_hosts = snprintf(file, sizeof(file), "%s/real", dir) ? file : NULL;
	f = fopen(file, "w");
	fputs("x ssh-ed25519 AAAA", f);
	fclose(f);
	assert_true(accept_key(key_a, &e));
	read_file(&text);
	assert_true(str_starts(text.p, "x ssh-ed25519 AAAA\n[db1]:2222 ssh-ed25519 "));
}

static void no_writing_through_links(void **state)
{
	char real[128];
	struct err e;

	(void)state;
	snprintf(file, sizeof(file), "%s/link", dir);
	snprintf(real, sizeof(real), "%s/real", dir);
	assert_int_equal(symlink(real, file), 0);
	assert_false(accept_key(key_a, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_non_null(strstr(e.hint, "symbolic link"));
	assert_int_equal(access(real, F_OK), -1);
}

/* Eight processes meet the same new host; half of them are shown another key. */
static void pinned_once_by_many(void **state)
{
	AUTO_STR struct str text = STR_INIT;
	struct err e;
	int go[2], accepted[2] = { 0 }, status;
	pid_t pid[8];

	(void)state;
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < 8; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			char c;

			close(go[1]);
			if (read(go[0], &c, 1) < 0)
				_exit(9);
			_exit(accept_key(i % 2 ? key_b : key_a, &e) ? 0
			        : e.kind == ERR_REFUSED ? 1
			                                : 2);
		}
	}
	close(go[1]);
	close(go[0]);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_in_range(WEXITSTATUS(status), 0, 1);
		accepted[i % 2] += WEXITSTATUS(status) == 0;
	}
	assert_true(
	        (accepted[0] == 4 && accepted[1] == 0) || (accepted[0] == 0 && accepted[1] == 4));
	read_file(&text);
	assert_ptr_equal(strchr(text.p, '\n'), text.p + text.len - 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_split_like_sh),
		cmocka_unit_test(what_needs_a_shell_is_refused),
		cmocka_unit_test(key_files),
		cmocka_unit_test(base64),
		cmocka_unit_test(known_hosts_are_read_as_ssh_does),
		TEST(strict_wants_an_entry),
		TEST(first_key_is_pinned),
		TEST(changed_key_is_refused),
		TEST(file_without_last_line_end),
		TEST(no_writing_through_links),
		TEST(pinned_once_by_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
