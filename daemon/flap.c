/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flap - the two flag files, and the acks that outrank them.  Called before a failover begins, when it
 * is over, and by `mhactl ack`.  Runs on: worker, main thread.
 *
 * An ack names the exact times of the files it lifts, not "all that is older": with a clock that was
 * wrong when somebody acked, "older" would also cover failovers yet to come.
 */
#include "flap.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "history.h"
#include "str.h"

enum { ACKS_TAIL = 64 << 10, MARK_TRIES = 8, TIME_SIZE = 32, DAY_S = 24 * 3600 };
#define NS_PER_MS INT64_C(1000000)

/* One flag file. */
struct flag {
	char path[4096];
	bool there, unknown;
	int64_t ns; /* its time, since 1970 */
	int error;
	char acked_by[120], reason[200]; /* of the ack that lifts it; "" = none */
};

static void look(const struct flap_at *at, const char *suffix, struct flag *ret)
{
	struct stat st;

	*ret = (struct flag){ 0 };
	snprintf(ret->path, sizeof(ret->path), "%s/%s.failover.%s", at->workdir, at->app, suffix);
	if (!lstat(ret->path, &st)) {
		ret->there = true;
		ret->ns = (int64_t)st.st_mtim.tv_sec * 1000 * NS_PER_MS + st.st_mtim.tv_nsec;
	} else if (errno != ENOENT && errno != ENOTDIR) {
		ret->unknown = true;
		ret->error = errno;
	}
}

int64_t flap_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / NS_PER_MS;
}

/* ---- acks */

/* A line that a crash cut short is left out. */
static void read_ack(const char *line, size_t n, struct flag *complete, struct flag *error)
{
	json_t *j = json_loadb(line, n, 0, NULL);
	struct flag *flags[] = { complete, error };
	static const char *const names[] = { "complete_ns", "error_ns" };

	for (size_t i = 0; j && i < ARRAY_LEN(flags); i++) {
		const json_t *ns = json_object_get(j, names[i]);
		const char *by = json_string_value(json_object_get(j, "by")),
		           *reason = json_string_value(json_object_get(j, "text"));

		if (!flags[i]->there || !json_is_integer(ns) ||
		        json_integer_value(ns) != flags[i]->ns)
			continue;
		snprintf(flags[i]->acked_by, sizeof(flags[i]->acked_by), "%s", by ? by : "?");
		snprintf(flags[i]->reason, sizeof(flags[i]->reason), "%s", reason ? reason : "?");
	}
	json_decref(j);
}

static char *acks_path(const struct flap_at *at)
{
	return at->state_dir ? xasprintf("%s/%s/acks", at->state_dir, at->app) : NULL;
}

/* False: they are there and cannot be read. */
static bool read_acks(const struct flap_at *at, struct flag *complete, struct flag *error)
{
	AUTO(free) char *path = acks_path(at), *bytes = NULL;
	AUTO_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	struct stat st;
	off_t from;
	ssize_t n;
	char *line, *end;

	if (fd < 0)
		return !path || errno == ENOENT;
	if (fstat(fd, &st) < 0)
		return false;
	from = st.st_size > ACKS_TAIL ? st.st_size - ACKS_TAIL : 0;
	bytes = xzalloc(ACKS_TAIL + 1);
	n = pread(fd, bytes, ACKS_TAIL, from);
	for (line = bytes; n > 0 && *line; line = end + (*end != '\0')) {
		end = strchrnul(line, '\n');
		read_ack(line, (size_t)(end - line), complete, error);
	}
	return n >= 0;
}

/* ---- the question */

static void file_time(int64_t ns, char ret[TIME_SIZE])
{
	time_t t = (time_t)(ns / NS_PER_MS / 1000);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(ret, TIME_SIZE, "%Y/%m/%d %H:%M:%S", &tm);
}

static void say_age(char *ret, size_t size, int64_t ms)
{
	long long s = (ms < 0 ? -ms : ms) / 1000;

	if (s < 120)
		snprintf(ret, size, "%lld s", s);
	else if (s / DAY_S < 2)
		snprintf(ret, size, "%lld min", s / 60);
	else
		snprintf(ret, size, "%lld days", s / DAY_S);
}

static void say_what_to_type(const struct flap_at *at, struct flap *ret)
{
	snprintf(ret->hint, sizeof(ret->hint),
	        "mhactl ack %.100s --reason=\"...\" (kept) or --ignore_last_failover", at->app);
}

static int64_t age_of(const struct flag *f, int64_t now_ms)
{
	return now_ms - f->ns / NS_PER_MS;
}

static void block_unknown(const struct flap_at *at, const struct flag *f, struct flap *ret)
{
	ret->why = FLAP_UNKNOWN;
	snprintf(ret->text, sizeof(ret->text),
	        "cannot see whether %.100s had a failover lately: %.200s: %s", at->app, f->path,
	        strerror(f->error));
	say_what_to_type(at, ret);
}

static void block_error(const struct flap_at *at, const struct flag *f, struct flap *ret)
{
	char when[TIME_SIZE];

	file_time(f->ns, when);
	ret->why = FLAP_ERROR;
	snprintf(ret->text, sizeof(ret->text),
	        "the last failover of %.100s broke off half done at %s (file %.200s): look at the "
	        "servers first",
	        at->app, when, f->path);
	snprintf(ret->mha, sizeof(ret->mha),
	        "Failover error flag file %.200s exists. This means the last failover failed. "
	        "Check the log, fix what is wrong, and remove the file.",
	        f->path);
	say_what_to_type(at, ret);
}

static void block_recent(
        const struct flap_at *at, const struct flag *f, int64_t window_ms, struct flap *ret)
{
	char when[TIME_SIZE], age[32], window[32];

	file_time(f->ns, when);
	say_age(age, sizeof(age), ret->age_ms);
	say_age(window, sizeof(window), window_ms);
	ret->why = FLAP_RECENT;
	ret->left_ms = window_ms - ret->age_ms;
	snprintf(ret->text, sizeof(ret->text),
	        "last failover of %.100s %s %s %s (file %.200s, window %s)%s", at->app,
	        ret->age_ms < 0 ? "is" : "was", age, ret->age_ms < 0 ? "in the future" : "ago",
	        f->path, window,
	        ret->age_ms < 0 ? ": was the clock changed? It counts as just done" : "");
	snprintf(ret->mha, sizeof(ret->mha),
	        "Last failover was done at %s. It is too early for another one; to allow it, "
	        "remove %.200s.",
	        when, f->path);
	say_what_to_type(at, ret);
}

static void note_ack(const struct flag *f, struct flap *ret)
{
	ret->why = FLAP_ACKED;
	snprintf(ret->text, sizeof(ret->text), "block by %.150s was lifted by %s: %s", f->path,
	        f->acked_by, f->reason);
}

static void add_unread_acks(const struct flap_at *at, struct flap *ret)
{
	size_t n = strlen(ret->text);

	snprintf(ret->text + n, sizeof(ret->text) - n, "; %.100s/%.60s/acks cannot be read",
	        at->state_dir, at->app);
}

bool flap_check(const struct flap_at *at, int64_t window_ms, int64_t now_wall_ms, struct flap *ret)
{
	struct flag complete, error;
	const struct flag *f;
	bool acks_read, recent;

	*ret = (struct flap){ .why = FLAP_FREE };
	look(at, "complete", &complete);
	look(at, "error", &error);
	acks_read = read_acks(at, &complete, &error);
	recent = complete.there && window_ms > 0 && age_of(&complete, now_wall_ms) < window_ms;
	f = error.there && !(recent && *error.acked_by && !*complete.acked_by) ? &error : &complete;
	ret->age_ms = f->there ? age_of(f, now_wall_ms) : 0;
	if (error.unknown || (complete.unknown && window_ms > 0))
		block_unknown(at, error.unknown ? &error : &complete, ret);
	else if ((f == &error || recent) && *f->acked_by)
		note_ack(f, ret);
	else if (f == &error)
		block_error(at, f, ret);
	else if (recent)
		block_recent(at, f, window_ms, ret);
	if (!acks_read && ret->why != FLAP_FREE)
		add_unread_acks(at, ret);
	return ret->why == FLAP_FREE || ret->why == FLAP_ACKED;
}

/* ---- the answers */

static bool forget(const char *path, struct err *e)
{
	return !unlink(path) || errno == ENOENT || err_sys(e, "cannot remove %s", path);
}

bool flap_forget(const struct flap_at *at, struct err *e)
{
	struct flag complete, error;

	look(at, "complete", &complete);
	look(at, "error", &error);
	return forget(error.path, e) && forget(complete.path, e);
}

/* What root makes for mhad must be mhad's. */
static void give(int fd, const char *like)
{
	struct stat st;

	if (!geteuid() && !stat(like, &st))
		(void)!fchown(fd, st.st_uid, st.st_gid);
}

static json_t *time_or_null(const struct flag *f)
{
	return f->there ? json_integer(f->ns) : json_null();
}

static char *ack_line(
        const struct flag *complete, const struct flag *error, const char *reason, const char *who)
{
	char at[TIME_SIZE];
	time_t now = time(NULL);
	struct tm tm;
	json_t *j;
	char *text;

	localtime_r(&now, &tm);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S%z", &tm);
	j = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "at", at, "what", "ack", "by",
	        json_stringn_nocheck(who, strlen(who)), "text",
	        json_stringn_nocheck(reason, strlen(reason)), "complete_ns", time_or_null(complete),
	        "error_ns", time_or_null(error));
	text = j ? json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(j);
	return text;
}

/* Behind a line that a crash cut short begins a new one. */
static bool append(int fd, const char *line, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return err_sys(e, "cannot read it");
	str_addf(&text, "%s%s\n", last == '\n' ? "" : "\n", line);
	if (write(fd, text.p, text.len) != (ssize_t)text.len || fsync(fd))
		return err_sys(e, "cannot write it");
	return true;
}

static bool sync_dir(const char *dir, struct err *e)
{
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && !fsync(fd)) || err_sys(e, "cannot sync %s", dir);
}

static bool keep_ack(const struct flap_at *at, const char *line, struct err *e)
{
	AUTO(free) char *path = acks_path(at), *dir = history_dir(at->state_dir, at->app, e);
	AUTO_FD int dir_fd = -1;
	AUTO_FD int fd = -1;

	if (!dir)
		return false;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	give(dir_fd, at->state_dir);
	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	give(fd, dir);
	return append(fd, line, e) ? sync_dir(dir, e) : err_ctx(e, "%s", path);
}

bool flap_ack(const struct flap_at *at, const char *reason, const char *who, bool *ret_lifted,
        struct err *e)
{
	struct flag complete, error;
	AUTO(free) char *line = NULL;
	bool lifts;

	if (!reason || !reason[strspn(reason, " \t")])
		return err_set(e, ERR_CONFIG, 0, "a reason is needed: it is kept") ||
		       err_hint(e, "--reason=\"what was done about it\"");
	if (!at->state_dir)
		return err_set(e, ERR_PRECOND, 0, "there is no state directory to keep it in");
	look(at, "complete", &complete);
	look(at, "error", &error);
	read_acks(at, &complete, &error);
	lifts = (complete.there && !*complete.acked_by) || (error.there && !*error.acked_by);
	if (lifts) {
		line = ack_line(&complete, &error, reason, who);
		if (!line)
			return err_set(e, ERR_PARSE, 0, "the reason is no text");
		if (!keep_ack(at, line, e))
			return err_ctx(e, "the ack is not kept");
	}
	if (ret_lifted)
		*ret_lifted = lifts;
	return true;
}

/* ---- the marks */

static bool is_ours(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1;
}

/* Two steps: with O_CREAT the kernel refuses even root a stranger's file in /var/tmp. */
static int open_mark(const char *path, struct err *e)
{
	for (int i = 0; i < MARK_TRIES; i++) {
		int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

		if (fd >= 0 && is_ours(fd))
			return fd;
		if (fd >= 0)
			close(fd);
		if ((fd >= 0 || errno != ENOENT) && unlink(path) && errno != ENOENT)
			break;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	err_sys(e, "cannot write %s", path);
	return -1;
}

static bool mark(const struct flap_at *at, const char *suffix, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/%s.failover.%s", at->workdir, at->app, suffix);
	AUTO_FD int fd = open_mark(path, e);

	if (fd < 0)
		return false;
	if (futimens(fd, NULL) || fsync(fd))
		return err_sys(e, "cannot write %s", path);
	return sync_dir(at->workdir, e);
}

bool flap_mark_complete(const struct flap_at *at, struct err *e)
{
	return mark(at, "complete", e);
}

bool flap_mark_error(const struct flap_at *at, struct err *e)
{
	return mark(at, "error", e);
}
