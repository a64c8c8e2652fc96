/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - daemon/hook.h and daemon/hookline.h for scripts: `hook CONF` keeps sessions with the hosts of that
 * cluster, obeys lines of stdin and prints one line of JSON for each thing that happens.  Ends with stdin.
 *
 *	line on|off			with the line to hosts, or without
 *	run CALL MS ORIG [NEW]		servers by id; CALL is status, stop, stopssh, start, online_stop, online_start,
 *					power_status, power, powerssh or report
 */
#include "clock.h"
#include "conf.h"
#include "hook.h"
#include "hookline.h"
#include "job.h"
#include "link.h"
#include "loop.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINKS_MAX = 32, WORDS_MAX = 8 };

static struct loop *loop;
static struct job_pool *pool;
static struct conf *conf;
static struct link *links[LINKS_MAX];
static struct hookline *line;
static struct str input = STR_INIT;
static bool vip_off; /* the last `stop` ended well */

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void print(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);

	puts(text ? text : "{\"ev\":\"unprintable\"}");
	fflush(stdout);
	free(text);
	json_decref(j);
}

static void changed(void *arg, struct link *l)
{
	const struct conf_server *s = arg;

	print(json_pack("{s:s, s:s, s:s}", "ev", "link", "id", s->id, "state",
	        link_state_name(link_view(l)->state)));
}

static size_t index_of(const char *id)
{
	for (size_t i = 0; i < conf->n_servers; i++)
		if (str_is(conf->servers[i]->id, id))
			return i;
	return conf->n_servers;
}

static const struct conf_server *server(const char *id)
{
	size_t i = id ? index_of(id) : conf->n_servers;

	return i < conf->n_servers ? conf->servers[i] : NULL;
}

static struct link *link_of(void *arg, const struct conf_server *s)
{
	(void)arg;
	return links[index_of(s->id)];
}

static struct hook *build(
        const char *call, const struct conf_server *orig, const struct conf_server *fresh)
{
	if (str_is(call, "status"))
		return hook_ip_failover_status(orig);
	if (str_is(call, "stop") || str_is(call, "stopssh"))
		return hook_ip_failover_stop(orig, str_is(call, "stopssh"));
	if (str_is(call, "start"))
		return hook_ip_failover_start(orig, fresh);
	if (str_is(call, "online_stop") || str_is(call, "online_start"))
		return hook_online_change(str_is(call, "online_stop"), orig, fresh, true);
	if (str_is(call, "power_status"))
		return hook_shutdown_status(orig);
	if (str_is(call, "power") || str_is(call, "powerssh"))
		return hook_shutdown(orig, str_is(call, "powerssh"));
	if (str_is(call, "report"))
		return hook_report_failover(orig, fresh, "db3", conf->path,
		        "app1: MySQL Master failover", "Master is down!\n\nIt's \"over\".\n");
	return NULL;
}

struct call {
	char name[32];
	int64_t began;
};

static void ended(void *arg, const struct hook *h, const struct str *output, const struct err *e)
{
	struct call *c = arg;
	char code[HOOK_CODE_MAX];
	json_t *args = json_array(),
	       *out = json_stringn_nocheck(output->p, output->len > 4000 ? 4000 : output->len);

	for (const char *const *a = hook_args(h); *a; a++)
		json_array_append_new(args, json_string(*a));
	if (str_starts(c->name, "stop"))
		vip_off = !e;
	print(json_pack("{s:s, s:s, s:I, s:s, s:i, s:o, s:I, s:s, s:o}", "ev", "ended", "name",
	        c->name, "us", (json_int_t)(now_us() - c->began), "code", hook_code(e, code),
	        "status", e ? hook_status(e) : 0, "output", out, "bytes", (json_int_t)output->len,
	        "error", e ? e->text : "", "args", args));
	free(c);
}

static void run(char **w, int n)
{
	const struct conf_server *orig = n > 3 ? server(w[3]) : NULL,
	                         *fresh = n > 4 ? server(w[4]) : NULL;
	struct hook *h = orig ? build(w[1], orig, fresh ? fresh : orig) : NULL;
	struct call *c;

	if (!h) {
		print(json_pack("{s:s}", "ev", "nothing"));
		return;
	}
	hookline_equip(line, h);
	hook_set_env(h, "MHAD_TOKEN", "7");
	if (str_is(w[1], "start") && vip_off)
		hook_set_env(h, "MHAD_VIP_OFF", "yes");
	c = xzalloc(sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", w[1]);
	c->began = now_us();
	hook_start(pool, h, atoi(w[2]), ended, c);
}

static void set_line(bool on)
{
	struct err e = { 0 };

	hookline_free(line);
	line = on ? hookline_new(loop, conf, link_of, NULL, &e) : NULL;
	print(json_pack("{s:s, s:s, s:s}", "ev", "line", "path", line ? hookline_path(line) : "",
	        "error", e.text));
}

static void obey(char *text)
{
	char *words[WORDS_MAX] = { 0 }, *save;
	int n = 0;

	for (char *w = strtok_r(text, " ", &save); w && n < WORDS_MAX;
	        w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	if (n > 1 && str_is(words[0], "line"))
		set_line(str_is(words[1], "on"));
	if (n > 2 && str_is(words[0], "run"))
		run(words, n);
}

static void on_input(void *arg, int events)
{
	char buf[4096];
	ssize_t n = read(0, buf, sizeof(buf));
	char *end;

	(void)arg;
	(void)events;
	if (n <= 0) {
		loop_stop(loop);
		return;
	}
	str_addn(&input, buf, (size_t)n);
	while ((end = memchr(input.p, '\n', input.len))) {
		size_t used = (size_t)(end + 1 - input.p);

		*end = '\0';
		obey(input.p);
		memmove(input.p, input.p + used, input.len - used);
		str_cut(&input, input.len - used);
	}
}

static bool load(const char *path)
{
	const struct conf_opts o = { .path = path, .deadline = clock_in(5000) };
	struct err e = { 0 };

	conf = conf_load(&o, NULL, &e);
	if (!conf)
		fprintf(stderr, "%s\n", e.text);
	return conf && conf->n_servers < LINKS_MAX;
}

int main(int argc, char **argv)
{
	const struct link_opts o = { .ping_ms = 300, .silence_ms = 700 };
	struct link_room *room;
	struct loop_io *io;

	if (argc != 2 || !load(argv[1]))
		return 2;
	loop = loop_new();
	pool = job_pool_new(loop, 8);
	room = link_room_new(loop, 100);
	for (size_t i = 0; i < conf->n_servers; i++)
		links[i] = link_new(
		        room, conf->servers[i], &o, changed, (void *)(uintptr_t)conf->servers[i]);
	io = loop_io_new(loop, 0, LOOP_READ, on_input, NULL);
	loop_run(loop);
	loop_io_free(io);
	hookline_free(line);
	for (size_t i = 0; i < conf->n_servers; i++)
		link_free(links[i]);
	if (!link_room_free(room, clock_in(10000)))
		_exit(3);
	job_pool_free(pool);
	loop_free(loop);
	conf_free(conf);
	str_done(&input);
	print(json_pack("{s:s}", "ev", "end"));
	return 0;
}
