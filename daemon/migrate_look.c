/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * migrate_look - hooks, an old manager, accounts: what stands outside of the file.
 * Runs on: any thread (blocks).
 */
#include "migrate.h"
#include "clock.h"
#include "db.h"
#include "dialect.h"
#include "repl.h"
#include "status_file.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- hooks ---- */

enum { SCRIPT_MAX = 256 * 1024, CMDLINE_MAX = 4096 };

static size_t read_some(const char *path, char *buf, size_t size)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

/* The program that a hook's command begins with, as a path; NULL: not to be told (a shell's own words). */
static char *program_of(const struct conf *c, const char *command)
{
	AUTO(free) char *word = xstrndup(command, strcspn(command, " \t"));
	const char *path = getenv("PATH"), *slash = strrchr(c->real_path, '/');

	if (strpbrk(word, "'\"$`(){}=;|&<>"))
		return NULL;
	if (*word == '/')
		return TAKE(word);
	if (strchr(word, '/'))
		return xasprintf(
		        "%.*s/%s", slash ? (int)(slash - c->real_path) : 0, c->real_path, word);
	while (path && *path) {
		size_t n = strcspn(path, ":");
		AUTO(free) char *at = xasprintf("%.*s/%s", (int)n, path, word);

		if (access(at, F_OK) == 0)
			return TAKE(at);
		path += n + (path[n] == ':');
	}
	return TAKE(word); /* nowhere: the message names it */
}

static void look_at_hook(const struct conf *c, const struct conf_server *s, enum conf_key k,
        const char *command, struct check_findings *f)
{
	AUTO(free) char *program = program_of(c, command);
	AUTO(free) char *text = NULL;

	if (!program)
		return;
	if (access(program, X_OK) != 0) {
		check_add(f, TOPOLOGY_ERROR, CHECK_HOOK_MISSING, s->hostinfo,
		        errno == EACCES ? "chmod +x" : NULL, "%s: %s cannot be run: %m",
		        conf_key_name(k), program);
		return;
	}
	text = xzalloc(SCRIPT_MAX);
	if (read_some(program, text, SCRIPT_MAX) && strncmp(text, "#!", 2) == 0 &&
	        strstr(text, "MHA::"))
		check_add(f, TOPOLOGY_WARNING, CHECK_HOOK_MODULES, s->hostinfo,
		        "keep a copy of the modules, or use the scripts in share/mhad/scripts",
		        "%s: %s uses MHA's Perl modules (MHA::...), which go away with its package",
		        conf_key_name(k), program);
}

void migrate_hooks(const struct conf *c, struct check_findings *f)
{
	static const enum conf_key hooks[] = { CONF_master_ip_failover_script, CONF_shutdown_script,
		CONF_master_ip_online_change_script, CONF_report_script,
		CONF_secondary_check_script, CONF_init_conf_load_script };

	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		AUTO(free) char *last = NULL;

		for (size_t j = 0; j < c->n_servers; j++) {
			AUTO(free) char *command = conf_value_text(c->servers[j], hooks[i]);

			if (*command && !(last && str_is(last, command)))
				look_at_hook(c, c->servers[j], hooks[i], command, f);
			free(last);
			last = TAKE(command);
		}
	}
}

/* ---- an old manager ---- */

static void look_at_status_file(const struct conf *c, struct check_findings *f)
{
	AUTO(free) char *path = status_file_path(c->servers[0]->manager_workdir, c->name);
	struct status_file_reading r;
	struct status_file_judgement j;
	struct err why = { 0 };

	if (!status_file_read(path, &r, &why))
		return;
	status_file_judge(&r, c->name, &j);
	if (j.verdict == STATUS_FILE_RUNNING && !r.held)
		check_add(f, TOPOLOGY_ERROR, CHECK_OLD_MANAGER, NULL, "masterha_stop --conf=FILE",
		        "a manager of %s runs: process %d (%s)", c->name, (int)r.line.pid, path);
}

/* A file named in a command line is this cluster's. */
static bool is_ours(const struct conf *c, const char *word)
{
	char real[PATH_MAX];
	const char *path = strchr(word, '=');

	path = path ? path + 1 : word;
	return *path == '/' && realpath(path, real) && str_is(real, c->real_path);
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* MHA's own: perl, the script's path, its options.  Each word ends with NUL. */
static bool is_perl_manager(
        const struct conf *c, const char *words, size_t n, const char **ret_name)
{
	const char *end = words + n, *w = words + strlen(words) + 1;

	if (n == 0 || !str_starts(base_of(words), "perl"))
		return false;
	while (w < end && *w == '-')
		w += strlen(w) + 1;
	if (w >= end || !str_starts(base_of(w), "masterha_m"))
		return false;
	*ret_name = base_of(w);
	for (; w < end; w += strlen(w) + 1)
		if (is_ours(c, w))
			return true;
	return false;
}

static void look_at_processes(const struct conf *c, struct check_findings *f)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	while (proc && (d = readdir(proc))) {
		AUTO(free) char *path = NULL;
		char words[CMDLINE_MAX];
		const char *name;
		size_t n;

		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		path = xasprintf("/proc/%s/cmdline", d->d_name);
		n = read_some(path, words, sizeof(words));
		if (is_perl_manager(c, words, n, &name))
			check_add(f, TOPOLOGY_ERROR, CHECK_OLD_MANAGER, NULL,
			        "masterha_stop --conf=FILE",
			        "MHA's %s watches this file: process %s", name, d->d_name);
	}
	if (proc)
		closedir(proc);
}

void migrate_old_manager(const struct conf *c, struct check_findings *f)
{
	size_t before = f->len;

	look_at_status_file(c, f);
	if (f->len == before)
		look_at_processes(c, f);
}

/* ---- accounts ---- */

enum { ON_MYSQL = 1, ON_MARIADB = 2, ON_OLD_MYSQL = 4 };

/* Those without another name stand for it on both. */
static const struct {
	const char *name;
	unsigned on;
	const char *use;
} wanted[] = {
	{ "SELECT", ON_MYSQL | ON_OLD_MYSQL | ON_MARIADB, "to look at the replication account" },
	{ "RELOAD", ON_MYSQL | ON_OLD_MYSQL | ON_MARIADB, "to rotate logs and reset replication" },
	{ "PROCESS", ON_MYSQL | ON_OLD_MYSQL | ON_MARIADB, "to see who writes" },
	{ "REPLICATION SLAVE", ON_MYSQL | ON_OLD_MYSQL | ON_MARIADB, "to see the slaves" },
	{ "REPLICATION CLIENT", ON_MYSQL | ON_OLD_MYSQL, "to see positions" },
	{ "SUPER", ON_OLD_MYSQL | ON_MARIADB, "to change global settings" },
	{ "BINLOG_ADMIN", ON_MYSQL, "to apply what was saved" },
	{ "CONNECTION_ADMIN", ON_MYSQL, "to end clients of an old master" },
	{ "REPLICATION_APPLIER", ON_MYSQL, "to apply what was saved" },
	{ "REPLICATION_SLAVE_ADMIN", ON_MYSQL, "to re-point slaves" },
	{ "SYSTEM_VARIABLES_ADMIN", ON_MYSQL, "to open and close servers" },
	{ "BINLOG MONITOR", ON_MARIADB, "to see positions" },
	{ "SLAVE MONITOR", ON_MARIADB, "to see replication" },
	{ "BINLOG ADMIN", ON_MARIADB, "to change binlog settings" },
	{ "BINLOG REPLAY", ON_MARIADB, "to apply what was saved" },
	{ "CONNECTION ADMIN", ON_MARIADB, "to end clients of an old master" },
	{ "READ_ONLY ADMIN", ON_MARIADB, "to work on read-only servers" },
	{ "REPLICATION SLAVE ADMIN", ON_MARIADB, "to re-point slaves" },
	{ "REPLICATION MASTER ADMIN", ON_MARIADB, "to see the slaves" },
};

static bool has(const struct db_result *r, const char *column, const char *name)
{
	for (size_t i = 0; i < db_rows(r); i++) {
		const char *text = db_get(r, i, column);

		if (text && strcasecmp(text, name) == 0)
			return true;
	}
	return false;
}

static bool account_is_complete(
        struct db *db, const struct conf_server *s, struct check_findings *f, struct err *e)
{
	AUTO(db_result) struct db_result *known = db_query(db, "SHOW PRIVILEGES", e);
	AUTO(db_result) struct db_result *mine = NULL;
	AUTO_STR struct str missing = STR_INIT;
	unsigned on;
	bool super;

	if (!known)
		return false;
	mine = db_query(db,
	        "SELECT PRIVILEGE_TYPE AS p FROM information_schema.USER_PRIVILEGES WHERE GRANTEE "
	        "= "
	        "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')",
	        e);
	if (!mine)
		return false;
	on = dialect_family(db_dialect(db)) == FAMILY_MARIADB    ? ON_MARIADB
	     : has(known, "Privilege", "SYSTEM_VARIABLES_ADMIN") ? ON_MYSQL
	                                                         : ON_OLD_MYSQL;
	super = has(mine, "p", "SUPER");
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		/* What this version does not know, it does not ask for; older ones call it another name. */
		if (!(wanted[i].on & on) || has(mine, "p", wanted[i].name) ||
		        !has(known, "Privilege", wanted[i].name))
			continue;
		str_addf(&missing, "%s%s (%s)", missing.len ? ", " : "", wanted[i].name,
		        wanted[i].use);
	}
	if (missing.len)
		check_add(f, super ? TOPOLOGY_WARNING : TOPOLOGY_ERROR, CHECK_PRIVILEGE,
		        s->hostinfo, "mhad-setup sql prints the GRANT",
		        "%s: the account %s lacks, or has only through a role: %s", s->hostinfo,
		        s->user, missing.p);
	return true;
}

static bool lock_is_free(
        struct db *db, const struct conf_server *s, struct check_findings *f, struct err *e)
{
	AUTO(free) char *holder = NULL;

	if (!db_value(db, "SELECT IS_USED_LOCK('" REPL_MONITOR_LOCK "')", &holder, e))
		return false;
	if (holder)
		check_add(f, TOPOLOGY_ERROR, CHECK_OLD_MANAGER, s->hostinfo,
		        "stop it: two managers must never watch one cluster",
		        "connection %s of %s holds the lock of managers: somebody watches this "
		        "master",
		        holder, s->hostinfo);
	return true;
}

static void look_at_server(const struct conf_server *s, int64_t deadline, struct check_findings *f)
{
	struct err why = { 0 };
	const struct db_opts o = { .name = s->hostinfo,
		.address = s->ip,
		.port = (unsigned)s->port,
		.user = s->user,
		.password = s->password,
		.tls = (enum db_tls)s->tls,
		.tls_ca = s->tls_ca,
		.tls_cert = s->tls_cert,
		.tls_key = s->tls_key,
		.tls_fingerprint = s->tls_fingerprint,
		.public_key = s->public_key,
		.connect_ms = s->connect_timeout < clock_left(deadline) ? s->connect_timeout
		                                                        : clock_left(deadline),
		.query_ms = s->query_timeout };
	AUTO(db) struct db *db = db_open(&o, &why);

	if (db)
		db_deadline(db, deadline);
	if (!db || !account_is_complete(db, s, f, &why) || !lock_is_free(db, s, f, &why))
		/* One that does not answer may be down; one that turns the account away would do so later. */
		check_add(f, why.kind == ERR_REFUSED ? TOPOLOGY_ERROR : TOPOLOGY_WARNING,
		        CHECK_PRIVILEGE, s->hostinfo, why.hint, "%s could not be asked: %s",
		        s->hostinfo, why.text);
}

void migrate_servers(const struct conf *c, int64_t deadline, struct check_findings *f)
{
	for (size_t i = 0; i < c->n_servers; i++)
		look_at_server(c->servers[i], deadline, f);
}
