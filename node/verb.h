/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verb - what mha-node can do, and how a verb meets its caller.  Runs on: any thread.  Logs: never.
 *
 * A verb is called by a command line, or inside a session beside other verbs on other threads
 * (session.h), and need not know by which.  Therefore it
 *  - prints nothing to stdout or stderr: lines for people go to io->out, the rest through the
 *    functions below;
 *  - has no static data that changes, and leaves alone what belongs to the whole process: signal
 *    actions, working folder, umask, user and group (setfsuid() is per thread), environment,
 *    locale, exit();
 *  - asks verb_go_on() between pieces of work, and polls io->cancel_fd beside whatever else it
 *    waits for;
 *  - keeps large things off the stack, which has 256 KiB;
 *  - in a process forked off (aside.h), does nothing but memory and system calls: other threads
 *    may have held locks.
 */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "args.h"

struct verb_ops;
struct gate;

struct verb_io {
	FILE *out;               /* lines for people; sent on at each line's end */
	int64_t deadline;        /* instant; CLOCK_NEVER: none was set */
	int cancel_fd;           /* becomes readable when the verb shall end; -1: never */
	const struct gate *gate; /* what the caller may ask for at all (gate.h); NULL: anything */
	const struct verb_ops *ops;
	void *arg;
};

/* Whether to go on.  ERR_CANCELED (told to end, or the peer has gone) or ERR_LOST (deadline). */
bool verb_go_on(struct verb_io *io, struct err *e) MUST_USE;

/*
 * Bulk bytes out, to the caller (command line: stdout, and from the first call of
 * verb_write_begin() on, lines go to stderr).  Waits while the peer takes no more; memory stays
 * flat.  Best in pieces of 64 KiB.  ERR_CANCELED as verb_go_on(), ERR_SYSTEM.
 */
void verb_write_begin(struct verb_io *io);
bool verb_write(struct verb_io *io, const void *bytes, size_t n, struct err *e) MUST_USE;

/* Bulk bytes in, from the caller (command line: stdin).  Waits for at least one byte; 0 at the end,
 * -1 with the errors of verb_write(). */
ssize_t verb_read(struct verb_io *io, void *buf, size_t size, struct err *e) MUST_USE;

/*
 * What programs read: one JSON value, once, also beside a failure.  A session sends it with the
 * exit status.  A command line prints it, with a line end, if the verb has VERB_JSON; else it is
 * for sessions only.
 */
void verb_result(struct verb_io *io, const char *json);

/*
 * Between these the process does not end just because its peer has gone: for the few steps in a row
 * of which a half would have to be repaired.  They nest.  A verb must be restartable after a kill
 * anywhere in spite of it.
 */
void verb_hold(struct verb_io *io);
void verb_unhold(struct verb_io *io);

enum {
	VERB_JSON = 1 << 0,  /* on a command line, print the result */
	VERB_ALONE = 1 << 1, /* not inside a session: it takes over stdin and stdout */
	VERB_LOCAL = 1 << 2, /* not through the gate either */
};

struct verb {
	const char *name;
	unsigned program;    /* whose options it takes */
	const char *command; /* --command= of that MHA program; NULL: it has none */
	const char *help;    /* NULL: not shown, for our own use */
	/* Returns the exit status, with the error set when it is not 0.  Rows have this or `run`.
	 */
	int (*serve)(const struct args *, struct verb_io *, struct err *);
	unsigned flags;
};

/* The table, in verb_table.c.  NULL: there is no such verb.  A program with one verb has no
 * `command`: NULL finds it. */
const struct verb *verb_at(size_t i);
const struct verb *verb_by_name(const char *name);
const struct verb *verb_by_command(unsigned program, const char *command);

/* MHA's names of programs: 0 and NULL where there is none. */
unsigned verb_program_of(const char *name);
const char *verb_program_name(unsigned program);

/* For those who call verbs: where the above goes to. */
struct verb_ops {
	void (*write_begin)(struct verb_io *);
	bool (*write)(struct verb_io *, const void *, size_t, struct err *);
	ssize_t (*read)(struct verb_io *, void *, size_t, struct err *);
	void (*result)(struct verb_io *, const char *json);
	void (*hold)(struct verb_io *, int by);
};

/* Call it.  Flushes io->out; a failed flush is an error where there was none. */
int verb_call(const struct verb *v, const struct args *a, struct verb_io *io, struct err *e);

/* The way to stdin, stdout and stderr of this process.  Valid as long as the process; the verb's
 * row is borrowed. */
void verb_io_std(struct verb_io *ret, const struct verb *v);
