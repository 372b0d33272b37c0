# More offences than the queue holds while Redis is away: the logs are read
# again when it is back, and every offence counts exactly once: with lines of
# one connection on both sides of the place that is gone back to, with logs
# rotated meanwhile, with the daemon killed meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use MxwardenTest;
use MxwardenTest::Offences;
use Test::More;
use Time::HiRes qw(sleep time);

skip_test('redis-server is not installed')
    if !have_program('redis-server') && !have_program('valkey-server');

use constant { ADDRS => 997, LINES => 80_000 };

my @log = map { tmp_dir() . "/mail$_.log" } 0, 1;
my %count;

# Offences, each told of twice; the second lines of all stay open until the next
# call, so that connections span whatever happens between the calls.
my @open;

sub
attack {
	my ($n) = @_;
	my @text = ('', '');
	my @next;

	for my $i (1 .. $n) {
		my $addr = '10.1.' . ($i % ADDRS >> 8) . '.' . ($i % ADDRS & 255);
		my ($first, $second) = offence_twice($addr);

		$text[$i % 2] .= "$first\n";
		$count{$addr}++;
		if ($i % 40 == 0) {
			push @next, [$i % 2, $second];
		} else {
			$text[$i % 2] .= "$second\n";
		}
	}
	$text[$_->[0]] .= "$_->[1]\n" for @open;
	@open = @next;
	MxwardenTest::append($log[$_], $text[$_]) for 0, 1;
	return;
}

sub
check {
	my ($redis, $name) = @_;
	my @bad;

	for my $addr (sort keys %count) {
		my $have = $redis->cmd('HGET', "mxwarden:score:$addr", 'score');
		push @bad, "$addr: " . ($have // 'none') . ", want $count{$addr}"
		    if ($have // -1) != $count{$addr};
		my $strikes = $redis->cmd('GET', "mxwarden:strikes:$addr") // 0;
		push @bad, "$addr: $strikes strikes" if $strikes != 1;
	}
	is("@bad[0 .. ($#bad < 5 ? $#bad : 5)]", '', $name);
	return;
}

MxwardenTest::append($_, '') for @log;
my $redis = MxwardenTest::Redis->new(aof => 1);
my $d = MxwardenTest::Daemon->new(conf => offence_conf(store => $redis->url,
	snapshot_interval => '200ms',
	log => [map { [$_, { rules => ['postfix'] }] } @log]));
my $store = sub { $d->ctl('status')->{store} };

sub
settle {
	wait_for {
		my $s = $store->();
		$s->{ready} && $s->{state} eq 'ready' && $s->{pending} == 0;
	} 60, 'the store to settle';
	$d->wait_read;
	return;
}

settle();
attack(2000);
settle();
$redis->kill9;
attack(5000) for 1 .. LINES / 5000;
wait_for { $d->proc->stderr =~ /the store is behind/ } 60, 'the overflow';
$d->wait_read(60);
my $s = $store->();
cmp_ok($s->{pending}, '<=', 65536, 'the queue is bounded');
cmp_ok($s->{pending}, '>', 50000, '... and used');
like($d->ask(client_address => '10.1.0.5'), qr/^REJECT/,
    'offences count here meanwhile');
my $scored = 0;
$scored += $_->{scored} for @{$d->ctl('status')->{logs}};

my $start = time;
$redis->start;
attack(500);
$scored += 500;
settle();
note sprintf 'caught up in %.2f s', time - $start;
like($d->proc->stderr, qr/reading the logs again/, 'the logs are read again');
check($redis, 'every offence has been counted once');
my $again = 0;
$again += $_->{scored} for @{$d->ctl('status')->{logs}};
is($again, $scored, 'lines read again are not counted again in the status');

# The same with rotations and a crash in the middle, and with Redis away for
# the restart.
$redis->kill9;
attack(5000) for 1 .. 12;
for my $i (0, 1) {
	rename $log[$i], "$log[$i].1" or die;
	MxwardenTest::append($log[$i], '');
}
attack(5000) for 1 .. 4;
wait_for { () = $d->proc->stderr =~ /the store is behind/g;
	scalar(@{[$d->proc->stderr =~ /the store is behind/g]}) >= 2 } 60,
    'the overflow';
attack(1000);
$d->wait_read(60);
sleep 0.5; # a snapshot
attack(1000);
$d->kill9;
attack(1000);
$d->start;
$d->wait_read(60);
like($d->ask(client_address => '10.1.0.5'), qr/^REJECT/,
    'after a crash meanwhile: blocked all the same');
$redis->start;
attack(500);
settle();
check($redis, '... and every offence is counted once');
$d->stop;

# Without the state nobody knows which lines Redis has counted: none again.
spew($d->dir . '/state/state', 'damaged');
$d->start;
settle();
check($redis, 'a damaged state file: nothing is counted twice');
MxwardenTest::append($log[0], offence('10.2.0.1') . "\n");
wait_for { ($redis->cmd('HGET', 'mxwarden:score:10.2.0.1', 'score') // 0) == 1 }
    10, 'a new offence';
pass('... and what is new is counted');
$d->stop;
done_testing;
