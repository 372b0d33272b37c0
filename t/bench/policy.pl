#!/usr/bin/perl
# policy.pl: policy answers of mxwardend, compared with the least that a server
# on libevent can do (policy-baseline) on this machine at this time.
#
#     perl t/bench/policy.pl [--build DIR] [--quick] [--rounds 25] [--seconds 0.4]
#         [--connections 1,10,100,1000] [--blocked 0,1000000] [--unix 1]
#         [--only answers,log,redis,peers]
#
# answers  as many as both can give, from an empty view and from one of 1,000,000
#          addresses, from which half of the requests come then: their answers
#          are longer. That view is a minute or two old, see lib/core/hugepage.c.
# log      the longest answer of 2,000 a second to ten connections while 100,000
#          log lines a second arrive, 12 % of them offences; and that of the
#          baseline at such a time, which does not read them.
# redis    the same while Redis hangs, and the answers per second then.
# peers    postfwd and postgrey, where they are installed.
#
# Both servers run all the time; the load goes to one and to the other in turn,
# in the order A B B A and for a short time each, so that what else the machine
# does meets both. Numbers are medians over the rounds of the ratio within each round: of answers per
# second, of the processor time for an answer (the steadiest on a machine that
# does other things) and of the 99th percentile of the time to the answer. The
# baseline is the faster of raw events and bufferevents.
#
# Needs `make` and `make bench-programs` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use MxwardenTest;
use MxwardenTest::Offences;
use Time::HiRes qw(sleep);

my $o = options(rounds => [25, 2], seconds => [0.4, 0.1],
	connections => ['1,10,100,1000', '1,10'], blocked => ['0,1000000', '0,5000'],
	unix => [0, 0], only => [('answers,log,redis,peers') x 2],
	lines => [100_000, 10_000]);
my %only = map { $_ => 1 } split /,/, $o->{only};

sub
view_name {
	my ($n) = @_;

	return $n == 0 ? 'empty view' : Bench::number($n) =~ s/\.\d+//r .
	    ' blocked';
}

# Rounds of the load on both in turn: [baseline's, ours] for each.
sub
rounds {
	my ($base, $ours, %load) = @_;
	my $n = delete $load{rounds} // $o->{rounds};
	my @rounds;

	%load = (seconds => $o->{seconds}, %load);
	load($_, %load) for $base, $ours;
	for my $round (1 .. $n) {
		my %got;

		for my $who ($round % 2 ? qw(base ours) : qw(ours base)) {
			$got{$who} = load($who eq 'base' ? $base : $ours,
				%load);
		}
		# Neither has had a processor in that time: says nothing.
		push @rounds, [@got{qw(base ours)}]
		    if $got{base}{answers} && $got{ours}{answers};
	}
	die "no answers at all\n" if !@rounds;
	return @rounds;
}

# A row for one of the figures of these rounds.
sub
compare {
	my ($name, $figure, $unit, $target, @rounds) = @_;

	row(group => 'policy', name => $name, unit => $unit,
		value => median(map { $_->[1]{$figure} } @rounds),
		base => 'baseline',
		base_value => median(map { $_->[0]{$figure} } @rounds),
		ratios => [map { $_->[1]{$figure} / ($_->[0]{$figure} || 1) }
		    @rounds], (defined $target ? (target => $target) : ()));
	return;
}

sub
bench_answers {
	my ($base) = @_;

	for my $n (split /,/, $o->{blocked}) {
		my ($d, $ours) = start_blocking($n,
			listen => [endpoint($o->{unix})]);
		my @prefixes = ($OTHERS, $n > 0 ? blocked_prefix($n) : ());

		wait_huge($ours->[1]) if $n >= 500_000;
		for my $conns (split /,/, $o->{connections}) {
			my @rounds = rounds($base, $ours, conns => $conns,
				prefixes => \@prefixes);
			my $name = view_name($n) . ", $conns " .
			    ($conns == 1 ? 'connection' : 'connections');
			my $counts = $conns == 10 || $conns == 100;

			compare("answers, $name", 'rate', '/s',
				$counts ? $n ? '>= 0.9' : '>= 0.95' : undef,
				@rounds);
			compare("  processor time of one", 'cpu', 'ns', undef,
				@rounds);
			compare("  99th percentile", 'p99', 'us',
				$counts && !$n ? '<= 1.1' : undef, @rounds);
		}
		$d->stop;
	}
	return;
}

# The longest answers of both, paced, in turn; `beside` is called with the time
# that the load will take and what is measured, and returns what to wait for.
sub
longest {
	my ($name, $target, $base, $ours, $beside) = @_;
	my (%max, %p99, %waited);
	my $seconds = $o->{seconds} * 5;

	for my $round (1 .. ($o->{rounds} + 2) / 3) {
		for my $who ($round % 2 ? qw(base ours) : qw(ours base)) {
			my $wait = $beside->($seconds);
			my $got = load($who eq 'base' ? $base : $ours,
				conns => 10, rate => 2000, seconds => $seconds);

			push @{$max{$who}}, $got->{max} / 1000;
			push @{$p99{$who}}, $got->{p99} / 1000;
			push @{$waited{$who}}, $got->{waited};
			$wait->();
		}
	}
	row(group => 'policy', name => "longest answer, $name", unit => 'ms',
		value => median(@{$max{ours}}), base => 'baseline',
		base_value => median(@{$max{base}}),
		defined $target ? (target => $target) : ());
	row(group => 'policy', name => '  the longest of all rounds',
		unit => 'ms', value => quantile(1, @{$max{ours}}),
		base => 'baseline', base_value => quantile(1, @{$max{base}}));
	row(group => 'policy', name => '  99th percentile', unit => 'ms',
		value => median(@{$p99{ours}}), base => 'baseline',
		base_value => median(@{$p99{base}}));
	return;
}

sub
bench_log {
	my ($base) = @_;
	my $source = tmp_dir() . '/source.log';
	my $here = dirname(__FILE__);
	my ($status, $text) = run_cmd($^X, "$here/mail-log.pl", 200_000);
	my $written = 0;

	die "mail-log.pl: $status\n" if $status;
	spew($source, $text);
	my $endpoint = endpoint($o->{unix});
	my $d = MxwardenTest::Daemon->new(start => 0,
		conf => { listen => [$endpoint] });
	$d->launch;
	wait_answers($endpoint);
	my $ours = [$endpoint, $d->pid];

	longest("while nothing else happens", undef, $base, $ours,
		sub { return sub { } });
	longest(Bench::number($o->{lines}) . ' log lines/s', '<= 5', $base,
		$ours, sub {
		my ($seconds) = @_;
		my $feed = spawn(name => 'log-feed', oneshot => 1, cmd => [
			program('t/bench/log-feed'), '-r', $o->{lines}, '-t',
			$seconds + 0.5, $source, $d->log]);

		return sub {
			$feed->wait($seconds + 60);
			$written += $feed->stdout;
			$d->wait_read;
			# One file for all rounds would be gigabytes.
			unlink $d->log;
			append($d->log, '');
			$d->wait_read;
		};
	});
	my $read = $d->ctl('status')->{logs}[0]{lines};
	die "$read of $written lines read\n" if $read != $written;
	$d->stop;
	return;
}

sub
bench_redis {
	my ($base) = @_;
	my $endpoint = endpoint($o->{unix});
	my $redis = MxwardenTest::Redis->new;
	my $d = MxwardenTest::Daemon->new(start => 0, conf => offence_conf(
		listen => [$endpoint], store => $redis->url));
	my $n = 0;

	$d->launch;
	wait_answers($endpoint);
	wait_for { $d->ctl('status')->{store}{ready} } 20, 'the store';
	my $ours = [$endpoint, $d->pid];

	$redis->stop_signal;
	# Offences keep coming, and are scored here.
	longest('Redis hangs', '<= 5', $base, $ours, sub {
		$d->log_append(map {
			offence('10.9.' . ($_ >> 8) . '.' . ($_ & 255))
		} map { ++$n & 65535 } 1 .. 5000);
		return sub { };
	});
	compare('answers, Redis hangs, 10 connections', 'rate', '/s',
		'>= 0.95', rounds($base, $ours, conns => 10));
	$redis->cont;
	$redis->kill9;
	compare('answers, Redis is gone, 10 connections', 'rate', '/s',
		'>= 0.95', rounds($base, $ours, conns => 10));
	$d->stop;
	return;
}

# Servers that others run, with what they need to start: [name, how to start it,
# file with its process number if it goes into the background].
sub
peers {
	my @ports = (free_port(), free_port());
	my $dir = tmp_dir() . '/peer';
	my $user = getpwuid $>;
	my $group = getgrgid $) + 0;

	mkdir $dir;
	return (['postfwd', ['postfwd', '--perfmon', '--port', $ports[0],
		'--interface', '127.0.0.1', '--user', $user, '--group', $group,
		'--cache_proto', 'unix', '--cache_port', "$dir/cache",
		'--pidfile', "$dir/postfwd.pid", '--rule',
		'id=R1; client_address==10.0.0.0/8; action=REJECT no'],
		"$dir/postfwd.pid"],
	    ['postgrey', ['postgrey', "--inet=127.0.0.1:$ports[1]",
		"--dbdir=$dir", "--pidfile=$dir/postgrey.pid",
		"--user=$user", "--group=$group"]]);
}

sub
compare_peer {
	my ($ours, $name, $theirs) = @_;
	# They need longer to say something.
	my @rounds = rounds($theirs, $ours, conns => 10,
		seconds => $o->{seconds} * 5, rounds => ($o->{rounds} + 4) / 5);

	row(group => 'policy', name => "answers, beside $name, 10 connections",
		value => median(map { $_->[1]{rate} } @rounds),
		unit => '/s', base => $name,
		base_value => median(map { $_->[0]{rate} } @rounds),
		ratios => [map { $_->[1]{rate} / $_->[0]{rate} } @rounds]);
	return;
}

sub
bench_peers {
	my $endpoint = endpoint($o->{unix});
	my $d = MxwardenTest::Daemon->new(start => 0,
		conf => { listen => [$endpoint] });

	$d->launch;
	wait_answers($endpoint);
	for my $peer (peers()) {
		my ($name, $cmd, $pidfile) = @$peer;
		my ($port) = "@$cmd" =~ /(?:127\.0\.0\.1:|--port )(\d+)/;

		if (!have_program($name)) {
			skip_rows('policy', "answers, beside $name",
				'it is not installed');
			next;
		}
		my $proc = spawn(name => $name, cmd => $cmd,
			oneshot => defined $pidfile);
		my $pid = $proc->pid;
		MxwardenTest::at_end(sub {
			kill 'TERM', $pid if $pid && $pidfile;
		});
		wait_answers("inet:127.0.0.1:$port");
		($pid) = split ' ', slurp($pidfile) if $pidfile;
		compare_peer([$endpoint, $d->pid], $name,
			["inet:127.0.0.1:$port", $pid]);
		if ($pidfile) {
			kill 'TERM', $pid;
			$proc->wait(5);
			undef $pid;
		} else {
			$proc->kill9;
		}
	}
	$d->stop;
	return;
}

my $base = start_baseline($o->{unix});

bench_answers($base) if $only{answers};
bench_log($base) if $only{log};
bench_redis($base) if $only{redis};
bench_peers() if $only{peers};
