# Sentinel: the master is found through three sentinels, a fail-over is
# followed without a restart, under a stream of offences and policy requests.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use MxwardenTest;
use MxwardenTest::Offences;
use MxwardenTest::Stream;
use Test::More;
use Time::HiRes qw(sleep time);

skip_test('redis-server is not installed') if !have_program('redis-server');

my @redis = map { MxwardenTest::Redis->new } 1 .. 3;
$_->cmd('REPLICAOF', '127.0.0.1', $redis[0]->port) for @redis[1, 2];

my @port = map { free_port() } 1 .. 3;
my @sentinel = map {
	my $file = tmp_dir() . "/sentinel$_.conf";

	spew($file, <<"END");
port $_
bind 127.0.0.1
dir @{[tmp_dir()]}
sentinel monitor mx 127.0.0.1 @{[$redis[0]->port]} 2
sentinel down-after-milliseconds mx 700
sentinel failover-timeout mx 5000
END
	spawn(name => "sentinel $_",
		cmd => [have_program('redis-server'), $file, '--sentinel']);
} @port;

sub
sentinel_cmd {
	my ($port, @cmd) = @_;
	my ($status, $out) = run_cmd('redis-cli', '-p', $port, @cmd);

	return $status == 0 ? $out : '';
}

wait_for {
	my $ready = 0;
	for my $port (@port) {
		my %m = split /\n/, sentinel_cmd($port, 'SENTINEL', 'MASTER', 'mx');
		$ready++ if ($m{'num-slaves'} // 0) == 2 &&
		    ($m{'num-other-sentinels'} // 0) == 2;
	}
	$ready == 3;
} 30, 'the sentinels to know each other';
wait_for {
	!grep { $_->cmd('INFO', 'replication') !~ /master_link_status:up/ }
	    @redis[1, 2]
} 30, 'the replicas';

# One sentinel that is not there does not matter.
my $url = 'sentinel://mx@127.0.0.1:' . free_port() . ',' .
    join(',', map { "127.0.0.1:$_" } @port) . '/0';
my $known = '192.0.2.200';
my @mx = map {
	MxwardenTest::Daemon->new(conf => offence_conf(store => $url,
		host => "mx$_"));
} 1 .. 2;
my $settled = sub {
	my $s = $_[0]->ctl('status')->{store};
	return $s->{ready} && $s->{state} eq 'ready' && $s->{pending} == 0;
};
wait_for { $settled->($mx[0]) && $settled->($mx[1]) } 20, 'the stores';
my $port = $redis[0]->port;
like($mx[0]->ctl('status')->{store}{detail}, qr{redis://127\.0\.0\.1:$port/0},
    'status names the master');
$redis[0]->cli('SET', "mxwarden:block:$known", 'reject', 'EX', '3600');
wait_for { !grep { $_->ask(client_address => $known) !~ /^REJECT/ } @mx } 5,
    'the block';

my $s = MxwardenTest::Stream->new(daemons => \@mx, blocked => $known);
sleep 1;
$redis[0]->kill9;
my $start = time;
my $new;
wait_for {
	($new) = sentinel_cmd($port[0], 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
		'mx') =~ /^\S+\n(\d+)/;
	$new && $new != $port;
} 30, 'the fail-over';
note sprintf 'Sentinel took %.1f s', time - $start;
wait_for {
	!grep { $_->ctl('status')->{store}{detail} !~ m{:$new/} ||
	    !$_->ctl('status')->{store}{ready} } @mx
} 20, 'the daemons to follow';
note sprintf 'followed after %.1f s', time - $start;
sleep 0.5;
my $counts = $s->stop;
$_->wait_read for @mx;
wait_for { $settled->($mx[0]) && $settled->($mx[1]) } 20, 'the stores';
my ($master) = grep { $_->port == $new } @redis;
delete $master->{conn}; # closed when its role changed
my @bad;
for my $addr (sort keys %$counts) {
	my $have = $master->hash("mxwarden:score:$addr")->{score} // 0;
	push @bad, "$addr: $have, want $counts->{$addr}"
	    if $have != $counts->{$addr};
}
is("@bad[0 .. ($#bad < 5 ? $#bad : 5)]", '',
    'every offence has been counted once');
is($s->wrong, 0, 'who was blocked stayed blocked');
is($s->late, 0, 'no late answer');
note sprintf '%d answers, worst %.1f ms', $s->asked, $s->worst;
note $mx[0]->proc->stderr;
$master->cli('SET', 'mxwarden:block:192.0.2.77', 'reject', 'EX', '60');
ok(try_for(sub {
	!grep { $_->ask(client_address => '192.0.2.77') !~ /^REJECT/ } @mx
}, 5), 'keys of the new master take effect');
$_->stop for @mx;
$_->stop for @sentinel;
done_testing;
