/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_sql - writes statements from events.  What a session keeps is remembered, so that it is
 * set once. Runs on: any thread.
 */
#include "binlog_sql.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "binlog_cur.h"
#include "binlog_payload.h"
#include "crc.h"
#include "str.h"

#define SUPPRESS_USE 0x0008 /* flag of a Query event: its database need not exist */
#define INNER_MAX    (1u << 30)
/* So many times longer than what goes in can be what comes out. */
#define ZLIB_MOST  1032
#define ZSTD_MOST  32768
#define V(x, y, z) ((x)*10000 + (y)*100 + (z))

/* Of flags2. */
#define F_AUTO_IS_NULL   (1u << 14)
#define F_NO_AUTOCOMMIT  (1u << 19)
#define F_NO_FOREIGN_KEY (1u << 26)
#define F_RELAXED_UNIQUE (1u << 27)
#define F_IF_EXISTS      (1u << 28) /* MariaDB */

struct binlog_sql {
	struct binlog_sql_target target;
	binlog_sql_fn *fn;
	void *ctx;
	struct str db;      /* the session's */
	struct str context; /* last SET for a statement */
	struct str fde;     /* the format description in force */
	int fde_said;       /* the session has it: with (1), without (0) checksums; -1: not */
	struct str rows;    /* table maps and rows of the statement that is open */
	struct str rest;    /* SETs for the next statement alone: variables, counters */
	struct str sql;     /* scratch */
	struct binlog_gtid gtid;
	bool gtid_set;
	bool said_gtid; /* MariaDB: the session has these */
	uint32_t domain, server;
	bool started; /* by BEGIN or XA START */
};

struct binlog_sql *binlog_sql_new(const struct binlog_sql_target *t, binlog_sql_fn *fn, void *ctx)
{
	struct binlog_sql *s = xzalloc(sizeof(*s));

	s->target = *t;
	s->fn = fn;
	s->ctx = ctx;
	s->fde_said = -1;
	s->db = s->context = s->fde = s->rows = s->rest = s->sql = (struct str)STR_INIT;
	return s;
}

void binlog_sql_free(struct binlog_sql *s)
{
	if (!s)
		return;
	str_done(&s->db);
	str_done(&s->context);
	str_done(&s->fde);
	str_done(&s->rows);
	str_done(&s->rest);
	str_done(&s->sql);
	free(s);
}

void binlog_sql_base64(struct str *to, const uint8_t *p, size_t n)
{
	static const char digits[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out;

	str_grow(to, (n + 2) / 3 * 4);
	out = to->p + to->len;
	for (; n; p += 3) {
		size_t k = n < 3 ? n : 3;
		uint32_t v = (uint32_t)p[0] << 16 | (k > 1 ? (uint32_t)p[1] << 8 : 0) |
		             (k > 2 ? p[2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = k > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = k > 2 ? digits[v & 63] : '=';
		n -= k;
	}
	*out = '\0';
	to->len = (size_t)(out - to->p);
}

/*
 * ---- out
 * -----------------------------------------------------------------------------------------
 */

static bool refuse(struct err *e, const char *what)
{
	err_set(e, ERR_PRECOND, 0, "%s cannot be applied by statements", what);
	return err_hint(e, "let the server apply it: --applier=relay on its own host");
}

static bool malformed(const struct binlog_event *ev, struct err *e)
{
	return err_set(e, ERR_PARSE, 0, "malformed %s event", binlog_type_name(ev->type));
}

static bool send(struct binlog_sql *s, enum binlog_sql_kind kind, const char *sql, size_t len,
        unsigned error, struct err *e)
{
	struct binlog_sql_out o = { kind, sql, len, error };

	if (len > s->target.longest)
		return refuse(e, "a statement that is longer than the server takes");
	if (memchr(sql, 0, len))
		return refuse(e, "a statement with NUL bytes in it");
	return s->fn(s->ctx, &o, e);
}

static bool say(struct binlog_sql *s, enum binlog_sql_kind kind, const char *sql, struct err *e)
{
	return send(s, kind, sql, strlen(sql), 0, e);
}

static bool end_transaction(
        struct binlog_sql *s, enum binlog_sql_kind kind, const char *sql, struct err *e)
{
	s->started = false;
	s->gtid_set = false;
	return say(s, kind, sql, e);
}

static void add_hex(struct str *to, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		str_addf(to, "%02x", p[i]);
}

/*
 * ---- GTIDs
 * ---------------------------------------------------------------------------------------
 */

/* MariaDB's GTID event holds the name of the XA transaction that it prepares. */
static bool read_xid(
        const struct binlog_event *ev, const struct binlog_gtid *g, char *buf, size_t size)
{
	struct cur c = { ev->body, ev->body_have, false };
	AUTO_STR struct str t = STR_INIT;
	uint32_t format;
	size_t gtrid, bqual;
	const uint8_t *p;

	cur_take(&c, 8 + 4 + 1 + (g->flags & BINLOG_GTID_GROUP_COMMIT ? 8 : 0));
	format = cur_u32(&c);
	gtrid = cur_u8(&c);
	bqual = cur_u8(&c);
	p = cur_take(&c, gtrid + bqual);
	if (!p)
		return false;
	str_add(&t, "X'");
	add_hex(&t, p, gtrid);
	str_add(&t, "',X'");
	add_hex(&t, p + gtrid, bqual);
	str_addf(&t, "',%" PRIu32, format);
	snprintf(buf, size, "%s", t.p);
	return true;
}

static bool mariadb_begins(struct binlog_sql *s, const struct binlog_event *ev,
        const struct binlog_gtid *g, struct err *e)
{
	char xid[600], sql[700];

	if (g->flags & BINLOG_GTID_STANDALONE)
		return true;
	s->started = true;
	if (!(g->flags & BINLOG_GTID_PREPARED_XA))
		return say(s, BINLOG_SQL_STATEMENT, "START TRANSACTION", e);
	if (!read_xid(ev, g, xid, sizeof(xid)))
		return malformed(ev, e);
	snprintf(sql, sizeof(sql), "XA START %s", xid);
	return say(s, BINLOG_SQL_STATEMENT, sql, e);
}

static bool gtid_mariadb(struct binlog_sql *s, const struct binlog_event *ev,
        const struct binlog_gtid *g, struct err *e)
{
	char sql[200];

	/*
	 * The number is checked against the domain that the session has at the beginning of the
	 * SET.
	 */
	if (s->target.mariadb &&
	        (!s->said_gtid || s->domain != g->domain || s->server != g->server)) {
		snprintf(sql, sizeof(sql), "SET @@session.gtid_domain_id=%u,@@session.server_id=%u",
		        g->domain, g->server);
		if (!say(s, BINLOG_SQL_STATEMENT, sql, e))
			return false;
	}
	s->said_gtid = true;
	s->domain = g->domain;
	s->server = g->server;
	snprintf(sql, sizeof(sql), "SET @@session.gtid_seq_no=%llu", (unsigned long long)g->seq);
	if (s->target.mariadb && !say(s, BINLOG_SQL_STATEMENT, sql, e))
		return false;
	return mariadb_begins(s, ev, g, e);
}

static bool gtid_mysql(struct binlog_sql *s, const struct binlog_gtid *g, struct err *e)
{
	char text[BINLOG_GTID_TEXT];
	AUTO_STR struct str sql = STR_INIT;

	if (s->target.mariadb)
		return true;
	if (g->kind == BINLOG_GTID_ANONYMOUS && !s->target.gtids)
		return true;
	str_addf(&sql, "SET @@session.gtid_next='%s'", binlog_view_gtid_text(g, text));
	if (g->original_us && s->target.version >= V(8, 0, 1))
		str_addf(&sql, ",@@session.original_commit_timestamp=%llu",
		        (unsigned long long)g->original_us);
	return say(s, BINLOG_SQL_STATEMENT, sql.p, e);
}

static bool on_gtid(struct binlog_sql *s, const struct binlog_event *ev, struct err *e)
{
	if (!binlog_view_gtid(ev, &s->gtid))
		return malformed(ev, e);
	s->gtid_set = true;
	return s->gtid.kind == BINLOG_GTID_MARIADB ? gtid_mariadb(s, ev, &s->gtid, e)
	                                           : gtid_mysql(s, &s->gtid, e);
}

/*
 * ---- what a statement found in its session
 * -------------------------------------------------------
 */

enum { /* status variables of a Query event */
	Q_FLAGS2 = 0,
	Q_SQL_MODE = 1,
	Q_CATALOG = 2,
	Q_AUTO_INCREMENT = 3,
	Q_CHARSET = 4,
	Q_TIME_ZONE = 5,
	Q_CATALOG_NZ = 6,
	Q_LC_TIME_NAMES = 7,
	Q_CHARSET_DATABASE = 8,
	Q_TABLE_MAP_FOR_UPDATE = 9,
	Q_DATA_WRITTEN = 10,
	Q_INVOKER = 11,
	Q_UPDATED_DBS = 12,
	Q_MICROSECONDS = 13,
	Q_EXPLICIT_TIMESTAMP = 16,
	Q_DDL_XID = 17,
	Q_UTF8MB4_COLLATION = 18,
	Q_REQUIRE_PK = 19,
	Q_TABLE_ENCRYPTION = 20,
	/* MariaDB's */
	Q_HRNOW = 128,
	Q_XID = 129,
	Q_GTID_FLAGS3 = 130,
	Q_COLLATIONS = 131,
	UPDATED_DBS_MANY = 254,
};

struct status {
	uint32_t micros;
	bool has_micros;
	bool two_phase; /* MariaDB: one half of an ALTER TABLE */
};

static void set_flags(struct str *to, uint32_t f, bool mariadb)
{
	str_addf(to,
	        ",@@session.foreign_key_checks=%d,@@session.sql_auto_is_null=%d,"
	        "@@session.unique_checks=%d,@@session.autocommit=%d",
	        !(f & F_NO_FOREIGN_KEY), !!(f & F_AUTO_IS_NULL), !(f & F_RELAXED_UNIQUE),
	        !(f & F_NO_AUTOCOMMIT));
	if (mariadb)
		str_addf(to, ",@@session.sql_if_exists=%d", !!(f & F_IF_EXISTS));
}

static void skip_names(struct cur *c)
{
	uint8_t n = cur_u8(c);

	if (n == UPDATED_DBS_MANY)
		return;
	for (; n && !c->bad; n--)
		while (cur_u8(c) && !c->bad)
			;
}

static void set_time_zone(struct cur *c, struct str *to)
{
	size_t n = cur_u8(c);
	const uint8_t *p = cur_take(c, n);

	if (!p || !n)
		return;
	str_add(to, ",@@session.time_zone='");
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\'' && p[i] != '\\')
			str_addc(to, (char)p[i]);
	str_addc(to, '\'');
}

static void set_charset(struct cur *c, struct str *to)
{
	unsigned client = cur_u16(c), connection = cur_u16(c), server = cur_u16(c);

	str_addf(to,
	        ",@@session.character_set_client=%u,@@session.collation_connection=%u,"
	        "@@session.collation_server=%u",
	        client, connection, server);
}

/* One variable.  False: nobody knows how long it is. */
static bool set_variable(struct binlog_sql *s, struct cur *c, struct str *to, struct status *st)
{
	bool mysql = !s->target.mariadb;
	unsigned a, b;

	switch (cur_u8(c)) {
	case Q_FLAGS2: set_flags(to, cur_u32(c), !mysql); return true;
	case Q_SQL_MODE: str_addf(to, ",@@session.sql_mode=%" PRIu64, cur_u64(c)); return true;
	case Q_CATALOG: cur_take(c, cur_u8(c) + 1u); return true;
	case Q_CATALOG_NZ: cur_take(c, cur_u8(c)); return true;
	case Q_AUTO_INCREMENT:
		a = cur_u16(c);
		b = cur_u16(c);
		str_addf(to,
		        ",@@session.auto_increment_increment=%u,@@session.auto_increment_offset=%u",
		        a, b);
		return true;
	case Q_CHARSET: set_charset(c, to); return true;
	case Q_TIME_ZONE: set_time_zone(c, to); return true;
	case Q_LC_TIME_NAMES: str_addf(to, ",@@session.lc_time_names=%u", cur_u16(c)); return true;
	case Q_CHARSET_DATABASE:
		str_addf(to, ",@@session.collation_database=%u", cur_u16(c));
		return true;
	case Q_TABLE_MAP_FOR_UPDATE:
	case Q_DDL_XID:
	case Q_XID: cur_take(c, 8); return true;
	case Q_DATA_WRITTEN: cur_take(c, 4); return true;
	case Q_INVOKER:
		cur_take(c, cur_u8(c));
		cur_take(c, cur_u8(c));
		return true;
	case Q_UPDATED_DBS: skip_names(c); return true;
	case Q_MICROSECONDS:
	case Q_HRNOW:
		st->micros = (uint32_t)cur_uint(c, 3);
		st->has_micros = true;
		return true;
	case Q_EXPLICIT_TIMESTAMP:
		str_addf(to, ",@@session.explicit_defaults_for_timestamp=%u", cur_u8(c));
		return true;
	case Q_UTF8MB4_COLLATION:
		str_addf(to, ",@@session.default_collation_for_utf8mb4=%u", cur_u16(c));
		return true;
	case Q_REQUIRE_PK:
		str_addf(to, ",@@session.sql_require_primary_key=%u", cur_u8(c));
		return true;
	case Q_TABLE_ENCRYPTION:
		str_addf(to, ",@@session.default_table_encryption=%u", cur_u8(c));
		return true;
	case Q_GTID_FLAGS3:
		st->two_phase =
		        (cur_u16(c) & ~1u) != 0; /* the lowest only tells that more follows */
		cur_take(c, c->left);
		return true;
	case Q_COLLATIONS: cur_take(c, (size_t)4 * cur_u8(c)); return true;
	default: return false;
	}
}

/* Say it unless the session has it already. */
static bool set_context(struct binlog_sql *s, const struct binlog_event *ev,
        const struct binlog_query *q, struct err *e)
{
	struct cur c = { (const uint8_t *)q->status.p, q->status.len, false };
	AUTO_STR struct str t = STR_INIT;
	struct status st = { .micros = 0 };

	str_addf(&t, "@@session.pseudo_thread_id=%u", q->thread_id);
	while (c.left && !c.bad)
		if (!set_variable(s, &c, &t, &st))
			return refuse(e, "a statement with session variables of a newer server");
	if (c.bad)
		return malformed(ev, e);
	if (st.two_phase)
		return refuse(e, "ALTER TABLE in two phases (binlog_alter_two_phase)");
	str_clear(&s->sql);
	str_addf(&s->sql, "SET TIMESTAMP=%u.%06u", ev->timestamp, st.has_micros ? st.micros : 0);
	if (!str_is(t.p, s->context.p)) {
		str_addf(&s->sql, ",%s", t.p);
		str_clear(&s->context);
		str_add(&s->context, t.p);
	}
	return say(s, BINLOG_SQL_STATEMENT, s->sql.p, e);
}

static bool use_db(
        struct binlog_sql *s, const struct binlog_event *ev, struct binlog_bytes db, struct err *e)
{
	AUTO_STR struct str sql = STR_INIT;
	bool plain = true;

	if (!db.len || (ev->flags & SUPPRESS_USE) ||
	        (s->db.len == db.len && memcmp(s->db.p, db.p, db.len) == 0))
		return true;
	str_add(&sql, "USE `");
	for (size_t i = 0; i < db.len; i++) {
		plain = plain && !(db.p[i] & 0x80);
		str_addn(&sql, "``", db.p[i] == '`' ? 2 : 0);
		if (db.p[i] != '`')
			str_addc(&sql, db.p[i]);
	}
	str_addc(&sql, '`');
	if (!plain) { /* names are in UTF-8, whatever the statement is in */
		str_clear(&s->context);
		if (!say(s, BINLOG_SQL_STATEMENT, "SET NAMES utf8", e))
			return false;
	}
	str_clear(&s->db);
	str_addn(&s->db, db.p, db.len);
	return say(s, BINLOG_SQL_STATEMENT, sql.p, e);
}

/*
 * ---- statements
 * ----------------------------------------------------------------------------------
 */

/*
 * MariaDB: one byte with the size of the length, the length (its highest byte first), the data.  0 if
 * it cannot be.
 */
static size_t plain_size(const struct binlog_query *q)
{
	struct cur c = { (const uint8_t *)q->text.p, q->text.len, false };
	size_t n = cur_u8(&c) & 7, size = 0;

	for (; n && !c.bad; n--)
		size = size << 8 | cur_u8(&c);
	return c.bad || size > INNER_MAX || size / ZLIB_MOST > q->text.len ? 0 : size;
}

static bool plain_text(
        const struct binlog_event *ev, struct binlog_query *q, struct str *to, struct err *e)
{
	size_t size = plain_size(q);

	if (!size)
		return malformed(ev, e);
	str_grow(to, size);
	if (binlog_payload_query(q, to->p, size) != size)
		return malformed(ev, e);
	to->len = size;
	to->p[size] = '\0';
	q->text = (struct binlog_bytes){ to->p, size };
	q->text_size = size;
	q->compressed = false;
	return true;
}

/* A statement that frames a transaction, in whatever way it was said. */
static bool on_frame(struct binlog_sql *s, const struct binlog_query *q, bool *ret, struct err *e)
{
	bool begin = binlog_view_query_is(q, "BEGIN", true);
	bool commit = binlog_view_query_is(q, "COMMIT", true);

	*ret = begin || commit || binlog_view_query_is(q, "ROLLBACK", true);
	if (begin) {
		s->started = true;
		return say(s, BINLOG_SQL_STATEMENT, "BEGIN", e);
	}
	if (!*ret)
		return true;
	return end_transaction(s, BINLOG_SQL_COMMIT, commit ? "COMMIT" : "ROLLBACK", e);
}

/* What the statement alone needs: counters and variables. */
static bool say_rest(struct binlog_sql *s, struct err *e)
{
	AUTO(free) char *sql = NULL;

	if (!s->rest.len)
		return true;
	sql = xasprintf("SET %s", s->rest.p);
	str_clear(&s->rest);
	return say(s, BINLOG_SQL_STATEMENT, sql, e);
}

static bool on_statement(struct binlog_sql *s, const struct binlog_event *ev,
        const struct binlog_query *q, struct err *e)
{
	bool xa_end = binlog_view_query_is(q, "XA COMMIT", false) ||
	              binlog_view_query_is(q, "XA ROLLBACK", false);
	bool ends = xa_end || !s->started;

	/*
	 * A client's CREATE TABLE would commit, and the rows behind it be a transaction of their
	 * own.
	 */
	if (s->started && s->gtid_set && s->gtid.kind == BINLOG_GTID_MARIADB &&
	        (binlog_view_query_is(q, "CREATE TABLE", false) ||
	                binlog_view_query_is(q, "CREATE OR REPLACE TABLE", false)))
		return refuse(e, "CREATE TABLE ... SELECT in row format");
	if (binlog_view_query_is(q, "XA START", false))
		s->started = true, ends = false;
	if (!use_db(s, ev, q->db, e) || !set_context(s, ev, q, e) || !say_rest(s, e))
		return false;
	if (ends)
		s->started = false;
	return send(s, ends ? BINLOG_SQL_COMMIT : BINLOG_SQL_STATEMENT, q->text.p, q->text.len,
	        q->error_code, e);
}

static bool on_query(struct binlog_sql *s, const struct binlog_format *f,
        const struct binlog_event *ev, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	struct binlog_query q;
	bool frame;

	if (!binlog_view_query(f, ev, &q))
		return malformed(ev, e);
	if (q.compressed && !plain_text(ev, &q, &text, e))
		return false;
	if (q.text.len != q.text_size)
		return refuse(e, "a statement of that length");
	if (!on_frame(s, &q, &frame, e))
		return false;
	return frame || on_statement(s, ev, &q, e);
}

static bool on_xa_prepare(struct binlog_sql *s, const struct binlog_event *ev, struct err *e)
{
	struct binlog_xa x;
	AUTO_STR struct str id = STR_INIT, sql = STR_INIT;

	if (!binlog_view_xa_prepare(ev, &x))
		return malformed(ev, e);
	if (!s->target.mariadb && s->target.version < V(5, 7, 7))
		return refuse(e, "XA on a server that cannot keep it prepared");
	str_add(&id, "X'");
	add_hex(&id, x.gtrid.p, x.gtrid.len);
	str_add(&id, "',X'");
	add_hex(&id, x.bqual.p, x.bqual.len);
	str_addf(&id, "',%" PRIu32, x.format_id);
	if (x.one_phase)
		str_addf(&sql, "XA COMMIT %s ONE PHASE", id.p);
	else
		str_addf(&sql, "XA PREPARE %s", id.p);
	return end_transaction(s, x.one_phase ? BINLOG_SQL_COMMIT : BINLOG_SQL_PREPARE, sql.p, e);
}

/*
 * ---- variables
 * -----------------------------------------------------------------------------------
 */

static bool on_intvar(struct binlog_sql *s, const struct binlog_event *ev, struct err *e)
{
	struct cur c = { ev->body, ev->body_have, false };
	uint8_t type = cur_u8(&c);
	uint64_t value = cur_u64(&c);

	if (c.bad || type < 1 || type > 2)
		return malformed(ev, e);
	str_addf(&s->rest, "%s%s=%" PRIu64, s->rest.len ? "," : "",
	        type == 1 ? "LAST_INSERT_ID" : "INSERT_ID", value);
	return true;
}

static bool on_rand(struct binlog_sql *s, const struct binlog_event *ev, struct err *e)
{
	struct cur c = { ev->body, ev->body_have, false };
	uint64_t a = cur_u64(&c), b = cur_u64(&c);

	if (c.bad)
		return malformed(ev, e);
	str_addf(&s->rest, "%s@@session.rand_seed1=%" PRIu64 ",@@session.rand_seed2=%" PRIu64,
	        s->rest.len ? "," : "", a, b);
	return true;
}

/* Digits of a packed decimal: groups of nine in four bytes, of fewer in as many as they need. */
static bool decimal_digits(
        struct cur *c, unsigned digits, bool leading, uint8_t flip, struct str *to)
{
	static const uint8_t bytes_of[10] = { 0, 1, 1, 2, 2, 3, 3, 4, 4, 4 };

	while (digits) {
		unsigned part = digits % 9, k;
		uint32_t v = 0;

		if (!leading || !part)
			part = digits < 9 ? digits : 9;
		for (k = bytes_of[part]; k; k--)
			v = v << 8 | (uint8_t)(cur_u8(c) ^ flip);
		str_addf(to, "%0*u", (int)part, v);
		digits -= part;
	}
	return !c->bad;
}

static bool add_decimal(struct binlog_bytes b, struct str *to)
{
	AUTO(free) uint8_t *copy = xmalloc(b.len + 1);
	struct cur c = { copy, b.len, false };
	unsigned precision, scale;
	uint8_t flip;

	if (b.p)
		memcpy(copy, b.p, b.len);
	precision = cur_u8(&c);
	scale = cur_u8(&c);
	if (c.bad || !c.left || scale > precision || precision > 65)
		return false;
	flip = copy[2] & 0x80 ? 0 : 0xff;
	copy[2] ^= 0x80; /* the sign */
	if (flip)
		str_addc(to, '-');
	if (precision == scale)
		str_addc(to, '0');
	if (!decimal_digits(&c, precision - scale, true, flip, to))
		return false;
	if (scale)
		str_addc(to, '.');
	return decimal_digits(&c, scale, false, flip, to);
}

enum { UV_STRING = 0, UV_REAL = 1, UV_INT = 2, UV_DECIMAL = 4 };
#define UV_UNSIGNED 1

static bool add_string(
        struct binlog_sql *s, unsigned charset, struct binlog_bytes v, struct str *to)
{
	const char *set = NULL,
	           *name = s->target.collation
	                           ? s->target.collation(s->target.collation_ctx, charset, &set)
	                           : NULL;

	if (!name)
		return false;
	str_addf(to, "_%s X'", set);
	add_hex(to, v.p, v.len);
	str_addf(to, "' COLLATE `%s`", name);
	return true;
}

static bool add_number(uint8_t type, struct binlog_bytes v, uint8_t flags, struct str *to)
{
	struct cur c = { (const uint8_t *)v.p, v.len, false };
	uint64_t bits = cur_u64(&c);
	double d;

	if (c.bad)
		return false;
	memcpy(&d, &bits, sizeof(d));
	if (type == UV_REAL)
		str_addf(to, "%.17e", d);
	else if (flags & UV_UNSIGNED)
		str_addf(to, "%" PRIu64, bits);
	else
		str_addf(to, "%" PRId64, (int64_t)bits);
	return true;
}

static bool add_value(struct binlog_sql *s, struct cur *c, struct str *to)
{
	uint8_t type = cur_u8(c);
	unsigned charset = cur_u32(c);
	uint32_t n = cur_u32(c);
	struct binlog_bytes v = { (const char *)cur_take(c, n), n };
	uint8_t flags = c->left ? cur_u8(c) : 0;

	if (c->bad)
		return false;
	switch (type) {
	case UV_STRING: return add_string(s, charset, v, to);
	case UV_REAL:
	case UV_INT: return add_number(type, v, flags, to);
	case UV_DECIMAL: return add_decimal(v, to);
	default: return false;
	}
}

static bool on_user_var(struct binlog_sql *s, const struct binlog_event *ev, struct err *e)
{
	struct cur c = { ev->body, ev->body_have, false };
	uint32_t n = cur_u32(&c);
	const uint8_t *name = cur_take(&c, n);
	bool null = cur_u8(&c) != 0;

	if (c.bad)
		return malformed(ev, e);
	str_addf(&s->rest, "%s@`", s->rest.len ? "," : "");
	for (uint32_t i = 0; i < n; i++) {
		if (name[i] == '`')
			str_addc(&s->rest, '`');
		str_addc(&s->rest, (char)name[i]);
	}
	str_add(&s->rest, "`:=");
	if (null)
		str_add(&s->rest, "NULL");
	else if (!add_value(s, &c, &s->rest))
		return refuse(e, "a user variable of that type");
	return true;
}

/*
 * ---- rows
 * ----------------------------------------------------------------------------------------
 */

static void put_u32(uint8_t *to, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

static bool knows_crc(const struct binlog_format *f)
{
	return f->version_number >= (f->mariadb ? V(5, 3, 0) : V(5, 6, 1));
}

/*
 * The format description for BINLOG: not of a server's start, and with checksums as the events have
 * them.
 */
static void make_fde(const struct binlog_format *f, const struct str *fde, bool crc, struct str *to)
{
	enum { FLAGS_AT = 17, CREATED_AT = BINLOG_HEADER_SIZE + 2 + 50 };
	size_t n = fde->len;
	uint8_t *p;
	uint32_t sum;

	str_clear(to);
	str_addn(to, fde->p, n);
	p = (uint8_t *)to->p;
	p[FLAGS_AT] = p[FLAGS_AT + 1] = 0;
	memset(p + CREATED_AT, 0, 4);
	if (!knows_crc(f))
		return;
	p[n - BINLOG_CRC_SIZE - 1] = crc;
	sum = crc_add(0, p, n - BINLOG_CRC_SIZE);
	put_u32(p + n - BINLOG_CRC_SIZE, sum);
}

static bool say_base64(struct binlog_sql *s, const struct str *bytes, struct err *e)
{
	if (bytes->len / 3 * 4 + 100 > s->target.longest)
		return refuse(e, "a statement with that many rows");
	str_clear(&s->sql);
	str_add(&s->sql, "BINLOG '");
	binlog_sql_base64(&s->sql, (const uint8_t *)bytes->p, bytes->len);
	str_addc(&s->sql, '\'');
	return say(s, BINLOG_SQL_STATEMENT, s->sql.p, e);
}

/* MySQL takes it neither behind a transaction nor in front of another whose GTID is set already. */
static bool say_fde(struct binlog_sql *s, const struct binlog_format *f, struct err *e)
{
	AUTO_STR struct str made = STR_INIT;

	if (s->fde_said == f->crc)
		return true;
	if (!s->gtid_set && !s->started && !s->target.mariadb && s->target.gtids &&
	        !say(s, BINLOG_SQL_STATEMENT, "SET @@session.gtid_next='AUTOMATIC'", e))
		return false;
	s->fde_said = f->crc;
	make_fde(f, &s->fde, f->crc, &made);
	return say_base64(s, &made, e);
}

static bool say_rows(struct binlog_sql *s, const struct binlog_format *f, struct err *e)
{
	bool ok = say_fde(s, f, e) && say_base64(s, &s->rows, e);

	str_clear(&s->rows);
	return ok;
}

/* MariaDB's BINLOG takes no compressed rows: the same event, as it would have been without. */
static bool add_plain_rows(struct binlog_sql *s, const struct binlog_format *f,
        const struct binlog_event *ev, const struct binlog_rows *r, struct err *e)
{
	static const uint8_t plain[] = { BINLOG_WRITE_ROWS_V1, BINLOG_UPDATE_ROWS_V1,
		BINLOG_DELETE_ROWS_V1, BINLOG_WRITE_ROWS, BINLOG_UPDATE_ROWS, BINLOG_DELETE_ROWS };
	struct binlog_query packed = {
		.text = r->images, .text_size = r->images_size, .compressed = true
	};
	size_t head = (size_t)((const uint8_t *)r->images.p - ev->bytes),
	       size = plain_size(&packed);
	size_t at = s->rows.len, whole = head + size + (f->crc ? BINLOG_CRC_SIZE : 0);
	uint8_t *p;

	if (!size)
		return malformed(ev, e);
	str_grow(&s->rows, whole);
	p = (uint8_t *)s->rows.p + at;
	memcpy(p, ev->bytes, head);
	if (binlog_payload_query(&packed, (char *)p + head, size) != size)
		return malformed(ev, e);
	p[4] = plain[ev->type - BINLOG_WRITE_ROWS_COMPRESSED_V1];
	put_u32(p + 9, (uint32_t)whole);
	if (f->crc)
		put_u32(p + head + size, crc_add(0, p, head + size));
	s->rows.len += whole;
	return true;
}

static bool on_rows(struct binlog_sql *s, const struct binlog_format *f,
        const struct binlog_event *ev, struct err *e)
{
	struct binlog_rows r;

	if (ev->have != ev->size)
		return refuse(e, "a row of that size");
	if (ev->type == BINLOG_TABLE_MAP) {
		str_addn(&s->rows, ev->bytes, ev->size);
		return true;
	}
	if (!binlog_view_rows(f, ev, &r))
		return malformed(ev, e);
	if (!r.compressed)
		str_addn(&s->rows, ev->bytes, ev->size);
	else if (!add_plain_rows(s, f, ev, &r, e))
		return false;
	return !r.ends_statement || say_rows(s, f, e);
}

/*
 * ---- events
 * --------------------------------------------------------------------------------------
 */

static bool one_event(struct binlog_sql *s, const struct binlog_format *f,
        const struct binlog_event *ev, struct err *e)
{
	if (binlog_view_is_gtid(ev->type))
		return say_fde(s, f, e) && on_gtid(s, ev, e);
	if (ev->type == BINLOG_TABLE_MAP || binlog_view_is_rows(ev->type))
		return on_rows(s, f, ev, e);
	switch (ev->type) {
	case BINLOG_QUERY:
	case BINLOG_QUERY_COMPRESSED: return on_query(s, f, ev, e);
	case BINLOG_XID: return end_transaction(s, BINLOG_SQL_COMMIT, "COMMIT", e);
	case BINLOG_XA_PREPARE: return on_xa_prepare(s, ev, e);
	case BINLOG_INTVAR: return on_intvar(s, ev, e);
	case BINLOG_RAND: return on_rand(s, ev, e);
	case BINLOG_USER_VAR: return on_user_var(s, ev, e);
	case BINLOG_BEGIN_LOAD_QUERY:
	case BINLOG_APPEND_BLOCK:
	case BINLOG_EXECUTE_LOAD_QUERY:
	case BINLOG_DELETE_FILE: return refuse(e, "LOAD DATA in statement format");
	case BINLOG_INCIDENT: return refuse(e, "an incident (events that the source has lost)");
	case BINLOG_ROWS_QUERY:
	case BINLOG_ANNOTATE_ROWS:
	case BINLOG_VIEW_CHANGE:
	case BINLOG_TRANSACTION_CONTEXT:
	case BINLOG_ROTATE:
	case BINLOG_STOP:
	case BINLOG_PREVIOUS_GTIDS:
	case BINLOG_GTID_LIST:
	case BINLOG_CHECKPOINT:
	case BINLOG_HEARTBEAT:
	case BINLOG_HEARTBEAT_V2: return true;
	default: break;
	}
	if (ev->flags & BINLOG_F_IGNORABLE)
		return true;
	return refuse(e, "an event of a type that is not known");
}

/* The size that a payload will have. */
static uint64_t inner_size(const struct binlog_event *ev)
{
	struct cur c = { ev->body, ev->body_have, false };
	uint64_t size = 0;

	for (;;) {
		uint64_t field = cur_packed(&c), len;
		struct cur v = { NULL, 0, false };

		if (c.bad || field == 0)
			return size;
		len = cur_packed(&c);
		v.p = cur_take(&c, len);
		v.left = len;
		if (c.bad)
			return size;
		if (field == 3 || (field == 1 && !size))
			size = cur_packed(&v);
	}
}

static bool on_payload(
        struct binlog_sql *s, const struct binlog *b, const struct binlog_event *ev, struct err *e)
{
	AUTO(binlog) struct binlog *in = binlog_payload_open(b, ev, e);
	uint64_t size = inner_size(ev);
	enum binlog_next n;
	struct binlog_event x;

	if (!in)
		return false;
	if (size > INNER_MAX || size / ZSTD_MOST > ev->size)
		return refuse(e, "a compressed transaction of that size");
	binlog_set_window(in, size + BINLOG_WINDOW);
	while ((n = binlog_next(in, &x, e)) == BINLOG_EVENT)
		if (!one_event(s, binlog_format(in), &x, e))
			return false;
	return n == BINLOG_END;
}

bool binlog_sql_event(
        struct binlog_sql *s, const struct binlog *b, const struct binlog_event *ev, struct err *e)
{
	const struct binlog_format *f = binlog_format(b);

	if (ev->type == BINLOG_FORMAT) {
		str_clear(&s->fde);
		str_addn(&s->fde, ev->bytes, ev->size);
		s->fde_said = -1;
		return true;
	}
	if (ev->type == BINLOG_TRANSACTION_PAYLOAD)
		return on_payload(s, b, ev, e);
	return one_event(s, f, ev, e);
}
