#!/bin/sh
# clean-machine.sh: do the commands that the README begins with work on a
# machine with nothing installed?
#
#   t/clean-machine.sh [run] [log] [check] [install] [package] [ci]
#
# Makes a minimal Debian 12 with debootstrap, clones the last commit into it,
# and types there what a user would type; the steps are
#
#   run    ./bootstrap run: blocks appear, `list` and `ask` work as printed,
#          Ctrl-C leaves nothing
#   log    ./bootstrap run LOG, then the same
#   check  ./bootstrap check, with no test skipped
#   install  every command of the README's quick start ("$ ..." and "# ..."),
#          with Postfix: a blocked client is refused by it
#   package  the README's command for a Debian package, which is installed
#   ci     .ci/run (not done unless asked for)
#
# each on a fresh copy. Not a part of `make check`: it needs root, debootstrap,
# 2 GB in TMPDIR and a Debian mirror (MIRROR, default http://deb.debian.org/debian), and
# takes some minutes. The machine is a directory, entered with chroot in mount
# and process namespaces of its own: mounts and processes end with it. It
# shares the network, so port 10040 must be free.
#
# BASE=DIR keeps the minimal Debian in DIR for the next time.

set -eu
LC_ALL=C
export LC_ALL

mirror=${MIRROR:-http://deb.debian.org/debian}
here=$(cd "$(dirname "$0")/.." && pwd)
if [ "$(id -u)" -ne 0 ]; then
	echo "$0: needs root" >&2
	exit 1
fi
for program in debootstrap git unshare chroot; do
	command -v "$program" >/dev/null || {
		echo "$0: $program is not installed" >&2
		exit 1
	}
done

top=$(mktemp -d "${TMPDIR:-/tmp}/clean-machine.XXXXXX")
trap 'rm -rf --one-file-system "$top"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
base=${BASE:-$top/base}
log=$top/output

note() {
	printf '\n--- %s\n' "$*"
}

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	[ ! -s "$log" ] || tail -n 40 "$log" >&2
	exit 1
}

if [ ! -x "$base/bin/sh" ]; then
	note "debootstrap from $mirror"
	debootstrap --variant=minbase bookworm "$base" "$mirror" >"$log" 2>&1 ||
	    fail debootstrap
fi

# A fresh machine with a clean clone in /root/mxwarden.
fresh() {
	note "$1: a fresh machine"
	machine=$top/$1
	: >"$log"
	cp -a --reflink=auto "$base" "$machine"
	cp /etc/resolv.conf /etc/hosts "$machine/etc/"
	git -c safe.directory="$here" clone --quiet --no-hardlinks \
	    "$here" "$machine/root/mxwarden"
}

# Runs a command in $machine. chroot's root must be a mount, or else nothing
# can be mounted and no namespace be made in it.
inside() {
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --pid --fork --kill-child sh -ec '
	    machine=$1
	    shift
	    mount --bind "$machine" "$machine"
	    cd "$machine"
	    mount -t proc proc proc
	    mount -t sysfs sysfs sys
	    mount -t tmpfs tmpfs dev
	    for node in null zero full random urandom tty; do
		: >"dev/$node"
		mount --bind "/dev/$node" "dev/$node"
	    done
	    ln -s /proc/self/fd dev/fd
	    ln -s fd/0 dev/stdin
	    ln -s fd/1 dev/stdout
	    ln -s fd/2 dev/stderr
	    mkdir dev/pts dev/shm
	    mount -t devpts -o ptmxmode=0666,newinstance devpts dev/pts
	    ln -s pts/ptmx dev/ptmx
	    mount -t tmpfs -o mode=1777 tmpfs dev/shm
	    mount -t tmpfs tmpfs run
	    exec chroot . env -i HOME=/root TERM=dumb \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -ec "cd /root/mxwarden
		$1"' sh "$machine" "$1"
}

# What a user sees and does while `./bootstrap run` runs: a script for inside.
# The commands for the other terminal are those that it has printed.
# shellcheck disable=SC2016 # for the inner shell
visit='
: >/root/output
setsid ./bootstrap run $LOG >/root/output 2>&1 &
pid=$!
tail -f /root/output &
tail=$!
waited=0
until grep -q "blocked 203.0.113.5 level=reject" /root/output; do
	kill -0 $pid || { echo "FAILED: it has ended"; exit 1; }
	waited=$((waited + 1))
	[ $waited -lt 600 ] || { echo "FAILED: no block in time"; exit 1; }
	sleep 1
done
kill $tail
echo "--- in another terminal"
list=$(sed -n "s/^    \(.* list\)$/\1/p" /root/output)
ask=$(sed -n "s/^    \(.* ask .*client_address=\).*/\1/p" /root/output)
set -x
$list
$list | grep -q "^203.0.113.5  *reject"
${ask}203.0.113.5
${ask}203.0.113.5 | grep -q "^REJECT 5.7.1 Abuse from 203.0.113.5 .*\[mxw\]$"
[ "$(${ask}192.0.2.10)" = DUNNO ]
[ "$(${ask}2001:db8:600d::25)" = DUNNO ]
set +x
echo "--- the same port again: refused with a reason"
if ./bootstrap run >/root/second 2>&1; then
	echo "FAILED: a second one runs on the same port"
	exit 1
fi
cat /root/second
grep -q "port 10040 of 127.0.0.1 is taken.*--port N" /root/second
echo "--- Ctrl-C"
kill -INT -$pid
status=0
wait $pid || status=$?
tail -n 2 /root/output
[ $status -eq 0 ]
[ ! -e build/run ]
# This shell is process 1, and shall be the only one. Zombies wait for it.
left() {
	for dir in /proc/[0-9]*; do
		read -r stat <$dir/stat || continue
		case $dir:$stat in
		/proc/1:* | *") Z "*) ;;
		*) echo "$stat" ;;
		esac
	done 2>/dev/null
}
left >/root/left
if [ -s /root/left ]; then
	cat /root/left
	echo "FAILED: left behind"
	exit 1
fi
echo "ok"
'

step_run() {
	fresh run
	inside "LOG=
$visit" 2>&1 | tee "$log"
	tail -n 1 "$log" | grep -qx ok || fail "./bootstrap run"
}

# The sample again, as a log that has just been written.
step_log() {
	fresh log
	mkdir -p "$machine/var/log"
	# Up to the second level, where the visitor comes.
	sed -e '/the third level\.$/,$d' -e '/^[#+]/d' -e '/^$/d' \
	    -e "s/^/$(date -u '+%b %e %H:%M:%S') mx1 /" \
	    "$here/contrib/sample/attack.log" >"$machine/root/mail.log"
	inside "LOG=/root/mail.log
$visit" 2>&1 | tee "$log"
	tail -n 1 "$log" | grep -qx ok || fail "./bootstrap run LOG"
}

step_check() {
	fresh check
	inside 'MXW_REQUIRE_ALL=1 ./bootstrap check' 2>&1 | tee "$log"
	grep -qx 'Result: PASS' "$log" || fail "./bootstrap check"
}

# Postfix is asked over SMTP, by a client of another address (XCLIENT).
# shellcheck disable=SC2016 # for the inner shell
quick_start='
export DEBIAN_FRONTEND=noninteractive
printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install postfix perl
./bootstrap deps
postconf -e "maillog_file = /var/log/mail.log" "inet_interfaces = loopback-only" \
    "mydestination = localhost" "smtpd_authorized_xclient_hosts = 127.0.0.1" \
    "inet_protocols = ipv4" "smtpd_peername_lookup = no"
sed -i "s/^smtp  *inet .*/10025 inet n - n - - smtpd/" /etc/postfix/master.cf
touch /var/log/mail.log
chmod 600 /var/log/mail.log
# What README says for main.cf, and its commands one after the other.
sed -n "/^       smtpd_client_restrictions =/,/^\$/s/^       //p" README \
    >>/etc/postfix/main.cf
sed -n "/^Quick start/,/^How scoring/s/^    [\$#] //p" README >/root/commands
sed -i "s/^postfix reload/postfix start/" /root/commands
[ "$(wc -l </root/commands)" -ge 9 ] || { echo "FAILED: no commands"; exit 1; }
while IFS= read -r command; do
	printf "%s\n" "+ $command"
	# The place that the README has them typed at.
	case $command in make*) cd /root/mxwarden ;; esac
	eval "$command" </dev/null
done </root/commands
cd /root/mxwarden

smtp() {
	perl -MIO::Socket::INET -e "
		\$s = IO::Socket::INET->new(PeerHost => q(127.0.0.1:10025))
		    // die qq(connect: \$!\n);
		for my \$line (undef, @ARGV) {
			print {\$s} qq(\$line\r\n) if defined \$line;
			do {
				print \$reply = <\$s> // exit;
			} until \$reply =~ /^\d{3} /;
		}" -- "$@"
}
ask() {
	smtp "XCLIENT ADDR=$1 NAME=[UNAVAILABLE]" "EHLO client.example" \
	    "MAIL FROM:<$2>" "RCPT TO:<$3>" QUIT
}
for try in 1 2 3 4; do
	ask 192.0.2.7 a@example.org "probe$try@example.info" | tail -n 2
done
waited=0
until mxwarden show 192.0.2.7 >/dev/null; do
	waited=$((waited + 1))
	[ $waited -lt 100 ] || { echo "FAILED: not blocked"; exit 1; }
	sleep 0.1
done
mxwarden list
echo "--- the blocked client"
ask 192.0.2.7 "" root@localhost | tee /root/blocked
grep -q "^450 4.7.1 .*Client host rejected: Too many errors from 192.0.2.7, try again later \[mxw\]" /root/blocked
echo "--- another one"
ask 192.0.2.8 "" root@localhost | tee /root/other
grep -q "^250 2.1.5" /root/other
postfix stop
echo ok
'

step_install() {
	fresh install
	inside "$quick_start" 2>&1 | tee "$log"
	tail -n 1 "$log" | grep -qx ok || fail "the quick start"
}

# The command as README has it: apt-get build-dep ./ && dpkg-buildpackage -us -uc
# shellcheck disable=SC2016 # for the inner shell
step_package() {
	fresh package
	inside 'export DEBIAN_FRONTEND=noninteractive
	    printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
	    chmod 755 /usr/sbin/policy-rc.d
	    printf "APT::Get::Assume-Yes \"true\";\nDpkg::Use-Pty \"0\";\n" \
		>/etc/apt/apt.conf.d/yes
	    apt-get -qq update
	    apt-get -qq --no-install-recommends install dpkg-dev
	    command=$(sed -n "s/^    \(apt-get build-dep .*\)/\1/p" README)
	    echo "+ $command"
	    eval "$command"
	    apt-get -qq --no-install-recommends install ../mxwarden_*.deb
	    mxwarden check
	    mxwardend -t
	    getent passwd mxwarden
	    apt-get -qq purge mxwarden
	    [ ! -e /etc/mxwarden ]
	    echo ok' 2>&1 | tee "$log"
	tail -n 1 "$log" | grep -qx ok || fail "the Debian package"
}

step_ci() {
	fresh ci
	# git is what the clone was made with.
	inside 'apt-get -qq update
	    apt-get -qq -y --no-install-recommends install git
	    .ci/run' 2>&1 | tee "$log"
	tail -n 1 "$log" | grep -q '^=== PASS' || fail ".ci/run"
}

[ $# -gt 0 ] || set -- run log check install package
for step in "$@"; do
	case $step in
	run | log | check | install | package | ci) ;;
	*) fail "no such step: $step" ;;
	esac
done
for step in "$@"; do
	"step_$step"
	rm -rf --one-file-system "${machine:?}"
	note "$step: ok"
done
