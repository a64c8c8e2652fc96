/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - one call, two readers: an MHA-shaped line for people and their scripts, and journald fields for
 * machines.  Runs on: any thread.
 *
 *	Fri Nov 20 02:58:47 2026 - [info] text
 *
 * Lines go to stderr until log_open_file() names a file, which is opened anew for each line, so that it can be
 * rotated by moving it away.  A file that cannot be written falls back to stderr, with a warning once.
 * Under systemd (stderr is the journal) each line is sent as a journal entry with its fields instead.
 *
 * Who logs: the owners of an outcome (commands, the check report, the engine), never a function that
 * returns an error.  error: something was given up.  warning: odd, and the line says what is done
 * now.  notice: a state changed.  info: a step.  debug: all else.  Secrets never reach this module.
 */
#pragma once
#include <stddef.h>
#include "err.h"

enum log_level { LOG_LV_DEBUG, LOG_LV_INFO, LOG_LV_NOTICE, LOG_LV_WARNING, LOG_LV_ERROR };

/* Fields that travel with the lines of the calling thread; NULL = none.  Borrowed until changed. */
struct log_ctx {
	const char *cluster, *run, *phase, *step, *host;
	bool quiet; /* all of it is debug: nothing happens, somebody only asks what would */
};

/* Parse a level name ("info", "warning"/"warn", MHA's log_level values); false when unknown. */
bool log_level_parse(const char *name, enum log_level *ret) MUST_USE;
const char *log_level_name(enum log_level level);

void log_set_level(enum log_level least);
enum log_level log_get_level(void);

/* Append to this file from now on; NULL goes back to stderr.  False when it cannot be opened now. */
bool log_open_file(const char *path, struct err *e);

/* Use the journal when stderr is connected to it (systemd service).  Returns whether it is. */
bool log_open_journal(void);

/* Set the calling thread's fields; returns what they were, to be put back. */
struct log_ctx log_set_ctx(struct log_ctx ctx);

void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_debug(...)   log_at(LOG_LV_DEBUG, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LV_INFO, __VA_ARGS__)
#define log_notice(...)  log_at(LOG_LV_NOTICE, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LV_WARNING, __VA_ARGS__)
#define log_error(...)   log_at(LOG_LV_ERROR, __VA_ARGS__)

/*
 * What programs wait for: each has a MESSAGE_ID, so that `journalctl MESSAGE_ID=...` finds it, and its name
 * in the field MHAD_EVENT.  X(symbol, name, level, id); an id never changes.
 */
#define LOG_EVENTS(X)                                                                              \
	X(WATCHING, "watching", INFO, "1d045e67168c4b46a97852be7331a99f")                          \
	X(SUSPECT, "suspect", WARNING, "e0c7eef6d6c44f5daf8997cc8b179b4e")                         \
	X(RECOVERED, "recovered", NOTICE, "73c3f2831a7a423b83ba4e7956ccf86f")                      \
	X(ALARM, "alarm", WARNING, "5a85ba410e27414099c9da9dff9514b8")                             \
	X(MASTER_DEAD, "master-dead", ERROR, "7fb56a91aedf46448e5826e3795c051e")                   \
	X(BLOCKED, "failover-blocked", ERROR, "b4f87b2c34a3415ab412d984079f3ddd")                  \
	X(MASTER_CHANGED, "master-changed", NOTICE, "5b8d8cb9f72a4fceba8404d722e87885")            \
	X(NO_MASTER, "no-master", ERROR, "a2a79fac9fd440a9bd192680f1cd0eb5")                       \
	X(LOCKED, "locked", ERROR, "e39d2bb3882f4bab8ce1c01781b04005")                             \
	X(PAUSED, "paused", NOTICE, "26474ba11eb3469d8f51c7f0a09590f0")                            \
	X(RESUMED, "resumed", NOTICE, "4f5f2825aeb647bf87570bf0adb0b4a8")                          \
	X(TILT, "tilt", WARNING, "6f65a49952c64070a73205be21e16ce6")                               \
	X(SEMISYNC_LOST, "semisync-lost", WARNING, "170376df22ef44a6be7c0f96f925eaec")             \
	X(SEMISYNC_BACK, "semisync-back", NOTICE, "9c1df833ac05432b9fd7150cf0422dd4")              \
	X(REHEARSAL_WORSE, "rehearsal-worse", WARNING, "c1d6e0f94b7a4c13a2f05d8be7713a60")         \
	X(CONFIG_ERROR, "config-error", ERROR, "7b0c6a4a3e73471da9149bbafd4ec010")
enum log_event {
#define LOG_EVENT_ENUM(sym, ...) LOG_EV_##sym,
	LOG_EVENTS(LOG_EVENT_ENUM)
#undef LOG_EVENT_ENUM
};

/* log_at() with the event's level; `verdict` is the field MHAD_VERDICT, NULL = none. */
void log_event(enum log_event ev, const char *verdict, const char *fmt, ...) PRINTF_LIKE(3, 4);

enum log_level log_event_level(enum log_event ev);

/* One process speaks for many clusters: put the cluster's name before each line that has one. */
void log_name_clusters(bool on);

/* One line at the end of another file than the log: a cluster's own. */
bool log_append(const char *path, enum log_level level, const char *text, struct err *e);

/* Text, where and hint of an error as one line. */
void log_err(enum log_level level, const struct err *e);

/* Bytes that a child process wrote: appended raw, without a time stamp, as MHA does. */
void log_raw(const char *bytes, size_t n);
