/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_elect - runs the cases in tests/cases/elect: a cluster in a few words in (cluster_case.h), who is
 * elected by which rule, and why nobody else, out.  CASES_WRITE=1 writes the expectations anew.
 */
#include "cluster_case.h"
#include <dirent.h>
#include "elect.h"

#define CASES "tests/cases/elect"

static const struct conf_server *named(struct fixture *f, const char *name)
{
	int i = name ? server_index(f, name) : -1;

	return i < 0 ? NULL : f->conf_list[i];
}

static char *dump(struct fixture *f, const struct topology *t)
{
	const struct conf_server *without = named(f, f->without);
	struct elect_opts o = {
		.forced = named(f, f->forced), .without = &without, .n_without = without ? 1 : 0
	};
	AUTO(election) struct election *e = elect(t, &o);
	struct str out = STR_INIT;

	if (e->chosen)
		str_addf(
		        &out, "%s by rule %d: %s\n", e->chosen->snap->conf->id, e->rule, e->reason);
	else
		str_addf(&out, "nobody: %s\n(%s)\n", e->refusal, e->hint);
	str_addf(&out, "latest %s, oldest %s\n", e->latest ? e->latest->snap->conf->id : "-",
	        e->oldest ? e->oldest->snap->conf->id : "-");
	for (size_t i = 0; i < e->n; i++) {
		const struct elect_candidate *c = &e->all[i];

		str_addf(&out, "%s:%s%s%s%s%s%s\n", c->server->snap->conf->id,
		        c->latest ? " latest" : "", c->candidate ? " candidate" : "",
		        c->bad ? " bad: " : "", c->bad ? c->bad : "", c->note ? " note: " : "",
		        c->note ? c->note : "");
	}
	return str_take(&out);
}

static void run_case(void **state)
{
	const char *name = *state;
	AUTO(free) char *in = xasprintf(CASES "/%s/cluster.txt", name);
	AUTO(free) char *out = xasprintf(CASES "/%s/expect.txt", name);
	AUTO(free) char *text = read_text(in);
	AUTO(free) char *expected = read_text(out);
	struct fixture f;

	assert_non_null(text);
	fixture_init(&f, text);
	struct topology *t = topology_classify(f.s, &f.opts);
	AUTO(free) char *got = dump(&f, t);
	topology_free(t);
	fixture_done(&f);
	if (getenv("CASES_WRITE")) {
		FILE *to = fopen(out, "we");
		assert_non_null(to);
		assert_true(fputs(got, to) >= 0);
		assert_int_equal(fclose(to), 0);
		return;
	}
	assert_non_null(expected);
	assert_string_equal(got, expected);
}

static int is_case(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int main(void)
{
	struct CMUnitTest tests[64];
	struct dirent **cases;
	int n = scandir(CASES, &cases, is_case, alphasort), rc;

	if (n <= 0 || n > 64)
		return 1;
	for (int i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = cases[i]->d_name,
			.test_func = run_case,
			.initial_state = cases[i]->d_name };
	rc = _cmocka_run_group_tests("elect", tests, (size_t)n, NULL, NULL);
	for (int i = 0; i < n; i++)
		free(cases[i]);
	free(cases);
	return rc;
}
