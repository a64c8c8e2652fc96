/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip - moves an address, for hooks and for people.  Runs on: any thread.
 */
#include "vip.h"
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "json.h"
#include "vip_cut.h"
#include "vip_refuse.h"

#define DEFAULT_ASK_MS 200
#define TELL_TIMES     4
#define TELL_EVERY_MS  25

enum { DONE = 0, ERROR = 1, ELSEWHERE = 3, NOWHERE = 4 };

struct vip {
	const struct args *a;
	struct vip_addr addr;
	bool here, changed;
	struct vip_at at, near;
	const char *device; /* to ask and tell on; NULL: none is known */
	bool asked, answered;
	unsigned char mac[6];
	char why_not_asked[200];
};

static char *mac_text(const unsigned char m[6])
{
	return xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* Fills asked, answered, mac; false when nobody could be asked, with the reason, and *ret_none when there is no need to. */
static bool ask(struct vip *v, bool *ret_none, struct err *e)
{
	int64_t wait = v->a->timeout ? v->a->timeout : DEFAULT_ASK_MS;
	struct vip_wire w;
	bool ok;

	if (!vip_wire_open(v->device, &w, ret_none, e))
		return false;
	ok = vip_wire_ask(&w, &v->addr, clock_in(wait), &v->answered, v->mac, e);
	vip_wire_close(&w);
	v->asked = ok;
	return ok;
}

static bool tell(const struct vip *v, struct err *e)
{
	struct vip_wire w;
	struct err why = { 0 };
	bool none, ok;

	if (!vip_wire_open(v->device, &w, &none, &why)) {
		if (none)
			return true;
		*e = why;
		return false;
	}
	ok = vip_wire_tell(&w, &v->addr, TELL_TIMES, TELL_EVERY_MS, e);
	vip_wire_close(&w);
	return ok;
}

static bool find(struct vip *v, struct err *e)
{
	return vip_link_find(&v->addr, &v->here, &v->at, &v->near, e);
}

/* ---- the three commands: exit statuses ---- */

/* Whether nobody else has it. */
static int make_sure(struct vip *v, struct err *e)
{
	struct err why = { 0 };
	bool none = false;

	if (!ask(v, &none, &why)) {
		if (none || v->a->force)
			return DONE;
		*e = why;
		err_ctx(e, "nobody could be asked who has %s", v->addr.text);
		err_hint(e, "--force takes it all the same");
		return ERROR;
	}
	if (v->answered && !v->a->force) {
		AUTO(free) char *mac = mac_text(v->mac);

		err_set(e, ERR_PRECOND, EADDRINUSE, "%s is in use: %s answers for it on %s",
		        v->addr.text, mac, v->device);
		err_hint(e, "drop it there first; --force takes it all the same");
		return ELSEWHERE;
	}
	return DONE;
}

static int add(struct vip *v, struct err *e)
{
	unsigned device;
	int rc;

	if (!v->a->device) {
		err_set(e, ERR_CONFIG, 0, "--device=<...> must be set.");
		return ERROR;
	}
	device = if_nametoindex(v->a->device);
	if (!device) {
		err_sys(e, "find interface %s", v->a->device);
		return ERROR;
	}
	if (v->here && v->at.device != (int)device) {
		err_set(e, ERR_PRECOND, EEXIST, "%s is on %s already", v->addr.text, v->at.name);
		return ERROR;
	}
	if (!v->here) {
		rc = make_sure(v, e);
		if (rc != DONE)
			return rc;
		vip_refuse_end(&v->addr);
		if (!vip_link_add(&v->addr, (int)device, v->a->label, e) || !find(v, e))
			return ERROR;
		v->changed = true;
	}
	return tell(v, e) ? DONE : ERROR;
}

static int drop(struct vip *v, struct err *e)
{
	struct vip_refuse refuse;
	bool can_refuse;

	if (!v->here)
		return DONE;
	if (v->a->device && !str_is(v->a->device, v->at.name)) {
		err_set(e, ERR_PRECOND, 0, "%s is on %s, not on %s", v->addr.text, v->at.name,
		        v->a->device);
		return ERROR;
	}
	if (v->addr.prefix >= 0 && v->addr.prefix != v->at.addr.prefix) {
		err_set(e, ERR_PRECOND, 0, "%s is there as /%d, not as /%d", v->addr.text,
		        v->at.addr.prefix, v->addr.prefix);
		return ERROR;
	}
	can_refuse = vip_refuse_open(v->at.name, &v->addr, &refuse);
	vip_cut(&v->addr);
	if (!vip_link_drop(&v->at, e) || !find(v, e) || v->here) {
		if (can_refuse)
			vip_refuse_close(&refuse);
		if (e->kind == ERR_NONE)
			err_set(e, ERR_SYSTEM, 0, "%s is still on %s", v->addr.text, v->at.name);
		return ERROR;
	}
	if (can_refuse)
		vip_refuse_leave(&refuse);
	v->changed = true;
	return DONE;
}

static int show(struct vip *v, struct err *e)
{
	struct err why = { 0 };
	bool none;

	(void)e;
	if (v->here)
		return DONE;
	if (!v->device)
		snprintf(v->why_not_asked, sizeof(v->why_not_asked),
		        "no interface has a network that it belongs to");
	else if (!ask(v, &none, &why))
		snprintf(v->why_not_asked, sizeof(v->why_not_asked), "%.190s", why.text);
	return v->answered ? ELSEWHERE : NOWHERE;
}

/* ---- answer ---- */

static void put_json(const struct vip *v, int status, const struct err *e, struct json *j)
{
	AUTO(free) char *mac = mac_text(v->mac);

	json_open(j, NULL, '{');
	json_str(j, "address", v->addr.text);
	json_bool(j, "here", v->here);
	json_bool(j, "changed", v->changed);
	json_str(j, "device", v->here ? v->at.name : v->device);
	if (v->here)
		json_int(j, "prefix", v->at.addr.prefix);
	json_str(j, "label", v->here ? v->at.label : NULL);
	json_bool(j, "asked", v->asked);
	json_str(j, "answers", v->answered ? mac : NULL);
	json_str(j, "why_not_asked", v->why_not_asked);
	json_int(j, "status", status);
	json_str(j, "error", e->text);
	json_close(j, '}');
}

static void print_text(const struct vip *v, int status, FILE *out)
{
	AUTO(free) char *mac = mac_text(v->mac);

	if (status == ERROR || (v->a->vip_add && status == ELSEWHERE))
		return;
	if (v->a->vip_drop)
		fprintf(out, "%s: %s\n", v->addr.text, v->changed ? "dropped" : "was not here");
	else if (v->here)
		fprintf(out, "%s/%d: %s on %s\n", v->addr.text, v->at.addr.prefix,
		        v->changed      ? "added"
		        : v->a->vip_add ? "already here, announced again,"
		                        : "here",
		        v->at.name);
	else if (v->answered)
		fprintf(out, "%s: not here; %s answers for it on %s\n", v->addr.text, mac,
		        v->device);
	else if (v->asked)
		fprintf(out, "%s: not here, and nobody answers for it on %s\n", v->addr.text,
		        v->device);
	else
		fprintf(out, "%s: not here, and nobody was asked: %s\n", v->addr.text,
		        v->why_not_asked);
}

static bool check_args(const struct args *a, struct vip_addr *ret, struct err *e)
{
	if (a->vip_add + a->vip_drop + a->vip_show != 1)
		return err_set(e, ERR_CONFIG, 0, "one of --add, --drop and --show must be set.");
	if (!a->address)
		return err_set(e, ERR_CONFIG, 0, "--address=<...> must be set.");
	if (a->label && strlen(a->label) >= IFNAMSIZ)
		return err_set(e, ERR_CONFIG, 0, "--label may have %d letters", IFNAMSIZ - 1);
	if (a->device && strlen(a->device) >= IFNAMSIZ)
		return err_set(e, ERR_CONFIG, 0, "\"%s\" is no interface", a->device);
	return vip_addr_parse(a->address, ret, e);
}

int vip_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct vip v = { .a = a };
	AUTO_JSON struct json j = JSON_INIT;
	int status = ERROR;

	if (!check_args(a, &v.addr, e))
		return ERROR;
	if (find(&v, e)) {
		v.device = a->device ? a->device : v.near.device ? v.near.name : NULL;
		status = a->vip_add ? add(&v, e) : a->vip_drop ? drop(&v, e) : show(&v, e);
	}
	put_json(&v, status, e, &j);
	verb_result(io, j.text.p);
	if (a->json)
		fprintf(io->out, "%s\n", j.text.p);
	else
		print_text(&v, status, io->out);
	return status;
}
