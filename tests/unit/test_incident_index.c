/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of incidents: what is found below a state directory, in which order, and what is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "incident.h"
#include "incident_index.h"
#include "str.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mhad-test-index-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
	AUTO(free) char *command = xasprintf("rm -rf %s", dir);

	(void)state;
	return system(command);
}

static void save(const char *cluster, const char *run, const char *result, int at, const char *lost)
{
	struct err e = { 0 };
	json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:s}", "run", run, "cluster",
	        cluster, "result", result, "at", at, "dead", "db1", "new_master", "db2",
	        "opened_ms", 400, "lost", lost);

	if (!incident_save(dir, cluster, j, &e))
		fail_msg("%s", e.text);
	json_decref(j);
}

static void put(const char *path, const char *text)
{
	AUTO(free) char *whole = xasprintf("%s/%s", dir, path);
	FILE *f = fopen(whole, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void nothing(void **state)
{
	struct err e = { 0 };
	struct incident_index *x = incident_index_read(NULL, NULL, &e);
	size_t n = 1;

	(void)state;
	incident_index_all(x, &n);
	assert_int_equal(n, 0);
	assert_null(incident_index_find(x, "a-b"));
	assert_null(incident_index_of(x, "a"));
	incident_index_free(x);
	x = incident_index_read("/nonexistent/mhad", NULL, &e);
	incident_index_all(x, &n);
	assert_int_equal(n, 0);
	incident_index_free(x);
}

static void found_and_counted(void **state)
{
	struct err e = { 0 };
	struct incident_index *x;
	const struct incident_entry *all;
	const struct incident_sum *sum;
	size_t n;

	(void)state;
	save("shop", "20261120-031209-1", "success", 300, "");
	save("shop", "20261119-031209-1", "refused", 200, "");
	save("app", "20261120-031209-1", "partial", 400, "3 transactions");
	put("shop/incidents/20261121-000000-1.json", "{ no json");
	put("shop/incidents/notes.txt", "");
	put("app/journal", "{}");
	put("app/incidents/20261118-000000-1.json",
	        "{\"run\":\"20261118-000000-1\",\"at\":9,\"result\":\"success\",\"from\":\"db1\","
	        "\"to\":\"db2\",\"refused_ms\":12.7}");
	put("app/incidents/20261117-000000-1.json", "{\"run\":\"20261117-000000-1\",\"at\":8,"
	                                            "\"result\":\"success\",\"plan\":\"rejoin\"}");
	put("a-file", "");
	x = incident_index_read(dir, NULL, &e);
	all = incident_index_all(x, &n);
	assert_int_equal(n, 5);
	assert_string_equal(all[0].id, "app-20261120-031209-1");
	assert_string_equal(all[2].result, "refused");
	assert_int_equal(all[1].opened_ms, 400);
	assert_ptr_equal(incident_index_find(x, "shop-20261120-031209-1"), &all[1]);
	assert_null(incident_index_find(x, "shop-20261121-000000-1"));
	sum = incident_index_of(x, "shop");
	assert_int_equal(sum->failovers[RUN_SUCCESS], 1);
	assert_int_equal(sum->failovers[RUN_REFUSED], 1);
	assert_int_equal(sum->with_loss, 0);
	assert_false(sum->journal_open);
	assert_ptr_equal(sum->last, &all[1]);
	sum = incident_index_of(x, "app");
	assert_int_equal(sum->with_loss, 1);
	assert_true(sum->journal_open);
	assert_int_equal(sum->switches[RUN_SUCCESS], 1);
	assert_int_equal(sum->failovers[RUN_SUCCESS], 0);
	assert_string_equal(all[3].plan, "switch");
	assert_string_equal(all[3].fresh, "db2");
	assert_int_equal(all[3].opened_ms, 12);
	assert_string_equal(all[4].plan, "rejoin");
	incident_index_free(x);
}

/* What is known is not read again: a record never changes. */
static void known_ones_are_taken_over(void **state)
{
	struct err e = { 0 };
	struct incident_index *first, *second;
	const struct incident_entry *entry;
	size_t n;

	(void)state;
	save("shop", "20261120-031209-1", "success", 300, "");
	first = incident_index_read(dir, NULL, &e);
	put("shop/incidents/20261120-031209-1.json", "damaged later");
	save("shop", "20261120-041209-1", "failed", 301, "");
	second = incident_index_read(dir, first, &e);
	incident_index_free(first);
	incident_index_all(second, &n);
	assert_int_equal(n, 2);
	entry = incident_index_find(second, "shop-20261120-031209-1");
	assert_string_equal(entry->result, "success");
	assert_string_equal(entry->fresh, "db2");
	incident_index_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),
		cmocka_unit_test_setup_teardown(found_and_counted, set_up, clean_up),
		cmocka_unit_test_setup_teardown(known_ones_are_taken_over, set_up, clean_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
