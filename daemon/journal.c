/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal - a file of JSON lines that is always at least as far as the world.  Runs on: worker.
 */
#include "journal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "history.h"
#include "mem.h"
#include "str.h"

#define JOURNAL_MAX (16 << 20)

struct journal {
	char *dir, *path, *run;
	int fd, lock_fd;
	json_t *unfinished;
	pthread_mutex_t writing, syncing;
	atomic_uint_least64_t written; /* lines */
	uint64_t synced;               /* of them */
};

static bool sync_dir(const char *dir, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool fine = fd >= 0 && fsync(fd) == 0;

	if (!fine)
		err_sys(e, "sync %s", dir);
	if (fd >= 0)
		close(fd);
	return fine;
}

/* The lock is a file of its own: the journal comes and goes. */
static bool take_lock(struct journal *j, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/journal.lock", j->dir);
	char pid[32] = "";
	ssize_t n;

	j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->lock_fd < 0)
		return err_sys(e, "open %s", path);
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		n = pread(j->lock_fd, pid, sizeof(pid) - 1, 0);
		if (n > 0)
			pid[strspn(pid, "0123456789")] = '\0';
		err_set(e, ERR_PRECOND, EBUSY, "another process%s%s works on this cluster",
		        n > 0 ? ", pid " : "", n > 0 ? pid : "");
		return err_hint(e, "wait for its end; mhactl status shows it");
	}
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(j->lock_fd, 0) != 0 ||
	        pwrite(j->lock_fd, pid, strlen(pid), 0) != (ssize_t)strlen(pid))
		return err_sys(e, "write %s", path);
	return true;
}

static bool read_all(struct journal *j, struct str *to, struct err *e)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(j->fd, buf, sizeof(buf))) > 0) {
		str_addn(to, buf, (size_t)n);
		if (to->len > JOURNAL_MAX)
			return err_set(e, ERR_PRECOND, 0, "%s is larger than 16 MiB", j->path);
	}
	return n == 0 || err_sys(e, "read %s", j->path);
}

/*
 * A crash may tear the last line, whose event then did not begin: it is cut off.  Anything else
 * that cannot be read is damage, and nothing is done on half a story.
 */
static bool parse(struct journal *j, struct str *text, struct err *e)
{
	size_t at = 0;
	int number = 0;

	j->unfinished = json_array();
	while (at < text->len) {
		char *line = text->p + at, *end = memchr(line, '\n', text->len - at);
		json_t *value;

		number++;
		if (!end) {
			if (ftruncate(j->fd, (off_t)at) != 0 || fsync(j->fd) != 0)
				return err_sys(e, "cut the torn line off %s", j->path);
			break;
		}
		value = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(value)) {
			json_decref(value);
			err_set(e, ERR_PRECOND, 0, "%s:%d: damaged", j->path, number);
			return err_hint(
			        e, "look at the cluster and at that file, then move the file away");
		}
		json_array_append_new(j->unfinished, value);
		at = (size_t)(end - text->p) + 1;
	}
	return true;
}

/* Away from where an unfinished one would be looked for. */
static bool put_away(struct journal *j, struct err *e)
{
	AUTO(free) char *runs = xasprintf("%s/runs", j->dir);
	AUTO(free) char *to = xasprintf("%s/%s", runs, j->run ? j->run : "unnamed");

	if (mkdir(runs, 0700) != 0 && errno != EEXIST)
		return err_sys(e, "make %s", runs);
	if (rename(j->path, to) != 0)
		return err_sys(e, "rename %s to %s", j->path, to);
	close(j->fd);
	j->fd = -1;
	json_decref(TAKE(j->unfinished));
	return sync_dir(runs, e) && sync_dir(j->dir, e);
}

static bool load(struct journal *j, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	const char *run;
	size_t n;

	j->fd = open(j->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0)
		return errno == ENOENT || err_sys(e, "open %s", j->path);
	if (!read_all(j, &text, e) || !parse(j, &text, e))
		return false;
	n = json_array_size(j->unfinished);
	run = json_string_value(json_object_get(json_array_get(j->unfinished, 0), "run"));
	if (n && !run) {
		err_set(e, ERR_PRECOND, 0, "%s does not begin with a run", j->path);
		return err_hint(e, "look at the cluster and at that file, then move the file away");
	}
	/* Killed while it was created: nothing had begun.  Killed while it was put away: nothing is left to do. */
	if (run)
		j->run = xstrdup(run);
	if (!n || json_object_get(json_array_get(j->unfinished, n - 1), "done"))
		return put_away(j, e);
	return true;
}

struct journal *journal_open(const char *state_dir, const char *cluster, struct err *e)
{
	struct journal *j = xzalloc(sizeof(*j));

	j->fd = j->lock_fd = -1;
	pthread_mutex_init(&j->writing, NULL);
	pthread_mutex_init(&j->syncing, NULL);
	j->dir = history_dir(state_dir, cluster, e);
	if (j->dir) {
		j->path = xasprintf("%s/journal", j->dir);
		if (take_lock(j, e) && load(j, e))
			return j;
	}
	journal_close(j);
	return NULL;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	json_decref(j->unfinished);
	pthread_mutex_destroy(&j->writing);
	pthread_mutex_destroy(&j->syncing);
	free(j->dir);
	free(j->path);
	free(j->run);
	free(j);
}

const json_t *journal_unfinished(const struct journal *j)
{
	return j->unfinished;
}

/* Several lines that wait for the disk at once need one turn of it. */
static bool sync_upto(struct journal *j, uint64_t line, struct err *e)
{
	uint64_t now;
	bool fine = true;

	pthread_mutex_lock(&j->syncing);
	now = atomic_load(&j->written);
	if (j->synced < line) {
		fine = fdatasync(j->fd) == 0 || err_sys(e, "sync %s", j->path);
		if (fine)
			j->synced = now;
	}
	pthread_mutex_unlock(&j->syncing);
	return fine;
}

bool journal_add(struct journal *j, json_t *line, bool sync, struct err *e)
{
	AUTO(free) char *text = json_dumps(line, JSON_COMPACT);
	uint64_t number;
	ssize_t did;
	size_t n;

	json_decref(line);
	if (!text)
		return err_set(e, ERR_SYSTEM, EINVAL, "a line of the journal is no JSON");
	n = strlen(text);
	text = xrealloc(text, n + 2);
	memcpy(text + n, "\n", 2);
	if (j->fd < 0)
		return err_set(e, ERR_SYSTEM, EBADF, "no run was begun in %s", j->path);
	pthread_mutex_lock(&j->writing);
	did = write(j->fd, text, n + 1);
	number = atomic_fetch_add(&j->written, 1) + 1;
	pthread_mutex_unlock(&j->writing);
	if (did != (ssize_t)(n + 1))
		return err_sys(e, "write %s", j->path);
	return !sync || sync_upto(j, number, e);
}

bool journal_begin(
        struct journal *j, const char *run, const char *plan, json_t *facts, struct err *e)
{
	if (j->unfinished) {
		json_decref(facts);
		return err_set(e, ERR_PRECOND, 0, "run %s is not finished", j->run ? j->run : "?");
	}
	j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0) {
		json_decref(facts);
		return err_sys(e, "create %s", j->path);
	}
	free(j->run);
	j->run = xstrdup(run);
	return journal_add(j,
	               json_pack("{s:s, s:s, s:I, s:i, s:o*}", "run", run, "plan", plan, "at",
	                       (json_int_t)time(NULL), "pid", (int)getpid(), "facts", facts),
	               true, e) &&
	       sync_dir(j->dir, e);
}

bool journal_end(struct journal *j, const char *result, struct err *e)
{
	return journal_add(j, json_pack("{s:s, s:I}", "done", result, "at", (json_int_t)time(NULL)),
	               true, e) &&
	       put_away(j, e);
}

/* In the order of time, also when one follows the other at once. */
char *journal_run_name(void)
{
	char when[32] = "";
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	return xasprintf("%s%03ld-%ld", when, now.tv_nsec / 1000000, (long)getpid());
}
