/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence_unit - systemd through systemctl(1).  Runs on: any thread.
 */
#include "fence_unit.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "mysqld.h"
#include "proc.h"

#define UNITS "/run/systemd/system"

bool fence_unit_booted(void)
{
	struct stat st;

	return lstat(UNITS, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- texts ---- */

/* The last service in "/system.slice/system-mysqld.slice/mysqld@b.service/sub". */
static char *service_in(const char *path, const char *end)
{
	char *found = NULL;

	for (const char *p = path; p < end;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = (size_t)((slash ? slash : end) - p);

		if (n > 8 && memcmp(p + n - 8, ".service", 8) == 0) {
			free(found);
			found = xstrndup(p, n);
			if (str_starts(found, "user@")) {
				free(found);
				return NULL;
			}
		}
		p += n + 1;
	}
	return found;
}

char *fence_unit_of_cgroup(const char *text)
{
	for (const char *line = text; *line;) {
		const char *end = line + strcspn(line, "\n");
		const char *path = memchr(line, '/', (size_t)(end - line));

		if (path && (str_starts(line, "0::") ||
		                    strstr(line, ":name=systemd:") == strchr(line, ':'))) {
			char *unit = service_in(path, end);

			if (unit)
				return unit;
		}
		line = end + (*end == '\n');
	}
	return NULL;
}

/* The block of a unit: from its "Id=" line (any line order) to the empty line. */
static char *block_of(const char *show, const char *id)
{
	AUTO(free) char *line = xasprintf("Id=%s\n", id);

	while (*show) {
		const char *end = strstr(show, "\n\n");
		AUTO(free)
		char *block = end ? xstrndup(show, (size_t)(end + 1 - show)) : xstrdup(show);
		const char *at = strstr(block, line);

		if (at && (at == block || at[-1] == '\n'))
			return TAKE(block);
		if (!end)
			break;
		show = end + strspn(end, "\n");
	}
	return NULL;
}

static const char *find_property(const char *block, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = block; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return p + n + 1;
	return NULL;
}

char *fence_unit_property(const char *show, const char *id, const char *name)
{
	AUTO(free) char *block = block_of(show, id);
	const char *value = block ? find_property(block, name) : NULL;

	return value ? xstrndup(value, strcspn(value, "\n")) : NULL;
}

/* ExecStart={ path=/usr/sbin/mariadbd ; argv[]=/usr/sbin/mariadbd $OPTS ; ignore_errors=no ; ... } */
static bool starts_server(const char *block, const char *etc, int port)
{
	const char *from = find_property(block, "ExecStart");
	struct mysqld_opts o;

	if (!from || !(from = strstr(from, "argv[]=")))
		return false;
	from += strlen("argv[]=");

	AUTO(free) char *text = xstrndup(from, strcspn(from, ";\n"));
	char *words[64], *save = NULL;
	const char *program;
	size_t n = 0;
	int at = 0;

	for (char *w = strtok_r(text, " ", &save); w && n < ARRAY_LEN(words) - 1;
	        w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	words[n] = NULL;
	if (n == 0 || (!mysqld_is_safe(words, &at) && !mysqld_is_server(NULL, words, &program)))
		return false;
	if (port == 0)
		return true;
	mysqld_opts_read(etc, words + at, &o);
	return o.port == port;
}

bool fence_unit_is_own(const char *show, const char *id, pid_t pid)
{
	AUTO(free) char *block = block_of(show, id);
	const char *main_pid = block ? find_property(block, "MainPID") : NULL;

	if (!block)
		return false;
	return (pid > 0 && main_pid && strtol(main_pid, NULL, 10) == pid) ||
	       starts_server(block, "", 0);
}

char *fence_unit_of_port(const char *show, const char *etc, int port)
{
	while (*show) {
		const char *end = strstr(show, "\n\n");
		AUTO(free)
		char *block = end ? xstrndup(show, (size_t)(end + 1 - show)) : xstrdup(show);
		const char *id = find_property(block, "Id");

		if (id && starts_server(block, etc, port))
			return xstrndup(id, strcspn(id, "\n"));
		if (!end)
			break;
		show = end + strspn(end, "\n");
	}
	return NULL;
}

/* ---- systemctl ---- */

static bool systemctl(const char *const *argv, int64_t deadline, char **ret_out, struct err *e)
{
	struct proc_opts o = {
		.argv = argv, .output_max = 4 << 20, .deadline = deadline, .grace_ms = 100
	};
	struct proc_result r;
	bool ok;

	if (!proc_run(&o, &r, e))
		return false;
	ok = r.status == 0 && !r.late && !r.cut;
	if (r.late)
		err_set(e, ERR_LOST, 0, "systemctl %s: no answer in time", argv[1]);
	else if (!ok)
		err_set(e, ERR_REMOTE, r.status, "systemctl %s: %s", argv[1],
		        r.err.len ? str_trim(r.err.p) : "failed");
	else if (ret_out)
		*ret_out = str_take(&r.out);
	proc_done(&r);
	return ok;
}

char *fence_unit_show(const char *id, int64_t deadline, struct err *e)
{
	static const char properties[] = "--property=Id,MainPID,ExecStart,ActiveState,SubState";
	const char *one[] = { "systemctl", "show", properties, "--", id, NULL };
	const char *all[] = { "systemctl", "show", properties, "--", "*.service", NULL };
	char *out = NULL;

	return systemctl(id ? one : all, deadline, &out, e) ? out : NULL;
}

bool fence_unit_stop(const char *id, int64_t deadline, struct err *e)
{
	const char *argv[] = { "systemctl", "stop", "--no-block", "--", id, NULL };

	return systemctl(argv, deadline, NULL, e);
}

bool fence_unit_reload(int64_t deadline, struct err *e)
{
	const char *argv[] = { "systemctl", "daemon-reload", NULL };

	return systemctl(argv, deadline, NULL, e);
}

/* ---- drop-in ---- */

static bool write_new(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = -1;
	size_t n = strlen(text);

	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, "replace %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "make %s", path);
	if (write(fd, text, n) != (ssize_t)n)
		return err_sys(e, "write %s", path);
	return true;
}

bool fence_unit_hold(const char *id, int port, const char *record, struct err *e)
{
	AUTO(free) char *folder = xasprintf(UNITS "/%s.d", id);
	AUTO(free) char *path = xasprintf("%s/mha-fence-%d.conf", folder, port);
	AUTO(free)
	char *text = xasprintf("# Fenced; `mha-node release --port=%d` undoes it.\n"
	                       "[Unit]\nAssertPathExists=!%s\n",
	        port, record);

	if (strchr(id, '/'))
		return err_set(e, ERR_PARSE, 0, "\"%s\" is no unit", id);
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make folder %s", folder);
	return write_new(path, text, e);
}

bool fence_unit_unhold(int port, int *ret_removed, struct err *e)
{
	AUTO(free) char *pattern = xasprintf(UNITS "/*.d/mha-fence-%d.conf", port);
	glob_t g = { 0 };
	bool ok = true;

	*ret_removed = 0;
	if (glob(pattern, GLOB_NOSORT, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc && ok; i++) {
			char *path = g.gl_pathv[i];

			if (unlink(path) < 0) {
				ok = err_sys(e, "remove %s", path);
				break;
			}
			++*ret_removed;
			*strrchr(path, '/') = '\0';
			rmdir(path); /* stays when others have drop-ins there */
		}
	}
	globfree(&g);
	return ok;
}
