# Clients: those that do harm, each kind in a process of its own for a while.
#
# run(kind, seed, seconds, dir, port, control, http) returns the process's
# number; all it opened is closed with it.
package Faults::Clients;

use strict;
use warnings;

use IO::Socket::IP;
use IO::Socket::UNIX;
use MxwardenTest;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR);
use Time::HiRes qw(sleep time);

my $request = "request=smtpd_access_policy\nprotocol_state=RCPT\n" .
    "client_address=203.0.113.1\n\n";

my %kind = (flood => \&_flood, loris => \&_loris, idle => \&_idle,
	garbage => \&_garbage, deaf => \&_deaf, reset => \&_reset);

sub kinds { return sort keys %kind }

sub
run {
	my ($class, $kind, %arg) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
	srand $arg{seed};
	$arg{end} = time + $arg{seconds};
	eval { $kind{$kind}->(\%arg); 1 } or print STDERR "$kind: $@";
	POSIX::_exit(0);
}

sub
_policy {
	my ($arg) = @_;

	return IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $arg->{port}, Timeout => 2);
}

sub
_http {
	my ($arg) = @_;

	return IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $arg->{http}, Timeout => 2);
}

# Hundreds of connections at once, closed, and again.
sub
_flood {
	my ($arg) = @_;

	while (time < $arg->{end}) {
		my @c;

		for (1 .. 50 + int rand 350) {
			last if time > $arg->{end};
			push @c, _policy($arg) // next;
			syswrite $c[-1], $request if rand() < 0.3;
		}
		sleep rand 1;
	}
	return;
}

# A byte now and then, of requests that never end.
sub
_loris {
	my ($arg) = @_;
	my @c;

	while (time < $arg->{end}) {
		push @c, rand() < 0.8 ? _policy($arg) // () : _http($arg) // ()
		    if @c < 60;
		syswrite $c[rand @c], substr $request, rand 60, 1 if @c;
		sleep 0.005;
	}
	return;
}

# Connections on which nothing is said, some of them closed in one direction.
sub
_idle {
	my ($arg) = @_;
	my @c;

	for (1 .. 100) {
		push @c, _policy($arg) // next;
		syswrite $c[-1], substr $request, 0, rand 90;
		shutdown $c[-1], SHUT_WR if rand() < 0.3;
	}
	sleep 0.1 while time < $arg->{end};
	return;
}

# Without '=', so that no line of it can be taken for an attribute.
sub _bytes { return join('', map { chr int rand 256 } 1 .. $_[0]) =~ tr/=/-/r }

# What is no request, for each of the servers. None of it may be answered with
# a verdict.
sub
_garbage {
	my ($arg) = @_;
	my @what = (
		sub { "GET / HTTP/1.0\r\n\r\n" },
		sub { "EHLO x\r\nMAIL FROM:<>\r\n" },
		sub { _bytes(1 + int rand 5000) . "\n\n" },
		sub { "\n" x (1 + int rand 100) },
		sub { 'a' x 70000 },
		sub { "name\n\n" },
		sub { "request=smtpd_access_policy\n" . "x=\0y\n" x 20000 },
		sub { "request=something_else\n\n" },
		sub { "status\0\0\n" },
		sub { "block 10.0.0.1/\n" },
		sub { 'show ' . 'x' x 100000 },
		sub { "GET /metrics HTTP/9.9\r\nA: " . 'b' x 70000 },
		sub { "POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n" },
		sub { "GET " . _bytes(300) . " HTTP/1.1\r\n\r\n" },
	);

	while (time < $arg->{end}) {
		my $where = int rand 3;
		my $s = $where == 0 ? IO::Socket::UNIX->new($arg->{control}) :
		    $where == 1 ? _http($arg) : _policy($arg);

		if ($s) {
			$s->blocking(0);
			syswrite $s, $what[rand @what]->();
			sleep 0.02;
			sysread $s, my $reply, 65536;
			append("$arg->{dir}/clients.journal",
			    sprintf "%.3f garbled a verdict about garbage\n",
			    time)
			    if $where == 2 && ($reply // '') =~ /^action=/;
		}
		sleep rand 0.02;
	}
	return;
}

# Asks and asks, and reads no answer.
sub
_deaf {
	my ($arg) = @_;
	my @c;

	while (time < $arg->{end}) {
		if (@c < 10) {
			my $s = _policy($arg) // next;
			$s->blocking(0);
			push @c, $s;
		}
		for my $s (@c) {
			syswrite $s, $request x 100;
		}
		sleep 0.05;
	}
	return;
}

# Connections that end with a reset, at any moment.
sub
_reset {
	my ($arg) = @_;

	while (time < $arg->{end}) {
		my $s = _policy($arg) // next;

		setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
		syswrite $s, $request x (1 + int rand 3);
		sleep rand 0.003;
		close $s;
		sleep 0.005;
	}
	return;
}

1;
