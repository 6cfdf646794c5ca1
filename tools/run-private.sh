#!/bin/bash
# SPDX-License-Identifier: ISC
# make run: a complete private instance in the foreground, below ./run (or $1),
# on a free port of 127.0.0.1 (2525 by default).  Ctrl-C ends it.
set -eu
cd "$(dirname "$0")/.."
sh tools/install-packages.sh build
build=${B:-build}
make -s -j"$(nproc)" B="$build" all
case "$build" in /*) ;; *) build=$PWD/$build ;; esac
dir=${1:-$PWD/run}
user=${SUDO_USER:-$(id -un)}
port=${PORT:-2525}
in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
while in_use "$port"; do port=$((port + 1)); done

mkdir -p "$dir/etc" "$dir/spool" "$dir/lib" "$dir/mail"
if [ "$(id -u)" = 0 ]; then
	sh tools/create-users.sh
	chown postrider "$dir/lib"
	chmod 755 "$dir" "$dir/etc" "$dir/spool"
	chmod 1777 "$dir/mail"
	# The sandboxed processes must be able to pass to their folders.
	up=$dir
	while [ "$up" != / ]; do
		[ -n "$(find "$up" -maxdepth 0 -perm -o+x)" ] ||
			echo "note: $up cannot be entered by other users; run from another folder if mail fails"
		up=$(dirname "$up")
	done
fi
[ -e "$dir/etc/aliases" ] || printf 'postmaster: %s\nabuse: postmaster\n' "$user" >"$dir/etc/aliases"
cat >"$dir/etc/main.cf" <<EOF
# Written by make run; edit the copy in etc/ of a real installation instead.
queue_directory = $dir/spool
data_directory = $dir/lib
command_directory = $build/sbin
daemon_directory = $build/libexec
maillog_file = /dev/stdout
myhostname = mail.example.test
mydestination = \$myhostname, \$mydomain, localhost
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
alias_maps = hash:$dir/etc/aliases
alias_database = \$alias_maps
home_mailbox = Maildir/
local_mailbox_root = $dir/mail
EOF
sed "s/^smtp  *inet/127.0.0.1:$port inet/" etc/master.cf >"$dir/etc/master.cf"
"$build/sbin/postalias" -c "$dir/etc" "hash:$dir/etc/aliases"

cat <<EOF

Postrider listens on 127.0.0.1, port $port.  In another terminal, in this folder:

  a first mail:   printf 'Subject: hello\n\nIt works.\n' | $build/sbin/sendmail -C $dir/etc $user
  or by SMTP:     swaks --server 127.0.0.1:$port --to $user@example.test
  it lands in:    $dir/mail/$user/Maildir/new/
  the queue:      $build/sbin/postqueue -c $dir/etc -p

Log lines follow; Ctrl-C stops it.

EOF
exec "$build/sbin/postrider" -c "$dir/etc" start-fg
