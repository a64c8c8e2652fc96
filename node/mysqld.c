/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mysqld - the server of a port, as probe and fence need to know it.  Runs on: any thread.
 */
#include "mysqld.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "str.h"

/* Other listeners of a server: X protocol and the admin interface, by their usual numbers. */
#define PORT_X     33060
#define PORT_ADMIN 33062

struct search {
	const struct mysqld_query *q;
	struct mysqld_found *to;
	struct procfs_sockets listeners;
	bool attributed; /* a server that has the listening socket is found */
	bool doubtful;   /* something that could be it could not be looked at */
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(names[i]);

		/* A program that was replaced by an upgrade while it runs. */
		if (strncmp(name, names[i], n) == 0 && (!name[n] || str_is(name + n, " (deleted)")))
			return true;
	}
	return false;
}

static bool is_server_name(const char *path)
{
	static const char *const names[] = { "mysqld", "mariadbd", "mysqld-debug", "mysqld.bin" };

	return is_one_of(base_of(path), names, ARRAY_LEN(names));
}

static bool is_loader(const char *path)
{
	const char *name = base_of(path);

	return str_starts(name, "ld-linux") || str_starts(name, "ld-musl") ||
	       (str_starts(name, "ld-2.") && strstr(name, ".so")) || str_starts(name, "ld.so");
}

/* What the dynamic loader was told to run: its first word that is no option. */
static const char *loaded_program(char *const *words)
{
	static const char *const with_value[] = { "--library-path", "--preload", "--argv0",
		"--audit", "--inhibit-rpath", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask" };

	for (char *const *w = words[0] ? words + 1 : words; *w; w++) {
		if (**w != '-')
			return *w;
		if (is_one_of(*w, with_value, ARRAY_LEN(with_value)) && w[1])
			w++;
	}
	return NULL;
}

bool mysqld_is_server(const char *exe, char *const *words, const char **ret_program)
{
	const char *program = exe ? exe : words[0];

	if (program && is_loader(program))
		program = loaded_program(words);
	if (!program || !is_server_name(program))
		return false;
	*ret_program = program;
	return true;
}

bool mysqld_is_safe(char *const *words, int *ret_at)
{
	static const char *const names[] = { "mysqld_safe", "mariadbd-safe", "mysqld-safe" };

	for (int i = 0; i < 3 && words[i]; i++)
		if (is_one_of(base_of(words[i]), names, ARRAY_LEN(names))) {
			*ret_at = i;
			return true;
		}
	return false;
}

const char *mysqld_known_by(unsigned bits)
{
	static const char *const names[] = { "listening socket", "command line", "option file",
		"default port", "data directory", "pid file" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bits & 1U << i)
			return names[i];
	return NULL;
}

static void PRINTF_LIKE(2, 3) note_unseen(struct search *s, const char *fmt, ...)
{
	struct mysqld_found *f = s->to;
	va_list ap;

	s->doubtful = true;
	if (f->unseen_count == MYSQLD_NOTES_MOST)
		return;
	va_start(ap, fmt);
	vsnprintf(f->unseen[f->unseen_count++], sizeof(f->unseen[0]), fmt, ap);
	va_end(ap);
}

/* ---- whose socket ---- */

struct holder {
	const struct search *s;
	bool has_port, has_other;
};

static bool look_at_inode(void *arg, uint64_t inode)
{
	struct holder *h = arg;

	vec_each (struct procfs_socket, l, &h->s->listeners) {
		if (l->inode != inode)
			continue;
		if (l->port == h->s->q->port)
			h->has_port = true;
		else if (l->port != PORT_X && l->port != PORT_ADMIN)
			h->has_other = true;
	}
	return !h->has_port;
}

static bool same_network(const char *proc, pid_t pid)
{
	AUTO(free) char *mine_path = xasprintf("%s/self/ns/net", proc);
	AUTO(free) char *its = procfs_link(proc, pid, "ns/net");
	char mine[64];
	ssize_t n = readlink(mine_path, mine, sizeof(mine) - 1);

	if (n <= 0 || !its) /* not told: the sockets will say */
		return true;
	mine[n] = '\0';
	return str_is(its, mine);
}

/* ---- one process ---- */

struct candidate {
	pid_t pid;
	struct procfs_words words;
	struct mysqld_opts opts;
	struct mysqld m;
	char *const *program_words; /* from the server's or mysqld_safe's own name on */
};

static void copy_text(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

/* Where its root is for us: "" when it is ours. */
static char *root_of(const struct search *s, pid_t pid)
{
	AUTO(free) char *its = procfs_link(s->q->proc, pid, "ns/mnt");
	AUTO(free) char *root = procfs_link(s->q->proc, pid, "root");
	AUTO(free) char *path = xasprintf("%s/self/ns/mnt", s->q->proc);
	char mine[64];
	ssize_t n = readlink(path, mine, sizeof(mine) - 1);
	bool same =
	        !its || n <= 0 || (strlen(its) == (size_t)n && memcmp(its, mine, (size_t)n) == 0);

	if (same && (!root || str_is(root, "/")))
		return xstrdup("");
	return xasprintf("%s/%d/root", s->q->proc, (int)pid);
}

static void set_datadir(const struct search *s, struct candidate *c, const char *root, bool listens)
{
	AUTO(free) char *cwd = procfs_link(s->q->proc, c->pid, "cwd");
	struct mysqld *m = &c->m;

	/* A server that is up has gone to its data directory: that is where it is, links resolved. */
	if (cwd && strlen(cwd) < sizeof(m->datadir) && listens && !str_is(cwd, "/")) {
		copy_text(m->datadir, sizeof(m->datadir), cwd);
		copy_text(m->datadir_by, sizeof(m->datadir_by), "working directory");
	} else if (c->opts.datadir[0] == '/') {
		copy_text(m->datadir, sizeof(m->datadir), c->opts.datadir);
		copy_text(m->datadir_by, sizeof(m->datadir_by),
		        c->opts.datadir_by == MYSQLD_OPT_FILE ? "option file" : "command line");
	}
	if (m->datadir[0])
		snprintf(m->access, sizeof(m->access), "%s%s", root, m->datadir);
}

static bool is_same_folder(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	while (n > 1 && a[n - 1] == '/')
		n--;
	while (m > 1 && b[m - 1] == '/')
		m--;
	return n == m && memcmp(a, b, n) == 0;
}

static bool works_in(const struct search *s, const struct candidate *c, const char *datadir)
{
	AUTO(free) char *cwd = procfs_link(s->q->proc, c->pid, "cwd");
	char real[PATH_MAX];

	if (!datadir)
		return false;
	if (c->opts.datadir[0] && is_same_folder(c->opts.datadir, datadir))
		return true;
	return cwd && (is_same_folder(cwd, datadir) ||
	                      (realpath(datadir, real) && is_same_folder(cwd, real)));
}

/* Whether a pid file in the data directory that was named holds this pid. */
static bool in_pid_file(const char *datadir, pid_t pid)
{
	struct dirent *de;
	DIR *d = datadir ? opendir(datadir) : NULL;
	bool found = false;

	while (d && !found && (de = readdir(d))) {
		AUTO(free) char *text = NULL;
		long long n;

		if (!str_ends(de->d_name, ".pid"))
			continue;
		text = procfs_read(datadir, de->d_name, NULL);
		found = text && str_to_int(str_trim(text), 1, INT_MAX, &n) && n == pid;
	}
	if (d)
		closedir(d);
	return found;
}

/* Runs that never serve a port, though their options look like a server's. */
static bool has_no_port(char *const *words)
{
	static const char *const modes[] = { "--bootstrap", "--initialize", "--initialize-insecure",
		"--skip-networking", "--skip_networking", "--help", "--version" };

	for (char *const *w = words; *w; w++)
		if (is_one_of(*w, modes, ARRAY_LEN(modes)))
			return true;
	return false;
}

static unsigned known_by_port(const struct search *s, const struct candidate *c)
{
	if (c->opts.port != s->q->port || has_no_port(c->program_words))
		return 0;
	if (c->opts.port_by == MYSQLD_OPT_COMMAND_LINE)
		return MYSQLD_BY_COMMAND_LINE;
	if (c->opts.incomplete) /* what could not be read may say another port */
		return 0;
	return c->opts.port_by == MYSQLD_OPT_FILE ? MYSQLD_BY_OPTION_FILE : MYSQLD_BY_DEFAULT_PORT;
}

static unsigned known_by_options(const struct search *s, const struct candidate *c)
{
	unsigned bits = known_by_port(s, c);

	if (works_in(s, c, s->q->datadir))
		return bits | MYSQLD_BY_DATADIR;
	if (in_pid_file(s->q->datadir, c->pid))
		return bits | MYSQLD_BY_PID_FILE;
	/* It works elsewhere, and is told to be the one by nothing but the absence of another port. */
	if (s->q->datadir && c->opts.datadir[0] && bits == MYSQLD_BY_DEFAULT_PORT)
		return 0;
	return bits;
}

static void keep(struct mysqld *list, int *count, const struct mysqld *m)
{
	int at = *count;

	if (*count == MYSQLD_MOST)
		return;
	/* The lowest bit is the best knowledge. */
	while (at > 0 &&
	        (m->known_by & -m->known_by) < (list[at - 1].known_by & -list[at - 1].known_by)) {
		list[at] = list[at - 1];
		at--;
	}
	list[at] = *m;
	++*count;
}

static bool fill(struct search *s, struct candidate *c, const char *program)
{
	struct procfs_stat st;

	if (!procfs_stat(s->q->proc, c->pid, &st))
		return false;
	c->m = (struct mysqld){ .pid = c->pid,
		.parent = st.parent,
		.state = st.state,
		.threads = st.threads,
		.start_ticks = st.start_ticks };
	copy_text(c->m.program, sizeof(c->m.program), program);
	return true;
}

/* Whether it listens on the port; *ret_elsewhere: only on others.  False also where it cannot be seen. */
static bool listens(
        struct search *s, const struct candidate *c, bool *ret_elsewhere, bool *ret_seen)
{
	struct holder h = { .s = s };

	*ret_seen = procfs_each_socket(s->q->proc, c->pid, look_at_inode, &h);
	*ret_elsewhere = h.has_other && !h.has_port;
	return h.has_port;
}

static void consider_server(struct search *s, struct candidate *c, const char *program)
{
	AUTO(free) char *root = root_of(s, c->pid);
	bool elsewhere, seen, here;

	if (!fill(s, c, program))
		return;
	mysqld_opts_read(root, c->program_words, &c->opts);
	here = listens(s, c, &elsewhere, &seen);
	if (here)
		c->m.known_by |= MYSQLD_BY_SOCKET;
	if (here || !elsewhere)
		c->m.known_by |= known_by_options(s, c);
	set_datadir(s, c, root, here || elsewhere);
	if (!same_network(s->q->proc, c->pid)) {
		s->to->foreign |= c->m.known_by != 0;
		return;
	}
	s->attributed |= here;
	if (c->m.known_by)
		keep(s->to->servers, &s->to->count, &c->m);
	else if (!elsewhere && c->opts.incomplete)
		note_unseen(s,
		        "process %d is a server whose option files cannot be read: its port is "
		        "unknown",
		        (int)c->pid);
	else if (!elsewhere && !seen && s->to->socket_count)
		note_unseen(s, "process %d is a server whose sockets cannot be seen", (int)c->pid);
}

static void consider_safe(struct search *s, struct candidate *c, int at)
{
	AUTO(free) char *root = root_of(s, c->pid);

	if (!fill(s, c, c->words.words[at]) || !same_network(s->q->proc, c->pid))
		return;
	mysqld_opts_read(root, c->words.words + at, &c->opts);
	c->m.known_by = known_by_options(s, c);
	if (c->m.known_by)
		keep(s->to->safes, &s->to->safe_count, &c->m);
}

/* Cheap enough to be asked of every process of the host. */
static bool may_be_server(const struct procfs_words *w)
{
	for (size_t i = 0; i < w->count && i < 10; i++)
		if (is_server_name(w->words[i]))
			return true;
	return w->count && (strstr(w->words[0], "mysqld") || strstr(w->words[0], "mariadbd"));
}

static void consider(struct search *s, pid_t pid)
{
	struct candidate c = { .pid = pid };
	int at;

	if (!procfs_words(s->q->proc, pid, &c.words))
		return;
	c.program_words = c.words.words;
	if (mysqld_is_safe(c.words.words, &at)) {
		consider_safe(s, &c, at);
	} else if (may_be_server(&c.words)) {
		AUTO(free) char *exe = procfs_link(s->q->proc, pid, "exe");
		const char *program;

		if (mysqld_is_server(exe, c.words.words, &program))
			consider_server(s, &c, program);
	}
	procfs_words_done(&c.words);
}

/* ---- what nobody has claimed ---- */

/* A zombie has no command line; while threads of it still hang in the kernel it holds its files. */
static bool consider_ended(struct search *s, pid_t pid)
{
	struct candidate c = { .pid = pid };
	bool elsewhere, seen;

	if (!fill(s, &c, NULL) || c.m.state != 'Z' || c.m.threads <= 1 ||
	        !listens(s, &c, &elsewhere, &seen))
		return false;

	AUTO(free) char *comm = procfs_read_of(s->q->proc, pid, "comm", NULL);

	if (!comm || !is_server_name(str_trim(comm)))
		return false;
	copy_text(c.m.program, sizeof(c.m.program), str_trim(comm));
	c.m.known_by = MYSQLD_BY_SOCKET;
	keep(s->to->servers, &s->to->count, &c.m);
	return true;
}

/* Somebody listens on the port, and no process that looks like a server does. */
static void find_holder(struct search *s, const struct procfs_pids *pids)
{
	bool all_seen = true;

	vec_each (pid_t, pid, pids) {
		struct candidate c = { .pid = *pid };
		bool elsewhere, seen;

		if (consider_ended(s, *pid)) {
			s->attributed = true;
			return;
		}
		if (!listens(s, &c, &elsewhere, &seen)) {
			all_seen &= seen || errno == ENOENT || errno == ESRCH;
			continue;
		}

		AUTO(free) char *exe = procfs_link(s->q->proc, *pid, "exe");
		AUTO(free) char *comm = procfs_read_of(s->q->proc, *pid, "comm", NULL);
		const char *program;

		if (procfs_words(s->q->proc, *pid, &c.words)) {
			c.program_words = c.words.words;
			if (mysqld_is_server(exe, c.words.words, &program))
				consider_server(s, &c, program);
			procfs_words_done(&c.words);
		}
		if (!s->attributed) {
			s->to->stranger = *pid;
			copy_text(s->to->stranger_name, sizeof(s->to->stranger_name),
			        comm ? str_trim(comm) : "?");
		}
		return;
	}
	note_unseen(s,
	        all_seen ? "something listens on port %d, in no process that we can see"
	                 : "something listens on port %d, and not all processes may be looked into",
	        s->q->port);
}

/* Not root, and /proc mounted so that others' processes are hidden. */
static bool others_are_hidden(const char *proc)
{
	AUTO(free) char *path = xasprintf("%s/1/stat", proc);

	return access(path, R_OK) != 0;
}

static void look_at_processes(struct search *s)
{
	struct procfs_pids pids = VEC_INIT;
	struct err e = { 0 };

	if (!procfs_pids(s->q->proc, &pids, &e))
		note_unseen(s, "%.150s", e.text);
	vec_each (pid_t, pid, &pids)
		consider(s, *pid);
	if (s->to->socket_count && !s->attributed)
		find_holder(s, &pids);
	vec_done(&pids);
	if (others_are_hidden(s->q->proc))
		note_unseen(s, "processes of other users are hidden from us");
}

/*
 * What is known by weak signs only is another server than the one that listens, unless they share the
 * data directory (the old one still shuts down while the new one is up).
 */
static void drop_doubtful(struct mysqld_found *f)
{
	int kept = 1;

	if (!f->count || !(f->servers[0].known_by & MYSQLD_BY_SOCKET))
		return;
	for (int i = 1; i < f->count; i++) {
		const struct mysqld *m = &f->servers[i];

		if ((m->known_by & (MYSQLD_BY_SOCKET | MYSQLD_BY_DATADIR | MYSQLD_BY_PID_FILE)) ||
		        (m->datadir[0] && is_same_folder(m->datadir, f->servers[0].datadir)))
			f->servers[kept++] = *m;
	}
	f->count = kept;
}

static void look_at_sockets(struct search *s)
{
	struct err e = { 0 };

	if (!procfs_listeners(s->q->proc, &s->listeners, &e))
		note_unseen(s, "%.150s", e.text);
	vec_each (struct procfs_socket, l, &s->listeners)
		if (l->port == s->q->port && s->to->socket_count < MYSQLD_SOCKETS_MOST)
			s->to->sockets[s->to->socket_count++] = *l;
}

static void choose_datadir(const struct mysqld_query *q, struct mysqld_found *f)
{
	struct mysqld_opts o;

	if (f->count && f->servers[0].datadir[0]) {
		copy_text(f->datadir, sizeof(f->datadir), f->servers[0].datadir);
		copy_text(f->datadir_by, sizeof(f->datadir_by), f->servers[0].datadir_by);
		copy_text(f->access, sizeof(f->access), f->servers[0].access);
	} else if (q->datadir) {
		copy_text(f->datadir, sizeof(f->datadir), q->datadir);
		copy_text(f->datadir_by, sizeof(f->datadir_by), "asked for");
		copy_text(f->access, sizeof(f->access), q->datadir);
	} else if (mysqld_opts_of_port(q->etc, q->port, &o) &&
	           (o.datadir_by != MYSQLD_OPT_DEFAULT || access(o.datadir, F_OK) == 0)) {
		copy_text(f->datadir, sizeof(f->datadir), o.datadir);
		copy_text(f->datadir_by, sizeof(f->datadir_by),
		        o.datadir_by == MYSQLD_OPT_FILE ? "option file" : "default");
		copy_text(f->access, sizeof(f->access), o.datadir);
	}
}

void mysqld_find(const struct mysqld_query *q, struct mysqld_found *ret)
{
	struct search s = { .q = q, .to = ret };

	memset(ret, 0, sizeof(*ret));
	look_at_sockets(&s);
	look_at_processes(&s);
	drop_doubtful(ret);
	choose_datadir(q, ret);
	vec_done(&s.listeners);
	ret->seen = ret->count ? MYSQLD_HERE : s.doubtful ? MYSQLD_UNKNOWN : MYSQLD_ABSENT;
}
