# Activation: a service manager's part of socket activation. Listening sockets
# that this process keeps, and daemons started one after the other with them as
# descriptors 3 and following.
#
#   my $held = MxwardenTest::Activation->new(names => ['policy']);
#   my $d = MxwardenTest::Daemon->new(port => $held->port, start => 0,
#       wrap => $held->wrap);
#   $held->start($d);
package MxwardenTest::Activation;

use strict;
use warnings;

use Carp qw(croak);
use Fcntl qw(F_SETFD FD_CLOEXEC);
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM SOMAXCONN);

# Runs in the process that becomes the daemon: LISTEN_PID is its number.
my $code = <<'EOT';
use POSIX ();
my ($names, $n) = splice @ARGV, 0, 2;
my @fds = splice @ARGV, 0, $n;
# Out of the way first: they may be 3 and following already, in another order.
my @high = map { my $fd = $_; while ($fd < 3 + $n) {
    $fd = POSIX::dup($fd) // die "dup: $!" } $fd } @fds;
POSIX::dup2($high[$_], 3 + $_) // die "dup2: $!" for 0 .. $#high;
my %keep = map { 3 + $_ => 1 } 0 .. $#high;
POSIX::close($_) for grep { !$keep{$_} } 3 .. 99;
@ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, $n, $names);
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
EOT

# names: one listener for each; paths: of unix sockets, after them.
sub
new {
	my ($class, %arg) = @_;
	my $self = bless { names => [@{$arg{names} // ['policy']}] }, $class;

	for (@{$self->{names}}) {
		push @{$self->{sockets}}, IO::Socket::IP->new(
			LocalHost => '127.0.0.1',
			LocalPort => MxwardenTest::free_port(),
			Type => SOCK_STREAM, Listen => SOMAXCONN,
			ReuseAddr => 1) // croak "listen: $!";
	}
	for (@{$arg{paths} // []}) {
		push @{$self->{sockets}}, IO::Socket::UNIX->new(Local => $_,
			Listen => SOMAXCONN) // croak "$_: $!";
		push @{$self->{names}}, 'unix';
	}
	return $self;
}

sub port { my ($self, $n) = @_; return $self->{sockets}[$n // 0]->sockport }

# The command that stands before the daemon's.
sub
wrap {
	my ($self) = @_;
	my @fds = map { fileno $_ } @{$self->{sockets}};

	return [$^X, '-e', $code, join(':', @{$self->{names}}), scalar @fds,
		@fds];
}

# Starts a daemon that was made with that; only it inherits the sockets.
sub
start {
	my ($self, $d) = @_;

	$self->_inherit(0);
	my $ok = eval { $d->launch; 1 };
	my $why = $@;
	$self->_inherit(FD_CLOEXEC);
	die $why if !$ok;
	return;
}

sub
_inherit {
	my ($self, $flag) = @_;

	for (@{$self->{sockets}}) {
		fcntl $_, F_SETFD, $flag or croak "fcntl: $!";
	}
	return;
}

1;
