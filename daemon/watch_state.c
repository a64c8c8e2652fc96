/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_state - which state follows which on what event.  Pure; runs on: any thread.
 */
#include "watch.h"

#define AT(s) (1u << WATCH_##s)
/* Where a verdict is followed at once. */
#define OPEN                                                                                       \
	(AT(STARTING) | AT(NO_MASTER) | AT(LOCKED) | AT(MONITORING) | AT(SUSPECT) |                \
	        AT(CONFIRMING) | AT(DEAD) | AT(BLOCKED) | AT(PAUSED) | AT(TILT))
#define DECIDED (AT(DEAD) | AT(BLOCKED))
#define RUNNING AT(FAILING_OVER)
#define ALL     (OPEN | RUNNING)

enum { STAYS = WATCH_STATE_COUNT };

/*
 * DEAD comes after CONFIRMING alone, and CONFIRMING after a deadly verdict (or, from BLOCKED, where that
 * verdict stands already).  While a failover runs, what is seen of the old master moves nothing.
 */
static const struct row {
	unsigned from;
	enum watch_event ev;
	int to;
} rows[] = {
	{ OPEN, WATCH_EV_UNCLEAR, WATCH_NO_MASTER },
	{ OPEN, WATCH_EV_TAKEN, WATCH_LOCKED },
	{ OPEN, WATCH_EV_ANSWERS, WATCH_MONITORING },
	{ OPEN, WATCH_EV_DOUBT, WATCH_SUSPECT },
	{ OPEN, WATCH_EV_ILL, WATCH_TILT },
	{ OPEN & ~DECIDED, WATCH_EV_DEADLY, WATCH_CONFIRMING },
	{ DECIDED, WATCH_EV_DEADLY, STAYS },
	{ AT(CONFIRMING), WATCH_EV_CONFIRMED, WATCH_DEAD },
	{ AT(DEAD), WATCH_EV_FORBIDDEN, WATCH_BLOCKED },
	{ AT(BLOCKED), WATCH_EV_ALLOWED, WATCH_CONFIRMING },
	{ AT(DEAD), WATCH_EV_BEGUN, WATCH_FAILING_OVER },
	{ RUNNING, WATCH_EV_ENDED, WATCH_STARTING },
	{ OPEN, WATCH_EV_HELD, WATCH_PAUSED },
	{ RUNNING, WATCH_EV_UNCLEAR, STAYS },
	{ RUNNING, WATCH_EV_TAKEN, STAYS },
	{ RUNNING, WATCH_EV_ANSWERS, STAYS },
	{ RUNNING, WATCH_EV_DOUBT, STAYS },
	{ RUNNING, WATCH_EV_ILL, STAYS },
	{ RUNNING, WATCH_EV_DEADLY, STAYS },
	{ RUNNING, WATCH_EV_HELD, STAYS },
	{ ALL, WATCH_EV_STOP, WATCH_STOPPED },
};

bool watch_next(enum watch_state from, enum watch_event ev, enum watch_state *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].ev == ev && (rows[i].from & 1u << from)) {
			*ret = rows[i].to == STAYS ? from : (enum watch_state)rows[i].to;
			return true;
		}
	}
	return false;
}

const char *watch_state_name(enum watch_state s)
{
	static const char *const names[] = {
#define WATCH_STATE_NAME(sym, name, ...) [WATCH_##sym] = name,
		WATCH_STATES(WATCH_STATE_NAME)
#undef WATCH_STATE_NAME
	};

	return names[s];
}

const char *watch_event_name(enum watch_event ev)
{
	static const char *const names[] = {
#define WATCH_EVENT_NAME(sym, name) [WATCH_EV_##sym] = name,
		WATCH_EVENTS(WATCH_EVENT_NAME)
#undef WATCH_EVENT_NAME
	};

	return names[ev];
}

const char *watch_gate_name(enum watch_gate g)
{
	static const char *const names[] = {
#define WATCH_GATE_NAME(sym, name) [GATE_##sym] = name,
		WATCH_GATES(WATCH_GATE_NAME)
#undef WATCH_GATE_NAME
	};

	return names[g];
}
