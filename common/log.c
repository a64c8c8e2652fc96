/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - writing lines.  One mutex keeps lines of different threads whole; each line is one write(2).
 * Runs on: any thread.
 */
#include "log.h"
#include "clock.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LV_DEBUG] = { "debug", LOG_DEBUG },
	[LOG_LV_INFO] = { "info", LOG_INFO },
	[LOG_LV_NOTICE] = { "notice", LOG_NOTICE },
	[LOG_LV_WARNING] = { "warning", LOG_WARNING },
	[LOG_LV_ERROR] = { "error", LOG_ERR },
};

static const struct {
	const char *name, *id;
	enum log_level level;
} events[] = {
#define LOG_EVENT_ROW(sym, word, lv, uuid) [LOG_EV_##sym] = { word, uuid, LOG_LV_##lv },
	LOG_EVENTS(LOG_EVENT_ROW)
#undef LOG_EVENT_ROW
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int threshold = LOG_LV_INFO;
static char *file_path; /* under lock; NULL = stderr */
static bool file_complained;
static bool to_journal; /* under lock */
static _Atomic bool names_clusters;
static _Thread_local struct log_ctx ctx;

bool log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (!strcasecmp(name, levels[i].name)) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	if (!strcasecmp(name, "warn")) {
		*ret = LOG_LV_WARNING;
		return true;
	}
	/* The logger MHA used knows these above error; nothing we say is more than an error. */
	if (!strcasecmp(name, "err") || !strcasecmp(name, "critical") ||
	        !strcasecmp(name, "crit") || !strcasecmp(name, "alert") ||
	        !strcasecmp(name, "emergency") || !strcasecmp(name, "emerg")) {
		*ret = LOG_LV_ERROR;
		return true;
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_set_level(enum log_level least)
{
	threshold = (int)least;
}

enum log_level log_get_level(void)
{
	return (enum log_level)threshold;
}

static int open_log(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
}

bool log_open_file(const char *path, struct err *e)
{
	AUTO_FD int fd = path ? open_log(path) : -1;

	if (path && fd < 0)
		return err_sys(e, "open log file %s", path);
	pthread_mutex_lock(&lock);
	free(file_path);
	file_path = xstrdup(path);
	file_complained = false;
	pthread_mutex_unlock(&lock);
	return true;
}

bool log_open_journal(void)
{
	const char *js = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	bool is = js && sscanf(js, "%llu:%llu", &dev, &ino) == 2 && !fstat(STDERR_FILENO, &st) &&
	          st.st_dev == dev && st.st_ino == ino;

	pthread_mutex_lock(&lock);
	to_journal = is;
	pthread_mutex_unlock(&lock);
	return is;
}

struct log_ctx log_set_ctx(struct log_ctx new_ctx)
{
	struct log_ctx old = ctx;

	ctx = new_ctx;
	return old;
}

/* Interrupted or short writes are finished; a reader that went away loses its lines, not our run. */
static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static void put(const char *bytes, size_t n)
{
	AUTO_FD int fd = -1;

	pthread_mutex_lock(&lock);
	if (file_path)
		fd = open_log(file_path);
	if (fd >= 0 && write_all(fd, bytes, n)) {
		file_complained = false;
	} else {
		if (file_path && !file_complained) {
			dprintf(STDERR_FILENO, "cannot write log file %s: %m; lines go to stderr\n",
			        file_path);
			file_complained = true;
		}
		write_all(STDERR_FILENO, bytes, n);
	}
	pthread_mutex_unlock(&lock);
}

static int add_field(
        struct iovec *iov, int n, char *buf, size_t size, const char *name, const char *value)
{
	if (!value)
		return n;
	snprintf(buf, size, "%s=%s", name, value);
	iov[n].iov_base = buf;
	iov[n].iov_len = strlen(buf);
	return n + 1;
}

/* Fields of one event beside those of the thread; NULL = none. */
struct extra {
	const char *id, *event, *verdict;
};

static void send_journal(enum log_level level, const struct extra *x, const char *text)
{
	AUTO_STR struct str msg = STR_INIT;
	char prio[16], f[8][160];
	struct iovec iov[10];
	int n = 0;

	str_addf(&msg, "MESSAGE=%s", text);
	iov[n++] = (struct iovec){ msg.p, msg.len };
	snprintf(prio, sizeof(prio), "PRIORITY=%d", levels[level].priority);
	iov[n++] = (struct iovec){ prio, strlen(prio) };
	n = add_field(iov, n, f[0], sizeof(f[0]), "MHAD_CLUSTER", ctx.cluster);
	n = add_field(iov, n, f[1], sizeof(f[1]), "MHAD_RUN", ctx.run);
	n = add_field(iov, n, f[2], sizeof(f[2]), "MHAD_PHASE", ctx.phase);
	n = add_field(iov, n, f[3], sizeof(f[3]), "MHAD_STEP", ctx.step);
	n = add_field(iov, n, f[4], sizeof(f[4]), "MHAD_HOST", ctx.host);
	n = add_field(iov, n, f[5], sizeof(f[5]), "MESSAGE_ID", x->id);
	n = add_field(iov, n, f[6], sizeof(f[6]), "MHAD_EVENT", x->event);
	n = add_field(iov, n, f[7], sizeof(f[7]), "MHAD_VERDICT", x->verdict);
	sd_journal_sendv(iov, n);
}

static void say(enum log_level level, const struct extra *x, const char *fmt, va_list ap)
{
	AUTO_STR struct str line = STR_INIT;
	char when[32];
	size_t head;
	bool journal;

	if (ctx.quiet)
		level = LOG_LV_DEBUG;
	if ((int)level < threshold)
		return;
	str_addf(&line, "%s - [%s] ", clock_log_time(when, sizeof(when)), levels[level].name);
	head = line.len;
	if (names_clusters && ctx.cluster)
		str_addf(&line, "%s: ", ctx.cluster);
	str_vaddf(&line, fmt, ap);
	pthread_mutex_lock(&lock);
	journal = to_journal && !file_path;
	pthread_mutex_unlock(&lock);
	if (journal) {
		send_journal(level, x, line.p + head);
		return;
	}
	str_addc(&line, '\n');
	put(line.p, line.len);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(level, &(struct extra){ 0 }, fmt, ap);
	va_end(ap);
}

void log_event(enum log_event ev, const char *verdict, const char *fmt, ...)
{
	const struct extra x = { events[ev].id, events[ev].name, verdict };
	va_list ap;

	va_start(ap, fmt);
	say(events[ev].level, &x, fmt, ap);
	va_end(ap);
}

enum log_level log_event_level(enum log_event ev)
{
	return events[ev].level;
}

void log_name_clusters(bool on)
{
	names_clusters = on;
}

bool log_append(const char *path, enum log_level level, const char *text, struct err *e)
{
	AUTO_FD int fd = open_log(path);
	AUTO_STR struct str line = STR_INIT;
	char when[32];

	if (fd < 0)
		return err_sys(e, "open log file %s", path);
	str_addf(&line, "%s - [%s] %s\n", clock_log_time(when, sizeof(when)), levels[level].name,
	        text);
	return write_all(fd, line.p, line.len) || err_sys(e, "write log file %s", path);
}

void log_err(enum log_level level, const struct err *e)
{
	log_at(level, "%s%s%s%s%s", e->host, e->host[0] ? ": " : "", e->text,
	        e->hint[0] ? "  Hint: " : "", e->hint);
}

void log_raw(const char *bytes, size_t n)
{
	if (n)
		put(bytes, n);
}
