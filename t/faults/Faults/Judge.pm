# Judge: which of the things that may be wrong a fault explains.
#
# Load and Watch write down what may be wrong, each with its time; the driver
# tells when a fault begins and ends. A fault excuses what the table says, from
# its beginning until `grace` seconds after its end, and nothing else: above all
# nothing excuses "over", the refusal of a client that has not offended.
package Faults::Judge;

use strict;
use warnings;

use MxwardenTest;
use Time::HiRes qw(time);

use constant LISTED => 5;

my @daemon = qw(under forgot late silent lost refused control hand metrics
    health);

# kind => [grace in seconds, what it excuses]. What is not here excuses nothing:
# rotation, reloads, clients that do harm, a full disk of the logs, the loss of
# scripts in Redis.
my %excuses = (
	# Without it nobody answers; afterwards it reads what it has missed.
	'daemon-kill' => [10, @daemon],
	'daemon-restart' => [10, @daemon],
	'daemon-away' => [10, @daemon],
	# New blocks may come late: this host counts from the beginning of the
	# fault. Who is blocked stays so. By hand it says that only this host
	# knows (exit status 2).
	'redis-kill' => [20, qw(under control hand health)],
	'redis-stop' => [20, qw(under control hand health)],
	'redis-readonly' => [20, qw(under control hand health)],
	'redis-full' => [20, qw(under control hand health)],
	'redis-clients' => [20, qw(under control hand health)],
	# From a FLUSHALL, or a loss for want of memory, until the next pause,
	# where the model forgets as well. A hit that was lost may have been one
	# that forgives, or the memory of an attempt that now counts twice.
	'forgotten' => [2, qw(under forgot hand)],
	'lost-hits' => [2, qw(under forgot hand more)],
	'helper-logs' => [20, @daemon],
	'helper-firewall' => [20, @daemon],
	'state-full' => [5, qw(health)],
	# Connections wait in the kernel until there are descriptors; those that
	# are there are answered. Logs cannot be opened.
	'descriptors' => [5, qw(under control hand metrics health)],
	'memory' => [10, @daemon, 'garbled'],
	# It has its own queue for connections.
	'flood' => [2, qw(metrics)],
);

sub new { return bless { dir => $_[1], spans => [], seen => {}, excused => {},
    failures => [] }, $_[0] }

sub
begin {
	my ($self, $kind) = @_;
	my $span = { kind => $kind, from => time };

	push @{$self->{spans}}, $span;
	return $span;
}

sub end { my ($self, $span) = @_; $span->{to} //= time; return }

sub
fail {
	my ($self, $what) = @_;

	push @{$self->{failures}}, $what;
	MxwardenTest::append("$self->{dir}/failures",
	    sprintf "%.3f %s\n", time, $what);
	# One cause can make many of one kind.
	my $kind = $what =~ /\Aat [\d.]+: (\w+)/ ? $1 : $what;
	if (++$self->{listed}{$kind} <= LISTED) {
		push @{$self->{first}}, $what;
		print "FAIL: $what\n";
	}
	return;
}

# The first of each kind, and how many there were.
sub
listed {
	my ($self) = @_;
	my $n = $self->{listed};

	return (@{$self->{first} // []}, map { "$_: $n->{$_} times" }
	    grep { $n->{$_} > LISTED } sort keys %$n);
}

sub failures { return scalar @{$_[0]{failures}} }

# Is there a fault now that excuses anything?
sub
busy {
	my ($self) = @_;

	return grep {
		my ($grace) = @{$excuses{$_->{kind}} // next};

		!defined $_->{to} || time < $_->{to} + patience($grace);
	} @{$self->{spans}};
}

# The fault that explains it, or nothing.
sub
_why {
	my ($self, $at, $kind) = @_;

	for my $s (@{$self->{spans}}) {
		my ($grace, @what) = @{$excuses{$s->{kind}} // [0]};

		# A verb or a scrape that began before it may meet it.
		next if $at < $s->{from} -
		    ($kind =~ /^(?:control|hand|metrics|health)$/ ? 5 : 0.1) ||
		    defined $s->{to} && $at > $s->{to} + patience($grace);
		return $s->{kind} if grep { $_ eq $kind } @what;
	}
	return;
}

# What has been written down since the last time.
sub
journals {
	my ($self, @files) = @_;

	for my $file (@files) {
		open my $fh, '<', $file or next;
		seek $fh, $self->{seen}{$file} // 0, 0;
		while (my $line = <$fh>) {
			last if $line !~ /\n\z/;
			$self->{seen}{$file} += length $line;
			chomp $line;
			my ($at, $kind, $detail) = split ' ', $line, 3;
			my $why = $self->_why($at, $kind);

			if (defined $why) {
				$self->{excused}{"$kind by $why"}++;
			} else {
				$self->fail("at $at: $kind $detail");
			}
		}
	}
	return;
}

sub excused { return $_[0]{excused} }

1;
