#!/bin/bash
# SPDX-License-Identifier: ISC
# make check: builds with sanitizers, runs unit tests, fuzz targets and end-to-end tests, and
# closes on "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
sh tools/install-packages.sh test || exit 1
node=tests/e2e/node
[ "$node/node_modules/.package-lock.json" -nt "$node/package-lock.json" ] ||
	npm ci --prefix "$node" --no-audit --no-fund >/dev/null || exit 1
build=${B:-build-check}
jobs=$(nproc)
make -s -j"$jobs" B="$build" SANITIZE=1 tests || { echo "0 passed, 1 failed"; exit 1; }
# hash: and btree: where there is no Berkeley DB.
nobdb=("$build-nobdb/test/tables/served_index_test" "$build-nobdb/test/tables/db_table_test")
make -s -j"$jobs" B="$build-nobdb" NO_BDB=1 SANITIZE=1 "${nobdb[@]}" || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=0
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
while IFS= read -r test; do
	out=$("$test" 2>&1)
	status=$?
	ok=$(grep -c '^\[       OK \]' <<<"$out")
	bad=$(grep -c '^\[  FAILED  \] [a-zA-Z_]' <<<"$out")
	# A test program that dies reports nothing more: that is a failure too.
	if [ $status -ne 0 ]; then
		[ "$bad" -gt 0 ] && bad=$((bad / 2 > 0 ? bad / 2 : 1)) || bad=1
		printf '%s\n' "$out" | tail -40
	fi
	passed=$((passed + ok)) failed=$((failed + bad))
	printf '%-50s %3d passed, %d failed\n' "${test#"$build"/test/}" "$ok" "$bad"
done < <(find "$build/test" -name '*_test' -type f | sort; printf '%s\n' "${nobdb[@]}")

while IFS= read -r line; do
	echo "$line"
	read -r ok bad < <(sed -nE 's/.* ([0-9]+) passed, ([0-9]+) failed.*/\1 \2/p' <<<"$line")
	passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-1}))
done < <(tests/fuzz.sh)

for test in tests/e2e/test_*.py tests/compat/test_*.py tests/crash/test_*.py; do
	[ -e "$test" ] || continue
	out=$(POSTRIDER_BUILD="$PWD/$build" timeout 900 /usr/bin/python3 -W ignore -m unittest -v "$test" 2>&1)
	status=$?
	# unittest's own closing lines: "Ran 9 tests in …", "FAILED (failures=1, errors=2)".
	ran=$(sed -nE 's/^Ran ([0-9]+) tests? in .*/\1/p' <<<"$out" | tail -1)
	bad=$(grep -oE '(failures|errors)=[0-9]+' <<<"$(grep '^FAILED' <<<"$out")" | awk -F= '{n+=$2} END {print n+0}')
	ok=$((${ran:-0} - bad > 0 ? ${ran:-0} - bad : 0))
	printf '%s\n' "$out" | grep '^.*killed {' | sed 's/.*killed/killed/'
	if [ $status -ne 0 ]; then
		[ "$bad" -gt 0 ] || bad=1
		printf '%s\n' "$out" | tail -80
	fi
	passed=$((passed + ok)) failed=$((failed + bad))
	printf '%-50s %3d passed, %d failed\n' "$test" "$ok" "$bad"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
