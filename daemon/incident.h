/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * incident - what is kept of each run that changed something or was refused: a record for machines, a page for people.
 * Runs on: worker, main thread (files; synced).  Logs: never.
 *
 * <state_dir>/<cluster>/incidents/<run>.json is the record, <run>.txt the page, made from it.  Names of
 * runs begin with their time, so that the last one in order is the last that happened.
 */
#pragma once
#include <jansson.h>
#include "str.h"

/* Both files; nothing is kept without a state_dir (NULL).  `record` is borrowed. */
bool incident_save(const char *state_dir, const char *cluster, const json_t *record, struct err *e);

/* `run` NULL: the last one.  A new reference; NULL: ERR_PRECOND (there is none), ERR_SYSTEM, ERR_PARSE. */
json_t *incident_load(
        const char *state_dir, const char *cluster, const char *run, struct err *e) MUST_USE;

/* The page. */
void incident_text(const json_t *record, struct str *to);
