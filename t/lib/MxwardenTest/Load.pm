# Load: policy clients at full speed over persistent connections, in processes
# of their own, which count what goes wrong.
#
# A client sends a request and waits for its answer, as smtpd does. A connection
# that ends before one byte of the answer has come is what Postfix gets over
# silently: the client connects again and sends the request once more. Anything
# else is a failure: an answer that is not the expected one, more than one
# answer, a part of one, a connect that is refused, a request that fails twice.
package MxwardenTest::Load;

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

my $serial = 0;

# port or path; clients, processes; expect => { address => qr/action/ }.
sub
new {
	my ($class, %arg) = @_;
	my $base = MxwardenTest::tmp_dir() . '/load' . ++$serial;
	my $self = bless { base => $base, procs => $arg{processes} // 5,
		%arg }, $class;
	my $each = int $arg{clients} / $self->{procs};

	for my $n (1 .. $self->{procs}) {
		my $pid = fork // croak "fork: $!";
		if ($pid == 0) {
			$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
			my $ok = eval { $self->_run($n, $each); 1 };
			print STDERR "load: $@" if !$ok;
			POSIX::_exit($ok ? 0 : 1);
		}
		push @{$self->{pids}}, $pid;
	}
	MxwardenTest::at_end(sub { kill 'KILL', @{$self->{pids}};
		waitpid $_, 0 for @{$self->{pids}} });
	return $self;
}

sub
_connect {
	my ($self) = @_;

	return IO::Socket::UNIX->new($self->{path}) if $self->{path};
	return IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $self->{port}, Timeout => 20);
}

sub
_open {
	my ($self, $c, $seen) = @_;

	if ($c->{s}) {
		delete $self->{by_fd}{fileno $c->{s}};
		$self->{select}->remove($c->{s});
		close $c->{s};
	}
	$c->{got} = '';
	$c->{s} = $self->_connect;
	if (!$c->{s}) {
		push @{$seen->{failures}}, "connect: $!";
		return;
	}
	$self->{by_fd}{fileno $c->{s}} = $c;
	$self->{select}->add($c->{s});
	return;
}

sub
_send {
	my ($self, $c) = @_;

	$c->{sent} = time;
	syswrite $c->{s}, "request=smtpd_access_policy\nprotocol_state=RCPT\n" .
	    "client_address=$c->{address}\nsender=a\@example.org\n" .
	    "recipient=b\@example.net\n\n";
	return;
}

# One end of a connection without an answer is allowed for each request.
sub
_lost {
	my ($self, $c, $seen, $why) = @_;

	$seen->{reconnects}++;
	push @{$seen->{failures}}, "a part of an answer: '$c->{got}'"
	    if $c->{got} ne '';
	push @{$seen->{failures}}, "lost twice: $why" if $c->{tries}++;
	$self->_open($c, $seen);
	$self->_send($c) if $c->{s};
	return;
}

sub
_answer {
	my ($self, $c, $seen) = @_;

	my $n = sysread $c->{s}, $c->{got}, 4096, length $c->{got};
	return $self->_lost($c, $seen, $n // "$!") if !$n;
	return if $c->{got} !~ /\n\n/;
	my ($action) = $c->{got} =~ /\Aaction=([^\n]*)\n\n\z/;
	push @{$seen->{failures}}, "$c->{address}: '$c->{got}'"
	    if !defined $action || $action !~ $self->{expect}{$c->{address}};
	$seen->{answers}++;
	my $took = time - $c->{sent};
	$seen->{slowest} = $took if $took > $seen->{slowest};
	$c->{got} = '';
	$c->{tries} = 0;
	$self->_send($c) if !$self->{ending};
	return;
}

sub
_report {
	my ($self, $n, $seen) = @_;
	my $file = "$self->{base}.$n";

	splice @{$seen->{failures}}, 20;
	MxwardenTest::spew("$file.new", JSON::PP->new->encode($seen));
	rename "$file.new", $file or die "rename: $!";
	return;
}

sub
_run {
	my ($self, $n, $count) = @_;
	my $seen = { answers => 0, reconnects => 0, slowest => 0,
		failures => [] };
	my @addresses = sort keys %{$self->{expect}};
	my $next = 0;

	$self->{select} = IO::Select->new;
	my @clients = map { { address => $addresses[$_ % @addresses],
		tries => 0 } } 0 .. $count - 1;
	for my $c (@clients) {
		$self->_open($c, $seen);
		$self->_send($c) if $c->{s};
	}
	while (!-e "$self->{base}.stop") {
		my @ready = $self->{select}->can_read(0.05);
		for my $s (@ready) {
			my $c = $self->{by_fd}{fileno $s} or next;
			$self->_answer($c, $seen);
		}
		if (time >= $next) {
			$self->_report($n, $seen);
			$next = time + 0.02;
		}
	}
	# What is on its way is still to come.
	$self->{ending} = 1;
	my $end = time + 20;
	my %open = map { $_ => $_ } grep { $_->{s} } @clients;
	while (%open && time < $end) {
		for my $s ($self->{select}->can_read(0.1)) {
			my $c = $self->{by_fd}{fileno $s} or next;
			my $before = $seen->{answers};

			$self->_answer($c, $seen);
			next if $seen->{answers} == $before;
			$self->{select}->remove($c->{s});
			delete $open{$c};
		}
	}
	push @{$seen->{failures}}, scalar(keys %open) . ' without an answer'
	    if %open;
	$self->_report($n, $seen);
	return;
}

# What was seen so far, over all processes.
sub
seen {
	my ($self) = @_;
	my $sum = { answers => 0, reconnects => 0, slowest => 0,
		failures => [] };

	for my $n (1 .. $self->{procs}) {
		my $text = MxwardenTest::slurp("$self->{base}.$n") or next;
		my $one = JSON::PP->new->decode($text);

		$sum->{$_} += $one->{$_} for qw(answers reconnects);
		$sum->{slowest} = $one->{slowest}
		    if $one->{slowest} > $sum->{slowest};
		push @{$sum->{failures}}, @{$one->{failures}};
	}
	return $sum;
}

# Waits until so many more requests have been answered.
sub
wait_answers {
	my ($self, $n) = @_;
	my $goal = $self->seen->{answers} + $n;

	return MxwardenTest::wait_for { $self->seen->{answers} >= $goal } 60,
	    "$n more answers";
}

# Ends them; what was seen.
sub
stop {
	my ($self) = @_;

	MxwardenTest::spew("$self->{base}.stop", '');
	for my $pid (@{$self->{pids}}) {
		waitpid $pid, 0;
		MxwardenTest::failure("load process: status $?") if $?;
	}
	$self->{pids} = [];
	return $self->seen;
}

1;
