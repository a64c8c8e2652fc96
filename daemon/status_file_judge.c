/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status_file_judge - the reader's side of a status file: read it, and find out whether its process
 * is what it says.  Used by masterha_check_status, masterha_stop and the claim of a second manager.
 * Runs on: any thread.
 *
 * The directory is open to everybody and process ids are given out again, so a number in a file is
 * only a hint until /proc agrees.
 */
#include "status_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 512, READ_TRIES = 10, BETWEEN_TRIES_US = 5000 };

/* ---- reading */

static int64_t wall_ms(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A read lock would only be refused where a claim is held; it is asked for, not taken. */
static bool is_held(int fd)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

bool status_file_is_held(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd >= 0 && is_held(fd);
}

/* Twice the same text: else a writer is at it. */
static bool read_steady(int fd, struct status_file_line *ret, struct err *e)
{
	char text[TEXT_MAX + 1], again[TEXT_MAX + 1];
	struct err why = { 0 };

	for (int i = 0; i < READ_TRIES; i++) {
		ssize_t n = pread(fd, text, sizeof(text), 0),
		        m = pread(fd, again, sizeof(again), 0);

		if (n < 0 || m < 0)
			return err_sys(e, "cannot read");
		if (n == m && n <= TEXT_MAX && !memcmp(text, again, (size_t)n) &&
		        status_file_parse(text, (size_t)n, ret, &why))
			return true;
		usleep(BETWEEN_TRIES_US);
	}
	return err_set(e, ERR_PARSE, 0, "%s", *why.text ? why.text : "it is no status file");
}

bool status_file_read(const char *path, struct status_file_reading *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct status_file_reading r = { 0 };
	struct timespec now;
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_set(e, ERR_PARSE, 0, "%s is a symbolic link; it is not followed", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "cannot read %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_PARSE, 0, "%s is not a regular file", path);
	if (!read_steady(fd, &r.line, e))
		return err_ctx(e, "%s", path);
	if (fstat(fd, &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return err_sys(e, "cannot read %s", path);
	r.owner = st.st_uid;
	r.age_ms = wall_ms(now) - wall_ms(st.st_mtim);
	r.held = is_held(fd);
	*ret = r;
	return true;
}

/* ---- processes */

struct process {
	char state;
	pid_t group;
	unsigned long long started;
	bool has_uid;
	uid_t uid; /* real */
};

static size_t read_proc(const char *pid, const char *name, char *buf, size_t size)
{
	AUTO(free) char *path = xasprintf("/proc/%s/%s", pid, name);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

static bool look(const char *pid, struct process *ret)
{
	char buf[4096], *p;
	int group;

	if (!read_proc(pid, "stat", buf, sizeof(buf)))
		return false;
	p = strrchr(buf, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1,
	                  " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
	                  " %*d %*d %*d %llu",
	                  &ret->state, &group, &ret->started) != 3)
		return false;
	ret->group = (pid_t)group;
	read_proc(pid, "status", buf, sizeof(buf));
	p = strstr(buf, "\nUid:");
	ret->has_uid = p && sscanf(p, "\nUid: %u", &ret->uid) == 1;
	return true;
}

static bool has_ended(const struct process *p)
{
	return p->state == 'Z' || p->state == 'X';
}

static bool look_pid(pid_t pid, struct process *ret)
{
	char name[24];

	snprintf(name, sizeof(name), "%d", (int)pid);
	return look(name, ret) && !has_ended(ret);
}

bool status_file_lives(pid_t pid, unsigned long long started)
{
	struct process p;

	return look_pid(pid, &p) && p.started == started;
}

/* Some living process of the group whose leader is gone; 0 = none. */
static pid_t member_of(pid_t group, uid_t owner)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	struct process p;
	pid_t found = 0;

	while (d && !found && (entry = readdir(d)) != NULL) {
		long long pid;

		if (str_to_int(entry->d_name, 1, INT32_MAX, &pid) && look(entry->d_name, &p) &&
		        p.group == group && !has_ended(&p) && p.has_uid && p.uid == owner)
			found = (pid_t)pid;
	}
	if (d)
		closedir(d);
	return found;
}

/* ---- is it a manager of that cluster? */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_manager_name(const char *word)
{
	static const char *const names[] = { "masterha_manager", "masterha_master_monitor",
		"masterha_master_switch", "mhad", "mhactl" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_is(base_name(word), names[i]))
			return true;
	}
	return false;
}

/* "--conf=/etc/app1.cnf", "/etc/app1.cnf", "app1". */
static bool names_app(const char *word, const char *app)
{
	const char *value = *word == '-' && strchr(word, '=') ? strchr(word, '=') + 1 : word,
	           *base = base_name(value), *dot = strrchr(base, '.');
	size_t n = dot && dot != base ? (size_t)(dot - base) : strlen(base);

	return str_is(base, app) || (strlen(app) == n && !memcmp(base, app, n));
}

/* A process that has written over its command line shows it as one word with blanks inside. */
static void split_title(char *words, size_t n)
{
	if (!strchr(words, ' '))
		return;
	for (size_t i = 0; i < n; i++) {
		if (words[i] == ' ')
			words[i] = '\0';
	}
}

/* `words`: NUL behind each. */
static bool is_manager_of(const char *words, size_t n, const char *app)
{
	bool perl = str_starts(base_name(words), "perl"), manager = false;
	int i = 0;

	for (const char *p = words, *end = words + n; p < end; p += strlen(p) + 1, i++) {
		if (i == 0 || (perl && !manager && i < 5))
			manager = is_manager_name(p);
		else if (manager && names_app(p, app))
			return true;
	}
	return false;
}

static bool command_is_manager(pid_t pid, const char *app, char *ret_word, size_t size)
{
	char name[24], words[4096];
	size_t n;

	snprintf(name, sizeof(name), "%d", (int)pid);
	n = read_proc(name, "cmdline", words, sizeof(words));
	split_title(words, n);
	snprintf(ret_word, size, "%.40s", n ? base_name(words) : "?");
	for (char *c = ret_word; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return n && is_manager_of(words, n, app);
}

/* Could the file's owner signal this process without our help? */
static bool owner_may(const struct status_file_reading *r, const struct process *p)
{
	return r->owner == 0 || r->owner == geteuid() || (p->has_uid && r->owner == p->uid);
}

static void judge_living(const struct status_file_reading *r, const char *app,
        const struct process *p, struct status_file_judgement *ret)
{
	char word[48];
	bool manager = command_is_manager(r->line.pid, app, word, sizeof(word));

	ret->verdict = STATUS_FILE_FOREIGN;
	ret->group = p->group;
	ret->started = p->started;
	if (r->line.pid <= 1)
		snprintf(ret->text, sizeof(ret->text), "The file names process %d.",
		        (int)r->line.pid);
	else if (!manager && !r->held)
		snprintf(ret->text, sizeof(ret->text),
		        "Process %d (%s) is no manager of %.60s; an earlier one left the file.",
		        (int)r->line.pid, word, app);
	else if (!owner_may(r, p))
		snprintf(ret->text, sizeof(ret->text),
		        "The file belongs to uid %u, who has no say over process %d (%s).",
		        (unsigned)r->owner, (int)r->line.pid, word);
	else
		ret->verdict = STATUS_FILE_RUNNING;
}

void status_file_judge(
        const struct status_file_reading *r, const char *app, struct status_file_judgement *ret)
{
	struct process p;

	*ret = (struct status_file_judgement){ .verdict = STATUS_FILE_GONE };
	if (look_pid(r->line.pid, &p)) {
		judge_living(r, app, &p, ret);
		return;
	}
	ret->child = member_of(r->line.pid, r->owner);
	if (ret->child)
		ret->verdict = STATUS_FILE_LEFTOVER;
}
