#!/usr/bin/perl
# Socket activation: the policy listeners belong to whoever starts the daemon,
# so that a restart loses no request.
use strict;
use warnings;

use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Activation;
use MxwardenTest::Load;

need(programs => ['systemd-socket-activate']);

my $BAD = '203.0.113.9';
my %expect = ($BAD => qr/\AREJECT 5\.7\.1 /,
	map { ("198.51.100.$_" => qr/\ADUNNO\z/) } 1 .. 4);

# --- Which listeners ----------------------------------------------------------

{
	my $path = tmp_dir() . '/held.sock';
	my $held = MxwardenTest::Activation->new(names => ['policy', 'more'],
		paths => [$path]);
	my $own = free_port();
	my $d = MxwardenTest::Daemon->new(port => $held->port, start => 0,
		wrap => $held->wrap);

	# One of them is configured, two are not; one is configured and not
	# among them.
	$d->write_conf({ listen => ['inet:127.0.0.1:' . $held->port,
		"inet:127.0.0.1:$own"] });
	$held->start($d);
	$d->wait_ready;
	is($d->ask(client_address => $BAD), 'DUNNO',
	    'a configured listener that is passed');
	for (IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $held->port(1)),
	    IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $own),
	    IO::Socket::UNIX->new($path)) {
		$d->{conn} = $_;
		is($d->ask(client_address => $BAD), 'DUNNO',
		    'another one that is passed, or one that is opened');
	}
	my $said = $d->proc->stderr;
	like($said, qr/inet:127\.0\.0\.1:${\$held->port} is held by the service manager, as policy$/m,
	    'it is said');
	like($said, qr/inet:127\.0\.0\.1:${\$held->port(1)} is held .*, as more$/m,
	    'with its name');
	like($said, qr/unix:\Q$path\E is held/, 'unix, too');
	like($said, qr/policy service on inet:127\.0\.0\.1:$own$/m,
	    'what is not passed is opened');

	# Those of the manager stay, whatever is configured.
	$d->write_conf({ listen => ["inet:127.0.0.1:$own"] });
	$d->ctl('reload');
	ok(IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $held->port), 'a reload leaves them alone');
	$d->stop;
	ok(-S $path, 'the manager\'s socket file stays');
	my $c = IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $held->port);
	ok($c, 'without a daemon they still take connections');
	$d->write_conf({ listen => ['inet:127.0.0.1:' . $held->port] });
	$held->start($d);
	$d->{conn} = $c;
	is($d->ask(client_address => $BAD), 'DUNNO',
	    'which the next daemon answers');
	$d->stop;
}

# Not for us, or nonsense.
{
	my $d = MxwardenTest::Daemon->new(env => { LISTEN_PID => 1,
		LISTEN_FDS => 1 });
	is($d->ask(client_address => $BAD), 'DUNNO',
	    'variables for another process are ignored');
	$d->stop;
	for ('5x', 100, 3) {
		$d = MxwardenTest::Daemon->new(start => 0, env =>
		    { LISTEN_FDS => $_ }, wrap => ['/bin/sh', '-c',
			'exec 3</dev/null 4</dev/null 5</dev/null;' .
			'export LISTEN_PID=$$; exec "$@"', 'sh']);
		$d->launch;
		is($d->proc->wait(20), 2, "LISTEN_FDS=$_: an error");
		like($d->proc->stderr, qr/LISTEN_FDS|no listening/, 'said');
		$d->proc->{stopped} = 1;
	}
}

# --- The real thing, once -----------------------------------------------------

{
	my $d = MxwardenTest::Daemon->new(start => 0);
	$d->{wrap} = ['systemd-socket-activate', '--fdname=policy', '-l',
		'127.0.0.1:' . $d->port];
	$d->launch;
	wait_for { $d->connect } 20, 'systemd-socket-activate to listen';
	is($d->ask(client_address => $BAD), 'DUNNO',
	    'started by systemd-socket-activate at the first connection');
	wait_for { -S $d->control } 20, 'the control socket';
	like($d->proc->stderr, qr/held by the service manager, as policy/,
	    'with its descriptor');
	is($d->ctl('status')->{policy}{requests}, 1, 'one request');
	$d->stop;
}

# --- Ten restarts under load --------------------------------------------------

{
	my $held = MxwardenTest::Activation->new;
	my $d = MxwardenTest::Daemon->new(port => $held->port, start => 0,
		wrap => $held->wrap);
	$held->start($d);
	$d->wait_ready;
	$d->ctl('block', $BAD, '-l', 'reject', '-t', '1h');
	my $load = MxwardenTest::Load->new(port => $held->port, clients => 50,
		expect => \%expect);
	$load->wait_answers(1000);
	for my $n (1 .. 10) {
		$d->stop;
		$held->start($d);
		$d->wait_ready;
		wait_for { $load->seen->{reconnects} >= 50 * $n } 60,
		    'every client to connect again';
		$load->wait_answers(1000);
	}
	my $seen = $load->stop;
	is_deeply($seen->{failures}, [], 'no request failed or was lost');
	cmp_ok($seen->{answers}, '>', 10_000,
	    "$seen->{answers} requests were answered");
	cmp_ok($seen->{reconnects}, '>=', 10 * 50,
	    "each client was disconnected: $seen->{reconnects} times");
	cmp_ok($seen->{reconnects}, '<=', 10 * 50,
	    'and no more than once for each restart');
	diag(sprintf 'slowest answer %.3f s', $seen->{slowest});
	$d->stop;
}

done_testing;
