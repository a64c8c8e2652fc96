/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vars - asks for all names of a dialect at once and sorts the answers by meaning.  Runs on: any thread.
 */
#include "vars.h"
#include <stdlib.h>
#include <strings.h>
#include "arena.h"
#include "str.h"

struct found {
	const char *name, *value;
};

struct vars {
	struct arena *arena;
	struct found var[VAR_COUNT];
	struct found status[STAT_COUNT];
};

static void add_name(struct str *list, const char *name)
{
	if (name)
		str_addf(list, "%s'%s'", list->len ? "," : "", name);
}

static struct found found(struct vars *v, const char *name, const char *value)
{
	return (struct found){ arena_strdup(v->arena, name), arena_strdup(v->arena, value) };
}

/* The rows of a SHOW: Variable_name, Value. */
static struct db_result *show(
        struct db *db, const char *what, const struct str *names, struct err *e)
{
	AUTO(free)
	char *sql = xasprintf("SHOW GLOBAL %s WHERE Variable_name IN (%s)", what, names->p);

	return db_query(db, sql, e);
}

static const char *answer(const struct db_result *r, const char *name, const char **ret_name)
{
	for (size_t i = 0; name && i < db_rows(r); i++) {
		const char *is = db_get(r, i, "Variable_name");

		if (is && strcasecmp(is, name) == 0) {
			*ret_name = is;
			return db_get(r, i, "Value");
		}
	}
	return NULL;
}

static bool read_short(struct vars *v, struct db *db, struct err *e)
{
	const struct dialect *d = db_dialect(db);
	AUTO_STR struct str names = STR_INIT;
	AUTO(db_result) struct db_result *r = NULL;

	for (int i = 0; i < VAR_COUNT; i++) {
		if (dialect_var_is_long(i))
			continue;
		add_name(&names, dialect_var(d, i));
		add_name(&names, dialect_old_var(d, i));
	}
	r = show(db, "VARIABLES", &names, e);
	for (int i = 0; r && i < VAR_COUNT; i++) {
		const char *name, *value;

		if (dialect_var_is_long(i))
			continue;
		value = answer(r, dialect_var(d, i), &name);
		if (!value)
			value = answer(r, dialect_old_var(d, i), &name);
		if (value)
			v->var[i] = found(v, name, value);
	}
	return r != NULL;
}

/* In one statement, so that the sets belong together. */
static bool read_long(struct vars *v, struct db *db, struct err *e)
{
	const struct dialect *d = db_dialect(db);
	AUTO_STR struct str sql = STR_INIT;
	AUTO(db_result) struct db_result *r = NULL;

	for (int i = 0; i < VAR_COUNT; i++) {
		const char *name = dialect_var_is_long(i) ? dialect_var(d, i) : NULL;

		if (name)
			str_addf(
			        &sql, "%s @@GLOBAL.%s AS %s", sql.len ? "," : "SELECT", name, name);
	}
	r = db_query(db, sql.p, e);
	for (int i = 0; r && i < VAR_COUNT; i++) {
		const char *name = dialect_var_is_long(i) ? dialect_var(d, i) : NULL;
		const char *value = db_get(r, 0, name);

		if (value)
			v->var[i] = found(v, name, value);
	}
	return r != NULL;
}

static bool read_status(struct vars *v, struct db *db, struct err *e)
{
	const struct dialect *d = db_dialect(db);
	AUTO_STR struct str names = STR_INIT;
	AUTO(db_result) struct db_result *r = NULL;

	for (int i = 0; i < STAT_COUNT; i++) {
		add_name(&names, dialect_status(d, i));
		add_name(&names, dialect_old_status(d, i));
	}
	r = show(db, "STATUS", &names, e);
	for (int i = 0; r && i < STAT_COUNT; i++) {
		const char *name, *value = answer(r, dialect_status(d, i), &name);

		if (!value)
			value = answer(r, dialect_old_status(d, i), &name);
		if (value)
			v->status[i] = found(v, name, value);
	}
	return r != NULL;
}

struct vars *vars_read(struct db *db, struct err *e)
{
	AUTO(vars) struct vars *v = xzalloc(sizeof(*v));

	v->arena = arena_new();
	if (!read_short(v, db, e) || !read_long(v, db, e) || !read_status(v, db, e))
		return NULL;
	return TAKE(v);
}

void vars_free(struct vars *v)
{
	if (!v)
		return;
	arena_free(v->arena);
	free(v);
}

const char *vars_get(const struct vars *v, enum dialect_var what)
{
	return v->var[what].value;
}

const char *vars_status(const struct vars *v, enum dialect_status what)
{
	return v->status[what].value;
}

const char *vars_name(const struct vars *v, enum dialect_var what)
{
	return v->var[what].name;
}
