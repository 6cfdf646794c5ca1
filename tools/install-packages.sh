#!/bin/sh
# SPDX-License-Identifier: ISC
# Installs the Debian packages that are missing: "build" for make and make run,
# "test" for make check and make lint as well.  With sudo when not root.
set -eu
build="gcc make libc6-dev libev-dev libdb5.3-dev libpsl-dev libexpat1-dev zlib1g-dev libseccomp-dev libssl-dev libidn2-dev libjansson-dev
 libpq-dev libmariadb-dev libldap-dev libsasl2-dev libhiredis-dev libcrypt-dev libpcre2-dev liblmdb-dev libcdb-dev libsqlite3-dev libcurl4-openssl-dev"
test="libcmocka-dev clang clang-format universal-ctags python3 python3-flufl.bounce libsisimai-perl e2fsprogs xfsprogs libfuse3-dev fuse3 mount nsd swaks libnet-ssleay-perl strace libclang-rt-14-dev
 postgresql mariadb-server slapd ldap-utils redis-server openssl
 python3-aiosmtpd python3-spf python3-yaml python3-dkim opendkim opendkim-tools publicsuffix procps git pflogsumm postfix postfix-pcre postfix-lmdb postfix-cdb postfix-sqlite dovecot-core dovecot-lmtpd haproxy knot unbound testssl.sh bsdextrautils sasl2-bin libsasl2-modules libsasl2-modules-db fail2ban"
# Node.js may be there from elsewhere, with an npm that Debian's package would quarrel with.
command -v npm >/dev/null || test="$test nodejs npm"
[ "${1:-build}" = test ] && wanted="$build $test" || wanted="$build"

missing=
for package in $wanted; do
	status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
	case "$status" in ii*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The peers that tests start by themselves must not be started by their packages.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ "${1:-build}" = test ] && [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
	made_policy=yes
fi
echo "installing:$missing"
as_root apt-get update -qq
status=0
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || status=$?
[ -z "$made_policy" ] || as_root rm -f "$policy"
exit $status
