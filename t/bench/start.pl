#!/usr/bin/perl
# start.pl: from exec to the first answer, and memory.
#
#     perl t/bench/start.pl [--build DIR] [--quick] [--rounds 7]
#         [--blocked 1000000] [--only start,memory]
#
# start   with nothing known, with a snapshot of 1,000,000 blocked addresses,
#         and with a Redis. Beside it, in turn, the baseline, which only listens.
# memory  resident memory: of a daemon that has just started; right after it has
#         read a log by which 1,000,000 addresses are blocked; the most it has
#         ever had, a snapshot included; and after a restart.
#
# Needs `make` and `make bench-programs` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use IO::Socket::IP;
use MxwardenTest;
use MxwardenTest::Offences;
use Time::HiRes qw(sleep time);

my $o = options(rounds => [7, 2], blocked => [1_000_000, 10_000],
	only => [('start,memory') x 2]);
my %only = map { $_ => 1 } split /,/, $o->{only};
my $count = Bench::number($o->{blocked}) =~ s/\.\d+//r;

# Milliseconds until there is an answer on this port.
sub
first_answer {
	my ($port, $start) = @_;
	my $t = time;
	my $reply;

	$start->();
	for (;;) {
		die "no answer\n" if time - $t > 60;
		my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
			PeerPort => $port, Timeout => 10);
		if (!$s) {
			sleep 0.0002;
			next;
		}
		syswrite $s, "request=smtpd_access_policy\n" .
		    "client_address=192.0.2.1\n\n";
		last if sysread $s, $reply, 100;
	}
	return (time - $t) * 1000;
}

sub
start_baseline_once {
	my $port = free_port();
	my $proc;
	my $ms = first_answer($port, sub {
		$proc = spawn(name => 'baseline', cmd => [
			program('t/bench/policy-baseline'),
			"inet:127.0.0.1:$port"]);
	});

	$proc->stop;
	return $ms;
}

sub
compare {
	my ($name, $d) = @_;
	my (@ours, @base);

	for my $round (1 .. $o->{rounds}) {
		push @base, start_baseline_once();
		push @ours, first_answer($d->port, sub { $d->launch });
		$d->wait_ready;
		$d->stop;
	}
	row(group => 'start', name => "exec to first answer, $name",
		unit => 'ms', value => median(@ours), target => '<= 100',
		base => 'baseline', base_value => median(@base));
	row(group => 'start', name => '  longest', unit => 'ms',
		value => quantile(1, @ours), base => 'baseline',
		base_value => quantile(1, @base));
	return;
}

sub
bench_start {
	compare('nothing known', MxwardenTest::Daemon->new(start => 0));
	my $redis = MxwardenTest::Redis->new;
	compare('Redis', MxwardenTest::Daemon->new(start => 0,
		conf => offence_conf(store => $redis->url)));
	$redis->stop;
	my $port = free_port();
	my ($d) = start_blocking($o->{blocked},
		listen => ["inet:127.0.0.1:$port"]);
	$d->{port} = $port;
	$d->stop;
	compare("$count in the snapshot", $d);
	return;
}

# The most that it has ever had, MiB.
sub
memory_peak {
	my ($pid) = @_;

	return slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ?
	    $1 / 1024 : 0;
}

sub
bench_memory {
	my ($d) = start_blocking(0);
	my $empty = memory($d->pid);

	$d->stop;
	row(group => 'memory', name => 'RSS, nothing known', unit => 'MiB',
		value => $empty);
	($d) = start_blocking($o->{blocked});
	my $all = memory($d->pid);
	row(group => 'memory', name => "RSS, $count blocked, embedded",
		unit => 'MiB', value => $all, target => '<= 128');
	row(group => 'memory', name => '  an address', unit => 'bytes',
		value => ($all - $empty) * 1048576 / $o->{blocked});
	# A manual change has a snapshot written.
	$d->ctl('block', '192.0.2.9');
	my ($snapshot) = $d->dir . '/state';
	wait_for { grep { -s $_ > $o->{blocked} } glob "$snapshot/*" } 60,
	    'a snapshot';
	row(group => 'memory', name => '  peak, with a snapshot',
		unit => 'MiB', value => memory_peak($d->pid));
	$d->stop;
	$d->launch;
	wait_for { eval { count_blocked($d) >= $o->{blocked} } } 60,
	    'the snapshot to be read';
	row(group => 'memory', name => '  after a restart', unit => 'MiB',
		value => memory($d->pid));
	$d->stop;
	return;
}

bench_start() if $only{start};
bench_memory() if $only{memory};
