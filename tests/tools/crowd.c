/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd - many clients that write for ever and note what they were promised, for tests and measurements of a
 * switch:
 *
 *	crowd FILE FIRST WRITERS PAUSE_US SUPER_EVERY ADDRESS:PORT...
 *
 * With several addresses a client goes to the one that is not read-only, as a proxy would lead it, and
 * keeps a session with each; with one address it just comes again.  Each SUPER_EVERY-th client is boss, who may
 * write to what is merely read_only.  FILE gets the lines of tests/lab/writer.py: A before a row is sent, K when it
 * is acknowledged, R when it was refused for certain, D when nobody can tell.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "db.h"
#include "str.h"

enum {
	MOST = 8,
	AGAIN_US = 500,
	COME_BACK_US = 5000,
	APART = 10000000,
	CONNECT_MS = 15,
	QUERY_MS = 20000
};

struct target {
	char host[64];
	unsigned port;
};

static struct target targets[MOST];
static int n_targets, file;
static long long first;
static int pause_us, super_every;

struct client {
	int number, at;
	struct db *db[MOST];
	int server[MOST];
	long long next;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void note(char letter, long long id, int more)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "%c %lld %.6f %d\n", letter, id, now(), more);

	if (write(file, line, (size_t)n) != n)
		_exit(3);
}

static int number(struct db *db, const char *sql)
{
	AUTO(free) char *v = NULL;

	return db_value(db, sql, &v, NULL) && v ? atoi(v) : -1;
}

static bool is_boss(const struct client *c)
{
	return super_every && c->number % super_every == 0;
}

static struct db *session(struct client *c)
{
	const struct target *t = &targets[c->at];
	const struct db_opts o = { .name = "crowd",
		.address = t->host,
		.port = t->port,
		.user = is_boss(c) ? "boss" : "app",
		.password = is_boss(c) ? "boss-pw" : "app-pw",
		.connect_ms = n_targets > 1 ? 1000 : CONNECT_MS,
		.query_ms = QUERY_MS };

	if (!c->db[c->at]) {
		c->db[c->at] = db_open(&o, NULL);
		c->server[c->at] = c->db[c->at] ? number(c->db[c->at], "SELECT @@server_id") : 0;
	}
	return c->db[c->at];
}

static void drop(struct client *c)
{
	db_close(c->db[c->at]);
	c->db[c->at] = NULL;
}

static bool is_sure(const struct err *e)
{
	static const int codes[] = { 1205, 1213, 1290, 1792, 1836, 3100 };

	if (e->kind == ERR_UNREACHABLE || e->kind == ERR_PRECOND)
		return true;
	for (size_t i = 0; e->kind == ERR_SQL && i < ARRAY_LEN(codes); i++)
		if (e->code == codes[i])
			return true;
	return false;
}

static bool put(struct client *c)
{
	struct db *db = session(c);
	long long id = first + (long long)c->number * APART + c->next;
	struct err e = { 0 };
	AUTO(free) char *sql = NULL;

	if (!db)
		return false;
	c->next++;
	note('A', id, c->server[c->at]);
	sql = xasprintf("INSERT INTO labdata.w VALUES (%lld, %d, %.6f, "
	                "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
	        id, c->server[c->at], now());
	if (db_exec(db, sql, &e)) {
		note('K', id, c->server[c->at]);
		return true;
	}
	note(is_sure(&e) ? 'R' : 'D', id, e.code);
	if (e.kind != ERR_SQL || n_targets == 1)
		drop(c);
	return false;
}

/* To the next one that takes writes. */
static void look_around(struct client *c)
{
	for (;;) {
		struct db *db;
		int on;

		if (n_targets == 1) {
			usleep(COME_BACK_US);
			return;
		}
		c->at = (c->at + 1) % n_targets;
		db = session(c);
		on = db ? number(db, "SELECT @@global.read_only") : -1;
		if (on == 0)
			return;
		if (on < 0)
			drop(c);
		usleep(AGAIN_US);
	}
}

static void *run(void *arg)
{
	struct client *c = arg;
	unsigned seed = (unsigned)c->number;

	if (n_targets > 1) {
		for (int i = 0; i < n_targets; i++) {
			c->at = i;
			(void)session(c);
		}
		look_around(c);
	}
	for (;;) {
		if (put(c)) /* never all at once */
			usleep((useconds_t)(pause_us / 2 + rand_r(&seed) % (pause_us + 1)));
		else
			look_around(c);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int writers;

	if (argc < 7)
		return 2;
	file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
	first = atoll(argv[2]);
	writers = atoi(argv[3]);
	pause_us = atoi(argv[4]);
	super_every = atoi(argv[5]);
	for (int i = 6; i < argc && n_targets < MOST; i++) {
		struct target *t = &targets[n_targets++];

		if (sscanf(argv[i], "%63[^:]:%u", t->host, &t->port) != 2)
			return 2;
	}
	for (int i = 0; i < writers; i++) {
		struct client *c = xzalloc(sizeof(*c));
		pthread_t id;

		c->number = i;
		if (pthread_create(&id, NULL, run, c))
			return 3;
	}
	pause();
	return 0;
}
