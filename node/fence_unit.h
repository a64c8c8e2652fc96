/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence_unit - the systemd unit that runs a server: found, stopped, held down.
 * Runs on: any thread (runs systemctl).  Logs: never.
 *
 * A unit is held by a runtime drop-in with an assertion on the fence record: starts are refused, loudly,
 * while the record exists.  `systemctl mask --runtime` would have no effect on units in
 * /etc/systemd/system, which comes before /run in systemd's order; drop-ins count for all.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "mem.h"

/* Whether systemd runs this host (else there are no units). */
bool fence_unit_booted(void);

/* The service named by the text of /proc/PID/cgroup (either version of cgroups), returns owned; NULL for none, and for a
 * user's own units, which the system's manager does not know. */
char *fence_unit_of_cgroup(const char *text) MUST_USE;

/*
 * From the output of `systemctl show` (blocks of Id=, MainPID=, ExecStart=...): whether the unit named `id`
 * is a server's own: it counts `pid` as its main process, or its command starts a server.  A server started by
 * hand belongs to ssh.service or cron.service, which must not be stopped.
 */
bool fence_unit_is_own(const char *show, const char *id, pid_t pid) MUST_USE;

/* The unit in such output whose command starts the server of `port`; returns owned, NULL for none.  `etc` is put
 * before the names of option files. */
char *fence_unit_of_port(const char *show, const char *etc, int port) MUST_USE;

/* Ask systemctl about one unit, or with NULL about all services; returns owned. */
char *fence_unit_show(const char *id, int64_t deadline, struct err *e) MUST_USE;

bool fence_unit_stop(
        const char *id, int64_t deadline, struct err *e) MUST_USE; /* does not wait for it */
bool fence_unit_reload(int64_t deadline, struct err *e) MUST_USE;

/* The value of a property in a unit's block, as it stands; returns owned, NULL if it is not there. */
char *fence_unit_property(const char *show, const char *id, const char *name) MUST_USE;

/* Write the drop-in that refuses starts while `record` exists; needs fence_unit_reload(). */
bool fence_unit_hold(const char *id, int port, const char *record, struct err *e) MUST_USE;

/* Remove all drop-ins for `port`; *ret_removed: how many there were. */
bool fence_unit_unhold(int port, int *ret_removed, struct err *e) MUST_USE;
