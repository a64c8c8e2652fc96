/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rehearse_keep - the last two results, as files.  Runs on: any thread, blocks.
 */
#include "rehearse.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "history.h"

static bool write_whole(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	size_t n = strlen(text);

	if (fd < 0)
		return err_sys(e, "open %s", path);
	return (write(fd, text, n) == (ssize_t)n && fsync(fd) == 0) || err_sys(e, "write %s", path);
}

bool rehearse_keep(const char *state_dir, const char *cluster, const json_t *result, struct err *e)
{
	AUTO(free) char *dir = history_dir(state_dir, cluster, e);
	AUTO(free) char *text = json_dumps(result, JSON_INDENT(1));
	AUTO(free) char *new = NULL, *last = NULL, *older = NULL;

	if (!dir || !text)
		return dir && err_set(e, ERR_PARSE, 0, "the rehearsal is no JSON");
	new = xasprintf("%s/rehearsal.json.new", dir);
	last = xasprintf("%s/rehearsal.json", dir);
	older = xasprintf("%s/rehearsal.1.json", dir);
	if (!write_whole(new, text, e))
		return false;
	if (rename(last, older) && errno != ENOENT)
		return err_sys(e, "rename %s", last);
	return rename(new, last) == 0 || err_sys(e, "rename %s", new);
}

json_t *rehearse_load(const char *state_dir, const char *cluster)
{
	AUTO(free) char *path = xasprintf("%s/%s/rehearsal.json", state_dir, cluster);
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(j) && json_integer_value(json_object_get(j, "format")) == 1)
		return j;
	json_decref(j);
	return NULL;
}
