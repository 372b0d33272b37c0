# Bench: what the benchmark programs share.
#
#   use lib ...; use Bench;       finds the build directory (--build DIR) before
#                                 it loads the harness of the tests
#   my $o = options(rounds => [5, 2], ...)
#                                 --NAME VALUE; the defaults of a full run and
#                                 of a smoke run (--quick)
#   row(name => ..., ...)         one line of the table
#
# A row: what was measured (name), the figure (value, unit), what it is compared
# with (base, base_value), the ratio of the two (medians of what each round has
# given, not the ratio of medians), and the target: ">= 0.95", "<= 5", which
# holds or not for the ratio, or for the value if there is no ratio. Rows go to
# standard output, and to the file MXW_BENCH_ROWS as JSON, from which run.pl
# makes its table and picture.
package Bench;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Getopt::Long;
use JSON::PP ();
use POSIX ();

our @EXPORT = qw(options row skip_rows median quantile cpu_time memory wait_time
    wait_huge load wait_answers start_baseline blocked_log blocking_conf endpoint
    count_blocked start_blocking $OTHERS blocked_prefix);

BEGIN {
	my $build = '.';

	for my $i (0 .. $#ARGV) {
		$build = $1 if $ARGV[$i] =~ /\A--build=(.*)/;
		$build = $ARGV[$i + 1] // '.' if $ARGV[$i] eq '--build';
	}
	$ENV{MXW_BUILD} //= abs_path($build);
	unshift @INC, abs_path(dirname(__FILE__) . '/../lib');
}
use MxwardenTest;

$| = 1;

# Blocked clients are 10.0.0.0, 10.0.0.1, ...; others are never in there.
our $OTHERS = '198.18.0.0/15';

sub
options {
	my (%default) = @_;
	my %got = (build => '.', quick => 0);
	my @args = @ARGV;
	my @spec = ('build=s', 'quick');

	push @spec, "$_=s" for keys %default;
	if (!Getopt::Long::GetOptionsFromArray(\@args, \%got, @spec) || @args) {
		die "usage: $0 [--build DIR] [--quick]", (map {
			" [--$_ " . ($default{$_}[0] || 'VALUE') . ']'
		} sort keys %default), "\n";
	}
	for my $name (keys %default) {
		$got{$name} //= $default{$name}[$got{quick} ? 1 : 0];
	}
	return \%got;
}

sub
quantile {
	my ($q, @v) = @_;

	@v = sort { $a <=> $b } @v;
	return $v[int($q * $#v + 0.5)];
}

sub
median {
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[$#v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}

sub
number {
	my ($x) = @_;
	my $text;

	return '' if !defined $x;
	$text = sprintf abs $x >= 1000 ? '%.0f' : abs $x >= 100 ? '%.0f' :
	    abs $x >= 10 ? '%.1f' : '%.2f', $x;
	1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
	return $text;
}

sub
holds {
	my ($r) = @_;
	my ($op, $bound) = ($r->{target} // '') =~ /\A([<>]=) ([\d.]+)\z/ or
	    return;
	my $x = $r->{ratio} // $r->{value};

	return $op eq '>=' ? $x >= $bound : $x <= $bound;
}

# group, name, value, unit, base, base_value, ratio, target; `ratios`: those of
# the rounds, from which ratio, low and high are made.
sub
row {
	my (%r) = @_;

	if ($r{ratios}) {
		my @v = sort { $a <=> $b } @{delete $r{ratios}};
		@r{qw(ratio low high rounds)} = (median(@v), $v[0], $v[-1],
			scalar @v);
	}
	$r{ok} = holds(\%r) ? JSON::PP::true : JSON::PP::false
	    if defined $r{target};
	printf "%-8s %-46s %10s %-9s%s%s%s\n", $r{group}, $r{name},
	    number($r{value}), $r{unit} // '',
	    defined $r{base} ? sprintf('  %s: %s', $r{base},
		number($r{base_value})) : '',
	    defined $r{ratio} ? '  ratio ' . number($r{ratio}) .
		(defined $r{low} ? sprintf(' (%s..%s)', number($r{low}),
		number($r{high})) : '') : '',
	    defined $r{target} ? "  target $r{target}: " .
		($r{ok} ? 'holds' : 'MISSED') : '';
	if ($ENV{MXW_BENCH_ROWS}) {
		open my $fh, '>>', $ENV{MXW_BENCH_ROWS} or
		    die "$ENV{MXW_BENCH_ROWS}: $!\n";
		print {$fh} JSON::PP->new->canonical->encode(\%r), "\n";
		close $fh or die "$ENV{MXW_BENCH_ROWS}: $!\n";
	}
	return;
}

# What is not measured here, and why.
sub
skip_rows {
	my ($group, $name, $why) = @_;

	row(group => $group, name => "$name: not measured, $why");
	return;
}

# Nanoseconds of processor time that a process has used.
sub
cpu_time {
	my ($pid) = @_;
	my ($ns) = split ' ', slurp("/proc/$pid/schedstat") // '';

	return $ns // 0;
}

# Nanoseconds that it was ready to run and had no processor.
sub
wait_time {
	my ($pid) = @_;
	my (undef, $ns) = split ' ', slurp("/proc/$pid/schedstat") // '';

	return $ns // 0;
}

# Resident memory in MiB.
sub
memory {
	my ($pid) = @_;
	my $status = slurp("/proc/$pid/status") // '';

	return $status =~ /^VmRSS:\s+(\d+) kB/m ? $1 / 1024 : 0;
}

# The kernel makes large tables huge pages in the background, 16 MiB in ten
# seconds; waits until it has done so, if it does.
sub
wait_huge {
	my ($pid) = @_;
	my ($huge, $since) = (-1, time);

	wait_for {
		my ($now) = (slurp("/proc/$pid/smaps_rollup") // '') =~
		    /^AnonHugePages:\s+(\d+)/m;

		($huge, $since) = ($now // 0, time) if ($now // 0) != $huge;
		time - $since > 25;
	} 300, 'huge pages';
	return;
}

my $serial = 0;

sub
endpoint {
	my ($unix) = @_;

	return 'unix:' . tmp_dir() . '/s' . ++$serial if $unix;
	return 'inet:127.0.0.1:' . free_port();
}

# One run of the load on [endpoint, pid]: a hash of what it measured. Options:
# conns, seconds, rate (requests a second, else as fast as they are answered),
# prefixes.
sub
load {
	my ($server, %o) = @_;
	my ($endpoint, $pid) = @$server;
	my $cpu = cpu_time($pid);
	my $waited = wait_time($pid);
	my ($status, $out, $err) = run_cmd({ timeout => $o{seconds} + 60 },
		program('t/bench/policy-load'), '-c', $o{conns}, '-t',
		$o{seconds}, ($o{rate} ? ('-r', $o{rate}) : ()),
		(map { ('-a', $_) } @{$o{prefixes} // [$OTHERS]}), $endpoint);

	die "policy-load: $err\n" if $status != 0;
	my %got = $out =~ /(\w+)=([\d.]+)/g;

	$got{cpu} = (cpu_time($pid) - $cpu) / ($got{answers} || 1);
	$got{waited} = (wait_time($pid) - $waited) / 1e6;
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

# The faster of the two baselines: [endpoint, pid].
sub
start_baseline {
	my ($unix) = @_;
	my (%cost, %server, %proc);

	for my $mode (qw(raw buffer)) {
		my $endpoint = endpoint($unix);

		$proc{$mode} = spawn(name => "baseline-$mode",
			cmd => [program('t/bench/policy-baseline'), '-m', $mode,
			$endpoint]);
		wait_answers($endpoint);
		$server{$mode} = [$endpoint, $proc{$mode}->pid];
	}
	# By processor time for an answer: rates of so short a time say little.
	for my $round (1 .. 7) {
		for my $mode (qw(raw buffer)) {
			push @{$cost{$mode}}, load($server{$mode}, conns => 10,
				seconds => 0.2)->{cpu} || 1e9;
		}
	}
	my ($best, $other) = sort {
		median(@{$cost{$a}}) <=> median(@{$cost{$b}})
	} qw(raw buffer);
	$proc{$other}->stop;
	return $server{$best};
}

# A log by which n addresses are blocked.
sub
blocked_log {
	my ($n) = @_;
	my $log = tmp_dir() . "/blocked-$n-" . ++$serial;
	my $now = POSIX::strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', gmtime);

	open my $fh, '>', $log or die "$log: $!\n";
	for my $i (0 .. $n - 1) {
		printf $fh "%s mx postfix/smtpd[%d]: bench from unknown[10.%d.%d.%d]\n",
		    $now, 1000 + $i % 30000, $i >> 16, $i >> 8 & 255, $i & 255;
	}
	close $fh or die "$log: $!\n";
	return $log;
}

# A configuration in which each line of that log blocks an address.
sub
blocking_conf {
	my ($n, $log, %over) = @_;

	return {
		max_addresses => $n + 100_000,
		snapshot_interval => '1d',
		include => [],
		log => [[$log, { rules => ['bench'], start => 'beginning' }]],
		level => [['reject', { threshold => 1, duration => '1d',
			action => 'REJECT 5.7.1 Abuse from {address} ({rule})' }]],
		rule => [['bench', { set => 'bench', program => ['smtpd'],
			pattern => '^bench from {client}$', weight => 10 }]],
		%over,
	};
}

sub
count_blocked {
	my ($d) = @_;

	return $d->ctl('status')->{daemon}{blocked};
}

# The prefix that the first n, or nearly all of them, are in.
sub
blocked_prefix {
	my ($n) = @_;

	return '10.0.0.0/' . (32 - int(log($n) / log(2)));
}

# A daemon that has read a log by which n addresses are blocked: itself and
# [endpoint, pid].
sub
start_blocking {
	my ($n, %over) = @_;
	my $endpoint = $over{listen} ? delete($over{listen})->[0] : endpoint();
	my $log = blocked_log($n);
	my $d = MxwardenTest::Daemon->new(log => $log, start => 0,
		conf => blocking_conf($n, $log, listen => [$endpoint], %over));

	$d->launch;
	wait_answers($endpoint);
	wait_for { count_blocked($d) >= $n } 300, "$n addresses to be blocked";
	unlink $log if $n > 0;
	return ($d, [$endpoint, $d->pid]);
}

1;
