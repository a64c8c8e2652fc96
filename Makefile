# mhad - build, test, install.   `make help` lists the targets.
#
# Objects go to $(B) (default build/, with SAN= to build/<sanitizer>).  V=1 shows the commands.

VERSION := 0.1.0
MHA_COMPAT_VERSION := 0.58

SAN ?=
B ?= build$(if $(SAN),/$(SAN))
CC ?= cc
CLANG ?= clang
PYTHON ?= /usr/bin/python3
prefix ?= /usr/local
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
mandir ?= $(prefix)/share/man
sysconfdir ?= /etc
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# As many compilers as cores, unless -j was given.
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- flags -------------------------------------------------------------------------------------
PKGS_COMMON := libmariadb libconfig jansson libsystemd libzstd zlib
PKGS_DAEMON := libssh2 libmicrohttpd
pc_cflags = $(shell pkg-config --cflags $(1) 2>/dev/null)
pc_libs = $(shell pkg-config --libs $(1) 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-format-nonliteral -Werror
OPT ?= -O2 -g
HARDEN := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
LDHARDEN := -pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed
ifeq ($(SAN),address)
OPT := -O1 -g -fno-omit-frame-pointer
HARDEN := -fPIE -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDHARDEN := -pie -fsanitize=address,undefined -Wl,--as-needed
else ifeq ($(SAN),thread)
OPT := -O1 -g -fno-omit-frame-pointer
HARDEN := -fPIE -fsanitize=thread
LDHARDEN := -pie -fsanitize=thread -Wl,--as-needed
else ifneq ($(SAN),)
$(error SAN is "address" or "thread", not "$(SAN)")
endif

CPPFLAGS += -D_GNU_SOURCE -DMHAD_VERSION='"$(VERSION)"' -DMHA_COMPAT_VERSION='"$(MHA_COMPAT_VERSION)"' \
	-DMHAD_SYSCONFDIR='"$(sysconfdir)/mhad"' -Icommon
PKG_CFLAGS := $(call pc_cflags,$(PKGS_COMMON) $(PKGS_DAEMON))
ALL_CFLAGS = -std=c17 $(OPT) $(WARN) $(HARDEN) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS)
LIBS_COMMON := $(call pc_libs,$(PKGS_COMMON)) -lpthread
# A database host should need as little as can be: what there is as an archive goes into mha-node.
NODE_STATIC := $(if $(SAN),,$(foreach l,jansson zstd z,$(filter /%,$(shell $(CC) -print-file-name=lib$(l).a))))
LIBS_NODE := $(NODE_STATIC) $(LIBS_COMMON)
LIBS_DAEMON := $(call pc_libs,$(PKGS_DAEMON)) -lev -lm

# ---- what there is -----------------------------------------------------------------------------
COMMON_SRC := $(wildcard common/*.c)
NODE_SRC := $(wildcard node/*.c)
DAEMON_SRC := $(filter-out daemon/mhactl.c daemon/mhad.c,$(wildcard daemon/*.c))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SRC := $(wildcard tests/bench/bench_*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
UNITS := $(patsubst tests/unit/%.c,$(B)/test/%,$(UNIT_SRC))
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZ_SRC))
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(BENCH_SRC))

# MHA's names: links to the program that looks at argv[0].
CTL_NAMES := masterha_manager masterha_master_monitor masterha_check_ssh masterha_check_repl masterha_secondary_check masterha_check_status masterha_stop masterha_conf_host masterha_master_switch
NODE_NAMES := save_binary_logs apply_diff_relay_logs purge_relay_logs filter_mysqlbinlog
# Installed as they are into sysconfdir/mhad, unless they exist there.
CONF_FILES := mhad.conf node.conf
PROGRAMS := $(B)/bin/mhactl $(B)/bin/mha-node $(if $(wildcard daemon/mhad.c),$(B)/bin/mhad)
LINKS := $(addprefix $(B)/bin/,$(CTL_NAMES) $(NODE_NAMES))

.PHONY: all help deps check check-full unit fuzz fuzz-build lab demo bench lint install uninstall dist clean
all: $(PROGRAMS) $(LINKS)

help:
	@printf '%s\n' \
	'all        build the programs into $(B)/bin   (V=1, CC=clang, SAN=address|thread)' \
	'deps       install what is missing to build and test (Debian, as root)' \
	'check      deps, build, unit tests with sanitizers, short fuzzing, the lab: what CI runs' \
	'check-full check, and all that takes longer' \
	'unit lab fuzz lint bench   the parts of it' \
	'demo       a throw-away cluster on this machine, and what mhad sees of it' \
	'deb rpm    packages, into $(B)/deb and $(B)/rpm' \
	'install uninstall  DESTDIR= prefix=$(prefix) sysconfdir=$(sysconfdir)' \
	'dist clean'

# ---- compile and link --------------------------------------------------------------------------
$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Files that http_static.c takes in.
WWW := $(wildcard daemon/www/*) etc/api.schema.json
$(B)/obj/daemon/http_static.o build/fuzz/obj/daemon/http_static.o: $(WWW)

$(B)/libcommon.a: $(call obj,$(COMMON_SRC))
$(B)/libdaemon.a: $(call obj,$(DAEMON_SRC))
$(B)/libnode.a: $(call obj,$(filter-out node/mha-node.c,$(NODE_SRC)))
$(B)/%.a:
	@mkdir -p $(@D)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/bin/mhactl: $(B)/obj/daemon/mhactl.o $(B)/libdaemon.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON)

$(B)/bin/mhad: $(B)/obj/daemon/mhad.o $(B)/libdaemon.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON)

$(B)/bin/mha-node: $(B)/obj/node/mha-node.o $(B)/libnode.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_NODE)

$(addprefix $(B)/bin/,$(CTL_NAMES)): $(B)/bin/mhactl
	$(Q)ln -sf mhactl $@
$(addprefix $(B)/bin/,$(NODE_NAMES)): $(B)/bin/mha-node
	$(Q)ln -sf mha-node $@

# ---- tests -------------------------------------------------------------------------------------
$(B)/obj/tests/%.o: CPPFLAGS += -Idaemon -Inode
$(B)/test/%: $(B)/obj/tests/unit/%.o $(B)/libdaemon.a $(B)/libnode.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON) -lcmocka

# Small programs that lab tests drive.
TOOLS := $(patsubst tests/tools/%.c,$(B)/tools/%,$(wildcard tests/tools/*.c))
$(B)/tools/%: $(B)/obj/tests/tools/%.o $(B)/libdaemon.a $(B)/libnode.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON)

$(B)/bench/%: $(B)/obj/tests/bench/%.o $(B)/libdaemon.a $(B)/libnode.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON)

.PHONY: unit-build tools
unit-build: $(UNITS)
tools: $(TOOLS)
unit: unit-build
	@for t in $(UNITS); do $$t || exit 1; done
unit-%: $(B)/test/test_%
	$<

FUZZ_FLAGS := -std=c17 -O1 -g $(WARN) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) FUZZCC $<
	$(Q)$(CLANG) $(CPPFLAGS) -Idaemon -Inode $(FUZZ_FLAGS) $(PKG_CFLAGS) -MMD -MP -c $< -o $@
build/fuzz/libcommon.a: $(patsubst %.c,build/fuzz/obj/%.o,$(COMMON_SRC))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
build/fuzz/libdaemon.a: $(patsubst %.c,build/fuzz/obj/%.o,$(DAEMON_SRC))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
build/fuzz/libnode.a: $(patsubst %.c,build/fuzz/obj/%.o,$(filter-out node/mha-node.c,$(NODE_SRC)))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
build/fuzz/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o build/fuzz/libdaemon.a build/fuzz/libnode.a build/fuzz/libcommon.a
	$(say) LINK $@
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS_DAEMON) $(LIBS_COMMON)
fuzz-build: $(FUZZERS)

# Named one by one: the summary of what could not be tested is printed by the lab's conftest, which has to be loaded first.
TESTS := tests/lab $(wildcard tests/test_*.py)

FUZZ_SECONDS ?= 60
fuzz: fuzz-build
	@for f in $(FUZZERS); do tests/fuzz/run $$f $(FUZZ_SECONDS) || exit 1; done

# ---- everything else ---------------------------------------------------------------------------
deps:
	$(Q)packaging/deps $(DEPS)

check: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) all tools
	$(Q)$(MAKE) --no-print-directory $(JOBS) SAN=address unit-build
	$(Q)$(MAKE) --no-print-directory $(JOBS) fuzz-build
	$(Q)MHAD_BIN=$(CURDIR)/build/bin $(PYTHON) -m pytest -q -n 3 --dist loadfile $(TESTS) $(PYTEST_ARGS)

check-full: DEPS := full
check-full: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) all tools
	$(Q)$(MAKE) --no-print-directory $(JOBS) SAN=address unit-build all
	$(Q)$(MAKE) --no-print-directory $(JOBS) SAN=thread unit-build all
	$(Q)$(MAKE) --no-print-directory $(JOBS) CC=clang B=build/clang all
	$(Q)$(MAKE) --no-print-directory $(JOBS) fuzz-build
	$(Q)MHAD_FULL=1 MHAD_BIN=$(CURDIR)/build/bin $(PYTHON) -m pytest -q -n 3 --dist loadfile $(TESTS) $(PYTEST_ARGS)

lab: all tools
	$(Q)MHAD_BIN=$(CURDIR)/$(B)/bin $(PYTHON) -m pytest -q tests/lab $(PYTEST_ARGS)

demo: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) all
	$(Q)MHAD_BIN=$(CURDIR)/build/bin tests/lab/demo

bench: deps
	$(Q)$(MAKE) --no-print-directory $(JOBS) all $(BENCHES)
	$(Q)MHAD_BIN=$(CURDIR)/build/bin tests/bench/run $(BENCHES)

lint:
	$(Q)packaging/lint

MAN1 := $(wildcard packaging/man/*.1)
MAN7 := $(wildcard packaging/man/*.7)
MAN8 := $(wildcard packaging/man/*.8)
# Names that have no page of their own.
MAN_LINKS := $(foreach n,$(NODE_NAMES),$(n):mha-node) \
	$(foreach n,$(CTL_NAMES),$(if $(wildcard packaging/man/$(n).1),,$(n):masterha_manager))
SYSTEMD_UNITS := $(wildcard packaging/systemd/*)
docdir ?= $(prefix)/share/doc/mhad
scriptdir ?= $(prefix)/share/mhad/scripts
SCRIPTS := $(filter-out scripts/mhad-setup,$(wildcard scripts/*))
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir ?= $(prefix)/share/zsh/site-functions
DOCS := README.md README.zh-CN.md ARCHITECTURE.md LICENSE

# The settings of mhad.conf(5) come from the program's own table.
$(B)/man/mhad.conf.5: packaging/man/mhad.conf.5.in $(B)/bin/mhactl
	@mkdir -p $(@D)
	$(say) MAN $@
	$(Q)$(B)/bin/mhactl config manual >$@.list
	$(Q)sed -e '/@SETTINGS@/{r $@.list' -e 'd;}' $< >$@
	$(Q)rm $@.list

# From mhactl's own table of commands.
$(B)/completion/%: $(B)/bin/mhactl
	@mkdir -p $(@D)
	$(say) GEN $@
	$(Q)$(B)/bin/mhactl completion $* >$@

install: all $(B)/man/mhad.conf.5 $(B)/completion/bash $(B)/completion/zsh
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(sbindir) $(addprefix $(DESTDIR)$(mandir)/man,1 5 7 8) $(DESTDIR)$(docdir)/examples \
		$(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir) $(DESTDIR)$(scriptdir) \
		$(DESTDIR)$(bashcompdir) $(DESTDIR)$(zshcompdir) $(DESTDIR)$(sysconfdir)/logrotate.d \
		$(DESTDIR)$(sysconfdir)/mhad/clusters.d
	install -m 755 $(B)/bin/mhactl $(B)/bin/mha-node $(DESTDIR)$(bindir)
	$(if $(wildcard daemon/mhad.c),install -m 755 $(B)/bin/mhad $(DESTDIR)$(sbindir))
	for n in $(CTL_NAMES); do ln -sf mhactl $(DESTDIR)$(bindir)/$$n || exit 1; done
	for n in $(NODE_NAMES); do ln -sf mha-node $(DESTDIR)$(bindir)/$$n || exit 1; done
	install -m 755 $(filter-out scripts/%_common.sh,$(SCRIPTS)) $(DESTDIR)$(scriptdir)
	install -m 644 $(filter scripts/%_common.sh,$(SCRIPTS)) $(DESTDIR)$(scriptdir)
	install -m 644 $(MAN1) $(DESTDIR)$(mandir)/man1
	install -m 644 $(MAN7) $(DESTDIR)$(mandir)/man7
	install -m 644 $(MAN8) $(DESTDIR)$(mandir)/man8
	for l in $(MAN_LINKS); do ln -sf $${l#*:}.1 $(DESTDIR)$(mandir)/man1/$${l%:*}.1 || exit 1; done
	install -m 644 $(B)/man/mhad.conf.5 $(DESTDIR)$(mandir)/man5
	install -m 644 $(DOCS) $(DESTDIR)$(docdir)
	install -m 755 scripts/mhad-setup $(DESTDIR)$(sbindir)
	install -m 644 $(B)/completion/bash $(DESTDIR)$(bashcompdir)/mhactl
	for n in $(CTL_NAMES) mhad mha-node; do ln -sf mhactl $(DESTDIR)$(bashcompdir)/$$n || exit 1; done
	install -m 644 $(B)/completion/zsh $(DESTDIR)$(zshcompdir)/_mhactl
	install -m 644 packaging/logrotate/mhad $(DESTDIR)$(sysconfdir)/logrotate.d/mhad
	install -m 644 etc/* $(DESTDIR)$(docdir)/examples
	for u in $(SYSTEMD_UNITS); do sed 's|@bindir@|$(bindir)|g; s|@sbindir@|$(sbindir)|g; s|@sysconfdir@|$(sysconfdir)|g' $$u >$(DESTDIR)$(unitdir)/$${u##*/} || exit 1; done
	install -m 644 packaging/sysusers.d/mhad.conf $(DESTDIR)$(sysusersdir)
	install -m 644 packaging/tmpfiles.d/mhad.conf $(DESTDIR)$(tmpfilesdir)
	# Configuration that is there stays.
	for f in $(CONF_FILES); do [ -e $(DESTDIR)$(sysconfdir)/mhad/$$f ] || install -m 600 etc/$$f $(DESTDIR)$(sysconfdir)/mhad/$$f || exit 1; done
	$(if $(DESTDIR),,@echo 'to run mhad as a service: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload')

uninstall:
	for n in mhactl mha-node $(CTL_NAMES) $(NODE_NAMES); do rm -f $(DESTDIR)$(bindir)/$$n; done
	for m in $(notdir $(MAN1)); do rm -f $(DESTDIR)$(mandir)/man1/$$m; done
	for u in $(notdir $(SYSTEMD_UNITS)); do rm -f $(DESTDIR)$(unitdir)/$$u; done
	for m in $(notdir $(MAN7)); do rm -f $(DESTDIR)$(mandir)/man7/$$m; done
	for m in $(notdir $(MAN8)); do rm -f $(DESTDIR)$(mandir)/man8/$$m; done
	for l in $(MAN_LINKS); do rm -f $(DESTDIR)$(mandir)/man1/$${l%:*}.1; done
	for n in $(CTL_NAMES) mhad mha-node mhactl; do rm -f $(DESTDIR)$(bashcompdir)/$$n; done
	rm -f $(DESTDIR)$(zshcompdir)/_mhactl $(DESTDIR)$(sbindir)/mhad-setup $(DESTDIR)$(sysconfdir)/logrotate.d/mhad
	rm -f $(DESTDIR)$(sbindir)/mhad $(DESTDIR)$(mandir)/man5/mhad.conf.5 $(DESTDIR)$(sysusersdir)/mhad.conf \
		$(DESTDIR)$(tmpfilesdir)/mhad.conf
	rm -rf $(DESTDIR)$(docdir) $(DESTDIR)$(prefix)/share/mhad
	@echo 'configuration in $(DESTDIR)$(sysconfdir)/mhad is kept'

# Packages, from the tree as it is, into $(B)/deb and $(B)/rpm.  What was compiled for them before is not compiled again.
SHIPPED := common daemon node scripts etc packaging tests Makefile $(DOCS)
.PHONY: deb rpm
deb:
	@rm -rf $(B)/deb/src && mkdir -p $(B)/deb/src
	tar -c --exclude=__pycache__ $(SHIPPED) | tar -x -C $(B)/deb/src
	cp -r packaging/deb $(B)/deb/src/debian
	printf 'mhad (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n' '$(VERSION)' '$(VERSION)' \
		"$$(sed -n 's/^Maintainer: //p' packaging/deb/control)" "$$(date -R -r Makefile)" >$(B)/deb/src/debian/changelog
	cd $(B)/deb/src && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL MHAD_OBJ=$(abspath $(B))/deb/obj \
		DEB_BUILD_OPTIONS=parallel=$(shell nproc) dpkg-buildpackage -us -uc -b
	@ls $(B)/deb/*.deb

rpm:
	@rm -rf $(B)/rpm && mkdir -p $(B)/rpm/SOURCES
	tar -c -z --exclude=__pycache__ --transform='s,^,mhad-$(VERSION)/,' -f $(B)/rpm/SOURCES/mhad-$(VERSION).tar.gz $(SHIPPED)
	rpmbuild -bb $(if $(wildcard /etc/debian_version),--nodeps) --define '_topdir $(abspath $(B))/rpm' \
		--define 'mhad_version $(VERSION)' --define 'mhad_build $(abspath $(B))/rpm-obj' packaging/rpm/mhad.spec
	@ls $(B)/rpm/RPMS/*/*.rpm

dist:
	@mkdir -p build
	git archive --format=tar.gz --prefix=mhad-$(VERSION)/ -o build/mhad-$(VERSION).tar.gz HEAD
	@echo build/mhad-$(VERSION).tar.gz

clean:
	rm -rf build

-include $(shell find $(B)/obj build/fuzz/obj -name '*.d' 2>/dev/null)
.SECONDARY:
.DELETE_ON_ERROR:
