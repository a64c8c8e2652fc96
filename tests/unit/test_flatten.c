/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_flatten - by which hops a slave gets elsewhere, what forbids one, the table of a move, and the judgement of semi-sync.
 * Clusters in a few words, see cluster_case.h.
 */
#include "cluster_case.h"
#include "flatten.h"
#include "move.h"
#include "semisync.h"

struct scene {
	struct fixture f;
	struct topology *t;
	struct err e;
};

static void scene_init(struct scene *s, const char *text)
{
	fixture_init(&s->f, text);
	s->t = topology_classify(s->f.s, &s->f.opts);
	s->e = (struct err){ .kind = ERR_NONE };
}

static void scene_done(struct scene *s)
{
	topology_free(s->t);
	fixture_done(&s->f);
}

static const struct topology_server *named(struct scene *s, const char *name)
{
	return &s->t->servers[server_index(&s->f, name)];
}

/* "db4:db2>db1:up db4:db1>db3:down" */
static char *words(const struct flatten_hop *hops, size_t n)
{
	struct str s = STR_INIT;

	for (size_t i = 0; i < n; i++)
		str_addf(&s, "%s%s:%s>%s:%s", i ? " " : "", hops[i].child->snap->conf->id,
		        hops[i].from->snap->conf->id, hops[i].to->snap->conf->id,
		        flatten_kind_name(hops[i].kind));
	return str_take(&s);
}

static void expect_route(const char *text, const char *child, const char *to, const char *want)
{
	struct flatten_hop *hops = NULL;
	struct scene s;
	size_t n = 0;

	scene_init(&s, text);
	if (flatten_route(s.t, named(&s, child), named(&s, to), &hops, &n, &s.e)) {
		AUTO(free) char *got = words(hops, n);

		assert_string_equal(got, want);
	} else {
		assert_int_equal(s.e.kind, ERR_PRECOND);
		if (!*want || !strstr(s.e.text, want))
			fail_msg("%s, and not: %s", s.e.text, want);
	}
	free(hops);
	scene_done(&s);
}

#define TREE                                                                                       \
	"server db1\nserver db2 source=db1\nserver db3 source=db1\nserver db4 source=db2\n"        \
	"server db5 source=db4\n"
#define POSITION "flavour mariadb-position\n" TREE

static void routes(void **state)
{
	(void)state;
	expect_route(POSITION, "db4", "db1", "db4:db2>db1:up");
	expect_route(POSITION, "db5", "db1", "db5:db4>db2:up db5:db2>db1:up");
	expect_route(POSITION, "db3", "db2", "db3:db1>db2:down");
	expect_route(POSITION, "db4", "db3", "db4:db2>db1:up db4:db1>db3:down");
	expect_route(POSITION, "db3", "db5", "db3:db1>db2:down db3:db2>db4:down db3:db4>db5:down");
	expect_route(POSITION, "db4", "db2", "");
	expect_route("flavour mariadb\n" TREE, "db5", "db3", "db5:db4>db3:gtid");
	expect_route("flavour mysql\n" TREE, "db5", "db1", "db5:db4>db1:gtid");
	expect_route(POSITION, "db2", "db5", "if not directly");
	expect_route(POSITION, "db2", "db2", "cannot follow itself");
	expect_route(POSITION, "db1", "db2", "is the master");
}

static void no_routes(void **state)
{
	(void)state;
	expect_route("flavour mariadb-position\nserver db1 source=db2 read_only=0\n"
	             "server db2 source=db1\nserver db3 source=db1\n",
	        "db2", "db3", "follow each other");
}

static void expect_all(const char *text, const char *want)
{
	struct flatten_hop *hops = NULL;
	struct scene s;
	size_t n = 0;

	scene_init(&s, text);
	if (flatten_all(s.t, &hops, &n, &s.e)) {
		AUTO(free) char *got = words(hops, n);

		assert_string_equal(got, want);
	} else {
		assert_non_null(strstr(s.e.text, want));
	}
	free(hops);
	scene_done(&s);
}

static void all(void **state)
{
	(void)state;
	expect_all(POSITION, "db4:db2>db1:up db5:db4>db1:up");
	expect_all("flavour mysql\n" TREE, "db4:db2>db1:gtid db5:db4>db1:gtid");
	expect_all("flavour mysql\nserver db1\nserver db2 source=db1\n", "");
	expect_all("flavour mariadb-position\nserver db1\nserver db2 source=db1\nserver db3 "
	           "state=dead\n",
	        "the tree is not known");
}

/* NULL: it may be; "!..." when a person may overrule it. */
static void expect_may(const char *text, const char *child, const char *to, const char *want)
{
	struct flatten_hop *hops = NULL;
	struct scene s;
	size_t n = 0;
	bool force = false, may = true;

	scene_init(&s, text);
	if (!flatten_route(s.t, named(&s, child), named(&s, to), &hops, &n, &s.e))
		fail_msg("%s", s.e.text);
	for (size_t i = 0; may && i < n; i++)
		may = flatten_may(&hops[i], 60000, &force, &s.e);
	if (may != !want)
		fail_msg("it may%s be: %s", may ? "" : " not", may ? want : s.e.text);
	if (want) {
		assert_int_equal(force, want[0] == '!');
		if (!strstr(s.e.text, want + (want[0] == '!')))
			fail_msg("%s, and not: %s", s.e.text, want);
		assert_true(s.e.hint[0]);
	}
	free(hops);
	scene_done(&s);
}

#define THREE(two, three)                                                                          \
	"flavour mariadb-position\nserver db1\nserver db2 source=db1 " two                         \
	"\nserver db3 source=db2 conf.multi_tier_slave=1 " three "\nserver db4 source=db1\n"

static void may(void **state)
{
	(void)state;
	expect_may(THREE("", ""), "db3", "db1", NULL);
	expect_may(THREE("sql=No", ""), "db3", "db1", "does not replicate");
	expect_may(THREE("", "io=No"), "db3", "db1", "the receiver does not run");
	expect_may(THREE("", "io=Connecting"), "db3", "db1", "is connecting");
	expect_may(THREE("log_replica_updates=0", ""), "db3", "db1", "log_slave_updates");
	expect_may(THREE("read_only=0", ""), "db3", "db1", NULL);
	expect_may(THREE("behind=61", ""), "db3", "db1", "61 s behind");
	expect_may(THREE("behind=59", ""), "db3", "db1", NULL);
	expect_may(THREE("", "delay=10"), "db3", "db1", "delayed by 10 s");
	expect_may(THREE("Replicate_Do_DB=shop", ""), "db3", "db1", "filters what it replicates");
	expect_may(THREE("Replicate_Do_DB=shop", "Replicate_Do_DB=shop"), "db3", "db1", NULL);
	expect_may(THREE("", "Replicate_Do_DB=shop"), "db3", "db1", NULL);
	expect_may(THREE("binlog_do_db=shop", ""), "db3", "db1", "filtered differently");
	expect_may(THREE("", "binlog_format=STATEMENT"), "db3", "db1", "statements only");
	expect_may(THREE("binlog_format=STATEMENT", ""), "db3", "db1", NULL);
	expect_may(THREE("", ""), "db4", "db2", "!multi_tier_slave");
	expect_may(THREE("", ""), "db3", "db4", NULL);
	expect_may(THREE("log_bin=0", ""), "db4", "db2", "writes no binlog");
	expect_may(THREE("state=dead", ""), "db3", "db1", "Connection refused");
}

/* By GTIDs the old source may be dead, and may stand anywhere. */
static void may_by_gtid(void **state)
{
#define GTID(two, three)                                                                           \
	"flavour mysql\nserver db1 gtid=A:1-9\nserver db2 source=db1 gtid=A:1-9 " two              \
	"\nserver db3 source=db2 conf.multi_tier_slave=1 " three "\n"
	(void)state;
	expect_may(GTID("", "gtid=A:1-9"), "db3", "db1", NULL);
	expect_may(GTID("state=dead", "gtid=A:1-9 io=Connecting"), "db3", "db1", NULL);
	expect_may(GTID("sql=No", "gtid=A:1-9"), "db3", "db1", NULL);
	expect_may(GTID("", "gtid=A:1-9,C:1"), "db3", "db1", "does not have");
	expect_may("flavour mysql\nserver db1 gtid=A:1-9 purged=A:1-5\nserver db2 source=db1 "
	           "gtid=A:1-9\nserver db3 source=db2 gtid=A:1-3\n",
	        "db3", "db1", "purged");
}

static void table(void **state)
{
	struct err e = { .kind = ERR_NONE };

	(void)state;
	if (!run_plan_check(move_plan(), &e))
		fail_msg("%s", e.text);
	/* What may have been changed can be undone, all of it: no step is left that counts as not undone. */
	for (size_t i = 3; i + 1 < move_plan()->n; i++)
		assert_true(move_plan()->steps[i].undo || move_plan()->steps[i].reads);
}

/* ---- semi-sync ---- */

static const struct semisync_now waits = { .known = true,
	.source = SEMISYNC_NEW,
	.replica = SEMISYNC_NEW,
	.source_enabled = true,
	.source_on = true,
	.clients = 2,
	.wait_count = 1,
	.timeout_ms = 10000,
	.has_wait_count = true };
static const struct semisync_now acks = { .known = true,
	.source = SEMISYNC_NEW,
	.replica = SEMISYNC_NEW,
	.replica_enabled = true,
	.replica_on = true,
	.clients = 0,
	.wait_count = 1,
	.has_wait_count = true };

#define STAR                                                                                       \
	"flavour mysql\nserver db1 gtid=A:1\nserver db2 source=db1 gtid=A:1\nserver db3 "          \
	"source=db1 gtid=A:1 conf.candidate_master=1\n"

static void expect_deeds(
        const struct semisync_now *now, bool enable, size_t errors, const char *want)
{
	AUTO_STR struct str got = STR_INIT;
	struct semisync_plan p;
	struct scene s;

	scene_init(&s, STAR);
	semisync_judge(s.t, now, enable, &p);
	for (size_t i = 0; i < p.n_deeds; i++)
		str_addf(&got, "%s%s:%s", i ? " " : "", p.deeds[i].server->snap->conf->id,
		        semisync_deed_name(p.deeds[i].kind));
	assert_string_equal(got.p, want);
	assert_int_equal(p.n_errors, errors);
	semisync_plan_done(&p);
	scene_done(&s);
}

static void semisync(void **state)
{
	struct semisync_now n[3] = { waits, acks, acks };

	(void)state;
	expect_deeds(n, false, 0, "");
	n[0].source_on = false;
	n[0].clients = 0;
	n[1].replica_on = n[2].replica_on = false;
	expect_deeds(n, false, 1, "db3:reconnect db2:reconnect db1:rearm");
	n[1] = n[2] = acks;
	n[0] = waits;
	n[0].wait_count = 3;
	expect_deeds(n, false, 1, "db1:wait-count");
	n[0] = waits;
	n[0].replica_enabled = n[1].source_enabled = true;
	expect_deeds(n, false, 0, "db1:replica-off db2:source-off");
	n[1] = acks;
	n[0] = waits;
	n[0].clients = 1;
	n[1].replica_enabled = n[1].replica_on = false;
	expect_deeds(n, false, 0, "");
	n[0].wait_count = 2;
	expect_deeds(n, false, 1, "db2:replica-on db2:reconnect");
	expect_deeds(n, true, 1, "db2:replica-on db2:reconnect");
	n[0].wait_count = 1;
	expect_deeds(n, true, 0, "db2:replica-on db2:reconnect");
}

static void semisync_from_nothing(void **state)
{
	const struct semisync_now none = { .known = true, .clients = -1, .wait_count = 1 };
	struct semisync_now n[3] = { none, none, none };

	(void)state;
	expect_deeds(n, false, 0, "");
	expect_deeds(n, true, 0,
	        "db1:install-source db3:install-replica db3:replica-on db3:reconnect "
	        "db2:install-replica db2:replica-on db2:reconnect db1:source-on");
	n[1] = n[2] = acks;
	expect_deeds(n, false, 2, "");
	n[0] = waits;
	n[1].known = n[2].known = false;
	n[0].clients = 0;
	expect_deeds(n, false, 2, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes),
		cmocka_unit_test(no_routes),
		cmocka_unit_test(all),
		cmocka_unit_test(may),
		cmocka_unit_test(may_by_gtid),
		cmocka_unit_test(table),
		cmocka_unit_test(semisync),
		cmocka_unit_test(semisync_from_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
