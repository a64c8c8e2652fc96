/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_secondary - `masterha_secondary_check`: is the master seen from other hosts?
 *
 * Options, lines and exit codes are MHA's: 0, from none of the hosts; 3, from one; 2, one of them could
 * not be asked; the first host in their order that is not "OK" decides.  They are asked side by side.
 * On purpose not as MHA:
 *  - every wait ends: a host that hangs "is NOT reachable" (2: no failover);
 *  - a name that is not known over there is tried by --master_ip, if that was given;
 *  - with --ping_type=INSERT an error that a living server gives to logins (1040, 1045, 1129...) does not
 *    make it "not writable", and where there is no mysql client the master counts as reachable, with a
 *    word about it: that nothing was tried is no sign of death;
 *  - the password goes to the client on its standard input, not by command lines.
 */
#include "cmds.h"
#include "clock.h"
#include "db.h"
#include "job.h"
#include "loop.h"
#include "names.h"
#include "ssh.h"
#include "vec.h"
#include "witness.h"
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OK = 0,
	FAILED = 1,
	NOT_ASKED = 2,
	REACHABLE = 3,
	INSERT_MS = 3000,
	SLACK_MS = 2000,
	MOST_HOSTS = 64,
	STATUS_NO_CLIENT = 127,
};

struct check {
	VEC(const char *) hosts;
	const char *user, *options, *master_host, *master_ip, *master_user, *ping_type;
	char *master_password;
	int port, master_port, timeout_s;
	bool help, version;
	struct loop *loop;
	struct spot *spots;
	size_t next; /* whose line is the next to be printed */
	int code;
};

enum verdict { WAITING, UNSEEN, UNWRITABLE, SEEN, ILL };
struct spot {
	struct check *check;
	const char *host;
	enum verdict verdict; /* loop */
	enum verdict found;   /* worker */
	char note[300];       /* for stderr */
	char address[64];
};

/* ---- command line, as Getopt::Long takes it ---- */

enum kind { TEXT, NUMBER, LIST, SECRET, FLAG };
struct option {
	const char *name;
	enum kind kind;
	void *to;
};

static void warn(const char *fmt, const char *what)
{
	fprintf(stderr, fmt, what);
}

static bool same_letters(const char *typed, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		char a = (char)tolower((unsigned char)typed[i]);

		if ((a == '-' ? '_' : a) != name[i])
			return false;
	}
	return true;
}

static const struct option *find(const struct option *o, const char *typed, size_t n)
{
	const struct option *found = NULL;

	for (; o->name; o++) {
		if (!n || !same_letters(typed, n, o->name))
			continue;
		if (strlen(o->name) == n)
			return o;
		if (found) {
			AUTO(free) char *word = xstrndup(typed, n);

			warn("Option %s is ambiguous\n", word);
			return NULL;
		}
		found = o;
	}
	if (!found) {
		AUTO(free) char *word = xstrndup(typed, n);

		warn("Unknown option: %s\n", word);
	}
	return found;
}

static void set(struct check *k, const struct option *o, char *value)
{
	long long n;

	switch (o->kind) {
	case TEXT: *(const char **)o->to = value; break;
	case LIST: vec_push(&k->hosts, value); break;
	case SECRET:
		mem_free_secret(*(char **)o->to);
		*(char **)o->to = xstrdup(value);
		memset(value, 'x', strlen(value));
		break;
	case NUMBER:
		if (str_to_int(value, 1, 65535, &n))
			*(int *)o->to = (int)n;
		else
			fprintf(stderr, "Value \"%s\" invalid for option %s (number expected)\n",
			        value, o->name);
		break;
	case FLAG: break;
	}
}

/* What is unknown is told, and the rest counts. */
static void read_options(struct check *k, const struct option *all, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *word = argv[i], *value;
		const struct option *o;
		size_t n;

		if (str_is(word, "--"))
			return;
		if (word[0] != '-' || !word[1])
			continue;
		word += word[1] == '-' ? 2 : 1;
		n = strcspn(word, "=");
		o = str_is(word, "h") ? find(all, "help", 4) : find(all, word, n);
		if (!o)
			continue;
		value = word[n] ? word + n + 1 : NULL;
		if (o->kind == FLAG)
			*(bool *)o->to = true;
		else if (value || i + 1 < argc)
			set(k, o, value ? value : argv[++i]);
		else
			warn("Option %s requires an argument\n", o->name);
	}
}

/* ---- on a worker: one host ---- */

static struct ssh *open_host(struct spot *s, int64_t deadline, struct err *e)
{
	struct check *k = s->check;
	struct names_item name = { .name = s->host };
	struct ssh_target t = { .name = s->host,
		.address = s->address,
		.host_key_name = s->host,
		.port = (unsigned)k->port,
		.user = k->user,
		.options = k->options,
		.host_keys = SSH_HOST_KEYS_ACCEPT_NEW };

	names_look_up(&name, 1, deadline);
	memcpy(s->address, name.address, sizeof(s->address));
	if (!s->address[0]) { /* ~/.ssh/config may know it */
		t.address = s->host;
		t.host_key_name = NULL;
		t.transport = SSH_TRANSPORT_OPENSSH;
	}
	return ssh_open(&t, clock_sooner(deadline, clock_in(k->timeout_s * 1000LL)), e);
}

static bool look_from(struct spot *s, struct ssh *ssh, const char *master, int64_t deadline,
        struct witness_answer *ret, struct err *e)
{
	struct check *k = s->check;
	AUTO(free)
	char *line = witness_line(master, k->master_port, k->timeout_s * 1000LL, NULL);
	struct ssh_result r;
	bool ok;

	*ret = (struct witness_answer){ .word = WITNESS_ILL };
	if (!ssh_exec(ssh, line, NULL, 0, deadline, &r, e))
		return false;
	ok = witness_read(r.out.p, ret) ||
	     err_set(e, ERR_PARSE, 0, "it answers something else: %.200s", str_trim(r.err.p));
	ssh_result_done(&r);
	return ok;
}

/* A value in an option file. */
static void add_value(struct str *s, const char *name, const char *value)
{
	if (!value)
		return;
	str_addf(s, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			str_addc(s, '\\');
		str_addc(s, *value);
	}
	str_add(s, "\"\n");
}

/* `cat` makes a pipe of whatever the standard input is: a socket cannot be opened by name. */
static char *insert_line(const struct check *k, const char *master)
{
	static const char client[] =
	        "c=; for x in mysql mariadb /usr/bin/mysql; do "
	        "command -v $x >/dev/null 2>&1 && { c=$x; break; }; done; "
	        "test -n \"$c\" || exit 127; t=; "
	        "command -v timeout >/dev/null 2>&1 && t=\"timeout 3\"; "
	        "cat | $t $c --defaults-extra-file=/dev/stdin --connect-timeout=3 -h \"$1\" "
	        "-P \"$2\" -e \"$3\"";
	static const char insert[] =
	        "CREATE DATABASE IF NOT EXISTS infra; "
	        "CREATE TABLE IF NOT EXISTS infra.chk_masterha (`key` tinyint NOT NULL primary "
	        "key, `val` int(10) unsigned NOT NULL DEFAULT '0'); "
	        "INSERT INTO infra.chk_masterha VALUES (1, unix_timestamp()) "
	        "ON DUPLICATE KEY UPDATE val=unix_timestamp()";
	struct str line = STR_INIT;

	str_add(&line, "sh -c ");
	str_add_shell(&line, client);
	str_add(&line, " sh ");
	str_add_shell(&line, master);
	str_addf(&line, " %d ", k->master_port);
	str_add_shell(&line, insert);
	return str_take(&line);
}

static int client_error(const char *said)
{
	const char *p = strstr(said, "ERROR ");

	return p ? atoi(p + strlen("ERROR ")) : 0;
}

static enum verdict judge_insert(struct spot *s, int status, const char *said)
{
	if (status == 0)
		return SEEN;
	if (status == STATUS_NO_CLIENT) {
		snprintf(s->note, sizeof(s->note),
		        "%s: there is no mysql client, the INSERT was not tried", s->host);
		return SEEN;
	}
	snprintf(s->note, sizeof(s->note), "%s: INSERT: %.200s", s->host,
	        *said ? said : "no answer in time");
	return db_code_is_alive(client_error(said)) ? SEEN : UNWRITABLE;
}

static enum verdict try_insert(struct spot *s, struct ssh *ssh, const char *master)
{
	struct check *k = s->check;
	AUTO(free) char *line = insert_line(k, master);
	AUTO_STR struct str input = STR_INIT;
	struct ssh_result r;
	struct err e = { 0 };
	enum verdict v;

	str_add(&input, "[client]\n");
	add_value(&input, "user", k->master_user);
	add_value(&input, "password", k->master_password);
	if (!ssh_exec(ssh, line, input.p, input.len, clock_in(INSERT_MS + 500), &r, &e)) {
		/* The server, or the way to the host?  A second look tells. */
		v = ssh_is_alive(ssh, clock_in(1000)) ? UNWRITABLE : ILL;
		snprintf(s->note, sizeof(s->note), "%s: INSERT: %.200s", s->host, e.text);
	} else {
		v = judge_insert(s, r.status, str_trim(r.err.p));
		ssh_result_done(&r);
	}
	mem_wipe(input.p, input.len);
	return v;
}

static enum verdict judge(
        struct spot *s, struct ssh *ssh, const struct witness_answer *a, const char *master)
{
	switch (a->reach) {
	case WITNESS_ERROR: return SEEN;
	case WITNESS_GREETING:
		return str_is(s->check->ping_type, "INSERT") ? try_insert(s, ssh, master) : SEEN;
	case WITNESS_OPEN: return str_is(s->check->ping_type, "INSERT") ? UNWRITABLE : SEEN;
	case WITNESS_REACH_NONE:
		snprintf(s->note, sizeof(s->note), "%s: %s", s->host, a->detail);
		return ILL;
	case WITNESS_NO_NAME:
		snprintf(s->note, sizeof(s->note), "%s: %s: %s", s->host, master, a->detail);
		return UNSEEN;
	default: return UNSEEN;
	}
}

static bool work(struct job *j, void *arg, struct err *e)
{
	struct spot *s = arg;
	struct check *k = s->check;
	struct ssh *ssh = open_host(s, job_deadline(j), e);
	const char *master = k->master_host;
	struct witness_answer a;
	bool ok;

	if (!ssh)
		return false;
	ok = look_from(s, ssh, master, job_deadline(j), &a, e);
	if (ok && a.reach == WITNESS_NO_NAME && k->master_ip) {
		master = k->master_ip;
		ok = look_from(s, ssh, master, job_deadline(j), &a, e);
	}
	s->found = ok ? judge(s, ssh, &a, master) : ILL;
	ssh_close(ssh);
	return ok;
}

/* ---- on the loop: lines in their order ---- */

/* True: the next one counts. */
static bool print_one(struct check *k, const struct spot *s)
{
	if (s->note[0])
		fprintf(stderr, "%s\n", s->note);
	switch (s->verdict) {
	case UNSEEN:
		printf("Monitoring server %s is reachable, Master is not reachable from %s. OK.\n",
		        s->host, s->host);
		return true;
	case UNWRITABLE:
		printf("Monitoring server %s is reachable, Master is not writable from %s. OK.\n",
		        s->host, s->host);
		return true;
	case SEEN:
		printf("Master is reachable from %s!\n", s->host);
		k->code = REACHABLE;
		return false;
	default:
		printf("Monitoring server %s is NOT reachable!\n", s->host);
		k->code = NOT_ASKED;
		return false;
	}
}

static void print_due(struct check *k)
{
	while (k->next < k->hosts.len && k->spots[k->next].verdict != WAITING) {
		if (!print_one(k, &k->spots[k->next++])) {
			loop_stop(k->loop);
			return;
		}
	}
	if (k->next == k->hosts.len)
		loop_stop(k->loop);
}

static void done(struct job *j, void *arg, const struct err *e)
{
	struct spot *s = arg;

	if (e) {
		s->verdict = ILL;
		if (!job_is_late(j))
			snprintf(s->note, sizeof(s->note), "%s: %.200s", s->host, e->text);
	} else {
		s->verdict = s->found;
	}
	print_due(s->check);
}

static void on_signal(int signo)
{
	(void)signo;
	_exit(FAILED);
}

static int run(struct cmd *c, struct check *k)
{
	int64_t deadline =
	        clock_in(k->timeout_s * 3000LL + INSERT_MS + SLACK_MS); /* name, login, look */
	struct job_pool *pool;

	for (const int *s = (const int[]){ SIGINT, SIGHUP, SIGQUIT, SIGTERM, 0 }; *s; s++)
		signal(*s, on_signal);
	c->workers = true;
	k->loop = loop_new();
	pool = job_pool_new(k->loop, MOST_HOSTS);
	k->spots = xzalloc(k->hosts.len * sizeof(*k->spots));
	for (size_t i = 0; i < k->hosts.len; i++) {
		struct spot *s = &k->spots[i];

		s->check = k;
		s->host = k->hosts.items[i];
		job_start(pool, job_new(s->host, deadline, work, done, NULL, s));
	}
	loop_run(k->loop);
	return k->code;
}

static void usage(FILE *to)
{
	fputs("usage: masterha_secondary_check -s HOST1 -s HOST2 .. --master_host=HOST [options]\n"
	      "\n"
	      "  --secondary_host=HOST, -s HOST  a host to look from; may be repeated\n"
	      "  --user=NAME            login there (root)\n"
	      "  --port=N               SSH port there (22)\n"
	      "  --options=TEXT         options for ssh(1)\n"
	      "  --master_host=HOST     the master, as those hosts know it\n"
	      "  --master_ip=IP         its address, for hosts that do not know the name\n"
	      "  --master_port=N        (3306)\n"
	      "  --master_user=NAME, --master_password=TEXT, --ping_type=INSERT\n"
	      "                         try to write, too\n"
	      "  --timeout=SECONDS      for the login, and for the connection to the master (5)\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit code 0: the master is reachable from none of them; 2: one of them is not "
	      "reachable;\n3: the master is reachable from one; 1: usage, signal.\n\nexample:\n"
	      "  masterha_secondary_check -s db2 -s db3 --user=root --master_host=db1 --master_port=3306\n",
	        to);
}

int cmd_secondary_check(struct cmd *c, int argc, char **argv)
{
	/* Workers may use it to the end of the process. */
	struct check *k = xzalloc(sizeof(*k));
	const struct option options[] = {
		{ "help", FLAG, &k->help },
		{ "version", FLAG, &k->version },
		{ "secondary_host", LIST, NULL },
		{ "user", TEXT, &k->user },
		{ "port", NUMBER, &k->port },
		{ "options", TEXT, &k->options },
		{ "master_host", TEXT, &k->master_host },
		{ "master_ip", TEXT, &k->master_ip },
		{ "master_port", NUMBER, &k->master_port },
		{ "master_user", TEXT, &k->master_user },
		{ "master_password", SECRET, &k->master_password },
		{ "ping_type", TEXT, &k->ping_type },
		{ "timeout", NUMBER, &k->timeout_s },
		{ 0 },
	};

	k->user = "root";
	k->port = 22;
	k->master_port = 3306;
	k->timeout_s = 5;
	read_options(k, options, argc, argv);
	if (k->help) {
		usage(stdout);
		return OK;
	}
	if (k->version) {
		printf("masterha_secondary_check version %s.\n", MHA_COMPAT_VERSION);
		return OK;
	}
	if (!k->master_host || !*k->master_host) {
		printf("--master_host=<master_host> must be set.\n");
		usage(stdout);
		return FAILED;
	}
	return k->hosts.len ? run(c, k) : OK;
}
