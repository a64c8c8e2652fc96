/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookd_call - mhad's end of the hook helper's socket.  Runs on: worker.
 */
#include "hookd.h"
#include "clock.h"
#include "hookd_wire.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	CONNECT_MS = 2000,
	ENDING_MS = 2500, /* behind the deadline: TERM, grace, KILL, the answer */
};

static int connect_to(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = CONNECT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) <
	        sizeof(a.sun_path)) /* if not, connect() says that there is no such thing */
		memcpy(a.sun_path, path, strlen(path));
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	err_set(e, ERR_UNREACHABLE, errno, "the helper that runs hooks cannot be reached: %m");
	err_hint(e, "systemctl status mhad-hook.socket");
	if (fd >= 0)
		close(fd);
	return -1;
}

static json_t *texts(const char *const *list)
{
	json_t *a = json_array();

	for (; list && *list; list++)
		if (json_array_append_new(a, hookd_text(*list))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *request(const struct hookd_call *c)
{
	json_t *args = texts(c->args), *env = texts(c->env);

	if (args && env)
		return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:I}", "protocol", HOOKD_PROTOCOL,
		        "conf", c->conf, "server", c->server, "setting", c->setting, "args", args,
		        "env", env, "deadline_ms", (json_int_t)clock_left(c->deadline));
	json_decref(args);
	json_decref(env);
	return NULL;
}

static bool told_error(const json_t *j, struct err *e)
{
	const char *text = NULL, *hint = NULL;
	int kind = 0, code = 0;

	if (json_unpack((json_t *)(uintptr_t)j, "{s:{s:i, s:i, s:s, s:s}}", "error", "kind", &kind,
	            "code", &code, "text", &text, "hint", &hint) ||
	        kind <= ERR_NONE || kind > ERR_CANCELED)
		return err_set(e, ERR_LOST, 0, "the helper's answer cannot be understood");
	err_set(e, (enum err_kind)kind, code, "%s", text);
	return *hint ? err_hint(e, "%s", hint) : false;
}

/* The head tells how many bytes of output stand behind it. */
static bool read_result(const json_t *j, struct proc_result *r, size_t *ret_output, struct err *e)
{
	int late, cut;
	json_int_t took, output;

	if (json_unpack((json_t *)(uintptr_t)j, "{s:i, s:i, s:b, s:b, s:I, s:I}", "status",
	            &r->status, "signal", &r->signal, "late", &late, "cut", &cut, "took_ms", &took,
	            "output", &output) ||
	        output < 0 || output > HOOKD_OUTPUT_MAX)
		return told_error(j, e);
	r->late = late;
	r->cut = cut;
	r->took_ms = took;
	*ret_output = (size_t)output;
	return true;
}

static bool read_answer(int fd, int64_t deadline, struct proc_result *ret, struct err *e)
{
	struct proc_result r = { .out = STR_INIT, .err = STR_INIT };
	AUTO_STR struct str in = STR_INIT;
	size_t head, n = 0;
	json_t *j;
	bool ok;

	if (!hookd_receive_line(fd, &in, HOOKD_HEAD_MAX + HOOKD_OUTPUT_MAX, deadline, &head, e))
		return false;
	j = json_loadb(in.p, head, 0, NULL);
	ok = read_result(j, &r, &n, e);
	json_decref(j);
	while (ok && in.len < head + n)
		ok = hookd_receive(fd, &in, head + n, deadline, e);
	if (!ok)
		return false;
	str_addn(&r.out, in.p + head, n);
	*ret = r;
	return true;
}

bool hookd_call(
        const char *socket, const struct hookd_call *c, struct proc_result *ret, struct err *e)
{
	struct hookd_call call = *c;
	AUTO_FD int fd = -1;

	call.deadline = clock_sooner(call.deadline, clock_in(HOOKD_DEADLINE_MAX_MS));
	fd = connect_to(socket, e);
	if (fd < 0)
		return false;
	if (hookd_send_json(fd, request(&call), NULL, 0, clock_in(HOOKD_REQUEST_MS), e) &&
	        read_answer(fd, clock_in(clock_left(call.deadline) + ENDING_MS), ret, e))
		return true;
	return err_ctx(e, "helper for hooks");
}
