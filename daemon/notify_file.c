/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify_file - messages as files.  Runs on: any thread, blocks.
 */
#include "notify_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "flap.h"
#include "history.h"
#include "hookd_wire.h"
#include "str.h"
#include "vec.h"

struct notify_msg *notify_msg_new(const char *cluster, const char *server, const char *const *args)
{
	struct notify_msg *m = xzalloc(sizeof(*m));
	size_t n = 0;

	while (args[n])
		n++;
	m->cluster = xstrdup(cluster);
	m->server = xstrdup(server);
	m->at = flap_now_ms();
	m->args = xzalloc((n + 1) * sizeof(*m->args));
	for (size_t i = 0; i < n; i++)
		m->args[i] = xstrdup(args[i]);
	return m;
}

struct notify_msg *notify_msg_copy(const struct notify_msg *m)
{
	struct notify_msg *c = notify_msg_new(m->cluster, m->server, (const char *const *)m->args);

	c->path = m->path ? xstrdup(m->path) : NULL;
	c->at = m->at;
	c->once = m->once;
	return c;
}

void notify_msg_free(struct notify_msg *m)
{
	if (!m)
		return;
	for (char **a = m->args; *a; a++)
		free(*a);
	free(m->args);
	free(m->cluster);
	free(m->server);
	free(m->path);
	free(m);
}

/* Names in the order of time; a number keeps those of one moment apart. */
char *notify_msg_path(const char *state_dir, const struct notify_msg *m, unsigned number)
{
	return xasprintf("%s/%s/messages/%013lld-%04u.json", state_dir, m->cluster,
	        (long long)m->at, number % 10000);
}

/* Arguments are any bytes, JSON texts are not. */
static json_t *json_of(const struct notify_msg *m)
{
	json_t *args = json_array();

	for (char **a = m->args; *a; a++)
		json_array_append_new(args, hookd_text(*a));
	return json_pack("{s:i, s:s, s:I, s:b, s:o}", "format", 1, "server", m->server, "at",
	        (json_int_t)m->at, "once", m->once, "args", args);
}

static bool write_text(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	size_t n = strlen(text);

	if (fd < 0)
		return err_sys(e, "open %s", path);
	return (write(fd, text, n) == (ssize_t)n && fsync(fd) == 0) || err_sys(e, "write %s", path);
}

bool notify_msg_write(const char *state_dir, const struct notify_msg *m, struct err *e)
{
	AUTO(free) char *base = history_dir(state_dir, m->cluster, e);
	AUTO(free) char *dir = base ? xasprintf("%s/messages", base) : NULL;
	AUTO(free) char *new = xasprintf("%s.new", m->path);
	AUTO(free) char *text = NULL;
	json_t *j;

	if (!dir)
		return false;
	if (mkdir(dir, 0750) && errno != EEXIST)
		return err_sys(e, "make directory %s", dir);
	j = json_of(m);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!text)
		return err_set(e, ERR_PARSE, 0, "the message is no JSON");
	return write_text(new, text, e) &&
	       (rename(new, m->path) == 0 || err_sys(e, "rename %s", new));
}

static char **args_of(const json_t *list)
{
	size_t n = json_array_size(list);
	char **args = xzalloc((n + 1) * sizeof(*args));

	for (size_t i = 0; i < n; i++) {
		args[i] = hookd_bytes(json_array_get(list, i));
		args[i] = args[i] ? args[i] : xstrdup("");
	}
	return args;
}

struct notify_msg *notify_msg_read(const char *cluster, const char *path)
{
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	const char *server = json_string_value(json_object_get(j, "server"));
	const json_t *args = json_object_get(j, "args");
	struct notify_msg *m = NULL;

	if (server && json_is_array(args)) {
		m = xzalloc(sizeof(*m));
		*m = (struct notify_msg){ .cluster = xstrdup(cluster),
			.server = xstrdup(server),
			.path = xstrdup(path),
			.args = args_of(args),
			.at = json_integer_value(json_object_get(j, "at")),
			.once = json_is_true(json_object_get(j, "once")),
			.kept = true };
	}
	json_decref(j);
	return m;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **notify_msg_list(const char *state_dir, const char *cluster)
{
	AUTO(free) char *dir = xasprintf("%s/%s/messages", state_dir, cluster);
	VEC(char *) all = VEC_INIT;
	const struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)))
		if (str_ends(entry->d_name, ".json"))
			vec_push(&all, xasprintf("%s/%s", dir, entry->d_name));
	if (d)
		closedir(d);
	if (all.len)
		qsort(all.items, all.len, sizeof(char *), by_text);
	vec_push(&all, NULL);
	return all.items;
}
