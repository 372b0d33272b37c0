#!/usr/bin/perl
# A flood of policy requests: 1,000 connections that always have another request
# waiting. Answers go first, but the log, Redis, the helper, signals, the control
# socket and HTTP must all go on beside them.
#
# What is asserted is that things happen while the flood lasts, not how long they
# take: whatever is starved never happens.
use strict;
use warnings;

use HTTP::Tiny;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOL_SOCKET SO_SNDBUF);
use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Redis;

use constant { CONNECTIONS => 1000, PROCESSES => 2, ROUNDS => 5 };

need(programs => ['redis-server']);
my $root = $> == 0;
my $dir = tmp_dir();
my $redis = MxwardenTest::Redis->new;
my $http = '127.0.0.1:' . free_port();
my $request = "request=smtpd_access_policy\nclient_address=192.0.2.200\n\n";
my $answer = "action=DUNNO\n\n";

my $rules = "$dir/rules.conf";
spew($rules, conf_text({ rule => [['bad', { set => 'test',
	program => ['smtpd'], pattern => '^warning: {client}: bad',
	weight => 50 }]] }));
chmod 0644, $rules or die "chmod: $!";
my $d = MxwardenTest::Daemon->new(start => 0, conf => {
	listen => ["unix:$dir/policy", 'inet:127.0.0.1:%PORT%'],
	http => $http,
	include => [$rules],
	log => [['%LOG%', { rules => ['test'] }]],
	store => $redis->url,
	# A process that waits for a processor shall not look like a lost link.
	redis => { timeout => '30s' },
	$root ? (user => 'nobody', helper => program('mxwarden-priv')) : (),
});

# As root: a log that only root may read, so that the helper is needed.
if ($root) {
	my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

	chmod 01777, $dir, $d->dir or die "chmod: $!";
	chown $uid, $gid, $d->dir . '/state' or die "chown: $!";
	chmod 0600, $d->log or die "chmod: $!";
}
$d->start;
$d->wait_read;

# --- The flood --------------------------------------------------------------

# Writes to each connection whenever it takes something, and throws the answers
# away but for their number.
sub
flood {
	my ($file, $count) = @_;
	my $batch = $request x 200;
	my ($bytes, $next, @s, @at) = (0, 0);
	my ($all, $ready) = ('', '');

	for (1 .. $count) {
		my $s = IO::Socket::UNIX->new("$dir/policy")
		    or die "connect: $!";
		setsockopt $s, SOL_SOCKET, SO_SNDBUF, pack('i', 16384);
		$s->blocking(0);
		push @s, $s;
		push @at, 0;
		vec($all, fileno $s, 1) = 1;
	}
	for (;;) {
		select my $r = $all, my $w = $all, undef, 1;
		for my $i (0 .. $#s) {
			my $fd = fileno $s[$i];

			if (vec $r, $fd, 1) {
				my $n = sysread $s[$i], my $got, 65536;

				die "closed by the daemon\n" if !$n;
				$bytes += $n;
			}
			if (vec $w, $fd, 1) {
				my $n = syswrite $s[$i], $batch,
				    length($batch) - $at[$i], $at[$i];

				$at[$i] = ($at[$i] + ($n // 0)) %
				    length $request;
			}
		}
		next if time < $next;
		spew("$file.new", int $bytes / length $answer);
		rename "$file.new", $file or die "rename: $!";
		$next = time + 0.02;
	}
}

my @pids;
MxwardenTest::at_end(sub { kill 'KILL', @pids; waitpid $_, 0 for @pids });
for my $n (1 .. PROCESSES) {
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		eval { flood("$dir/flood$n", CONNECTIONS / PROCESSES); 1 } or
		    spew("$dir/flood$n.died", $@);
		POSIX::_exit(1);
	}
	push @pids, $pid;
}

sub
answers {
	my $sum = 0;

	$sum += slurp("$dir/flood$_") || 0 for 1 .. PROCESSES;
	return $sum;
}

# --- Everything else --------------------------------------------------------

sub
store {
	return wait_for { eval { $d->ctl('status')->{store} } } 60,
	    'the status';
}

my $pid = 100;

sub
offence {
	my ($addr) = @_;
	my @t = gmtime;

	append($d->log, sprintf '%04d-%02d-%02dT%02d:%02d:%02d+00:00 mx ' .
	    "postfix/smtpd[%d]: warning: unknown[%s]: bad\n",
	    $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0], $pid++, $addr);
	return;
}

wait_for { eval { $d->ctl('status')->{policy}{connections} >= CONNECTIONS } } 60,
    'the connections';
my $before = store();
my $seen = answers();

# Something is done, and more answers were given meanwhile. The admin command gives
# up after some seconds, which a busy machine may need: it is asked again.
sub
during {
	my ($what, $code) = @_;

	wait_for { eval { $code->() } } 60, $what;
	wait_for { answers() > $seen } 60, 'more answers';
	$seen = answers();
	pass($what);
	return;
}

for my $i (1 .. ROUNDS) {
	offence("10.1.0.$i");
	during("round $i: a log line is read and its hit is in Redis", sub {
		$redis->cmd('EXISTS', "mxwarden:block:10.1.0.$i") });
	during("round $i: Redis's decision is in the view", sub {
		($d->blocked("10.1.0.$i") // '') eq 'firewall' });
	$redis->cmd('SET', "mxwarden:block:10.2.0.$i", 'reject', 'EX', 3600);
	during("round $i: a block by another host is in the view", sub {
		($d->blocked("10.2.0.$i") // '') eq 'reject' });
	during("round $i: the admin command changes it", sub {
		$d->ctl('unblock', "10.2.0.$i");
		!$redis->cmd('EXISTS', "mxwarden:block:10.2.0.$i") });
	during("round $i: HTTP answers", sub { HTTP::Tiny->new(timeout => 60)
		->get("http://$http/healthz")->{success} });
	my $reloads = () = $d->proc->stderr =~ /configuration.*reloaded/g;
	$d->signal('HUP');
	during("round $i: a signal is acted upon", sub {
		(() = $d->proc->stderr =~ /configuration.*reloaded/g) >
		    $reloads });
	# With the helper, if we are root.
	rename $d->log, $d->log . '.1' or die "rename: $!";
	append($d->log, '');
	chmod 0600, $d->log or die "chmod: $!";
	offence("10.3.0.$i");
	during("round $i: the log is rotated", sub {
		$d->blocked("10.3.0.$i") });
}
my $after = store();
is($after->{resyncs}, $before->{resyncs}, 'the link to Redis was never lost');
is($after->{errors}, $before->{errors}, 'the store had no errors');
ok(!-e "$dir/flood$_.died", "flood $_: no connection was closed") or
    diag(slurp("$dir/flood$_.died")) for 1 .. PROCESSES;
kill 'KILL', @pids;
waitpid $_, 0 for @pids;
@pids = ();
$d->stop;
done_testing;
