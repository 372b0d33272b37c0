#!/usr/bin/perl
# latency.pl: from the line that decides, written to the log, to the first answer
# that refuses.
#
#     perl t/bench/latency.pl [--build DIR] [--quick] [--count 500]
#         [--pause 0.01] [--only host,redis,peers]
#
# host   the log and the policy client are on one host, the store is embedded.
# redis  the line is in the log of one host, the client asks another, and the
#        two share a Redis.
# peers  fail2ban-server, where it is installed, with a filter for this line, as
#        its package watches logs: until it runs its action. It has no answers;
#        its action would still have to start a program.
#
# The client asks without a break. Before each line nothing happens for a moment,
# as on a host that is not busy.
#
# Needs `make` in the build directory.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use MxwardenTest;
use MxwardenTest::Offences;
use Time::HiRes qw(sleep time);

my $o = options(count => [500, 20], pause => [0.01, 0.001],
	only => [('host,redis,peers') x 2]);
my %only = map { $_ => 1 } split /,/, $o->{only};

sub
report {
	my ($name, $target, @ms) = @_;

	row(group => 'latency', name => "line to refusal, $name: 99th percentile",
		value => quantile(0.99, @ms), unit => 'ms',
		defined $target ? (target => $target) : ());
	row(group => 'latency', name => '  median', unit => 'ms',
		value => quantile(0.5, @ms));
	row(group => 'latency', name => '  longest of ' . @ms, unit => 'ms',
		value => quantile(1, @ms));
	return;
}

sub
address { return '10.0.' . ($_[0] >> 8) . '.' . ($_[0] & 255) }

# Four lines, then the fifth, which decides; until `asked` refuses.
sub
measure {
	my ($logged, $asked, $settled) = @_;
	my @ms;

	for my $i (1 .. $o->{count}) {
		my $addr = address($i);

		$logged->log_append(map { offence($addr) } 1 .. 4);
		wait_for { $settled->($addr) } 10, 'four';
		sleep $o->{pause};
		my $line = offence($addr);
		my $start = time;
		$logged->log_append($line);
		while ($asked->ask(client_address => $addr) eq 'DUNNO') {
			die "never\n" if time - $start > 10;
		}
		push @ms, (time - $start) * 1000;
	}
	return @ms;
}

sub
bench_host {
	my $d = MxwardenTest::Daemon->new(conf => offence_conf());

	report('one host', '<= 5', measure($d, $d, sub {
		return $d->score($_[0]) == 4;
	}));
	$d->stop;
	return;
}

sub
bench_redis {
	my $redis = MxwardenTest::Redis->new;
	my @mx = map {
		MxwardenTest::Daemon->new(conf => offence_conf(
			store => $redis->url))
	} 1 .. 2;

	wait_for { !grep { !$_->ctl('status')->{store}{ready} } @mx } 10,
	    'the stores';
	report('another host', '<= 20', measure(@mx, sub {
		return ($redis->cmd('HGET', "mxwarden:score:$_[0]",
			'score') // 0) == 4;
	}));
	$_->stop for @mx;
	$redis->stop;
	return;
}

# A fail2ban of its own: nothing of the system's is read or touched. Returns its
# log and the directory in which its action makes a file for each address.
sub
start_fail2ban {
	my $dir = tmp_dir() . '/f2b';

	mkdir $_ for $dir, "$dir/filter.d", "$dir/action.d", "$dir/jail.d",
	    "$dir/banned";
	spew("$dir/mail.log", '');
	spew("$dir/fail2ban.conf", <<"END");
[Definition]
loglevel = WARNING
logtarget = $dir/fail2ban.log
syslogsocket = auto
socket = $dir/f2b.sock
pidfile = $dir/f2b.pid
dbfile = None
END
	spew("$dir/filter.d/bench.conf", <<'END');
[Definition]
failregex = : bad client unknown\[<HOST>\]$
END
	spew("$dir/action.d/bench.conf", <<"END");
[Definition]
actionban = touch $dir/banned/<ip>
END
	spew("$dir/jail.conf", <<"END");
[bench]
enabled = true
filter = bench
logpath = $dir/mail.log
maxretry = 5
findtime = 600
bantime = 3600
action = bench
usedns = no
END
	my $proc = spawn(name => 'fail2ban-server', cmd => ['fail2ban-server',
		'-f', '-x', '-c', $dir, '-s', "$dir/f2b.sock", '-p',
		"$dir/f2b.pid", 'start']);
	return ($proc, "$dir/mail.log", "$dir/banned");
}

sub
bench_peers {
	if (!have_program('fail2ban-server')) {
		skip_rows('latency', 'fail2ban-server', 'it is not installed');
		return;
	}
	my ($proc, $log, $banned) = start_fail2ban();
	my $first = 0;
	my @ms;

	# Until it follows the log.
	wait_for {
		append($log, offence('10.1.1.1') . "\n");
		sleep 0.2;
		-e "$banned/10.1.1.1";
	} 60, 'fail2ban-server to act';
	for my $i (1 .. $o->{count} / 10) {
		my $addr = address($i);

		append($log, offence($addr) . "\n") for 1 .. 4;
		sleep 0.5;
		my $line = offence($addr);
		my $start = time;
		append($log, "$line\n");
		while (!-e "$banned/$addr") {
			die "never\n" if time - $start > 30;
			sleep 0.0005;
		}
		push @ms, (time - $start) * 1000;
	}
	row(group => 'latency', name => 'line to action, fail2ban-server: ' .
		'99th percentile', value => quantile(0.99, @ms), unit => 'ms');
	row(group => 'latency', name => '  median', unit => 'ms',
		value => quantile(0.5, @ms));
	$proc->stop;
	return;
}

bench_host() if $only{host};
bench_redis() if $only{redis};
bench_peers() if $only{peers};
