#!/usr/bin/perl
# redis.pl: the Redis store, measured against what Redis itself can do.
#
#     perl t/bench/redis.pl [--build DIR] [--rounds 5] [--hits 200000]
#         [--keys 1000000] [--latency 300] [--only hits,keys,latency]
#
# hits     hits a second through the store (redis-hits), and EVALSHAs a second of
#          the same script with the same arguments by redis-benchmark -P 64, in
#          turn, each on an empty Redis; the medians and the median ratio.
# keys     a daemon that starts with that many block keys in Redis: until it has
#          read them all; its memory; the answers it gives meanwhile.
# latency  from the line that decides, written on one host, to the first REJECT
#          on another.
#
# Needs `make` and `make bench-programs` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use Getopt::Long;
use Time::HiRes qw(sleep time);

my ($build, $rounds, $hits, $keys, $latency, $only);

BEGIN {
	($build, $rounds, $hits, $keys, $latency) = ('.', 5, 200_000, 1_000_000,
		300);
	$only = 'hits,keys,latency';
	GetOptions('build=s' => \$build, 'rounds=i' => \$rounds,
		'hits=i' => \$hits, 'keys=i' => \$keys,
		'latency=i' => \$latency, 'only=s' => \$only) && !@ARGV or
	    die "usage: redis.pl [--build DIR] [--rounds N] [--hits N] " .
	    "[--keys N] [--latency N] [--only hits,keys,latency]\n";
	$ENV{MXW_BUILD} //= $build;
	unshift @INC, dirname(__FILE__) . '/../lib';
}
use MxwardenTest;
use MxwardenTest::Offences;
$| = 1;

sub
quantile {
	my ($q, @v) = @_;

	@v = sort { $a <=> $b } @v;
	return $v[int($q * $#v + 0.5)];
}

sub
bench_hits {
	my $redis = MxwardenTest::Redis->new;
	my $program = program('t/bench/redis-hits');
	my (undef, $script) = run_cmd($program, '--script');
	my (@ours, @theirs, @ratio);

	for my $round (1 .. $rounds) {
		$redis->cmd('FLUSHALL');
		my ($status, $out) = run_cmd($program,
			'127.0.0.1:' . $redis->port, $hits);
		die "redis-hits: $status" if $status;
		my $ours = $out + 0;
		$redis->cmd('FLUSHALL');
		my $sha = $redis->cmd('SCRIPT', 'LOAD', $script);
		($status, $out) = run_cmd('redis-benchmark', '-p', $redis->port,
			'-P', 64, '-n', $hits, '-r', 10_000, '--csv',
			'EVALSHA', $sha, 0, 'mxwarden:', sprintf('%.6f', time),
			600, 2, 86400, 86400, 'mx1', 1, 'defer', 1e9, 600,
			'10.__rand_int__', sprintf('%.6f', time), '0.001',
			'postfix-auth-lost', 0, 100);
		die "redis-benchmark: $status $out" if $status;
		my ($theirs) = $out =~ /^"EVALSHA[^\n]*?","([\d.]+)"/m or
		    die $out;
		push @ours, $ours;
		push @theirs, $theirs;
		push @ratio, $ours / $theirs;
	}
	printf "hits: %.0f/s; redis-benchmark -P 64: %.0f/s; ratio %.2f\n",
	    quantile(0.5, @ours), quantile(0.5, @theirs),
	    quantile(0.5, @ratio);
	$redis->stop;
	return;
}

sub
fill {
	my ($redis) = @_;
	my $file = tmp_dir() . '/keys';
	my $until = time + 86400;
	open my $fh, '>', $file or die;

	for my $i (0 .. $keys - 1) {
		printf $fh "SET mxwarden:block:10.%d.%d.%d \"reject score=12 " .
		    "rule=postfix-auth-lost by=mx1 since=%.3f until=%.3f " .
		    "strikes=0\" PXAT %d\r\n", $i >> 16, $i >> 8 & 255,
		    $i & 255, $until - 86400, $until, $until * 1000;
	}
	close $fh;
	system('redis-cli -p ' . $redis->port . " --pipe < $file > /dev/null")
	    == 0 or die 'redis-cli';
	unlink $file;
	return;
}

sub
memory {
	my ($pid) = @_;
	my ($kib) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;

	return $kib / 1024;
}

sub
bench_keys {
	my $redis = MxwardenTest::Redis->new;
	my $d;
	my @took;
	my $last = sprintf '10.%d.%d.%d', $keys - 1 >> 16, $keys - 1 >> 8 & 255,
	    $keys - 1 & 255;

	fill($redis);
	$d = MxwardenTest::Daemon->new(start => 0, conf => offence_conf(
		store => $redis->url));
	my $start = time;
	$d->launch;
	wait_for { $d->connect } 10, 'the listener';
	my $first = time - $start;
	my ($status, $n, $loaded) = ('', 0, 0);
	while (!$loaded) {
		for (1 .. 50) {
			my $t = time;
			$d->ask(client_address => '198.51.100.1');
			push @took, time - $t;
		}
		$n = $d->ctl('status');
		$loaded = $n->{store}{state} eq 'ready' &&
		    $n->{daemon}{blocked} >= $keys;
	}
	printf "keys: %d loaded %.2f s after exec (first answer %.0f ms); " .
	    "%.0f MiB; %d answers meanwhile: p99 %.2f ms, worst %.2f ms\n",
	    $keys, time - $start, $first * 1000, memory($d->pid),
	    scalar @took, quantile(0.99, @took) * 1000,
	    quantile(1, @took) * 1000;
	die 'the last one is not blocked'
	    if $d->ask(client_address => $last) !~ /^REJECT/;
	sleep 11; # a snapshot, and the memory after it
	printf "keys: %.0f MiB after a snapshot\n", memory($d->pid);
	$d->stop;
	$redis->stop;
	return;
}

sub
bench_latency {
	my $redis = MxwardenTest::Redis->new;
	my @mx = map {
		MxwardenTest::Daemon->new(conf => offence_conf(
			store => $redis->url))
	} 1 .. 2;
	my @took;

	wait_for { !grep { !$_->ctl('status')->{store}{ready} } @mx } 10,
	    'the stores';
	for my $i (1 .. $latency) {
		my $addr = '10.0.' . ($i >> 8) . '.' . ($i & 255);

		$mx[0]->log_append(map { offence($addr) } 1 .. 4);
		wait_for { ($redis->cmd('HGET', "mxwarden:score:$addr",
			'score') // 0) == 4 } 5, 'four';
		my $line = offence($addr);
		my $start = time;
		$mx[0]->log_append($line);
		while ($mx[1]->ask(client_address => $addr) eq 'DUNNO') {
			die 'never' if time - $start > 10;
		}
		push @took, time - $start;
	}
	printf "latency: line on one host to refusal on another: median " .
	    "%.2f ms, p99 %.2f ms, worst %.2f ms (%d)\n",
	    map({ $_ * 1000 } quantile(0.5, @took), quantile(0.99, @took),
	    quantile(1, @took)), scalar @took;
	$_->stop for @mx;
	$redis->stop;
	return;
}

my %bench = (hits => \&bench_hits, keys => \&bench_keys,
	latency => \&bench_latency);
for my $name (split /,/, $only) {
	($bench{$name} // die "no such benchmark: $name\n")->();
}
