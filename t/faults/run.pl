# Faults: mxwardend with its helpers and its store, under a mixed load, while
# everything around it fails; see README.
#
#   run.pl [--seed N] [--seconds N] [--store embedded|redis] [--dir DIR]
#
# Needs MXW_SRC and MXW_BUILD; `make faults` sets them.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../lib";
use Getopt::Long qw(:config posix_default);
use IO::Handle;
use JSON::PP ();
use MxwardenTest;
use Test::More ();
use Time::HiRes qw(sleep time);

use Faults::Host;
use Faults::Inject;
use Faults::Judge;
use Faults::Load;
use Faults::Watch;

my %opt = (seed => $ENV{SEED} || 1 + int rand 1e6, seconds => 60,
	store => 'embedded', rate => 60, asks => 150);
GetOptions(\%opt, 'seed=i', 'seconds=i', 'store=s', 'dir=s', 'rate=i',
	'asks=i') && !@ARGV or die "see t/faults/README\n";
# In the namespace this is run once more, from another directory: the same.
$opt{dir} = abs_path($opt{dir} // '.');
@ARGV = map { ("--$_", $opt{$_}) } sort keys %opt;

# Quiet between slots, so that all can be compared.
use constant { SLOTS => 5, WARM => 3 };

my $dir = "$opt{dir}/faults-$opt{store}-$opt{seed}";
STDOUT->autoflush(1);
if ($> == 0) {
	MxwardenTest::Netns->enter;
} else {
	print "not root: no helper, no packet filter, no full disks, no limits\n";
}
if (-d $dir) {
	unlink glob "$dir/*";
} else {
	make_path($dir);
}
print "faults: store $opt{store}, seed $opt{seed}, $opt{seconds} s, in $dir\n";

srand $opt{seed};
my $begin = time;
my $judge = Faults::Judge->new($dir);
my $host = Faults::Host->new(store => $opt{store}, dir => $dir,
	judge => $judge);
my $factor = patience(1) * ($host->{sanitized} ? 2 : 1);
my $schedule = Faults::Inject->schedule(root => $host->{root},
	redis => $opt{store} eq 'redis', steps => $host->{steps},
	plain => $host->{root} && !$host->{sanitized});
my $load = $host->{load} = Faults::Load->new(port => $host->port, dir => $dir,
	conf => $host->{conf}, logs => $host->{logs}, seed => $opt{seed},
	rate => $opt{rate}, asks => $opt{asks}, late => 0.5 * $factor,
	delay => 2 * $factor, clock => $host->{clock},
	redis => $opt{store} eq 'redis');
my (%count, %worst, $base, $watch);
my ($pauses, $compared, $warm) = (0, 0, 0);

sub
told {
	my (@what) = @_;

	append("$dir/timeline", sprintf "%8.3f %.3f %s\n", time - $begin, time,
	    join ' ', @what);
	return;
}

# Blocked by hand, all the time.
sub
hold {
	wait_for { ($host->d->ctl_full('block', '198.18.0.1', '-l', 'refuse',
		'-t', '6d'))[0] == 0 } 30, 'a block by hand';
	return;
}

# --- Quiet --------------------------------------------------------------------

sub
compare {
	my ($most) = @_;
	my @bad;

	try_for {
		@bad = eval { $host->differences($most) };
		@bad = ("cannot compare: $@") if $@;
		return !@bad;
	} 30;
	$judge->fail('the model differs: ' . join '; ', @bad > 10 ?
	    (@bad[0 .. 9], scalar @bad) : @bad) if @bad;
	$compared++;
	return if !$host->{root};
	try_for { !(@bad = $host->firewall) } 30;
	$judge->fail('the packet filter: ' . join '; ', @bad > 10 ?
	    (@bad[0 .. 9], scalar @bad) : @bad) if @bad;
	return;
}

# What somebody has deleted, the model forgets too, and all begins anew.
sub
anew {
	told('all is forgotten');
	if ($host->redis) {
		# What was acknowledged in the last 10 seconds is sent once more
		# after a reconnection (store_redis.h), and would come back.
		sleep 11;
		$host->redis->cmd('FLUSHALL');
	} else {
		my %all = map { $_ => 1 } $host->known,
		    map { $_->{address} } @{$host->d->ctl('top', '-n', 1000)};

		$host->d->ctl('unblock', '--all');
		$host->d->ctl('forgive', $_) for sort keys %all;
	}
	wait_for { !@{$host->d->ctl('list')} } 30, 'an empty view';
	$load->order('forget');
	$host->{stopped} = 0;
	hold();
	# A crash would bring back what was, for want of lines about it.
	$host->saved;
	$judge->end(delete $host->{tainted});
	return;
}

# What is in use when nobody asks: memory and descriptors of the beginning.
sub
resources {
	my @fds;
	my $rss = $host->rss;
	my $room = $host->{sanitized} ? 96 * 1024 : 6 * 1024;

	told("rss $rss");
	if (++$warm < WARM) {
		$base->{rss} = $rss if $rss > ($base->{rss} // 0);
	} elsif ($rss > $base->{rss} + $room) {
		$judge->fail("memory: $rss kB, was $base->{rss}");
	}
	$worst{rss} = $rss if $rss > ($worst{rss} // 0);
	# Those of a client that vanished may take a while to go, the first time.
	my $want = $base->{fds};
	try_for {
		@fds = $host->descriptors;
		!$want || "@fds" eq $want || @fds < split ' ', $want;
	} 30 or $judge->fail("descriptors: @fds, were $want");
	$base->{fds} = "@fds" if !$want || @fds < split ' ', $want;
	return;
}

sub
quiet {
	told('quiet');
	$watch->pause(1);
	$load->order('quiet');
	$host->alive or return;
	if ($host->settle('at a pause')) {
		my $kind = ($host->{tainted} // { kind => '' })->{kind};

		compare($kind eq 'forgotten') if $kind ne 'lost-hits';
		anew() if $host->{tainted};
	}
	resources();
	$judge->journals(map { "$dir/$_.journal" } qw(load watch clients));
	$pauses++;
	told("failures ${\$judge->failures}");
	$watch->pause(0);
	$load->order('go');
	return;
}

# --- A slot -------------------------------------------------------------------

# Begins and ends the faults of a slot when it is their time.
sub
slot {
	my ($slot) = @_;
	my $start = time;
	my @todo;

	for my $f (@{$slot->{faults}}) {
		my ($name, $seed, $after, $lasts) = @$f;

		push @todo, [$start + $after, sub {
			srand $seed;
			told("begin $name");
			$count{$name}++;
			my $span = $judge->begin($name);
			my $end = Faults::Inject->begin($host, $name, $lasts);
			if (!$end) {
				$judge->end($span);
				told("done $name");
				return;
			}
			push @todo, [time + $lasts, sub {
				$end->();
				$judge->end($span);
				told("end $name");
			}];
		}];
	}
	while (@todo) {
		@todo = sort { $a->[0] <=> $b->[0] } @todo;
		my $next = shift @todo;
		my $left = $next->[0] - time;

		sleep $left if $left > 0;
		$next->[1]->();
		$host->alive or return;
	}
	my $left = $start + $slot->{seconds} - time;
	sleep $left if $left > 0;
	return;
}

# --- All ----------------------------------------------------------------------

my @slots;
{
	my $sum = 0;

	while ($sum < $opt{seconds}) {
		push @slots, $schedule->();
		$sum += $slots[-1]{seconds} + 1;
	}
	spew("$dir/schedule", map { sprintf "%.1f s: %s\n", $_->{seconds},
	    join ', ', map { sprintf '%s (%d) at %.1f for %.1f', @$_ }
	    @{$_->{faults}} } @slots);
}

my $ok = eval {
	$host->start;
	$host->settle('at the start');
	$watch = $host->{watch} = Faults::Watch->new(dir => $dir,
		port => $host->port, http => $host->{http},
		control => $host->d->control, seed => $opt{seed});
	hold();
	$load->order('pid', $host->d->pid);
	$load->order('go');
	# As many connections as there will be, before memory is measured.
	slot({ seconds => 4, faults => [['flood', 1, 0, 3], ['deaf', 2, 0, 3]] });
	for my $i (0 .. $#slots) {
		last if time - $begin > $opt{seconds} || !$host->alive;
		slot($slots[$i]);
		quiet() if $i % SLOTS == SLOTS - 1 && $host->alive;
	}
	quiet() if $host->alive;
	1;
};
my $why = $@;
if (!$ok) {
	chomp $why;
	$judge->fail("the run ended: $why");
}
$watch->end if $watch;
my $stats = eval { JSON::PP->new->decode($load->order('stats')) } // {};
$load->end;
delete $host->{load};
eval { $host->stop if $host->d->proc->alive; 1 } or $judge->fail($@);

my $faults = 0;
$faults += $_ for values %count;
my $excused = $judge->excused;
my @summary = (
	sprintf('%s: store %s, seed %d, %.0f s%s', $judge->failures ? 'FAIL' :
	    'ok', $opt{store}, $opt{seed}, time - $begin,
	    $host->{sanitized} ? ', sanitizers' : ''),
	sprintf('  %d faults: %s', $faults, join ' ', map { "$_=$count{$_}" }
	    sort keys %count),
	sprintf('  %d answers (%d refusals), %d lines, %d comparisons, ' .
	    '%d starts', map({ $_ // 0 } @$stats{qw(answers refusals lines)}),
	    $compared, $host->{lives}),
	sprintf('  answers within 1 5 20 100 500 ms, later: %s; worst %.0f ms',
	    join(' ', @{$stats->{took} // []}), 1000 * ($stats->{worst} // 0)),
	sprintf('  memory %d kB at first, %d kB at most', $base->{rss} // 0,
	    $worst{rss} // 0),
	sprintf('  explained by faults: %s', join(', ', map {
		"$_: $excused->{$_}" } sort keys %$excused) || 'nothing'),
	map({ "  FAIL: $_" } $judge->listed),
);
spew("$dir/summary", map { "$_\n" } @summary);
print map { "$_\n" } @summary;
if ($judge->failures) {
	# All that is there, before it goes.
	system 'cp', '-r', '--no-target-directory', tmp_dir(), "$dir/tmp";
	print "everything is in $dir\n";
}
Test::More->builder->no_ending(1);
exit($judge->failures ? 1 : 0);
