#!/usr/bin/perl
# replay.pl: lines per second of `mxwarden replay`, beside `grep -cP` for one of
# its patterns and, where it is installed, fail2ban-regex with its postfix
# filter (on a piece of the same file: it is slow).
#
#     perl t/bench/replay.pl [--build DIR] [--quick] [--lines 2000000]
#         [--rounds 7] [--log FILE]
#
# The programs run in turn, so that what else the machine does meets all of
# them; printed are medians, and medians of the ratio within each round, by wall
# clock and by processor time. The log is one of mail-log.pl unless given.
#
# Needs `make` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use MxwardenTest;
use Time::HiRes qw(time);

my $o = options(lines => [2_000_000, 50_000], rounds => [7, 2],
	log => [undef, undef]);
my $src = src_dir();
my $dir = tmp_dir();
my ($lines, $log) = @$o{qw(lines log)};
my $piece = 20_000;    # lines for fail2ban-regex

# Wall and processor seconds of a command; grep(1) ends with 1 without a match.
sub
run {
	my (@cmd) = @_;
	my ($start, @before) = (time, times);
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0) {
		open STDOUT, '>', "$dir/out";
		open STDERR, '>&', \*STDOUT;
		exec { $cmd[0] } @cmd or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	my $wall = time - $start;
	die "@cmd failed:\n" . slurp("$dir/out") if $? >> 8 > 1 || $? & 127;
	my @after = times;
	return ($wall, $after[2] + $after[3] - $before[2] - $before[3]);
}

if (!defined $log) {
	$log = "$dir/mail.log";
	system("$^X $src/t/bench/mail-log.pl $lines >$log") == 0 or exit 1;
} else {
	($lines) = `wc -l <'$log'` =~ /(\d+)/;
}
$piece = $lines if $lines < $piece;
system("head -n $piece '$log' >$dir/piece") == 0 or exit 1;

# A configuration with these rule sets.
sub
conf_file {
	my (@sets) = @_;

	return spew("$dir/$sets[0]-" . @sets . '.conf', conf_text({
		log => [[$log, { rules => \@sets }]],
		include => [map { "$src/conf/rules.d/$_.conf" } @sets],
	}));
}

my @sets = map { m{/([^/]+)\.conf$} } glob "$src/conf/rules.d/*.conf";
# Our pattern for lost connections, as somebody would grep for it.
my $pattern = '^\w{3} [ \d]\d [\d:]{8} \S+ postfix/(?:\w+/)?smtpd\[\d+\]: ' .
    '(?:NOQUEUE: )?lost connection after AUTH from [^[\s]+\[[0-9A-Fa-f:.]+\]';
my $mxwarden = program('mxwarden');
my %jobs = (
	postfix => [$lines, $mxwarden, '-c', conf_file('postfix'), 'replay',
	    $log],
	all => [$lines, $mxwarden, '-c', conf_file(@sets), 'replay', $log],
	grep => [$lines, 'grep', '-cP', $pattern, $log],
	literal => [$lines, 'grep', '-cP', 'lost connection after AUTH from',
	    $log],
);
$jobs{fail2ban} = [$piece, 'fail2ban-regex', "$dir/piece",
    'postfix[mode=aggressive]'] if have_program('fail2ban-regex');

run('cat', $log);    # into the cache
my @rounds;
for my $n (1 .. $o->{rounds}) {
	my @order = qw(postfix grep all literal fail2ban);
	my %round;

	@order = reverse @order if $n % 2 == 0;
	for my $job (grep { $jobs{$_} } @order) {
		my ($count, @cmd) = @{$jobs{$job}};
		my ($wall, $cpu) = run(@cmd);

		$round{$job} = { wall => $count / $wall,
			# times(2) counts hundredths.
			cpu => $count / ($cpu > 0.01 ? $cpu : 0.01) };
	}
	push @rounds, \%round;
}

sub
compare {
	my ($name, $ours, $base, $base_name, $target) = @_;

	for my $how (qw(wall cpu)) {
		row(group => 'replay', name => $how eq 'wall' ? $name :
			'  by processor time',
			unit => 'lines/s', base => $base_name,
			value => median(map { $_->{$ours}{$how} } @rounds),
			base_value => median(map { $_->{$base}{$how} } @rounds),
			ratios => [map { $_->{$ours}{$how} / $_->{$base}{$how} }
			    @rounds],
			defined $target && $how eq 'wall' ?
			    (target => $target) : ());
	}
	return;
}

compare('replay, postfix set', 'postfix', 'grep', 'grep -cP, our pattern',
	'>= 0.3');
compare('replay, postfix set', 'postfix', 'literal', 'grep -cP, a literal');
if ($jobs{fail2ban}) {
	compare('replay, postfix set', 'postfix', 'fail2ban',
		'fail2ban-regex, postfix', '>= 100');
} else {
	skip_rows('replay', 'fail2ban-regex', 'it is not installed');
}
compare('replay, all sets', 'all', 'grep', 'grep -cP, our pattern');
