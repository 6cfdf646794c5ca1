#!/bin/sh
# SPDX-License-Identifier: ISC
# Creates the users and groups of etc/postrider.sysusers that are missing.  As root.
set -eu
cd "$(dirname "$0")/.."
while read -r kind name _; do
	case "$kind" in
	g) getent group "$name" >/dev/null || groupadd --system "$name" ;;
	u)
		getent passwd "$name" >/dev/null ||
			useradd --system --user-group --no-create-home --home-dir /nonexistent \
				--shell /usr/sbin/nologin "$name"
		;;
	esac
done <etc/postrider.sysusers
