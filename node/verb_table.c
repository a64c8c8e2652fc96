/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verb_table - the rows of verb.h: every verb with its own name and MHA's.
 * Runs on: any thread.
 */
#include "verb.h"
#include "apply.h"
#include "backup.h"
#include "check.h"
#include "diff.h"
#include "events.h"
#include "fence.h"
#include "filter.h"
#include "flashback.h"
#include "gate.h"
#include "look.h"
#include "probe.h"
#include "purge.h"
#include "purge_guard.h"
#include "put.h"
#include "reach.h"
#include "save_cmd.h"
#include "session.h"
#include "str.h"
#include "vip.h"

static const struct verb verbs[] = {
	{ "check-binlogs", ARGS_SAVE, "test", .serve = check_binlogs,
	        .help = "could the binlogs of this host be saved?" },
	{ "check-relay-logs", ARGS_DIFF, "test", .serve = check_relay_logs,
	        .help = "could relay logs be read, and handed to the server?" },
	{ "apply", ARGS_DIFF, "apply", .serve = apply_verb,
	        .help = "bring saved events to this host's server (exit status: 0 done, 22 failed, "
	                "1 not tried)" },
	{ "events", ARGS_FILES, .serve = events_show,
	        .help = "list the events of binlogs and relay logs: events FILE..." },
	{ "save", ARGS_SAVE, "save", .serve = save_serve,
	        .help = "save binlogs from a position, or what a receiver lacks (exit status: 0 "
	                "saved, 10 there is nothing, 1 error)" },
	{ "find", ARGS_DIFF, "find", .serve = find_serve,
	        .help = "are the relay logs behind a master's position here?" },
	{ "diff", ARGS_DIFF, "generate", .serve = diff_serve,
	        .help = "write what this slave received, and one that read to there did not" },
	{ "diff-send", ARGS_DIFF, "generate_and_send", .serve = diff_send_serve,
	        .help = "and copy it to that one's host, with scp" },
	{ "look", ARGS_SAVE, .serve = look_serve,
	        .help = "list the transactions of binlogs, with what they touch (--start_file, "
	                "--json)" },
	{ "flashback", ARGS_SAVE, .serve = flashback_serve,
	        .help = "statements that take back the rows changed behind a place (--start_file, "
	                "--start_pos)" },
	{ "filter", ARGS_FILTER, .serve = filter_serve,
	        .help = "take mysqlbinlog's own ROLLBACKs out of its text (obsolete)" },
	{ "probe", ARGS_PROBE, .serve = probe_serve, .flags = VERB_JSON,
	        .help = "what this host knows of the server of a port, as JSON" },
	{ "reach", ARGS_REACH, .serve = reach_serve, .flags = VERB_JSON,
	        .help = "does a server elsewhere answer this host?  As JSON" },
	{ "put", ARGS_PUT, .serve = put_serve, .flags = VERB_JSON,
	        .help = "make a file of what comes in, checked by length and checksum" },
	{ "backup", ARGS_BACKUP, .serve = backup_serve,
	        .help = "a copy of the server's data files, by mariadb-backup, as a stream" },
	{ "restore", ARGS_BACKUP, .serve = restore_serve,
	        .help = "such a stream as data of the server here (then --swap, and --clean or "
	                "--undo)" },
	{ "fence", ARGS_FENCE, .serve = fence_serve, .flags = VERB_JSON,
	        .help = "end the server of a port (exit status: 0 fenced, 1 failed, 2 unproven)" },
	{ "release", ARGS_RELEASE, .serve = fence_release_serve, .flags = VERB_JSON,
	        .help = "undo what fence --hold holds" },
	{ "vip", ARGS_VIP, .serve = vip_serve,
	        .help = "an address: --add, --drop, --show (exit status: 0 done or here, 1 error, "
	                "3 another host has it, 4 nobody answers for it)" },
	{ "purge", ARGS_PURGE, .serve = purge_verb,
	        .help = "remove the relay logs that a slave has applied and keeps" },
	{ "purge-guard", ARGS_SESSION, .serve = purge_guard_verb,
	        .flags = VERB_ALONE | VERB_LOCAL },
	{ "session", ARGS_SESSION, .serve = session_verb, .flags = VERB_ALONE,
	        .help = "serve the verbs on one channel, for the manager" },
	{ "gate", ARGS_GATE, .serve = gate_verb, .flags = VERB_ALONE | VERB_LOCAL,
	        .help = "as forced command of an SSH key: run what the manager asked for" },
};

/* MHA's program names. */
static const struct {
	const char *name;
	unsigned program;
} programs[] = {
	{ "save_binary_logs", ARGS_SAVE },
	{ "apply_diff_relay_logs", ARGS_DIFF },
	{ "purge_relay_logs", ARGS_PURGE },
	{ "filter_mysqlbinlog", ARGS_FILTER },
};

const struct verb *verb_at(size_t i)
{
	return i < ARRAY_LEN(verbs) ? &verbs[i] : NULL;
}

const struct verb *verb_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_is(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

const struct verb *verb_by_command(unsigned program, const char *command)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].program == program && str_is(verbs[i].command, command))
			return &verbs[i];
	return NULL;
}

unsigned verb_program_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (str_is(programs[i].name, name))
			return programs[i].program;
	return 0;
}

const char *verb_program_name(unsigned program)
{
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (programs[i].program == program)
			return programs[i].name;
	return NULL;
}
