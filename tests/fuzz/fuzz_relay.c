/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mha-node finds in a data directory: relay-log.info, indexes of binlogs and relay logs, and the names of log
 * files. The input is each of them in turn; a line is added to it as if it were an index.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dir.h"
#include "logs.h"
#include "relay.h"
#include "relay_index.h"
#include "str.h"

static char folder[40], path[64], log_path[64];

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void put(const char *to, const void *p, size_t n)
{
	FILE *f = fopen(to, "we");

	must(f && fwrite(p, 1, n, f) == n);
	fclose(f);
}

static void clean_up(void)
{
	unlink(path);
	unlink(log_path);
	rmdir(folder);
}

/* A folder with one relay log, besides the index; in memory, if that can be had. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	snprintf(folder, sizeof(folder), "%s/fuzz_relay.XXXXXX",
	        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/index", folder);
	snprintf(log_path, sizeof(log_path), "%s/relay-bin.000002", folder);
	put(log_path, "", 0);
	atexit(clean_up);
	return 0;
}

static void look_at_text(const char *text)
{
	AUTO(free) char *found = relay_info_parse(text, "/data", NULL);
	size_t prefix;
	uint64_t number;

	must(!found || (found[0] == '/' && !strpbrk(found, "\r\n")));
	must(!dir_log_split(text, &prefix, &number) ||
	        (prefix > 0 && prefix < strlen(text) && number <= INT32_MAX));
	relay_is_listed(text, "relay-bin.000002");
}

static void look_at_logs(void)
{
	struct logs all;

	if (!logs_of_index(path, "/data", &all, NULL))
		return;
	for (size_t i = 0; i < all.files.len; i++) {
		const struct log_file *f = &all.files.items[i];

		must(f->path[0] == '/' && f->name[0] && !strchr(f->name, '/'));
		must(!i || f->number >= f[-1].number);
	}
	(void)!logs_have_no_gap(&all, 0, NULL);
	logs_done(&all);
}

/* A name that none of the lines has, behind all of them; then it is there, and nothing else changed. */
static void add_to(const struct relay_index *x)
{
	AUTO(free) char *next = relay_index_next(x, NULL);
	struct relay_index now;

	if (!next)
		return;
	must(!relay_index_has(x, next) && !str_is(next, "relay-bin.000002"));
	must(relay_index_add(x, next, NULL) && relay_index_read(path, &now, NULL));
	must(now.lines.len == x->lines.len + 1 && !now.torn && relay_index_has(&now, next));
	for (size_t i = 0; i < x->lines.len; i++)
		must(str_is(now.lines.items[i], x->lines.items[i]));
	relay_index_done(&now);
}

static void look_at_index(void)
{
	struct relay_index x;

	if (!relay_index_read(path, &x, NULL))
		return;
	for (size_t i = 0; i < x.lines.len; i++) {
		AUTO(free) char *file = relay_index_file(&x, i);

		must(x.lines.items[i][0] && relay_index_has(&x, x.lines.items[i]));
		must(str_starts(file, folder) && file[strlen(folder)] == '/' &&
		        !strchr(file + strlen(folder) + 1, '/'));
	}
	add_to(&x);
	relay_index_done(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	AUTO(free) char *text = xstrndup((const char *)p, n);

	look_at_text(text);
	put(path, p, n);
	look_at_logs();
	look_at_index();
	return 0;
}
