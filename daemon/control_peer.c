/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_peer - who is at the other end of a socket, and what it may do.  Runs on: loop.
 */
#include "control_impl.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool find_group(const char *name, gid_t *ret, char **ret_name, struct err *e)
{
	const struct group *g;

	*ret = CONTROL_NO_GROUP;
	*ret_name = NULL;
	if (!name || !*name)
		return true;
	g = getgrnam(name);
	if (!g) {
		err_set(e, ERR_CONFIG, 0, "there is no group \"%s\"", name);
		return err_hint(e, "groupadd --system %s", name);
	}
	*ret = g->gr_gid;
	*ret_name = xstrdup(name);
	return true;
}

bool control_groups_find(
        struct control_groups *g, const char *read, const char *admin, struct err *e)
{
	if (!find_group(read, &g->read, &g->read_name, e))
		return false;
	if (find_group(admin, &g->admin, &g->admin_name, e))
		return true;
	control_groups_done(g);
	return false;
}

void control_groups_done(struct control_groups *g)
{
	free(g->read_name);
	free(g->admin_name);
	*g = (struct control_groups){ CONTROL_NO_GROUP, CONTROL_NO_GROUP, NULL, NULL };
}

/* Returns owned, the groups beside the primary one. */
static gid_t *peer_groups(int fd, size_t *ret_n, struct err *e)
{
	socklen_t size = 0;
	gid_t *list;

	*ret_n = 0;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size))
		return xmalloc(1);
	if (errno != ERANGE) {
		err_sys(e, "cannot read the groups of a client");
		return NULL;
	}
	list = xmalloc(size);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &size)) {
		err_sys(e, "cannot read the groups of a client");
		free(list);
		return NULL;
	}
	*ret_n = size / sizeof(*list);
	return list;
}

static bool in_group(gid_t wanted, gid_t primary, const gid_t *others, size_t n)
{
	if (wanted == CONTROL_NO_GROUP)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (others[i] == wanted)
			return true;
	}
	return primary == wanted;
}

/* Only the local file: what getpwuid() asks may be a server on the network, and the loop waits. */
static void set_user(struct control_peer *p)
{
	FILE *f = fopen("/etc/passwd", "re");
	char buf[4096];
	struct passwd pw, *found = NULL;

	snprintf(p->user, sizeof(p->user), "uid %u", (unsigned)p->uid);
	snprintf(p->who, sizeof(p->who), "%s (pid %d)", p->user, (int)p->pid);
	while (f && !fgetpwent_r(f, &pw, buf, sizeof(buf), &found)) {
		if (pw.pw_uid != p->uid)
			continue;
		snprintf(p->user, sizeof(p->user), "%s", pw.pw_name);
		snprintf(p->who, sizeof(p->who), "%s (uid %u, pid %d)", p->user, (unsigned)p->uid,
		        (int)p->pid);
		break;
	}
	if (f)
		fclose(f);
}

bool control_peer_read(
        struct control_peer *ret, int fd, const struct control_groups *g, struct err *e)
{
	struct ucred cred = { 0 };
	socklen_t size = sizeof(cred);
	AUTO(free) gid_t *others = NULL;
	struct control_peer p = { 0 };
	size_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return err_sys(e, "cannot read who a client is");
	others = peer_groups(fd, &n, e);
	if (!others)
		return false;
	p.uid = cred.uid;
	p.gid = cred.gid;
	p.pid = cred.pid;
	if (p.uid == 0 || p.uid == geteuid() || in_group(g->admin, p.gid, others, n))
		p.level = CONTROL_ADMIN;
	else if (in_group(g->read, p.gid, others, n))
		p.level = CONTROL_READ;
	set_user(&p);
	*ret = p;
	return true;
}

void control_peer_hint(struct err *e, const struct control_peer *p, const struct control_groups *g,
        enum control_level needed)
{
	const char *group = needed == CONTROL_READ && g->read_name ? g->read_name : g->admin_name;

	if (group)
		err_hint(e, "run it as root, or have %s added to the group %s and log in anew",
		        p->user, group);
	else
		err_hint(e, "run it as root: mhad's configuration names no group for it");
}
