/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_files - reading configuration files and secrets.  Called by conf.c.  Runs on: any thread
 * (regular files only, so that no pipe or device can make it wait).
 */
#include "conf_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONF_FILE_MAX = 1 << 20, SECRET_MAX = 4096 };

static bool read_all(
        int fd, const char *path, char *buf, size_t size, size_t *ret_len, struct err *e)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf + len, size - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "cannot read %s", path);
		len += (size_t)n;
		if (len == size)
			return err_set(
			        e, ERR_CONFIG, 0, "%s is longer than %zu bytes", path, size - 1);
	}
	buf[len] = '\0';
	*ret_len = len;
	return true;
}

/* Up to max bytes of a regular file, with a NUL behind them. */
static char *read_file(
        const char *path, size_t max, size_t *ret_len, mode_t *ret_mode, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *buf;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(e, "cannot open %s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_CONFIG, 0, "%s is not a regular file", path);
		return NULL;
	}
	buf = xzalloc(max + 1);
	if (!read_all(fd, path, buf, max + 1, ret_len, e)) {
		mem_wipe(buf, max + 1);
		free(buf);
		return NULL;
	}
	*ret_mode = st.st_mode & 07777;
	return buf;
}

char *conf_file_read(const char *path, size_t *ret_len, mode_t *ret_mode, struct err *e)
{
	return read_file(path, CONF_FILE_MAX, ret_len, ret_mode, e);
}

/* Where the secret lies; "credential:NAME" is one that systemd hands to the service. */
static const char *secret_path(struct arena *a, const char *where, struct err *e)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY"), *name = where + strlen("credential:");

	if (*where == '/')
		return where;
	if (!str_starts(where, "credential:")) {
		err_set(e, ERR_CONFIG, 0,
		        "\"%.80s\" is neither an absolute path nor credential:NAME", where);
	} else if (!*name || strchr(name, '/') || str_is(name, "..") || str_is(name, ".")) {
		err_set(e, ERR_CONFIG, 0, "\"%.80s\" is no name of a credential", name);
	} else if (!dir) {
		err_set(e, ERR_CONFIG, 0, "%.80s: systemd gave this process no credentials", where);
		err_hint(e, "add LoadCredential=%.80s:/path/of/the/secret to the unit", name);
	} else {
		return arena_printf(a, "%s/%s", dir, name);
	}
	return NULL;
}

const char *conf_secret_read(struct arena *a, const char *where, struct err *e)
{
	const char *path = secret_path(a, where, e), *secret = NULL;
	size_t len = 0;
	mode_t mode;
	char *buf;

	buf = path ? read_file(path, SECRET_MAX, &len, &mode, e) : NULL;
	if (!buf)
		return NULL;
	buf[strcspn(buf, "\r\n")] = '\0';
	if (mode & 0007) {
		err_set(e, ERR_CONFIG, 0, "%s can be read by others (mode %04o)", path,
		        (unsigned)mode);
		err_hint(e, "chmod o= %s", path);
	} else if (!*buf) {
		err_set(e, ERR_CONFIG, 0, "the first line of %s is empty", path);
	} else {
		secret = arena_strdup(a, buf);
	}
	mem_wipe(buf, len);
	free(buf);
	return secret;
}

char *conf_secret(const char *where, struct err *e)
{
	AUTO(arena) struct arena *a = arena_new();

	arena_hold_secrets(a);
	return xstrdup(conf_secret_read(a, where, e));
}

char *conf_file_text(const char *path, struct err *e)
{
	size_t len;
	mode_t mode;

	return conf_file_read(path, &len, &mode, e);
}
