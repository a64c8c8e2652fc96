/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_socket - the listening socket as a file: one mhad for each, nobody's socket is taken away.
 * Runs on: loop, before it turns.
 */
#include "control_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 };

/* Held as long as we live; the kernel gives it back however we end. */
static bool take_lock(struct control *c, struct err *e)
{
	AUTO(free) char *name = xasprintf("%s.lock", c->path);
	AUTO_FD int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, "cannot open the lock file %s", name);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "cannot lock %s", name);
		err_set(e, ERR_PRECOND, 0, "another mhad holds %s", name);
		return err_hint(e, "mhactl --socket=%s status", c->path);
	}
	c->lock_fd = fd;
	fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): its cleanup looks at it */
	return true;
}

static bool set_address(struct sockaddr_un *to, const char *path, struct err *e)
{
	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(to->sun_path))
		return err_set(e, ERR_CONFIG, 0,
		        "the path of the control socket is too long (%zu bytes, %zu may be): %s",
		        strlen(path), sizeof(to->sun_path) - 1, path);
	memcpy(to->sun_path, path, strlen(path));
	return true;
}

/* A socket that somebody listens on, and any other file, stays. */
static bool remove_stale(const struct sockaddr_un *addr, struct err *e)
{
	const char *path = addr->sun_path;
	AUTO_FD int fd = -1;
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT || err_sys(e, "cannot look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_PRECOND, 0, "%s is there and is not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "cannot make a socket");
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno != ECONNREFUSED)
		return err_set(e, ERR_PRECOND, 0, "somebody listens on %s already", path);
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, "cannot remove the old %s", path);
	return true;
}

/* With two groups the file cannot admit just both: it admits all, and control_peer.c tells them apart. */
static bool set_rights(const struct control *c, const char *path, struct err *e)
{
	const struct control_groups *g = &c->groups;
	gid_t gid = g->read != CONTROL_NO_GROUP ? g->read : g->admin;
	bool two = gid != g->admin && g->admin != CONTROL_NO_GROUP;

	if (!two && gid != CONTROL_NO_GROUP && lchown(path, (uid_t)-1, gid)) {
		err_sys(e, "cannot give %s to the group %s", path,
		        g->read_name ? g->read_name : g->admin_name);
		return err_hint(e, "mhad's user has to be a member of that group");
	}
	return !chmod(path, two ? 0666 : 0660) || err_sys(e, "cannot set the mode of %s", path);
}

static bool open_for_clients(const struct control *c, int fd, const char *path, struct err *e)
{
	if (!set_rights(c, path, e))
		return false;
	return !listen(fd, BACKLOG) || err_sys(e, "cannot listen on %s", path);
}

static bool bind_at(struct control *c, const struct sockaddr_un *addr, struct err *e)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, "cannot make a socket");
	/* The file is made with these rights at once: it is never open to everybody. */
	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)addr, sizeof(*addr))) {
		err_sys(e, "cannot make the control socket %s", addr->sun_path);
		return err_hint(e, "its directory has to be there, and mhad's own");
	}
	if (!open_for_clients(c, fd, addr->sun_path, e)) {
		unlink(addr->sun_path);
		return false;
	}
	c->fd = fd;
	fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): its cleanup looks at it */
	return true;
}

bool control_socket_make(struct control *c, struct err *e)
{
	struct sockaddr_un addr;

	return set_address(&addr, c->path, e) && take_lock(c, e) && remove_stale(&addr, e) &&
	       bind_at(c, &addr, e);
}

void control_socket_remove(struct control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->lock_fd < 0)
		return;
	if (c->fd >= 0)
		unlink(c->path); /* ours: the lock is still held */
	close(c->lock_fd);
}
