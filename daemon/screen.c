/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen - drawing.  Runs on: any thread.
 */
#include "screen.h"
#include "live.h"
#include "vec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum style { PLAIN, BOLD, DIM, BAD, ODD, GOOD, TITLE, CHOSEN };

static const char *const codes[] = {
	[PLAIN] = "",
	[BOLD] = "\033[1m",
	[DIM] = "\033[2m",
	[BAD] = "\033[1;31m",
	[ODD] = "\033[33m",
	[GOOD] = "\033[32m",
	[TITLE] = "\033[7m",
	[CHOSEN] = "\033[7m",
};

/* Where the frame is being written. */
struct pen {
	struct str *out;
	int rows, cols;
	int row, col; /* written so far */
	bool colour;
};

static void end_line(struct pen *p)
{
	if (p->row >= p->rows)
		return;
	str_add(p->out, "\033[K");
	if (++p->row < p->rows)
		str_add(p->out, "\r\n");
	p->col = 0;
}

static void put(struct pen *p, enum style style, const char *text)
{
	size_t n = live_cut(text, (size_t)(p->cols - p->col));
	/* Reversed lines carry meaning, so they stay where colours are not wanted. */
	bool styled = p->colour || style == TITLE || style == CHOSEN;

	if (p->row >= p->rows || !n)
		return;
	str_add(p->out, styled ? codes[style] : "");
	str_addn(p->out, text, n);
	for (size_t i = 0; i < n; i++)
		p->col += ((unsigned char)text[i] & 0xc0) != 0x80;
	str_add(p->out, styled && *codes[style] ? "\033[0m" : "");
}

static void put_spaces(struct pen *p, enum style style, int n)
{
	AUTO_STR struct str s = STR_INIT;

	if (n <= 0)
		return;
	str_addf(&s, "%*s", n, "");
	put(p, style, s.p);
}

static void put_line(struct pen *p, enum style style, const char *text)
{
	put(p, style, text);
	end_line(p);
}

/* ---- the order of clusters -------------------------------------------------------------------- */

struct row {
	const json_t *cluster;
	bool well;
	size_t place;
};

struct rows {
	struct row *items;
	size_t len, cap;
};

static int by_trouble(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->well != y->well)
		return x->well - y->well;
	return x->place < y->place ? -1 : 1;
}

/* What is not well comes first; else as mhad has them. */
static struct rows rows_of(const json_t *status)
{
	struct rows rows = VEC_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, one)
	        vec_push(&rows, (struct row){ one, live_is_well(one, NULL), i });
	if (rows.len)
		qsort(rows.items, rows.len, sizeof(*rows.items), by_trouble);
	return rows;
}

static const char *name_of(const json_t *cluster)
{
	const char *name = json_string_value(json_object_get(cluster, "name"));

	return name ? name : "";
}

static size_t chosen(const struct rows *rows, const struct screen_view *v)
{
	for (size_t i = 0; i < rows->len; i++) {
		if (str_is(name_of(rows->items[i].cluster), v->selected))
			return i;
	}
	return 0;
}

/* ---- head and foot ---------------------------------------------------------------------------- */

static void add_counts(struct str *out, const json_t *status)
{
	const json_t *clusters = json_object_get(status, "clusters"), *one;
	size_t i, ill = 0;

	json_array_foreach(clusters, i, one)
	{
		ill += !live_is_well(one, NULL);
	}
	str_addf(out, "   %zu cluster%s, ", json_array_size(clusters),
	        json_array_size(clusters) == 1 ? "" : "s");
	if (ill)
		str_addf(out, "%zu NOT WELL", ill);
	else
		str_add(out, "all well");
}

static void draw_head(struct pen *p, const json_t *status, const struct screen_view *v)
{
	AUTO_STR struct str left = STR_INIT, right = STR_INIT;

	str_addc(&left, ' ');
	if (status) {
		live_add_daemon(&left, status);
		add_counts(&left, status);
	} else {
		str_add(&left, "mhad");
	}
	if (v->age_ms > 0) {
		live_add_span(&right, v->age_ms);
		str_add(&right, " old ");
	}
	put(p, TITLE, left.p);
	put_spaces(p, TITLE, p->cols - p->col - (int)live_width(right.p));
	put_line(p, TITLE, right.p);
}

static void draw_notice(struct pen *p, const json_t *status, const struct screen_view *v)
{
	AUTO_STR struct str text = STR_INIT;

	if (v->problem) {
		str_add(&text, " NOT CONNECTED, trying again: ");
		live_add_clean(&text, v->problem);
		put(p, BAD, text.p);
	} else if (v->note) {
		str_addf(&text, " %s", v->note);
		put(p, ODD, text.p);
	} else if (json_is_string(json_object_get(status, "tilt"))) {
		str_add(&text, " Nothing is decided at the moment: ");
		live_add(&text, status, "tilt");
		put(p, ODD, text.p);
	}
	end_line(p);
}

static void draw_foot(struct pen *p, const struct screen_view *v)
{
	while (p->row < p->rows - 1)
		end_line(p);
	put_line(p, DIM,
	        v->detail ? " q quit  esc back  up/down scroll"
	                  : " q quit  up/down choose  enter details");
}

/* ---- the table -------------------------------------------------------------------------------- */

/* Which columns go first when the screen is narrow; the cluster, its state and verdict stay. */
static const enum live_col dispensable[] = { LIVE_FAILOVER, LIVE_LAG, LIVE_SINCE, LIVE_REPLICAS,
	LIVE_PROBE, LIVE_MASTER };
/* This is the last column and may be cut short down to so much. */
enum { FAILOVER_LEAST = 16, COL_MOST = 28 };

static void measure(const struct rows *rows, int width[LIVE_COLS])
{
	AUTO_STR struct str text = STR_INIT;

	for (int c = 0; c < LIVE_COLS; c++)
		width[c] = (int)live_width(live_titles[c]);
	for (size_t i = 0; i < rows->len; i++) {
		for (int c = 0; c < LIVE_COLS; c++) {
			int w;

			str_clear(&text);
			live_cell(&text, rows->items[i].cluster, (enum live_col)c);
			w = (int)live_width(text.p);
			width[c] = w > width[c] ? w : width[c];
		}
	}
	for (int c = 0; c < LIVE_COLS; c++)
		width[c] = width[c] > COL_MOST && c != LIVE_FAILOVER ? COL_MOST : width[c];
	if (width[LIVE_FAILOVER] > FAILOVER_LEAST)
		width[LIVE_FAILOVER] = FAILOVER_LEAST;
}

static void fit(int width[LIVE_COLS], int cols)
{
	int sum = 0;

	for (int c = 0; c < LIVE_COLS; c++)
		sum += width[c] + (c ? 2 : 1);
	for (size_t i = 0; i < ARRAY_LEN(dispensable) && sum > cols; i++) {
		sum -= width[dispensable[i]] + 2;
		width[dispensable[i]] = -1;
	}
}

static enum style style_of(const struct row *row, int col)
{
	if (col == LIVE_VERDICT && row->well)
		return GOOD;
	if (col == LIVE_VERDICT || col == LIVE_STATE)
		return row->well ? PLAIN : BAD;
	if (col == LIVE_CLUSTER)
		return BOLD;
	return col == LIVE_FAILOVER ? DIM : PLAIN;
}

static void draw_titles(struct pen *p, const int width[LIVE_COLS])
{
	put(p, BOLD, " ");
	for (int c = 0; c < LIVE_COLS; c++) {
		if (width[c] < 0)
			continue;
		put(p, BOLD, live_titles[c]);
		put_spaces(p, PLAIN, width[c] - (int)live_width(live_titles[c]) + 2);
	}
	end_line(p);
}

static void draw_row(
        struct pen *p, const struct row *row, const int width[LIVE_COLS], bool is_chosen)
{
	AUTO_STR struct str text = STR_INIT;

	put(p, is_chosen ? CHOSEN : PLAIN, is_chosen ? ">" : " ");
	for (int c = 0; c < LIVE_COLS; c++) {
		enum style style = is_chosen ? CHOSEN : style_of(row, c);

		if (width[c] < 0)
			continue;
		str_clear(&text);
		live_cell(&text, row->cluster, (enum live_col)c);
		if (c != LIVE_FAILOVER)
			str_cut(&text, live_cut(text.p, (size_t)width[c]));
		put(p, style, text.p);
		put_spaces(p, is_chosen ? CHOSEN : PLAIN, width[c] - (int)live_width(text.p) + 2);
	}
	end_line(p);
}

/* The chosen row is on the screen, and the screen is as full as it can be. */
static size_t scroll_to(size_t top, size_t at, size_t len, size_t room)
{
	if (at < top)
		top = at;
	if (room && at >= top + room)
		top = at - room + 1;
	if (len <= room)
		return 0;
	return top > len - room ? len - room : top;
}

static void draw_sentence(struct pen *p, const struct rows *rows, size_t at)
{
	AUTO_STR struct str text = STR_INIT;
	const struct row *row = rows->len ? &rows->items[at] : NULL;
	size_t n;

	end_line(p);
	if (!row)
		return;
	str_addc(&text, ' ');
	live_add(&text, row->cluster, "name");
	str_add(&text, ": ");
	if (live_is_well(row->cluster, &text))
		live_add_sentence(&text, row->cluster);
	n = live_cut(text.p, (size_t)p->cols);
	put_line(p, row->well ? PLAIN : ODD, text.p);
	put_line(p, row->well ? PLAIN : ODD, text.p + n);
}

static void draw_table(struct pen *p, const json_t *status, struct screen_view *v)
{
	struct rows rows = rows_of(status);
	int room = p->rows - p->row - 5; /* titles, a space, the sentence's two, the keys */
	size_t at = chosen(&rows, v);
	int width[LIVE_COLS];

	room = room < 1 ? 1 : room;
	measure(&rows, width);
	fit(width, p->cols);
	v->top = scroll_to(v->top, at, rows.len, (size_t)room);
	draw_titles(p, width);
	for (size_t i = v->top; i < rows.len && i < v->top + (size_t)room; i++)
		draw_row(p, &rows.items[i], width, i == at);
	if (!rows.len)
		put_line(p, PLAIN, status ? " mhad watches no cluster." : " Nothing is known yet.");
	while (p->row < p->rows - 4)
		end_line(p);
	draw_sentence(p, &rows, at);
	vec_done(&rows);
}

/* ---- one cluster ------------------------------------------------------------------------------ */

static void add_detail(struct str *page, const json_t *cluster, const json_t *why)
{
	if (!cluster) {
		str_add(page, "mhad does not watch this cluster any more.\n");
		return;
	}
	live_cluster(page, cluster);
	if (!why || !str_is(name_of(why), name_of(cluster))) {
		str_add(page, "\nThe evidence is being read.\n");
		return;
	}
	live_gates(page, why);
	live_evidence(page, why);
}

/* Where to break a line that is too long: behind its last space that fits, else where it must. */
static size_t break_at(const char *line, size_t width)
{
	size_t n = live_cut(line, width), at = n;

	if (!line[n])
		return n;
	while (at > 0 && line[at] != ' ')
		at--;
	return at > strspn(line, " ") ? at : n;
}

/* Lines as long as the screen is wide; what goes over is set in a little further. */
static void wrap_line(struct str *out, const char *line, size_t width)
{
	int indent = (int)strspn(line, " ") + 2;
	size_t n = break_at(line, width);

	str_addn(out, line, n);
	if ((size_t)indent * 2 > width)
		indent = 0;
	for (line += n; *line; line += n) {
		line += strspn(line, " ");
		n = break_at(line, width - (size_t)indent);
		if (n)
			str_addf(out, "\n%*s%.*s", indent, "", (int)n, line);
	}
	str_addc(out, '\n');
}

/* Returns the number of lines. */
static size_t wrap(struct str *out, char *page, size_t width)
{
	size_t lines = 0;
	char *next;

	for (char *line = page; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		wrap_line(out, line, width ? width : 1);
	}
	for (const char *p = out->p; *p; p++)
		lines += *p == '\n';
	return lines;
}

static void draw_detail(
        struct pen *p, const json_t *status, const json_t *why, struct screen_view *v)
{
	AUTO_STR struct str page = STR_INIT, lines = STR_INIT;
	struct rows rows = rows_of(status);
	size_t room = (size_t)(p->rows - p->row > 1 ? p->rows - p->row - 1 : 0), n;
	char *line, *end;

	add_detail(&page,
	        *v->selected || !rows.len ? live_find(status, v->selected) : rows.items[0].cluster,
	        why);
	vec_done(&rows);
	n = wrap(&lines, page.p, (size_t)p->cols - 1);
	if (n <= room)
		v->top = 0;
	else if (v->top > n - room)
		v->top = n - room;
	line = lines.p;
	for (size_t i = 0; i < v->top + room && *line; i++, line = end + 1) {
		end = line + strcspn(line, "\n");
		*end = '\0';
		if (i < v->top)
			continue;
		put(p, PLAIN, " ");
		put_line(p, i ? PLAIN : BOLD, line);
	}
}

void screen_draw(struct str *out, const json_t *status, const json_t *why, struct screen_view *v)
{
	struct pen p = { .out = out,
		.rows = v->rows > 1 ? v->rows : 1,
		.cols = v->cols > 1 ? v->cols : 1,
		.colour = v->colour };

	str_add(out, "\033[H");
	draw_head(&p, status, v);
	draw_notice(&p, status, v);
	if (v->detail)
		draw_detail(&p, status, why, v);
	else
		draw_table(&p, status, v);
	draw_foot(&p, v);
}

/* ---- keys ------------------------------------------------------------------------------------- */

static void choose(struct screen_view *v, const struct rows *rows, size_t at)
{
	snprintf(v->selected, sizeof(v->selected), "%s", name_of(rows->items[at].cluster));
}

static size_t moved(size_t at, size_t len, enum screen_key key, size_t page)
{
	switch (key) {
	case SCREEN_UP: return at ? at - 1 : 0;
	case SCREEN_DOWN: return at + 1 < len ? at + 1 : at;
	case SCREEN_PAGE_UP: return at > page ? at - page : 0;
	case SCREEN_PAGE_DOWN: return at + page < len ? at + page : len ? len - 1 : 0;
	case SCREEN_HOME: return 0;
	case SCREEN_END: return len ? len - 1 : 0;
	default: return at;
	}
}

void screen_key(struct screen_view *v, enum screen_key key, const json_t *status)
{
	size_t page = v->rows > 8 ? (size_t)v->rows - 7 : 1;
	struct rows rows = rows_of(status);

	if (v->detail && key == SCREEN_BACK) {
		v->detail = false;
		v->top = 0;
	} else if (v->detail) {
		v->top = moved(v->top, SIZE_MAX, key, page);
	} else if (rows.len && key == SCREEN_ENTER) {
		choose(v, &rows, chosen(&rows, v));
		v->detail = true;
		v->top = 0;
	} else if (rows.len && key != SCREEN_NONE && key != SCREEN_BACK) {
		choose(v, &rows, moved(chosen(&rows, v), rows.len, key, page));
	}
	vec_done(&rows);
}
