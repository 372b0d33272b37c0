#!/usr/bin/perl
# ./bootstrap run, in the build directory that is there: the sample attack is
# blocked, what it prints for another terminal works, and Ctrl-C leaves nothing.
# On a machine with nothing installed, t/clean-machine.sh does the same.
use strict;
use warnings;

use IO::Socket::IP;
use MxwardenTest;
use POSIX qw(strftime);
use Test::More;

my @bootstrap = (src_dir() . '/bootstrap', '--build', build_dir());
my $run = build_dir() . '/run';

sub
start {
	my (@args) = @_;

	return spawn(name => 'bootstrap', cmd => [@bootstrap, 'run', @args]);
}

# The end, as a terminal brings it about: SIGINT for the whole group.
sub
interrupt {
	my ($proc) = @_;

	$proc->{stopped} = 1;
	kill 'INT', -$proc->{pgid};
	return $proc->wait(20);
}

# Processes of its group that still run; zombies do not.
sub
left {
	my ($pgid) = @_;
	my @left;

	for my $file (glob '/proc/[0-9]*/stat') {
		my $stat = slurp($file) // next;
		my ($name, $state, $group) =
		    $stat =~ /\((.*)\) (\S) \d+ (\d+) /s or next;
		push @left, $name if $group == $pgid && $state ne 'Z';
	}
	return @left;
}

# What it has printed for another terminal.
sub
printed {
	my ($proc, $re) = @_;
	my ($command) = $proc->stdout =~ /^    (\S+mxwarden .*$re.*)$/m;

	return split ' ', $command;
}

{
	my $port = free_port();
	my $proc = start('--port', $port, '--sample');

	wait_for {
		die $proc->tail if !$proc->alive;
		$proc->stdout =~ /blocked 203\.0\.113\.5 level=reject/;
	} 60, 'the sample to be blocked';
	ok(index($proc->stdout, "check_policy_service { inet:127.0.0.1:$port, " .
	    'timeout=2s, default_action=DUNNO }') > 0,
	    'it prints the line for main.cf');

	my ($status, $out) = run_cmd(printed($proc, ' list$'));
	is($status, 0, 'the printed list works');
	like($out, qr/^203\.0\.113\.5 +reject/m, '... and shows the block');

	my @ask = printed($proc, ' ask ');
	($status, $out) = run_cmd(@ask);
	is($out, "REJECT 5.7.1 Abuse from 203.0.113.5 (postfix-auth-failed)" .
	    " [mxw]\n", 'the printed ask is told REJECT');
	for my $innocent (qw(192.0.2.10 192.0.2.200 2001:db8:600d::25)) {
		$ask[-1] = "client_address=$innocent";
		($status, $out) = run_cmd(@ask);
		is($out, "DUNNO\n", "$innocent is not refused");
	}

	($status, $out, my $err) = run_cmd(@bootstrap, 'run', '--port', $port,
		'--sample');
	is($status, 1, 'a second one on the same port ends');
	like($err, qr/port $port .*is taken/, '... and says why');

	is(interrupt($proc), 0, 'Ctrl-C ends it');
	ok(!-e $run, 'its directory is gone');
	ok(try_for(sub { !left($proc->{pgid}) }, 5), 'no process is left')
	    or diag(left($proc->{pgid}));
	ok(!IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port),
	    'nobody answers any more');
}

{
	my $port = free_port();
	# A name that must be quoted wherever it is used.
	my $log = tmp_dir() . "/it's a \$log \\ \"1\".log";
	my $now = strftime('%b %e %H:%M:%S', gmtime);

	spew($log, map { "$now mx1 postfix/smtpd[$_]: lost connection after " .
	    "AUTH from unknown[192.0.2.7]\n" } 1 .. 5);
	my $proc = start('--port', $port, $log);
	wait_for {
		die $proc->tail if !$proc->alive;
		$proc->stdout =~ /blocked 192\.0\.2\.7 level=reject/;
	} 60, 'the log to be read';
	append($log, "$now mx1 postfix/smtpd[$_]: lost connection after " .
	    "AUTH from unknown[2001:db8::7]\n") for 6 .. 8;
	ok(try_for(sub { $proc->stdout =~ m{blocked 2001:db8::/64 } }, 20),
	    'a log is read from its beginning, and followed');
	like($proc->stdout, qr/now: \S+ ask inet:127\.0\.0\.1:$port client_address=192\.0\.2\.7$/m,
	    'it tells how to see the first block');
	is($proc->stop, 0, 'SIGTERM ends it, too');
	ok(!-e $run, 'its directory is gone');
	ok(-e $log, 'the log is not');
}

for (
	[['run', '/nonexistent/mail.log'], qr/there is no such file/],
	[['run', '--port', '99999'], qr/'99999' is not a port/],
	[['run', '--frobnicate'], qr/unknown option --frobnicate/],
	[['run', 'a', 'b'], qr/one argument too many: b/],
	[['deps', 'everything'], qr/is not build, test or ci/],
	[['frobnicate'], qr/is not a command/],
    ) {
	my ($args, $re) = @$_;
	my ($status, undef, $err) = run_cmd(@bootstrap, @$args);

	is($status, 1, "bootstrap @$args fails");
	like($err, $re, '... and says why');
}

done_testing;
