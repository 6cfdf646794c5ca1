#!/bin/bash
# SPDX-License-Identifier: ISC
# Builds the fuzz targets and runs each for FUZZ_SECONDS (5) on its corpus; prints a line a target.
# Arguments: names of targets ("smtpd/session"), all without.
#
# A target X/y_fuzz.c starts from tests/fuzz/corpus/X/y/: *.txt are inputs as they are, *.esc
# are inputs with backslash escapes as of printf(1), their line breaks left out.  What libFuzzer
# finds is kept in build-fuzz/corpus/, and what makes it fail in build-fuzz/crash/.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${FUZZ_B:-build-fuzz}
seconds=${FUZZ_SECONDS:-5}
make -s -j"$(nproc)" FUZZ_B="$build" fuzz >&2 || { echo "fuzz: build failed, 0 passed, 1 failed"; exit 1; }

seed() {
	local from="tests/fuzz/corpus/$1" to="$build/corpus/$1" file
	mkdir -p "$to"
	for file in "$from"/*.txt; do
		[ -e "$file" ] && cp "$file" "$to/seed-${file##*/}"
	done
	for file in "$from"/*.esc; do
		[ -e "$file" ] && printf '%b' "$(tr -d '\n' <"$file")" >"$to/seed-${file##*/}"
	done
}

run() {
	local target=$1 program="$build/fuzz/$1_fuzz" log="$build/log/$1" crash="$build/crash/$1/" result=1 runs
	mkdir -p "$crash" "$(dirname "$log")"
	seed "$target"
	"$program" "$build/corpus/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1500 \
		-artifact_prefix="$crash" -print_final_stats=1 -verbosity=1 >"$log" 2>&1 || result=0
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	[ $result = 1 ] || { tail -60 "$log"; echo "input in $crash"; } >&2
	printf '%-50s %3d passed, %d failed (%s executions)\n' "fuzz $target" $result $((1 - result)) "${runs:-0}"
}
export -f run seed
export build seconds
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0 UBSAN_OPTIONS=print_stacktrace=1

if [ $# -gt 0 ]; then
	printf '%s\n' "$@"
else
	find "$build/fuzz" -name '*_fuzz' -type f | sed "s|^$build/fuzz/||; s|_fuzz$||" | sort
fi | xargs -P "$(nproc)" -I{} bash -c 'run {}'
