/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_topology - runs the cases in tests/cases/topology: a cluster in a few words in (cluster_case.h),
 * tree and findings out.
 *
 * A case is a folder with cluster.txt and expect.txt.  CASES_WRITE=1 in the environment writes the
 * expectations anew: read the difference before trusting it.
 */
#include "cluster_case.h"
#include <dirent.h>

#define CASES "tests/cases/topology"

static const char *id_of(const struct topology_server *v)
{
	return v ? v->snap->conf->id : "-";
}

static void dump_server(struct str *out, const struct topology_server *v)
{
	str_addf(out, "%s: %s tier %d from %s", id_of(v), topology_role_name(v->role), v->tier,
	        id_of(v->source));
	if (v->source_name && !v->source)
		str_addf(out, " (%s)", v->source_name);
	if (v->channel && *v->channel->name)
		str_addf(out, " channel %s", v->channel->name);
	if (v->n_replicas)
		str_add(out, " ->");
	for (size_t i = 0; i < v->n_replicas; i++)
		str_addf(out, " %s", id_of(v->replicas[i]));
	if (v->unfit)
		str_addf(out, "; unfit: %s", v->unfit);
	if (v->errant_text)
		str_addf(out, "; errant %llu: %s", (unsigned long long)v->n_errant, v->errant_text);
	str_addc(out, '\n');
}

static void dump_finding(struct str *out, const struct topology_finding *x)
{
	static const char *const bits[] = { "check", "start", "failover", "switch" };
	str_addf(out, "%s %s [%d] %s:", topology_severity_name(x->severity),
	        topology_code_name(x->code), x->check, x->server ? id_of(x->server) : "cluster");
	for (unsigned i = 0; i < ARRAY_LEN(bits); i++)
		if (x->stops & (1u << i))
			str_addf(out, " %s", bits[i]);
	str_addf(out, "\n  %s\n", x->text);
	if (x->hint)
		str_addf(out, "  (%s)\n", x->hint);
}

static char *dump(const struct topology *t)
{
	struct str out = STR_INIT;
	str_addf(&out, "master %s, mode %s (MHA's %d), %zu alive, %zu dead, %zu alive slaves\n",
	        id_of(t->master), topology_mode_name(t->mode), topology_mha_mode(t->mode),
	        t->n_alive, t->n_dead, t->n_alive_slaves);
	if (t->master_not_in_file)
		str_addf(&out, "master not in file: %s\n", t->master_not_in_file);
	for (size_t i = 0; i < t->n_servers; i++)
		dump_server(&out, &t->servers[i]);
	for (size_t i = 0; i < t->n_findings; i++)
		dump_finding(&out, &t->findings[i]);
	return str_take(&out);
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void run_case(void **state)
{
	const char *name = *state;
	AUTO(free) char *in = xasprintf(CASES "/%s/cluster.txt", name);
	AUTO(free) char *out = xasprintf(CASES "/%s/expect.txt", name);
	AUTO(free) char *text = read_text(in);
	if (!text)
		fail_msg("cannot read %s", in);
	struct fixture f;
	fixture_init(&f, text);
	struct topology *t = topology_classify(f.s, &f.opts);
	AUTO(free) char *got = dump(t);
	topology_free(t);
	fixture_done(&f);
	if (getenv("CASES_WRITE"))
		write_text(out, got);
	AUTO(free) char *expected = read_text(out);
	if (!expected)
		fail_msg("cannot read %s", out);
	assert_string_equal(got, expected);
}

/* The bits and the counters agree with the list, and a server is found again by its id. */
static void test_queries(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, "flavour mysql\nserver db1\nserver db2 source=db1 sql=No\nserver db3 "
	                 "source=db1 state=dead\n");
	struct topology *t = topology_classify(f.s, NULL);
	const struct topology_finding *first = NULL;
	assert_true(topology_stops(t, TOPOLOGY_STOPS_FAILOVER, &first));
	assert_int_equal(first->code, TOPOLOGY_SERVER_DEAD);
	assert_true(topology_stops(t, TOPOLOGY_STOPS_SWITCH, NULL));
	assert_int_equal(t->n_errors, 2);
	assert_ptr_equal(topology_find(t, &f.conf_server[1]), &t->servers[1]);
	struct conf_server other = { .id = "db9" };
	assert_null(topology_find(t, &other));
	topology_free(t);
	topology_free(NULL);
	fixture_done(&f);
}

static int is_case(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int main(void)
{
	struct dirent **found = NULL;
	int n = scandir(CASES, &found, is_case, alphasort);
	VEC(struct CMUnitTest) tests = VEC_INIT;
	vec_push(&tests, (struct CMUnitTest)cmocka_unit_test(test_queries));
	for (int i = 0; i < n; i++)
		vec_push(&tests, (struct CMUnitTest){ found[i]->d_name, run_case, NULL, NULL,
		                         found[i]->d_name });
	if (n < 1) {
		fprintf(stderr, "no cases in %s: run this in the root of the sources\n", CASES);
		return 1;
	}
	int failed = _cmocka_run_group_tests("topology", tests.items, tests.len, NULL, NULL);
	vec_done(&tests);
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	return failed;
}
