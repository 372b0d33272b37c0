# kill -9 at fifty random moments, while the log is written and rotated: at the
# end scores, blocks and counts are those of a daemon that was never killed.
#
# MXW_SEED repeats a run (as far as time allows), MXW_KILLS changes the number.

use strict;
use warnings;

use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep time);

use MxwardenTest;

my $kills = $ENV{MXW_KILLS} // 50;
my $seed = $ENV{MXW_SEED} // int rand 1e9;
my $dir = tmp_dir() . '/log';
my $log = "$dir/mail.log";

diag "seed $seed" if $ENV{MXW_SEED};
note "seed $seed";
srand $seed;
mkdir $dir or die "mkdir: $!";
append($log, '');

sub pick { return $_[int rand @_] }

# Long windows and blocks: nothing expires while the test runs.
my %conf = (
	log => [[$log, { rules => ['postfix'], start => 'beginning' }]],
	host => 'crash',
	snapshot_interval => '100ms',
	score => { window => '1d' },
	level => [
		[defer => { threshold => 5, duration => '6h',
			action => 'DEFER 4.7.1 Later' }],
		[reject => { threshold => 20, duration => '12h',
			action => 'REJECT 5.7.1 No' }],
	],
);

# --- The writer ---------------------------------------------------------------

sub
stamp {
	my $t = time;

	return strftime('%Y-%m-%dT%H:%M:%S', gmtime $t) .
	    sprintf '.%06dZ', int(($t - int $t) * 1e6);
}

# Lines of one connection: several tell of the same attempt, some of none.
sub
connection {
	my ($addr) = @_;
	my $who = "unknown[$addr]";
	my $kind = int rand 4;
	my $n = 1 + int rand 3;
	my @lines = ("connect from $who");

	if ($kind == 0) {
		push @lines, ("warning: $who: SASL LOGIN authentication " .
		    'failed: (reason unavailable), sasl_username=x') x $n,
		    "disconnect from $who ehlo=1 auth=0/$n commands=1/9";
	} elsif ($kind == 1) {
		push @lines, "lost connection after AUTH from $who",
		    "disconnect from $who ehlo=1 auth=0/1 commands=1/2";
	} elsif ($kind == 2) {
		push @lines, ("NOQUEUE: reject: RCPT from $who: 554 5.7.1 " .
		    '<a@example.org>: Relay access denied; from=<> ' .
		    'to=<a@example.org> proto=ESMTP helo=<x>') x $n,
		    "disconnect from $who ehlo=1 mail=1 rcpt=0/$n commands=2/3";
	} else {
		push @lines,
		    "disconnect from $who ehlo=1 quit=1 commands=2";
	}
	return @lines;
}

# mail.log.1 -> mail.log.2 and so on, as logrotate does; then a new mail.log.
sub
rotate {
	my ($files) = @_;

	rename "$log.$_", "$log." . ($_ + 1) or die "rename: $!"
	    for reverse 1 .. $files;
	rename $log, "$log.1" or die "rename: $!";
	sleep rand 0.02 if rand() < 0.5;
	append($log, '');
	return;
}

# Writes until the file `stop` appears. Connections overlap; now and then a
# line comes in two pieces, and a file is rotated.
sub
write_log {
	my @addrs = ((map { "198.51.100.$_" } 1 .. 60),
	    (map { "2001:db8:$_\::$_" } 1 .. 20));
	my ($files, $pid) = (0, 1000);
	my @open;

	open my $fh, '>>:raw', $log or die "$log: $!";
	until (-e "$dir/stop") {
		my $text = '';

		for (1 .. 1 + int rand 30) {
			push @open, [$pid++, connection(pick(@addrs))]
			    if @open < 8;
			my $i = int rand @open;
			my $c = $open[$i];
			$text .= stamp() . " mx1 postfix/smtpd[$c->[0]]: " .
			    splice(@$c, 1, 1) . "\n";
			splice @open, $i, 1 if @$c == 1;
		}
		my $cut = rand() < 0.2 ? int rand length $text : 0;
		syswrite $fh, substr $text, 0, $cut;
		sleep rand 0.01 if $cut;
		syswrite $fh, substr $text, $cut;
		sleep rand 0.01;
		if (rand() < 0.01) {
			rotate($files++);
			open $fh, '>>:raw', $log or die "$log: $!";
		}
	}
	return $files;
}

# --- The kills ----------------------------------------------------------------

# The first snapshot says where in the log the daemon began; then it must not
# lose anything.
my $d = MxwardenTest::Daemon->new(log => $log, conf => \%conf);
my $answered = 0;

wait_for { grep { -s && !/\.tmp\z/ } glob $d->dir . '/state/*' } 20,
    'the first snapshot';
my $writer = fork // die "fork: $!";
if ($writer == 0) {
	my $files = eval { write_log() };
	spew("$dir/files", defined $files ? "$files\n" : "error: $@");
	POSIX::_exit(0);
}
MxwardenTest::at_end(sub {
	kill 'KILL', $writer;
	waitpid $writer, 0;
});

$d->kill9;
for my $n (1 .. $kills) {
	$d->launch;
	# Some die while they start, most while they work.
	if (rand() < 0.8) {
		$d->wait_ready;
		$answered++;
		sleep rand 0.4;
	} else {
		sleep rand 0.1;
	}
	$d->kill9;
}
ok($answered > $kills / 2, "$answered of $kills had begun to answer");
spew("$dir/stop", '');
waitpid $writer, 0;
my $files = slurp("$dir/files");
like($files, qr/\A\d+\n\z/, 'the writer did its part');
chomp $files;
cmp_ok($files, '>', 3, "the log was rotated $files times");

# --- The comparison -----------------------------------------------------------

sub
outcome {
	my ($daemon) = @_;
	my %out;

	$daemon->wait_read(120);
	$out{list} = [sort { $a->{address} cmp $b->{address} }
	    @{$daemon->ctl('list')}];
	$out{top} = [sort { $a->{address} cmp $b->{address} }
	    @{$daemon->ctl('top', '-n', 1000)}];
	for my $e (@{$out{top}}) {
		my $show = $daemon->ctl('show', $e->{address});

		# The two have other logs.
		delete $_->{log} for @{$show->{lines}};
		$out{show}{$e->{address}} = $show;
	}
	return \%out;
}

$d->start;
my $got = outcome($d);
$d->stop;

# All files in order, as one, for a daemon with an empty state.
my $whole = "$dir/whole.log";
append($whole, slurp($_)) for map({ "$log.$_" } reverse 1 .. $files), $log;
my $ref = MxwardenTest::Daemon->new(log => $whole, conf => { %conf,
	log => [[$whole, { rules => ['postfix'], start => 'beginning' }]] });
my $expected = outcome($ref);
$ref->stop;

cmp_ok(scalar @{$expected->{list}}, '>', 10, 'there are blocks to compare');
is_deeply($got->{list}, $expected->{list}, 'the blocks are the same');
is_deeply($got->{top}, $expected->{top}, 'the scores are the same');
is_deeply($got->{show}, $expected->{show},
    'what is known of each address is the same');

done_testing;
