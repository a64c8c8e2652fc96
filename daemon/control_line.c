/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_line - reading one request, writing what is not a handler's.  jansson does the JSON; what it
 * lacks is a limit of the depth before it recurses.
 */
#include "control_line.h"
#include "control.h"
#include "str.h"

#define ID_MAX ((json_int_t)1 << 53) /* what every JSON reader keeps exactly */

/* Brackets outside of strings; what is wrong with them otherwise is told by the parser. */
static bool is_shallow(const char *p, size_t n)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (in_string && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			in_string = !in_string;
		else if (!in_string && (p[i] == '{' || p[i] == '['))
			depth++;
		else if (!in_string && (p[i] == '}' || p[i] == ']'))
			depth--;
		if (depth > CONTROL_DEPTH_MAX)
			return false;
	}
	return true;
}

static bool is_verb(const json_t *j)
{
	const char *s = json_string_value(j);

	if (!s || !*s || json_string_length(j) > 32)
		return false;
	for (; *s; s++) {
		if (!((*s >= 'a' && *s <= 'z') || *s == '_' || *s == '-'))
			return false;
	}
	return true;
}

static bool check_names(json_t *root, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach(root, name, value)
	{
		if (!str_is(name, "id") && !str_is(name, "verb") && !str_is(name, "args"))
			return err_set(e, ERR_PARSE, 0,
			        "a request has \"id\", \"verb\" and \"args\", not \"%.40s\"", name);
	}
	return true;
}

static bool read_request(
        json_t *root, struct control_request *ret, json_int_t *ret_id, struct err *e)
{
	const json_t *id = json_object_get(root, "id"), *verb = json_object_get(root, "verb");
	json_t *args = json_object_get(root, "args");

	if (!json_is_object(root))
		return err_set(e, ERR_PARSE, 0, "a request is a JSON object");
	if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > ID_MAX)
		return err_set(e, ERR_PARSE, 0, "\"id\" has to be a whole number from 0 to 2^53");
	*ret_id = json_integer_value(id);
	if (!check_names(root, e))
		return false;
	if (!is_verb(verb))
		return err_set(e, ERR_PARSE, 0, "\"verb\" has to be a word like \"status\"");
	if (args && !json_is_object(args))
		return err_set(e, ERR_PARSE, 0, "\"args\" has to be an object");
	if (!args) {
		args = json_object();
		json_object_set_new(root, "args", args);
	}
	*ret = (struct control_request){
		.id = *ret_id, .verb = json_string_value(verb), .args = args, .root = root
	};
	return true;
}

bool control_line_parse(
        const char *line, size_t n, struct control_request *ret, json_int_t *ret_id, struct err *e)
{
	json_error_t je;
	json_t *root;

	*ret_id = -1;
	if (!is_shallow(line, n))
		return err_set(
		        e, ERR_PARSE, 0, "JSON of more than %d levels", (int)CONTROL_DEPTH_MAX);
	root = json_loadb(line, n, JSON_REJECT_DUPLICATES, &je);
	if (!root)
		return err_set(e, ERR_PARSE, 0, "not JSON at byte %d: %s", je.position, je.text);
	if (read_request(root, ret, ret_id, e))
		return true;
	json_decref(root);
	return false;
}

void control_add_greeting(struct str *out)
{
	str_addf(out, "{\"mhad\":\"%s\",\"protocol\":%d}\n", MHAD_VERSION, CONTROL_PROTOCOL);
}

void control_add_id(struct str *out, json_int_t id)
{
	if (id < 0)
		str_add(out, "{\"id\":null");
	else
		str_addf(out, "{\"id\":%" JSON_INTEGER_FORMAT, id);
}

static void add_member(struct str *out, const char *name, const char *text)
{
	str_addf(out, ",\"%s\":\"", name);
	str_add_json(out, text);
	str_addc(out, '"');
}

void control_add_error(struct str *out, json_int_t id, const struct err *e)
{
	control_add_id(out, id);
	str_addf(out, ",\"ok\":false,\"error\":{\"kind\":\"%s\",\"code\":%d",
	        err_kind_name(e->kind), e->code);
	if (e->host[0])
		add_member(out, "host", e->host);
	add_member(out, "text", e->text);
	add_member(out, "hint", e->hint);
	str_add(out, "}}\n");
}
