#!/usr/bin/perl
# firewall.pl: how long until the kernel drops many addresses, and what becomes
# of policy answers meanwhile. As root; everything happens in a network
# namespace.
#
#     perl -It/lib t/bench/firewall.pl [--build DIR] [--count 100000] [--rounds 3]
#
# For nftables and iptables: the helper alone (a driver sends it what the daemon
# would, as changes and as a sync), then a whole daemon, which reads --count
# lines at once, each of which blocks an address, while ten policy clients ask
# as fast as they can. Beside it, one iptables rule for each address, 1,000 of
# them, as who has no sets does.
#
# Needs `make`, `make check_PROGRAMS` (t/priv/attack) and `make bench-programs`.
use strict;
use warnings;

use File::Basename qw(dirname);
use Getopt::Long;
use IPC::Open2;
use Time::HiRes qw(sleep time);

my ($build, $count, $rounds);

BEGIN {
	($build, $count, $rounds) = ('.', 100_000, 3);
	my @args = @ARGV;
	GetOptions('build=s' => \$build, 'count=i' => \$count,
		'rounds=i' => \$rounds) && !@ARGV or
	    die "usage: firewall.pl [--build DIR] [--count N] [--rounds N]\n";
	# The harness starts this again in a namespace.
	@ARGV = @args;
	$ENV{MXW_BUILD} //= $build;
	unshift @INC, dirname(__FILE__) . '/../lib';
}
use MxwardenTest;
$| = 1;

MxwardenTest::Netns->enter;

sub conf {
	my ($backend, %over) = @_;

	return (
		user => '', helper => MxwardenTest::program('mxwarden-priv'),
		level => [[firewall => { threshold => 2, duration => '1h',
			action => '521 5.7.1 Abuse from {address}',
			firewall => 'true' }]],
		firewall => { backend => $backend, max_entries => 2 * $count,
			on_stop => 'remove', interval => '1h' }, %over);
}

sub
median {
	my @v = sort { $a <=> $b } @_;

	return $v[$#v / 2];
}

sub
kernel_count {
	my ($backend) = @_;
	my ($status, $out) = $backend eq 'iptables' ?
	    run_cmd(qw(ipset list -t mxwarden4)) :
	    run_cmd(qw(nft list set inet mxwarden v4_32));

	return $out =~ /Number of entries: (\d+)/ ? $1 : 0
	    if $backend eq 'iptables';
	return scalar(() = $out =~ /timeout \d/g);
}

sub
helper_alone {
	my ($backend) = @_;
	my $file = spew(tmp_dir() . "/$backend.conf",
		conf_text({ conf($backend) }));
	my %took;

	for my $round (1 .. $rounds) {
		for my $how (qw(change sync)) {
			my $pid = open2(my $out, my $in,
				MxwardenTest::program('t/priv/attack'));
			$in->autoflush(1);
			my $ask = sub {
				print {$in} "$_[0]\n";
				my $got = readline $out;
				die "no answer to $_[0]\n" if !defined $got;
				return $got;
			};
			$ask->('start ' . MxwardenTest::program(
				'mxwarden-priv') . " firewall $file");
			$ask->('send op=7');
			$ask->('send op=3');
			$ask->('send op=5');
			my ($s, $n) = $ask->("bulk $count $how") =~
			    /([\d.]+) entries=(\d+)/ or die;
			die "only $n\n" if $n != $count;
			my $has = kernel_count($backend);
			die "the kernel has $has\n" if $has != $count;
			push @{$took{$how}}, $s;
			$ask->('send op=8');
			close $in;
			waitpid $pid, 0;
		}
	}
	printf "%-9s helper alone: %d changes %.2f s, a sync of them %.2f s\n",
	    $backend, $count, median(@{$took{change}}), median(@{$took{sync}});
	return;
}

sub
answers {
	my ($d, $seconds) = @_;

	return spawn(name => 'policy-load', oneshot => 1,
		cmd => [MxwardenTest::program('t/bench/policy-load'), '-c', 10,
		'-t', $seconds, 'inet:127.0.0.1:' . $d->port]);
}

sub
figures {
	my ($proc) = @_;

	$proc->wait(120);
	my %got = $proc->stdout =~ /(\w+)=([\d.]+)/g;
	return sprintf 'p50 %.0f us, p99 %.0f us, longest %.1f ms',
	    $got{p50}, $got{p99}, $got{max} / 1000;
}

sub
whole_daemon {
	my ($backend) = @_;
	my $d = MxwardenTest::Daemon->new(conf => { conf($backend) });
	my @t = gmtime;
	my $day = sprintf '%s %2d %02d:%02d:%02d', (qw(Jan Feb Mar Apr May Jun
	    Jul Aug Sep Oct Nov Dec))[$t[4]], @t[3, 2, 1, 0];
	my $ready = sub {
		my $f = $d->ctl('status')->{firewall};
		return $f->{state} eq 'ready' && !$f->{pending} &&
		    $f->{entries} == $_[0];
	};

	wait_for { $ready->(0) } 20, 'the firewall';
	printf "%-9s whole daemon, nothing to do: answers %s\n", $backend,
	    figures(answers($d, 5));
	my $load = answers($d, 8);
	sleep 2;
	my $text = join '', map {
		my $n = ($_ * 7919 + 1) & 0xffffff;
		sprintf "%s mx postfix/smtpd[1]: warning: unknown[10.%d.%d.%d]:" .
		    " SASL LOGIN authentication failed: x\n", $day, $n >> 16,
		    $n >> 8 & 255, $n & 255;
	} 0 .. $count - 1;
	my $from = time;
	append($d->log, $text);
	wait_for { $ready->($count) } 60, "$count entries";
	my $took = time - $from;
	my $has = kernel_count($backend);
	printf "%-9s whole daemon: %d lines, blocks and entries in %.2f s " .
	    "(kernel: %d); answers meanwhile %s\n", $backend, $count, $took,
	    $has, figures($load);
	$d->ctl('unblock', '--all');
	wait_for { $ready->(0) } 60, 'all to be free';
	$d->stop;
	return;
}

for my $backend (qw(nftables iptables)) {
	helper_alone($backend);
	whole_daemon($backend);
}
# As fast as a shell can.
my $from = time;
my ($status) = run_cmd('sh', '-c', <<'EOT');
set -e
n=0
while [ $n -lt 1000 ]; do
	iptables -w -I INPUT 1 -s 10.1.$((n / 256)).$((n % 256)) -p tcp \
	    -m multiport --dports 25,465,587 -j DROP
	n=$((n + 1))
done
EOT
die "iptables: $status\n" if $status != 0;
my $took = time - $from;
printf "one iptables rule for each: 1000 in %.1f s\n", $took;
