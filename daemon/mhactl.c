/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mhactl - the operator's tool, under its own name and MHA's.  One table holds all commands; the
 * name it was started by, or its first words, choose the row.
 */
#include "cmds.h"
#include "completion.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cmd_help(struct cmd *c, int argc, char **argv);
static int cmd_completion(struct cmd *c, int argc, char **argv);

#define ARGS_CLUSTER "[--json] CLUSTER|--conf=FILE"

static const struct cmd_verb verbs[] = {
	{ "status", cmd_status, false, "[--watch] [--json] [CLUSTER]",
	        "what mhad sees of its clusters, and whether it would fail over",
	        "Asks the mhad that runs. Exit code 0: all is well; 1: something is not (what, is "
	        "said below the table); 4: mhad could not be asked. --watch: a live screen; q ends "
	        "it, the arrows and Enter choose a cluster." },
	{ "why", cmd_why, false, "[--ring] [--save=FILE] [--json] CLUSTER",
	        "why a cluster's verdict is what it is: gates and evidence",
	        "The last verdict, every gate of a failover with its reason, and who said what "
	        "when. --save keeps what was known in each of the last seconds, so that the "
	        "verdict "
	        "can be looked into later." },
	{ "pause", cmd_pause, false, "[--for=30m] [--reason=TEXT] [--json] CLUSTER|--all",
	        "go on watching, but do not fail over", "Survives a restart of mhad." },
	{ "resume", cmd_resume, false, "[--json] CLUSTER|--all", "end a pause", NULL },
	{ "ack", cmd_ack, false, "--reason=TEXT [--json] CLUSTER",
	        "allow a failover though the last one was not long ago",
	        "After a failover mhad makes no second one for failover_interval, nor after one "
	        "that "
	        "failed. This lifts that once; the reason is kept in the history." },
	{ "history", cmd_history, false, "[--limit=N] [--json] CLUSTER",
	        "what happened to a cluster: states, verdicts, orders of people", NULL },
	{ "reload", cmd_reload, false, "[--json]", "have mhad read its configuration anew",
	        "Each cluster is changed whole or, when its file has a problem, not at all. Exit "
	        "code "
	        "1: there were problems." },
	{ "topology", cmd_topology, false, ARGS_CLUSTER,
	        "the tree of a cluster: roles, versions, lag, and what is wrong",
	        "All servers are read now and at once; nothing is changed. Exit code 1: no server "
	        "can be called the master." },
	{ "check repl", cmd_check_repl, false, ARGS_CLUSTER,
	        "would a failover work, is replication healthy?",
	        "All of masterha_check_repl's checks; all that is wrong is said at once. Hooks are "
	        "called with "
	        "--command=status." },
	{ "check ssh", cmd_check_ssh, false, "[--all-pairs] " ARGS_CLUSTER,
	        "are all hosts reachable over SSH?",
	        "From here to each host, which is all that mhad needs; --all-pairs tests what MHA "
	        "needs." },
	{ "check hooks", cmd_check_hooks, false, ARGS_CLUSTER,
	        "do the hook scripts answer --command=status?",
	        "Hooks that know no status call are only looked for." },
	{ "check config", cmd_check_config, false, ARGS_CLUSTER, "is the cluster's file good?",
	        "Every problem with file and line; warnings do not count as failure." },
	{ "check migrate", cmd_check_migrate, false, ARGS_CLUSTER,
	        "what is different for a cluster that comes from MHA",
	        "What its file does differently, hooks that are missing, privileges that lack, an "
	        "old manager that still runs. Nothing is changed. Exit code 1: something has to be "
	        "put right first." },
	{ "config show", cmd_config_show, false, ARGS_CLUSTER,
	        "every setting of each server, and where it came from",
	        "Names are not looked up and init_conf_load_script is not run." },
	{ "config explain", cmd_config_explain, false, "[SETTING...]",
	        "what a setting means; without a name, all of them", NULL },
	{ "config convert", cmd_config_convert, false, "[--output=FILE] CLUSTER|--conf=FILE",
	        "write a cluster's file in mhad's own format",
	        "The result holds the file's passwords." },
	{ "config sample", cmd_config_sample, false, "[--mha] [--global]",
	        "print a commented sample file", NULL },
	{ "config manual", cmd_config_manual, false, "",
	        "print the settings as part of a manual page",
	        "What mhad.conf(5) is made from, in mdoc(7)." },
	{ "via", cmd_via, false, "[--timeout=MS] HOST VERB [--OPTION[=VALUE]...]",
	        "for hook scripts: ask a host, over the session that mhad keeps with it",
	        "VERB is vip, fence, probe or reach of mha-node, with its options. Exit code: that "
	        "of the "
	        "verb; 255: the host did not answer; 254: there is no MHAD_CHANNEL, log in by "
	        "yourself." },
	{ "completion", cmd_completion, false, "bash|zsh",
	        "print what that shell needs to complete mhactl's words",
	        "Packages install it; by hand: mhactl completion bash "
	        ">/etc/bash_completion.d/mhactl" },
	{ "help", cmd_help, false, "[COMMAND|commands|exit-codes]",
	        "this text, or that of a command", NULL },
	{ "masterha_check_repl", cmd_check_repl, true, "--conf=FILE [--global_conf=FILE]",
	        "MHA's check of replication (mhactl check repl)",
	        "Prints \"MySQL Replication Health is OK.\" or \"... NOT OK!\" on standard output; "
	        "exit code 0 or 1." },
	{ "masterha_check_ssh", cmd_check_ssh, true,
	        "--conf=FILE [--global_conf=FILE] [--manager-only]",
	        "MHA's check of SSH between all hosts (mhactl check ssh --all-pairs)",
	        "Exit code 0 or 1." },
	{ "masterha_manager", cmd_manager, true, "--conf=FILE [options]",
	        "MHA's manager: watch one cluster in the foreground",
	        "Where a running mhad watches the file, this process stands for the cluster there. "
	        "Exit code 1: any error, or ended by a signal." },
	{ "masterha_master_monitor", cmd_master_monitor, true, "--conf=FILE [options]",
	        "MHA's monitor: wait until the master is dead",
	        "Exit code 20: it is; 1: any error." },
	{ "masterha_secondary_check", cmd_secondary_check, true,
	        "-s HOST1 -s HOST2 .. --master_host=HOST [options]",
	        "MHA's look at the master from other hosts",
	        "Exit code 0: seen from none of them; 2: one could not be asked; 3: seen from "
	        "one." },
	{ "masterha_check_status", cmd_check_status, true,
	        "--conf=FILE | --app=NAME --manager_workdir=DIR",
	        "MHA's question whether a manager runs, and how its master is",
	        "One line on standard output. Exit code: the number in it (0: it runs and the "
	        "master answers; 2: it does not run), 1 for any failure." },
	{ "masterha_stop", cmd_stop, true,
	        "--conf=FILE | --app=NAME --manager_workdir=DIR [--abort]",
	        "MHA's way to stop the manager of one cluster",
	        "Exit code 0: it was stopped or was not running; 1: it goes on." },
	{ "masterha_conf_host", cmd_conf_host, true,
	        "--command=add|delete --conf=FILE [--block=N] --hostname=HOST",
	        "MHA's editor for the servers of a .cnf file",
	        "The file is edited in place: comments and order stay. It is replaced in one step, "
	        "and only by one that can be loaded." },
	{ "masterha_master_switch", cmd_master_switch, true,
	        "--master_state=dead|alive --conf=FILE [options]",
	        "MHA's failover of a dead master, or switch from a living one",
	        "Asks before it acts, unless --interactive=0. Exit code 0: done; 10: done, but a "
	        "slave is left behind; 1: refused or failed. A failover that was killed is taken "
	        "up by the same command." },
	{ "failover", cmd_failover, false, "[--yes] [options] CLUSTER",
	        "make a slave the master: the master is dead",
	        "The dead master is the one that the slaves follow; it must not answer. A failover "
	        "that was killed is taken up by the same command." },
	{ "switch", cmd_switch, false, "[--to=HOST] [--yes] [options] CLUSTER",
	        "make a slave the master, while the master lives",
	        "Writes are refused for some milliseconds only, and given back to the old master "
	        "when anything fails before the new one is open. A switch that was killed is "
	        "undone or finished by the same command. Exit code 5: refused, nothing was "
	        "changed; 1: it failed, and the master is the old one." },
	{ "plan switch", cmd_plan_switch, false, "[--to=HOST] [--json] CLUSTER",
	        "what a switch would do now, and what stands against it; nothing is changed",
	        "Exit code 5: it would be refused." },
	{ "plan failover", cmd_plan_failover, false, "[--json] CLUSTER",
	        "what a failover would do now; nothing is changed",
	        "Also while the master lives: as if it died now. Exit code 5: it would be "
	        "refused." },
	{ "rehearse", cmd_rehearse, false, "[--json] CLUSTER",
	        "have mhad rehearse a failover now; nothing is changed",
	        "As each night (rehearse_at): servers, hosts, hooks, disks and rights are tried, the "
	        "plan is made, and what is worse than last time is said. Exit code 0: ready; 1: there "
	        "are problems; 5: a failover would be refused." },
	{ "move", cmd_move, false, "SLAVE --below=MASTER [--yes] [options] CLUSTER|--conf=FILE",
	        "have a slave follow another server, with nothing skipped or repeated",
	        "With GTIDs or by position; to the source of its source, to a slave beside it, or by "
	        "such steps to anywhere in the tree. What cannot be proved is refused. A move that "
	        "was killed is taken up by the next one." },
	{ "plan move", cmd_plan_move, false, "SLAVE --below=MASTER CLUSTER|--conf=FILE",
	        "by which steps a slave would get below another server; nothing is changed",
	        "Exit code 5: it would be refused." },
	{ "flatten", cmd_flatten, false, "[--yes] [options] CLUSTER|--conf=FILE",
	        "turn a cascade into one master with its slaves",
	        "Slaves of slaves follow the master afterwards, one after the other, upper tiers "
	        "first. All of it is judged before the first one is moved." },
	{ "plan flatten", cmd_plan_flatten, false, ARGS_CLUSTER,
	        "what flatten would do; nothing is changed", "Exit code 5: it would be refused." },
	{ "ring close", cmd_ring_close, false, "[--with=SLAVE] [--yes] CLUSTER|--conf=FILE",
	        "double masters: the master follows one of its slaves, too",
	        "A failover or switch opens the ring; this closes it when the old master is a slave "
	        "again. The slave must be read-only." },
	{ "ring open", cmd_ring_open, false, "[--yes] CLUSTER|--conf=FILE",
	        "double masters: the master follows nobody any more", NULL },
	{ "check semisync", cmd_check_semisync, false, ARGS_CLUSTER,
	        "who waits for acknowledgements, who gives them, and does it work now?",
	        "Exit code 1: the master has fallen back to asynchronous, or more acknowledgements "
	        "are asked for than can come." },
	{ "plan semisync", cmd_plan_semisync, false, "[--enable] " ARGS_CLUSTER,
	        "what semisync repair (or enable) would do; nothing is changed", NULL },
	{ "semisync enable", cmd_semisync_enable, false, "[--yes] " ARGS_CLUSTER,
	        "the master waits, and all its slaves acknowledge; plug-ins are installed",
	        "Slaves with no_master=1 are left as they are." },
	{ "semisync repair", cmd_semisync_repair, false, "[--yes] " ARGS_CLUSTER,
	        "make semi-sync work again where it is switched on",
	        "Receivers that did not register are restarted, roles are put right, the wait count "
	        "is lowered to what can be met." },
	{ "rejoin", cmd_rejoin, false, "[--yes] [options] HOST CLUSTER|--conf=FILE",
	        "make a returned old master, or a new server, a slave of the master",
	        "What it has of its own is shown, and refused unless an option says what becomes of "
	        "it. Exit code 5: refused, nothing was changed; 10: it follows, and has not caught up "
	        "yet. A rejoin that was killed is taken up by the same command." },
	{ "plan rejoin", cmd_plan_rejoin, false, "[--json] HOST CLUSTER|--conf=FILE",
	        "what a rejoin would do and what stands against it; nothing is changed",
	        "Exit code 5: it would be refused." },
	{ "report", cmd_report, false, "[--json] CLUSTER [RUN]",
	        "the last failover: timeline, what was lost, what was fenced", NULL },
};

static const char examples[] =
        "\nexamples:\n"
        "  mhactl status --watch                      all clusters, live\n"
        "  mhactl why app1                            would it fail over now, and if not, why "
        "not?\n"
        "  mhactl topology app1                       the cluster of " MHAD_SYSCONFDIR
        "/clusters.d/app1.conf or .cnf\n"
        "  mhactl check repl --conf=/etc/app1.cnf     an MHA file works as it is\n"
        "  mhactl topology --json app1 | jq .master\n"
        "  mhactl config explain ping_interval\n"
        "  mhactl config convert app1.cnf --output=app1.conf\n"
        "\n`mhactl COMMAND --help` tells more; `mhactl help exit-codes` lists the exit codes.\n";

/* What fits a screen; `mhactl help commands` has a line for each. */
static const char overview[] =
        "usage: mhactl COMMAND [options] [CLUSTER]\n\n"
        "  see      status, why, history, report, topology\n"
        "  check    check repl, check ssh, check hooks, check config, check migrate, check semisync,\n"
        "           rehearse\n"
        "  plan     plan failover, plan switch, plan rejoin, plan move, plan flatten, plan semisync\n"
        "  act      failover, switch, rejoin, move, flatten, ring close, ring open, semisync enable,\n"
        "           semisync repair, pause, resume, ack, reload\n"
        "  config   config show, config explain, config convert, config sample\n"
        "  help     help COMMAND, help commands, help exit-codes, completion\n";

static void print_usage(FILE *to)
{
	fputs(overview, to);
	fputs(examples, to);
}

static void print_commands(void)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-24s %s\n", verbs[i].name, verbs[i].summary);
}

static void print_exit_codes(void)
{
#define CMD_EXIT_LINE(name, code, text) printf("%3d  %s\n", code, text);
	CMD_EXITS(CMD_EXIT_LINE)
#undef CMD_EXIT_LINE
}

/* How many of the words make up this name; 0 = they do not. */
static int match(const char *name, int n, char **words)
{
	int used = 0;

	while (*name) {
		size_t len = strcspn(name, " ");

		if (used >= n || strlen(words[used]) != len || memcmp(words[used], name, len) != 0)
			return 0;
		used++;
		name += len + (name[len] == ' ');
	}
	return used;
}

static const struct cmd_verb *find_verb(int n, char **words, int *ret_used)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		*ret_used = match(verbs[i].name, n, words);
		if (*ret_used)
			return &verbs[i];
	}
	return NULL;
}

/* "check" alone, or a typing error: name what was probably meant. */
static int unknown(int n, char **words)
{
	const struct cmd_verb *best = NULL;
	AUTO_STR struct str typed = STR_INIT;
	int best_distance = 5;

	for (int i = 0; i < n && i < 2 && words[i][0] != '-'; i++)
		str_addf(&typed, "%s%s", i ? " " : "", words[i]);
	fprintf(stderr, "mhactl: there is no command \"%s\"\n", typed.len ? typed.p : words[0]);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		AUTO(free) char *first = xstrndup(words[0], strlen(words[0]));
		int d = str_distance(typed.p, verbs[i].name),
		    d1 = str_distance(first, verbs[i].name);

		if (str_starts(verbs[i].name, words[0])) {
			fprintf(stderr, "Hint: mhactl %s\n", verbs[i].name);
			best_distance = 0;
		}
		if (d1 < d)
			d = d1;
		if (d < best_distance) {
			best_distance = d;
			best = &verbs[i];
		}
	}
	if (best_distance && best)
		fprintf(stderr, "Hint: did you mean mhactl %s?\n", best->name);
	fputs("mhactl help lists the commands.\n", stderr);
	return CMD_USAGE;
}

static int run(const struct cmd_verb *v, int argc, char **argv)
{
	struct cmd c = { .verb = v };
	int code = v->run(&c, argc, argv);

	if (c.workers) {
		fflush(NULL);
		_exit(code);
	}
	return code;
}

static int cmd_help(struct cmd *c, int argc, char **argv)
{
	static char help[] = "--help";
	char *line[] = { help, help, NULL };
	const struct cmd_verb *v;
	int used;

	(void)c;
	if (argc < 2 || argv[1][0] == '-') {
		print_usage(stdout);
		return CMD_OK;
	}
	if (str_is(argv[1], "exit-codes")) {
		print_exit_codes();
		return CMD_OK;
	}
	if (str_is(argv[1], "commands")) {
		print_commands();
		return CMD_OK;
	}
	v = find_verb(argc - 1, argv + 1, &used);
	if (!v)
		return unknown(argc - 1, argv + 1);
	return v->run == cmd_help ? cmd_help(c, 1, argv) : run(v, 2, line);
}

static int cmd_completion(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code))
		return code;
	if (!completion_script(words == 1 ? argv[1] : "", verbs, ARRAY_LEN(verbs), &out, &e))
		return cmd_fail(c, CMD_USAGE, &e);
	return cmd_exit(c, cmd_print(&out) ? CMD_OK : CMD_FAILED);
}

int main(int argc, char **argv)
{
	char *slash = argc ? strrchr(argv[0], '/') : NULL;
	char *name = slash ? slash + 1 : argv[0];
	const struct cmd_verb *v;
	int used;

	json_set_alloc_funcs(malloc, mem_free_wiping); /* passwords travel in JSON to mha-node */
	signal(SIGPIPE, SIG_IGN); /* a peer that goes away is an error of one call, not our end */
	v = find_verb(1, &name, &used);
	if (v && v->mha)
		return run(v, argc, argv);
	if (argc < 2) {
		print_usage(stderr);
		return CMD_USAGE;
	}
	if (str_is(argv[1], "--version") || str_is(argv[1], "-V")) {
		printf("mhactl %s\n", MHAD_VERSION);
		return CMD_OK;
	}
	if (str_is(argv[1], "--help") || str_is(argv[1], "-h")) {
		print_usage(stdout);
		return CMD_OK;
	}
	v = find_verb(argc - 1, argv + 1, &used);
	return v ? run(v, argc - used, argv + used) : unknown(argc - 1, argv + 1);
}
