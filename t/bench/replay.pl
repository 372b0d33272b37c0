#!/usr/bin/perl
# replay.pl: lines per second of `mxwarden replay`, beside `grep -cP` for one of
# its patterns and, where it is installed, fail2ban-regex with its postfix
# filter (on a piece of the same file: it is slow).
#
#     perl t/bench/replay.pl [--build DIR] [--lines 2000000] [--rounds 5]
#         [--log FILE]
#
# The programs run in turn, so that what else the machine does meets all of
# them; printed are medians, and medians of the ratio within each round. Wall
# clock time, and processor time in parentheses.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Getopt::Long;
use Time::HiRes qw(time);

my ($build, $lines, $rounds, $log) = ('.', 2_000_000, 5, undef);
my $piece = 20_000;    # lines for fail2ban-regex

GetOptions('build=s' => \$build, 'lines=i' => \$lines,
	'rounds=i' => \$rounds, 'log=s' => \$log) && !@ARGV or
    die "usage: replay.pl [--build DIR] [--lines N] [--rounds N] [--log FILE]\n";
my $here = abs_path(dirname(__FILE__));
my $src = "$here/../..";
my $dir = tempdir('mxw-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
$SIG{INT} = $SIG{TERM} = sub { exit 1 };

sub median { my @s = sort { $a <=> $b } @_; return $s[@s / 2] }

# Wall and processor seconds of a command.
sub
run {
	my (@cmd) = @_;
	my ($start, @before) = (time, times);

	system("@cmd >$dir/out 2>&1") >= 0 or die "$cmd[0]: $!\n";
	die "@cmd failed:\n" . `tail -3 $dir/out` if $? >> 8 > 1;
	my @after = times;
	return (time - $start, $after[2] + $after[3] - $before[2] - $before[3]);
}

if (!defined $log) {
	$log = "$dir/mail.log";
	system("perl $here/mail-log.pl $lines >$log") == 0 or exit 1;
} else {
	($lines) = `wc -l <$log` =~ /(\d+)/;
}
system("head -n $piece $log >$dir/piece") == 0 or exit 1;

open my $f, '>', "$dir/postfix.conf" or die;
print {$f} "log \"$log\" { rules = {\"postfix\"} }\n",
    "include(\"$src/conf/rules.d/postfix.conf\")\n";
close $f;
open $f, '>', "$dir/all.conf" or die;
my @sets = map { m{/([^/]+)\.conf$} } glob "$src/conf/rules.d/*.conf";
print {$f} "log \"$log\" { rules = {", join(', ', map { "\"$_\"" } @sets),
    "} }\n", map { "include(\"$src/conf/rules.d/$_.conf\")\n" } @sets;
close $f;

# The first word of our pattern for lost connections, as somebody would grep.
my $pattern = '^\w{3} [ \d]\d [\d:]{8} \S+ postfix/(?:\w+/)?smtpd\[\d+\]: ' .
    '(?:NOQUEUE: )?lost connection after AUTH from [^[\s]+\[[0-9A-Fa-f:.]+\]';
my @jobs = (
	['mxwarden replay, postfix', $lines, "$build/mxwarden", '-c',
	    "$dir/postfix.conf", 'replay', $log],
	['mxwarden replay, all sets', $lines, "$build/mxwarden", '-c',
	    "$dir/all.conf", 'replay', $log],
	['grep -cP, our pattern', $lines, 'grep', '-cP', "'$pattern'", $log],
	['grep -cP, literal only', $lines, 'grep', '-cP',
	    "'lost connection after AUTH from'", $log],
);
push @jobs, ['fail2ban-regex, postfix', $piece, 'fail2ban-regex', "$dir/piece",
    'postfix[mode=aggressive]'] if !system 'command -v fail2ban-regex >/dev/null';

run('cat', $log);    # into the cache
my (%wall, %cpu, %ratio);
for (1 .. $rounds) {
	my %round;
	for my $job (@jobs) {
		my ($name, $n, @cmd) = @$job;
		my ($wall, $cpu) = run(@cmd);
		push @{$wall{$name}}, $n / $wall;
		push @{$cpu{$name}}, $n / ($cpu || 1e-9);
		$round{$name} = [$n / $wall, $n / ($cpu || 1e-9)];
	}
	for my $job (@jobs) {
		for my $i (0, 1) {
			push @{$ratio{$job->[0]}[$i]},
			    $round{$jobs[0][0]}[$i] / $round{$job->[0]}[$i];
		}
	}
}
printf "%d lines, %d rounds\n\n%-28s %24s %28s\n", $lines, $rounds, '',
    'lines/s (processor)', 'postfix set is x times';
for my $job (@jobs) {
	my $name = $job->[0];
	printf "%-28s %11.0f (%10.0f) %17.2f (%7.2f)\n", $name,
	    median(@{$wall{$name}}), median(@{$cpu{$name}}),
	    median(@{$ratio{$name}[0]}), median(@{$ratio{$name}[1]});
}
