#!/usr/bin/perl
# firewall.pl: how long until the kernel drops many addresses, and what becomes
# of policy answers meanwhile. As root; everything happens in a network
# namespace.
#
#     perl t/bench/firewall.pl [--build DIR] [--quick] [--count 100000]
#         [--rounds 5]
#
# For nftables and iptables: the helper alone (a driver sends it what the daemon
# would, as changes and as a sync), in turn with nft(8) or ipset(8) that is given
# the same entries in a file; then a whole daemon, which reads --count lines at
# once, each of which blocks an address, while ten policy clients ask. Beside it,
# one iptables rule for each address, as who has no sets does.
#
# Needs `make`, `make t/priv/attack` and `make bench-programs`.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Bench;
use IPC::Open2;
use MxwardenTest;
use Time::HiRes qw(sleep time);

my $o = options(count => [100_000, 2000], rounds => [5, 2],
	rules => [1000, 20]);
my $count = $o->{count};

for my $name (qw(ip unshare nft ipset iptables)) {
	my $why = $> != 0 ? 'only root can' : have_program($name) ? next :
	    "$name is not installed";
	skip_rows('firewall', 'entries in the packet filter', $why);
	exit 0;
}
MxwardenTest::Netns->enter;

sub conf {
	my ($backend, %over) = @_;

	return (
		user => '', helper => program('mxwarden-priv'),
		level => [[firewall => { threshold => 2, duration => '1h',
			action => '521 5.7.1 Abuse from {address}',
			firewall => 'true' }]],
		firewall => { backend => $backend, max_entries => 2 * $count,
			on_stop => 'remove', interval => '1h' }, %over);
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

# Hosts of 10.0.0.0/8, not one after the other; as t/priv/attack has them.
sub
address {
	my ($i) = @_;
	my $n = ($i * 7919 + 1) & 0xffffff;

	return join '.', 10, $n >> 16, $n >> 8 & 255, $n & 255;
}

# Seconds that the helper needs for all of them: changes, and then a sync of the
# same.
sub
helper_alone {
	my ($backend) = @_;
	my $file = spew(tmp_dir() . "/$backend.conf",
		conf_text({ conf($backend) }));
	my $pid = open2(my $out, my $in, program('t/priv/attack'));
	my @took;
	my $ask = sub {
		print {$in} "$_[0]\n";
		my $got = readline $out;
		die "no answer to $_[0]\n" if !defined $got;
		return $got;
	};

	$in->autoflush(1);
	$ask->('start ' . program('mxwarden-priv') . " firewall $file");
	$ask->('send op=7');
	$ask->('send op=3');
	$ask->('send op=5');
	for my $how (qw(change sync)) {
		my ($s, $n) = $ask->("bulk $count $how") =~
		    /([\d.]+) entries=(\d+)/ or die;
		die "only $n\n" if $n != $count;
		my $has = kernel_count($backend);
		die "the kernel has $has\n" if $has != $count;
		push @took, $s;
	}
	$ask->('send op=8');
	close $in;
	waitpid $pid, 0;
	return @took;
}

# Seconds that nft(8) or ipset(8) needs for the same entries in a file.
sub
tool_alone {
	my ($backend) = @_;
	my $nft = $backend eq 'nftables';
	my $file = tmp_dir() . '/entries';
	my @all = map { address($_) } 0 .. $count - 1;

	spew($file, $nft ? ("table inet bench {\nset s {\ntype ipv4_addr\n",
		"flags timeout\nelements = { ", join(', ',
		map { "$_ timeout 1h" } @all), " }\n}\n}\n") :
	    ('create bench hash:ip timeout 3600 maxelem ' . 2 * $count . "\n",
		map { "add bench $_\n" } @all));
	my $start = time;
	my ($status, undef, $err) = run_cmd($nft ? ('nft', '-f', $file) :
		('ipset', 'restore', '-file', $file));
	my $took = time - $start;
	die "$backend: ", substr($err, 0, 200), "\n" if $status;
	run_cmd($nft ? qw(nft delete table inet bench) :
	    qw(ipset destroy bench));
	return $took;
}

sub
compare_helper {
	my ($backend) = @_;
	my $tool = $backend eq 'nftables' ? 'nft -f' : 'ipset restore';
	my (@change, @sync, @base);

	for my $round (1 .. $o->{rounds}) {
		push @base, tool_alone($backend) if $round % 2;
		my ($change, $sync) = helper_alone($backend);
		push @change, $change;
		push @sync, $sync;
		push @base, tool_alone($backend) if !($round % 2);
	}
	row(group => 'firewall', name => Bench::number($count) =~ s/\.\d+//r .
		" entries, $backend helper", unit => 's',
		value => median(@change), target => '<= 1', base => $tool,
		base_value => median(@base));
	row(group => 'firewall', name => "  ratio to $tool",
		ratios => [map { $change[$_] / $base[$_] } 0 .. $#base]);
	row(group => 'firewall', name => '  a sync that replaces them',
		unit => 's', value => median(@sync));
	return;
}

# Policy clients, for so many seconds.
sub
answers {
	my ($d, $seconds) = @_;

	return spawn(name => 'policy-load', oneshot => 1,
		cmd => [program('t/bench/policy-load'), '-c', 10, '-r', 2000,
		'-t', $seconds, 'inet:127.0.0.1:' . $d->port]);
}

# Their 99th percentile and longest, in milliseconds.
sub
seen {
	my ($proc) = @_;

	$proc->wait(120);
	my %got = $proc->stdout =~ /(\w+)=([\d.]+)/g;
	return ($got{p99} / 1000, $got{max} / 1000);
}

# Lines at once, until the kernel has all of their addresses: seconds, and what
# the clients saw.
sub
from_log {
	my ($d, $backend, $ready) = @_;
	my $stamp = POSIX::strftime('%b %e %H:%M:%S', gmtime);
	my $text = join '', map {
		"$stamp mx postfix/smtpd[1]: warning: unknown[" . address($_) .
		    "]: SASL LOGIN authentication failed: x\n"
	} 0 .. $count - 1;
	my $load = answers($d, 6);

	sleep 1;
	my $from = time;
	append($d->log, $text);
	wait_for { $ready->($count) } 60, "$count entries";
	my $took = time - $from;
	my $has = kernel_count($backend);
	die "the kernel has $has\n" if $has != $count;
	my @seen = seen($load);
	$d->ctl('unblock', '--all');
	wait_for { $ready->(0) } 60, 'all to be free';
	return ($took, @seen);
}

sub
whole_daemon {
	my ($backend) = @_;
	my (@took, @p99, @max);
	my $idle;

	for my $round (1 .. $o->{rounds}) {
		my $d = MxwardenTest::Daemon->new(conf => { conf($backend) });
		my $ready = sub {
			my $f = $d->ctl('status')->{firewall};
			return $f->{state} eq 'ready' && !$f->{pending} &&
			    $f->{entries} == $_[0];
		};

		wait_for { $ready->(0) } 20, 'the firewall';
		(undef, $idle) = seen(answers($d, 3)) if !defined $idle;
		my ($took, $p99, $max) = from_log($d, $backend, $ready);
		push @took, $took;
		push @p99, $p99;
		push @max, $max;
		$d->stop;
	}
	row(group => 'firewall', name => 'as many log lines, until all ' .
		"are dropped, $backend", unit => 's', value => median(@took),
		target => '<= 1');
	row(group => 'firewall', name => '  longest answer meanwhile',
		unit => 'ms', value => median(@max),
		base => 'with nothing to do', base_value => $idle);
	row(group => 'firewall', name => '  99th percentile', unit => 'ms',
		value => median(@p99));
	return;
}

for my $backend (qw(nftables iptables)) {
	compare_helper($backend);
	whole_daemon($backend);
}
# As fast as a shell can.
my $from = time;
my ($status) = run_cmd('sh', '-c', <<"EOT");
set -e
n=0
while [ \$n -lt $o->{rules} ]; do
	iptables -w -I INPUT 1 -s 10.1.\$((n / 256)).\$((n % 256)) -p tcp \\
	    -m multiport --dports 25,465,587 -j DROP
	n=\$((n + 1))
done
EOT
die "iptables: $status\n" if $status != 0;
row(group => 'firewall', name => "$o->{rules} addresses, one iptables rule each",
	unit => 's', value => time - $from);
