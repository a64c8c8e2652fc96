/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status_file - MHA's <manager_workdir>/<app>.master_status.health: one line that says who watches a
 * cluster and how that goes.  Runs on: any thread; a claimed file belongs to one thread at a time.
 * Logs: never.
 *
 *	1719<TAB>0:PING_OK<TAB>master:db1		(no newline; the master is missing at first)
 *
 * The format, the places where it changes and its end are MHA's, for the scripts that read it.  Ours:
 * - Who has claimed a file holds a lock on it (fcntl, so that readers who flock() it as MHA does are
 *   not held up), until its end however that comes.  A second manager is refused and told who it is;
 *   it never touches the file of the first, as MHA's did.
 * - manager_workdir is /var/tmp as a rule, where everybody may create names.  No link is followed,
 *   a stranger's file is replaced and not written to, and a reader believes a pid only if its process
 *   is a manager of that cluster (status_file_judge()).
 * - A file that somebody removed comes back with the next state or ping.
 *
 * No lock is waited for and nothing is synced, so that on a local disk all calls of the manager's side
 * are fit for the loop: a few system calls.  Only a claim that finds a file with garbage in it takes
 * 50 ms (a writer might be at it).  With manager_workdir on a network file system, call them from a job.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "str.h"

/* What the file can say. */
#define STATUS_FILE_STATES(X)                                                                      \
	X(PING_OK, 0)                                                                              \
	X(INITIALIZING_MONITOR, 10)                                                                \
	X(PING_FAILING, 20)                                                                        \
	X(PING_FAILED, 21)                                                                         \
	X(RETRYING_MONITOR, 30)                                                                    \
	X(CONFIG_ERROR, 31)                                                                        \
	X(FAILOVER_RUNNING, 50)                                                                    \
	X(FAILOVER_ERROR, 51)

enum status_file_state {
#define STATUS_FILE_ENUM(name, code) STATUS_FILE_##name = (code),
	STATUS_FILE_STATES(STATUS_FILE_ENUM)
#undef STATUS_FILE_ENUM
};

/* "PING_OK"; NULL for a number that is no state. */
const char *status_file_state_name(int state);

struct status_file_line {
	pid_t pid;
	enum status_file_state state;
	char master[256]; /* host name; "" = not said */
};

/* ERR_PARSE: not such a line, or it is empty.  A newline at the end is fine. */
bool status_file_parse(
        const char *bytes, size_t n, struct status_file_line *ret, struct err *e) MUST_USE;
void status_file_format(const struct status_file_line *l, struct str *ret); /* appends */

/* "<dir>/<app>.master_status.health".  Returns owned. */
char *status_file_path(const char *dir, const char *app);

/* ---- for the manager --------------------------------------------------------------------------- */

struct status_file; /* opaque; the claim to one file */

/*
 * Claim the file for `pid` (the process that stands for this cluster, which one may kill: the manager
 * itself or its stand-in) and write INITIALIZING_MONITOR.  A missing directory is made (0755, its
 * parents are not).  Returns owned, or NULL: ERR_PRECOND when another manager has it (the text says
 * which), ERR_SYSTEM when it cannot be written.  Nothing of others is changed in these cases.
 *
 * The lock goes with the file descriptor (close-on-exec): a process that is forked from the holder and
 * does not exec has to call status_file_abandon().
 */
struct status_file *status_file_claim(
        const char *dir, const char *app, pid_t pid, struct err *e) MUST_USE;

/* From now on the line names this pid (a new stand-in); written with the next state. */
void status_file_set_pid(struct status_file *f, pid_t pid);

/*
 * Write this state.  `master` NULL: as before.  On failure the claim stays, and the next call tries
 * again: ERR_PRECOND means that somebody removed our file and a manager of his put his own there.
 */
bool status_file_set(
        struct status_file *f, enum status_file_state state, const char *master, struct err *e);

/* A good ping: like status_file_set() of the present state, but only the time of the file changes. */
bool status_file_touch(struct status_file *f, struct err *e);

/* End of the claim; the file is removed if it is still ours.  NULL is fine; returns NULL. */
struct status_file *status_file_release(struct status_file *f);
/* The same without removing anything: in a forked child, or to leave the last state to be read. */
struct status_file *status_file_abandon(struct status_file *f);
CLEANUP_FN(status_file, struct status_file *, status_file_release)

/* ---- for everybody else ------------------------------------------------------------------------ */

struct status_file_reading {
	struct status_file_line line;
	uid_t owner;
	int64_t age_ms; /* of its last change or ping, by the wall clock; below 0: in the future */
	bool held;      /* its claim is held by a living process (not so with MHA's own manager) */
};

/*
 * Read one.  ERR_SYSTEM with code ENOENT: there is none.  ERR_PARSE: no such line, or no plain file.
 * May take 50 ms when a writer is just at it.
 */
bool status_file_read(const char *path, struct status_file_reading *ret, struct err *e) MUST_USE;

/* Only that: a living process holds the claim to it, whatever it says. */
bool status_file_is_held(const char *path);

enum status_file_verdict {
	STATUS_FILE_RUNNING,  /* the pid lives and is a manager of that cluster */
	STATUS_FILE_GONE,     /* it does not live */
	STATUS_FILE_LEFTOVER, /* it does not live, but processes of its group do */
	STATUS_FILE_FOREIGN,  /* that pid is somebody else's now: left alone.  See `text` */
};

struct status_file_judgement {
	enum status_file_verdict verdict;
	pid_t group;                /* RUNNING: its process group */
	unsigned long long started; /* RUNNING: for status_file_lives() */
	pid_t child;                /* LEFTOVER: one of them */
	char text[256];             /* FOREIGN: why, as a sentence */
};

/*
 * Does the pid of a reading still stand for the cluster?  It does when it lives and (1) the file is
 * held, or its command line is that of a manager (masterha_manager, mhad and the like, also as
 * `perl masterha_manager`) with an argument that names `app`; and (2) whoever owns the file could have
 * signalled that process himself: the owner is root, the caller or the owner of the process.
 */
void status_file_judge(
        const struct status_file_reading *r, const char *app, struct status_file_judgement *ret);

/* Is that still the process which was judged?  One that ended and waits for its parent is not. */
bool status_file_lives(pid_t pid, unsigned long long started);
