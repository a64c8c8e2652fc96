/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_evidence - a saved ring: what is read is within its bounds, can be judged, and is written and read
 * again as it was; what is refused is refused with a reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void check_verdict(const struct facts *f)
{
	struct verdict v = verdict_of(f);
	json_t *text = json_string(v.why);

	must(text != NULL, "the reason is valid text");
	must(*v.why && !strchr(v.why, '\n'), "the reason is one line");
	must(v.again > f->now, "what is to be looked at again lies ahead");
	must(v.kind == verdict_kind_of(v.code), "code and kind agree");
	must(v.kind != VERDICT_DEAD || f->probe.how != HOW_FINE, "who answers lives");
	json_decref(text);
}

static void check_picture(const struct evidence_picture *p)
{
	struct facts *back = calloc(1, sizeof(*back));
	json_t *j = facts_json(&p->facts);
	struct err e = { 0 };

	must(p->facts.n_replicas >= 0 && p->facts.n_replicas <= FACT_REPLICAS, "replicas");
	must(p->facts.n_witnesses >= 0 && p->facts.n_witnesses <= FACT_WITNESSES, "witnesses");
	must(facts_read(j, back, &e), "what was written can be read");
	must(memcmp(back, &p->facts, sizeof(*back)) == 0, "facts come back as they were");
	json_decref(j);
	check_verdict(back);
	free(back);
}

static void check_ring(const struct evidence *v)
{
	json_t *j = evidence_json(v, "fuzz", 1000000000), *again;
	AUTO(evidence) struct evidence *back = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < evidence_pictures(v); i++)
		check_picture(evidence_picture(v, i));
	back = evidence_read(j, &e);
	must(back != NULL, "a ring that was written can be read");
	again = evidence_json(back, "fuzz", 1000000000);
	json_object_del(j, "saved");
	json_object_del(again, "saved");
	must(json_equal(j, again), "a ring comes back as it was");
	json_decref(j);
	json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *j = json_loadb((const char *)data, size, 0, NULL);
	struct err e = { 0 };

	if (!j)
		return 0;
	AUTO(evidence) struct evidence *v = evidence_read(j, &e);
	must(v || (e.kind == ERR_PARSE && *e.text), "a refusal has its reason");
	if (v)
		check_ring(v);
	json_decref(j);
	return 0;
}
