#!/usr/bin/perl
# What a service manager is told: ready, reloading, stopping, status, and that
# the loop turns.
use strict;
use warnings;

use IO::Select;
use Socket qw(AF_UNIX SOCK_DGRAM pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(clock_gettime time CLOCK_MONOTONIC);

use MxwardenTest;

my @messages;
my $socket;

sub
listen_at {
	my ($name) = @_;

	socket $socket, AF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
	bind $socket, pack_sockaddr_un($name) or die "bind: $!";
	@messages = ();
	return;
}

# Messages that have come, in order.
sub
collect {
	while (IO::Select->new($socket)->can_read(0)) {
		defined recv $socket, my $text, 4096, 0 or die "recv: $!";
		push @messages, $text;
	}
	return @messages;
}

sub
wait_message {
	my ($re, $seconds) = @_;

	return wait_for { grep { $_ =~ $re } collect() } $seconds // 20,
	    "a message like $re";
}

for my $name (tmp_dir() . '/notify', "\0mxwarden-test-$$") {
	listen_at($name);
	(my $text = $name) =~ s/^\0/@/;
	my $d = MxwardenTest::Daemon->new(env => { NOTIFY_SOCKET => $text });

	wait_message(qr/\AREADY=1\z/);
	wait_message(qr/\ASTATUS=0 blocked; store embedded, ready\z/);
	is($messages[0], 'READY=1', "$text: ready is the first thing said");
	ok(!(grep { /WATCHDOG/ } @messages), 'no sign of life that nobody wants');

	@messages = ();
	$d->ctl('block', "192.0.2.$_") for 1 .. 5;
	my $start = time;
	wait_message(qr/\ASTATUS=5 blocked; /);
	my $n = grep { /STATUS/ } @messages;
	cmp_ok($n, '<=', 1 + (time - $start) / 3 + 1,
	    "$n messages of status for five changes");

	@messages = ();
	$start = clock_gettime(CLOCK_MONOTONIC);
	$d->signal('HUP');
	wait_message(qr/\AREADY=1\z/);
	my ($first, $last) = grep { !/STATUS/ } @messages;
	like($first, qr/\ARELOADING=1\nMONOTONIC_USEC=\d+\z/, 'reloading');
	my ($usec) = $first =~ /USEC=(\d+)/;
	cmp_ok(abs($usec / 1e6 - $start), '<', 20, 'with the time');
	is($last, 'READY=1', 'then ready again');
	my $good = slurp($d->conf_file);
	append($d->conf_file, "nonsense\n");
	@messages = ();
	$d->signal('HUP');
	wait_message(qr/\AREADY=1\z/);
	wait_message(qr/\ASTATUS=.*the last reload was refused/);
	spew($d->conf_file, $good);
	$d->signal('HUP');
	wait_for { collect(); $messages[-1] =~ /\ASTATUS=5 blocked; .*ready\z/ }
	    20, 'the refusal to be forgotten';

	@messages = ();
	$d->stop;
	collect();
	is_deeply([grep { !/STATUS/ } @messages], ['STOPPING=1'], 'stopping');
}

# The watchdog: a sign of life at half the time, as long as the loop turns.
{
	my $name = tmp_dir() . '/watchdog';

	listen_at($name);
	my $d = MxwardenTest::Daemon->new(env => { NOTIFY_SOCKET => $name,
		WATCHDOG_USEC => 400_000 });
	my $alive = sub { scalar grep { /WATCHDOG=1/ } collect() };

	my $start = time;
	wait_for { $alive->() >= 6 } 30, 'six signs of life';
	cmp_ok(time - $start, '>', 0.2 * 4, 'not faster than it must be');
	$d->signal('STOP');
	my $before;
	do {
		$before = $alive->();
		select undef, undef, undef, 0.5;
	} while $alive->() != $before;
	pass('none from a loop that does not turn');
	$d->signal('CONT');
	wait_for { $alive->() > $before } 30, 'one when it goes on';
	$d->stop;
}
{
	my $name = tmp_dir() . '/other';

	listen_at($name);
	my $d = MxwardenTest::Daemon->new(env => { NOTIFY_SOCKET => $name,
		WATCHDOG_USEC => 100_000, WATCHDOG_PID => 1 });
	wait_message(qr/READY/);
	wait_message(qr/STATUS/);
	is(scalar(grep { /WATCHDOG/ } collect()), 0,
	    'a watchdog for another process is not ours');
	$d->stop;
}

# A manager that does not read, or is not there, holds nothing up.
{
	my $name = tmp_dir() . '/deaf';

	listen_at($name);
	my $d = MxwardenTest::Daemon->new(env => { NOTIFY_SOCKET => $name,
		WATCHDOG_USEC => 2000 });
	# Far more than the socket's queue takes.
	my ($end, $bad) = (time + 1, 0);
	while (time < $end) {
		$bad++ if $d->ask(client_address => '192.0.2.77') ne 'DUNNO';
	}
	is($bad, 0, 'a manager that does not read: answers all the time');
	$d->signal('HUP');
	wait_for { my $n = grep { /RELOADING|\AREADY=1/ } collect(); $n >= 2 }
	    20, 'the state to arrive when there is room';
	close $socket;
	unlink $name;
	is($d->ask(client_address => '192.0.2.77'), 'DUNNO', 'answers');
	$d->wait_stderr(qr/the service manager cannot be told/);
	$d->stop;
	$d = MxwardenTest::Daemon->new(env => { NOTIFY_SOCKET => 'nonsense' });
	$d->wait_stderr(qr/'nonsense' is not the name of a socket/);
	$d->stop;
}

done_testing;
