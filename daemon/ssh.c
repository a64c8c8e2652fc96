/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh - the face of both transports: which one serves, and whole commands built from channels.
 * Runs on: worker.
 */
#include "ssh_impl.h"
#include "clock.h"
#include <stdlib.h>
#include <string.h>

enum { KEEP_MAX = 64 * 1024, TAIL_MAX = 400 };

void ssh_note_heard(_Atomic int64_t *heard)
{
	if (heard)
		*heard = clock_ms();
}

/* A named key that only ssh(1) can use.  One that cannot be read is libssh2's to complain about. */
static bool key_needs_cli(const char *path)
{
	struct ssh_key_info k;

	return path && ssh_key_read(path, &k) &&
	       (str_starts(k.type, "sk-") ||
	               (str_is(k.type, "ssh-rsa") && !ssh_lib2_has_rsa_sha2()));
}

static bool host_key_needs_cli(const struct ssh_target *t)
{
	struct ssh_known k;
	bool cli;

	ssh_known_read(t, NULL, NULL, &k);
	cli = k.has_ca || (str_is(k.types.p, "ssh-rsa") && !ssh_lib2_has_rsa_sha2());
	ssh_known_done(&k);
	return cli;
}

/* `dest` is what ssh(1) is to be called with. */
static bool needs_cli(const struct ssh_target *t, int64_t deadline, const char **ret_dest)
{
	bool config_speaks = ssh_cli_config_speaks(t, deadline, ret_dest);

	return config_speaks || (t->options && *t->options) || key_needs_cli(t->key) ||
	       host_key_needs_cli(t);
}

static struct ssh *open_any(const struct ssh_target *t, int64_t deadline, struct err *e)
{
	const char *dest = t->address;
	bool other_may_help = false, cli = t->transport == SSH_TRANSPORT_OPENSSH;
	struct ssh *s = NULL;

	if (t->transport != SSH_TRANSPORT_LIBSSH2 && needs_cli(t, deadline, &dest))
		cli = true;
	if (!cli)
		s = ssh_lib2_open(t, deadline, &other_may_help, e);
	if (cli || (!s && other_may_help && t->transport == SSH_TRANSPORT_AUTO))
		s = ssh_cli_open(t, dest, deadline, e);
	return s;
}

struct ssh *ssh_open(const struct ssh_target *t, int64_t deadline, struct err *e)
{
	struct ssh *s = open_any(t, deadline, e);

	if (!s)
		err_at(e, t->name);
	return s;
}

void ssh_close(struct ssh *s)
{
	if (s)
		s->ops->close(s);
}

const char *ssh_name(const struct ssh *s)
{
	return s->name;
}

const char *ssh_transport_name(const struct ssh *s)
{
	return s->ops->name;
}

bool ssh_is_alive(struct ssh *s, int64_t deadline)
{
	return s->ops->is_alive(s, deadline);
}

struct transfer {
	struct ssh_chan *c;
	const char *input;
	size_t left;
	bool input_ended;
	struct ssh_result *r;
};

static bool feed(struct transfer *x, struct err *e)
{
	struct err why = { 0 };
	ssize_t n = 1;

	while (x->left && n > 0) {
		n = ssh_chan_write(x->c, x->input, x->left, &why);
		if (n > 0) {
			x->input += n;
			x->left -= (size_t)n;
		}
	}
	if (n < 0 && why.kind != ERR_REMOTE) {
		if (e)
			*e = why;
		return false;
	}
	/* A command may end without reading what it was given: its exit status decides. */
	if (n < 0)
		x->left = 0;
	if (x->left || x->input_ended)
		return true;
	x->input_ended = true;
	return ssh_chan_send_eof(x->c, e);
}

static void keep_head(struct str *s, const char *buf, size_t n)
{
	size_t room = KEEP_MAX - s->len;

	str_addn(s, buf, n < room ? n : room);
}

static void keep_tail(struct str *s, const char *buf, size_t n)
{
	str_addn(s, buf, n);
	if (s->len <= KEEP_MAX)
		return;
	memmove(s->p, s->p + s->len - KEEP_MAX, KEEP_MAX);
	str_cut(s, KEEP_MAX);
}

static bool collect(struct transfer *x, struct err *e)
{
	char buf[16384];
	ssize_t a, b;

	do {
		a = ssh_chan_read(x->c, buf, sizeof(buf), e);
		if (a > 0)
			keep_head(&x->r->out, buf, (size_t)a);
		b = a < 0 ? -1 : ssh_chan_read_err(x->c, buf, sizeof(buf), e);
		if (b > 0)
			keep_tail(&x->r->err, buf, (size_t)b);
	} while (a > 0 || b > 0);
	return a >= 0 && b >= 0;
}

static bool transfer(struct transfer *x, int64_t deadline, struct err *e)
{
	for (;;) {
		if (!feed(x, e) || !collect(x, e))
			return false;
		if (ssh_chan_eof(x->c))
			return true;
		if (!x->c->s->ops->wait(x->c->s, x->c, -1, deadline, e))
			return false;
	}
}

static bool exec(
        struct ssh *s, const char *command, struct transfer *x, int64_t deadline, struct err *e)
{
	x->c = ssh_chan_open(s, command, deadline, e);
	if (!x->c)
		return false;
	if (!transfer(x, deadline, e)) {
		ssh_chan_free(x->c);
		return err_at(e, s->name);
	}
	return ssh_chan_finish(x->c, deadline, &x->r->status, e);
}

bool ssh_exec(struct ssh *s, const char *command, const void *input, size_t input_len,
        int64_t deadline, struct ssh_result *ret, struct err *e)
{
	struct ssh_result r = { .status = -1, .out = STR_INIT, .err = STR_INIT };
	struct transfer x = { .input = input, .left = input_len, .r = &r };

	if (!exec(s, command, &x, deadline, e)) {
		ssh_result_done(&r);
		return false;
	}
	*ret = r;
	return true;
}

void ssh_result_done(struct ssh_result *r)
{
	str_done(&r->out);
	str_done(&r->err);
}

static bool failed(const struct ssh *s, const struct ssh_result *r, struct err *e)
{
	AUTO(free) char *copy = xstrdup(r->err.len ? r->err.p : r->out.p);
	const char *tail = str_trim(copy);
	size_t n = strlen(tail);

	tail += n > TAIL_MAX ? n - TAIL_MAX : 0;
	if (r->status < 0)
		err_set(e, ERR_REMOTE, r->status, "ended by a signal%s%s", *tail ? ": " : "", tail);
	else
		err_set(e, ERR_REMOTE, r->status, "exit status %d%s%s", r->status,
		        *tail ? ": " : "", tail);
	return err_at(e, s->name);
}

bool ssh_exec_ok(
        struct ssh *s, const char *command, int64_t deadline, struct str *ret_out, struct err *e)
{
	struct ssh_result r;
	bool ok;

	if (!ssh_exec(s, command, NULL, 0, deadline, &r, e))
		return false;
	ok = r.status == 0 || failed(s, &r, e);
	if (ok && ret_out) {
		*ret_out = r.out;
		str_init(&r.out);
	}
	ssh_result_done(&r);
	return ok;
}

struct ssh_chan *ssh_chan_open(struct ssh *s, const char *command, int64_t deadline, struct err *e)
{
	struct ssh_chan *c = s->ops->chan_open(s, command, deadline, e);

	if (!c)
		err_at(e, s->name);
	return c;
}

static ssize_t read_from(struct ssh_chan *c, bool from_err, void *buf, size_t size, struct err *e)
{
	ssize_t n = c->s->ops->read(c, from_err, buf, size, e);

	if (n < 0)
		err_at(e, c->s->name);
	return n;
}

ssize_t ssh_chan_read(struct ssh_chan *c, void *buf, size_t size, struct err *e)
{
	return read_from(c, false, buf, size, e);
}

ssize_t ssh_chan_read_err(struct ssh_chan *c, void *buf, size_t size, struct err *e)
{
	return read_from(c, true, buf, size, e);
}

ssize_t ssh_chan_write(struct ssh_chan *c, const void *buf, size_t n, struct err *e)
{
	ssize_t done = c->s->ops->write(c, buf, n, e);

	if (done < 0)
		err_at(e, c->s->name);
	return done;
}

bool ssh_chan_send_eof(struct ssh_chan *c, struct err *e)
{
	return c->s->ops->send_eof(c, e) || err_at(e, c->s->name);
}

bool ssh_chan_eof(struct ssh_chan *c)
{
	return c->s->ops->eof(c);
}

bool ssh_wait(struct ssh *s, int64_t deadline, struct err *e)
{
	return s->ops->wait(s, NULL, -1, deadline, e) || err_at(e, s->name);
}

bool ssh_wait_fd(struct ssh *s, int fd, int64_t until, struct err *e)
{
	return s->ops->wait(s, NULL, fd, until, e) || err_at(e, s->name);
}

bool ssh_chan_finish(struct ssh_chan *c, int64_t deadline, int *ret_status, struct err *e)
{
	struct ssh *s = c->s;

	return s->ops->finish(c, deadline, ret_status, e) || err_at(e, s->name);
}

void ssh_chan_free(struct ssh_chan *c)
{
	if (c)
		c->s->ops->chan_free(c);
}
