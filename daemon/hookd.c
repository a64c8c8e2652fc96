/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookd - the hook helper: one connection, one call of a hook.  Runs on: the main thread of `mhad hook`.
 *
 * The peer may be a mhad that somebody has taken over: nothing that it says becomes a command, a path
 * that is trusted, or an option of one.
 */
#include "hookd.h"
#include "clock.h"
#include "conf.h"
#include "hook.h"
#include "hookd_wire.h"
#include "vec.h"
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ARGS_MAX = 256,
	CONF_MS = 20000, /* to read the configuration, its script included */
};

static void wipe_str(struct str *s)
{
	mem_wipe(s->p, s->len);
	str_done(s);
}

struct asked {
	json_t *json; /* owns the texts */
	const char *conf, *server;
	enum conf_key setting;
	VEC(char *) args; /* ends with NULL; may hold passwords */
	VEC(char *) env;
	int64_t deadline;
};

static void asked_done(struct asked *a)
{
	json_decref(a->json);
	vec_each (char *, s, &a->args)
		mem_free_secret(*s);
	vec_each (char *, s, &a->env)
		free(*s);
	vec_done(&a->args);
	vec_done(&a->env);
}

static bool check_peer(int fd, const char *user, struct err *e)
{
	const struct passwd *pw = user ? getpwnam(user) : NULL;
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return err_sys(e, "who is asking");
	if (!peer.uid || peer.uid == geteuid() || (pw && peer.uid == pw->pw_uid))
		return true;
	return err_set(e, ERR_REFUSED, 0, "uid %u may not have hooks run", (unsigned)peer.uid);
}

/* The settings that are commands called by mhad at run time. */
static bool read_setting(const char *name, enum conf_key *ret, struct err *e)
{
	if (conf_key_find(name, ret) && str_ends(name, "_script") &&
	        *ret != CONF_init_conf_load_script)
		return true;
	return err_set(e, ERR_PRECOND, 0, "\"%.80s\" is no setting of a hook", name);
}

/* Nothing that changes how the shell or the loader of a program behaves: our own facts only. */
static bool is_our_variable(const char *s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return str_starts(s, "MHAD_") && s[strspn(s, allowed)] == '=';
}

static bool read_lists(struct asked *a, const json_t *args, const json_t *env, struct err *e)
{
	bool all = true;
	json_t *v;
	size_t i;

	json_array_foreach (args, i, v) {
		vec_push(&a->args, hookd_bytes(v));
		all &= a->args.items[i] != NULL;
	}
	vec_push(&a->args, NULL);
	json_array_foreach (env, i, v) {
		vec_push(&a->env, hookd_bytes(v));
		all &= a->env.items[i] && is_our_variable(a->env.items[i]);
	}
	return all || err_set(e, ERR_PRECOND, 0,
	                      "an argument is no text, or a variable is not MHAD_NAME=value");
}

static bool read_request(const char *line, size_t n, struct asked *a, struct err *e)
{
	const char *setting;
	json_int_t ms;
	json_t *args, *env;
	int protocol;

	a->json = json_loadb(line, n, 0, NULL);
	if (!a->json ||
	        json_unpack(a->json, "{s:i, s:s, s:s, s:s, s:o, s:o, s:I !}", "protocol", &protocol,
	                "conf", &a->conf, "server", &a->server, "setting", &setting, "args", &args,
	                "env", &env, "deadline_ms", &ms) ||
	        protocol != HOOKD_PROTOCOL || !json_is_array(args) || !json_is_array(env) ||
	        json_array_size(args) > ARGS_MAX || json_array_size(env) > ARGS_MAX || ms < 0 ||
	        ms > HOOKD_DEADLINE_MAX_MS) {
		err_set(e, ERR_PARSE, 0, "this is no request for a hook");
		return false;
	}
	a->deadline = clock_in(ms);
	return read_setting(setting, &a->setting, e) && read_lists(a, args, env, e);
}

/* Whoever can change the file, or put another one in its place, could run anything as us. */
static bool check_owner(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st))
		return err_sys(e, "%s", path);
	if (st.st_uid && st.st_uid != geteuid())
		err_set(e, ERR_PRECOND, 0,
		        "%s belongs to uid %u, not to root: hooks are not taken from it", path,
		        (unsigned)st.st_uid);
	else if (st.st_mode & 022 && !(S_ISDIR(st.st_mode) && st.st_mode & S_ISVTX))
		err_set(e, ERR_PRECOND, 0,
		        "%s can be changed by others than root (mode %04o): hooks are not taken "
		        "from it",
		        path, (unsigned)(st.st_mode & 07777));
	else
		return true;
	return err_hint(e, "chown root %s; chmod go-w %s", path, path);
}

/* `real` has no symbolic links in it. */
static bool check_owners(const char *real, struct err *e)
{
	for (const char *slash = real; slash; slash = strchr(slash + 1, '/')) {
		AUTO(free) char *dir = xstrndup(real, slash == real ? 1 : (size_t)(slash - real));

		if (!check_owner(dir, e))
			return false;
	}
	return check_owner(real, e);
}

/* The file of settings for all clusters, named here so that the one that is checked is the one that is read. */
static const char *global_file(const char *conf)
{
	return str_ends(conf, ".cnf") ? "/etc/masterha_default.cnf" : MHAD_SYSCONFDIR "/mhad.conf";
}

static struct conf *load(const struct asked *a, struct err *e)
{
	AUTO(free)
	char *real = realpath(a->conf, NULL), *global = realpath(global_file(a->conf), NULL);
	struct conf_opts o = { .path = real,
		.global_path = global ? global : global_file(a->conf),
		.force_format = str_ends(a->conf, ".cnf") ? CONF_MHA : CONF_NATIVE,
		.no_resolve = true,
		.deadline = clock_sooner(a->deadline, clock_in(CONF_MS)) };

	if (*a->conf != '/' || !real) {
		err_set(e, ERR_PRECOND, 0, "%s: there is no such file", a->conf);
		return NULL;
	}
	if (!check_owners(real, e) || (global && !check_owners(global, e)))
		return NULL;
	return conf_load(&o, NULL, e);
}

static bool is_ssh_options(const char *value, const struct conf *c)
{
	for (size_t i = 0; i < c->n_servers; i++)
		for (int set = HOOK_SSH_CHECK; set <= HOOK_SSH_LONG; set++) {
			AUTO(free)
			char *o = hook_ssh_options((enum hook_ssh_set)set, c->servers[i]);

			if (str_is(value, o))
				return true;
		}
	return false;
}

/*
 * Scripts hand these to ssh(1), often without quotes: an option in the place of a host would run a
 * command that no configuration names.
 */
static bool arg_is_plain(const char *arg, const struct conf *c)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                            "._:,%@-";
	size_t n = strcspn(arg, "=");
	AUTO(free) char *name = xstrndup(arg, n);
	const char *value = arg[n] ? arg + n + 1 : "";

	if (!str_starts(name, "--"))
		return false;
	if (str_is(name, "--ssh_options"))
		return is_ssh_options(value, c);
	if (str_ends(name, "host") || str_ends(name, "hosts") || str_ends(name, "ip") ||
	        str_ends(name, "port") || str_ends(name, "ssh_user") || str_is(name, "--user"))
		return *value != '-' && !value[strspn(value, plain)];
	return true;
}

static const struct conf_server *find_server(const struct conf *c, const char *id)
{
	for (size_t i = 0; i < c->n_servers; i++)
		if (str_is(c->servers[i]->id, id))
			return c->servers[i];
	return NULL;
}

/* Returns owned. */
static struct hook *make_hook(const struct asked *a, const struct conf *c, struct err *e)
{
	const char *setting = conf_key_name(a->setting);
	const struct conf_server *s = find_server(c, a->server);
	AUTO(free) char *prefix = s ? conf_value_text(s, a->setting) : NULL;

	if (!s || !hook_is_set(prefix)) {
		err_set(e, ERR_PRECOND, 0, "%s: server \"%.80s\" has no %s now", a->conf, a->server,
		        setting);
		return NULL;
	}
	vec_each (char *, arg, &a->args)
		if (*arg && !arg_is_plain(*arg, c)) {
			err_set(e, ERR_PRECOND, 0,
			        "%s: the argument %.*s... is refused: it is not what its name says",
			        setting,
			        (int)strcspn(*arg, "=") > 40 ? 40 : (int)strcspn(*arg, "="), *arg);
			return NULL;
		}
	return hook_new(setting, prefix, (const char *const *)a->args.items);
}

static void give_env(struct hook *h, const struct asked *a)
{
	vec_each (char *, v, &a->env) {
		char *eq = strchr(*v, '=');

		*eq = '\0';
		hook_set_env(h, *v, eq + 1);
	}
}

/* As in mhad: in the folder of the cluster's file, as it was named. */
static bool go_to_folder(const char *conf, struct err *e)
{
	AUTO(free) char *dir = xstrdup(conf);
	char *slash = strrchr(dir, '/');

	slash[slash == dir] = '\0';
	return !chdir(dir) || err_sys(e, "go to %s", dir);
}

static bool run_asked(int fd, const struct asked *a, struct proc_result *ret, struct err *e)
{
	AUTO(conf) struct conf *c = load(a, e);
	AUTO(hook) struct hook *h = c ? make_hook(a, c, e) : NULL;
	/* 0 means none there, and systemd gives us the connection as 0. */
	AUTO_FD int hangup = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (!h || !go_to_folder(a->conf, e))
		return false;
	if (hangup < 0)
		return err_sys(e, "watch the connection");
	give_env(h, a);
	return hook_exec(h, a->deadline, hangup, ret, e);
}

static json_t *error_json(const struct err *e)
{
	return json_pack("{s:{s:i, s:i, s:s, s:s}}", "error", "kind", (int)e->kind, "code", e->code,
	        "text", e->text, "hint", e->hint);
}

static json_t *result_json(const struct proc_result *r)
{
	return json_pack("{s:i, s:i, s:b, s:b, s:I, s:I}", "status", r->status, "signal", r->signal,
	        "late", (int)r->late, "cut", (int)r->cut, "took_ms", (json_int_t)r->took_ms,
	        "output", (json_int_t)r->out.len);
}

static bool serve(int fd, const char *user, struct proc_result *ret, struct err *e)
{
	__attribute__((cleanup(wipe_str))) struct str in = STR_INIT;
	__attribute__((cleanup(asked_done))) struct asked a = { 0 };
	size_t line;

	return check_peer(fd, user, e) &&
	       hookd_receive_line(
	               fd, &in, HOOKD_REQUEST_MAX, clock_in(HOOKD_REQUEST_MS), &line, e) &&
	       read_request(in.p, line, &a, e) && run_asked(fd, &a, ret, e);
}

bool hookd_serve(int fd, const char *user, struct err *e)
{
	struct proc_result r;
	struct err why = { 0 };
	bool ok;

	if (!serve(fd, user, &r, &why)) {
		hookd_send_json(fd, error_json(&why), NULL, 0, clock_in(HOOKD_REQUEST_MS), NULL);
		if (e)
			*e = why;
		return false;
	}
	ok = hookd_send_json(
	        fd, result_json(&r), r.out.p, r.out.len, clock_in(HOOKD_REQUEST_MS), e);
	proc_done(&r);
	return ok;
}
