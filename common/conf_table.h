/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_table - every setting there is, one row each.  A new setting is one row here plus its use.
 *
 * A row: name, type, reach, what is allowed, default in native files, default in MHA's files, help.
 *
 * Types and what the field of struct conf_server holds (CONF_CTYPE_*):
 *	STR	text; NULL when not set
 *	DIRS	directories with commas between them; MHA's format takes all blanks out of it
 *	SECRET	text that is never shown and wiped when freed
 *	INT	whole number
 *	BOOL	yes or no; in MHA's format "" and "0" are no, all other text is yes, as in Perl
 *	COUNT	the same for candidate_master and no_master, which MHA compares with 1: a number there
 *	MSEC	a duration in milliseconds; as text "3" (seconds), "250ms", "3s", "5m", "1h"
 *	ENUM	position of the word among the allowed ones: a value of the enum named in the row
 *	LEVEL	enum log_level
 *
 * Reach: LOCAL counts in a server's own block only; INHERIT comes from the weaker levels when the
 * block does not have it; DEFAULTS counts in the defaults of the cluster or global file only; GLOBAL in
 * those of mhad.conf only, and is for all of mhad.
 *
 * A default is text as a file would have it, or NULL for none.  One that starts with '<' is a
 * description: the value is found out by the program.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Rows read better as they are. */
/* clang-format off */
#define CONF_CTYPE_STR	  const char *
#define CONF_CTYPE_DIRS	  const char *
#define CONF_CTYPE_SECRET const char *
#define CONF_CTYPE_INT	  int
#define CONF_CTYPE_BOOL	  bool
#define CONF_CTYPE_COUNT  bool
#define CONF_CTYPE_MSEC	  int64_t
#define CONF_CTYPE_ENUM	  int
#define CONF_CTYPE_LEVEL  int

enum conf_fence { CONF_FENCE_BEST_EFFORT, CONF_FENCE_REQUIRED };
enum conf_auto_rejoin { CONF_REJOIN_NEVER, CONF_REJOIN_CLEAN };
enum conf_report_on { CONF_REPORT_END, CONF_REPORT_ALL };
enum conf_detection { CONF_DETECT_MHA, CONF_DETECT_CORROBORATED };
enum conf_ping_type { CONF_PING_CONNECT, CONF_PING_SELECT, CONF_PING_INSERT };
/* tls holds an enum db_tls; ssh_host_keys and ssh_transport hold the enums of these names. */

/* What is allowed.  Numbers are inclusive; those of MSEC are milliseconds. */
#define CONF_ANY		{ 0 }
#define CONF_RANGE(least, most) { .min = (least), .max = (most) }
#define CONF_WORDS(...)		{ .words = (const char *const[]){ __VA_ARGS__, NULL } }

#define CONF_SETTINGS(KEY) CONF_SETTINGS_MHA(KEY) CONF_SETTINGS_OWN(KEY)

/* MHA's 42 parameters, with MHA's names, defaults and reach. */
#define CONF_SETTINGS_MHA(KEY) \
	KEY(hostname, STR, LOCAL, CONF_ANY, NULL, NULL, \
		"Name of the host: in messages, in CHANGE MASTER, in the arguments of hooks. Every server " \
		"must have one.") \
	KEY(ip, STR, LOCAL, CONF_ANY, "<hostname, looked up>", "<hostname, looked up>", \
		"Address for all connections to the server, and for SSH unless ssh_host or ssh_ip says " \
		"otherwise.") \
	KEY(node_label, STR, LOCAL, CONF_ANY, NULL, NULL, \
		"Text shown beside the host in topology trees.") \
	KEY(port, INT, INHERIT, CONF_RANGE(1, 65535), "3306", "3306", "Port of the database server.") \
	KEY(ssh_host, STR, LOCAL, CONF_ANY, "<hostname>", "<hostname>", \
		"Name of the host for SSH, when it is another one.") \
	KEY(ssh_ip, STR, LOCAL, CONF_ANY, "<ssh_host, looked up>", "<ssh_host, looked up>", \
		"Address for SSH. (MHA 0.58 accepts and ignores it.)") \
	KEY(ssh_port, INT, INHERIT, CONF_RANGE(1, 65535), "22", "22", "Port for SSH.") \
	KEY(ssh_user, STR, INHERIT, CONF_ANY, "<user that runs the program>", \
		"<user that runs the program>", "User for SSH.") \
	KEY(ssh_options, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Options for ssh(1), such as \"-o ProxyJump=gate\". They make ssh(1) the transport. (In " \
		"MHA 0.58 the last one read counts for all hosts; here each server has its own.)") \
	KEY(ssh_connection_timeout, MSEC, INHERIT, CONF_RANGE(100, 86400000), "5s", "5", \
		"Time to reach a host over SSH and log in.") \
	KEY(user, STR, INHERIT, CONF_ANY, "root", "root", "Database account of mhad.") \
	KEY(password, SECRET, INHERIT, CONF_ANY, NULL, NULL, \
		"Its password. Better kept apart, see password_file.") \
	KEY(repl_user, STR, INHERIT, CONF_ANY, "<user that the slave uses now>", \
		"<user that the slave uses now>", "Replication account for CHANGE MASTER.") \
	KEY(repl_password, SECRET, INHERIT, CONF_ANY, NULL, NULL, \
		"Its password. Without one, each slave keeps the password it has.") \
	KEY(disable_log_bin, BOOL, INHERIT, CONF_ANY, "0", "0", \
		"Apply recovered events to slaves without writing them to their binlogs.") \
	KEY(master_pid_file, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Pid file of the database server, handed to shutdown_script as --pid_file.") \
	KEY(handle_raw_binlog, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"MHA's node tools copy raw binlog bytes; if not, they turn them into SQL text early.") \
	KEY(remote_workdir, STR, INHERIT, CONF_ANY, "/var/tmp", "/var/tmp", \
		"Work directory on the database hosts; made if missing.") \
	KEY(master_binlog_dir, DIRS, INHERIT, CONF_ANY, "/var/lib/mysql,/var/log/mysql", \
		"/var/lib/mysql,/var/log/mysql", \
		"Directories, with commas between them, to look for binlogs on a host whose server is dead.") \
	KEY(log_level, LEVEL, INHERIT, CONF_WORDS("debug", "info", "notice", "warning", "error"), "info", \
		"info", "Least level that is logged.") \
	KEY(manager_workdir, STR, INHERIT, CONF_ANY, "/var/tmp", "/var/tmp", \
		"Directory here for status and flag files, reports and saved binlogs.") \
	KEY(manager_log, STR, INHERIT, CONF_ANY, NULL, NULL, "Log file; none: standard error.") \
	KEY(check_repl_delay, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"A slave that is far behind does not become the new master in a failover.") \
	KEY(check_repl_filter, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"The replication filters of the servers have to be the same.") \
	KEY(latest_priority, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"A slave that has received most has precedence in the election.") \
	KEY(multi_tier_slave, BOOL, INHERIT, CONF_ANY, "0", "0", \
		"On a slave of a slave: it is set aside instead of being an error.") \
	KEY(ping_interval, MSEC, INHERIT, CONF_RANGE(100, 86400000), "3s", "3", \
		"Time between two looks at the master.") \
	KEY(ping_type, ENUM, INHERIT, CONF_WORDS("CONNECT", "SELECT", "INSERT"), "SELECT", \
		"SELECT", /* enum conf_ping_type */ \
		"How to look: with a new connection each time, with a read, or with a write.") \
	KEY(secondary_check_script, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Command that asks other hosts whether they reach the master before it is called dead.") \
	KEY(master_ip_failover_script, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Command that takes the service address from the dead master and gives it to the new one.") \
	KEY(master_ip_online_change_script, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"The same for a planned switch.") \
	KEY(shutdown_script, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Command that switches the dead master's host or server off.") \
	KEY(report_script, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Command that sends the report of a failover.") \
	KEY(init_conf_load_script, STR, DEFAULTS, CONF_ANY, NULL, NULL, \
		"Command that prints more settings as name=value lines; they are stronger than the defaults " \
		"and weaker than the blocks of servers.") \
	KEY(client_bindir, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Directory of the mysql and mysqlbinlog programs on that host.") \
	KEY(client_libdir, STR, INHERIT, CONF_ANY, NULL, NULL, "Directory of their libraries.") \
	KEY(use_gtid_auto_pos, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"Use GTIDs where the servers have them; if not, only when some slave already positions " \
		"itself by them.") \
	KEY(candidate_master, COUNT, LOCAL, CONF_ANY, "0", "0", "Preferred as the new master.") \
	KEY(no_master, COUNT, LOCAL, CONF_ANY, "0", "0", "Never the new master.") \
	KEY(ignore_fail, BOOL, LOCAL, CONF_ANY, "0", "0", \
		"A failure of this server does not stop a failover.") \
	KEY(skip_init_ssh_check, BOOL, LOCAL, CONF_ANY, "0", "0", \
		"Leave this host out of the SSH checks between hosts.") \
	KEY(skip_reset_slave, BOOL, INHERIT, CONF_ANY, "0", "0", \
		"On the new master: keep its old slave settings instead of RESET SLAVE ALL.")

/* mhad's own.  They may stand in MHA's files too. */
#define CONF_SETTINGS_OWN(KEY) \
	KEY(password_file, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"File whose first line is the password of user, or credential:NAME for a systemd " \
		"credential. Others must not be able to read it.") \
	KEY(repl_password_file, STR, INHERIT, CONF_ANY, NULL, NULL, "The same for repl_password.") \
	KEY(tls, ENUM, INHERIT, \
		CONF_WORDS("off", "preferred", "required", "verify-ca", "verify-identity"), "preferred", \
		"off", /* enum db_tls */ \
		"Encryption of database connections: off; if the server can; always; and with a " \
		"certificate that tls_ca signed; and that is made out to the server's address.") \
	KEY(tls_ca, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"File with the certificates of the authorities that sign the servers'.") \
	KEY(tls_cert, STR, INHERIT, CONF_ANY, NULL, NULL, "File with mhad's own certificate.") \
	KEY(tls_key, STR, INHERIT, CONF_ANY, NULL, NULL, "File with its key.") \
	KEY(tls_fingerprint, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"SHA-1 fingerprint (40 hex digits) of the only certificate the server may show.") \
	KEY(public_key, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"File with the server's RSA key, for caching_sha2_password without TLS; none: the server " \
		"is asked for it.") \
	KEY(connect_timeout, MSEC, INHERIT, CONF_RANGE(100, 60000), "4s", "4", \
		"Time to reach a database server and log in.") \
	KEY(query_timeout, MSEC, INHERIT, CONF_RANGE(100, 600000), "10s", "10", \
		"Time for one statement, unless a step of a run sets its own limit.") \
	KEY(hook_timeout, MSEC, INHERIT, CONF_RANGE(1000, 3600000), "60s", "60", \
		"Time for one call of a hook script; then it is ended.") \
	KEY(ssh_key, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Private key file for SSH; none: the agent, then the usual files in ~/.ssh.") \
	KEY(ssh_host_keys, ENUM, INHERIT, CONF_WORDS("strict", "accept-new"), "strict", \
		"accept-new", /* enum ssh_host_keys */ \
		"Whether an unknown host key is refused, or pinned when first seen. A changed key is " \
		"always refused.") \
	KEY(ssh_known_hosts, STR, INHERIT, CONF_ANY, NULL, "/var/lib/mhad/known_hosts", \
		"File with the hosts' keys; none: ~/.ssh/known_hosts of the user that runs the program.") \
	KEY(ssh_transport, ENUM, INHERIT, CONF_WORDS("auto", "libssh2", "openssh"), "auto", \
		"auto", /* enum ssh_transport */ \
		"Built-in SSH, ssh(1), or whichever serves.") \
	KEY(node_bindir, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Directory of mha-node on the database hosts; none: where the login shell finds it.") \
	KEY(detection, ENUM, INHERIT, CONF_WORDS("mha", "corroborated"), "corroborated", \
		"mha", /* enum conf_detection */ \
		"When the master counts as dead: after four failed connections one ping_interval apart, as " \
		"in MHA; or as soon as two independent kinds of evidence agree. What vetoes a failover " \
		"does so in both.") \
	KEY(witnesses, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Hosts, [user@]host[:port] with commas between them, that are asked over SSH whether they " \
		"see the master.") \
	KEY(replica_interval, MSEC, INHERIT, CONF_RANGE(500, 3600000), "10s", "10", \
		"Time between two looks at a slave, and at the master's host, while all is well.") \
	KEY(restart_grace, MSEC, INHERIT, CONF_RANGE(0, 86400000), "0s", "0", \
		"How long a master whose process died may take to be back before it counts as dead.") \
	KEY(failover_on, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Conditions of a living master that shall lead to a failover too, with commas between " \
		"them: disk_full, stalled, rewound.") \
	KEY(auto_failover, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"If not: a dead master is reported, and a person fails over.") \
	KEY(failover_interval, MSEC, INHERIT, CONF_RANGE(0, 2592000000), "8h", "8h", \
		"Time after a failover in which there is no second one.") \
	KEY(advisory_lock, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"Hold MHA's advisory lock on the master, so that no second manager watches it.") \
	KEY(hook_passwords, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"Hand passwords to hook scripts in their arguments, as MHA does. If not, those arguments are " \
		"left out.") \
	KEY(tilt_hold, MSEC, INHERIT, CONF_RANGE(0, 600000), "10s", "10", \
		"After mhad's own host was ill (it stood still, its clock jumped, many clusters fell " \
		"silent at once): longest time for which nothing is decided without fresh evidence.") \
	KEY(fence, ENUM, INHERIT, CONF_WORDS("best_effort", "required"), "required", \
		"best_effort", /* enum conf_fence */ \
		"Whether a new master may open although it is not proven that the old one is closed: its " \
		"host is silent, and no shutdown_script switched it off.") \
	KEY(max_loss, STR, INHERIT, CONF_ANY, NULL, NULL, \
		"Most that a failover may lose of what cannot be read any more: a number of transactions, or " \
		"of bytes (\"10MB\"); 0: none, so that a master whose disk cannot be read is not replaced; " \
		"none given: no limit, as in MHA. What is lost is in the report in any case.") \
	KEY(auto_rejoin, ENUM, INHERIT, CONF_WORDS("never", "clean"), "never", \
		"never", /* enum conf_auto_rejoin */ \
		"What becomes of an old master that comes back after a failover: clean makes it a slave of the " \
		"new one when it has nothing of its own and its host did not go down in a way that could have " \
		"parted its data from its binlog; else, and with never, a person decides (mhactl rejoin).") \
	KEY(double_master, BOOL, LOCAL, CONF_ANY, "0", "0", \
		"This server and the other one that says so follow each other. A failover from one to the other opens " \
		"the ring, as it does without; this closes it again when the old master was made a slave of the new " \
		"one (mhactl rejoin, auto_rejoin) and nothing that it did by itself can come through it. If not, " \
		"mhactl ring close does.") \
	KEY(open_without_acker, BOOL, INHERIT, CONF_ANY, "1", "1", \
		"With semi-sync: open the new master at once, without waiting for a slave that acknowledges.") \
	KEY(catchup_timeout, MSEC, INHERIT, CONF_RANGE(1000, 604800000), "1h", "1h", \
		"Longest time for bringing one server level in a failover.") \
	KEY(rehearse_at, STR, INHERIT, CONF_ANY, "03:30", "03:30", \
		"Time of day, HH:MM, at which a failover is rehearsed: everything is looked at and the plan is made, " \
		"nothing is changed. Of many clusters each has its own moment in the hour that follows. off: never.") \
	KEY(report_on, ENUM, INHERIT, CONF_WORDS("end", "all"), "all", \
		"end", /* enum conf_report_on */ \
		"When report_script is called. end: when a failover is over, as in MHA, and for a master in trouble that is " \
		"not failed over; all: also when it is found dead, when a failover begins or is refused, when a rehearsal " \
		"turns out worse than the one before, and when semi-sync is lost. With all, a script that fails is " \
		"called again, for a day.") \
	KEY(http_listen, STR, GLOBAL, CONF_ANY, "127.0.0.1:9780", "127.0.0.1:9780", \
		"Address and port of the status page, the API and the metrics (mhad-http(7)), all of it read-only: " \
		"\"127.0.0.1:9780\", \"[::1]:9780\", \"*:9780\"; off: none.") \
	KEY(http_tls_cert, STR, GLOBAL, CONF_ANY, NULL, NULL, \
		"File with the certificate (PEM) to serve it with, and those of its issuers; none: no TLS.") \
	KEY(http_tls_key, STR, GLOBAL, CONF_ANY, NULL, NULL, "File with its key (PEM).") \
	KEY(http_token_file, STR, GLOBAL, CONF_ANY, NULL, NULL, \
		"File whose first line is a token that has to be shown, or credential:NAME for a systemd credential. " \
		"Others must not be able to read it.")
