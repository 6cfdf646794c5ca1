#!/bin/bash
# SPDX-License-Identifier: ISC
# make lint: warnings as errors with gcc and clang, include direction, banned
# calls, lengths of functions and files.
set -u
cd "$(dirname "$0")/.." || exit 1
sh tools/install-packages.sh test || exit 1
bad=0

say() {
	echo "lint: $*"
	bad=1
}

sources=$(git ls-files '*.c' '*.h')

# Banned: unbounded copies, and calls that cannot report an error or keep hidden state.
banned='\b(strcpy|strcat|sprintf|vsprintf|strncpy|strncat|atoi|atol|atoll|strtok|gets|alloca|asprintf)[[:space:]]*\('
hits=$(grep -nE "$banned" $sources) && say "banned call:" "$hits"

# Includes point down only.
rank() {
	case "$1" in
	common/base/*) echo 1 ;; common/net/*) echo 2 ;; common/mail/*) echo 3 ;;
	common/config/*|common/sasl/*) echo 4 ;; common/proto/*) echo 5 ;; common/process/*) echo 6 ;;
	common/tls/*) echo 7 ;; tables/*) echo 8 ;; routing/*) echo 9 ;; authn/*) echo 9 ;; policy/*) echo 10 ;; delivery/lib/*) echo 10 ;; *) echo 11 ;;
	esac
}
while IFS=: read -r file _ line; do
	case "$file" in *_test.c|*_fuzz.c|bench/*|tests/*) continue ;; esac
	target=$(sed -E 's/.*"(.*)".*/\1/' <<<"$line")
	from=$(rank "$file") to=$(rank "$target")
	[ "$to" -le "$from" ] || say "$file includes $target, which lies above it"
	if [ "$to" = 11 ] && [ "$(dirname "$file")" != "$(dirname "$target")" ] &&
	   ! { [[ $file == tools/* ]] && [[ $target == tools/* ]]; }; then
		say "$file includes $target of another process"
	fi
done < <(grep -nE '^#include "' $sources)

# Lengths: 100 lines a function, 800 a file; each file with its licence line.
for file in $sources; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 800 ] || say "$file: $lines lines (800 at most)"
	head -1 "$file" | grep -q 'SPDX-License-Identifier: ISC' || say "$file: first line is not the SPDX line"
done
long=$(ctags -f - --fields=+ne --kinds-C=f $(git ls-files '*.c') 2>/dev/null |
	awk -F'\t' '{l=e=0; for(i=4;i<=NF;i++){if($i~/^line:/)l=substr($i,6); if($i~/^end:/)e=substr($i,5)}
	             if(e-l+1>100) print $2": "$1" has "e-l+1" lines (100 at most)"}')
[ -z "$long" ] || say "$long"

for cc in gcc clang; do
	make -s -j"$(nproc)" CC=$cc B="build-lint-$cc" tests || say "$cc: warnings or errors"
done
make -s -j"$(nproc)" fuzz >/dev/null || say "fuzz targets: warnings or errors"
[ $bad = 0 ] && echo "lint: clean"
exit $bad
