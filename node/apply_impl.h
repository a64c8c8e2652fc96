/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_impl - shared by the files of apply only.
 */
#pragma once
#include "apply_join.h"
#include "apply_state.h"
#include "target.h"
#include "verb.h"

struct apply {
	const struct args *args;
	struct verb_io *io;
	struct target target;
	struct apply_state state;
	struct join_parts parts;
	struct join_facts facts;
	bool by_gtid;                /* what is missing is decided by GTIDs, not by position */
	char applied_by[8];          /* "relay", "sql"; "" when nothing had to be done */
	struct join_missing missing; /* as it was at the beginning */
	bool looked;                 /* `missing` is filled */
	char aside[600];             /* where the relay logs of before are kept; "" */
	struct target_status st;     /* as of apply_look() */
	bool exec_lost; /* its executed position is not true, but the one that was noted */
};

/*
 * MariaDB's CHANGE puts the executed position where the receiver was: note both before, for
 * apply_look().  Where GTIDs decide, and on MySQL, there is nothing to note.
 */
bool apply_note_executed(struct apply *a, struct err *e) MUST_USE;

/*
 * Which transactions does the server lack?  Its applier must be stopped.  With fd >= 0 they are
 * written there. a->st is read anew.
 */
bool apply_look(struct apply *a, int fd, struct join_missing *ret, struct err *e) MUST_USE;

/*
 * Set a global variable of the server to `value` for the time being; apply_restore() sets it back.
 */
bool apply_override(
        struct apply *a, enum dialect_var what, const char *value, struct err *e) MUST_USE;
bool apply_restore(struct apply *a, struct err *e) MUST_USE;

/* Take "file:position" apart. */
bool apply_place(const char *text, char *file, size_t size, uint64_t *ret) MUST_USE;

/*
 * End here if the environment says so: what a kill at this place leaves behind is tested by this.
 */
void apply_failpoint(const char *name);

/* "gtid (file:pos)" of the first missing transaction. */
void apply_name_first(const struct join_missing *m, char *buf, size_t size);
