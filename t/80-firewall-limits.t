# What is never dropped, how much is, and what happens when nothing can be.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Firewall;

MxwardenTest::Firewall->enter(qw(nft));
my $net = MxwardenTest::Firewall->new;
my $dir = tmp_dir();

sub ruleset { return (run_cmd(qw(nft list ruleset)))[1] }

# A server to connect to; it takes no connection, but has room for all.
my $port = free_port();
my $server = IO::Socket::IP->new(LocalHost => '::', V6Only => 0,
	LocalPort => $port, Listen => 2000, ReuseAddr => 1) or die "listen: $!";

sub
block {
	my ($d, $what, $time) = @_;

	return ($d->ctl_full('block', $what, '-l', 'firewall', '-t',
		$time // '1h'))[0];
}

# --- Protected ----------------------------------------------------------------

my $d = MxwardenTest::Daemon->new(conf => { $net->conf($port,
	backend => 'nftables', max_entries => 5) });
$net->wait_ready($d, 0);
for my $own ('198.51.100.1', '2001:db8:ff::1', '127.0.0.1', '198.51.0.0/16',
    '2001:db8::/31', '203.0.0.0/15', '2001:db8:ff::/64') {
	block($d, $own);
}
is(block($d, '198.51.100.19'), 2, 'on the allow list: refused at once');
block($d, '198.51.100.10');
wait_for { $net->try('198.51.100.10', $port) eq 'timeout' } 10,
    'an ordinary one to be dropped';
$net->wait_ready($d, 1);
cmp_ok($net->firewall_status($d)->{refused}, '>=', 4, 'refusals are counted');
is($net->try($_, $port), 'open', "$_ connects")
    for '198.51.100.19', '198.51.100.11', '2001:db8:1:1::7';
ok(IO::Socket::IP->new(PeerHost => $_, PeerPort => $port, Timeout => 2),
	"we ourselves connect to $_") for '127.0.0.1', '198.51.100.1';
unlike(ruleset(), qr/elements = \{[^}]*(?:127\.|198\.51\.0|203\.0\.0)/,
	'none is in a set');
$d->wait_stderr(qr/is not dropped: it is protected/);

# The shared allow list: it comes and goes while they are blocked.
block($d, '198.51.100.12');
block($d, '2001:db8:3:1::7');
wait_for { $net->try('2001:db8:3:1::8', $port) eq 'timeout' } 10,
    'a /64 to be dropped';
$d->ctl('allow', 'add', '198.51.100.12');
$d->ctl('allow', 'add', '2001:db8:3:1::8');
wait_for { $net->try('198.51.100.12', $port) eq 'open' } 10,
    'allowed: an address to be free';
wait_for { $net->try('2001:db8:3:1::8', $port) eq 'open' } 10,
    'allowed: the /64 around one to be free';
pass('the allow list frees what is dropped');
$d->ctl('allow', 'del', '198.51.100.12');
wait_for { $net->try('198.51.100.12', $port) eq 'timeout' } 10,
    'it to be dropped again';
pass('and when it goes, the block is back');

# The configured one, by reload.
$d->write_conf({ $net->conf($port, backend => 'nftables', max_entries => 5),
	allow => ['198.51.100.10'] });
$d->ctl('reload');
wait_for { $net->try('198.51.100.10', $port) eq 'open' } 10,
    'reload: it to be free';
is($net->try('198.51.100.12', $port), 'timeout', 'others stay dropped');
$d->ctl('unblock', '--all');
$net->wait_ready($d, 0);

# --- max_entries --------------------------------------------------------------

block($d, "192.0.2.$_", '1h') for 1 .. 4;
block($d, '198.51.100.13', '1h');
$net->wait_ready($d, 5);
is($net->firewall_status($d)->{full}, 0, 'as many as configured');
block($d, '198.51.100.14');
$d->wait_stderr(qr/firewall: full with 5 entries/);
cmp_ok($net->firewall_status($d)->{full}, '>', 0, 'what has no room is counted');
is($net->try('198.51.100.14', $port), 'open', 'and is not dropped');
is($net->try('198.51.100.13', $port), 'timeout', 'those that are in stay');
isnt($net->firewall_status($d)->{state}, 'degraded', 'that is no failure');
$d->ctl('unblock', '192.0.2.1');
wait_for { $net->try('198.51.100.14', $port) eq 'timeout' } 15,
    'it to come in when there is room';
pass('room again: it is dropped');
my @said = $d->proc->stderr =~ /full with/g;
cmp_ok(scalar(@said), '<=', 2, 'the warning is not repeated');
$d->ctl('unblock', '--all');
$net->wait_ready($d, 0);
$d->stop;

# --- dry_run ------------------------------------------------------------------

$d->write_conf({ $net->conf($port, backend => 'nftables'), dry_run => 'true' });
$d->start;
is($net->firewall_status($d)->{state}, 'off', 'dry run: off');
block($d, '198.51.100.10');
$d->wait_stderr(qr/dry run: would drop 198\.51\.100\.10 for 3600 s/);
wait_for { ruleset() eq '' } 10, 'rules to go';
pass('dry run: what an earlier run left is removed');
is($net->try('198.51.100.10', $port), 'open', 'dry run: nothing is dropped');
my ($status, undef, $err) = $d->ctl_full('firewall', 'check');
is($status, 2, 'dry run: nothing to check');
like($err, qr/dry run/, 'and why');
$d->write_conf({ $net->conf($port, backend => 'nftables') });
$d->ctl('reload');
wait_for { $net->try('198.51.100.10', $port) eq 'timeout' } 10,
    'dry run over';
pass('dry run over: it is dropped');
$d->write_conf({ $net->conf($port, backend => 'nftables'), dry_run => 'true' });
$d->ctl('reload');
wait_for { $net->try('198.51.100.10', $port) eq 'open' } 10, 'dry run again';
is(ruleset(), '', 'a dry run by reload removes everything');
$d->stop;

# --- Another host's blocks ----------------------------------------------------

$d->write_conf({ $net->conf($port, backend => 'nftables', shared => 'false') });
$d->start;
$net->wait_ready($d, 1);
is($net->try('198.51.100.10', $port), 'timeout', 'shared = false: our own');
$d->stop;
my %conf = $net->conf($port, backend => 'nftables', shared => 'false');
$d->write_conf({ %conf, host => 'mx2' });
$d->start;
$net->wait_ready($d, 0);
is($net->try('198.51.100.10', $port), 'open',
	'shared = false: not what another host decided');
$d->write_conf({ $net->conf($port, backend => 'nftables', shared => 'true'),
	host => 'mx2' });
$d->ctl('reload');
wait_for { $net->try('198.51.100.10', $port) eq 'timeout' } 10, 'shared';
pass('shared = true: that, too');
$d->stop;

# --- Tools --------------------------------------------------------------------

$d->write_conf({ $net->conf($port, backend => 'command',
	add => ['no-such-tool-here', '{address}'],
	delete => ['/bin/true', '{address}']) });
for my $c ([mxwardend => '-t', '-c', $d->conf_file],
    [mxwardend => '-f', '-c', $d->conf_file],
    [mxwarden => '-c', $d->conf_file, 'check']) {
	my ($name, @args) = @$c;
	($status, undef, $err) = run_cmd({ timeout => 20 },
		MxwardenTest::program($name), @args);
	is($status, 2, "$name @args[0, -1]: a missing tool");
	like($err, qr/'backend'.*no-such-tool-here.*not installed/,
		"$name @args[0, -1]: which one");
}
# One that hangs holds up nothing but itself.
spew("$dir/slow", "#!/bin/sh\nexec sleep 600\n");
chmod 0755, "$dir/slow";
$d->write_conf({ $net->conf($port, backend => 'command',
	add => ["$dir/slow", '{address}'],
	delete => ['/bin/true', '{address}']) });
$d->start;
block($d, '192.0.2.77');
my $t = time;
is($d->ask(client_address => "192.0.2.$_"), 'DUNNO', 'an answer') for 1 .. 5;
cmp_ok(time - $t, '<', patience(2), 'a tool that hangs makes no answer late');
my ($helper) = map { $_->{pid} } $net->children($d->pid);
my @tools = map { $_->{pid} } $net->children($helper);
$t = time;
$d->stop;
cmp_ok(time - $t, '<', patience(15), 'nor the end');
kill 'KILL', @tools;
wait_for { !-d "/proc/$helper" || slurp("/proc/$helper/stat") =~ /\) Z/ } 30,
    'the helper to end';
pass('the helper ends after its tool');
close $server;
done_testing;
