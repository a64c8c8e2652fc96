/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge_files - holds relay logs open, and frees them slowly.
 * Runs on: any thread.
 */
#include "purge_files.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "logs.h"

/* At most so many: descriptors are shared with all else in the process. */
#define FILES_MAX 512

/* 1.6 GB a second. */
#define STEP_BYTES   (32 << 20)
#define STEP_WAIT_NS 20000000

static bool hold_one(struct purge_files *f, const char *path)
{
	struct purge_file one = { .fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK),
		.writable = true };
	struct stat st;

	if (one.fd < 0) {
		one.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		one.writable = false;
	}
	if (one.fd < 0)
		return false;
	if (fstat(one.fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(one.fd);
		return true;
	}
	vec_push(&f->items, one);
	return true;
}

bool purge_files_hold(
        struct purge_files *f, const char *dir, const char *prefix, FILE *out, struct err *e)
{
	struct logs all;
	bool ok = true;

	if (!logs_in_folders(dir, prefix, NULL, &all, e))
		return false;
	for (size_t i = 0; ok && i < all.files.len && f->items.len < FILES_MAX; i++) {
		fprintf(out, " Opening %s ..\n", all.files.items[i].path);
		ok = hold_one(f, all.files.items[i].path) ||
		     err_sys(e, "open %s", all.files.items[i].path);
	}
	logs_done(&all);
	return ok;
}

static bool is_gone(const struct purge_file *one, struct stat *st)
{
	return fstat(one->fd, st) == 0 && st->st_nlink == 0;
}

bool purge_files_are_gone(const struct purge_files *f)
{
	struct stat st;

	vec_each (struct purge_file, one, &f->items)
		if (!is_gone(one, &st))
			return false;
	return true;
}

size_t purge_files_count_gone(const struct purge_files *f, uint64_t *ret_bytes)
{
	size_t n = 0;
	struct stat st;

	*ret_bytes = 0;
	vec_each (struct purge_file, one, &f->items) {
		if (!is_gone(one, &st))
			continue;
		n++;
		*ret_bytes += (uint64_t)st.st_blocks * 512;
	}
	return n;
}

/* A write lease is given only for a file that nobody else has open: then nobody reads it any more.
 */
static bool nobody_reads(const struct purge_file *one)
{
	return fcntl(one->fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(one->fd, F_SETLEASE, F_UNLCK) == 0;
}

static void shrink(const struct purge_file *one, struct verb_io *io)
{
	static const struct timespec pause = { .tv_nsec = STEP_WAIT_NS };
	struct stat st;

	if (!one->writable || !is_gone(one, &st) || st.st_size <= STEP_BYTES || !nobody_reads(one))
		return;
	for (off_t size = st.st_size - STEP_BYTES; size > 0; size -= STEP_BYTES) {
		if (!verb_go_on(io, NULL) || ftruncate(one->fd, size) < 0)
			return;
		nanosleep(&pause, NULL);
	}
}

void purge_files_release(struct purge_files *f, struct verb_io *io)
{
	vec_each (struct purge_file, one, &f->items) {
		shrink(one, io);
		close(one->fd);
	}
	vec_done(&f->items);
}
