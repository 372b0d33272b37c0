#!/usr/bin/perl
# run.pl: all benchmarks, or those named, one table of what they have measured,
# and a picture of it.
#
#     perl t/bench/run.pl [--build DIR] [--quick] [--picture FILE.svg] [NAME...]
#
# `make bench` is this in the build directory. Names are those of the programs:
# policy latency replay redis start firewall. What is measured goes to
# bench/rows.json, the table to bench/table.txt, and the picture, where gnuplot
# is installed and all that it shows has been measured, to bench/bench.svg, all
# in the build directory; --picture writes it to another place as well. A
# benchmark that fails is told of at the end, and the exit status is 1 then; a
# target that is missed is only told of.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use Getopt::Long;
use JSON::PP ();
use POSIX ();

use lib dirname(__FILE__);
use Bench ();

my @all = qw(policy latency replay redis start firewall);
my ($build, $quick, $picture) = ('.', 0, undef);

GetOptions('build=s' => \$build, 'quick!' => \$quick,
	'picture=s' => \$picture) or
    die "usage: run.pl [--build DIR] [--quick] [--picture FILE.svg] [NAME...]\n";
my @names = @ARGV ? @ARGV : @all;
for my $name (@names) {
	die "no such benchmark: $name; there are @all\n"
	    if !grep { $_ eq $name } @all;
}
my $here = abs_path(dirname(__FILE__));
$build = abs_path($build);
my $dir = "$build/bench";
make_path($dir);
my $json = "$dir/rows.json";
unlink $json;

sub
first_line {
	my ($file, $re) = @_;

	open my $fh, '<', $file or return '?';
	while (my $line = <$fh>) {
		return $1 // $line if $line =~ $re;
	}
	return '?';
}

# What this was measured on. Nothing that names the host.
sub
machine {
	my $cpus = grep { /^processor/ } do {
		open my $fh, '<', '/proc/cpuinfo' or return '?';
		<$fh>;
	};
	my @uname = POSIX::uname();
	my ($release) = $uname[2] =~ /^([\d.]*\d)/;

	return "$cpus x " . first_line('/proc/cpuinfo',
		qr/^model name\s*:\s*(.*?)\s*$/) . ', ' .
	    first_line('/etc/os-release', qr/^PRETTY_NAME="?([^"\n]*)/) .
	    ", $uname[0] $release";
}

sub
load_average {
	return join ' ', (split ' ', first_line('/proc/loadavg',
		qr/^(.*)/))[0 .. 1];
}

my @failed;
my @head = ($quick ? ('A smoke run: the figures say nothing.') : (), machine(),
	'load average (1 and 5 minutes) ' . load_average() . ' at the start');
$ENV{MXW_BENCH_ROWS} = $json;
for my $name (@names) {
	print "--- $name\n";
	system($^X, "$here/$name.pl", '--build', $build,
		$quick ? '--quick' : ()) == 0 or push @failed, $name;
}
$head[-1] .= ', ' . load_average() . ' at the end';

my @rows;
if (open my $fh, '<', $json) {
	@rows = map { JSON::PP->new->decode($_) } <$fh>;
}

# --- The table --------------------------------------------------------------

sub
table {
	my $text = join('', map { "$_\n" } @head) . "\n" .
	    sprintf("%-50s %18s %-31s %7s %-15s %s\n", '', 'measured', 'beside',
		'ratio', '(range)', 'target');
	my $group = '';

	for my $r (@rows) {
		my $beside = defined $r->{base} ? Bench::number($r->{base_value}) .
		    " $r->{base}" : '';

		$text .= "\n" if $group ne $r->{group};
		$group = $r->{group};
		my $line = sprintf '%-50s %10s %-7s %-31s %7s %-15s %s',
		    $r->{name}, Bench::number($r->{value}), $r->{unit} // '', $beside,
		    Bench::number($r->{ratio}), defined $r->{low} ? '(' .
		    Bench::number($r->{low}) . '..' . Bench::number($r->{high}) . ')' : '',
		    defined $r->{target} ? "$r->{target} " .
		    ($r->{ok} ? 'holds' : 'MISSED') : '';
		$line =~ s/\s+$//;
		$text .= "$line\n";
	}
	my @targets = grep { defined $_->{target} } @rows;
	my $missed = grep { !$_->{ok} } @targets;
	return $text . "\n" . @targets . " targets, $missed missed\n";
}

# --- The picture ------------------------------------------------------------

# The row of this name, and base if given.
sub
find {
	my ($name, $base) = @_;
	my ($r) = grep { $_->{name} eq $name && (!defined $base ||
		($_->{base} // '') eq $base) } @rows;

	return $r;
}

# Bars: [label, value]; nothing if something has not been measured.
sub
answer_bars {
	my $empty = find('answers, empty view, 100 connections') or return;
	my $full = find('answers, 1,000,000 blocked, 100 connections') or
	    return;
	my @bars = (['libevent, constant answer', $empty->{base_value}],
		['mxwarden', $empty->{value}],
		['mxwarden, 1,000,000 blocked', $full->{value}]);

	for my $peer (qw(postfwd postgrey)) {
		my $r = find("answers, beside $peer, 10 connections");
		push @bars, [$peer, $r->{base_value}]
		    if $r && $r->{base_value};
	}
	return @bars;
}

sub
replay_bars {
	my $grep = find('replay, postfix set', 'grep -cP, our pattern') or
	    return;
	my $all = find('replay, all sets') or return;
	my $f2b = find('replay, postfix set', 'fail2ban-regex, postfix');

	return (['grep -cP, one pattern', $grep->{base_value}],
		['mxwarden, Postfix rules', $grep->{value}],
		['mxwarden, all rules', $all->{value}],
		$f2b ? ['fail2ban-regex, Postfix', $f2b->{base_value}] : ());
}

sub
latency_bars {
	my $one = find('line to refusal, one host: 99th percentile') or return;
	my $two = find('line to refusal, another host: 99th percentile') or return;
	my $f2b = find('line to action, fail2ban-server: 99th percentile');

	return (['mxwarden, one host', $one->{value}],
		['mxwarden, to another host', $two->{value}],
		$f2b ? ['fail2ban-server, its action', $f2b->{value}] : ());
}

# One panel: horizontal bars, ours in another colour, the figure behind each.
sub
panel {
	my ($title, $n, $label_at, @bars) = @_;
	my ($max) = sort { $b <=> $a } map { $_->[1] } @bars;
	my ($min) = sort { $a <=> $b } map { $_->[1] } @bars;
	my $data = '';
	my @tics;

	for my $i (0 .. $#bars) {
		my ($label, $value) = @{$bars[$i]};

		push @tics, sprintf '"%s" %d', $label, -$i;
		$data .= sprintf "%d %g %d \"%s\"\n", -$i, $value,
		    $label =~ /^mxwarden/ ? 1 : 2, Bench::number($value);
	}
	return "\$d$n << EOD\n${data}EOD\n" .
	    "set label 1 \"$title\" at graph 0, screen $label_at left\n" .
	    'set ytics (' . join(', ', @tics) . ") scale 0\n" .
	    'set yrange [' . (-$#bars - 0.6) . ":0.6]\n" .
	    sprintf("set xrange [%g:%g]\n", $min / 4, $max * 12) .
	    "plot \$d$n using (\$2/2):1:(\$2/2):(0.35):3 with boxxyerror " .
	    "linecolor variable, \$d$n using 2:1:4 with labels left offset " .
	    "0.6,0\n";
}

sub
draw {
	my ($file) = @_;
	my @panels = (['policy answers a second (logarithmic scale)', answer_bars()],
		['log lines a second (logarithmic scale)', replay_bars()],
		['from the line in the log to the refusal, 99 %, ms ' .
		    '(logarithmic scale)',
		    latency_bars()]);

	if (grep { @$_ == 1 } @panels) {
		print "no picture: not everything that it shows has been " .
		    "measured\n";
		return;
	}
	my $text = "set terminal svg size 720,450 font 'Helvetica,12' " .
	    "background 'white'\nset output '$file'\nset multiplot\n" .
	    "set logscale x\nunset key\nunset xtics\nset border 2\n" .
	    "set style fill solid noborder\n" .
	    "set linetype 1 linecolor rgb '#1f6f8b'\n" .
	    "set linetype 2 linecolor rgb '#b8c4c9'\n" .
	    "set lmargin at screen 0.30\nset rmargin at screen 0.98\n";
	my $bars = 0;
	$bars += @$_ + 1 for @panels;
	my $top = 0.985;
	for my $n (0 .. $#panels) {
		my $height = (@{$panels[$n]} - 1) / $bars * 0.97;

		$top -= 1.2 / $bars;
		$text .= sprintf("set tmargin at screen %.3f\n" .
			"set bmargin at screen %.3f\n", $top, $top - $height) .
		    panel($panels[$n][0], $n, $top + 0.5 / $bars,
			@{$panels[$n]}[1 .. $#{$panels[$n]}]);
		$top -= $height + 0.3 / $bars;
	}
	open my $gnuplot, '|-', 'gnuplot' or do {
		print "no picture: gnuplot is not installed\n";
		return;
	};
	print {$gnuplot} $text, "unset multiplot\n";
	if (!close $gnuplot) {
		push @failed, 'the picture';
		return;
	}
	copy($file, $picture) or die "$picture: $!\n" if defined $picture;
	print "picture: ", $picture // $file, "\n";
	return;
}

my $text = table();
open my $fh, '>', "$dir/table.txt" or die "$dir/table.txt: $!\n";
print {$fh} $text;
close $fh or die "$dir/table.txt: $!\n";
print "\n$text";
draw("$dir/bench.svg");
if (@failed) {
	print "failed: @failed\n";
	exit 1;
}
