/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link - daemon/link.h and daemon/witness.h for scripts.  Obeys lines of stdin and prints one line of
 * JSON for each thing that happens.  Ends with stdin.
 *
 *	room N				the room, before the first link
 *	link ID key=value...		address=, port=, user=, key=, known_hosts=, host_keys=, transport=,
 *					bindir=, priority=, open_ms=, ping_ms=, silence_ms=
 *	view ID | wake ID | free ID | priority ID N
 *	call ID TAG MS VERB ARGS	ARGS is JSON without blanks, or -
 *	exec ID TAG MS LINE...
 *	cancel TAG
 *	bench ID N MS VERB ARGS		N calls, one after the other: their times
 *	save ID TAG MS ARGS [FILE]	`save` into a sink: length and checksum
 *	copy ID ID2 TAG MS ARGS VERB2 ARGS2	`save` there streamed into a verb here
 *	feed ID TAG MS N VERB ARGS	N bytes streamed into a verb
 *	witness ID KIND			add the link to the observers
 *	ask TAG MS IP PORT		ask them
 */
#include "clock.h"
#include "crc.h"
#include "job.h"
#include "link.h"
#include "loop.h"
#include "ssh.h"
#include "str.h"
#include "witness.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 1100, TAGS_MAX = 4096, WORDS_MAX = 24 };

struct slot {
	struct link *l;
	struct conf_server *s;
	int id;
};
struct tag {
	struct link_call *c;
	int64_t began;
	char name[32];
};
struct bench {
	int id, left, n;
	int64_t ms, began, *us;
	char *verb, *args;
};
struct work {
	struct link_door *from, *to;
	char tag[32], *args, *verb2, *args2, *file;
	int64_t deadline;
	size_t feed;
	struct link_result result, result2;
	struct err err2;
	uint64_t bytes;
	uint32_t crc;
};

static struct loop *loop;
static struct link_room *room;
static struct job_pool *pool;
static struct witness_set *witnesses;
static struct slot slots[LINKS_MAX];
static struct tag tags[TAGS_MAX];
static struct str input = STR_INIT;

static json_t *j_err(const struct err *e)
{
	if (e->kind == ERR_NONE)
		return json_null();
	return json_pack("{s:s,s:i,s:s,s:s,s:s}", "kind", err_kind_name(e->kind), "code", e->code,
	        "host", e->host, "text", e->text, "hint", e->hint);
}

static void print(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);

	puts(text ? text : "{\"ev\":\"unprintable\"}");
	fflush(stdout);
	free(text);
	json_decref(j);
}

static json_t *args_of(const char *text)
{
	return !text || str_is(text, "-") ? NULL : json_loads(text, 0, NULL);
}

static void print_view(const char *ev, struct link *l, int id)
{
	const struct link_view *v = link_view(l);

	print(json_pack("{s:s,s:i,s:s,s:s,s:I,s:I,s:b,s:b,s:s,s:s,s:o}", "ev", ev, "link", id,
	        "state", link_state_name(v->state), "why", link_why_name(v->why), "since_ms",
	        (json_int_t)(clock_ms() - v->since), "heard_ms",
	        (json_int_t)(v->heard ? clock_ms() - v->heard : -1), "waits", v->waits_for_room,
	        "has_node", v->has_node, "version", v->version, "transport", v->transport, "err",
	        j_err(&v->err)));
}

static void changed(void *arg, struct link *l)
{
	print_view("state", l, ((struct slot *)arg)->id);
}

static const char *value_of(char **words, int n, const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (int i = 2; i < n; i++)
		if (!strncmp(words[i], key, len) && words[i][len] == '=')
			return words[i] + len + 1;
	return otherwise;
}

static void do_link(char **w, int n)
{
	struct slot *slot = &slots[atoi(w[1])];
	struct conf_server *s = xzalloc(sizeof(*s));
	struct link_opts o = { .priority = atoi(value_of(w, n, "priority", "2")),
		.ping_ms = atoi(value_of(w, n, "ping_ms", "0")),
		.silence_ms = atoi(value_of(w, n, "silence_ms", "0")) };

	s->id = xasprintf("server%s", w[1]);
	s->ssh_address = xstrdup(value_of(w, n, "address", "127.0.0.1"));
	s->ip = xstrdup(s->ssh_address);
	s->hostname = xstrdup(s->ssh_address);
	s->ssh_host = xstrdup(value_of(w, n, "host", s->ssh_address));
	s->ssh_port = atoi(value_of(w, n, "port", "22"));
	s->ssh_user = xstrdup(value_of(w, n, "user", "root"));
	s->ssh_key = xstrdup(value_of(w, n, "key", NULL));
	s->ssh_known_hosts = xstrdup(value_of(w, n, "known_hosts", NULL));
	s->ssh_host_keys = str_is(value_of(w, n, "host_keys", ""), "strict")
	                           ? SSH_HOST_KEYS_STRICT
	                           : SSH_HOST_KEYS_ACCEPT_NEW;
	s->ssh_transport = str_is(value_of(w, n, "transport", ""), "openssh") ? 2 : 0;
	s->node_bindir = xstrdup(value_of(w, n, "bindir", NULL));
	s->ssh_connection_timeout = atoi(value_of(w, n, "open_ms", "5000"));
	slot->s = s;
	slot->id = atoi(w[1]);
	slot->l = link_new(room, s, &o, changed, slot);
}

static void free_server(struct conf_server *s)
{
	const char *texts[] = { s->id, s->ssh_address, s->ip, s->hostname, s->ssh_host, s->ssh_user,
		s->ssh_key, s->ssh_known_hosts, s->node_bindir };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free((void *)(uintptr_t)texts[i]);
	free(s);
}

static void free_slot(struct slot *slot)
{
	if (!slot->l)
		return;
	link_free(TAKE(slot->l));
	free_server(TAKE(slot->s));
}

static struct tag *tag_new(const char *name)
{
	for (size_t i = 0; i < TAGS_MAX; i++) {
		if (!tags[i].name[0]) {
			snprintf(tags[i].name, sizeof(tags[i].name), "%s", name);
			tags[i].began = clock_us();
			return &tags[i];
		}
	}
	abort();
}

static void answered(void *arg, const struct link_answer *a)
{
	struct tag *t = arg;

	print(json_pack("{s:s,s:s,s:i,s:o,s:O*,s:s,s:s,s:f}", "ev", "answer", "tag", t->name,
	        "status", a->status, "err", j_err(&a->err), "value", a->value, "out", a->out,
	        "err_out", a->err_out, "ms", (double)(clock_us() - t->began) / 1000));
	*t = (struct tag){ 0 };
}

static void do_cancel(const char *name)
{
	for (size_t i = 0; i < TAGS_MAX; i++) {
		if (str_is(tags[i].name, name)) {
			link_cancel(tags[i].c);
			tags[i] = (struct tag){ 0 };
		}
	}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void bench_next(struct bench *b);

static void bench_answered(void *arg, const struct link_answer *a)
{
	struct bench *b = arg;

	if (a->status) {
		print(json_pack("{s:s,s:o}", "ev", "bench", "err", j_err(&a->err)));
		b->left = 0;
		return;
	}
	b->us[b->n - b->left] = clock_us() - b->began;
	b->left--;
	bench_next(b);
}

static void bench_next(struct bench *b)
{
	if (b->left) {
		b->began = clock_us();
		link_call(slots[b->id].l, b->verb, args_of(b->args), clock_in(b->ms),
		        bench_answered, b);
		return;
	}
	qsort(b->us, (size_t)b->n, sizeof(*b->us), by_size);
	print(json_pack("{s:s,s:i,s:I,s:I,s:I}", "ev", "bench", "n", b->n, "median_us",
	        (json_int_t)b->us[b->n / 2], "p99_us", (json_int_t)b->us[b->n * 99 / 100], "min_us",
	        (json_int_t)b->us[0]));
	free(b->us);
	free(b->verb);
	free(b->args);
	free(b);
}

static void do_bench(char **w)
{
	struct bench *b = xzalloc(sizeof(*b));

	b->id = atoi(w[1]);
	b->n = b->left = atoi(w[2]);
	b->ms = atoi(w[3]);
	b->verb = xstrdup(w[4]);
	b->args = xstrdup(w[5]);
	b->us = xzalloc((size_t)b->n * sizeof(*b->us));
	bench_next(b);
}

/* ---- on a worker ---- */

static bool sink(struct work *k, struct link_stream *from, struct link_stream *to, struct err *e)
{
	static const size_t size = 100 << 10;
	AUTO(free) char *buf = xmalloc(size);
	AUTO_FD int fd = k->file ? open(k->file, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	ssize_t n;

	while ((n = link_read(from, buf, size, e)) > 0) {
		k->bytes += (uint64_t)n;
		k->crc = crc_add(k->crc, buf, (size_t)n);
		if (fd >= 0 && write(fd, buf, (size_t)n) != n)
			return err_sys(e, "write");
		if (to && !link_write(to, buf, (size_t)n, e))
			return false;
	}
	return n == 0;
}

static bool feed(struct work *k, struct err *e)
{
	struct link_stream *s =
	        link_open(k->from, k->verb2, args_of(k->args), true, k->deadline, e);
	char block[1000];
	bool ok = s != NULL;

	memset(block, 'x', sizeof(block));
	block[sizeof(block) - 1] = '\n';
	while (ok && k->bytes < k->feed) {
		ok = link_write(s, block, sizeof(block), e);
		k->bytes += sizeof(block);
	}
	if (!s)
		return false;
	return link_close(s, &k->result, ok ? e : &k->err2) && ok;
}

static bool work(struct job *j, void *arg, struct err *e)
{
	struct work *k = arg;
	struct link_stream *from, *to = NULL;
	bool ok;

	(void)j;
	if (k->feed)
		return feed(k, e);
	from = link_open(k->from, "save", args_of(k->args), false, k->deadline, e);
	if (!from)
		return false;
	if (k->to)
		to = link_open(k->to, k->verb2, args_of(k->args2), true, k->deadline, e);
	ok = (!k->to || to) && sink(k, from, to, e);
	if (!ok) {
		link_abandon(from);
		link_abandon(to);
		return false;
	}
	ok = link_close(from, &k->result, e);
	if (to && !link_close(to, &k->result2, &k->err2))
		k->result2.status = k->result2.status ? k->result2.status : -1;
	return ok;
}

static void worked(struct job *j, void *arg, const struct err *e)
{
	static const struct err none = { 0 };
	struct work *k = arg;

	if (job_is_late(j)) {
		print(json_pack("{s:s,s:s,s:s}", "ev", "work", "tag", k->tag, "late", "yes"));
		return;
	}
	print(json_pack("{s:s,s:s,s:o,s:o,s:i,s:i,s:I,s:I,s:s,s:O*}", "ev", "work", "tag", k->tag,
	        "err", j_err(e ? e : &none), "err2", j_err(&k->err2), "status", k->result.status,
	        "status2", k->result2.status, "bytes", (json_int_t)k->bytes, "crc",
	        (json_int_t)k->crc, "out", k->result.out ? k->result.out : "", "value",
	        k->result.value));
}

static void free_work(void *arg)
{
	struct work *k = arg;

	link_door_free(k->from);
	link_door_free(k->to);
	link_result_done(&k->result);
	link_result_done(&k->result2);
	free(k->args);
	free(k->args2);
	free(k->verb2);
	free(k->file);
	free(k);
}

static struct work *work_new(const char *tag, const char *ms, int from)
{
	struct work *k = xzalloc(sizeof(*k));

	snprintf(k->tag, sizeof(k->tag), "%s", tag);
	k->deadline = clock_in(atoi(ms));
	k->from = link_door(slots[from].l);
	k->result.status = k->result2.status = -1;
	return k;
}

static void start_work(struct work *k)
{
	job_start(pool, job_new("work", clock_in(120000), work, worked, free_work, k));
}

static void do_save(char **w, int n)
{
	struct work *k = work_new(w[2], w[3], atoi(w[1]));

	k->args = xstrdup(w[4]);
	k->file = n > 5 ? xstrdup(w[5]) : NULL;
	start_work(k);
}

static void do_copy(char **w)
{
	struct work *k = work_new(w[3], w[4], atoi(w[1]));

	k->to = link_door(slots[atoi(w[2])].l);
	k->args = xstrdup(w[5]);
	k->verb2 = xstrdup(w[6]);
	k->args2 = xstrdup(w[7]);
	start_work(k);
}

static void do_feed(char **w)
{
	struct work *k = work_new(w[2], w[3], atoi(w[1]));

	k->feed = (size_t)atoll(w[4]);
	k->verb2 = xstrdup(w[5]);
	k->args = xstrdup(w[6]);
	start_work(k);
}

/* ---- witnesses ---- */

static json_t *j_witness(const struct witness_answer *a)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:I,s:I,s:s,s:s,s:b,s:b,s:s,s:s}", "name", a->name,
	        "server", a->server, "word", witness_word_name(a->word), "reach",
	        witness_reach_name(a->reach), "on_target", a->on_target, "ms",
	        (json_int_t)(a->answered ? a->answered - a->asked : -1), "took_ms",
	        (json_int_t)a->took_ms, "how", a->how, "detail", a->detail, "silent", a->silent,
	        "is_old", a->is_old, "state", link_state_name(a->link_state), "why",
	        link_why_name(a->link_why));
}

static void each_seen(void *arg, const struct witness_answer *a)
{
	struct tag *t = arg;

	print(json_pack("{s:s,s:s,s:o}", "ev", "each", "tag", t->name, "answer", j_witness(a)));
}

static void all_seen(void *arg, const struct witness_answer *a, size_t n)
{
	struct tag *t = arg;
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, j_witness(&a[i]));
	print(json_pack("{s:s,s:s,s:o,s:f}", "ev", "asked", "tag", t->name, "answers", list, "ms",
	        (double)(clock_us() - t->began) / 1000));
	*t = (struct tag){ 0 };
}

static void do_ask(char **w)
{
	struct conf_server target = { .ip = w[3],
		.hostname = w[3],
		.ssh_address = w[3],
		.port = atoi(w[4]),
		.ssh_port = 22,
		.ssh_user = "root",
		.id = "target" };

	witness_ask(witnesses, &target, clock_in(atoi(w[2])), each_seen, all_seen, tag_new(w[1]));
}

static void do_witness(char **w)
{
	if (!witnesses)
		witnesses = witness_new(loop);
	witness_add(witnesses, str_is(w[2], "slave") ? WITNESS_SLAVE : WITNESS_EXTRA,
	        slots[atoi(w[1])].s, slots[atoi(w[1])].l);
}

/* ---- lines ---- */

static int split(char *line, char **words, int most)
{
	int n = 0;
	char *word;

	while (n < most && (word = strsep(&line, " ")))
		if (*word)
			words[n++] = word;
	return n;
}

static char *rest_of(char *line, int skip)
{
	for (; skip && line; skip--) {
		line = strchr(line, ' ');
		line = line ? line + 1 : NULL;
	}
	return line;
}

static void obey(char *line)
{
	AUTO(free) char *copy = xstrdup(line);
	char *w[WORDS_MAX];
	int n = split(line, w, WORDS_MAX), id = n > 1 ? atoi(w[1]) : 0;
	struct tag *t;

	if (!n)
		return;
	if (str_is(w[0], "room")) {
		room = link_room_new(loop, id);
	} else if (str_is(w[0], "link")) {
		do_link(w, n);
	} else if (str_is(w[0], "view")) {
		print_view("view", slots[id].l, id);
	} else if (str_is(w[0], "wake")) {
		link_wake(slots[id].l);
	} else if (str_is(w[0], "free")) {
		free_slot(&slots[id]);
	} else if (str_is(w[0], "priority")) {
		link_set_priority(slots[id].l, atoi(w[2]));
	} else if (str_is(w[0], "call")) {
		t = tag_new(w[2]);
		t->c = link_call(
		        slots[id].l, w[4], args_of(w[5]), clock_in(atoi(w[3])), answered, t);
	} else if (str_is(w[0], "exec")) {
		t = tag_new(w[2]);
		t->c = link_exec(slots[id].l, rest_of(copy, 4), clock_in(atoi(w[3])), answered, t);
	} else if (str_is(w[0], "cancel")) {
		do_cancel(w[1]);
	} else if (str_is(w[0], "bench")) {
		do_bench(w);
	} else if (str_is(w[0], "save")) {
		do_save(w, n);
	} else if (str_is(w[0], "copy")) {
		do_copy(w);
	} else if (str_is(w[0], "feed")) {
		do_feed(w);
	} else if (str_is(w[0], "witness")) {
		do_witness(w);
	} else if (str_is(w[0], "ask")) {
		do_ask(w);
	} else {
		print(json_pack("{s:s,s:s}", "ev", "unknown", "line", w[0]));
	}
}

static void on_input(void *arg, int events)
{
	char buf[65536];
	ssize_t n = read(0, buf, sizeof(buf));
	char *end;

	(void)arg;
	(void)events;
	if (n <= 0) {
		loop_stop(loop);
		return;
	}
	str_addn(&input, buf, (size_t)n);
	while ((end = strchr(input.p, '\n'))) {
		AUTO(free) char *line = xstrndup(input.p, (size_t)(end - input.p));

		memmove(input.p, end + 1, input.len - (size_t)(end + 1 - input.p));
		str_cut(&input, input.len - (size_t)(end + 1 - input.p));
		obey(line);
	}
}

int main(void)
{
	struct loop_io *io;
	bool all;

	loop = loop_new();
	room = NULL;
	pool = job_pool_new(loop, 16);
	io = loop_io_new(loop, 0, LOOP_READ, on_input, NULL);
	loop_run(loop);
	loop_io_free(io);
	witness_free(witnesses);
	for (size_t i = 0; i < LINKS_MAX; i++)
		free_slot(&slots[i]);
	all = link_room_free(room, clock_in(10000));
	job_pool_free(pool);
	loop_free(loop);
	str_done(&input);
	print(json_pack("{s:s,s:b}", "ev", "end", "all", all));
	return 0;
}
