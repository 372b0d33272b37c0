#!/usr/bin/perl
# No line costs much: for each shipped rule, lines of 8 KiB made from its own
# expression to make it backtrack, and lines of the corpus blown up in the same
# way, take at most a millisecond of processor time, through all rules together.
# A line that hits a limit of PCRE2 is counted and passes as unmatched.
#
# MXW_TIME_FACTOR loosens the millisecond; with MXW_KEEP the worst line of each
# rule can be looked at.
use strict;
use warnings;

use Test::More;

use MxwardenTest;

use constant SIZE => 8192;

my $rules = MxwardenTest::Rules->new;
my $file = tmp_dir() . '/redos';
my ($n_rules, $n_lines) = (0, 0);
my %program;

# Without optimisation and with sanitizers a match is an order slower: PCRE2's
# JIT is the library's, but copying and searching are ours.
my $limit = 1000 * ($ENV{MXW_TIME_FACTOR} // 1);

# There is a gigabyte of lines: they go right into the driver.
open my $out, '|-:raw', 'sh', '-c', 'exec "$0" "$1" >"$2" 2>"$2.err"',
    program('t/unit/redos'), $rules->conf_file, $file or die "redos: $!";

sub
emit {
	my ($rule, $program, @messages) = @_;

	for my $message (@messages) {
		$message =~ tr/\n/ /;
		print $out "$rule\t$program\t$message\n" or die "redos: $!";
		$n_lines++;
	}
	return;
}

for my $path ($rules->files) {
	my $text = slurp($path);

	while ($text =~ /^rule "([^"]+)" \{\n(.*?)^\}/gms) {
		my ($name, $body) = ($1, $2);
		my ($program) = $body =~ /^\s*program\s*=\s*\{"([^"]+)"/m;
		my ($pattern) = $body =~ /^\s*pattern\s*=\s*'(.*)'$/m;

		if (!defined $program || !defined $pattern) {
			fail("$name: not understood");
			next;
		}
		$n_rules++;
		emit($name, $program,
			MxwardenTest::Regex->new($pattern)->hostile(SIZE));
	}
}
cmp_ok($n_rules, '>', 100, "$n_rules rules");

# Each line of the corpus with something blown up at each of some places.
my @units = ('a', ' ', '[', ']', '<', '>', '"', '(', ')', ',', ': ', '=',
	'\\"', '[192.0.2.9]', ' from a[192.0.2.9]', ') [192.0.2.9] ',
	' rip=192.0.2.9,', '" H=(x) [192.0.2.9] ', '> rejected RCPT <',
	', relay=[192.0.2.9]', ' [mxw];', '>: Relay access denied;');
my %shape;
for my $log (glob src_dir() . '/t/corpus/*/*.log') {
	my ($set) = $log =~ m{([^/]+)/[^/]+\z};

	for my $line (split /\n/, slurp($log)) {
		my ($program, $message) = $line =~ /\A\S.*?\S* \S+ (?:\S*\/)?([a-z0-9-]+)(?:\[\d+\])?: (.*)\z/i;

		if ($line =~ /\A\d{4}-\d\d-\d\d \S+ (?:[+-]\d{4} )?(?:\[\d+\] )?(.*)\z/) {
			($program, $message) = ('exim', $1);
		}
		next if !defined $message || $line =~ /\A#/;
		# One of each shape is enough.
		my $shape = $message =~ s/[0-9a-f.:]+|<[^>]*>/0/gr;
		next if $shape{$program, substr $shape, 0, 60}++;
		my $half = length($message) / 2;
		my @at = map { pos($message) // 0 }
		    grep { $message =~ /[\]><"(),:=]/g } 1 .. 40;
		my @places = @at > 4 ? @at[0, @at / 3, @at / 2, -1] : @at;
		for my $at (@places) {
			for my $unit (@units) {
				my $room = SIZE - length $message;
				next if $room < length $unit;
				my $s = $message;
				substr $s, $at, 0, $unit x ($room / length $unit);
				emit("corpus:$set", $program, $s);
			}
		}
	}
}
cmp_ok($n_lines, '>', 100 * $n_rules, "$n_lines lines");
ok(close $out, 'redos') or diag(slurp("$file.err"));
is(slurp("$file.err"), '', 'without complaint');

my (@results, %limits);
for my $line (split /\n/, slurp($file)) {
	my ($rule, $lines, $matches, $limits, $worst, $text) =
	    split / /, $line, 6;

	push @results, { rule => $rule, lines => $lines, matches => $matches,
		limits => $limits, worst => $worst, text => $text };
}
@results = sort { $b->{worst} <=> $a->{worst} } @results;
my %done = map { $_->{rule} => $_ } @results;
my ($hit, $matched) = (0, 0);
for my $r (@results) {
	cmp_ok($r->{worst}, '<=', $limit, sprintf
	    '%s: %d lines, %d match, %d hit a limit, at most %.0f us',
	    @$r{qw(rule lines matches limits worst)}) or
	    diag(substr $r->{text}, 0, 400);
	$hit += $r->{limits};
	$matched += $r->{matches};
}
# The lines do come near: most rules are reached by some of theirs.
my @reached = grep { $_->{matches} && $_->{rule} !~ /^corpus/ } @results;
cmp_ok(scalar @reached, '>', $n_rules * 0.9, @reached . ' rules match some line');
note(sprintf '%d lines, %d match, %d hit a limit; the slowest:', $n_lines,
    $matched, $hit);
note(sprintf '%8.1f us  %s', @$_{qw(worst rule)}) for @results[0 .. 9];
done_testing;
