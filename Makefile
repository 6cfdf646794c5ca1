# SPDX-License-Identifier: ISC
# make, make check, make run, make install, make lint, make fuzz, make bench, make torture, make
# mutants, make format.
# Variables: CC, B (build folder), SANITIZE=1 (ASan and UBSan), FUZZ_SECONDS (a target), prefix,
# sysconfdir, DESTDIR.

B        ?= build
FUZZ_B   ?= build-fuzz
Q        := $(if $(V),,@)
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
prefix   ?= /usr
sysconfdir ?= /etc
libexecdir ?= $(prefix)/libexec/postrider
mandir   ?= $(prefix)/share/man

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wvla -Wno-unused-parameter
CPPFLAGS += -I. -D_GNU_SOURCE -DPOSTRIDER_CONFIG_DIR='"$(sysconfdir)/postrider"' \
            -DPOSTRIDER_COMMAND_DIR='"$(prefix)/sbin"' -DPOSTRIDER_DAEMON_DIR='"$(libexecdir)"'
CFLAGS   ?= -O2 -g
CFLAGS   += -std=gnu17 $(WARN) -fno-strict-aliasing -fstack-protector-strong -fPIE -pthread
ifdef SANITIZE
CFLAGS   += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
LDFLAGS  += -fsanitize=address,undefined
else ifdef FUZZ
CFLAGS   += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
LDFLAGS  += -fsanitize=fuzzer,address,undefined
else
FORTIFY  := -D_FORTIFY_SOURCE=2
endif
LDFLAGS  += -pie -Wl,-z,relro,-z,now,--as-needed -pthread
# Tables that a server holds: a type whose library is not there is left out.
have      = $(if $(shell $(CC) $(CPPFLAGS) $(1) -x c -include $(2) -E /dev/null >/dev/null 2>&1 && echo y),$(3))
SERVER_INCLUDES := -I/usr/include/postgresql -I/usr/include/mariadb -I/usr/include/hiredis
SERVER_TYPES := $(call have,$(SERVER_INCLUDES),libpq-fe.h,pgsql) $(call have,$(SERVER_INCLUDES),mysql.h,mysql) \
                $(call have,$(SERVER_INCLUDES),ldap.h,ldap) $(call have,$(SERVER_INCLUDES),hiredis.h,redis) \
                $(call have,$(SERVER_INCLUDES),sqlite3.h,sqlite)
server_lib_pgsql := -lpq
server_lib_mysql := -lmariadb
server_lib_ldap  := -lldap -llber
server_lib_redis := -lhiredis
server_lib_sqlite := -lsqlite3
SERVER_LIBS := $(foreach t,$(SERVER_TYPES),$(server_lib_$(t)))

# Local tables, the same way.  NO_BDB=1: as where there is no Berkeley DB.
LOCAL_TYPES := $(if $(NO_BDB),,$(call have,,db.h,bdb)) $(call have,-DPCRE2_CODE_UNIT_WIDTH=8,pcre2.h,pcre) \
               $(call have,,lmdb.h,lmdb) $(call have,,cdb.h,cdb)
local_lib_bdb  := -ldb-5.3
local_lib_pcre := -lpcre2-8
local_lib_lmdb := -llmdb
local_lib_cdb  := -lcdb
LOCAL_DEFINES  := $(if $(LOCAL_TYPES),$(shell echo $(LOCAL_TYPES:%=-DHAVE_%) | tr a-z A-Z))
CPPFLAGS += $(LOCAL_DEFINES)

LIBS     := -lev $(foreach t,$(LOCAL_TYPES),$(local_lib_$(t))) -lseccomp -lidn2 -ljansson -lssl -lcrypto -lcrypt -lsasl2 -lresolv -lpsl -lexpat -lz -lm

# Libraries, lowest first; lint/includes.sh knows the same order.
LIB_DIRS := common/base common/net common/mail common/config common/sasl common/proto common/process common/tls tables routing authn policy delivery/lib
# A daemon has a folder of its name; main() is in its main.c.
# Policies by HTTPS: with libcurl only.
HAVE_CURL := $(call have,,curl/curl.h,y)
daemon_libs_mtasts := -lcurl
DAEMON_DIRS := master $(if $(HAVE_CURL),mtasts) tlsrpt smtpd cleanup qmgr bounce pickup showq resolver proxymap verify anvil tlsmgr auth mailauth signer \
               delivery/smtp delivery/local delivery/virtual delivery/pipe

# Linked by proxymap and the commands alone.
SERVER_SRCS := $(filter-out %_test.c %_fuzz.c,$(patsubst %,tables/servers/%.c,pool server_table servers small_protocol socket socketmap tcp) \
               $(foreach t,$(SERVER_TYPES),$(wildcard tables/servers/$(t).c tables/servers/$(t)_*.c)))

not_test  = $(filter-out %_test.c %_fuzz.c,$(1))
LEFT_OUT  := $(foreach t,bdb cdb lmdb pcre,$(if $(filter $(t),$(LOCAL_TYPES)),,tables/$(t).c tables/$(t)_read.c tables/$(t)_write.c)) $(if $(filter lmdb,$(LOCAL_TYPES)),,tables/served_index.c)
LIB_SRCS  := $(filter-out $(LEFT_OUT),$(call not_test,$(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c))))
TOOL_LIB_SRCS := $(call not_test,$(wildcard tools/lib/*.c))
TOOL_SRCS := $(call not_test,$(wildcard tools/*.c))
DAEMONS   := $(foreach d,$(DAEMON_DIRS),$(if $(wildcard $(d)/main.c),$(d)))
DAEMON_SRCS := $(call not_test,$(foreach d,$(DAEMON_DIRS),$(wildcard $(d)/*.c)))
TEST_SRCS := $(wildcard $(foreach d,$(LIB_DIRS) tables/servers $(DAEMON_DIRS) tools tools/lib,$(d)/*_test.c))
FUZZ_SRCS := $(wildcard $(foreach d,$(LIB_DIRS) tables/servers $(DAEMON_DIRS) tools/lib,$(d)/*_fuzz.c))
# Linked with each test and each fuzz target.
SUPPORT_SRCS := $(wildcard tests/support/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB       := $(B)/libpostrider.a
SERVER_LIB := $(B)/libpostrider-servers.a
DAEMON_BINS := $(foreach d,$(DAEMONS),$(B)/libexec/$(notdir $(d)))
TOOL_BINS := $(patsubst tools/%.c,$(B)/sbin/%,$(TOOL_SRCS))
TEST_BINS := $(patsubst %.c,$(B)/test/%,$(TEST_SRCS))
FUZZ_BINS := $(patsubst %.c,$(B)/fuzz/%,$(FUZZ_SRCS))

# Objects stay: make would take them for intermediate files.
.SECONDARY:
.PHONY: bench compat torture all check unit e2e run install lint format clean fuzz fuzzers
all: $(DAEMON_BINS) $(TOOL_BINS) links

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(FORTIFY) $(CFLAGS) -MMD -MP -c -o $@ $<

# siglongjmp between stacks: see common/base/task.c
$(B)/obj/common/base/task.o: FORTIFY :=

$(LIB): $(call obj,$(LIB_SRCS))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(call obj,$(wildcard tables/servers/*.c)): CPPFLAGS += $(SERVER_INCLUDES) \
	$(foreach t,$(SERVER_TYPES),-DHAVE_$(shell echo $(t) | tr a-z A-Z))

$(SERVER_LIB): $(call obj,$(SERVER_SRCS))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

define daemon_rule
$(B)/libexec/$(notdir $(1)): $(call obj,$(call not_test,$(wildcard $(1)/*.c))) $(if $(filter proxymap,$(1)),$(SERVER_LIB)) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ $(if $(filter proxymap,$(1)),$(SERVER_LIBS)) $(LIBS) $(daemon_libs_$(notdir $(1)))
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon_rule,$(d))))

$(B)/sbin/%: $(B)/obj/tools/%.o $(call obj,$(TOOL_LIB_SRCS)) $(SERVER_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(LIBS)

# A test stands beside its source and links the other files of its folder, main() aside.
folder = $(patsubst %/,%,$(dir $(1)))
folder_objs = $(if $(filter tools tools/lib,$(call folder,$(1))),$(call obj,$(TOOL_LIB_SRCS)),$(if $(filter \
	$(LIB_DIRS) tables/servers,$(call folder,$(1))),,$(call obj,$(filter-out %/main.c,$(call not_test,$(wildcard $(dir $(1))*.c))))))
# $(1): source, $(2): test or fuzz, $(3): libraries
define test_rule
$(B)/$(2)/$(1:.c=): $(call obj,$(1) $(SUPPORT_SRCS)) $(call folder_objs,$(1)) $(if $(filter tables/servers/% proxymap/%,$(1)),$(SERVER_LIB)) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ $(if $(filter tables/servers/% proxymap/%,$(1)),$(SERVER_LIBS)) $(LIBS) $(3)
endef
$(foreach t,$(TEST_SRCS),$(eval $(call test_rule,$(t),test,-lcmocka)))
$(foreach t,$(FUZZ_SRCS),$(eval $(call test_rule,$(t),fuzz)))

# Load generators for make bench.
BENCH_BINS := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
$(B)/bench/%: $(B)/obj/bench/%.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# What the crash tests stand on: disks whose writes are logged, calls that do less than asked.
HAVE_FUSE  := $(call have,-I/usr/include/fuse3 -DFUSE_USE_VERSION=31,fuse3/fuse.h,y)
CRASH_BINS := $(if $(HAVE_FUSE),$(B)/crash/logged_disk) $(B)/crash/short_calls.so
$(B)/crash/short_calls.so: tests/crash/short_calls.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) -shared -fPIC -O2 -g $(WARN) -Wno-missing-prototypes -D_GNU_SOURCE -o $@ $< -ldl
$(B)/crash/logged_disk: tests/crash/logged_disk.c
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CPPFLAGS) -I/usr/include/fuse3 $(CFLAGS) $(LDFLAGS) -o $@ $< -lfuse3

.PHONY: links
links: $(TOOL_BINS) $(DAEMON_BINS)
	@[ ! -e $(B)/sbin/sendmail ] || for n in mailq newaliases; do ln -sf sendmail $(B)/sbin/$$n; done
	@[ ! -e $(B)/sbin/postmap ] || ln -sf postmap $(B)/sbin/postalias
	@[ ! -e $(B)/libexec/smtp ] || ln -sf smtp $(B)/libexec/lmtp

tests: all $(TEST_BINS) $(BENCH_BINS) $(CRASH_BINS)

check:
	@tests/run.sh

# Each decoder's fuzz target, by clang's libFuzzer; tests/fuzz.sh runs them.
fuzzers: $(FUZZ_BINS)
fuzz:
	@$(MAKE) -s FUZZ=1 CC=clang B=$(FUZZ_B) fuzzers

# Configuration files that are there already stay as they are.  postdrop needs its group, which
# tools/create-users.sh makes: without it (DESTDIR, or not root) the package does that.
install: all
	install -d $(DESTDIR)$(prefix)/sbin $(DESTDIR)$(libexecdir) $(DESTDIR)$(sysconfdir)/postrider
	install -m 755 $(TOOL_BINS) $(DESTDIR)$(prefix)/sbin
	install -m 755 $(DAEMON_BINS) $(DESTDIR)$(libexecdir)
	for n in mailq newaliases; do ln -sf sendmail $(DESTDIR)$(prefix)/sbin/$$n; done
	ln -sf postmap $(DESTDIR)$(prefix)/sbin/postalias
	@if [ "$$(id -u)" = 0 ] && getent group postdrop >/dev/null; then \
	  chgrp postdrop $(DESTDIR)$(prefix)/sbin/postdrop && chmod 2755 $(DESTDIR)$(prefix)/sbin/postdrop; else \
	  echo "note: postdrop is not set-gid postdrop: create the users and groups, then install again (INSTALL)"; fi
	ln -sf smtp $(DESTDIR)$(libexecdir)/lmtp
	for f in main.cf master.cf aliases; do \
	  [ ! -e etc/$$f ] || [ -e $(DESTDIR)$(sysconfdir)/postrider/$$f ] || \
	  install -m 644 etc/$$f $(DESTDIR)$(sysconfdir)/postrider/$$f; done

# Long: processes are killed while mail flows, and each decoder is fuzzed for minutes.
torture: all $(CRASH_BINS)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) tests/fuzz.sh
	POSTRIDER_SWEEP=all POSTRIDER_BUILD=$(abspath $(B)) /usr/bin/python3 -W ignore -m unittest -v tests/crash/test_sweep.py
	POSTRIDER_POWER_IMAGES=200 POSTRIDER_BUILD=$(abspath $(B)) /usr/bin/python3 -W ignore -m unittest -v tests/crash/test_power.py
	POSTRIDER_CRASH_MESSAGES=5000 POSTRIDER_CRASH_KILLS=10 POSTRIDER_BUILD=$(abspath $(B)) /usr/bin/python3 -W ignore -m unittest -v tests/crash/test_crash.py

# The same questions to Postfix and to us: tests/compat/README.md.
compat: all
	@sh tools/install-packages.sh test
	@POSTRIDER_BUILD=$(abspath $(B)) /usr/bin/python3 -W ignore tests/compat/compare.py

# Programs that lack a sync or an order: the crash tests must find each of them.
mutants:
	/usr/bin/python3 tests/crash/mutants.py

# Figures, beside Postfix's in the same run: bench/README.md.
bench: all $(BENCH_BINS)
	@sh tools/install-packages.sh test
	@POSTRIDER_BUILD=$(abspath $(B)) /usr/bin/python3 bench/run.py

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

lint:
	@lint/run.sh

run:
	@tools/run-private.sh

clean:
	rm -rf $(B) $(FUZZ_B)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
