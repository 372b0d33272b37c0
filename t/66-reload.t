#!/usr/bin/perl
# Reloads: a configuration comes into force whole or not at all, and neither
# connections nor requests notice.
#
# MXW_RELOADS says how many reloads under load (default 200; CI does 1000).
use strict;
use warnings;

use IO::Socket::IP;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Load;

my $BAD = '203.0.113.9';
my $sets = src_dir() . '/conf/rules.d';
my @levels = ([reject => { threshold => 10, duration => '1h',
	action => 'REJECT 5.7.1 Abuse' }]);

sub
connects {
	my ($port, $host) = @_;

	return IO::Socket::IP->new(PeerHost => $host // '127.0.0.1',
		PeerPort => $port, Timeout => 10);
}

sub
http_get {
	my ($port) = @_;
	my $s = connects($port) or return '';

	print {$s} "GET /healthz HTTP/1.0\r\n\r\n";
	local $/;
	return <$s> // '';
}

sub
descriptors {
	my ($d) = @_;
	my @fds = glob '/proc/' . $d->pid . '/fd/*';

	return scalar @fds;
}

# How many there are when nothing is going on: a client that is being served, a
# snapshot that is being written have some for a moment.
sub
idle_descriptors {
	my ($d) = @_;
	my $least = descriptors($d);

	for (1 .. 50) {
		my $n = descriptors($d);

		$least = $n if $n < $least;
		select undef, undef, undef, 0.01;
	}
	return $least;
}

# Without the pages of files, which come and go as the kernel likes.
sub
rss {
	my ($d) = @_;
	my ($kib) = slurp('/proc/' . $d->pid . '/status') =~ /^RssAnon:\s+(\d+)/m;

	return $kib;
}

# --- Each part ----------------------------------------------------------------

{
	my $d = MxwardenTest::Daemon->new(start => 0);
	my $dir = $d->dir;
	my %base = (level => \@levels);
	my $conf = sub { $d->write_conf({ %base, @_ }) };
	my $reload = sub { return $d->ctl_full('reload') };
	my ($p1, $p2, $h1, $h2) = map { free_port() } 1 .. 4;
	my $old = 'inet:127.0.0.1:' . $d->port;

	$conf->(http => "127.0.0.1:$h1");
	$d->start;
	my $kept = $d->connect;
	$d->{conn} = $kept;
	is($d->ask(client_address => $BAD), 'DUNNO', 'a connection');
	like(http_get($h1), qr/ 200 /, 'http');

	# Listeners.
	$conf->(listen => ["inet:127.0.0.1:$p1", "unix:$dir/a.sock"],
	    http => "127.0.0.1:$h2");
	is(($reload->())[0], 0, 'other listeners');
	ok(!connects($d->port), 'the old one is closed');
	ok(connects($p1), 'the new one is open');
	my $unix = IO::Socket::UNIX->new("$dir/a.sock");
	ok($unix, 'a unix socket');
	is($d->ask(client_address => $BAD), 'DUNNO', 'the connection survives');
	ok(!connects($h1), 'the old http is closed');
	like(http_get($h2), qr/ 200 /, 'the new one serves');
	unlike($d->proc->stderr, qr/restart is needed/, 'no restart for that');

	$conf->(listen => ["inet:0.0.0.0:$p1"], http => "0.0.0.0:$h2");
	is(($reload->())[0], 0, 'a wider address on the same port');
	ok(connects($p1, '127.0.0.2'), 'is open');
	like(http_get($h2), qr/ 200 /, 'http, too');
	ok(!-e "$dir/a.sock", 'the file of the unix socket is gone');
	$d->{conn} = $unix;
	is($d->ask(client_address => $BAD), 'DUNNO', 'its connection survives');
	$conf->(listen => [$old]);
	is(($reload->())[0], 0, 'back');
	ok(!connects($h2), 'no http');

	# One that cannot be had: nothing changes at all.
	my $taken = IO::Socket::IP->new(LocalHost => '127.0.0.1',
		LocalPort => $p2, Listen => 1, ReuseAddr => 1) or die;
	for (
		[{ listen => ["inet:127.0.0.1:$p1", "inet:127.0.0.1:$p2"] },
			qr/inet:127\.0\.0\.1:$p2: bind: Address already in use/],
		[{ listen => ["inet:0.0.0.0:" . $d->port,
				"inet:127.0.0.1:$p2"] },
			qr/inet:127\.0\.0\.1:$p2: bind: /],
		[{ listen => ["inet:127.0.0.1:$p1", "unix:$dir/no/dir"] },
			qr/unix:\Q$dir\E\/no\/dir: bind: No such file/],
		[{ http => "127.0.0.1:$p2",
				listen => ["inet:127.0.0.1:$p1"] },
			qr/option 'http': .*:$p2: bind: /],
		[{ dry_run => 'maybe' }, qr/mxwarden\.conf:\d+: .*dry_run/],
		[{ level => [@levels, [bad => { threshold => 20,
				duration => '1h', action => '550' }]] },
			qr/mxwarden\.conf:\d+: option 'action'/],
		[{ log => [[$d->log, { rules => ['nosuch'] }]] },
			qr/no rule belongs to set "nosuch"/],
		[{ include => ["$dir/nosuch.conf"] }, qr/nosuch\.conf: No such/],
		[{ allow => ["file:$dir/nosuch"] }, qr/nosuch: No such file/],
	) {
		my ($change, $why) = @$_;

		# What would change if it were half applied.
		$conf->(dry_run => 'true', allow => [$BAD], %$change);
		my ($status, undef, $err) = $reload->();
		is($status, 2, 'refused');
		like($err, $why, "with the reason: $why");
		ok(connects($d->port), 'the listener is there');
		ok(!connects($p1), 'no other one');
		my $st = $d->ctl('status');
		ok(!$st->{dry_run}, 'nothing else has changed');
		is($d->ctl('show', $BAD)->{allowed} // 0, 0, 'nor the allow list');
	}
	undef $taken;

	# What a reload does change.
	$d->ctl('block', $BAD, '-l', 'reject', '-t', '1h');
	$d->{conn} = $d->connect;
	like($d->ask(client_address => $BAD), qr/\AREJECT 5\.7\.1 Abuse /,
	    'blocked');
	$conf->(level => [[reject => { threshold => 10, duration => '1h',
		action => 'DEFER 4.7.1 Other' }]]);
	$reload->();
	like($d->ask(client_address => $BAD), qr/\ADEFER 4\.7\.1 Other /,
	    'the action');
	$conf->(dry_run => 'true');
	$reload->();
	is($d->ask(client_address => $BAD), 'DUNNO', 'dry_run');
	$conf->(allow => ['203.0.113.0/24']);
	$reload->();
	is($d->ask(client_address => $BAD), 'DUNNO', 'allow');
	$conf->();
	$reload->();
	like($d->ask(client_address => $BAD), qr/\AREJECT /, 'all as before');

	# Logs come and go, and go on where they were.
	my $second = "$dir/second.log";
	append($second, '');
	$conf->(log => [[$d->log, { rules => ['postfix'] }],
		[$second, { rules => ['postfix'] }]]);
	$reload->();
	is(scalar @{$d->ctl('status')->{logs}}, 2, 'another log');
	my $line = 'Nov 20 10:00:%02d mx postfix/smtpd[%d]: warning: ' .
	    'unknown[198.51.100.%d]: SASL LOGIN authentication failed: x';
	append($second, sprintf("$line\n", 1, 100, 1));
	$d->wait_read;
	is($d->ctl('status')->{logs}[1]{matched}, 1, 'is followed');
	$conf->();
	$reload->();
	is(scalar @{$d->ctl('status')->{logs}}, 1, 'and gone');
	append($second, sprintf("$line\n", 2, 101, 2));
	$conf->(log => [[$second, { rules => ['postfix'] }]]);
	$reload->();
	$d->wait_read;
	is($d->ctl('status')->{logs}[0]{matched}, 2,
	    'back again: what it has missed is read');

	# What it does not change is said, each time.
	$conf->(state_dir => "$dir/other", firewall => { chain => 'OTHER' },
	    redis => { prefix => 'x:' }, max_addresses => 500);
	$reload->();
	for ('state_dir', 'firewall\.chain', 'redis\.prefix', 'max_addresses') {
		like($d->proc->stderr,
		    qr/option '$_' has changed: a restart is needed/, $_);
	}
	$d->stop;
}

# --- With a helper, which reads the configuration itself ----------------------

SKIP: {
	skip 'needs root', 5 if $> != 0;
	my $d = MxwardenTest::Daemon->new(start => 0);
	# The sources may be another user's; the helper would not read them.
	my $rules = spew($d->dir . '/postfix.conf', slurp("$sets/postfix.conf"));
	my %conf = (user => 'nobody', helper => program('mxwarden-priv'),
		include => [$rules]);

	$d->write_conf({ %conf });
	chmod 0755, $d->dir;
	$d->start;
	is($d->ctl('status')->{helper} // $d->ctl('status')->{daemon}{helper},
	    'running', 'the helper runs');
	$d->write_conf({ %conf, dry_run => 'true' });
	chmod 0666, $d->conf_file;
	my ($status, undef, $err) = $d->ctl_full('reload');
	is($status, 2, 'a file that others can write is refused');
	like($err, qr/must belong to root and be writable by nobody else/,
	    'it is said');
	chmod 0644, $d->conf_file;
	is(($d->ctl_full('reload'))[0], 0, 'reloaded');
	# The helper takes the new one, too, or it would say so.
	$d->ctl('reload');
	unlike($d->proc->stderr, qr/mxwarden-priv.*not reloaded/,
	    'by both');
	$d->stop;
}

# --- Many, under load ---------------------------------------------------------

{
	my $n = $ENV{MXW_RELOADS} // ($ENV{CI} ? 1000 : 200);
	my $d = MxwardenTest::Daemon->new(start => 0);
	my %expect = ($BAD => qr/\AREJECT 5\.7\.1 Abuse /,
		map { ("198.51.100.$_" => qr/\ADUNNO\z/) } 1 .. 4);
	my ($p1, $h1) = (free_port(), free_port());
	my $main = 'inet:127.0.0.1:' . $d->port;
	my @includes = map { "$sets/$_.conf" } qw(postfix postscreen dovecot);
	my @good = map { $d->write_conf({ level => \@levels,
		include => \@includes, %$_ }); slurp($d->conf_file) } (
		{ listen => [$main] },
		{ listen => [$main, "inet:127.0.0.1:$p1", 'unix:' . $d->dir .
			'/x.sock'], http => "127.0.0.1:$h1",
			score => { window => '20m' }, allow => ['192.0.2.7'] },
	);
	my @broken = ("nonsense\n", "dry_run = maybe\n",
		"listen = {\"unix:/nonexistent/x\"}\n",
		"rule \"x\" { set = \"x\" program = {\"x\"} pattern = \"(\" }\n",
		"include(\"/nonexistent\")\n");

	$d->start;
	$d->ctl('block', $BAD, '-l', 'reject', '-t', '1h');
	my $load = MxwardenTest::Load->new(port => $d->port, clients => 20,
		processes => 2, expect => \%expect);
	$load->wait_answers(1000);
	my ($status, $i, $refused) = (0, 0, 0);
	my @seen;
	my $turn = sub {
		my $text = $good[$i / 2 % 2];
		my $bad = $i % 2 ? $broken[$i / 2 % @broken] : '';

		spew($d->conf_file, $text . $bad);
		my ($s, $out, $err) = run_cmd(program('mxwarden'), '-s',
		    $d->control, 'reload');
		push @seen, "reload $i: status $s: $err"
		    if $s != ($bad ? 2 : 0) ||
		    ($bad && $err !~ /not reloaded/);
		$i++;
	};

	$turn->() for 1 .. 40;    # until every pool has its size
	my ($fds, $rss) = (idle_descriptors($d), rss($d));
	my $start = time;
	$turn->() for 1 .. $n;
	my $took = time - $start;
	is_deeply(\@seen, [], "$n reloads, every other one refused");
	is(idle_descriptors($d), $fds, "as many descriptors as before: $fds");
	my $now = rss($d);
	# The allocator's own unrest, far below one configuration for each reload;
	# under a sanitizer what is freed is kept.
	my $room = $d->proc->stderr =~ /AddressSanitizer/ ||
	    slurp('/proc/' . $d->pid . '/maps') =~ /asan/ ? 1 << 30 : 8192;
	cmp_ok($now - $rss, '<', $room,
	    "as much memory as before: $rss KiB, then $now KiB");
	my $seen = $load->stop;
	is_deeply($seen->{failures}, [], 'no request failed');
	is($seen->{reconnects}, 0, 'no connection was lost');
	cmp_ok($seen->{answers}, '>', 1000, "$seen->{answers} answers");
	diag(sprintf '%d reloads in %.1f s, slowest answer %.3f s', $n, $took,
	    $seen->{slowest});

	# SIGHUPs as fast as they come; the last one counts.
	spew($d->conf_file, $good[1]);
	$d->signal('HUP') for 1 .. 200;
	wait_for { connects($p1) } 20, 'the last configuration';
	$d->stop;
}

done_testing;
