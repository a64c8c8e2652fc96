/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node_code - what mha-node refuses in a way that somebody decides by: the code of an ERR_PRECOND, as it
 * also travels to the manager.  Runs on: any thread.
 */
#pragma once

enum {
	/* save */
	SAVE_SHORTER = 1001, /* the start is behind the end: the log lost its end, or is another */
	SAVE_NO_EVENT,       /* the start is not where an event begins */
	SAVE_PURGED,         /* what the receiver lacks is partly in files that are gone */
	SAVE_ANONYMOUS,      /* there are transactions without GTID */
	SAVE_DIVERGED,       /* receiver and log have different transactions of one number */

	/* find, diff */
	FIND_PURGED = 1101, /* all relay logs begin behind it */
	FIND_NOT_YET,       /* all relay logs end before it */
	FIND_NO_EVENT,      /* no event ends there */
};
