#!/usr/bin/perl
# The policy service of the running daemon: the protocol as Postfix and Exim
# speak it, clients that do not, many connections, and too few descriptors.
use strict;
use warnings;

use IO::Select;
use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;

my $DUNNO = "action=DUNNO\n\n";
my $REQUEST = "request=smtpd_access_policy\nprotocol_state=RCPT\n" .
    "client_address=192.0.2.7\nsender=a=b\@example.org\n\n";

# What comes until `want` bytes, the end or the deadline.
sub
receive {
	my ($s, $want, $seconds) = @_;
	my $deadline = time + ($seconds // 10);
	my $got = '';

	while (length $got < $want && time < $deadline) {
		next if !IO::Select->new($s)->can_read(0.1);
		last if !sysread $s, $got, 65536, length $got;
	}
	return $got;
}

# Is it closed, without another byte?
sub
closed {
	my ($s) = @_;

	return IO::Select->new($s)->can_read(10) &&
	    !sysread $s, my $byte, 1;
}

sub
policy_stats { my ($d) = @_; return $d->ctl('status')->{policy} }

my $d = MxwardenTest::Daemon->new;
my $s = $d->connect;

syswrite $s, $REQUEST;
is(receive($s, length $DUNNO), $DUNNO, 'an answer');
$d->ctl('block', '192.0.2.7');
syswrite $s, $REQUEST;
like(receive($s, 30), qr/\Aaction=\w+ [45]\.7\.1 [^\n]+ \[mxw\]\n\n\z/,
    'a refusal, on the same connection');
$d->ctl('unblock', '192.0.2.7');

syswrite $s, $REQUEST x 500;
is(receive($s, 500 * length $DUNNO), $DUNNO x 500, '500 pipelined requests');
for my $byte (split //, $REQUEST) {
	syswrite $s, $byte;
}
is(receive($s, length $DUNNO), $DUNNO, 'every byte alone');
(my $long = $REQUEST) =~ s/\n\n/"\nsasl_username=" . 'u' x 12000 . "\n\n"/e;
syswrite $s, $long;
is(receive($s, length $DUNNO), $DUNNO, 'a long user name');
ok(!IO::Select->new($s)->can_read(0), 'and nothing unasked');

# Exim half-closes and reads to the end.
my $exim = $d->connect;
syswrite $exim, $REQUEST;
shutdown $exim, 1;
is(receive($exim, 1000), $DUNNO, 'an answer after the half-close');

my $before = policy_stats($d)->{garbage};
my @garbage = ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\n", "EHLO x\r\n",
	"request=junk\n\n", "a=" . 'x' x 20000, "a=b\n" x 20000, "x\0=y\n\n",
	join '', map { chr $_ * 7 % 256 } 1 .. 5000);
for my $bytes (@garbage) {
	my $g = $d->connect;

	syswrite $g, $bytes;
	is(receive($g, 1), '', 'garbage: no answer, ' .
	    sprintf '%.20s', $bytes =~ s/[^ -~]/?/gr);
}
is(policy_stats($d)->{garbage}, $before + @garbage, 'garbage is counted');
like($d->proc->stderr, qr/127\.0\.0\.1:\d+: no policy request: line without '='/,
    'and said');
syswrite $s, $REQUEST;
is(receive($s, length $DUNNO), $DUNNO, 'the others are served as before');

# Idle connections, as many as the limit of this test allows.
my ($status, $limit) = run_cmd('/bin/sh', '-c', 'ulimit -n');
my $n = $limit =~ /^(\d+)$/ && $1 < 1200 ? int $1 / 2 : 1000;
my @idle = map { $d->connect } 1 .. $n;
is(scalar(grep { defined } @idle), $n, "$n more connections");
wait_for { policy_stats($d)->{connections} == $n + 1 } 10, 'them to be there';
syswrite $_, $REQUEST for @idle;
is(scalar(grep { receive($_, length $DUNNO) eq $DUNNO } @idle), $n,
    'each is answered');

# The end: what was sent is answered, then they are closed.
syswrite $_, $REQUEST for @idle[0 .. 9];
my $stopped = time;
$d->stop;
ok(time - $stopped < patience(5), 'idle connections do not hold up the end');
is(scalar(grep { receive($_, length $DUNNO) eq $DUNNO } @idle[0 .. 9]), 10,
    'what was sent before is answered');
ok(closed($idle[10]), 'idle connections are closed');
@idle = ();

# Short of descriptors.
$d = MxwardenTest::Daemon->new(wrap => ['/bin/sh', '-c',
	'ulimit -n 64; exec "$@"', 'sh']);
my @many = map { $d->connect } 1 .. 100;
syswrite $_, $REQUEST for @many;
wait_for { policy_stats($d)->{paused} > 0 } 10, 'accepting to pause';
pass('an administrator is answered when clients have all descriptors');
my $served;
wait_for {
	my $st = policy_stats($d);
	$served = $st->{requests};
	$served > 0 && $served == $st->{connections};
} 10, 'those who came first to be served';
my @in = IO::Select->new(@many)->can_read(0);
is(scalar(@in), $served, 'nobody else has an answer');
ok($served > 20 && $served < 64, "as many as there are descriptors: $served");
my %in = map { $_ => 1 } @in;
my @out = grep { !$in{$_} } @many;
close $_ for @in;
while (my @turn = splice @out, 0, 20) {
	is(scalar(grep { receive($_, length $DUNNO) eq $DUNNO } @turn),
	    scalar @turn, 'the others when their turn comes');
	close $_ for @turn;
}
like($d->proc->stderr, qr/descriptors with \d+ connections/, 'it is said');
my $fresh = $d->connect;
syswrite $fresh, $REQUEST;
is(receive($fresh, length $DUNNO), $DUNNO, 'all is well again');
$d->stop;

done_testing;
