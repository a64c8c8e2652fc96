/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_result - rows as copied off the wire.  Runs on: any thread.
 */
#include "db_impl.h"
#include <mysql.h>
#include <stdlib.h>
#include <strings.h>
#include "arena.h"
#include "vec.h"

struct db_result {
	struct arena *arena;
	const char **columns;
	unsigned n_columns;
	size_t bytes; /* of the rows */
	VEC(const char **) rows;
};

struct db_result *db_result_new(void)
{
	struct db_result *r = xzalloc(sizeof(*r));

	r->arena = arena_new();
	return r;
}

void db_result_free(struct db_result *r)
{
	if (!r)
		return;
	vec_done(&r->rows);
	arena_free(r->arena);
	free(r);
}

void db_result_columns(struct db_result *r, struct st_mysql_res *res)
{
	const MYSQL_FIELD *f = mysql_fetch_fields(res);

	r->n_columns = mysql_num_fields(res);
	r->columns = ARENA_ARRAY(r->arena, const char *, r->n_columns);
	for (unsigned i = 0; i < r->n_columns; i++)
		r->columns[i] = arena_strndup(r->arena, f[i].name, f[i].name_length);
}

bool db_result_add(struct db_result *r, struct st_mysql_res *res, char **row)
{
	const unsigned long *len = mysql_fetch_lengths(res);
	const char **mine;

	r->bytes += r->n_columns * sizeof(char *) + sizeof(char **);
	for (unsigned i = 0; i < r->n_columns; i++)
		r->bytes += len[i] + 1;
	if (r->bytes > DB_RESULT_MAX)
		return false;
	mine = ARENA_ARRAY(r->arena, const char *, r->n_columns);
	for (unsigned i = 0; i < r->n_columns; i++)
		mine[i] = row[i] ? arena_strndup(r->arena, row[i], len[i]) : NULL;
	vec_push(&r->rows, mine);
	return true;
}

size_t db_rows(const struct db_result *r)
{
	return r->rows.len;
}

static int column_index(const struct db_result *r, const char *column)
{
	for (unsigned i = 0; column && i < r->n_columns; i++)
		if (strcasecmp(r->columns[i], column) == 0)
			return (int)i;
	return -1;
}

const char *db_get(const struct db_result *r, size_t row, const char *column)
{
	int i = column_index(r, column);

	return i < 0 || row >= r->rows.len ? NULL : r->rows.items[row][i];
}

bool db_has_column(const struct db_result *r, const char *column)
{
	return column_index(r, column) >= 0;
}

bool db_value(struct db *db, const char *sql, char **ret_value, struct err *e)
{
	AUTO(db_result) struct db_result *r = db_query(db, sql, e);

	if (!r)
		return false;
	*ret_value = r->rows.len && r->n_columns ? xstrdup(r->rows.items[0][0]) : NULL;
	return true;
}
