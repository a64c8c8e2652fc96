/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_edit - server blocks into and out of an MHA .cnf file, which stays as its owner wrote it.  Runs
 * on: worker, main thread (waits for another editor, syncs).  Logs: never.
 *
 * Comments, order, blank lines and line ends are kept.  The new file takes the old one's place in one
 * step, with its owner and mode (not its ACLs), and only if it can be loaded; a crash leaves the one or
 * the other whole.  Where the path is a symbolic link, its target is edited.  Editors that use this
 * module wait for each other; a change by any other program meanwhile is noticed and kept.
 *
 * mhad's own format is not edited: people write it, with their own structure.
 */
#pragma once
#include <stddef.h>
#include "str.h"

struct conf_edit_param { /* borrowed */
	const char *name, *value;
};

/*
 * Add [block] at the end, with these settings in this order.  *ret_added false: it exists already and
 * nothing was changed.  ERR_CONFIG: a setting, its value or the name is not allowed, or the file would
 * not load (names are not looked up); ERR_PRECOND: the file is not in MHA's format, or busy;
 * ERR_SYSTEM with ENOENT: there is no such file.
 */
bool conf_edit_add_block(const char *path, const char *block, const struct conf_edit_param *params,
        size_t n_params, bool *ret_added, struct err *e) MUST_USE;

/*
 * Remove [block], wherever it stands, with the comments between its lines.  A comment in front of the
 * block stays.  *ret_removed false: there is none, which is fine.  Errors as above.
 */
bool conf_edit_remove_block(
        const char *path, const char *block, bool *ret_removed, struct err *e) MUST_USE;

/*
 * "k=v;k2=v2" into an array, in place: `text` is changed and must outlive it.  A value may hold more
 * '='.  Returns owned (free()), or NULL with ERR_CONFIG.
 */
struct conf_edit_param *conf_edit_params(char *text, size_t *ret_n, struct err *e) MUST_USE;

/* The same for bytes in memory. */
bool conf_edit_has(const char *bytes, size_t n, const char *block);
void conf_edit_add(struct str *ret, const char *bytes, size_t n, const char *block,
        const struct conf_edit_param *params, size_t n_params);
void conf_edit_remove(struct str *ret, const char *bytes, size_t n, const char *block);
