#!/usr/bin/perl
# More offences in a journal than the queue holds while Redis is away: the journal
# is read again from where the queue overflowed, and each offence counts once.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Offences;

my $remote = '/lib/systemd/systemd-journal-remote';
$remote = '/usr' . $remote if !-x $remote;
skip_test('systemd-journal-remote is not installed') if !-x $remote;
skip_test('redis-server is not installed')
    if !have_program('redis-server') && !have_program('valkey-server');

use constant ADDRS => 499;

my $dir = tmp_dir() . '/journal';
my $text = tmp_dir() . '/entries';
mkdir $dir or die "mkdir: $!";
my ($files, $pid, $serial, %count) = (0, 0, 0);

# So many offences, each of a connection of its own, into a file of the journal.
sub
attack {
	my ($n) = @_;
	my $usec = int(time * 1e6);
	my $file = sprintf '%s/j%02d.journal', $dir, ++$files;

	open my $fh, '>', $text or die "$text: $!";
	for my $i (1 .. $n) {
		my $addr = sprintf '10.1.%d.%d', $i % ADDRS >> 8,
		    $i % ADDRS & 255;

		$serial++;
		$pid++;
		$count{$addr}++;
		print $fh '__REALTIME_TIMESTAMP=', $usec + $i, "\n",
		    "__MONOTONIC_TIMESTAMP=$serial\n",
		    "_BOOT_ID=0123456789abcdef0123456789abcdef\n",
		    "_HOSTNAME=mx9\nSYSLOG_FACILITY=2\n",
		    "SYSLOG_IDENTIFIER=postfix/smtpd\nSYSLOG_PID=$pid\n",
		    "MESSAGE=bad client unknown[$addr]\n\n";
	}
	close $fh or die "$text: $!";
	# Appears in the journal at once, not entry by entry.
	my ($rc, undef, $err) = run_cmd($remote, "--output=$dir-new.journal",
	    $text);
	$rc == 0 or die "systemd-journal-remote: $err";
	rename "$dir-new.journal", $file or die "rename: $!";
	return;
}

my $redis = MxwardenTest::Redis->new;
my $d = MxwardenTest::Daemon->new(conf => offence_conf(store => $redis->url,
	snapshot_interval => '200ms',
	log => [["journal:$dir", { rules => ['postfix'],
		start => 'beginning' }]]));

sub
settle {
	wait_for {
		my $s = $d->ctl('status')->{store};
		$s->{ready} && $s->{state} eq 'ready' && $s->{pending} == 0;
	} 300, 'the store to settle';
	return;
}

# What Redis has counted; the reading may go on meanwhile.
sub
check {
	my ($name) = @_;
	my @bad;

	try_for {
		@bad = ();
		for my $addr (sort keys %count) {
			my $have = $redis->cmd('HGET', "mxwarden:score:$addr",
				'score') // 0;

			push @bad, "$addr: $have, want $count{$addr}"
			    if $have != $count{$addr};
		}
		!@bad;
	} 300;
	is("@bad[0 .. ($#bad < 5 ? $#bad : 5)]", '', $name);
	return;
}

sub
behind { my @n = $d->proc->stderr =~ /the store is behind/g; return scalar @n }

attack(2000);
check('at first all are counted');
settle();
$redis->stop_signal;
attack(25_000) for 1 .. 3;
wait_for { behind() } 300, 'the overflow';
$d->wait_read(300);
my $s = $d->ctl('status')->{store};
cmp_ok($s->{pending}, '<=', 65536, 'the queue is bounded');
like($d->ask(client_address => '10.1.0.5'), qr/^REJECT/,
    'offences count here meanwhile');
$redis->cont;
attack(500);
check('each is counted once when Redis is back');
settle();
like($d->proc->stderr, qr/reading the logs again/, 'the journal is read again');
check('nothing is counted twice');

# The same with the daemon killed before Redis is back.
$redis->stop_signal;
my $before = behind();
attack(25_000) for 1 .. 3;
wait_for { behind() > $before } 300, 'the overflow';
$d->wait_read(300);
$d->kill9;
attack(500);
$d->start;
$redis->cont;
attack(500);
check('after a crash meanwhile: each is counted once');
settle();
check('... and no second time');
$d->stop;
done_testing;
