/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * args - the options of all of mha-node's programs, for parsing and for the usage text.
 * Runs on: any thread.
 */
#include "args.h"
#include <stdlib.h>
#include "opt.h"

#define MANAGER_MIN_MAJOR 0
#define MANAGER_MIN_MINOR 54

struct row {
	unsigned programs;
	size_t at; /* of the value in struct args, or UNUSED */
	struct opt opt;
};

#define AT(field) offsetof(struct args, field)
#define UNUSED    ((size_t)-1)

static const struct row rows[] = {
	{ ARGS_ALL, AT(help), { "help", OPT_FLAG, .help = "this text" } },
	{ ARGS_ALL, AT(version), { "version", OPT_FLAG, .help = "print the version" } },
	{ ARGS_MHA, AT(command),
	        { "command", OPT_STR, .arg = "WORD", .help = "what MHA's program shall do" } },
	{ ARGS_MHA, AT(manager_version),
	        { "manager_version", OPT_STR, .arg = "X.Y",
	                .help = "version of the manager that calls" } },
	{ ARGS_MHA, AT(relay_log_info),
	        { "relay_log_info", OPT_STR, .arg = "FILE",
	                .help = "a relay-log.info, which names the relay log" } },
	{ ARGS_MHA, AT(datadir),
	        { "datadir", OPT_STR, .arg = "DIR", .help = "base of relative names in it" } },

	{ ARGS_PORT, AT(port),
	        { "port", OPT_INT, .arg = "N", .min = 1, .max = 65535,
	                .help = "the port whose server is meant" } },
	{ ARGS_PROBE | ARGS_FENCE, AT(datadir),
	        { "datadir", OPT_STR, .arg = "DIR",
	                .help = "its data directory, where the host does not tell" } },
	{ ARGS_HOST, AT(timeout),
	        { "timeout", OPT_INT, .arg = "MS", .min = 1, .max = 600000,
	                .help = "milliseconds that it may take" } },
	{ ARGS_PROBE, AT(write_test_dir),
	        { "write-test-dir", OPT_STR, .arg = "DIR",
	                .help = "folder to try a write in, instead of the data directory" } },
	{ ARGS_FENCE, AT(hold),
	        { "hold", OPT_FLAG, .help = "keep a record, and its unit from starting again" } },
	{ ARGS_FENCE, AT(no_stop),
	        { "no-stop", OPT_FLAG, .help = "KILL at once, without asking first" } },
	{ ARGS_FENCE, AT(no_settle),
	        { "no-settle", OPT_FLAG, .help = "do not wait whether something brings it back" } },
	{ ARGS_FENCE, AT(token),
	        { "token", OPT_STR, .arg = "WORD", .help = "whose fence it is, for the record" } },
	{ ARGS_VIP, AT(vip_add),
	        { "add", OPT_FLAG, .help = "take the address, unless another host has it" } },
	{ ARGS_VIP, AT(vip_drop), { "drop", OPT_FLAG, .help = "give it up" } },
	{ ARGS_VIP, AT(vip_show), { "show", OPT_FLAG, .help = "say who has it" } },
	{ ARGS_VIP, AT(address),
	        { "address", OPT_STR, .arg = "IP[/PREFIX]", .help = "IPv4 or IPv6" } },
	{ ARGS_VIP, AT(device), { "device", OPT_STR, .arg = "NAME", .help = "network interface" } },
	{ ARGS_VIP, AT(label),
	        { "label", OPT_STR, .arg = "NAME", .help = "label of an IPv4 address (eth0:1)" } },
	{ ARGS_VIP, AT(force),
	        { "force", OPT_FLAG, .help = "take it even if another host answers for it" } },
	{ ARGS_VIP, AT(json), { "json", OPT_FLAG, .help = "answer in JSON" } },

	{ ARGS_MHA, UNUSED, { .names = "debug", .type = OPT_FLAG } },
	{ ARGS_MHA, UNUSED, { .names = "client_bindir", .type = OPT_STR } },
	{ ARGS_MHA, UNUSED, { .names = "client_libdir", .type = OPT_STR } },
	{ ARGS_MHA, AT(handle_raw_binlog), { .names = "handle_raw_binlog", .type = OPT_INT } },
	{ ARGS_MHA, AT(have),
	        { "have", OPT_STR, .arg = "GTIDS",
	                .help = "what the receiver has: take all the rest, wherever it begins" } },
	{ ARGS_MHA, AT(previous_gtids),
	        { "previous_gtids", OPT_STR, .arg = "GTIDS",
	                .help = "MySQL: write a Previous_gtids event (may be empty)" } },
	{ ARGS_MHA, AT(keep_open),
	        { "keep_open", OPT_INT, .arg = "0|1", .max = 1,
	                .help = "keep a transaction that does not end: more follows (relay logs "
	                        "by position: 1)" } },
	{ ARGS_MHA, AT(count),
	        { "count", OPT_FLAG, .help = "only look what there is: write nothing" } },
	{ ARGS_MHA, AT(json), { "json", OPT_FLAG, .help = "tell what was done in JSON" } },
	{ ARGS_MHA, AT(disable_log_bin), { .names = "disable_log_bin", .type = OPT_INT } },

	{ ARGS_SAVE, AT(start_file),
	        { "start_file", OPT_STR, .arg = "NAME", .help = "first binlog" } },
	{ ARGS_SAVE, AT(binlog_prefix),
	        { "binlog_prefix", OPT_STR, .arg = "NAME",
	                .help = "or: name of the binlogs without number" } },
	{ ARGS_SAVE, AT(binlog_dir),
	        { "binlog_dir", OPT_STR, .arg = "DIR,...",
	                .help = "where binlogs are looked for" } },
	{ ARGS_SAVE, AT(output_file),
	        { "output_file", OPT_STR, .arg = "FILE",
	                .help = "where saved events are written; - is standard output" } },
	{ ARGS_SAVE, AT(index),
	        { "index", OPT_STR, .arg = "FILE",
	                .help = "the index file of the binlogs, instead of --binlog_dir" } },
	{ ARGS_SAVE, AT(start_pos),
	        { "start_pos", OPT_INT, .arg = "N", .max = INT64_MAX,
	                .help = "where in it to begin" } },
	{ ARGS_SAVE, UNUSED, { .names = "skip_filter", .type = OPT_INT } },
	{ ARGS_SAVE, UNUSED, { .names = "oldest_version", .type = OPT_STR } },

	{ ARGS_DIFF, AT(relay_dir),
	        { "relay_dir", OPT_STR, .arg = "DIR", .help = "folder of the relay logs" } },
	{ ARGS_DIFF, AT(current_relay_log),
	        { "current_relay_log", OPT_STR, .arg = "NAME", .help = "relay log in use" } },
	{ ARGS_DIFF, AT(workdir),
	        { "workdir", OPT_STR, .arg = "DIR", .help = "where files may be written" } },
	{ ARGS_DIFF, AT(target_version),
	        { "target_version", OPT_STR, .arg = "X.Y.Z",
	                .help = "version of the slave's server" } },
	{ ARGS_DIFF, AT(user),
	        { "slave_user", OPT_STR, .arg = "NAME", .help = "database account (root)" } },
	{ ARGS_DIFF, AT(password),
	        { "slave_pass", OPT_SECRET,
	                .help = "its password; better in an option file or MHA_NODE_PASSWORD" } },
	{ ARGS_DIFF, AT(host),
	        { "slave_host", OPT_STR, .arg = "NAME", .help = "the slave (127.0.0.1)" } },
	{ ARGS_DIFF, AT(slave_ip), { "slave_ip", OPT_STR, .arg = "IP", .help = "its address" } },
	{ ARGS_DIFF, AT(port),
	        { "slave_port", OPT_INT, .arg = "N", .min = 1, .max = 65535, .help = "(3306)" } },
	{ ARGS_DIFF, AT(socket),
	        { "socket", OPT_STR, .arg = "FILE",
	                .help = "socket, instead of address and port" } },
	{ ARGS_DIFF, AT(defaults_file),
	        { "defaults_file", OPT_STR, .arg = "FILE",
	                .help = "option file with the account in its section [client]" } },
	{ ARGS_DIFF, AT(password_stdin),
	        { "password_stdin", OPT_FLAG,
	                .help = "the first line of the input is the password" } },
	{ ARGS_DIFF, AT(apply_files),
	        { "apply_files", OPT_STR, .arg = "FILE,...",
	                .help = "what shall be applied, in the order of the master" } },
	{ ARGS_DIFF, AT(applier),
	        { "applier", OPT_STR, .arg = "auto|relay|sql",
	                .help = "by the server itself, as a relay log, or by statements" } },
	{ ARGS_DIFF, AT(channel),
	        { "channel", OPT_STR, .arg = "NAME",
	                .help = "replication channel, where there are several" } },
	{ ARGS_DIFF, AT(apply_timeout),
	        { "apply_timeout", OPT_INT, .arg = "SECONDS", .min = 1, .max = 31536000,
	                .help = "give up after that (86400)" } },
	{ ARGS_DIFF, AT(ssh_options), { .names = "ssh_options", .type = OPT_STR } },
	{ ARGS_DIFF, AT(scp_user), { .names = "scp_user", .type = OPT_STR } },
	{ ARGS_DIFF, AT(scp_host), { .names = "scp_host", .type = OPT_STR } },
	{ ARGS_DIFF, AT(scp_port), { "scp_port", OPT_INT, .min = 1, .max = 65535 } },
	{ ARGS_DIFF, AT(server_id),
	        { "server_id", OPT_INT, .arg = "N", .max = UINT32_MAX,
	                .help = "of this host's server" } },
	{ ARGS_DIFF, AT(latest_mlf),
	        { "latest_mlf", OPT_STR, .arg = "NAME",
	                .help = "master's binlog that this host's slave was reading" } },
	{ ARGS_DIFF, UNUSED, { "latest_rmlp", OPT_INT, .max = INT64_MAX } },
	{ ARGS_DIFF, AT(target_mlf),
	        { "target_mlf", OPT_STR, .arg = "NAME",
	                .help = "the one that the target was reading" } },
	{ ARGS_DIFF, AT(target_rmlp),
	        { "target_rmlp", OPT_INT, .arg = "N", .max = INT64_MAX, .help = "and how far" } },
	{ ARGS_DIFF, AT(diff_file),
	        { "diff_file_readtolatest", OPT_STR, .arg = "FILE",
	                .help = "where the difference is written" } },
	{ ARGS_DIFF, UNUSED, { "master_server_id", OPT_INT, .max = UINT32_MAX } },
	{ ARGS_DIFF, UNUSED, { .names = "timestamp", .type = OPT_STR } },

	{ ARGS_PURGE, AT(user),
	        { "user", OPT_STR, .arg = "NAME", .help = "database account (root)" } },
	{ ARGS_PURGE, AT(password),
	        { "password", OPT_SECRET, .help = "its password; better in an option file" } },
	{ ARGS_PURGE, AT(password_stdin),
	        { "password_stdin", OPT_FLAG,
	                .help = "its password is a line of standard input" } },
	{ ARGS_PURGE, AT(host),
	        { "host", OPT_STR, .arg = "NAME", .help = "an address of this host (127.0.0.1)" } },
	{ ARGS_PURGE, AT(port),
	        { "port", OPT_INT, .arg = "N", .min = 1, .max = 65535, .help = "(3306)" } },
	{ ARGS_PURGE, AT(socket),
	        { "socket", OPT_STR, .arg = "FILE", .help = "socket, instead of host and port" } },
	{ ARGS_PURGE, AT(defaults_file),
	        { "defaults_file", OPT_STR, .arg = "FILE",
	                .help = "option file with the account in its section [client]" } },
	{ ARGS_PURGE, AT(relay_log_info),
	        { "relay_log_info", OPT_STR, .arg = "FILE",
	                .help = "a relay-log.info, for the folder of the relay logs" } },
	{ ARGS_PURGE, AT(disable_purge),
	        { "disable_relay_log_purge", OPT_FLAG,
	                .help = "if relay_log_purge is on, turn it off for good, and go on" } },
	{ ARGS_PURGE, AT(splay),
	        { "splay", OPT_INT, .arg = "SECONDS", .max = 86400,
	                .help = "begin after a random time of up to so many" } },
	{ ARGS_PURGE, UNUSED, { .names = "workdir", .type = OPT_STR } },
	{ ARGS_PURGE, UNUSED, { .names = "use_hardlink", .type = OPT_INT } },
	{ ARGS_REACH, AT(host),
	        { "host", OPT_STR, .arg = "NAME|IP", .help = "where the server is" } },
	{ ARGS_REACH, AT(port),
	        { "port", OPT_INT, .arg = "N", .min = 1, .max = 65535, .help = "its port" } },
	{ ARGS_REACH, AT(timeout),
	        { "timeout_ms", OPT_INT, .arg = "MS", .min = 1, .max = 600000,
	                .help = "milliseconds that it may take (2000)" } },
	{ ARGS_REACH, AT(mysql),
	        { "mysql", OPT_FLAG, .help = "wait for the server's greeting too" } },
	{ ARGS_REACH, AT(from),
	        { "from", OPT_STR, .arg = "IP", .help = "our own address to use" } },
	{ ARGS_BACKUP, AT(port),
	        { "port", OPT_INT, .arg = "N", .min = 1, .max = 65535,
	                .help = "the port whose server is meant" } },
	{ ARGS_BACKUP, AT(datadir),
	        { "datadir", OPT_STR, .arg = "DIR", .help = "its data directory" } },
	{ ARGS_BACKUP, AT(user),
	        { "user", OPT_STR, .arg = "NAME", .help = "database account (root)" } },
	{ ARGS_BACKUP, AT(password), { "password", OPT_SECRET, .help = "its password" } },
	{ ARGS_BACKUP, AT(host),
	        { "host", OPT_STR, .arg = "NAME", .help = "an address of this host (127.0.0.1)" } },
	{ ARGS_BACKUP, AT(count),
	        { "count", OPT_FLAG, .help = "only say which program is here, and the sizes" } },
	{ ARGS_BACKUP, AT(steady),
	        { "steady", OPT_FLAG,
	                .help = "backup: its applier stands still while its place is read" } },
	{ ARGS_BACKUP, AT(swap),
	        { "swap", OPT_FLAG,
	                .help = "restore: the copy becomes the server's data; it is started "
	                        "again" } },
	{ ARGS_BACKUP, AT(undo),
	        { "undo", OPT_FLAG, .help = "restore: put back what it had before" } },
	{ ARGS_BACKUP, AT(clean),
	        { "clean", OPT_FLAG, .help = "restore: remove what it had before" } },
	{ ARGS_PUT, AT(output_file),
	        { "output_file", OPT_STR, .arg = "FILE", .help = "the file to make" } },
	{ ARGS_PUT, AT(bytes),
	        { "bytes", OPT_INT, .arg = "N", .max = INT64_MAX, .help = "its length" } },
	{ ARGS_PUT, AT(crc), { "crc", OPT_STR, .arg = "HEX", .help = "its CRC32" } },
	{ ARGS_GATE, AT(conf),
	        { "conf", OPT_STR, .arg = "FILE", .help = "the host's list of what is allowed" } },
};

/* The rows of `programs`, their values in `a`; ends with an empty row. */
static void make_table(unsigned programs, struct args *a, struct opt to[ARRAY_LEN(rows) + 1])
{
	for (const struct row *r = rows; r < rows + ARRAY_LEN(rows); r++) {
		if (!(r->programs & programs))
			continue;
		*to = r->opt;
		to->to = r->at == UNUSED ? NULL : (char *)a + r->at;
		to++;
	}
	*to = (struct opt){ 0 };
}

bool args_parse(unsigned programs, int argc, char **argv, struct args *ret, struct err *e)
{
	struct args a = { .workdir = "/var/tmp",
		.binlog_dir = "/var/lib/mysql",
		.start_pos = -1,
		.keep_open = -1,
		.bytes = -1,
		.handle_raw_binlog = 1,
		.scp_user = "root",
		.scp_port = 22 };
	struct opt table[ARRAY_LEN(rows) + 1];

	make_table(programs, &a, table);
	if (!opt_parse(table, argc, argv, programs == ARGS_FILES ? &a.word_count : NULL, e)) {
		args_done(&a);
		return false;
	}
	a.words = argv + 1;
	*ret = a;
	return true;
}

void args_done(struct args *a)
{
	for (const struct row *r = rows; r < rows + ARRAY_LEN(rows); r++) {
		char **secret;

		if (r->opt.type != OPT_SECRET || r->at == UNUSED)
			continue;
		secret = (char **)((char *)a + r->at);
		mem_free_secret(*secret);
		*secret = NULL;
	}
}

bool args_each(unsigned programs, const struct args *a, args_each_fn fn, void *arg, struct err *e)
{
	for (const struct row *r = rows; r < rows + ARRAY_LEN(rows); r++) {
		const void *value = a && r->at != UNUSED ? (const char *)a + r->at : NULL;

		if ((r->programs & programs) && r->at != UNUSED &&
		        !fn(arg, r->opt.names, r->opt.type, value, e))
			return false;
	}
	return true;
}

bool args_check_manager(const struct args *a, struct err *e)
{
	char *end;
	unsigned long major, minor;

	if (!a->manager_version)
		return true;
	major = strtoul(a->manager_version, &end, 10);
	if (end == a->manager_version || *end != '.')
		return err_set(e, ERR_CONFIG, 0, "Manager version \"%s\" is not a version",
		        a->manager_version);
	minor = strtoul(end + 1, NULL, 10);
	if (major > MANAGER_MIN_MAJOR || (major == MANAGER_MIN_MAJOR && minor >= MANAGER_MIN_MINOR))
		return true;
	return err_set(e, ERR_CONFIG, 0, "Manager version is %s, but must be %d.%d or higher",
	        a->manager_version, MANAGER_MIN_MAJOR, MANAGER_MIN_MINOR);
}

void args_print(unsigned programs, FILE *to)
{
	AUTO_STR struct str text = STR_INIT;
	struct args a;
	struct opt table[ARRAY_LEN(rows) + 1];

	make_table(programs, &a, table);
	opt_help(&text, table);
	fputs(text.p, to);
}
