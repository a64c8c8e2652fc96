/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show - clusters and check results as text and as JSON.  Runs on: any thread.  Logs: never.
 */
#pragma once
#include "check.h"
#include "str.h"
#include "topology.h"

/* MHA's tree, which people grep: "db1(10.0.0.1:3306) (current master)", below it "
 * +--db2(10.0.0.2:3306)". */
void show_mha_tree(struct str *out, const struct topology *t);

/* The tree as an aligned table with what matters of each server, then who is not in it, strangers,
 * and findings. */
void show_topology(struct str *out, const struct topology *t);
void show_topology_json(struct str *out, const struct topology *t);

/* Result of a check; `t` may be NULL. */
void show_check_json(struct str *out, const struct conf *c, bool ok, const struct check_findings *f,
        const struct topology *t);

/* Each server's settings with their origins. */
void show_conf_json(struct str *out, const struct conf *c);

/* Findings one below the other: severity, text, hint. */
void show_findings(struct str *out, const struct check_findings *f);

/* "MySQL 8.4.3", "MariaDB 10.11.6"; NULL when not known.  Returns owned. */
char *show_version(const struct snapshot_server *s);
