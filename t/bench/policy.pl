#!/usr/bin/perl
# policy.pl: policy answers of mxwardend, compared with the least that a server
# on libevent can do (policy-baseline) on this machine at this time.
#
#     perl -It/lib t/bench/policy.pl [--build DIR] [--rounds 7] [--seconds 3]
#         [--connections 10,100] [--blocked 0,1000000] [--unix]
#
# Both servers run all the time; the load goes to one and to the other in turn,
# in the order A B B A, so that what else the machine does meets both. Numbers
# are medians over the rounds of the ratio within each round, ours to the
# baseline's: of answers per second, of the processor time for an answer (the
# steadiest on a machine that does other things), of median latency and of the
# 99th percentile. The baseline is the faster of raw events and bufferevents.
# With blocked addresses half of the requests come from them, and their answers
# are longer.
#
# Needs `make` and `make bench-programs` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use Getopt::Long;
use POSIX qw(strftime);

my ($build, $rounds, $seconds, $connections, $blocked, $unix);

# The harness looks for the build directory when it is loaded.
BEGIN {
	($build, $rounds, $seconds) = ('.', 7, 3);
	($connections, $blocked, $unix) = ('10,100', '0,1000000', 0);
	GetOptions('build=s' => \$build, 'rounds=i' => \$rounds,
		'seconds=f' => \$seconds, 'connections=s' => \$connections,
		'blocked=s' => \$blocked, 'unix!' => \$unix) && !@ARGV or
	    die "usage: policy.pl [--build DIR] [--rounds N] [--seconds S] " .
	    "[--connections N,...] [--blocked N,...] [--unix]\n";
	$ENV{MXW_BUILD} //= $build;
	unshift @INC, dirname(__FILE__) . '/../lib';
}
use MxwardenTest;
$| = 1;

# Blocked clients are 10.0.0.0, 10.0.0.1, ...; others are never in there.
my $OTHERS = '198.18.0.0/15';
my $serial = 0;

sub
endpoint {
	return 'unix:' . tmp_dir() . '/s' . ++$serial if $unix;
	return 'inet:127.0.0.1:' . free_port();
}

# Nanoseconds of processor time that a process has used.
sub
cpu_time {
	my ($pid) = @_;
	my ($ns) = split ' ', slurp("/proc/$pid/schedstat") // '';

	return $ns // 0;
}

# One run of the load: a hash of what it measured.
sub
load {
	my ($server, $conns, $secs, @prefixes) = @_;
	my ($endpoint, $pid) = @$server;
	my $cpu = cpu_time($pid);
	my ($status, $out, $err) = run_cmd({ timeout => $secs + 60 },
		program('t/bench/policy-load'), '-c', $conns, '-t', $secs,
		(map { ('-a', $_) } @prefixes), $endpoint);

	die "policy-load: $err\n" if $status != 0;
	my %got = $out =~ /(\w+)=([\d.]+)/g;

	$got{cpu} = (cpu_time($pid) - $cpu) / ($got{answers} || 1);
	return \%got;
}

sub
wait_answers {
	my ($endpoint) = @_;

	wait_for {
		my ($status) = run_cmd(program('t/bench/policy-load'),
			'-c', 1, '-t', 0.01, $endpoint);
		$status == 0;
	} 30, "$endpoint to answer";
	return;
}

sub
median {
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[$#v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}

# The faster of the two baselines.
sub
start_baseline {
	my %rate;
	my %server;

	for my $mode (qw(raw buffer)) {
		my $endpoint = endpoint();
		my $proc = spawn(name => "baseline-$mode",
			cmd => [program('t/bench/policy-baseline'), '-m', $mode,
			$endpoint]);

		wait_answers($endpoint);
		$server{$mode} = [$endpoint, $proc->pid];
	}
	for my $round (1 .. 3) {
		for my $mode (qw(raw buffer)) {
			push @{$rate{$mode}},
			    load($server{$mode}, 10, 1, $OTHERS)->{rate};
		}
	}
	my ($best) = sort { median(@{$rate{$b}}) <=> median(@{$rate{$a}}) }
	    qw(raw buffer);
	printf "baseline: %s (raw %.0f/s, buffer %.0f/s)\n", $best,
	    median(@{$rate{raw}}), median(@{$rate{buffer}});
	return $server{$best};
}

# A daemon that has read a log by which n addresses are blocked.
sub
start_daemon {
	my ($n) = @_;
	my $endpoint = endpoint();
	my $log = tmp_dir() . "/log$n";
	my $now = strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', gmtime);

	open my $fh, '>', $log or die "$log: $!\n";
	for my $i (0 .. $n - 1) {
		printf $fh "%s mx postfix/smtpd[%d]: bench from unknown[10.%d.%d.%d]\n",
		    $now, 1000 + $i % 30000, $i >> 16, $i >> 8 & 255, $i & 255;
	}
	close $fh or die "$log: $!\n";
	my $d = MxwardenTest::Daemon->new(log => $log, start => 0, conf => {
		listen => [$endpoint],
		max_addresses => $n + 100_000,
		snapshot_interval => '1d',
		include => [],
		log => [[$log, { rules => ['bench'], start => 'beginning' }]],
		level => [['reject', { threshold => 1, duration => '1d',
			action => 'REJECT 5.7.1 Abuse from {address} ({rule})' }]],
		rule => [['bench', { set => 'bench', program => ['smtpd'],
			pattern => '^bench from {client}$', weight => 10 }]],
	});
	$d->launch;
	wait_answers($endpoint);
	wait_for {
		die $d->proc->tail if !$d->proc->alive;
		my $got = $n == 0 ? { other => 1 } : load([$endpoint, $d->pid], 1, 0.05,
			sprintf('10.%d.%d.%d', $n - 1 >> 16, $n - 1 >> 8 & 255,
			$n - 1 & 255));
		$got->{other} > 0;
	} 120, "$n addresses to be blocked";
	unlink $log if $n > 0;
	return ($d, [$endpoint, $d->pid]);
}

# Resident memory in MiB.
sub
memory {
	my ($pid) = @_;
	my $status = slurp("/proc/$pid/status") // '';

	return $status =~ /^VmRSS:\s+(\d+) kB/m ? $1 / 1024 : 0;
}

sub
compare {
	my ($base, $ours, $conns, @prefixes) = @_;
	my (%ratio, @rate, @base_rate, $max);

	load($_, $conns, 0.5, @prefixes) for $base, $ours;
	for my $round (1 .. $rounds) {
		my %got;

		for my $who ($round % 2 ? qw(base ours) : qw(ours base)) {
			$got{$who} = load($who eq 'base' ? $base : $ours,
				$conns, $seconds, @prefixes);
		}
		push @{$ratio{$_}}, $got{ours}{$_} / $got{base}{$_}
		    for qw(rate cpu p50 p99);
		push @rate, $got{ours}{rate};
		push @base_rate, $got{base}{rate};
		$max = $got{ours}{max} if !defined $max ||
		    $got{ours}{max} > $max;
	}
	my @sorted = sort { $a <=> $b } @{$ratio{rate}};
	return (median(@base_rate), median(@rate), median(@sorted), $sorted[0],
		$sorted[-1], (map { median(@{$ratio{$_}}) } qw(cpu p50 p99)),
		$max);
}

my $base = start_baseline();

printf "%9s %5s %10s %10s %6s %14s %6s %6s %6s %8s %8s\n", 'blocked',
    'conns', 'baseline/s', 'mxwarden/s', 'ratio', '(min..max)', 'cpu', 'p50',
    'p99', 'max us', 'RSS MiB';
for my $n (split /,/, $blocked) {
	my ($d, $ours) = start_daemon($n);
	my @prefixes = ($OTHERS);

	# The largest prefix that is all blocked.
	push @prefixes, '10.0.0.0/' . (32 - int(log($n) / log(2))) if $n > 0;
	for my $conns (split /,/, $connections) {
		my @got = compare($base, $ours, $conns, @prefixes);

		printf "%9d %5d %10.0f %10.0f %6.3f (%.3f..%.3f) " .
		    "%6.3f %6.3f %6.3f %8.0f %8.0f\n", $n, $conns, @got,
		    memory($d->pid);
	}
	$d->stop;
}
