/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh_hosts - which key a host must show.  Reads OpenSSH's known_hosts files as ssh(1) does:
 * patterns, hashed names,
 * "[host]:port", @revoked.  A host with an entry of any type must show a key that has one: else who
 * sits in the middle would only have to offer another type. Runs on: worker.
 */
#include "ssh_impl.h"
#include "clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_MS = 2000 };

static const char system_file[] = "/etc/ssh/ssh_known_hosts";

void ssh_known_done(struct ssh_known *k)
{
	str_done(&k->types);
}

char *ssh_known_name(const struct ssh_target *t)
{
	const char *name = t->host_key_name ? t->host_key_name : t->address;

	return t->port == 22 ? xstrdup(name) : xasprintf("[%s]:%u", name, t->port);
}

char *ssh_known_file(const struct ssh_target *t)
{
	AUTO(free) char *home = t->known_hosts ? NULL : ssh_home();

	return t->known_hosts ? xstrdup(t->known_hosts)
	                      : xasprintf("%s/.ssh/known_hosts", home ? home : "");
}

/* '*' and '?'; brackets are literal, since ports are written with them. */
static bool wildcard(const char *p, const char *end, const char *s)
{
	for (; p < end; p++, s++) {
		if (*p == '*') {
			for (;; s++) {
				if (wildcard(p + 1, end, s))
					return true;
				if (!*s)
					return false;
			}
		}
		if (!*s || (*p != '?' && *p != *s))
			return false;
	}
	return !*s;
}

/* A comma-separated list; one that matches behind '!' excludes the host. */
static bool patterns_match(const char *list, const char *name)
{
	bool found = false;

	while (*list) {
		size_t n = strcspn(list, ",");
		bool negated = *list == '!';

		if (wildcard(list + negated, list + n, name)) {
			if (negated)
				return false;
			found = true;
		}
		list += n + (list[n] == ',');
	}
	return found;
}

static char *next_field(char **p)
{
	char *f = *p + strspn(*p, " \t"), *end = f + strcspn(f, " \t\r");

	*p = *end ? end + 1 : end;
	*end = '\0';
	return *f ? f : NULL;
}

static bool lists(const struct str *list, const char *item)
{
	size_t n = strlen(item);

	for (const char *p = list->p; (p = strstr(p, item)); p += n)
		if ((p == list->p || p[-1] == ',') && (!p[n] || p[n] == ','))
			return true;
	return false;
}

static void found(struct ssh_known *k, enum ssh_verdict v, const char *file, int line)
{
	if (v <= k->verdict)
		return;
	k->verdict = v;
	snprintf(k->where, sizeof(k->where), "%s line %d", file, line);
}

struct scan {
	struct ssh_known *k;
	const char *file, *name, *type, *key64;
	struct ssh_hashed *hashed;
	int line;
};

static bool is_host(struct scan *s, const char *field)
{
	if (*field != '|')
		return patterns_match(field, s->name);
	if (!s->hashed)
		s->hashed = ssh_hashed_new();
	return ssh_hashed_is(s->hashed, field, s->name);
}

static void scan_line(struct scan *s, char *text)
{
	char *host = next_field(&text), *marker = host && *host == '@' ? host : NULL, *type, *key;
	bool same;

	if (marker)
		host = next_field(&text);
	if (!host || *host == '#' || !(type = next_field(&text)) || !(key = next_field(&text)))
		return;
	if (!is_host(s, host))
		return;
	same = s->type && !strcmp(type, s->type) && !strcmp(key, s->key64);
	if (marker && !strcmp(marker, "@cert-authority")) {
		s->k->has_ca = true;
	} else if (marker) {
		if (same)
			found(s->k, SSH_KEY_REVOKED, s->file, s->line);
	} else {
		if (!lists(&s->k->types, type))
			str_addf(&s->k->types, "%s%s", s->k->types.len ? "," : "", type);
		found(s->k, same ? SSH_KEY_KNOWN : SSH_KEY_CHANGED, s->file, s->line);
	}
}

void ssh_known_scan(struct ssh_known *k, const char *file, const char *text, const char *name,
        const char *type, const char *key64)
{
	struct scan s = { .k = k, .file = file, .name = name, .type = type, .key64 = key64 };

	while (*text) {
		size_t n = strcspn(text, "\n");
		AUTO(free) char *line = xstrndup(text, n);

		s.line++;
		scan_line(&s, line);
		text += n + (text[n] == '\n');
	}
	ssh_hashed_free(s.hashed);
}

static bool read_all(int fd, struct str *ret)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		str_addn(ret, buf, (size_t)n);
	return n == 0;
}

static void scan_file(struct ssh_known *k, const char *file, const char *name, const char *type,
        const char *key64)
{
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
	AUTO_STR struct str text = STR_INIT;

	if (fd >= 0 && read_all(fd, &text))
		ssh_known_scan(k, file, text.p, name, type, key64);
}

void ssh_known_read(
        const struct ssh_target *t, const char *type, const char *key64, struct ssh_known *ret)
{
	AUTO(free) char *file = ssh_known_file(t), *name = ssh_known_name(t);

	*ret = (struct ssh_known){ .types = STR_INIT };
	scan_file(ret, file, name, type, key64);
	scan_file(ret, system_file, name, type, key64);
}

/* Both for us and, who would be less strict with the modes, for ssh(1). */
int ssh_known_open(const char *file)
{
	AUTO(free) char *dir = xstrdup(file);
	char *slash = strrchr(dir, '/');

	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0700);
	}
	return open(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* One write, so that neither ssh(1) nor a reader sees half a line. */
static bool append(
        int fd, const struct str *before, const char *name, const char *type, const char *key64)
{
	AUTO_STR struct str line = STR_INIT;

	str_addf(&line, "%s%s %s %s\n",
	        before->len && before->p[before->len - 1] != '\n' ? "\n" : "", name, type, key64);
	return write(fd, line.p, line.len) == (ssize_t)line.len && !fsync(fd);
}

static bool lock_file(int fd)
{
	int64_t deadline = clock_in(LOCK_MS);

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK || !clock_left(deadline))
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}

/* Under a lock, and read again under it: of two that meet a new host at once, the second finds the
 * entry of the first. */
static bool pin(const char *file, const char *name, const char *type, const char *key64,
        struct ssh_known *k, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	AUTO_FD int fd = ssh_known_open(file);

	if (fd < 0) {
		bool link = errno == ELOOP;

		err_sys(e, "pin the host key in %s", file);
		return link ? err_hint(
		                      e, "it is a symbolic link: name the real file as known_hosts")
		            : false;
	}
	if (!lock_file(fd) || !read_all(fd, &text))
		return err_sys(e, "pin the host key in %s", file);
	ssh_known_scan(k, file, text.p, name, type, key64);
	if (k->verdict == SSH_KEY_UNKNOWN) {
		if (!append(fd, &text, name, type, key64))
			return err_sys(e, "pin the host key in %s", file);
		k->verdict = SSH_KEY_KNOWN;
	}
	return true;
}

void ssh_known_hint_changed(const struct ssh_target *t, struct err *e)
{
	AUTO(free) char *file = ssh_known_file(t), *name = ssh_known_name(t);

	err_hint(e,
	        "if the host was installed anew and that is its key: ssh-keygen -R '%s' -f %s, "
	        "then try again",
	        name, file);
}

void ssh_known_hint_unknown(
        const struct ssh_target *t, const char *type, const char *fingerprint, struct err *e)
{
	AUTO(free) char *file = ssh_known_file(t), *name = ssh_known_name(t);
	const char *kind = strstr(type, "ed25519")     ? "ed25519"
	                   : str_starts(type, "ecdsa") ? "ecdsa"
	                                               : "rsa";
	AUTO_STR struct str rename = STR_INIT;

	if (!t->host_key_name || !str_is(t->host_key_name, t->address))
		str_addf(&rename, " | sed 's/^[^ ]*/%s/'", name);
	err_hint(e,
	        "compare %s with `ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` on the host, then: "
	        "ssh-keyscan -t %s -p %u %s%s >> %s",
	        fingerprint[0] ? fingerprint : "the key", kind, kind, t->port, t->address, rename.p,
	        file);
}

void ssh_hint_key_refused(const struct ssh_target *t, const char *pub, struct err *e)
{
	err_hint(e, "add %s to ~%s/.ssh/authorized_keys on %s", pub, t->user, t->name);
}

bool ssh_known_accept(
        const struct ssh_target *t, const void *blob, size_t n, const void *sha256, struct err *e)
{
	AUTO(free) char *file = ssh_known_file(t), *name = ssh_known_name(t);
	AUTO_STR struct str key64 = STR_INIT, print = STR_INIT;
	__attribute__((cleanup(ssh_known_done))) struct ssh_known k;
	char type[64];

	if (!ssh_blob_type(blob, n, type, sizeof(type)))
		return err_set(e, ERR_PARSE, 0, "the host key of %s is none", t->name);
	ssh_add_base64(&key64, blob, n);
	str_add(&print, "SHA256:");
	ssh_add_base64(&print, sha256, 32);
	str_cut(&print, print.len - 1); /* ssh prints no '=' */
	ssh_known_read(t, type, key64.p, &k);
	if (k.verdict == SSH_KEY_UNKNOWN && t->host_keys == SSH_HOST_KEYS_ACCEPT_NEW &&
	        !pin(file, name, type, key64.p, &k, e))
		return false;
	switch (k.verdict) {
	case SSH_KEY_KNOWN: return true;
	case SSH_KEY_UNKNOWN:
		err_set(e, ERR_REFUSED, ENOKEY, "host key of %s (%s %s) is not in %s", name, type,
		        print.p, file);
		ssh_known_hint_unknown(t, type, print.p, e);
		return false;
	case SSH_KEY_CHANGED:
		err_set(e, ERR_REFUSED, EKEYREJECTED,
		        "host key of %s has CHANGED: it shows %s %s, %s has another; somebody may "
		        "sit in the middle",
		        name, type, print.p, k.where);
		ssh_known_hint_changed(t, e);
		return false;
	case SSH_KEY_REVOKED: break;
	}
	return err_set(e, ERR_REFUSED, EKEYREJECTED, "host key of %s (%s %s) is revoked by %s",
	        name, type, print.p, k.where);
}
