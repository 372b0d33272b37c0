# Privileges: who has which, and what a daemon that has been taken over gets out
# of its helper.
use strict;
use warnings;

use IPC::Open2;
use Test::More;

use MxwardenTest;
use MxwardenTest::Firewall;

MxwardenTest::Firewall->enter(qw(nft));
my $net = MxwardenTest::Firewall->new;
my $helper = $net->helper;
my $dir = tmp_dir();
my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

skip_test('there is no user nobody') if !defined $uid;

# --- The helper by itself -----------------------------------------------------

# What the helper complains of is not for whoever reads the test's output.
open my $stderr, '>&', \*STDERR or die;
open STDERR, '>>', "$dir/helper.err" or die;
my $pid = open2(my $out, my $in, MxwardenTest::program('t/priv/attack'));
open STDERR, '>&', $stderr or die;
$in->autoflush(1);

sub
attack {
	my ($line) = @_;

	print {$in} "$line\n";
	my $got = readline $out;
	die "attack: no answer to $line" if !defined $got;
	chomp $got;
	return $got;
}

# A directory of logs as in real life, and with traps.
my $logs = "$dir/logs";
mkdir $logs or die;
spew("$logs/mail.log", "current\n");
spew("$logs/mail.log.1", "rotated\n");
spew("$logs/mail.log-20261119", "dated\n");
spew("$logs/shadow", "secret\n");
spew("$logs/mail.logins", "secret\n");
spew("$logs/mail.log.d", "secret\n");
spew("$logs/linked", "secret\n");
spew("$dir/outside", "secret\n");
link "$logs/linked", "$logs/mail.log.2" or die;
symlink "$logs/shadow", "$logs/mail.log.3" or die;
mkdir "$logs/mail.log.4" or die;
system('mkfifo', "$logs/mail.log.5") == 0 or die;
symlink "$logs/shadow", "$logs/evil.log" or die;
run_cmd('chown', '-h', 'nobody', "$logs/evil.log");
symlink "$logs/mail.log", "$logs/good.log" or die;
mkdir "$logs/dir.log" or die;
system('mkfifo', "$logs/fifo.log") == 0 or die;
chmod 0600, glob "$logs/mail.log*" or die;

sub
conf {
	my ($file, %over) = @_;

	return spew($file, conf_text({
		user => 'nobody',
		helper => $helper,
		allow => ['127.0.0.0/8', '198.51.100.19', '2001:db8:2::/48'],
		log => [map { ["$logs/$_", { rules => ['postfix'] }] }
		    qw(mail.log evil.log good.log dir.log fifo.log none.log)],
		firewall => { backend => 'nftables', name => 'mxwtest',
			max_entries => 1000 },
		%over }));
}
my $conf = conf("$dir/helper.conf");

sub inode { my @st = lstat $_[0]; return "$st[0]:$st[1]" }
sub
open_log {
	my ($n, $file, $id) = @_;
	my ($dev, $ino) = defined $id ? split /:/, $id : (0, 0);

	return attack("send op=1 log=$n path=$logs/$file dev=$dev inode=$ino");
}

is(attack("start $helper logs $conf"), 'ready', 'role logs');
my $log = inode("$logs/mail.log");
like(open_log(0, 'mail.log'), qr/\Aok .* file=\Q$log\E flags=0\z/,
	'the log, read-only');
like(open_log(2, 'good.log'), qr/\Aok .* file=\Q$log\E /,
	"a symbolic link that is root's");
for my $name (qw(mail.log.1 mail.log-20261119)) {
	my $id = inode("$logs/$name");
	like(open_log(0, 'mail.log', $id), qr/\Aok .* file=\Q$id\E flags=0\z/,
		"rotated: $name");
	like(open_log(2, 'good.log', $id), qr/\Aok .* file=\Q$id\E /,
		"rotated: $name, beside what the link points to");
}
for my $trap ([0, 'mail.log', 'shadow', 'another file in the directory'],
    [0, 'mail.log', 'mail.logins', 'a name that only begins so'],
    [0, 'mail.log', 'mail.log.d', 'a suffix that no rotation makes'],
    [0, 'mail.log', 'linked', 'a file with a hard link, by its own name'],
    [0, 'mail.log', 'mail.log.2', 'a hard link with a rotated name'],
    [0, 'mail.log', 'mail.log.3', 'a symbolic link with a rotated name'],
    [0, 'mail.log', 'mail.log.4', 'a directory'],
    [0, 'mail.log', 'mail.log.5', 'a FIFO'],
    [0, 'mail.log', '../outside', 'a file elsewhere'],
    [0, 'mail.log', '../../../etc/shadow', '/etc/shadow']) {
	my ($n, $name, $file, $what) = @$trap;
	my $got = open_log($n, $name, inode("$logs/$file"));
	like($got, qr/\Aerror error=\d+ refused=0/, "$what: an error");
	unlike($got, qr/file=/, "$what: no descriptor");
}
for my $trap ([1, 'evil.log', "a symbolic link that is not root's"],
    [3, 'dir.log', 'a directory as a log'], [4, 'fifo.log', 'a FIFO as a log'],
    [5, 'none.log', 'no such file'], [6, 'mail.log', 'no such number'],
    [1023, 'mail.log', 'a large number'],
    [0, 'shadow', 'another name for the number'],
    [1, 'mail.log', 'the name of another number']) {
	my ($n, $name, $what) = @$trap;
	my $got = open_log($n, $name);
	like($got, qr/\Aerror error=\d+ /, "$what: an error");
	unlike($got, qr/file=/, "$what: no descriptor");
}
like(attack('send op=2 entry=192.0.2.1,100'), qr/\Aoff/,
	'role logs knows no firewall');
like(attack('send op=3'), qr/\Aoff/, 'nor syncs');
like(attack('send op=9'), qr/\Aok/, 'it reads its configuration again');

my @malformed = (
	['send op=0', 'op 0'], ['send op=10', 'op 10'],
	['send op=4294967295', 'op -1'], ['send op=9 magic=0', 'no magic'],
	['send op=9 magic=0x3150584d', 'magic of another byte order'],
	['send op=9 reserved=1', 'reserved bits'],
	['send op=9 len=10', 'truncated'],
	['send op=9 len=12047', 'one byte less'],
	['send op=9 len=13000', 'oversized'], ['raw 0 0', 'nothing'],
	['raw 1 0', 'one byte'], ['raw 12048 255', 'all ones'],
	['raw 12048 0', 'all zero'], ['send op=1 log=1024', 'log number 1024'],
	['send op=1 log=4294967295', 'log number -1'],
	['send op=1 dev=5', 'a device without inode'],
	['send op=9 inode=5', 'an inode where none belongs'],
	['send op=9 log=1', 'a log where none belongs'],
	['send op=6 count=1', 'entries where none belong'],
	['send op=2 count=501', 'too many entries'],
	['send op=2 count=4294967295', 'far too many entries'],
	['send op=2 junk=1', 'entries behind the count'],
	['send op=2 entry=192.0.2.1,100 plen=129', 'prefix length 129'],
	['send op=2 entry=192.0.2.1,100 plen=120', 'bits beyond the prefix'],
	['send op=2 entry=192.0.2.1,315360001', 'a ttl over ten years'],
	['send op=2 entry=192.0.2.1,4294967295', 'ttl -1'],
	['send op=4 entry=192.0.2.1,0', 'a sync with ttl 0'],
);

sub ruleset { return (run_cmd(qw(nft -s list ruleset)))[1] }

for my $role (qw(logs firewall)) {
	my $before = ruleset();

	for my $m (@malformed) {
		my ($cmd, $what) = @$m;
		is(attack("start $helper $role $conf"), 'ready', "$role");
		is(attack($cmd), 'end', "$role: $what: it ends");
	}
	is(ruleset(), $before, "$role: no rule has changed");
}

is(attack("start $helper firewall $conf"), 'ready', 'role firewall');
like(attack("send op=1 log=0 path=$logs/mail.log"), qr/\Aoff .*entries=0\z/,
	'role firewall opens no logs');
like(attack('send op=7'), qr/\Aok/, 'repair');
like(attack('send op=3'), qr/\Aok/, 'sync begins');
like(attack('send op=5'), qr/\Aok/, 'and ends');
for my $c (['127.0.0.1', 'loopback'], ['127.1.2.3', 'loopback, another'],
    ['::1', 'IPv6 loopback'], ['0.0.0.0', 'unspecified'],
    ['::', 'IPv6 unspecified'], ['198.51.100.19', 'on the allow list'],
    ['198.51.100.0/24', 'a prefix that holds one on the allow list'],
    ['198.51.100.1', 'our own address'],
    ['2001:db8:ff::1', 'our own IPv6 address'],
    ['2001:db8:ff::/64', 'a prefix that holds it'],
    ['2001:db8:2:7::/64', 'within a prefix on the allow list'],
    ['203.0.0.0/15', 'wider than configured'],
    ['128.0.0.0/1', 'half of all'], ['0.0.0.0/0', 'all of IPv4'],
    ['::/0', 'everything'], ['2001::/31', 'IPv6 wider than configured'],
    ['::/64', 'a prefix that holds ::1'],
    ['::ffff:0:0/96', 'IPv4 as IPv6'], ['127.0.0.0/16', 'part of loopback']) {
	my ($addr, $what) = @$c;
	like(attack("send op=2 entry=$addr,100"),
		qr/\Arefused error=0 refused=1 full=0 entries=0\z/,
		"$what ($addr) is refused");
	like(attack("send op=2 entry=$addr,0"), qr/\Aok .*entries=0\z/,
		"$what: deleting it is harmless");
}
unlike(ruleset(), qr/127\.|198\.51|203\.0|::1/, 'none of them is in a set');
like(attack('send op=2 entry=192.0.2.7,315360000'), qr/\Aok .*entries=1\z/,
	'ten years are the longest time');
like(ruleset(), qr/192\.0\.2\.7/, 'in the set');
like(attack('send op=2 entry=192.0.2.7,0'), qr/\Aok .*entries=0\z/, 'deleted');
unlike(ruleset(), qr/192\.0\.2\.7/, 'not in the set any more');
like(attack('send op=2 entry=192.0.2.7,50 entry=192.0.2.7,0'),
	qr/\Aok .*entries=0\z/, 'twice in one message: the last word');
# The same message again and again.
like(attack('send op=2 entry=192.0.2.8,50'), qr/\Aok .*entries=1\z/,
	"replayed, $_") for 1 .. 5;
like(attack('descriptor'), qr/\Aok/, 'a descriptor is not taken');
my $id = attack('pid');
my @fds = map { readlink($_) // '' } glob "/proc/$id/fd/*";
is(scalar(@fds), 4, 'it has four descriptors') or diag("@fds");

sub
status {
	my ($pid) = @_;
	my %s = map { /\A(\w+):\s*(.*?)\s*\z/ ? ($1 => $2) : () }
	    split /\n/, slurp("/proc/$pid/status") // '';

	return \%s;
}

# Capabilities, bounding set included; user; no way up.
sub
check_process {
	my ($pid, $what, $user, $caps, $bound) = @_;
	my $s = status($pid);
	my ($mask, $bounding) = (0, 0);

	$mask |= 1 << $_ for @$caps;
	$bounding |= 1 << $_ for @{$bound // $caps};
	is($s->{Uid}, join("\t", ($user) x 4), "$what: uids");
	is($s->{Gid}, join("\t", ($user ? $gid : 0) x 4), "$what: gids");
	is(hex $s->{$_}, $mask, "$what: $_") for qw(CapEff CapPrm);
	is(hex $s->{CapBnd}, $bounding, "$what: CapBnd");
	is($s->{NoNewPrivs}, 1, "$what: no new privileges");
	is($s->{Seccomp}, 2, "$what: seccomp filter");
	return $s;
}
my ($DAC_READ_SEARCH, $NET_ADMIN, $NET_RAW) = (2, 12, 13);

is(check_process($id, 'nftables', $uid, [$NET_ADMIN])->{Groups}, '',
	'nftables: no groups');
is(kill('TERM', $id), 1, 'SIGTERM');
like(attack('send op=6'), qr/\Aok/, 'it outlives signals to all');
is(attack('send op=4 entry=192.0.2.1,100'), 'end', 'sync without begin');
attack("start $helper firewall $conf");
is(attack('send op=5'), 'end', 'the end of a sync without begin');
attack("start $helper firewall $conf");
like(attack('send op=3'), qr/\Aok/, 'a sync begins');
is(attack('send op=2 entry=192.0.2.1,100'), 'end', 'a change within it');
attack("start $helper firewall $conf");
like(attack('send op=3'), qr/\Aok/, 'a sync begins');
like(attack('send op=4 entry=192.0.2.1,100'), qr/\Aok/, 'an entry');
like(attack('send op=6'), qr/\A(?:ok|missing)/, 'something else');
is(attack('send op=5'), 'end', 'that sync is over');
attack("start $helper firewall $conf");
like(attack('send op=3'), qr/\Aok/, 'a sync begins');
like(attack('send op=4 ' . join ' ', map { "entry=192.0.$_.1,100" }
    0 .. 199), qr/\Aok/, "200 entries, $_") for 1;
for my $i (1 .. 4) {
	like(attack('send op=4 ' . join ' ', map { "entry=192.$i.$_.1,100" }
	    0 .. 199), qr/\Aok/, "200 entries more, $i");
}
like(attack('send op=4 entry=192.7.0.1,100'),
	qr/\Arefused error=0 refused=0 full=1/, 'no more than max_entries');
like(attack('send op=5'), qr/\Aok .*entries=1000\z/, 'a thousand are in');
like(attack('send op=2 entry=192.7.0.1,100'),
	qr/\Arefused error=0 refused=0 full=1 entries=1000\z/, 'nor later');
like(attack('send op=2 entry=192.0.0.1,100'), qr/\Aok/, 'but one of them');
like(attack('send op=8'), qr/\Aok .*entries=0\z/, 'remove');

# Random requests, most of them nearly right.
for my $role (qw(logs firewall)) {
	attack("start $helper $role $conf");
	my ($answered, $ended, $files) = attack('fuzz 7 ' .
	    ($role eq 'logs' ? 3000 : 400)) =~
	    /answered=(\d+) ended=(\d+) files=(\d+)/ or die;
	cmp_ok($answered, '>', 20, "$role: random requests are answered");
	cmp_ok($ended, '>', 20, "$role: or end it");
	my $set = ruleset();
	unlike($set, qr/(?:elements = \{|,|\n)\s*(?:127\.|0\.0\.0\.0 |198\.51\.100|::1? )/,
		"$role: nothing protected was dropped");
}
attack("start $helper firewall $conf");
like(attack('send op=8'), qr/\Aok/, 'remove');
is(ruleset(), '', 'nothing is left');

unlike(slurp("$dir/helper.err"), qr/Sanitizer|runtime error/,
	'no sanitizer has anything to say');

# --- A configuration that others can change -----------------------------------

sub
refuses {
	my ($what, $file) = @_;

	like(attack("start $helper logs $file"),
		qr/\Arefuses: .*must belong to root/, "$what: the helper refuses");
	return;
}

sub
restore {
	chmod 0644, $conf;
	chown 0, 0, $conf;
	return;
}
chmod 0664, $conf;
refuses('group may write', $conf);
chmod 0646, $conf;
refuses('others may write', $conf);
restore();
chown $uid, $gid, $conf;
refuses('not owned by root', $conf);
restore();
mkdir "$dir/sub" or die;
spew("$dir/sub/x.conf", slurp($conf));
is(attack("start $helper logs $dir/sub/x.conf"), 'ready', 'a good directory');
chmod 0777, "$dir/sub";
refuses('others may write into the directory', "$dir/sub/x.conf");
chmod 0755, "$dir/sub";
chown $uid, $gid, "$dir/sub";
refuses("the directory is not root's", "$dir/sub/x.conf");
chown 0, 0, "$dir/sub";
symlink "$dir/sub/x.conf", "$dir/link.conf";
is(attack("start $helper logs $dir/link.conf"), 'ready', 'a link');
spew("$dir/inc.conf", "dry_run = false\n");
conf("$dir/with.conf", include => ["$dir/inc.conf"]);
is(attack("start $helper logs $dir/with.conf"), 'ready', 'an include');
chmod 0666, "$dir/inc.conf";
refuses('an include that others may write', "$dir/with.conf");
chmod 0644, "$dir/inc.conf";
spew("$dir/allowed", "192.0.2.0/24\n");
conf("$dir/file.conf", allow => ["file:$dir/allowed"]);
is(attack("start $helper logs $dir/file.conf"), 'ready', 'an allow file');
chmod 0666, "$dir/allowed";
refuses('an allow file that others may write', "$dir/file.conf");
is(attack("start $helper logs $conf"), 'ready', 'all is well');
chmod 0666, $conf;
like(attack('send op=9'), qr/\Aerror/, 'reload: it keeps what it has');
restore();
like(open_log(0, 'mail.log'), qr/\Aok/, 'and goes on');
is((run_cmd($helper))[0], 2, 'by hand: it refuses to start');
attack('end');

# --- Seccomp ------------------------------------------------------------------

for my $c (['daemon', 'exec', 1], ['daemon', 'execveat', 1],
    ['daemon', 'mount', 1], ['daemon', 'bpf', 1], ['daemon', 'unshare', 1],
    ['daemon', 'init_module', 1], ['daemon', 'open_by_handle_at', 1],
    ['daemon', 'getppid', 0], ['helper', 'exec', 0], ['helper', 'mount', 1],
    ['helper', 'bpf', 1], ['helper', 'open_by_handle_at', 1]) {
	my ($role, $call, $dies) = @$c;
	my ($status, $text) = run_cmd(
		MxwardenTest::program('t/priv/misbehave'), $role, $call);
	is($status, $dies ? 128 + 31 : 0, "$role: $call " .
		($dies ? 'is the end' : 'is permitted'));
	is($text, '', "$role: $call: nothing follows") if $dies;
}

# --- The daemon with both of its helpers --------------------------------------

my $maillog = "$dir/mail/mail.log";
mkdir "$dir/mail" or die;
sub
line {
	my ($addr) = @_;
	my @t = gmtime;
	my $day = sprintf '%s %2d %02d:%02d:%02d', (qw(Jan Feb Mar Apr May Jun
	    Jul Aug Sep Oct Nov Dec))[$t[4]], @t[3, 2, 1, 0];

	return "$day mx postfix/smtpd[1]: warning: unknown[$addr]: SASL LOGIN " .
	    "authentication failed: UGFzc3dvcmQ6\n";
}

# What Postfix and logrotate do as root.
sub
rotate {
	my (@addrs) = @_;

	for my $n (reverse 1 .. 8) {
		rename "$maillog.$n", "$maillog." . ($n + 1)
		    if -e "$maillog.$n";
	}
	rename $maillog, "$maillog.1" or die;
	fresh(@addrs);
	return;
}

sub
fresh {
	my (@addrs) = @_;

	spew("$maillog.new", map { line($_) } @addrs);
	chmod 0600, "$maillog.new";
	rename "$maillog.new", $maillog or die;
	return;
}
fresh();
my $d = MxwardenTest::Daemon->new(start => 0, log => $maillog);
my %conf = ($net->conf(25, backend => 'nftables', on_stop => 'remove'),
	user => 'nobody', log => [[$maillog, { rules => ['postfix'] }]],
	score => { window => '1h' },
	level => [[defer => { threshold => 4, duration => '1h', action =>
		'DEFER 4.7.1 Too many errors from {address}' }]],
	listen => ['inet:127.0.0.1:' . $d->port,
		"unix:$dir/policy.sock"], listen_owner => 'nobody:mail',
	listen_mode => '0660',
	state_dir => "$dir/state");
$d->write_conf({ %conf });
$d->start;
$net->wait_ready($d, 0);

my $s = check_process($d->pid, 'mxwardend', $uid, []);
is(hex $s->{$_}, 0, "mxwardend: $_") for qw(CapInh CapAmb);
my (undef, $groups) = run_cmd('id', '-G', 'nobody');
is(join(' ', sort split ' ', $s->{Groups}),
	join(' ', sort split ' ', $groups), "mxwardend: the user's groups");
# Such a build traces itself to look for leaks.
my $sanitized = slurp(build_dir() . "/Makefile") =~
    /^SAN_CFLAGS = .*fsanitize/m;
my %role;
for my $kid ($net->children($d->pid)) {
	my ($role) = (slurp("/proc/$kid->{pid}/cmdline") // '') =~
	    /\0(logs|firewall)\0/ or next;
	$role{$role} = $kid->{pid};
}
is(join(' ', sort keys %role), 'firewall logs', 'two helpers');
$s = check_process($role{logs}, 'logs', $uid, [$DAC_READ_SEARCH]);
is($s->{Groups}, '', 'logs: no groups');
is(hex $s->{CapAmb}, 0, 'logs: nothing to pass on');
check_process($role{firewall}, 'firewall', $uid, [$NET_ADMIN]);
for my $role (sort keys %role) {
	my $p = "/proc/$role{$role}";
	my %env = map { /\A(.*?)=/ ? ($1 => 1) : () } split /\0/,
	    slurp("$p/environ");
	is(join(' ', sort keys %env), 'PATH', "$role: environment");
	my @have = map { readlink($_) // '' } glob "$p/fd/*";
	is(scalar(grep { /socket/ } @have), 1,
		"$role: one socket, no listener") or diag("@have");
	is(scalar(@have), 4, "$role: four descriptors") or diag("@have");
	# Not dumpable: its files in /proc are root's, whoever it runs as.
	is((stat "$p/mem")[4], 0, "$role: not to be traced")
	    if !$sanitized;
}
is((stat "$dir/state")[4], $uid, "state_dir is the user's");
is(sprintf('%o', (stat "$dir/state")[2] & 07777), '750', 'its mode');
is((stat $d->control)[4], $uid, "the control socket is the user's");
is((stat "$dir/policy.sock")[4], $uid, 'a unix listener: owner');
is((stat "$dir/policy.sock")[5], scalar(getgrnam 'mail'), 'its group');
is(sprintf('%o', (stat "$dir/policy.sock")[2] & 07777), '660', 'its mode');
is((stat $dir)[4], 0, 'a directory that was there stays root\'s');

append($maillog, line('203.0.113.1') x 3);
wait_for { $d->blocked('203.0.113.1') } 20, 'a log of mode 0600 to be read';
pass('a log of mode 0600 is followed');
for my $n (2 .. 4) {
	rotate();
	append($maillog, line("203.0.113.$n") x 3);
	wait_for { $d->blocked("203.0.113.$n") } 20, "rotation $n";
	pass("and over rotation $n");
}
$d->wait_read;
$d->stop;
is((run_cmd(qw(nft list ruleset)))[1], '', 'on_stop = remove');
append($maillog, line('203.0.113.11') x 3);
rotate(('203.0.113.12') x 3);
rotate(('203.0.113.13') x 3);
rotate(('203.0.113.14') x 3);
$d->start;
for my $n (11 .. 14) {
	wait_for { $d->blocked("203.0.113.$n") } 20, "rotated file $n";
	pass("rotated while it was down, $n");
}
is($d->ctl('status')->{logs}[0]{lost}, 0, 'nothing is lost');

# --- Helpers that die ---------------------------------------------------------

sub
helper_pid {
	my ($role) = @_;

	for my $kid ($net->children($d->pid)) {
		return $kid->{pid} if (slurp("/proc/$kid->{pid}/cmdline") //
		    '') =~ /\0$role\0/;
	}
	return;
}

$net->wait_ready($d);
kill 'KILL', helper_pid('firewall');
$d->wait_stderr(qr/firewall: the helper is gone/);
is($d->ask(client_address => '192.0.2.1'), 'DUNNO', 'answers go on');
my $f = $d->ctl('status')->{firewall};
is($f->{state}, 'off', 'status: off');
like($f->{error}, qr/helper is gone/, 'status: why');
cmp_ok($f->{errors}, '>', 0, 'counted');
is(($d->ctl_full('firewall', 'check'))[0], 2, 'firewall check: an error');
append($maillog, line('203.0.113.21') x 3);
wait_for { $d->blocked('203.0.113.21') } 20, 'scoring to go on';
kill 'KILL', helper_pid('logs');
$d->wait_stderr(qr/helper that opens logs is gone/);
is($d->ctl('status')->{daemon}{helper}, 'gone', 'status: gone');
append($maillog, line('203.0.113.22') x 3);
wait_for { $d->blocked('203.0.113.22') } 20, 'the open log to be read on';
is($d->ask(client_address => '192.0.2.1'), 'DUNNO', 'answers go on');
wait_for { !$net->children($d->pid) } 10, 'zombies to be collected';
pass('no zombies');
$d->ctl_full('reload');
is($d->ask(client_address => '192.0.2.1'), 'DUNNO', 'and over a reload');
$d->stop;

# --- The daemon does not start without its helper -----------------------------

sub
fails {
	my ($what, $re) = @_;
	my ($status, undef, $err) = run_cmd({ timeout => 30 },
		MxwardenTest::program('mxwardend'), '-f', '-c', $d->conf_file);

	is($status, 2, "$what: it does not start");
	like($err, $re, "$what: and says why");
	return;
}
chmod 0666, $d->conf_file;
fails('a configuration that others can write', qr/must belong to root/);
chmod 0644, $d->conf_file;
my $bare = { %conf };
delete $bare->{firewall};
$d->write_conf($bare);
chmod 0666, $d->conf_file;
fails('the same, for logs only', qr/must belong to root/);
chmod 0644, $d->conf_file;
$d->write_conf({ %conf, helper => "$dir/nothing" });
fails('no helper', qr/option 'helper'.*nothing/);
$d->write_conf({ %conf, helper => '/bin/true' });
fails('a helper that ends', qr{/bin/true: it ended at once});
$d->write_conf({ %conf, user => 'no-such-user' });
fails('no such user', qr/no user 'no-such-user'/);

# --- Started as its user, with ambient capabilities ---------------------------

# As a service manager does it: User=, AmbientCapabilities=.
sub
as_user {
	my (@caps) = @_;
	my $list = join ',', '-all', map { "+$_" } @caps;

	return ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups',
	    '--no-new-privs', "--inh-caps=$list", "--ambient-caps=$list",
	    "--bounding-set=$list", '--');
}

my @both = ($DAC_READ_SEARCH, $NET_ADMIN);
my $own = "$dir/own";
mkdir $own or die;
chown $uid, $gid, $own;
fresh();
my $u = MxwardenTest::Daemon->new(start => 0, log => $maillog,
	wrap => [as_user(qw(dac_read_search net_admin))]);
$u->{control} = "$own/control.sock";
# The build directory may be nobody's business.
my $reachable = "$dir/mxwarden-priv";
is(system('cp', $helper, $reachable), 0, 'a helper that its user can reach');
my %own = (%conf, helper => $reachable,
	listen => ['inet:127.0.0.1:' . $u->port],
	control => $u->control, state_dir => "$own/state",
	level => [[reject => { threshold => 4, duration => '1h', action =>
		'REJECT 5.7.1 Abuse from {address}', firewall => 'true' }]]);
delete @own{qw(listen_owner listen_mode)};
$u->write_conf({ %own });
$u->start;
$net->wait_ready($u, 0);
check_process($u->pid, 'as its user: mxwardend', $uid, [], \@both);
$s = status($u->pid);
is(hex $s->{$_}, 0, "as its user: mxwardend: $_") for qw(CapInh CapAmb);
%role = ();
for my $kid ($net->children($u->pid)) {
	my ($role) = (slurp("/proc/$kid->{pid}/cmdline") // '') =~
	    /\0(logs|firewall)\0/ or next;
	$role{$role} = $kid->{pid};
}
is(join(' ', sort keys %role), 'firewall logs', 'as its user: two helpers');
$s = check_process($role{logs}, 'as its user: logs', $uid, [$DAC_READ_SEARCH],
	\@both);
is(hex $s->{CapAmb}, 0, 'as its user: logs: nothing to pass on');
$s = check_process($role{firewall}, 'as its user: firewall', $uid, [$NET_ADMIN],
	\@both);
is(hex $s->{CapAmb}, 1 << $NET_ADMIN, 'as its user: firewall: for nft alone');
if (!$sanitized) {
	is((stat "/proc/$role{$_}/mem")[4], 0, "as its user: $_: not to be traced")
	    for sort keys %role;
}
append($maillog, line('203.0.113.31') x 3);
wait_for { $u->blocked('203.0.113.31') } 20, 'a log of mode 0600 to be read';
rotate(('203.0.113.32') x 3);
wait_for { $u->blocked('203.0.113.32') } 20, 'the next one';
pass('as its user: a log of mode 0600 is followed over a rotation');
ok(try_for(sub { ruleset() =~ /203\.0\.113\.32/ }, 20),
	'as its user: dropped in the kernel');
$u->stop;

# Without the capabilities, and where they are not enough.
sub
fails_as_user {
	my ($what, $re, $caps, %over) = @_;

	$u->write_conf({ %own, %over });
	my ($status, undef, $err) = run_cmd({ timeout => 30 },
		as_user(@$caps), MxwardenTest::program('mxwardend'), '-f', '-c',
		$u->conf_file);

	is($status, 2, "$what: it does not start");
	like($err, $re, "$what: and says why");
	return;
}
fails_as_user('no CAP_NET_ADMIN', qr/or with the ambient capability/,
	['dac_read_search']);
fails_as_user('commands as its user', qr/"command" needs a start as root/,
	[qw(dac_read_search net_admin)], firewall => { backend => 'command',
	add => ['true', '{address}'], delete => ['true', '{address}'] });
$u->write_conf({ %own });
chmod 0666, $u->conf_file;
my ($loose, undef, $said) = run_cmd({ timeout => 30 },
	as_user(qw(dac_read_search net_admin)),
	MxwardenTest::program('mxwardend'), '-f', '-c', $u->conf_file);
is($loose, 2, 'as its user: a configuration that others can write: no start');
like($said, qr/must belong to root/, '... and it says why');

close $in;
waitpid $pid, 0;
is($?, 0, 'the attacker ended well');
done_testing;
