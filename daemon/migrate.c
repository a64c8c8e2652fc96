/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * migrate - settings: what they do here, and whether a converted file says the same.
 * Runs on: any thread.
 */
#include "migrate.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what changes ---- */

static bool is_given(const struct conf_server *s, enum conf_key k)
{
	return s->origin[k].file != NULL;
}

static bool is_given_anywhere(const struct conf *c, enum conf_key k)
{
	for (size_t i = 0; i < c->n_servers; i++)
		if (is_given(c->servers[i], k))
			return true;
	return false;
}

static const struct {
	enum conf_key key;
	enum topology_severity severity;
	const char *text, *hint;
} changes[] = {
	{ CONF_ssh_options, TOPOLOGY_INFO,
	        "ssh_options: each server has its own, and they make ssh(1) the transport; in MHA "
	        "the "
	        "last one read counts for all",
	        NULL },
	{ CONF_ssh_ip, TOPOLOGY_INFO, "ssh_ip is used; MHA ignores it", NULL },
	{ CONF_client_bindir, TOPOLOGY_INFO,
	        "client_bindir and client_libdir have no use: no client program is run on database "
	        "hosts",
	        NULL },
	{ CONF_handle_raw_binlog, TOPOLOGY_INFO,
	        "handle_raw_binlog has no use: binlogs are always read as they are", NULL },
	{ CONF_shutdown_script, TOPOLOGY_INFO,
	        "shutdown_script is called after the dead master's binlogs have been saved, not "
	        "before",
	        NULL },
	{ CONF_master_ip_failover_script, TOPOLOGY_INFO,
	        "arguments of hooks arrive byte for byte: a script that removes MHA's stray "
	        "backslashes "
	        "from passwords must not do so any more",
	        "hook_passwords=0 leaves passwords out" },
	{ CONF_secondary_check_script, TOPOLOGY_INFO,
	        "secondary_check_script is asked at once, beside all slaves and their hosts, not "
	        "after "
	        "the pings have failed",
	        NULL },
};

static bool is_writable_for_mhad(const char *dir)
{
	static const char *const folders[] = { "/var/tmp", "/var/lib/mhad", "/var/log/mhad",
		"/run/mhad" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		size_t n = strlen(folders[i]);

		if (strncmp(dir, folders[i], n) == 0 && (dir[n] == '\0' || dir[n] == '/'))
			return true;
	}
	return false;
}

static void look_at_folders(const struct conf *c, struct check_findings *f)
{
	const struct conf_server *s = c->servers[0];

	if (!is_writable_for_mhad(s->manager_workdir))
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL,
		        "systemctl edit mhad: ReadWritePaths=, and chown it to mhad; or another "
		        "folder",
		        "manager_workdir=%s: mhad.service cannot write there", s->manager_workdir);
	if (s->manager_log && *s->manager_log && !is_writable_for_mhad(s->manager_log))
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL,
		        "a file in /var/log/mhad, or leave it out: journalctl -u mhad has all of "
		        "it",
		        "manager_log=%s: mhad.service cannot write there", s->manager_log);
}

/* Under MHA they may belong to anybody and be open to all. */
static void look_at_file(const struct conf *c, struct check_findings *f)
{
	struct stat st;

	if (stat(c->real_path, &st) != 0)
		return;
	if (st.st_uid != 0 || (st.st_mode & S_IWOTH))
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL, "chown root:mhad, chmod 640",
		        "%s: hooks are run as root, so only root may be able to change the file",
		        c->path);
	else if (st.st_mode & S_IROTH)
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL, "chown root:mhad, chmod 640",
		        "%s: everybody on this host can read the passwords in it", c->path);
}

static bool is_relative(const char *command)
{
	return command && *command && *command != '/' &&
	       memchr(command, '/', strcspn(command, " \t"));
}

void migrate_changes(const struct conf *c, struct check_findings *f)
{
	const struct conf_server *s = c->servers[0];

	if (!is_given_anywhere(c, CONF_ssh_user))
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL, "ssh_user=root",
		        "ssh_user is not set: mhad.service would log in as mhad, where MHA logged "
		        "in "
		        "as root");
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		if (is_given_anywhere(c, changes[i].key))
			check_add(f, changes[i].severity, CHECK_MIGRATE, NULL, changes[i].hint,
			        "%s", changes[i].text);
	if (is_relative(s->master_ip_failover_script) || is_relative(s->shutdown_script) ||
	        is_relative(s->report_script))
		check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, NULL, "write their whole path",
		        "hooks with a relative path start from the folder of the cluster's file, "
		        "not "
		        "from where masterha_manager was started");
	look_at_folders(c, f);
	look_at_file(c, f);
}

/* ---- a converted file, read again ---- */

/* Settings of mhad itself stand in mhad.conf only, and are no server's. */
static bool is_of_servers(enum conf_key k)
{
#define REACH_OF(name, type, reach, ...) [CONF_##name] = #reach,
	static const char *const reach[] = { CONF_SETTINGS(REACH_OF) };
#undef REACH_OF

	return !str_is(reach[k], "GLOBAL");
}

/* Secrets are compared, and never shown. */
static bool same_value(const struct conf_server *a, const struct conf_server *b, enum conf_key k)
{
	AUTO(free) char *x = conf_value_text(a, k);
	AUTO(free) char *y = conf_value_text(b, k);

	if (k == CONF_password)
		return str_is(a->password ? a->password : "", b->password ? b->password : "");
	if (k == CONF_repl_password)
		return str_is(a->repl_password ? a->repl_password : "",
		        b->repl_password ? b->repl_password : "");
	return str_is(x, y);
}

static void compare(const struct conf_server *a, const struct conf_server *b,
        struct check_findings *f, const char **ret_one, size_t *ret_n)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;

		if (!is_of_servers(k) || same_value(a, b, k))
			continue;
		++*ret_n;
		*ret_one = conf_key_name(k);
		if (f) {
			AUTO(free) char *was = conf_value_text(a, k);
			AUTO(free) char *is = conf_value_text(b, k);

			check_add(f, TOPOLOGY_WARNING, CHECK_MIGRATE, a->id,
			        "say it in the cluster's file",
			        "%s of %s is \"%s\", and would be \"%s\" by %s", conf_key_name(k),
			        a->id, was, is, b->origin[k].file ? b->origin[k].file : "default");
		}
	}
}

/* `f` NULL: only count. */
static size_t differences(
        const struct conf *a, const struct conf *b, struct check_findings *f, const char **ret_one)
{
	size_t n = a->n_servers != b->n_servers || a->n_binlogs != b->n_binlogs;

	for (size_t i = 0; i < a->n_servers && i < b->n_servers; i++)
		compare(a->servers[i], b->servers[i], f, ret_one, &n);
	for (size_t i = 0; i < a->n_binlogs && i < b->n_binlogs; i++)
		compare(a->binlogs[i], b->binlogs[i], f, ret_one, &n);
	return n;
}

static struct conf *load(const char *path, const char *global, struct err *e)
{
	const struct conf_opts o = { .path = path,
		.global_path = global,
		.force_format = CONF_NATIVE,
		.no_resolve = true,
		.no_script = true };

	return conf_load(&o, NULL, e);
}

/* In memory: there are passwords in it. */
static int keep(const char *text, struct err *e)
{
	int fd = memfd_create("converted", MFD_CLOEXEC);
	size_t n = strlen(text);

	if (fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, n) == (ssize_t)n)
		return fd;
	err_sys(e, "keep the converted file in memory");
	if (fd >= 0)
		close(fd);
	return -1;
}

bool migrate_read_back(const struct conf *was, const char *text, const char *global,
        struct check_findings *f, struct err *e)
{
	AUTO_FD int fd = keep(text, e);
	AUTO(free) char *path = xasprintf("/proc/self/fd/%d", fd);
	AUTO(conf) struct conf *alone = NULL;
	AUTO(conf) struct conf *with = NULL;
	const char *one = "the servers";
	size_t n;

	if (fd < 0)
		return false;
	alone = load(path, "/proc/self/no-such-file", e);
	if (!alone)
		return err_ctx(e, "what was converted cannot be read");
	n = differences(was, alone, NULL, &one);
	if (n)
		return err_set(e, ERR_PRECOND, 0,
		        "what was converted does not say the same: %zu settings differ, among "
		        "them %s",
		        n, one);
	with = load(path, global, e);
	if (!with)
		return err_ctx(e, "the file for settings of all clusters");
	differences(was, with, f, &one);
	return true;
}
