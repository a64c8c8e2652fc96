/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf - the configuration of one cluster, out of mhad's own format or MHA's.  Runs on: any thread
 * (conf_load() blocks, until its deadline).  Logs: never.
 *
 * One table (conf_table.h) of settings drives both readers, defaults, checks, `mhactl config`, the
 * samples in etc/ and the manual page.  A loaded configuration is immutable, passed down as const,
 * and replaced whole.
 *
 * Levels, weak to strong: built-in default; defaults of the global file; defaults of the cluster
 * file; output of init_conf_load_script; block of the server.  Each value remembers where it came
 * from (struct conf_origin).  An empty value hides the weaker levels: the setting is not set then,
 * or at its built-in default if it has one.
 *
 * The native form (libconfig), say /etc/mhad/clusters.d/shop.conf:
 *
 *	defaults = {
 *		user = "mhad";
 *		password_file = "credential:shop";
 *		ping_interval = "1s";		# or 1: a number is seconds
 *	};
 *	servers = (				# the order is the order of election
 *		{ hostname = "db1.example.org"; candidate_master = true; },
 *		{ name = "second"; hostname = "db2.example.org"; port = 3307; }
 *	);
 *	binlog_servers = ( { hostname = "log1.example.org"; } );	# optional
 *
 * `name` is the server's id; if left out, the hostname is.  The global file, /etc/mhad/mhad.conf,
 * holds only `defaults`.  A file with a password in it must be closed to others, and its group may
 * only read it.
 * libconfig's @include is refused.
 *
 * The other form is MHA's .cnf, read with MHA's own rules; mhad's settings may stand there too.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "mem.h"
#include "conf_table.h"

enum conf_format { CONF_BY_NAME, CONF_NATIVE, CONF_MHA };

struct conf_origin {
	/* NULL: built-in or found out; "init_conf_load_script <command>": printed by it */
	const char *file;
	int line; /* 0: unknown */
};

/* Index of each setting: CONF_hostname, CONF_ip, ... */
enum conf_key {
#define CONF_KEY_ENUM(name, ...) CONF_##name,
	CONF_SETTINGS(CONF_KEY_ENUM)
#undef CONF_KEY_ENUM
	        CONF_KEY_COUNT
};

/*
 * One server, all inheritance done.  The field of a setting has the setting's name.
 * ip, ssh_host and ssh_ip are filled in when not set (origin: none); with no_resolve the addresses
 * stay as they are. password and repl_password hold the secret also when it came from a file.
 */
struct conf_server {
	const char *id; /* block name: "server1", "binlog1"; native: name */
	bool is_binlog_server;
#define CONF_FIELD(name, type, ...) CONF_CTYPE_##type name;
	CONF_SETTINGS(CONF_FIELD)
#undef CONF_FIELD
	const char *hostinfo;    /* "db1(10.0.0.1:3306)" in all messages; "db1:3306" unresolved */
	const char *ssh_address; /* numeric address for SSH; NULL with no_resolve */
	const char *block_file;  /* where its block begins */
	int block_line;
	struct conf_origin origin[CONF_KEY_COUNT];
};

struct conf {
	const char *name; /* cluster (app) name: file name without its last extension */
	const char *path; /* as given */
	const char *real_path;
	enum conf_format format;
	const struct conf_server *const *servers; /* in election order; at least one */
	size_t n_servers;
	const struct conf_server *const *binlogs; /* binlog servers */
	size_t n_binlogs;
	const struct conf_server *defaults; /* what a server without own settings would get */
};

/* One thing wrong with (or worth saying about) a configuration. */
struct conf_problem {
	bool fatal; /* else a warning */
	char file[256];
	int line; /* 0 = the whole file */
	char text[400];
	char hint[200]; /* "did you mean ...", the allowed range; may be empty */
};
struct conf_report {
	struct conf_problem *items;
	size_t len, cap;
	bool unresolved; /* a name could not be looked up, which may pass by itself */
};
void conf_report_done(struct conf_report *r);

struct conf_opts {        /* all borrowed for the call */
	const char *path; /* cluster file; *.cnf is MHA's format, else native (unless forced) */
	const char *global_path; /* in the same format; missing is fine.  NULL: MHA
	                          * /etc/masterha_default.cnf, native <sysconfdir>/mhad/mhad.conf */
	bool no_resolve;         /* do not look names up (config show/convert, tests) */
	bool no_script;          /* do not run init_conf_load_script */
	int force_format;        /* CONF_NATIVE or CONF_MHA; otherwise by name */
	int64_t deadline;        /* instant (see clock.h), for names and the script */
};

/*
 * Load and check whole: all problems are reported in one go, each with file and line.  Returns
 * owned, or NULL with ERR_CONFIG that carries the first fatal problem; `ret_report` (may be NULL)
 * gets all of them, warnings included, also on success, and is to be given to conf_report_done() in
 * any case.
 */
struct conf *conf_load(
        const struct conf_opts *o, struct conf_report *ret_report, struct err *e) MUST_USE;
/*
 * mhad.conf alone, for what is set there for all of mhad: `defaults` has it, there are no servers.  A file that is
 * not there leaves the built-in defaults.  Returns owned, NULL with ERR_CONFIG.
 */
struct conf *conf_load_global(const char *path, struct err *e) MUST_USE;
/* --manager_workdir=DIR, which beats the setting: right after loading.  `dir` outlives `c`; NULL leaves it. */
void conf_use_workdir(struct conf *c, const char *dir);
void conf_free(struct conf *c); /* NULL is fine; wipes secrets */
CLEANUP_FN(conf, struct conf *, conf_free)

/* Facts about settings, for `config explain`, samples and manuals.  Texts are static. */
const char *conf_key_name(enum conf_key k);
bool conf_key_find(const char *name, enum conf_key *ret) MUST_USE;
const char *conf_key_help(enum conf_key k);
const char *conf_key_nearest(const char *name); /* best "did you mean", NULL if nothing is near */
bool conf_key_is_secret(enum conf_key k);

/* The value of one setting as text; secrets as "***" when set; "" when not set.  Returns owned. */
char *conf_value_text(const struct conf_server *s, enum conf_key k);

/* The first line of a secret's file, "/path" or "credential:NAME", which others must not be able to read; and a whole
 * small text file.  Each returns owned, NULL with ERR_CONFIG, ERR_SYSTEM. */
char *conf_secret(const char *where, struct err *e) MUST_USE;
char *conf_file_text(const char *path, struct err *e) MUST_USE;

/* "03:30" as minutes since midnight; -1: off, or not set.  False: it is neither. */
bool conf_time_of_day(const char *text, int *ret_minutes) MUST_USE;

/* Longer texts for the commands; each returns owned. */
char *conf_explain(enum conf_key k);                /* type, default, range, reach, help */
char *conf_sample(enum conf_format f, bool global); /* commented sample file of all settings */
char *conf_manual(void);                            /* mdoc list of all settings */
/*
 * The native form of a loaded configuration, secrets included: write it with mode 0600.  What came
 * from a secret's file or from init_conf_load_script stays there.  Loaded without a global file it
 * gives every server the same values.
 */
char *conf_to_native(const struct conf *c);
