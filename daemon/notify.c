/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - the queue of messages.  Runs on: loop.
 *
 * All messages of all clusters stand in one list, in their order; one of a cluster is sent when it is the first
 * of its cluster, its file is there, and its time has come.
 */
#include "notify.h"
#include <stdlib.h>
#include <unistd.h>
#include "clock.h"
#include "flap.h"
#include "hook.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "notify_impl.h"
#include "str.h"
#include "vec.h"

enum {
	MOST = 8, /* scripts at once */
	MOST_WAITING = 1000,
	FIRST_PAUSE_MS = 10000,
	LONGEST_PAUSE_MS = 600000,
	FILES_MS = 10000,
	DAY_MS = 24 * 3600 * 1000,
};

struct notify {
	struct loop *loop;
	struct job_pool *jobs;
	char *state_dir;
	notify_find_fn find;
	void *arg;
	VEC(struct notify_msg *) list;
	VEC(struct notify_msg *) sending; /* of these a script runs */
	struct loop_timer *timer;
	unsigned number;
	unsigned holders; /* jobs that will come back */
	bool gone;
};

/* What a job is about: a message of its own, and which one of the list. */
struct task {
	struct notify *n;
	struct notify_msg *of; /* the loop's; may be gone only with `n` */
	struct notify_msg *msg;
	char *state_dir;
	struct hook *hook;
	int64_t hook_ms;
	char **found; /* taken up */
	VEC(struct notify_msg *) read;
};

static void pump(void *arg);

static void let_go(struct notify *n)
{
	if (n->holders || !n->gone)
		return;
	vec_each (struct notify_msg *, m, &n->list)
		notify_msg_free(*m);
	vec_done(&n->list);
	vec_done(&n->sending);
	free(n->state_dir);
	free(n);
}

static void task_free(void *arg)
{
	struct task *t = arg;

	notify_msg_free(t->msg);
	for (char **p = t->found; p && *p; p++)
		free(*p);
	free(t->found);
	vec_each (struct notify_msg *, m, &t->read)
		notify_msg_free(*m);
	vec_done(&t->read);
	hook_free(t->hook);
	free(t->state_dir);
	free(t);
}

static struct task *task_new(struct notify *n, struct notify_msg *of)
{
	struct task *t = xzalloc(sizeof(*t));

	n->holders++;
	t->n = n;
	t->of = of;
	t->msg = of ? notify_msg_copy(of) : NULL;
	t->state_dir = n->state_dir ? xstrdup(n->state_dir) : NULL;
	return t;
}

/* True: the queue is still there. */
static bool came_back(struct notify *n)
{
	n->holders--;
	if (!n->gone)
		return true;
	let_go(n);
	return false;
}

static void say(const struct notify_msg *m, enum log_level level, const char *what, const char *why)
{
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = m->cluster });

	log_at(level, "report_script: %s%s", why, what);
	log_set_ctx(old);
}

/* ---- one less ---- */

static size_t index_of(struct notify_msg *const *items, size_t n, const struct notify_msg *m)
{
	size_t i = 0;

	while (i < n && items[i] != m)
		i++;
	return i;
}

static void remove_at(struct notify_msg **items, size_t *len, size_t at)
{
	for (size_t i = at + 1; i < *len; i++)
		items[i - 1] = items[i];
	if (at < *len)
		--*len;
}

/* With its file: nobody sends it any more. */
static void drop(struct notify *n, struct notify_msg *m)
{
	remove_at(n->list.items, &n->list.len, index_of(n->list.items, n->list.len, m));
	if (m->path)
		unlink(m->path);
	notify_msg_free(m);
}

static bool is_sending(const struct notify *n, const struct notify_msg *m)
{
	return index_of(n->sending.items, n->sending.len, m) < n->sending.len;
}

/* ---- sending ---- */

static bool run_script(struct job *j, void *arg, struct err *e)
{
	struct task *t = arg;
	AUTO_STR struct str out = STR_INIT;
	bool fine = hook_run(t->hook, clock_in(t->hook_ms), &out, e);

	(void)j;
	if (out.len)
		log_raw(out.p, out.len);
	/* At once, so that a message is rarely sent twice. */
	if (fine && t->msg->path)
		unlink(t->msg->path);
	return fine;
}

static int64_t pause_after(int tries)
{
	int64_t ms = FIRST_PAUSE_MS;

	while (--tries > 0 && ms < LONGEST_PAUSE_MS)
		ms *= 2;
	return ms < LONGEST_PAUSE_MS ? ms : LONGEST_PAUSE_MS;
}

static void judge(struct notify *n, struct notify_msg *m, const struct err *e)
{
	if (!e) {
		drop(n, m);
		return;
	}
	m->tries++;
	if (m->once || flap_now_ms() - m->at > DAY_MS) {
		say(m, LOG_LV_ERROR, m->once ? "" : "; the message is a day old and given up",
		        e->text);
		drop(n, m);
		return;
	}
	m->next = clock_in(pause_after(m->tries));
	say(m, m->tries == 1 ? LOG_LV_ERROR : LOG_LV_DEBUG, "; it will be called again", e->text);
}

static void sent(struct job *j, void *arg, const struct err *e)
{
	struct task *t = arg;
	struct notify *n = t->n;
	struct notify_msg *m = t->of;

	(void)j;
	if (!came_back(n))
		return;
	remove_at(n->sending.items, &n->sending.len, index_of(n->sending.items, n->sending.len, m));
	judge(n, m, e);
	pump(n);
}

static void send_msg(struct notify *n, struct notify_msg *m)
{
	const struct conf_server *s = n->find(n->arg, m->cluster, m->server);
	struct hook *h = s ? hook_report_again(s, (const char *const *)m->args) : NULL;
	struct task *t;

	if (!h) {
		say(m, LOG_LV_WARNING, " has none any more: a message was not sent", m->server);
		drop(n, m);
		return;
	}
	t = task_new(n, m);
	t->hook = h;
	t->hook_ms = s->hook_timeout;
	vec_push(&n->sending, m);
	job_start(n->jobs, job_new("report_script", clock_in(t->hook_ms + FILES_MS), run_script,
	                           sent, task_free, t));
}

static bool is_first_of_cluster(const struct notify *n, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (str_is(n->list.items[i]->cluster, n->list.items[at]->cluster))
			return false;
	return true;
}

static struct notify_msg *next_due(const struct notify *n, int64_t *ret_when)
{
	int64_t now = clock_ms();

	*ret_when = CLOCK_NEVER;
	for (size_t i = 0; i < n->list.len; i++) {
		struct notify_msg *m = n->list.items[i];

		if (!m->kept || is_sending(n, m) || !is_first_of_cluster(n, i))
			continue;
		if (m->next <= now)
			return m;
		*ret_when = clock_sooner(*ret_when, m->next);
	}
	return NULL;
}

static void pump(void *arg)
{
	struct notify *n = arg;
	struct notify_msg *m;
	int64_t when = CLOCK_NEVER;

	while (n->sending.len < MOST && (m = next_due(n, &when)))
		send_msg(n, m);
	loop_timer_move(n->timer, when);
}

/* ---- new ones ---- */

static bool write_msg(struct job *j, void *arg, struct err *e)
{
	struct task *t = arg;

	(void)j;
	return notify_msg_write(t->state_dir, t->msg, e);
}

/* One that cannot be written down is sent all the same. */
static void written(struct job *j, void *arg, const struct err *e)
{
	struct task *t = arg;
	struct notify *n = t->n;

	(void)j;
	if (!came_back(n))
		return;
	if (e)
		say(t->of, LOG_LV_WARNING, "; a restart would lose the message", e->text);
	t->of->kept = true;
	pump(n);
}

void notify_put(struct notify *n, const char *cluster, const struct conf_server *s, struct hook *h)
{
	struct notify_msg *m;

	if (!h)
		return;
	m = notify_msg_new(cluster, s->id, hook_args(h));
	m->once = s->report_on == CONF_REPORT_END;
	hook_free(h);
	if (n->list.len >= MOST_WAITING) {
		say(m, LOG_LV_ERROR, "; a message is given up", "too many messages wait");
		notify_msg_free(m);
		return;
	}
	vec_push(&n->list, m);
	if (!n->state_dir) {
		m->kept = true;
		loop_timer_move(n->timer, clock_ms());
		return;
	}
	m->path = notify_msg_path(n->state_dir, m, n->number++);
	job_start(n->jobs, job_new("write message", clock_in(FILES_MS), write_msg, written,
	                           task_free, task_new(n, m)));
}

/* ---- what was left ---- */

static bool read_left(struct job *j, void *arg, struct err *e)
{
	struct task *t = arg;

	(void)j;
	(void)e;
	t->found = notify_msg_list(t->state_dir, t->msg->cluster);
	for (char **p = t->found; *p; p++) {
		struct notify_msg *m = notify_msg_read(t->msg->cluster, *p);

		if (m)
			vec_push(&t->read, m);
		else
			unlink(*p);
	}
	return true;
}

static bool is_known(const struct notify *n, const char *path)
{
	vec_each (struct notify_msg *, m, &n->list)
		if (str_is((*m)->path, path))
			return true;
	return false;
}

/* Before what has come since: it is older. */
static void put_first(struct notify *n, struct notify_msg *m, size_t at)
{
	vec_push(&n->list, m);
	for (size_t i = n->list.len - 1; i > at; i--)
		n->list.items[i] = n->list.items[i - 1];
	n->list.items[at] = m;
}

static void taken_up(struct job *j, void *arg, const struct err *e)
{
	struct task *t = arg;
	struct notify *n = t->n;
	size_t at = 0;

	(void)j;
	if (!came_back(n) || e)
		return;
	for (size_t i = 0; i < t->read.len; i++)
		if (!is_known(n, t->read.items[i]->path)) {
			put_first(n, t->read.items[i], at++);
			t->read.items[i] = NULL;
		}
	if (at)
		say(t->msg, LOG_LV_NOTICE, " were left by an earlier mhad and are sent now",
		        "messages");
	pump(n);
}

void notify_take_up(struct notify *n, const char *cluster)
{
	static const char *const none[] = { NULL };
	struct task *t;

	if (!n->state_dir)
		return;
	t = task_new(n, NULL);
	t->msg = notify_msg_new(cluster, "", none);
	job_start(n->jobs,
	        job_new("read messages", clock_in(FILES_MS), read_left, taken_up, task_free, t));
}

/* ---- life ---- */

struct notify *notify_new(
        struct loop *l, struct job_pool *p, const char *state_dir, notify_find_fn find, void *arg)
{
	struct notify *n = xzalloc(sizeof(*n));

	n->loop = l;
	n->jobs = p;
	n->state_dir = state_dir ? xstrdup(state_dir) : NULL;
	n->find = find;
	n->arg = arg;
	n->timer = loop_timer_new(l, CLOCK_NEVER, pump, n);
	return n;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	loop_timer_free(n->timer);
	n->gone = true;
	let_go(n);
}
