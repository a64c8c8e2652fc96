/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh_text - the texts of ssh: option strings, key files, base64.  No network.
 * Runs on: any thread.
 */
#include "ssh_impl.h"
#include "vec.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One word at *p, which moves behind it.  Returns a character that cannot be taken literally, or 0.
 */
static char take_word(const char **p, const char *home, struct str *word)
{
	const char *s = *p;
	char quote = 0;

	if (*s == '~' && s[1] == '/' && home) {
		str_add(word, home);
		s++;
	}
	for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
		if (quote == '\'') {
			if (*s == quote)
				quote = 0;
			else
				str_addc(word, *s);
		} else if (*s == '\\' && s[1] && (!quote || strchr("\"\\$`", s[1]))) {
			str_addc(word, *++s);
		} else if (*s == '$' || *s == '`' || (!quote && strchr(";&|<>()", *s))) {
			return *s;
		} else if (*s == '"' || (*s == '\'' && !quote)) {
			quote = quote ? 0 : *s;
		} else {
			str_addc(word, *s);
		}
	}
	*p = s;
	return quote;
}

char **ssh_split(const char *text, const char *home, struct err *e)
{
	VEC(char *) words = VEC_INIT;
	const char *p = text;
	char odd = 0;

	while (!odd && *(p += strspn(p, " \t\r\n"))) {
		struct str word = STR_INIT;

		odd = take_word(&p, home, &word);
		vec_push(&words, str_take(&word));
	}
	vec_push(&words, NULL);
	if (!odd)
		return words.items;
	ssh_split_free(words.items);
	err_set(e, ERR_CONFIG, 0, "ssh_options: %s%c",
	        odd == '\'' || odd == '"' ? "no end to " : "cannot use ", odd);
	err_hint(e,
	        "the options are given to ssh without a shell; quote %c with a backslash if it is "
	        "meant",
	        odd);
	return NULL;
}

void ssh_split_free(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ssh_add_base64(struct str *s, const void *bytes, size_t n)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) |
		             (i + 2 < n ? b[i + 2] : 0);

		str_addc(s, digits64[v >> 18]);
		str_addc(s, digits64[v >> 12 & 63]);
		str_addc(s, i + 1 < n ? digits64[v >> 6 & 63] : '=');
		str_addc(s, i + 2 < n ? digits64[v & 63] : '=');
	}
}

/* Line ends are skipped; stops at anything else that is no digit, or when buf is full. */
static size_t from_base64(const char *s, unsigned char *buf, size_t size)
{
	uint32_t v = 0;
	int bits = 0;
	size_t n = 0;

	for (; *s && n < size; s++) {
		const char *d = strchr(digits64, *s);

		if (*s == '\n' || *s == '\r')
			continue;
		if (!d)
			break;
		v = v << 6 | (uint32_t)(d - digits64);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf[n++] = (unsigned char)(v >> bits);
		}
	}
	return n;
}

struct reader {
	const unsigned char *p;
	size_t n;
};

static bool get_u32(struct reader *r, uint32_t *ret)
{
	if (r->n < 4)
		return false;
	*ret = (uint32_t)r->p[0] << 24 | (uint32_t)r->p[1] << 16 | (uint32_t)r->p[2] << 8 | r->p[3];
	r->p += 4;
	r->n -= 4;
	return true;
}

static bool get_string(struct reader *r, struct reader *ret)
{
	uint32_t len;

	if (!get_u32(r, &len) || r->n < len)
		return false;
	*ret = (struct reader){ r->p, len };
	r->p += len;
	r->n -= len;
	return true;
}

bool ssh_blob_type(const void *blob, size_t n, char *ret, size_t size)
{
	struct reader r = { blob, n }, name;

	if (!get_string(&r, &name) || !name.n || name.n >= size || memchr(name.p, '\0', name.n))
		return false;
	memcpy(ret, name.p, name.n);
	ret[name.n] = '\0';
	return true;
}

/* "openssh-key-v1": cipher, key derivation, its options, number of keys, public key blob. */
static bool look_openssh(const char *body, struct ssh_key_info *ret)
{
	static const char magic[] = "openssh-key-v1";
	unsigned char buf[1024];
	struct reader r = { buf, from_base64(body, buf, sizeof(buf)) }, cipher, skip;
	uint32_t keys, len;

	if (r.n < sizeof(magic) || memcmp(r.p, magic, sizeof(magic)))
		return false;
	r.p += sizeof(magic);
	r.n -= sizeof(magic);
	if (!get_string(&r, &cipher) || !get_string(&r, &skip) || !get_string(&r, &skip) ||
	        !get_u32(&r, &keys) || !get_u32(&r, &len))
		return false;
	ret->encrypted = cipher.n != 4 || memcmp(cipher.p, "none", 4);
	return ssh_blob_type(r.p, r.n, ret->type, sizeof(ret->type));
}

bool ssh_key_look(const char *file_text, struct ssh_key_info *ret)
{
	static const struct {
		const char *begin, *type;
	} pem[] = {
		{ "-----BEGIN RSA PRIVATE KEY-----", "ssh-rsa" },
		{ "-----BEGIN EC PRIVATE KEY-----", "ecdsa" },
		{ "-----BEGIN DSA PRIVATE KEY-----", "ssh-dss" },
		{ "-----BEGIN PRIVATE KEY-----", "" },
		{ "-----BEGIN ENCRYPTED PRIVATE KEY-----", "" },
	};
	static const char openssh[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	struct ssh_key_info k = { .encrypted = strstr(file_text, "ENCRYPTED") };
	const char *at = strstr(file_text, openssh);

	if (at) {
		if (!look_openssh(at + strlen(openssh), &k))
			return false;
		*ret = k;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(pem); i++) {
		if (strstr(file_text, pem[i].begin)) {
			snprintf(k.type, sizeof(k.type), "%s", pem[i].type);
			*ret = k;
			return true;
		}
	}
	return false;
}

bool ssh_key_read(const char *path, struct ssh_key_info *ret)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char buf[16384];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	bool ok;

	if (n < 0)
		return false;
	buf[n] = '\0';
	ok = ssh_key_look(buf, ret);
	mem_wipe(buf, sizeof(buf));
	errno = EINVAL;
	return ok;
}

bool ssh_err_locked(const struct ssh_target *t, const char *keys, struct err *e)
{
	err_set(e, ERR_CONFIG, 0, "login as %s: %s needs a passphrase, and no agent holds it",
	        t->user, keys);
	return err_hint(e, "ssh-add it to an agent whose SSH_AUTH_SOCK we have, or use a key "
	                   "without passphrase");
}

char *ssh_home(void)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) || !found)
		return xstrdup(getenv("HOME"));
	return xstrdup(found->pw_dir);
}
