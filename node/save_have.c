/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_have - which files and transactions a receiver lacks, by GTID.
 * Runs on: any thread.
 */
#include "save_impl.h"
#include <stdlib.h>

/* ---- which transactions ------------------------------------------------------------------------
 */

bool save_refuse_anonymous(const struct save *s, struct err *e)
{
	err_set(e, ERR_PRECOND, SAVE_ANONYMOUS,
	        "%llu transactions without GTID, and nothing tells whether the receiver has them",
	        (unsigned long long)s->anonymous);
	return err_hint(e, "say from which position on to save");
}

/*
 * MariaDB's positions stand for all below them, so a transaction with the number of the receiver's
 * position, but from another server, is of another history; and where no list of what was before is
 * left, only an unbroken row of numbers proves that nothing is missing.
 */
static bool check_sequence(struct save *s, const struct binlog_gtid *g, struct err *e)
{
	uint32_t nobody = g->server ? 0 : 1;
	char text[BINLOG_GTID_TEXT];

	if (g->kind != BINLOG_GTID_MARIADB)
		return true;
	if (gtid_set_has_mariadb(s->have, g->domain, nobody, g->seq - 1) &&
	        !gtid_set_has_mariadb(s->have, g->domain, nobody, g->seq))
		return err_set(e, ERR_PRECOND, SAVE_DIVERGED,
		        "it has %s, and the receiver a transaction of that number from another "
		        "server",
		        binlog_view_gtid_text(g, text));
	if (!s->unproven)
		return true;
	if (g->seq > 1 && !gtid_set_has_mariadb(s->known, g->domain, nobody, g->seq - 2))
		return err_set(e, ERR_PRECOND, SAVE_PURGED,
		        "%s is the next that is here, and the receiver lacks some before it",
		        binlog_view_gtid_text(g, text));
	gtid_set_add_mariadb(s->known, g->domain, g->server, g->seq);
	return true;
}

bool save_decide(struct save *s, struct err *e)
{
	const struct binlog_gtid *g = &s->txn.gtid;

	if (!s->have) {
		save_begin(s, true);
		return true;
	}
	if (g->kind == BINLOG_GTID_NONE || g->kind == BINLOG_GTID_ANONYMOUS) {
		s->anonymous++;
		save_begin(s, false);
		return !s->r.transactions || save_refuse_anonymous(s, e);
	}
	if (binlog_view_gtid_in(g, s->have)) {
		s->anonymous = 0;
		s->r.had++;
		s->forms.items[s->forms.len - 1].restart = false;
		save_begin(s, false);
		return true;
	}
	save_begin(s, true);
	return (!s->anonymous || save_refuse_anonymous(s, e)) && check_sequence(s, g, e);
}

/* ---- what the receiver has ---------------------------------------------------------------------
 */

bool save_read_sets(struct save *s, struct err *e)
{
	enum gtid_dialect d = binlog_format(s->b)->mariadb ? GTID_MARIADB : GTID_MYSQL;

	if (s->spec->have && !s->have) {
		s->have = gtid_set_parse(d, s->spec->have, e);
		if (!s->have)
			return err_ctx(e, "the set that the receiver has");
		s->known = gtid_set_dup(s->have);
	}
	if (s->spec->previous_gtids && !s->previous) {
		if (d == GTID_MARIADB)
			return err_set(e, ERR_PRECOND, 0,
			        "previous GTIDs are an event of MySQL, not of MariaDB");
		s->previous = gtid_set_parse(d, s->spec->previous_gtids, e);
		if (!s->previous)
			return err_ctx(e, "the previous GTIDs");
	}
	return true;
}

struct gtid_set *save_list_at_head(struct save *s)
{
	AUTO(gtid) struct gtid_set *list = NULL;
	struct binlog_txn txn = BINLOG_TXN_INIT;
	struct binlog_event ev;
	enum binlog_place place;

	while (binlog_next(s->b, &ev, NULL) == BINLOG_EVENT &&
	        binlog_txn_feed(&txn, binlog_format(s->b), &ev, &place, NULL) &&
	        place == BINLOG_APART) {
		if (ev.type != BINLOG_PREVIOUS_GTIDS && ev.type != BINLOG_GTID_LIST)
			continue;
		gtid_set_free(list);
		list = binlog_view_gtid_list(&ev);
	}
	return TAKE(list);
}

bool save_choose_first(struct save *s, size_t *ret, struct err *e)
{
	AUTO(gtid) struct gtid_set *list = NULL;

	for (size_t i = s->spec->logs->files.len; i-- > 0;) {
		if (!save_open_file(s, i, e))
			return false;
		gtid_set_free(TAKE(list));
		list = save_list_at_head(s);
		*ret = i;
		if (binlog_format(s->b) && !save_read_sets(s, e))
			return false;
		if (list && s->have && gtid_set_dialect(list) == gtid_set_dialect(s->have) &&
		        gtid_set_contains(s->have, list))
			return true;
	}
	s->unproven = !list;
	if (!s->have)
		return err_set(e, ERR_PARSE, 0, "none of the files can be read");
	if (!list)
		return true;

	AUTO(gtid) struct gtid_set *gone = gtid_set_subtract(list, s->have);
	AUTO(free) char *text = gtid_set_format(gone);

	return err_set(e, ERR_PRECOND, SAVE_PURGED,
	        "the files before %s are gone, and the receiver lacks %s",
	        s->spec->logs->files.items[0].path, text);
}
