/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_internal - what the files of the conf module share; nobody else includes it.
 *
 *	conf_mha.c, conf_native.c	bytes to blocks (no side effects: the fuzzers enter here)
 *	conf_value.c			the rows; text to values and back
 *	conf_read.c			one file, and the report of its problems
 *	conf_files.c			bytes of files and secrets, with their modes
 *	conf_script.c			init_conf_load_script
 *	conf.c				levels, servers, the whole
 *	conf_text.c			explain, samples, manual, native form
 */
#pragma once
#include <sys/types.h>
#include "arena.h"
#include "conf.h"
#include "str.h"
#include "vec.h"

enum conf_type {
	CONF_TYPE_STR,
	CONF_TYPE_DIRS,
	CONF_TYPE_SECRET,
	CONF_TYPE_INT,
	CONF_TYPE_BOOL,
	CONF_TYPE_COUNT,
	CONF_TYPE_MSEC,
	CONF_TYPE_ENUM,
	CONF_TYPE_LEVEL,
};
enum conf_reach { CONF_REACH_LOCAL, CONF_REACH_INHERIT, CONF_REACH_DEFAULTS, CONF_REACH_GLOBAL };

struct conf_allowed {
	long long min, max; /* both 0: no limits */
	const char *const *words;
};

/* A row of conf_table.h. */
struct conf_row {
	const char *name;
	enum conf_type type;
	enum conf_reach reach;
	struct conf_allowed allowed;
	const char *defaults[3]; /* by enum conf_format */
	const char *help;
	size_t offset; /* of its field in struct conf_server */
};

/* What struct conf_origin calls init_conf_load_script; the command follows. */
#define CONF_SCRIPT_ORIGIN "init_conf_load_script "

/* One block of a file: its defaults or one server.  Lives in the arena of the reading. */
enum conf_kind { CONF_KIND_DEFAULTS, CONF_KIND_SERVER, CONF_KIND_BINLOG, CONF_KIND_UNUSED };
struct conf_block {
	enum conf_kind kind;
	const char *name;
	struct conf_origin at;
	const char *text[CONF_KEY_COUNT]; /* NULL: not set here; "" hides weaker levels */
	struct conf_origin origin[CONF_KEY_COUNT];
};

/* One file being read.  All borrowed but `blocks`. */
struct conf_reader {
	struct arena *arena;
	struct conf_report *report;
	const char *file;
	enum conf_format format;
	bool is_global; /* only its defaults count */
	VEC(struct conf_block *) blocks;
};

/* Put everything that is right in `bytes` into r->blocks, all that is wrong into r->report. */
void conf_mha_read(struct conf_reader *r, const char *bytes, size_t n);
void conf_native_read(struct conf_reader *r, const char *bytes, size_t n);

/* Read r->file; false (reported) when it cannot be read, which is no problem if it may miss and
 * does. */
bool conf_read(struct conf_reader *r, bool may_miss) MUST_USE;
/* What the script printed, as a block of defaults; what is wrong goes to the report. */
struct conf_block *conf_script_run(struct conf_reader *r, const char *command, int64_t deadline);

/* The block of that name, made when there is none; NULL (reported) when there are too many. */
struct conf_block *conf_block_get(
        struct conf_reader *r, enum conf_kind kind, const char *name, int line);
/* Unknown names, and settings that have no effect in such a block, are told and not stored. */
void conf_block_set(
        struct conf_reader *r, struct conf_block *b, const char *name, const char *text, int line);
/* MHA's removal of quotes, one layer: returns `text` or a copy in the arena. */
const char *conf_mha_unquote(struct arena *a, const char *text);
void conf_mha_sort(struct conf_block **blocks, size_t n);

/* A problem already told at the same place is not told again.  `hint` may be NULL. */
void conf_tell(struct conf_report *r, bool fatal, struct conf_origin at, const char *hint,
        const char *fmt, ...) PRINTF_LIKE(5, 6);
bool conf_report_is_fatal(const struct conf_report *r);

const struct conf_row *conf_row(enum conf_key k);
/* The built-in default as text; NULL for none or when the program finds it out. */
const char *conf_default(enum conf_key k, enum conf_format f);
/* Text into the field of `s`.  False, and the field untouched, when the text is not allowed. */
bool conf_value_parse(struct arena *a, enum conf_format f, enum conf_key k, const char *text,
        struct conf_server *s) MUST_USE;
/* Append the field as text, secrets in clear; false when it is not set. */
bool conf_value_raw(const struct conf_server *s, enum conf_key k, struct str *ret);
/* Append "1 to 65535", "off, preferred"...; nothing when all is allowed. */
void conf_allowed_text(enum conf_key k, enum conf_format f, struct str *ret);
/* All built-in defaults, computed ones included. */
void conf_server_builtin(struct arena *a, enum conf_format f, struct conf_server *s);

/* The whole file with a NUL behind it, to be given to mem_wipe() and freed; NULL with errno in
 * e->code. */
char *conf_file_read(const char *path, size_t *ret_len, mode_t *ret_mode, struct err *e) MUST_USE;
/* First line of a secret's file, or of a systemd credential. */
const char *conf_secret_read(struct arena *a, const char *where, struct err *e) MUST_USE;
