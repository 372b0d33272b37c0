#!/usr/bin/perl
# Restarts with socket activation, seen by a real Postfix that sends mail all
# the time: its default action (451) is never needed, whatever the form of
# check_policy_service.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;
use MxwardenTest::Activation;

need(root => 1, programs => [qw(postfix postconf)]);
skip_test('there is no user postfix') if !defined getpwnam 'postfix';

my @clients = map { "198.51.100.$_" } 1 .. 8;
my $bad = '198.51.100.99';

MxwardenTest::Netns->enter(ipv4 => ['192.0.2.25/32', '198.51.100.0/24']);

my $pf = MxwardenTest::Postfix->new(start => 0);
my $held = MxwardenTest::Activation->new;
my $d = MxwardenTest::Daemon->new(port => $held->port, start => 0,
	log => $pf->log, wrap => $held->wrap);

# The shortest form: no timeout, and the default action of Postfix.
$pf->write(main => <<"EOT");
virtual_mailbox_domains = example.com
virtual_mailbox_maps = static:user/
virtual_transport = discard
smtpd_client_restrictions = check_policy_service inet:127.0.0.1:${\$held->port}
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
EOT
$pf->start;
$held->start($d);
$d->wait_ready;
$d->ctl('block', $bad, '-l', 'reject', '-t', '1h');

# Each client is a process: session after session, several recipients each.
# What is not as it should be goes to its file, the number of replies as well.
my $base = tmp_dir() . '/client';
my @pids;
for my $n (0 .. $#clients) {
	my $from = $n ? $clients[$n] : $bad;
	my $want = $n ? qr/\A250 / : qr/\A554 5\.7\.1 .*\[mxw\]/;
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		my ($replies, $text) = (0, '');

		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		while (!-e "$base.stop") {
			eval {
				my $c = MxwardenTest::Smtp->new(from => $from,
					host => '192.0.2.25',
					port => $pf->port);
				$c->ehlo('client.example.net');
				for (1 .. 5) {
					$c->mail('someone@example.net');
					my $got = $c->rcpt('user@example.com');
					$replies++;
					$text .= "$got\n" if $got !~ $want;
					$c->cmd('RSET');
				}
				$c->quit;
				1;
			} or $text .= $@;
			spew("$base.$n.new", "$replies\n$text");
			rename "$base.$n.new", "$base.$n";
		}
		POSIX::_exit(0);
	}
	push @pids, $pid;
}
MxwardenTest::at_end(sub { kill 'KILL', @pids; waitpid $_, 0 for @pids });

sub
replies {
	my $sum = 0;

	for my $n (0 .. $#clients) {
		my ($one) = split /\n/, slurp("$base.$n") // '0', 2;
		return 0 if !$one;
		$sum += $one;
	}
	return $sum;
}

wait_for { replies() } 60, 'every client to have been answered';
for (1 .. 10) {
	my $before = replies();

	$d->stop;
	$held->start($d);
	wait_for { replies() > $before + 8 * 20 } 120, 'mail to go on';
}
spew("$base.stop", '');
waitpid $_, 0 for splice @pids;
my $sum = replies();
for my $n (0 .. $#clients) {
	my (undef, $text) = split /\n/, slurp("$base.$n"), 2;
	is($text // '', '', "client $n: every reply as it should be");
}
cmp_ok($sum, '>', 10 * 8 * 20, "$sum replies");
unlike($pf->log_text, qr/ 451 /, 'no 451 in Postfix\'s log');
unlike($pf->log_text, qr/problem talking to server/,
    'nor a warning of its own');
$pf->stop;
$d->stop;

done_testing;
