/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh_cli - sessions by ssh(1): one master connection (ControlMaster) and one client process per
 * channel.
 *
 * The master runs as our child with its control socket in a folder of its own (0700).  Beside it
 * waits a shell on the master's stdin pipe: should we die, however it happens, the pipe ends, and
 * the shell ends the master and removes the folder.  What ssh itself has to say goes to files there
 * (-E), so that it is never mistaken for words of the remote command, nor ssh's exit status 255 for
 * the command's. Runs on: worker.
 */
#include "ssh_impl.h"
#include "clock.h"
#include "proc.h"
#include "vec.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LOOK_MS = 5,         /* how often to look for the control socket */
	MASTER_END_MS = 100, /* a master whose connection broke ends within this */
	DIR_MAX = 60,        /* a socket's path has 108 bytes, ssh adds 18 for a temporary name */
	SSH_FAILED = 255,
};

struct chan {
	struct ssh_chan base;
	struct chan *next;
	struct proc_child p;
	bool want_write;
	char *log;
};

struct session {
	struct ssh base;
	struct proc_child master; /* pid 0: ended */
	pid_t group;              /* master and guard */
	char *dir, *socket;
	unsigned n_opened;
	struct chan *chans;
};

typedef VEC(char *) words;

static const struct ssh_ops ops;
static const char *const c_locale[] = { "LC_ALL=C", "SSH_ASKPASS_REQUIRE=never", NULL };

static void add(words *w, const char *word)
{
	vec_push(w, xstrdup(word));
}

static void add_all(words *w, const char *const *list)
{
	for (; *list; list++)
		add(w, *list);
}

static void add_opt(words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_opt(words *w, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	add(w, "-o");
	vec_push(w, str_take(&s));
}

static void words_done(words *w)
{
	vec_each (char *, p, w)
		free(*p);
	vec_done(w);
}
#define AUTO_WORDS __attribute__((cleanup(words_done)))

static const char *const *argv_of(words *w)
{
	vec_push(w, NULL);
	return (const char *const *)w->items;
}

static char *read_log(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		n--;
	return n > 0 ? xstrndup(buf, (size_t)n) : NULL;
}

/* ---- what ~/.ssh/config says ---- */

/* Settings by which a configuration changes where we get to, or as whom. */
static bool matters(const char *line)
{
	static const char *const keys[] = { "hostname", "port", "user", "identityfile",
		"identitiesonly", "identityagent", "certificatefile", "pkcs11provider",
		"proxycommand", "proxyjump", "bindaddress", "bindinterface", "hostkeyalias",
		"userknownhostsfile" };
	size_t n = strcspn(line, " \n");

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (n == strlen(keys[i]) && !strncmp(line, keys[i], n))
			return true;
	return false;
}

/* `ssh -G` prints the settings for a host without connecting. */
static bool settings_of(const struct ssh_target *t, const char *dest, bool with_config,
        int64_t deadline, struct str *ret)
{
	AUTO_WORDS words w = VEC_INIT;
	AUTO(free) char *port = xasprintf("%u", t->port);
	struct proc_opts o = { .env_add = c_locale, .deadline = deadline };
	struct proc_result r;
	bool ok;

	add_all(&w, (const char *const[]){ "ssh", "-G", "-p", port, "-l", t->user, NULL });
	if (!with_config)
		add_all(&w, (const char *const[]){ "-F", "none", NULL });
	add_all(&w, (const char *const[]){ "--", dest, NULL });
	o.argv = argv_of(&w);
	if (!proc_run(&o, &r, NULL))
		return false;
	for (const char *p = r.out.p; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (matters(p))
			str_addn(ret, p, strcspn(p, "\n") + 1);
	ok = r.status == 0;
	proc_done(&r);
	return ok;
}

bool ssh_cli_config_speaks(const struct ssh_target *t, int64_t deadline, const char **ret_dest)
{
	const char *const dests[] = { t->address, t->host_key_name };
	AUTO(free) char *home = ssh_home(), *file = xasprintf("%s/.ssh/config", home ? home : "");
	struct stat st;

	if (stat(file, &st) || !st.st_size)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(dests); i++) {
		AUTO_STR struct str with = STR_INIT, without = STR_INIT;

		if (dests[i] && settings_of(t, dests[i], true, deadline, &with) &&
		        settings_of(t, dests[i], false, deadline, &without) &&
		        !str_is(with.p, without.p)) {
			*ret_dest = dests[i];
			return true;
		}
	}
	return false;
}

/* ---- master ---- */

/*
 * Ours come first, since ssh takes the first value of an option; then the operator's; then what he
 * may have set otherwise.
 */
static bool master_words(const struct ssh_target *t, const char *dest, const char *socket,
        int64_t deadline, words *w, struct err *e)
{
	AUTO(free)
	char *home = ssh_home(), *alias = ssh_known_name(t), *port = xasprintf("%u", t->port);
	AUTO(ssh_split) char **extra = ssh_split(t->options ? t->options : "", home, e);
	int64_t left = clock_left(deadline);

	if (!extra)
		return false;
	add_all(w,
	        (const char *const[]){ "ssh", "-M", "-N", "-T", "-a", "-x", "-S", socket, NULL });
	add_opt(w, "BatchMode=yes");
	add_opt(w, "PasswordAuthentication=no");
	add_opt(w, "KbdInteractiveAuthentication=no");
	add_opt(w, "StrictHostKeyChecking=%s",
	        t->host_keys == SSH_HOST_KEYS_STRICT ? "yes" : "accept-new");
	/* It gives up before we do, and says at what. */
	add_opt(w, "ConnectTimeout=%lld",
	        left == CLOCK_NEVER ? 60LL
	        : left < 2000       ? 1LL
	                            : ((long long)left - 500) / 1000);
	add_opt(w, "ControlPersist=no");
	add_opt(w, "ClearAllForwardings=yes");
	add_opt(w, "PermitLocalCommand=no");
	add_opt(w, "LogLevel=ERROR");
	for (char **x = extra; *x; x++)
		add(w, *x);
	if (t->known_hosts)
		add_opt(w, "UserKnownHostsFile=%s", t->known_hosts);
	if (t->key) {
		add_all(w, (const char *const[]){ "-i", t->key, NULL });
		add_opt(w, "IdentitiesOnly=yes");
	}
	if (!str_is(dest, t->address))
		add_opt(w, "HostName=%s", t->address);
	add_opt(w, "HostKeyAlias=%s", alias);
	add_opt(w, "CheckHostIP=no");
	add_opt(w, "ServerAliveInterval=15");
	add_opt(w, "ServerAliveCountMax=3");
	add_all(w, (const char *const[]){ "-p", port, "-l", t->user, "--", dest, NULL });
	return true;
}

static bool start_master(struct session *s, const struct ssh_target *t, const char *dest,
        int64_t deadline, struct err *e)
{
	static const char guard[] =
	        "dir=$1; shift; exec 3<&0 </dev/null\n"
	        "{ read -r x; kill $$; rm -rf -- \"$dir\"; } <&3 3<&- >/dev/null 2>&1 &\n"
	        "exec \"$@\" 3<&- 2>>\"$dir/log\"";
	AUTO_WORDS words w = VEC_INIT;
	struct proc_opts o = { .env_add = c_locale, .input = "", .merge = true };

	add_all(&w, (const char *const[]){ "sh", "-c", guard, "sh", s->dir, NULL });
	if (!master_words(t, dest, s->socket, deadline, &w, e))
		return false;
	o.argv = argv_of(&w);
	if (!proc_start(&o, &s->master, e))
		return false;
	s->group = s->master.pid;
	return true;
}

static bool make_dir(struct session *s, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	s->dir = xasprintf(
	        "%s/mhad-XXXXXX", tmp && *tmp == '/' && strlen(tmp) < DIR_MAX ? tmp : "/tmp");
	if (!mkdtemp(s->dir)) {
		err_sys(e, "make %s for the control socket of ssh", s->dir);
		free(TAKE(s->dir));
		return false;
	}
	s->socket = xasprintf("%s/c", s->dir);
	return true;
}

static bool host_key_error(const struct ssh_target *t, const char *log, struct err *e)
{
	AUTO(free) char *name = ssh_known_name(t), *file = ssh_known_file(t);
	const char *offending = strstr(log, "Offending "), *kind = strstr(log, "No ");
	char type[32] = "";

	if (strstr(log, "REMOTE HOST IDENTIFICATION HAS CHANGED") || offending) {
		err_set(e, ERR_REFUSED, EKEYREJECTED,
		        "host key of %s has CHANGED; somebody may sit in the middle%s%.*s", name,
		        offending ? ": " : "", offending ? (int)strcspn(offending, "\n") : 0,
		        offending ? offending : "");
		ssh_known_hint_changed(t, e);
		return false;
	}
	if (kind)
		sscanf(kind, "No %31s host key is known", type);
	for (char *p = type; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	err_set(e, ERR_REFUSED, ENOKEY, "host key of %s%s%s%s is not in %s", name,
	        *type ? " (" : "", type, *type ? ")" : "", file);
	ssh_known_hint_unknown(t, type, "", e);
	return false;
}

/* What its words for a failed connection mean. */
static int connect_error(const char *log)
{
	static const int errors[] = { ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH };

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		char text[128];

		if (strstr(log, strerror_r(errors[i], text, sizeof(text))))
			return errors[i];
	}
	if (strstr(log, "banner exchange") || strstr(log, "kex_exchange"))
		return strstr(log, "timed out") ? ETIME : ECONNRESET;
	return strstr(log, "timed out") ? ETIMEDOUT : 0;
}

/* ssh(1) has one exit status for all that fails: its words must do. */
static bool explain(const struct ssh_target *t, const char *log, struct err *e)
{
	static const char *const config[] = { "Bad configuration option", "command-line",
		"unknown option", "illegal option", "usage: ssh", "UNPROTECTED PRIVATE KEY",
		"/config", "Identity file", "Load key" };
	bool denied =
	        strstr(log, "Permission denied") || strstr(log, "Too many authentication failures");
	struct ssh_key_info k;
	AUTO(free) char *pub = t->key ? xasprintf("%s.pub", t->key) : xstrdup("the public key");

	if (strstr(log, "Host key verification failed") ||
	        strstr(log, "REMOTE HOST IDENTIFICATION"))
		return host_key_error(t, log, e);
	for (size_t i = 0; i < ARRAY_LEN(config); i++)
		if (strstr(log, config[i]))
			return err_set(e, ERR_CONFIG, 0, "ssh: %s", log);
	if (denied && t->key && ssh_key_read(t->key, &k) && k.encrypted)
		return ssh_err_locked(t, t->key, e);
	err_set(e, denied ? ERR_REFUSED : ERR_UNREACHABLE, denied ? EACCES : connect_error(log),
	        "ssh: %s", *log ? log : "no connection");
	if (denied)
		ssh_hint_key_refused(t, pub, e);
	return false;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd > 0 && poll(&p, 1, 0) > 0;
}

static bool wait_for_socket(
        struct session *s, const struct ssh_target *t, int64_t deadline, struct err *e)
{
	AUTO(free) char *log = xasprintf("%s/log", s->dir), *text = NULL;
	int64_t began = clock_ms();
	struct err why = { 0 };
	int status, signal;

	while (access(s->socket, F_OK)) {
		if (proc_reap(&s->master, clock_sooner(deadline, clock_in(LOOK_MS)), &status,
		            &signal)) {
			text = read_log(log);
			explain(t, text ? text : "", &why);
			if (why.kind == ERR_REFUSED || why.code == ECONNREFUSED ||
			        why.code == ECONNRESET || why.code == ETIME)
				ssh_note_heard(t->heard);
			if (e)
				*e = why;
			return false;
		}
		if (!clock_left(deadline) || is_readable(t->cancel_fd))
			return err_set(e, ERR_UNREACHABLE, ETIMEDOUT,
			        "ssh to %s port %u: no login within %lld ms", t->address, t->port,
			        (long long)(clock_ms() - began));
	}
	ssh_note_heard(t->heard);
	return true;
}

static void remove_dir(struct session *s)
{
	AUTO(free) char *log = xasprintf("%s/log", s->dir);

	unlink(s->socket);
	unlink(log);
	rmdir(s->dir);
}

static void chan_free(struct ssh_chan *base);

static void close_session(struct ssh *base)
{
	struct session *s = (struct session *)base;

	while (s->chans)
		chan_free(&s->chans->base);
	/* Also when the master has ended: its guard is left, which keeps the number from being used
	 * again. */
	if (s->group)
		kill(-s->group, SIGKILL);
	proc_child_done(&s->master);
	if (s->dir)
		remove_dir(s);
	free(s->dir);
	free(s->socket);
	free(s->base.name);
	free(s);
}

struct ssh *ssh_cli_open(
        const struct ssh_target *t, const char *dest, int64_t deadline, struct err *e)
{
	struct session *s = xzalloc(sizeof(*s));

	s->base = (struct ssh){ &ops, xstrdup(t->name), t->heard };
	s->master = (struct proc_child){ .exit_fd = -1, .in = -1, .out = -1, .err = -1 };
	if (t->host_keys == SSH_HOST_KEYS_ACCEPT_NEW) {
		AUTO(free) char *file = ssh_known_file(t);
		int fd = ssh_known_open(file);

		cleanup_fd(&fd);
	}
	if (make_dir(s, e) && start_master(s, t, dest, deadline, e) &&
	        wait_for_socket(s, t, deadline, e))
		return &s->base;
	close_session(&s->base);
	return NULL;
}

/* ---- channels ---- */

static bool master_is_gone(struct session *s, int64_t patience_ms)
{
	int status, signal;

	return s->master.pid <= 0 || proc_reap(&s->master, clock_in(patience_ms), &status, &signal);
}

static struct ssh_chan *chan_open(
        struct ssh *base, const char *command, int64_t deadline, struct err *e)
{
	struct session *s = (struct session *)base;
	AUTO(free) char *log = xasprintf("%s/%u", s->dir, ++s->n_opened);
	AUTO_WORDS words w = VEC_INIT;
	struct proc_opts o = { .env_add = c_locale, .input = "" };
	struct chan *c;
	struct proc_child p;

	(void)deadline; /* starting a process does not wait for the host */
	if (master_is_gone(s, 0)) {
		err_set(e, ERR_LOST, 0, "the session is broken");
		return NULL;
	}
	/* Without its master ssh would connect anew, with the wrong options: let that fail. */
	add_all(&w, (const char *const[]){
	                    "ssh", "-F", "none", "-S", s->socket, "-T", "-E", log, NULL });
	add_opt(&w, "ControlMaster=no");
	add_opt(&w, "ProxyCommand=false");
	add_opt(&w, "BatchMode=yes");
	add_opt(&w, "LogLevel=ERROR");
	add_all(&w, (const char *const[]){ "--", "master", command, NULL });
	o.argv = argv_of(&w);
	if (!proc_start(&o, &p, e))
		return NULL;
	c = xzalloc(sizeof(*c));
	c->base.s = base;
	c->p = p;
	c->log = TAKE(log);
	c->next = s->chans;
	s->chans = c;
	return &c->base;
}

static void close_fd(int *fd)
{
	cleanup_fd(fd);
	*fd = -1;
}

static ssize_t chan_read(
        struct ssh_chan *base, bool from_err, void *buf, size_t size, struct err *e)
{
	struct chan *c = (struct chan *)base;
	int *fd = from_err ? &c->p.err : &c->p.out;
	ssize_t n;

	if (*fd < 0)
		return 0;
	n = read(*fd, buf, size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		err_sys(e, "read from ssh");
	if (n > 0)
		ssh_note_heard(base->s->heard);
	if (!n)
		close_fd(fd);
	return n;
}

static ssize_t chan_write(struct ssh_chan *base, const void *buf, size_t n, struct err *e)
{
	struct chan *c = (struct chan *)base;
	ssize_t rc = c->p.in < 0 ? -1 : write(c->p.in, buf, n);

	c->want_write = rc < 0 && c->p.in >= 0 && (errno == EAGAIN || errno == EINTR);
	if (c->want_write)
		return 0;
	if (rc < 0)
		err_set(e, ERR_REMOTE, EPIPE, "the command takes no more input");
	return rc;
}

static bool chan_send_eof(struct ssh_chan *base, struct err *e)
{
	struct chan *c = (struct chan *)base;

	(void)e;
	c->want_write = false;
	close_fd(&c->p.in);
	return true;
}

static bool chan_eof(struct ssh_chan *base)
{
	struct chan *c = (struct chan *)base;

	return c->p.out < 0 && c->p.err < 0;
}

static void add_poll(struct pollfd **p, int fd, short events)
{
	if (fd >= 0)
		*(*p)++ = (struct pollfd){ .fd = fd, .events = events };
}

static bool wait_any(
        struct ssh *base, struct ssh_chan *only, int fd, int64_t deadline, struct err *e)
{
	struct session *s = (struct session *)base;
	int64_t began = clock_ms();
	AUTO(free) struct pollfd *fds = NULL;
	struct pollfd *end;
	size_t n = 0;
	int rc;

	for (struct chan *c = s->chans; c; c = c->next)
		n += 3;
	fds = end = xmalloc((n + 1) * sizeof(*fds));
	add_poll(&end, fd, POLLIN);
	for (struct chan *c = s->chans; c; c = c->next) {
		if (only && only != &c->base)
			continue;
		add_poll(&end, c->p.out, POLLIN);
		add_poll(&end, c->p.err, POLLIN);
		add_poll(&end, c->want_write ? c->p.in : -1, POLLOUT);
	}
	do {
		rc = end == fds ? 1 : poll(fds, (nfds_t)(end - fds), clock_left_poll(deadline));
	} while (rc <= 0 && clock_left(deadline));
	return rc > 0 || fd >= 0 ||
	       err_set(e, ERR_LOST, ETIMEDOUT, "wait: no answer within %lld ms",
	               (long long)(clock_ms() - began));
}

static void chan_free(struct ssh_chan *base)
{
	struct chan *c = (struct chan *)base, **at;

	for (at = &((struct session *)base->s)->chans; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	proc_child_done(&c->p);
	unlink(c->log);
	free(c->log);
	free(c);
}

/* Until both streams have ended; their bytes are thrown away. */
static bool drain(struct chan *c, int64_t deadline, struct err *e)
{
	char buf[16384];

	for (;;) {
		struct pollfd p[2];

		if (chan_read(&c->base, false, buf, sizeof(buf), e) < 0 ||
		        chan_read(&c->base, true, buf, sizeof(buf), e) < 0)
			return false;
		if (chan_eof(&c->base))
			return true;
		if (!clock_left(deadline))
			return false;
		p[0] = (struct pollfd){ .fd = c->p.out, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = c->p.err, .events = POLLIN };
		poll(p, ARRAY_LEN(p), clock_left_poll(deadline));
	}
}

/* 255 is the command's own unless ssh says something, or its master is gone. */
static bool judge(struct chan *c, int status, int signal, int *ret_status, struct err *e)
{
	struct session *s = (struct session *)c->base.s;
	AUTO(free) char *said = status == SSH_FAILED ? read_log(c->log) : NULL;

	if (said && strstr(said, "Session open refused by peer")) {
		err_set(e, ERR_REFUSED, 0, "open a channel: session open refused by peer");
		return err_hint(e, "MaxSessions in its sshd_config limits the commands that run at "
		                   "once on one connection");
	}
	if (signal || said || (status == SSH_FAILED && master_is_gone(s, MASTER_END_MS)))
		return err_set(
		        e, ERR_LOST, 0, "connection lost (%s)", said ? said : "ssh has ended");
	*ret_status = status;
	return true;
}

static bool finish(struct ssh_chan *base, int64_t deadline, int *ret_status, struct err *e)
{
	struct chan *c = (struct chan *)base;
	int64_t began = clock_ms();
	int status = -1, signal = 0;
	bool ok = chan_send_eof(base, e) && drain(c, deadline, e) &&
	          proc_reap(&c->p, deadline, &status, &signal);

	if (ok)
		ok = judge(c, status, signal, ret_status, e);
	else
		err_set(e, ERR_LOST, ETIMEDOUT, "wait for the command: no answer within %lld ms",
		        (long long)(clock_ms() - began));
	chan_free(base);
	return ok;
}

/* Any exit status is an answer: a forced command may refuse what we ask. */
static bool is_alive(struct ssh *base, int64_t deadline)
{
	struct ssh_chan *c = chan_open(base, ":", deadline, NULL);
	struct err e = { 0 };
	int status;

	return c && (finish(c, deadline, &status, &e) || e.kind == ERR_REFUSED);
}

static const struct ssh_ops ops = {
	.name = "openssh",
	.close = close_session,
	.is_alive = is_alive,
	.chan_open = chan_open,
	.read = chan_read,
	.write = chan_write,
	.send_eof = chan_send_eof,
	.eof = chan_eof,
	.wait = wait_any,
	.finish = finish,
	.chan_free = chan_free,
};
