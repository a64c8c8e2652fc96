/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict_names - names of verdicts, and what the error codes of a server say of it.  Runs on: any thread.
 */
#include "verdict_impl.h"

/* What an error code of the server says of it. */
static const struct {
	int code;
	enum verdict_code means;
} codes[] = {
	{ 1040, VERDICT_SATURATED }, /* too many connections */
	{ 1203, VERDICT_SATURATED }, /* of this user */
	{ 1226, VERDICT_SATURATED }, /* of this user, by its limits */
	{ 1135, VERDICT_SATURATED }, /* no new thread */
	{ 1037, VERDICT_SATURATED }, /* out of memory */
	{ 1038, VERDICT_SATURATED }, { 1041, VERDICT_SATURATED },
	{ 1044, VERDICT_REFUSING },                             /* access denied, to the schema */
	{ 1045, VERDICT_REFUSING }, { 1129, VERDICT_REFUSING }, /* host is blocked */
	{ 1130, VERDICT_REFUSING },                             /* host is not allowed */
	{ 1142, VERDICT_REFUSING },                             /* command denied */
	{ 1143, VERDICT_REFUSING }, { 1227, VERDICT_REFUSING },
	{ 1251, VERDICT_REFUSING },                               /* authentication protocols */
	{ 1275, VERDICT_REFUSING }, { 1698, VERDICT_REFUSING },   /* access denied, no password */
	{ 1820, VERDICT_REFUSING },                               /* password expired */
	{ 1862, VERDICT_REFUSING }, { 3118, VERDICT_REFUSING },   /* account locked */
	{ 4151, VERDICT_REFUSING },                               /* account locked (MariaDB) */
	{ 1290, VERDICT_READ_ONLY }, { 1792, VERDICT_READ_ONLY }, /* transaction is read-only */
	{ 1836, VERDICT_READ_ONLY },                              /* innodb_read_only */
	{ 3, VERDICT_DISK_FULL },                                 /* error writing file */
	{ 1021, VERDICT_DISK_FULL }, { 1114, VERDICT_DISK_FULL }, /* the table is full */
	{ 1053, VERDICT_RESTARTING }                              /* shutdown in progress */
};

enum verdict_code verdict_of_code(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].code == code)
			return codes[i].means;
	return VERDICT_UNKNOWN;
}

static const struct {
	const char *name;
	enum verdict_kind kind;
	const char *sentence;
} verdicts[] = {
#define VERDICT_ROW(sym, name, kind, sentence) { name, VERDICT_##kind, sentence },
	VERDICTS(VERDICT_ROW)
#undef VERDICT_ROW
};

const char *verdict_name(enum verdict_code c)
{
	return c < VERDICT_COUNT ? verdicts[c].name : "unknown";
}

const char *verdict_sentence(enum verdict_code c)
{
	return c < VERDICT_COUNT ? verdicts[c].sentence : "";
}

enum verdict_kind verdict_kind_of(enum verdict_code c)
{
	return c < VERDICT_COUNT ? verdicts[c].kind : VERDICT_WAIT;
}

const char *verdict_kind_name(enum verdict_kind k)
{
	static const char *const names[] = { "good", "wait", "alarm", "choice", "dead" };

	return k < ARRAY_LEN(names) ? names[k] : "wait";
}

bool verdict_by_name(const char *name, enum verdict_code *ret)
{
	for (int i = 0; i < VERDICT_COUNT; i++)
		if (str_is(verdicts[i].name, name)) {
			*ret = (enum verdict_code)i;
			return true;
		}
	return false;
}
