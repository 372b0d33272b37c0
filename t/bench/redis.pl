#!/usr/bin/perl
# redis.pl: the Redis store, measured against what Redis itself can do.
#
#     perl t/bench/redis.pl [--build DIR] [--quick] [--rounds 5]
#         [--hits 200000] [--keys 1000000] [--only hits,keys]
#
# hits  hits a second through the store (redis-hits), and EVALSHAs a second of
#       the same script with the same arguments by redis-benchmark -P 64, in
#       turn, each on an empty Redis.
# keys  a daemon that starts with that many block keys in Redis: until it has
#       read them all; the answers it gives meanwhile; its memory. Beside it, in
#       turn, the least that a client can do: SCAN and MGET of all keys by a
#       program in C.
#
# Needs `make` and `make bench-programs` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use MxwardenTest;
use MxwardenTest::Offences;
use Time::HiRes qw(sleep time);

my $o = options(rounds => [5, 2], hits => [200_000, 5_000],
	keys => [1_000_000, 10_000], only => [('hits,keys') x 2]);
my %only = map { $_ => 1 } split /,/, $o->{only};

sub
bench_hits {
	my $redis = MxwardenTest::Redis->new;
	my $program = program('t/bench/redis-hits');
	my (undef, $script) = run_cmd($program, '--script');
	my (@ours, @theirs);

	for my $round (1 .. $o->{rounds}) {
		$redis->cmd('FLUSHALL');
		my ($status, $out) = run_cmd($program,
			'127.0.0.1:' . $redis->port, $o->{hits});
		die "redis-hits: $status" if $status;
		push @ours, $out + 0;
		$redis->cmd('FLUSHALL');
		my $sha = $redis->cmd('SCRIPT', 'LOAD', $script);
		($status, $out) = run_cmd('redis-benchmark', '-p', $redis->port,
			'-P', 64, '-n', $o->{hits}, '-r', 10_000, '--csv',
			'EVALSHA', $sha, 0, 'mxwarden:', sprintf('%.6f', time),
			600, 2, 86400, 86400, 'mx1', 1, 'defer', 1e9, 600,
			'10.__rand_int__', sprintf('%.6f', time), '0.001',
			'postfix-auth-lost', 0, 100);
		die "redis-benchmark: $status $out" if $status;
		my ($theirs) = $out =~ /^"EVALSHA[^\n]*?","([\d.]+)"/m or
		    die $out;
		push @theirs, $theirs;
	}
	row(group => 'redis', name => 'hits applied', unit => '/s',
		value => median(@ours), base => 'redis-benchmark -P 64',
		base_value => median(@theirs),
		ratios => [map { $ours[$_] / $theirs[$_] } 0 .. $#ours]);
	$redis->stop;
	return;
}

sub
fill {
	my ($redis) = @_;
	my $file = tmp_dir() . '/keys';
	my $until = time + 86400;
	open my $fh, '>', $file or die "$file: $!\n";

	for my $i (0 .. $o->{keys} - 1) {
		printf $fh "SET mxwarden:block:10.%d.%d.%d \"reject score=12 " .
		    "rule=postfix-auth-lost by=mx1 since=%.3f until=%.3f " .
		    "strikes=0\" PXAT %d\r\n", $i >> 16, $i >> 8 & 255,
		    $i & 255, $until - 86400, $until, $until * 1000;
	}
	close $fh or die "$file: $!\n";
	system('redis-cli -p ' . $redis->port . " --pipe < $file > /dev/null")
	    == 0 or die "redis-cli failed\n";
	unlink $file;
	return;
}

# One start: seconds to all blocks, processor seconds of both, and what the
# clients saw meanwhile.
sub
load_keys {
	my ($redis) = @_;
	my $endpoint = endpoint();
	my $before = cpu_time($redis->proc->pid);
	my $d = MxwardenTest::Daemon->new(start => 0, conf => offence_conf(
		listen => [$endpoint], store => $redis->url));
	my %got;
	my $start = time;

	$d->launch;
	wait_answers($endpoint);
	my $clients = spawn(name => 'policy-load', oneshot => 1, cmd => [
		program('t/bench/policy-load'), '-c', 10, '-r', 1000, '-t', 3,
		$endpoint]);
	for (;;) {
		my $status = $d->ctl('status');
		last if $status->{store}{state} eq 'ready' &&
		    $status->{daemon}{blocked} >= $o->{keys};
		die "never\n" if time - $start > 120;
		sleep 0.05;
	}
	$got{took} = time - $start;
	$got{redis} = (cpu_time($redis->proc->pid) - $before) / 1e9;
	$got{ours} = cpu_time($d->pid) / 1e9;
	$clients->wait(60);
	my %seen = $clients->stdout =~ /(\w+)=([\d.]+)/g;
	@got{qw(p99 max)} = ($seen{p99} / 1000, $seen{max} / 1000);
	$got{memory} = memory($d->pid);
	$d->disconnect;
	my $last = sprintf '10.%d.%d.%d', $o->{keys} - 1 >> 16,
	    $o->{keys} - 1 >> 8 & 255, $o->{keys} - 1 & 255;
	die "$last is not blocked\n" if !$d->blocked($last);
	$d->stop;
	return \%got;
}

sub
bench_keys {
	my $redis = MxwardenTest::Redis->new;
	my (@ours, @base);

	fill($redis);
	for my $round (1 .. $o->{rounds}) {
		push @ours, load_keys($redis);
		my ($status, $out, $err) = run_cmd(
			program('t/bench/redis-scan'),
			'127.0.0.1:' . $redis->port, 'mxwarden:block:*');
		die "redis-scan: $err\n" if $status;
		my ($n, $seconds) = split ' ', $out;
		die "redis-scan: $n keys\n" if $n != $o->{keys};
		push @base, $seconds;
	}
	my $count = Bench::number($o->{keys}) =~ s/\.\d+//r;
	my $of = sub { my ($what) = @_; return median(map { $_->{$what} } @ours) };

	row(group => 'redis', name => "$count blocks loaded, from exec",
		unit => 's', value => $of->('took'), target => '<= 5',
		base => 'SCAN and MGET alone', base_value => median(@base));
	row(group => 'redis', name => '  ratio to SCAN and MGET alone',
		ratios => [map { $ours[$_]{took} / $base[$_] } 0 .. $#base]);
	row(group => 'redis', name => '  processor time of mxwardend',
		unit => 's', value => $of->('ours'), base => 'of Redis',
		base_value => $of->('redis'));
	row(group => 'redis', name => '  longest answer meanwhile',
		unit => 'ms', value => $of->('max'));
	row(group => 'redis', name => '  99th percentile', unit => 'ms',
		value => $of->('p99'));
	row(group => 'memory', name => "RSS, $count blocked, Redis",
		unit => 'MiB', value => $of->('memory'), target => '<= 128');
	$redis->stop;
	return;
}

bench_hits() if $only{hits};
bench_keys() if $only{keys};
