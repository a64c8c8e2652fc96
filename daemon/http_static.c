/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_static - the files of daemon/www and the schema of the API, compiled in by the assembler (the build runs at
 * the root of the tree).  Runs on: the HTTP thread.
 */
#include "http_impl.h"
#include <stdio.h>
#include <string.h>

#define COMPILED_IN(name, path)                                                                    \
	__asm__(".section .rodata\n"                                                               \
	        ".global file_" #name "\n"                                                         \
	        ".global file_" #name "_end\n"                                                     \
	        "file_" #name ":\n.incbin \"" path "\"\n"                                          \
	        "file_" #name "_end:\n.byte 0\n.previous\n");                                      \
	extern const char file_##name[], file_##name##_end[];

COMPILED_IN(css, "daemon/www/page.css")
COMPILED_IN(js, "daemon/www/page.js")
COMPILED_IN(well, "daemon/www/well.svg")
COMPILED_IN(odd, "daemon/www/odd.svg")
COMPILED_IN(ill, "daemon/www/ill.svg")
COMPILED_IN(down, "daemon/www/down.svg")
COMPILED_IN(schema, "etc/api.schema.json")

static const struct {
	const char *name, *type, *begin, *end;
} files[] = {
	{ "page.css", "text/css; charset=utf-8", file_css, file_css_end },
	{ "page.js", "text/javascript; charset=utf-8", file_js, file_js_end },
	{ "well.svg", "image/svg+xml", file_well, file_well_end },
	{ "odd.svg", "image/svg+xml", file_odd, file_odd_end },
	{ "ill.svg", "image/svg+xml", file_ill, file_ill_end },
	{ "down.svg", "image/svg+xml", file_down, file_down_end },
	{ "api.schema.json", "application/schema+json", file_schema, file_schema_end },
};

/* One for all of them: they come and go together. */
const char *http_static_tag(void)
{
	static char tag[20];
	uint64_t h = 14695981039346656037u;

	if (*tag)
		return tag;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		for (const char *p = files[i].begin; p < files[i].end; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211u;
	}
	snprintf(tag, sizeof(tag), "%016llx", (unsigned long long)h);
	return tag;
}

bool http_static(struct http_request *r, const char *name)
{
	char etag[24];

	snprintf(etag, sizeof(etag), "\"%s\"", http_static_tag());
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (str_is(name, files[i].name))
			return http_reply_static(r, files[i].type, etag, files[i].begin,
			        (size_t)(files[i].end - files[i].begin));
	}
	return http_reply_error(r, 404, "Not found", "There is no such file.");
}
